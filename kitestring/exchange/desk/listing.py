"""Everything listed on a day: found by token and by ``EXCHANGE:SYMBOL``, and as Kite's CSV dump.

The twelve columns and their spellings: kite.trade/docs/connect/v3/market-quotes (instruments), and
the dumps users quote. A token is ``exchange token × 256 + segment number``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Price, decimal_rupees

COLUMNS: Final = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)

_ROWS_AT_ONCE: Final = 1_000


class Listing:
    """One day's instruments. Built once; look-ups are dictionary look-ups."""

    def __init__(self, day: dt.date, instruments: Iterable[Instrument]) -> None:
        self.day = day
        by_key = {instrument.id: instrument for instrument in instruments}
        self.by_key: Mapping[InstrumentId, Instrument] = MappingProxyType(by_key)
        """By ``EXCHANGE:SYMBOL``."""
        self.by_token: Mapping[int, Instrument] = MappingProxyType(
            {instrument.token: instrument for instrument in by_key.values()}
        )
        self._dumps: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self.by_key.values())

    def __len__(self) -> int:
        return len(self.by_key)

    def find(self, exchange: str, symbol: str) -> Instrument | None:
        """The instrument a client named, or ``None``."""
        return self.by_key.get(InstrumentId(f"{exchange}:{symbol}"))

    def csv(self, exchange: str = "") -> bytes:
        """The dump of one exchange, or of all; made once."""
        dump = self._dumps.get(exchange)
        if dump is None:
            dump = self._dumps[exchange] = b"".join(self.csv_parts(exchange))
        return dump

    def csv_parts(self, exchange: str = "") -> Iterator[bytes]:
        """The dump in pieces: a hundred thousand rows take long enough for others to wait."""
        yield f"{COLUMNS}\n".encode()
        rows: list[str] = []
        for instrument in self:
            if not exchange or instrument.exchange == exchange:
                rows.append(_row(instrument))
                if len(rows) == _ROWS_AT_ONCE:
                    yield "".join(rows).encode()
                    rows.clear()
        yield "".join(rows).encode()


def segment_word(instrument: Instrument) -> str:
    """Kite's segment: the exchange, ``INDICES``, or exchange and kind (``NFO-OPT``)."""
    match instrument.kind:
        case InstrumentKind.INDEX:
            return "INDICES"
        case InstrumentKind.EQUITY:
            return instrument.exchange
        case InstrumentKind.FUTURE:
            return f"{instrument.exchange}-FUT"
        case InstrumentKind.CALL | InstrumentKind.PUT:
            return f"{instrument.exchange}-OPT"


def _row(instrument: Instrument) -> str:
    kind = "EQ" if instrument.kind is InstrumentKind.INDEX else instrument.kind.value
    expiry = instrument.expiry.isoformat() if instrument.expiry else ""
    strike = decimal_rupees(instrument.strike or Price(0)).normalize()
    tick_size = decimal_rupees(instrument.tick_size).normalize()
    return (
        f"{instrument.token},{instrument.token >> 8},{instrument.symbol},{instrument.name},0,"
        f"{expiry},{strike:f},{tick_size:f},{instrument.lot_size},{kind},"
        f"{segment_word(instrument)},{instrument.exchange}\n"
    )
