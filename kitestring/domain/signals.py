"""What a strategy says at the close of a bar: BUY, SELL, EXIT or HOLD, always with a reason."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kitestring.domain.ids import InstrumentId, SignalId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price


class Action(StrEnum):
    """The four words a strategy knows."""

    BUY = "BUY"
    SELL = "SELL"
    EXIT = "EXIT"
    HOLD = "HOLD"


class Decision(msgspec.Struct, frozen=True, gc=False):
    """A strategy's answer, in rupees and floats, before the house rounds it to the tick.

    ``stop`` and ``target`` are price levels; ``trail`` is a distance in rupees kept behind the best
    close since entry; ``exit_after_minutes`` a time stop. ``None`` means the strategy has none.
    """

    action: Action
    reason: str
    stop: float | None = None
    target: float | None = None
    trail: float | None = None
    exit_after_minutes: int | None = None


def buy(
    reason: str,
    *,
    stop: float | None = None,
    target: float | None = None,
    trail: float | None = None,
    exit_after_minutes: int | None = None,
) -> Decision:
    """Be long."""
    return Decision(Action.BUY, reason, stop, target, trail, exit_after_minutes)


def sell(
    reason: str,
    *,
    stop: float | None = None,
    target: float | None = None,
    trail: float | None = None,
    exit_after_minutes: int | None = None,
) -> Decision:
    """Be short."""
    return Decision(Action.SELL, reason, stop, target, trail, exit_after_minutes)


def exit_(reason: str) -> Decision:
    """Be flat."""
    return Decision(Action.EXIT, reason)


def hold(reason: str) -> Decision:
    """Change nothing. Build it once at module level where the reason is fixed: most bars are HOLD."""
    return Decision(Action.HOLD, reason)


class Signal(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="signal"):
    """A decision with its place in the day: who, on which bar, for which instrument to trade."""

    signal_id: SignalId
    strategy: StrategyId
    source: InstrumentId
    """The instrument whose bar was read."""
    instrument: InstrumentId
    """The instrument to be traded."""
    action: Action
    reason: str
    bar_close_at: Instant
    at: Instant
    reference_px: Price
    """Last price of the traded instrument when the signal was made."""
    stop_px: Price | None = None
    target_px: Price | None = None
    trail_by: Price | None = None
    exit_at: Instant | None = None
