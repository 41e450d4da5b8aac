"""What a market-data feed says of itself: where it stands, which ticks are missing, who has gone quiet."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from kitestring.domain.events import Gap
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant

Now = Callable[[], Instant]
"""A clock: the wall's, or in a rehearsal the exchange's."""


class FeedState(StrEnum):
    """How far a connection has come; only ``FLOWING`` is good enough to open a position on."""

    CONNECTING = "connecting"
    SUBSCRIBED = "subscribed"
    """Asked for its instruments; no fresh tick has proved yet that it gets them."""
    FLOWING = "flowing"
    SILENT = "silent"
    """Nothing comes any more, or nothing fresh: it is about to be connected anew."""
    DOWN = "down"


_WORST_FIRST = (
    FeedState.DOWN,
    FeedState.SILENT,
    FeedState.CONNECTING,
    FeedState.SUBSCRIBED,
    FeedState.FLOWING,
)


def worst(states: list[FeedState]) -> FeedState:
    """The state of a feed of several connections: that of its worst."""
    return min(states, key=_WORST_FIRST.index, default=FeedState.DOWN)


class StateChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A connection's state is another one now. ``token_dead``: it waits for a new login."""

    line: int
    state: FeedState
    at: Instant
    why: str = ""
    token_dead: bool = False


class InstrumentsQuiet(msgspec.Struct, frozen=True, kw_only=True):
    """Some instruments have not ticked for long, or (``again``) tick again."""

    at: Instant
    quiet: tuple[InstrumentId, ...] = ()
    again: tuple[InstrumentId, ...] = ()


TickerEvent = StateChanged | InstrumentsQuiet | Gap


class TickerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a ticker behaves. Seconds are the machine's own, not the exchange's."""

    ws_root: str
    """Checked where settings are read: Kite's own address over TLS, or this machine."""
    api_key: str
    user_id: str = ""
    """Only Zerodha's sandbox asks for it."""
    connect_timeout_s: float = 10.0
    """From the first packet to the last subscription sent."""
    silent_s: float = 5.0
    """Nothing for so long, not even a heartbeat, is a dead connection."""
    ticks_silent_s: float = 10.0
    """Heartbeats but no fresh tick for so long, while the market is open, is one too. Doubled each
    time a new connection did not cure it, because a quiet instrument looks the same."""
    fresh_s: float = 5.0
    """A tick not older than this (by the exchange's clock) proves that ticks flow."""
    quiet_s: float = 60.0
    """An instrument that has not ticked for so long is reported."""
    backoff_first_s: float = 0.5
    backoff_max_s: float = 30.0
    instruments_per_line: int = 3_000
    lines_max: int = 3
    message_max_bytes: int = 4 << 20
