"""The timetable of one segment on one day: its phases, our cut-offs, and who may send what when."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import msgspec

from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Segment


class PhaseKind(StrEnum):
    """A stretch of the exchange's day; it decides which order kinds are accepted."""

    CLOSED = "closed"
    PRE_OPEN = "pre-open"
    PRE_OPEN_LIMIT_ONLY = "pre-open, limit only"
    BUFFER = "buffer"
    CONTINUOUS = "continuous"
    AUCTION_REFERENCE = "closing auction, reference price"
    AUCTION = "closing auction"
    AUCTION_LIMIT_ONLY = "closing auction, limit only"
    AUCTION_MATCH = "closing auction, matching"
    POST_CLOSE = "post-close"


class Phase(msgspec.Struct, frozen=True):
    """One stretch ``[start_at, end_at)`` of a session."""

    kind: PhaseKind
    start_at: Instant
    end_at: Instant


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One segment's day. ``open_at`` to ``close_at`` is continuous trading.

    ``entry_cutoff_at``: no new position from here on. ``square_off_at``: intraday (MIS) positions
    go flat from here on; both are the house's, earlier than the broker's, and configurable.
    """

    date: dt.date
    segment: Segment
    open_at: Instant
    close_at: Instant
    entry_cutoff_at: Instant
    square_off_at: Instant
    phases: tuple[Phase, ...]
    note: str = ""
    source: str = ""

    def phase_at(self, at: Instant) -> PhaseKind:
        """The phase at an instant; ``CLOSED`` outside every phase."""
        for phase in self.phases:
            if phase.start_at <= at < phase.end_at:
                return phase.kind
        return PhaseKind.CLOSED
