"""The synthetic exchange's instrument master: two indices, their futures, and seven large shares.

Names, tokens, lots, ticks, freeze quantities and expiries are those the dated rows of ``market``
hold for the day; only the prices traded under them are invented.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final

from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.ids import instrument_id
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.exchange.synthetic_models import model_of
from kitestring.market import bands, contracts, freeze

_INDICES: Final = (("NIFTY", "NIFTY 50", 1001), ("BANKNIFTY", "NIFTY BANK", 1016))
"""Logical name, Kite's symbol, exchange token (256265 and 260105 on Kite's wire)."""
_SHARES: Final = (
    ("RELIANCE", 2885),
    ("HDFCBANK", 1333),
    ("ICICIBANK", 4963),
    ("INFY", 1594),
    ("TCS", 11536),
    ("SBIN", 3045),
    ("TATAMOTORS", 3456),
)
_TMPV_FROM: Final = dt.date(2025, 10, 24)
"""Tata Motors became Tata Motors Passenger Vehicles, symbol TMPV, after its demerger (NSE notice of
16 Oct 2025). The logical name stays TATAMOTORS, so that a config outlives the exchange's renaming."""
_NSE, _NFO, _NSE_INDICES = 1, 2, 9
"""Kite's segment numbers: the low byte of an instrument token."""
_FUTURE_TOKENS_FROM: Final = 35_000


@lru_cache(maxsize=64)
def instruments_on(day: dt.date) -> tuple[Instrument, ...]:
    """Everything listed on the synthetic exchange that day: indices, futures of two months, shares.

    On expiry day the expiring contract is still listed. A future whose lot or expiry the dated rows
    do not hold is not listed, rather than guessed (see ``gaps_on``). Raises ``CalendarUnknown`` for
    a day outside the calendar.
    """
    return (
        *(_index(name, symbol, token) for name, symbol, token in _INDICES),
        *(future for name, _, _ in _INDICES for future in _futures(name, day)),
        *(_share(name, token, day) for name, token in _SHARES),
    )


def gaps_on(day: dt.date) -> tuple[str, ...]:
    """What the dated rows do not know of that day's contracts, as sentences for the report."""
    futures = [i for i in instruments_on(day) if i.kind is InstrumentKind.FUTURE]
    gaps = []
    if len({future.name for future in futures}) < len(_INDICES):
        gaps.append(f"Some futures are missing: their lots or expiries are not known for {day}.")
    if any(not future.freeze_qty for future in futures):
        gaps.append(f"Freeze quantities are not known for {day}: no order is too large.")
    return tuple(gaps)


def _index(name: str, symbol: str, token: int) -> Instrument:
    return Instrument(
        id=instrument_id("NSE", symbol),
        exchange="NSE",
        symbol=symbol,
        token=token << 8 | _NSE_INDICES,
        kind=InstrumentKind.INDEX,
        segment=Segment.INDEX,
        name=name,
        lot_size=1,
        tick_size=price("0.05"),
        has_volume=False,
        has_depth=False,
    )


def _futures(name: str, day: dt.date) -> list[Instrument]:
    """The two nearest contracts that have not expired before ``day``; fewer where rows end."""
    listed: list[Instrument] = []
    month = day.year * 12 + day.month - 1
    while len(listed) < 2:
        try:
            expiry = contracts.monthly_expiry(name, month // 12, month % 12 + 1)
            if expiry >= day:
                listed.append(_future(name, expiry, day))
        except CalendarUnknown:
            break
        month += 1
    return listed


def _future(name: str, expiry: dt.date, day: dt.date) -> Instrument:
    symbol = contracts.future_symbol(name, expiry)
    place = (expiry.year * 12 + expiry.month) * len(_INDICES) % 10_000
    place += [index for index, _, _ in _INDICES].index(name)
    try:
        freeze_qty = freeze.freeze_qty(name, day)
    except CalendarUnknown:
        freeze_qty = 0
    return Instrument(
        id=instrument_id("NFO", symbol),
        exchange="NFO",
        symbol=symbol,
        token=(_FUTURE_TOKENS_FROM + place) << 8 | _NFO,
        kind=InstrumentKind.FUTURE,
        segment=Segment.FUTURES,
        name=name,
        lot_size=contracts.lot_size(name, day),
        # Exchanges review ticks monthly on a close, not as prices move: the base level decides.
        tick_size=bands.tick_size_for(
            InstrumentKind.FUTURE, model_of(name).base, day, on_index=True
        ),
        freeze_qty=freeze_qty,
        expiry=expiry,
    )


def symbol_on(symbol: str, day: dt.date) -> str:
    """A share's symbol of today as it was on a day."""
    return "TATAMOTORS" if symbol == "TMPV" and day < _TMPV_FROM else symbol


def _share(name: str, token: int, day: dt.date) -> Instrument:
    symbol = symbol_on("TMPV", day) if name == "TATAMOTORS" else name
    return Instrument(
        id=instrument_id("NSE", symbol),
        exchange="NSE",
        symbol=symbol,
        token=token << 8 | _NSE,
        kind=InstrumentKind.EQUITY,
        segment=Segment.EQUITY_WITH_DERIVATIVES,
        name=name,
        lot_size=1,
        tick_size=bands.tick_size_for(InstrumentKind.EQUITY, model_of(name).base, day),
    )
