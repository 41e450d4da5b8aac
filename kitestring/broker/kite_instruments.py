"""Everything that can be traded at Kite today: found by token, by name, or by what a contract means.

The list stays in columns; an ``Instrument`` is made when somebody asks for it, and kept. Contracts
are looked up by name, expiry, strike and kind and never by building a symbol, because Kite names the
last expiry of a month otherwise than the weeks before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from kitestring.broker.kite_dump import (
    CALL,
    EQUITY,
    FUTURE,
    INDEX,
    KINDS,
    Coded,
    Columns,
    Ints,
    read_dump,
)
from kitestring.domain.errors import CalendarUnknown, InstrumentsRefused
from kitestring.domain.ids import InstrumentId, exchange_of, symbol_of
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price
from kitestring.market.freeze import freeze_qty

_UNIT_SIZED: Final = ("NSE", "BSE", "NFO", "BFO")
"""Where a price is that of one unit; elsewhere a lot of 1 stands for many, and the dump does not say
how many (kite.trade forum 5094; positions carry ``multiplier``)."""
_CASH_OF: Final = MappingProxyType({"NSE": "NFO", "BSE": "BFO"})
_SEGMENTS: Final = MappingProxyType(
    {
        "CDS": Segment.CURRENCY,
        "BCD": Segment.CURRENCY,
        "MCX": Segment.COMMODITY,
        "NCO": Segment.COMMODITY,
    }
)
_EXPIRED_PER_MILLE: Final = 1
_NO_CONTRACT: Final = -1
_NO_NAME: Final = -2
_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_MONTH_DIGITS: Final = "123456789OND"

ContractKey = tuple[dt.date, Price | None, InstrumentKind]
"""Expiry, strike (none for a future) and kind."""


class Chain:
    """All contracts of one name on one exchange."""

    __slots__ = ("_rows", "exchange", "expiries", "name")

    def __init__(self, name: str, exchange: str, rows: dict[ContractKey, int]) -> None:
        self.name = name
        self.exchange = exchange
        self._rows = rows
        self.expiries: tuple[dt.date, ...] = tuple(sorted({expiry for expiry, _, _ in rows}))
        """Every day on which something of it expires, the nearest first."""

    def row(self, expiry: dt.date, strike: Price | None, kind: InstrumentKind) -> int | None:
        """The row of a contract, or ``None``."""
        return self._rows.get((expiry, strike, kind))

    def strikes(self, expiry: dt.date, kind: InstrumentKind = InstrumentKind.CALL) -> list[Price]:
        """The strikes listed for an expiry, from the lowest up."""
        found = [
            strike
            for ends, strike, of in self._rows
            if ends == expiry and of is kind and strike is not None
        ]
        return sorted(found)

    def expiries_of(self, kind: InstrumentKind) -> tuple[dt.date, ...]:
        """The expiries of its futures, its calls or its puts."""
        return tuple(sorted({expiry for expiry, _, of in self._rows if of is kind}))


class KiteInstruments:
    """The instruments of one day.

    ``contract_sizes`` says, by exchange and name, how many units a lot of 1 stands for where a price
    is not that of one unit (MCX, currencies); a contract without one is found and not made.
    """

    def __init__(
        self,
        day: dt.date,
        columns: Columns,
        *,
        contract_sizes: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> None:
        self.day = day
        self.notes = columns.notes
        self._columns = columns
        self._contract_sizes = contract_sizes
        self._by_id = dict(zip(columns.ids, range(len(columns)), strict=True))
        self._by_token = dict(zip(columns.token.tolist(), range(len(columns)), strict=True))
        self._made: dict[int, Instrument] = {}
        self._chains: dict[tuple[str, str], Chain] = {}
        self._names = _contract_names(columns)
        self._codes = {word: code for code, word in enumerate(self._names.words)}
        self._names_on: dict[str, tuple[str, ...]] = {}
        self._underlyings: dict[str, set[str]] = {}

    # -- how many -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, instrument: object) -> bool:
        return instrument in self._by_id

    def __iter__(self) -> Iterator[InstrumentId]:
        return iter(self._by_id)

    def counts(self) -> dict[str, int]:
        """Rows by exchange."""
        exchanges = self._columns.exchanges
        counted = np.bincount(exchanges.codes, minlength=len(exchanges.words)).tolist()
        found = {word: count for word, count in zip(exchanges.words, counted, strict=True) if count}
        return dict(sorted(found.items()))

    # -- finding --------------------------------------------------------------------------

    def find(self, instrument: InstrumentId) -> Instrument | None:
        """The instrument of ``EXCHANGE:SYMBOL``, or ``None``."""
        row = self._by_id.get(instrument)
        return None if row is None else self._instrument(row)

    def of_token(self, token: int) -> Instrument | None:
        """The instrument of a token of today, or ``None``. Tokens are given again after expiry."""
        row = self._by_token.get(token)
        return None if row is None else self._instrument(row)

    def id_of_token(self, token: int) -> InstrumentId | None:
        """Its name alone, which costs less."""
        row = self._by_token.get(token)
        return None if row is None else self._columns.ids[row]

    def token_of(self, instrument: InstrumentId) -> int | None:
        """The token to subscribe an instrument by, or ``None``."""
        row = self._by_id.get(instrument)
        return None if row is None else int(self._columns.token[row])

    def contract(
        self,
        name: str,
        expiry: dt.date,
        strike: Price | None = None,
        kind: InstrumentKind = InstrumentKind.FUTURE,
        *,
        exchange: str = "",
    ) -> Instrument | None:
        """The contract that is meant, or ``None`` if it is not listed; see ``chain``."""
        chain = self.chain(name, exchange)
        row = None if chain is None else chain.row(expiry, strike, kind)
        return None if row is None else self._instrument(row)

    def chain(self, name: str, exchange: str = "") -> Chain | None:
        """All contracts of a name; ``None`` if it has none.

        A name with contracts on more than one exchange needs the exchange: raises
        ``InstrumentsRefused`` without it, because guessing would trade the other one.
        """
        found = self._chains.get((exchange, name))
        if found is not None:
            return found
        columns = self._columns
        rows = np.flatnonzero(self._names.codes == self._codes.get(name, _NO_NAME))
        listed = columns.exchanges.codes[rows]
        places = sorted({columns.exchanges.words[code] for code in np.unique(listed).tolist()})
        if not exchange and len(places) > 1:
            raise InstrumentsRefused(
                f"{name} has contracts on {' and '.join(places)}.",
                do=f"say which: {places[0]}:{name}",
            )
        chosen = exchange or (places[0] if places else "")
        if chosen not in places:
            return None
        rows = rows[listed == columns.exchanges.words.index(chosen)]
        keys: dict[ContractKey, int] = {}
        days = {day: dt.date.fromordinal(day) for day in set(columns.expiry[rows].tolist())}
        for row, kind, expiry, strike in zip(
            rows.tolist(),
            columns.kind[rows].tolist(),
            columns.expiry[rows].tolist(),
            columns.strike[rows].tolist(),
            strict=True,
        ):
            keys[days[expiry], Price(strike) if kind >= CALL else None, KINDS[kind]] = row
        chain = Chain(name, chosen, keys)
        self._chains[exchange, name] = self._chains[chosen, name] = chain
        return chain

    def lot_size(self, instrument: InstrumentId) -> int | None:
        """The lot of an instrument, in units as Kite counts them, or ``None``."""
        row = self._by_id.get(instrument)
        return None if row is None else int(self._columns.lot_size[row])

    def names(self, exchange: str) -> tuple[str, ...]:
        """The names that have contracts on an exchange."""
        found = self._names_on.get(exchange)
        if found is None:
            codes = np.unique(self._names.codes[self._contracts_on(exchange)]).tolist()
            found = self._names_on[exchange] = tuple(
                sorted(self._names.words[code] for code in codes)
            )
        return found

    def _contracts_on(self, exchange: str) -> Ints:
        columns = self._columns
        if exchange not in columns.exchanges.words:
            return np.zeros(0, dtype=np.int64)
        on = columns.exchanges.codes == columns.exchanges.words.index(exchange)
        return np.flatnonzero(on & (columns.kind >= FUTURE))

    def _underlying_on(self, exchange: str) -> set[str]:
        """Symbols of shares with contracts there: the contracts' names, and their symbols' stems.

        The two differ once a company is renamed: TATAMOTORS stayed the name of TMPV's contracts.
        """
        found = self._underlyings.get(exchange)
        if found is None:
            columns, rows = self._columns, self._contracts_on(exchange)
            futures = rows[columns.kind[rows] == FUTURE].tolist()
            stems = {
                _stem(symbol_of(columns.ids[row]), int(columns.expiry[row])) for row in futures
            }
            found = self._underlyings[exchange] = stems.union(self.names(exchange))
        return found

    # -- making ---------------------------------------------------------------------------

    def _instrument(self, row: int) -> Instrument:
        made = self._made.get(row)
        if made is None:
            made = self._made[row] = self._make(row)
        return made

    def _make(self, row: int) -> Instrument:
        columns = self._columns
        instrument = columns.ids[row]
        exchange, symbol = exchange_of(instrument), symbol_of(instrument)
        code = int(columns.kind[row])
        name = columns.names.words[int(columns.names.codes[row])]
        if code >= FUTURE:
            name = self._names.words[int(self._names.codes[row])]
        expiry = int(columns.expiry[row])
        return Instrument(
            id=instrument,
            exchange=exchange,
            symbol=symbol,
            token=int(columns.token[row]),
            kind=KINDS[code],
            segment=self._segment(code, exchange, symbol),
            name=name or symbol,
            lot_size=int(columns.lot_size[row]),
            tick_size=Price(int(columns.tick_size[row])),
            freeze_qty=self._freeze(name) if code >= FUTURE else 0,
            multiplier=self._size(code, exchange, name, instrument),
            expiry=dt.date.fromordinal(expiry) if expiry else None,
            strike=Price(int(columns.strike[row])) if code >= CALL else None,
            has_volume=code != INDEX,
            has_depth=code != INDEX,
        )

    def _segment(self, code: int, exchange: str, symbol: str) -> Segment:
        if code == INDEX:
            return Segment.INDEX
        if code == EQUITY:
            underlies = symbol in self._underlying_on(_CASH_OF.get(exchange, ""))
            return Segment.EQUITY_WITH_DERIVATIVES if underlies else Segment.EQUITY
        other = Segment.FUTURES if code == FUTURE else Segment.OPTIONS
        return _SEGMENTS.get(exchange, other)

    def _freeze(self, name: str) -> int:
        """The rows of ``market`` know indices; 0, no limit known, for the others."""
        try:
            return freeze_qty(name, self.day)
        except CalendarUnknown:
            return 0

    def _size(self, code: int, exchange: str, name: str, instrument: InstrumentId) -> int:
        if exchange in _UNIT_SIZED or code == INDEX:
            return 1
        size = self._contract_sizes.get((exchange, name))
        if size is None:
            raise InstrumentsRefused(
                f"How many units one {instrument} stands for is not in Kite's list, and no row of "
                f"the house knows it: its profit and loss could not be reckoned.",
                do=f"give the contract size of {exchange} {name}, or do not trade it",
            )
        return size


def _contract_names(columns: Columns) -> Coded:
    """Under which name each contract stands: the dump's, or where that is blank, its symbol's."""
    words = list(columns.names.words)
    codes = np.where(columns.kind >= FUTURE, columns.names.codes, _NO_CONTRACT)
    if "" in words:
        number = {word: code for code, word in enumerate(words)}
        for row in np.flatnonzero(codes == words.index("")).tolist():
            name = _stem(symbol_of(columns.ids[row]), int(columns.expiry[row]))
            if name not in number:
                number[name] = len(words)
                words.append(name)
            codes[row] = number[name]
    return Coded(tuple(words), codes)


def _stem(symbol: str, expiry: int) -> str:
    """``NIFTY`` of ``NIFTY26NOVFUT`` and of ``NIFTY26N2424000CE``, given when they expire."""
    day = dt.date.fromordinal(expiry)
    weekly = f"{day:%y}{_MONTH_DIGITS[day.month - 1]}{day:%d}"
    for date in (f"{day:%y}{_MONTHS[day.month - 1]}", weekly):
        stem, found, _ = symbol.partition(date)
        if found and stem:
            return stem
    return symbol


def instruments_from(
    content: bytes,
    day: dt.date,
    *,
    contract_sizes: Mapping[tuple[str, str], int] = MappingProxyType({}),
) -> KiteInstruments:
    """The instruments of a day from Kite's dump of that day.

    The dump carries no date; contracts that expired before the day give an old one away. Raises
    ``InstrumentsRefused``.
    """
    columns = read_dump(content)
    ends = columns.expiry[columns.kind >= FUTURE]
    expired = int((ends < day.toordinal()).sum())
    if expired * 1000 > len(ends) * _EXPIRED_PER_MILLE:
        newest = dt.date.fromordinal(int(ends[ends < day.toordinal()].max()))
        raise InstrumentsRefused(
            f"Kite's list of instruments is not of {day}: {expired} of its {len(ends)} contracts "
            f"expired before, the last of them on {newest}.",
            do="fetch today's list: Kite makes it anew each morning, by about 08:30",
        )
    return KiteInstruments(day, columns, contract_sizes=contract_sizes)
