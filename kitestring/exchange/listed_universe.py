"""Everything a user can ask the local exchange for on a day: more than 100 000 instruments.

Indices and large shares carry their real symbols and tokens. The market's breadth is filled with
shares that do not exist: their names say INVENTED and their tokens lie where no real one does.
"""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, price
from kitestring.exchange.instrument_master import instruments_on, symbol_on
from kitestring.exchange.listed_derivatives import derivatives_on
from kitestring.exchange.listed_names import INDICES, known_shares
from kitestring.exchange.seeded import key
from kitestring.market import bands

_NSE, _BSE, _INDICES = 1, 4, 9
_INVENTED: Final = 2_400
"""Invented shares on both exchanges; BSE lists as many again of its own."""
_OWN_TOKENS: Final = 900_000
_SMALL: Final = ("-SM", "-ST")
_SPECIAL: Final = ("-BE", "-BE", "-BE", "-BZ")
_HEADS: Final = (
    *("AAR", "BAL", "CHAN", "DEV", "EKA", "GAN", "HAR", "IND", "JAY", "KAL"),
    *("LAK", "MAH", "NAV", "OMK", "PRA", "RAJ", "SAN", "TIR", "UDA", "VAR"),
)
_HEARTS: Final = ("DI", "KA", "LA", "MI", "NA", "PU", "RA", "SO", "TA", "VI")
_TAILS: Final = (
    *("AGRO", "AUTO", "CHEM", "ELEC", "FIN", "INFRA"),
    *("LAB", "METAL", "POLY", "SPIN", "TECH", "WIRE"),
)


@lru_cache(maxsize=4)
def universe(day: dt.date) -> tuple[Instrument, ...]:
    """Everything listed on a day, the synthetic master's instruments first.

    Raises ``CalendarUnknown`` for a day outside the calendar.
    """
    # A hundred thousand objects that all stay would be counted over and over while they are made.
    collecting = gc.isenabled()
    gc.disable()
    try:
        first = instruments_on(day)
        known = frozenset(instrument.id for instrument in first)
        return (
            *first,
            *(one for one in _cash(day) if one.id not in known),
            *derivatives_on(day, known),
        )
    finally:
        if collecting:
            gc.enable()


def level_of_invented(symbol: str) -> Price:
    """The level around which an invented share trades: ₹ 12 to ₹ 2 900, cheap ones more often."""
    word = key(0, "invented level", symbol)
    whole = (12, 30, 60, 110, 180, 260, 400, 620, 950, 1500)[word % 10]
    return price(whole + (word >> 8) % (whole - 1))


def _cash(day: dt.date) -> Iterator[Instrument]:
    for index in INDICES:
        yield Instrument(
            id=InstrumentId(f"{index.exchange}:{index.symbol}"),
            exchange=index.exchange,
            symbol=index.symbol,
            token=index.token << 8 | _INDICES,
            kind=InstrumentKind.INDEX,
            segment=Segment.INDEX,
            name=index.name,
            lot_size=1,
            tick_size=price("0.01") if index.exchange == "BSE" else price("0.05"),
            has_volume=False,
            has_depth=False,
        )
    listed = [
        (
            symbol_on(share.symbol, day),
            share.symbol,
            share.level,
            share.derivatives,
            share.token,
            share.scrip,
        )
        for share in known_shares()
    ]
    listed.extend(
        (symbol, f"{symbol} (INVENTED)", level_of_invented(symbol), False, 0, 0)
        for symbol in invented_symbols()
    )
    both = len(listed) - _INVENTED
    for number, (symbol, name, level, derivatives, token, scrip) in enumerate(listed):
        segment = Segment.EQUITY_WITH_DERIVATIVES if derivatives else Segment.EQUITY
        tick = bands.tick_size_for(InstrumentKind.EQUITY, level, day)
        own_token = _OWN_TOKENS + number
        if number < both:
            nse_symbol = symbol + _suffix(symbol, name)
            yield _share("NSE", nse_symbol, name, segment, tick, token or own_token, _NSE)
        yield _share("BSE", symbol, name, segment, tick, scrip or own_token, _BSE)


def _share(
    exchange: str, symbol: str, name: str, segment: Segment, tick: Price, token: int, market: int
) -> Instrument:
    return Instrument(
        id=InstrumentId(f"{exchange}:{symbol}"),
        exchange=exchange,
        symbol=symbol,
        token=token << 8 | market,
        kind=InstrumentKind.EQUITY,
        segment=segment,
        name="TATAMOTORS" if name == "TMPV" else name,
        lot_size=1,
        tick_size=tick,
    )


def _suffix(symbol: str, name: str) -> str:
    """The series of an invented share on NSE: a quarter are of small companies, a few surveilled."""
    if not name.endswith(")"):
        return ""
    draw, which = divmod(key(0, "series", symbol), 16)
    if which < 4:
        return _SMALL[which % 2]
    return _SPECIAL[draw % 4] if which < 6 else ""


def invented_symbols() -> Iterator[str]:
    """Plausible symbols of companies that do not exist, twice ``_INVENTED`` of them."""
    found = 0
    for heart in _HEARTS:
        for tail in _TAILS:
            for head in _HEADS:
                for end in ("", "S"):
                    if found == 2 * _INVENTED:
                        return
                    found += 1
                    yield f"{head}{heart}{tail}{end}"
