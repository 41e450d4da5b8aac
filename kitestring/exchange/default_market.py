"""What ticks on the local exchange without being asked: a market that a user of Kite knows.

Indices, NIFTY, BANKNIFTY and SENSEX with futures and the strikes around the money, large shares, and
the contracts of MCX and currencies that trade most. Everything else of the listing ticks when somebody
watches it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.listed_universe import universe
from kitestring.exchange.market_paths import PathBook
from kitestring.exchange.synthetic_paths import DayKind
from kitestring.market.segment_calendar import is_open

_INDICES: Final = frozenset({"INDIA VIX", "FINNIFTY", "MIDCPNIFTY", "SENSEX", "BANKEX"})
_SHARES: Final = frozenset(
    {
        *("BHARTIARTL", "ITC", "LT", "AXISBANK", "KOTAKBANK", "HINDUNILVR", "BAJFINANCE", "M&M"),
        *("MARUTI", "SUNPHARMA", "NTPC", "TITAN", "ADANIPORTS", "BAJAJ-AUTO", "WIPRO"),
        *("TATASTEEL", "COALINDIA", "ETERNAL"),
    }
)
_NEAREST: Final = {
    "MCX": frozenset({"CRUDEOIL", "NATURALGAS", "GOLD", "GOLDM", "SILVERM"}),
    "CDS": frozenset({"USDINR", "EURINR"}),
    "BFO": frozenset({"SENSEX"}),
}
"""Names whose nearest future ticks."""
_CHAINS: Final = {"NIFTY": ("NFO", 2), "BANKNIFTY": ("NFO", 0), "SENSEX": ("BFO", 1)}
"""Exchange, and how many weekly expiries tick besides the month's."""
_STRIKES: Final = 10


def default_market(day: dt.date, seed: int, kind: DayKind = DayKind.AUTO) -> tuple[Instrument, ...]:
    """The instruments that tick from the open on, in the order of the listing.

    The chains lie around the level at which the seed's day opens. Raises ``CalendarUnknown`` for a
    day outside the calendar.
    """
    listed = universe(day)
    chosen = {instrument.id for instrument in instruments_on(day)}
    chosen.update(
        one.id
        for one in listed
        if (one.kind is InstrumentKind.INDEX and one.name in _INDICES)
        or (one.exchange == "NSE" and one.symbol in _SHARES)
    )
    chosen.update(one.id for one in _nearest(day, listed))
    book = PathBook(seed, day, kind)
    opens = book.clock.hours[0].open_sod
    for name, (exchange, weeklies) in _CHAINS.items():
        level = int(book.at(np.array([book.path(name, None)]), np.array([opens]))[0])
        chosen.update(one.id for one in _chain(listed, exchange, name, weeklies, level))
    return tuple(one for one in listed if one.id in chosen)


def trades_on(day: dt.date, instrument: Instrument) -> bool:
    """Whether an instrument's segment trades on a day of the share market."""
    own = instrument.segment in (Segment.CURRENCY, Segment.COMMODITY)
    return not own or is_open(day, instrument.segment)


def _nearest(day: dt.date, listed: Iterable[Instrument]) -> Iterator[Instrument]:
    found: dict[tuple[str, str], Instrument] = {}
    for one in listed:
        wanted = _NEAREST.get(one.exchange)
        if wanted is None or one.kind is not InstrumentKind.FUTURE or one.name not in wanted:
            continue
        known = found.get((one.exchange, one.name))
        if trades_on(day, one) and (known is None or _expiry(one) < _expiry(known)):
            found[one.exchange, one.name] = one
    yield from found.values()


def _chain(
    listed: Iterable[Instrument], exchange: str, name: str, weeklies: int, level: int
) -> Iterator[Instrument]:
    """The strikes nearest to a level, of the next weekly expiries and of the month's last one."""
    mine = [
        one
        for one in listed
        if one.name == name and one.exchange == exchange and one.strike is not None
    ]
    expiries = sorted({_expiry(one) for one in mine})
    if not expiries:
        return
    first = expiries[0]
    month = max(e for e in expiries if (e.year, e.month) == (first.year, first.month))
    wanted = {*expiries[:weeklies], month}
    strikes = sorted(
        {int(one.strike or 0) for one in mine if _expiry(one) in wanted},
        key=lambda strike: (abs(strike - level), strike),
    )[: 2 * _STRIKES + 1]
    near = frozenset(strikes)
    for one in mine:
        if _expiry(one) in wanted and int(one.strike or 0) in near:
            yield one


def _expiry(instrument: Instrument) -> dt.date:
    assert instrument.expiry is not None, "a future or an option expires"
    return instrument.expiry
