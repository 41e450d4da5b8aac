"""Rides a trend that two averages agree on, with a stop and a trail measured in average ranges.

Idea: when the fast average crosses the slow one and the crossing bar closes on the same side of
both, a trend may have begun. Enter in its direction, risk ``stop_atr`` average true ranges, and keep
a trail of ``trail_atr`` ranges behind the best close. A crossing back ends the trade before either
is touched. No entry while the market is asleep: the averages must be ``apart_atr`` ranges apart.
Source: moving-average crossing after R. D. Donchian; the stop in true ranges after J. W. Wilder,
*New Concepts in Technical Trading Systems* (1978), and C. LeBeau's chandelier exit.
Parameters: ``fast`` and ``slow``, bars of the averages; ``atr_bars``, bars of the range; ``stop_atr``,
``trail_atr`` and ``apart_atr`` in ranges; ``last_entry_before_close``, minutes before the close from
which no trade is opened; ``short``, whether it may sell first.
"""

from __future__ import annotations

import msgspec

from kitestring.core.indicators import IndicatorSpec, atr, ema
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, exit_, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bars of the averages and of the range; distances in average true ranges."""

    fast: int = 9
    slow: int = 21
    atr_bars: int = 14
    stop_atr: float = 2.0
    trail_atr: float = 3.0
    apart_atr: float = 0.1
    last_entry_before_close: int = 30
    short: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.fast < self.slow:
            raise ValueError(f"fast ({self.fast}) must be shorter than slow ({self.slow})")
        if self.stop_atr <= 0 or self.trail_atr <= 0 or self.apart_atr < 0:
            raise ValueError("stop_atr and trail_atr must be above zero, apart_atr not below it")


class State(msgspec.Struct, frozen=True):
    """Which side the fast average is on (1 above, −1 below, 0 not known), and if that was used."""

    side: int = 0
    used: bool = True
    """A crossing is traded once: a trade stopped out waits for the next one."""


NO_CROSSING = hold("no new crossing of the averages")
IN_TREND = hold("in the trend")
ASLEEP = hold("averages too close together")
TOO_LATE = hold("too late in the day")
LONG_ONLY = hold("long only")
NOT_CONFIRMED = hold("close not beyond both averages")
CROSSED_DOWN = exit_("fast average fell below the slow one")
CROSSED_UP = exit_("fast average rose above the slow one")

ABOVE = State(side=1)
BELOW = State(side=-1)
ABOVE_UNUSED = State(side=1, used=False)
BELOW_UNUSED = State(side=-1, used=False)


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    """Two averages of the close and the average true range."""
    return {"fast": ema(params.fast), "slow": ema(params.slow), "range": atr(params.atr_bars)}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """Enter once per crossing, leave on the crossing back."""
    fast, slow = i.fast, i.slow
    if fast > slow:
        if state.side != 1:
            # The side known first is not a crossing: the trend may be hours old.
            state = ABOVE_UNUSED if state.side else ABOVE
        if i.position > 0:
            return (state if state.used else ABOVE), IN_TREND
        if i.position < 0 and state.used:
            return state, CROSSED_UP
    elif fast < slow:
        if state.side != -1:
            state = BELOW_UNUSED if state.side else BELOW
        if i.position < 0:
            return (state if state.used else BELOW), IN_TREND
        if i.position > 0 and state.used:
            return state, CROSSED_DOWN
    if state.used:
        return state, NO_CROSSING
    return _entry(params, state, i)


def _entry(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """A fresh crossing: take it, wait for its confirmation, or at least leave the other side."""
    long = state.side > 0
    leave = (CROSSED_UP if long else CROSSED_DOWN) if i.position else None
    beyond = (
        min(i.close - i.fast, i.close - i.slow) if long else min(i.fast - i.close, i.slow - i.close)
    )
    if not long and not params.short:
        return BELOW, leave or LONG_ONLY
    if i.minute > i.session_minutes - params.last_entry_before_close:
        return state, leave or TOO_LATE
    if abs(i.fast - i.slow) < params.apart_atr * i.range:
        return state, leave or ASLEEP
    if beyond <= 0:
        return state, leave or NOT_CONFIRMED
    trail = params.trail_atr * i.range
    if long:
        stop = i.close - params.stop_atr * i.range
        return ABOVE, buy("fast average rose above the slow one", stop=stop, trail=trail)
    stop = i.close + params.stop_atr * i.range
    return BELOW, sell("fast average fell below the slow one", stop=stop, trail=trail)
