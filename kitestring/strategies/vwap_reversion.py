"""Trades back towards the day's average price when the market has run too far away from it.

Idea: those who must buy or sell a lot today are measured by the volume-weighted average price, so
that a price far from it meets patient orders. Wait until a bar closes ``stretch_atr`` average true
ranges away from the VWAP, then for a bar that closes in the direction back; enter there, aim for the
VWAP itself, and give up ``stop_atr`` ranges beyond the entry. Once per stretch: the next trade on
the same side needs a close on the other side of the VWAP first. Nothing is done while the VWAP is
young, late in the day, or where nothing is traded (an index has no volume and no VWAP).
Source: the VWAP as a benchmark after S. Berkowitz, D. Logue and E. Noser, "The Total Cost of
Transactions on the NYSE", Journal of Finance (1988); fading the distance to it is floor practice.
Parameters: ``stretch_atr`` and ``stop_atr``, in average true ranges of ``atr_bars`` bars;
``first_entry_minute``, minutes after the open before which no trade is opened;
``last_entry_before_close``, minutes before the close from which none is; ``short``, whether it may
sell first.
"""

from __future__ import annotations

import math

import msgspec

from kitestring.core.indicators import IndicatorSpec, atr, vwap
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, exit_, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Distances in average true ranges, times in minutes of the session."""

    stretch_atr: float = 2.5
    stop_atr: float = 1.5
    atr_bars: int = 14
    first_entry_minute: int = 30
    last_entry_before_close: int = 45
    short: bool = True

    def __post_init__(self) -> None:
        if self.stretch_atr <= 0 or self.stop_atr <= 0:
            raise ValueError("stretch_atr and stop_atr must be above zero")


class State(msgspec.Struct, frozen=True):
    """The stretch of one date: its side (1 above the VWAP, −1 below, 0 none), and if it was traded."""

    date: int = 0
    side: int = 0
    used: bool = False


NO_VOLUME = hold("no volume yet, so no VWAP")
NEAR = hold("close near the VWAP")
TURNING = hold("stretched, but no bar back yet")
TRADED = hold("this stretch was traded already")
IN_TRADE = hold("on the way back to the VWAP")
TOO_EARLY = hold("VWAP too young")
TOO_LATE = hold("too late in the day")
LONG_ONLY = hold("long only")
BACK = exit_("back at the VWAP")


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    """The day's VWAP and the average true range."""
    return {"vwap": vwap(), "range": atr(params.atr_bars)}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """Wait for a stretch, enter on the first bar back, leave at the VWAP."""
    if math.isnan(i.vwap):
        return state, NO_VOLUME
    if state.date != i.date:
        state = State(date=i.date)
    away = i.close - i.vwap
    side = 1 if away > 0 else -1
    if state.side and side != state.side:
        state = State(date=i.date)
    if i.position:
        # A position below the VWAP is long: it is back when the close is no longer below.
        return state, (BACK if i.position == side or away == 0 else IN_TRADE)
    if not state.side and abs(away) >= params.stretch_atr * i.range:
        state = State(date=i.date, side=side)
    if not state.side:
        return state, NEAR
    return _entry(params, state, i)


def _entry(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    if state.used:
        return state, TRADED
    long = state.side < 0
    if (i.close <= i.open) if long else (i.close >= i.open):
        return state, TURNING
    if i.minute < params.first_entry_minute:
        return state, TOO_EARLY
    if i.minute > i.session_minutes - params.last_entry_before_close:
        return state, TOO_LATE
    if not long and not params.short:
        return state, LONG_ONLY
    state = State(date=i.date, side=state.side, used=True)
    risk = params.stop_atr * i.range
    if long:
        return state, buy("stretched below the VWAP, bar back", stop=i.close - risk, target=i.vwap)
    return state, sell("stretched above the VWAP, bar back", stop=i.close + risk, target=i.vwap)
