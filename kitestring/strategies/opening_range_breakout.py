"""Trades the first close outside the range of the session's first minutes, once each way at most.

Idea: the first minutes gather the night's orders; a close beyond their high or low says which side
won. Enter on that close, stop on the far side of the range or at its middle, aim for a multiple of
the risk, and be out before the close of the day. A range that is very narrow or very wide against
the average true range is left alone: the first breaks by noise, the second has no room left. On a
day without warm-up bars that range is not known in time, and no break is left alone for it.
Source: T. Crabel, *Day Trading with Short Term Price Patterns and Opening Range Breakout* (1990).
Parameters: ``range_minutes``, length of the opening range; ``stop_at_middle``, stop at the middle of
the range rather than at its far side; ``target_r``, target in multiples of the risk (0 for none);
``narrowest_atr`` and ``widest_atr``, limits of the range in average true ranges of ``atr_bars`` bars;
``last_entry_minute``, minutes after the open from which no trade is opened; ``short``, whether it
may sell first.
"""

from __future__ import annotations

import msgspec

from kitestring.core.indicators import IndicatorSpec, atr
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Minutes of the range and of the last entry; distances in risks and average true ranges."""

    range_minutes: int = 15
    stop_at_middle: bool = False
    target_r: float = 2.0
    atr_bars: int = 14
    narrowest_atr: float = 0.5
    widest_atr: float = 12.0
    last_entry_minute: int = 240
    short: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.range_minutes < self.last_entry_minute:
            raise ValueError("range_minutes must be above zero and below last_entry_minute")
        if self.target_r < 0 or not 0 <= self.narrowest_atr < self.widest_atr:
            raise ValueError("0 <= target_r and 0 <= narrowest_atr < widest_atr must hold")


class State(msgspec.Struct, frozen=True):
    """The opening range of one date so far, and which ways it was traded."""

    date: int = 0
    bars: int = 0
    high: float = 0.0
    low: float = 0.0
    sound: bool = False
    """Every bar of it was seen, whole: a range joined late is not the opening range."""
    formed: bool = False
    went_long: bool = False
    went_short: bool = False


GATHERING = hold("opening range is still forming")
NO_RANGE = hold("the opening range was not seen whole")
NARROW = hold("opening range too narrow")
WIDE = hold("opening range too wide")
INSIDE = hold("close inside the opening range")
IN_TRADE = hold("in a trade")
TOO_LATE = hold("too late in the day")
TRADED = hold("this side was traded already")
LONG_ONLY = hold("long only")


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    """The average true range, where it is known; the opening range is remembered in ``State``."""
    return {"range": atr(params.atr_bars).if_known()}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """Gather the range, then wait for a close outside it."""
    if not state.formed or state.date != i.date:
        state = _gather(params, state, i)
        if not state.formed:
            return state, GATHERING
    if not state.sound:
        return state, NO_RANGE
    if i.position:
        return state, IN_TRADE
    if i.minute > params.last_entry_minute:
        return state, TOO_LATE
    if state.low <= i.close <= state.high:
        return state, INSIDE
    width = state.high - state.low
    if width < params.narrowest_atr * i.range:
        return state, NARROW
    if width > params.widest_atr * i.range:
        return state, WIDE
    return _break_out(params, state, i)


def _gather(params: Params, state: State, i: Inputs) -> State:
    if state.date != i.date:
        state = State(date=i.date, high=i.high, low=i.low, sound=True)
    sound = state.sound and i.bars_today == state.bars + 1
    if i.minute > params.range_minutes:
        return msgspec.structs.replace(state, formed=True, sound=sound and state.bars > 0)
    return State(
        date=i.date,
        bars=i.bars_today,
        high=max(state.high, i.high),
        low=min(state.low, i.low),
        sound=sound and not i.incomplete,
    )


def _break_out(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    middle = (state.high + state.low) / 2
    if i.close > state.high:
        if state.went_long:
            return state, TRADED
        stop = middle if params.stop_at_middle else state.low
        target = i.close + params.target_r * (i.close - stop) if params.target_r else None
        state = msgspec.structs.replace(state, went_long=True)
        return state, buy("close above the opening range", stop=stop, target=target)
    if state.went_short:
        return state, TRADED
    if not params.short:
        return state, LONG_ONLY
    stop = middle if params.stop_at_middle else state.high
    target = i.close - params.target_r * (stop - i.close) if params.target_r else None
    state = msgspec.structs.replace(state, went_short=True)
    return state, sell("close below the opening range", stop=stop, target=target)
