"""The sockets in the wall: what the engine needs from the outside, as protocols.

Paper, replay and live differ in what is plugged in here (a broker, a feed, a journal) and in
nothing else. Implementations are injected; the core never imports one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.events import BrokerSnapshot, Fact
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import ExecutionReport, Product, Side
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import Command

Frame = TickFrame | BarFrame


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed says of itself before its first tick: the day, its sessions, its instruments.

    ``stand_ins`` and ``notes`` are sentences that every report repeats. ``digest`` names the exact
    content (seed and version of a synthetic day, hash of a recording), so that a resumed run knows
    it is reading the same market.
    """

    name: str
    date: dt.date
    instruments: tuple[Instrument, ...]
    sessions: dict[Segment, Session]
    digest: str
    frames_hint: int = 0
    """About how many frames the day has; for progress only, 0 if unknown."""
    rewindable: bool = True
    """Whether ``frames(after)`` can start again anywhere (recordings, synthetic days)."""
    previous_close: dict[str, Price] = msgspec.field(default_factory=dict)
    price_bands: dict[str, tuple[Price, Price]] = msgspec.field(default_factory=dict)
    """The day's lowest and highest price by instrument, as the broker quoted them; absent: not known."""
    stand_ins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Feed(Protocol):
    """A source of frames, in order of arrival."""

    @property
    def manifest(self) -> Manifest:
        """What this feed is."""
        ...

    def frames(self, after: int = 0) -> Iterator[Frame]:
        """The day's frames, without the first ``after`` of them. ``received_at`` never decreases."""
        ...

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """Up to ``bars`` closed bars from before the session, oldest first; empty if there are none."""
        ...


class Broker(Protocol):
    """Whoever carries out our commands. Commands are already on disk when they come here."""

    @property
    def next_due_at(self) -> Instant:
        """When the next report will be ready (``NEVER`` if none is on its way)."""
        ...

    def carry_out(self, command: Command, at: Instant) -> None:
        """Send one command. Raises nothing for a refusal: refusals come back as reports."""
        ...

    def observe(self, position: int, frame: Frame) -> None:
        """The market moved. ``position`` is the frame's place in the feed, for exact recovery."""
        ...

    def reports_until(self, until: Instant) -> list[tuple[Instant, ExecutionReport]]:
        """Reports due at or before ``until``, in order of arrival; each is given once."""
        ...

    def snapshot(self, at: Instant) -> BrokerSnapshot:
        """The broker's own books now."""
        ...


class MarginModel(Protocol):
    """What the broker ties up for a position; risk asks it before the broker does."""

    def unit_margin(self, instrument: Instrument, product: Product, side: Side, px: Price) -> Money:
        """Rupees per unit of quantity for a position opened by ``side`` at ``px``."""
        ...


class Commit(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One durable step of the journal.

    ``cells`` are the pieces of state that changed (``None`` removes one): folding the cells of all
    commits, last write wins, *is* the recovered state; nothing is decided again.
    """

    inbox: int
    """Number of the last inbox event this commit covers."""
    at: Instant
    feed_position: int
    """Frames of the feed taken so far."""
    tape_offset: int
    tape_hash: str
    facts: tuple[Fact, ...]
    cells: dict[str, msgspec.Raw | None]
    frame_left: int = 0
    """Ticks or bars of frame ``feed_position`` that the core had not taken yet: a commit may fall
    between the broker's sight of a frame and ours, or between the parts of one split at a timer."""


class Journal(Protocol):
    """The record of the day."""

    def commit(self, commit: Commit) -> int:
        """Make one step durable and return its number; raises ``DiskFailed`` if it cannot be."""
        ...

    def commits(self, after: int = 0) -> Iterator[tuple[int, Commit]]:
        """Every commit after the given number, verified, in order."""
        ...

    def cells(self) -> Mapping[str, bytes]:
        """The folded state: each cell as last written."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


class Tape(Protocol):
    """The append-only recording of everything that reached the inbox from feed and timers."""

    def append_frame(self, inbox: int, frame: Frame) -> None:
        """Record a frame before it is stepped."""
        ...

    def append_timer(self, inbox: int, due_at: Instant) -> None:
        """Record a timer before it is stepped."""
        ...

    def mark(self) -> tuple[int, str]:
        """Flush what is buffered; the offset and running hash a commit records."""
        ...

    def close(self) -> None:
        """Flush and let go of the file."""
        ...
