"""Bars (candles): open, high, low, close and volume of one stretch of the session.

A bar covers ``[open_at, close_at)``; it is anchored to the session's open, so that the first
15-minute bar of NSE runs from 09:15 to 09:30. Only closed bars are ever shown to a strategy.
"""

from __future__ import annotations

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price

DAY_BAR = 0
"""The timeframe, in minutes, that stands for the whole session."""
TIMEFRAMES = (1, 3, 5, 10, 15, 30, 60, DAY_BAR)
"""The timeframes of the house, in minutes; 0 is the day."""


class Bar(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="bar"):
    """One closed bar. ``minutes`` is its timeframe; ``incomplete`` marks ticks known to be missing."""

    instrument: InstrumentId
    minutes: int
    open_at: Instant
    close_at: Instant
    open: Price
    high: Price
    low: Price
    close: Price
    volume: int = 0
    incomplete: bool = False


class BarFrame(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="bars"):
    """Recorded 1-minute bars that close at the same instant, from a feed that has no ticks."""

    received_at: Instant
    bars: tuple[Bar, ...]


def bar_fault(bar: Bar) -> str | None:
    """Why a bar cannot be true, or ``None``; feeds check what they import with it."""
    if bar.low <= Price(0):
        return f"low {bar.low} is not above zero"
    if not (bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high):
        return "open and close must lie between low and high"
    if bar.volume < 0:
        return "volume is negative"
    return "closes before it opens" if bar.close_at <= bar.open_at else None
