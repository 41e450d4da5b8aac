"""Buys a close above everything of the last bars, sells one below, and leaves by a shorter channel.

Idea: a price that nobody paid in the last ``entry_bars`` bars needs a reason, and reasons last. Enter
on the close beyond the channel of the bars before, risk ``stop_atr`` average true ranges, and leave
on a close beyond the opposite side of the shorter channel of ``exit_bars``. There is no target: the
few long trades pay for the many short ones.
Source: R. D. Donchian's four-week rule (1960), in the form of the Turtles' first system as told by
C. Faith, *Way of the Turtle* (2007).
Parameters: ``entry_bars`` and ``exit_bars``, lengths of the two channels; ``stop_atr``, in average
true ranges of ``atr_bars`` bars; ``last_entry_before_close``, minutes before the close from which no
trade is opened; ``short``, whether it may sell first.
"""

from __future__ import annotations

import msgspec

from kitestring.core.indicators import IndicatorSpec, atr, donchian
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, exit_, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bars of the channels and of the range, the stop in average true ranges."""

    entry_bars: int = 20
    exit_bars: int = 10
    atr_bars: int = 20
    stop_atr: float = 2.0
    last_entry_before_close: int = 45
    short: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.exit_bars <= self.entry_bars:
            raise ValueError("2 <= exit_bars <= entry_bars must hold")
        if self.stop_atr <= 0:
            raise ValueError("stop_atr must be above zero")


class State(msgspec.Struct, frozen=True):
    """The channels as they stood before this bar, in rupees; a bar cannot break its own channel."""

    known: bool = False
    upper: float = 0.0
    lower: float = 0.0
    exit_upper: float = 0.0
    exit_lower: float = 0.0


FIRST = hold("no channel of the bars before yet")
INSIDE = hold("close inside the channel")
IN_TRADE = hold("close inside the exit channel")
TOO_LATE = hold("too late in the day")
LONG_ONLY = hold("long only")
FELL_OUT = exit_("close below the exit channel")
ROSE_OUT = exit_("close above the exit channel")


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    """Two channels of highs and lows and the average true range."""
    return {
        "entry": donchian(params.entry_bars),
        "exit": donchian(params.exit_bars),
        "range": atr(params.atr_bars),
    }


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """Compare the close with the channels of the bars before it."""
    now = State(
        known=True,
        upper=i.entry_upper,
        lower=i.entry_lower,
        exit_upper=i.exit_upper,
        exit_lower=i.exit_lower,
    )
    if not state.known:
        return now, FIRST
    if i.position > 0:
        return now, (FELL_OUT if i.close < state.exit_lower else IN_TRADE)
    if i.position < 0:
        return now, (ROSE_OUT if i.close > state.exit_upper else IN_TRADE)
    if state.lower <= i.close <= state.upper:
        return now, INSIDE
    if i.minute > i.session_minutes - params.last_entry_before_close:
        return now, TOO_LATE
    risk = params.stop_atr * i.range
    if i.close > state.upper:
        return now, buy("close above the channel", stop=i.close - risk)
    if not params.short:
        return now, LONG_ONLY
    return now, sell("close below the channel", stop=i.close + risk)
