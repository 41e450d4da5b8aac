"""Follows the Supertrend line: long while the close holds above it, short while it stays below.

Idea: a band of ``multiplier`` average true ranges around the middle of the bar follows the price on
one side and never backs off; a close through it says that the trend has turned. Enter on the turn
with the line as the stop, keep a trail as wide as the line was away, and turn around (or leave) when
the close breaks the line again. A turn is traded once.
Source: O. Seban's Supertrend (2008), on J. W. Wilder's average true range (1978). The line is
computed here in plain Python, as an example of an indicator of one's own; the house has the same as
``supertrend(10, 3.0)``.
Parameters: ``atr_bars``, bars of the average true range; ``multiplier``, ranges between the middle of
the bar and the line; ``last_entry_before_close``, minutes before the close from which no trade is
opened; ``short``, whether it may sell first.
"""

from __future__ import annotations

import math

import msgspec

from kitestring.core.indicators import IndicatorSpec, own
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, exit_, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bars of the range, its multiple, and the end of entries in minutes before the close."""

    atr_bars: int = 10
    multiplier: float = 3.0
    last_entry_before_close: int = 30
    short: bool = True

    def __post_init__(self) -> None:
        if self.atr_bars < 1 or self.multiplier <= 0:
            raise ValueError("atr_bars must be at least 1 and multiplier above zero")


class State(msgspec.Struct, frozen=True):
    """The trend at the last bar (1 up, −1 down, 0 not known), and whether its turn was traded."""

    trend: int = 0
    used: bool = True


class Line:
    """The Supertrend line and its trend, 1 up and −1 down, one bar at a time."""

    outputs = ("line", "trend")

    def __init__(self, bars: float, multiplier: float) -> None:
        self.bars = bars
        self.multiplier = multiplier
        self.seen = 0
        self.ranges = 0.0
        self.close = math.nan
        self.upper = math.inf
        self.lower = -math.inf
        self.trend = 1.0

    def push(
        self,
        open: float,  # noqa: A002, ARG002 - every indicator gets the whole bar
        high: float,
        low: float,
        close: float,
        volume: float,  # noqa: ARG002 - as above
    ) -> tuple[float, float]:
        """Move the bands, then see whether the close broke one."""
        before, self.close = self.close, close
        if math.isnan(before):
            return math.nan, math.nan
        true_range = max(high, before) - min(low, before)
        self.seen += 1
        if self.seen < self.bars:
            self.ranges += true_range
            return math.nan, math.nan
        if self.seen == self.bars:
            average = (self.ranges + true_range) / self.bars
        else:
            average = (self.ranges * (self.bars - 1) + true_range) / self.bars
        self.ranges = average
        middle, width = (high + low) / 2, self.multiplier * average
        if middle + width < self.upper or before > self.upper:
            self.upper = middle + width
        if middle - width > self.lower or before < self.lower:
            self.lower = middle - width
        if close > self.upper:
            self.trend = 1.0
        elif close < self.lower:
            self.trend = -1.0
        return (self.lower if self.trend > 0 else self.upper), self.trend


NO_TURN = hold("no new turn of the trend")
IN_TREND = hold("in the trend")
TOO_LATE = hold("too late in the day")
LONG_ONLY = hold("long only")
TURNED_DOWN = exit_("close fell through the Supertrend line")
TURNED_UP = exit_("close rose through the Supertrend line")


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    """The line, from as many bars as its average true range takes, and better from many more."""
    bars = params.atr_bars
    return {"st": own(Line, bars, params.multiplier, history=bars, settle=10 * bars)}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """Enter on the turn, ride the trend, turn with it."""
    trend = 1 if i.st_trend > 0 else -1
    if trend != state.trend:
        # The trend known first is not a turn: it may be hours old.
        state = State(trend=trend, used=state.trend == 0)
    if i.position == trend:
        return State(trend=trend), IN_TREND
    leave = (TURNED_UP if trend > 0 else TURNED_DOWN) if i.position else None
    if state.used:
        return state, leave or NO_TURN
    if i.minute > i.session_minutes - params.last_entry_before_close:
        return state, leave or TOO_LATE
    taken, away = State(trend=trend), abs(i.close - i.st_line)
    if trend > 0:
        return taken, buy("close rose through the Supertrend line", stop=i.st_line, trail=away)
    if not params.short:
        return taken, leave or LONG_ONLY
    return taken, sell("close fell through the Supertrend line", stop=i.st_line, trail=away)
