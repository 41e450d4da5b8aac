"""What the core itself must remember across a restart, besides orders, books, risk and strategies."""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.domain.instants import Instant
from kitestring.domain.money import Money

CELL: Final = "core/state"


class CoreState(msgspec.Struct, kw_only=True, array_like=True):
    """Market time, ids issued, alarms set, and why entries stop."""

    now: Instant = 0
    issued: int = 0
    untrusted: str = ""
    """Why entries stop until it is explained; empty when nothing is."""
    squared_off: list[str] = msgspec.field(default_factory=list)
    ended: bool = False
    wakes: list[Instant] = msgspec.field(default_factory=list)
    """When the core wants to be woken besides the market's own timers, as a heap."""
    next_watch: Instant = 0
    """Open positions are weighed again from here on."""
    opening_equity: Money | None = None
    """What the account was worth at the open, where the day before handed it over."""
