"""Buys when a fall has exhausted itself and sells when a rise has, as the RSI tells it.

Idea: below ``low`` almost every recent bar fell and sellers run out; when the RSI comes back over
that level the turn has begun. Enter on that bar, leave when the RSI is back at its middle, when the
stop ``stop_atr`` average true ranges away is hit, or after ``hold_minutes``, because a bounce that
does not come soon does not come. Selling is the mirror image at ``high``.
Source: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978).
Parameters: ``rsi_bars``, bars of the RSI; ``low`` and ``high``, its levels, and ``middle``, where a
trade is left; ``stop_atr``, in average true ranges of ``atr_bars`` bars; ``hold_minutes``, the longest
a trade may last; ``last_entry_before_close``, minutes before the close from which no trade is
opened; ``short``, whether it may sell first.
"""

from __future__ import annotations

import msgspec

from kitestring.core.indicators import IndicatorSpec, atr, rsi
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, exit_, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Levels of the RSI, distances in average true ranges, times in minutes."""

    rsi_bars: int = 14
    low: float = 30.0
    middle: float = 50.0
    high: float = 70.0
    atr_bars: int = 14
    stop_atr: float = 2.0
    hold_minutes: int = 60
    last_entry_before_close: int = 45
    short: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.low < self.middle < self.high < 100:
            raise ValueError("0 < low < middle < high < 100 must hold")
        if self.stop_atr <= 0 or self.hold_minutes < 1:
            raise ValueError("stop_atr must be above zero, hold_minutes at least 1")


class State(msgspec.Struct, frozen=True):
    """Which level the RSI is beyond: −1 below the low one, 1 above the high one, 0 neither."""

    beyond: int = 0


CALM = hold("RSI between its levels")
WAITING = hold("RSI beyond its level, not back yet")
IN_TRADE = hold("RSI not back at its middle")
TOO_LATE = hold("too late in the day")
LONG_ONLY = hold("long only")
DONE = exit_("RSI back at its middle")


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    """The RSI of the close and the average true range."""
    return {"rsi": rsi(params.rsi_bars), "range": atr(params.atr_bars)}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """Enter when the RSI comes back from beyond a level, leave at its middle."""
    now = -1 if i.rsi < params.low else 1 if i.rsi > params.high else 0
    came_back = state.beyond if now == 0 else 0
    if now != state.beyond:
        state = State(beyond=now)
    if i.position > 0:
        return state, (DONE if i.rsi >= params.middle else IN_TRADE)
    if i.position < 0:
        return state, (DONE if i.rsi <= params.middle else IN_TRADE)
    if not came_back:
        return state, (WAITING if now else CALM)
    if i.minute > i.session_minutes - params.last_entry_before_close:
        return state, TOO_LATE
    risk = params.stop_atr * i.range
    if came_back < 0:
        reason = "RSI rose back over its low level"
        return state, buy(reason, stop=i.close - risk, exit_after_minutes=params.hold_minutes)
    if not params.short:
        return state, LONG_ONLY
    reason = "RSI fell back under its high level"
    return state, sell(reason, stop=i.close + risk, exit_after_minutes=params.hold_minutes)
