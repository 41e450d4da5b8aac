"""The pump of the day: takes frame after frame when its time has come and shows it to everybody, in order.

First the floor (orders may trade), then the board (quotes), then the order desk (what became of orders), and
only then the listeners (sockets, postbacks): an order update never overtakes the market that caused
it. Between frames it wakes for what is due at the desk. After the last frame prices stand still and
orders, quotes and sockets go on.

Nothing here keeps the loop for long: large frames are taken in by slices, and a day that has to catch up
(after a jump) gives way after every event and tells the sockets of many frames at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np

from kitestring.domain.errors import FeedError
from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.ports import Frame
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.depth import Ints
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.step_gate import StepGate

_SLICE: Final = 1_000
"""So many ticks are taken in before others have their turn."""
_LATE_S: Final = 0.5
"""A market so far behind its clock tells the sockets of several frames at once."""
_TELLING_S: Final = 0.05
"""How often it still tells them then."""
_NOTHING: Final[Ints] = np.zeros(0, dtype=np.int64)


class MarketSource(Protocol):
    """Where frames come from: a synthetic day or a tape."""

    def frames(self, after: int = 0) -> Iterator[Frame]:
        """The day's frames, without the first ``after`` of them."""
        ...


class Floor(Protocol):
    """Where orders are matched."""

    def observe(self, position: int, frame: TickFrame) -> None:
        """The market moved; ``position`` counts the frames from 1."""
        ...


class OrderUpdate(Protocol):
    """Something that became of an order."""

    @property
    def row(self) -> Mapping[str, object]:
        """The order as a WebSocket update and a postback show it, signed."""
        ...

    @property
    def to_postback(self) -> bool:
        """Whether the app that listens for postbacks has placed it."""
        ...


class Desk(Protocol):
    """Where orders live."""

    @property
    def next_due_at(self) -> Instant:
        """When something will be due; ``NEVER`` if nothing is."""
        ...

    def advance(self, now: Instant) -> Sequence[OrderUpdate]:
        """Everything that became of orders up to now, each told once."""
        ...


class Happening(msgspec.Struct, frozen=True):
    """What one event of the day brought."""

    number: int
    at: Instant
    rows: Ints
    """Rows of the board that changed."""
    updates: Sequence[OrderUpdate]


class Listener(Protocol):
    """Who is told of every event."""

    async def announce(self, happening: Happening) -> None:
        """Something happened; whoever has much to do lets others have their turn."""
        ...

    async def taken(self) -> None:
        """Return when there is room for more: under ``max`` the day goes as fast as its listeners."""
        ...


class Pump:
    """Drives one day. ``run`` returns only by cancellation or by an error of the market itself."""

    def __init__(
        self,
        source: MarketSource,
        floor: Floor,
        board: MarketBoard,
        desk: Desk,
        clock: ExchangeClock,
        *,
        after: int = 0,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self.listeners = list(listeners)
        self.gate = StepGate(clock.stir)
        self.position = after
        """Frames shown so far, those of before a restart included."""
        self.retouch: Callable[[TickFrame], TickFrame] | None = None
        """What becomes of every frame before anybody sees it: faults of the market itself."""
        self.ended = False
        """Whether the last frame has been shown."""
        self._floor = floor
        self._board = board
        self._desk = desk
        self._clock = clock
        self._frames = source.frames(after)
        self._next: TickFrame | None = None
        self._inserted: list[TickFrame] = []
        self._untold: list[Ints] = []
        self._told_at = 0.0
        self._take_next()

    def insert(self, ticks: Sequence[Tick]) -> None:
        """Let the market say something it would not have said, now: the admin moves a price."""
        self._inserted.append(TickFrame(self._clock.now(), tuple(ticks)))
        self.stir()

    def stir(self) -> None:
        """Something is due earlier than before: an order was placed, changed or cancelled."""
        self._clock.stir()

    async def run(self) -> None:
        """Drive the day until cancelled."""
        clock, desk = self._clock, self._desk
        in_vain: Instant = 0
        while True:
            frame = self._inserted[0] if self._inserted else self._next
            frame_at = frame.received_at if frame is not None else NEVER
            due_at = desk.next_due_at
            if due_at <= in_vain:  # It waits for the market, not for the clock.
                due_at = NEVER
            at = min(frame_at, due_at)
            stepping = clock.speed == "step"
            if stepping:
                at = min(at, max(self.gate.wake_at, clock.now()))
            if self._untold and clock.aim() < at:
                await self._tell(clock.now(), ())
            if stepping and not self.gate.open:
                await clock.changed()
                continue
            if not await clock.reach(at):
                continue
            if self._inserted and frame is not self._inserted[0]:
                continue  # Something was said while the time of this frame was awaited: it is first.
            if stepping:
                self.gate.reached(at)
                if at < frame_at and at < due_at:  # Somebody's timer, and nothing else.
                    await self._announce(at, _NOTHING, ())
                    continue
            if frame is not None and frame_at <= due_at:
                in_vain = 0
                await self._show(frame, frame_at)
            else:
                updates = desk.advance(due_at)
                # In steps also what is pushed to nobody is an event: a client may ask after it.
                if updates or stepping:
                    await self._announce(due_at, _NOTHING, updates)
                if not updates and desk.next_due_at <= due_at:
                    in_vain = due_at
            if clock.speed == "max":
                for listener in self.listeners:
                    await listener.taken()
            await asyncio.sleep(0)

    def _take_next(self) -> None:
        frame = next(self._frames, None)
        if frame is not None and not isinstance(frame, TickFrame):
            raise FeedError(
                "The exchange shows ticks, and this market has bars.",
                do="choose a tape of ticks, or the synthetic market",
            )
        self._next = frame
        self.ended = frame is None
        self._clock.hold(frame.received_at if frame is not None else NEVER)

    async def _show(self, frame: TickFrame, at: Instant) -> None:
        inserted = frame is not self._next
        if self.retouch is not None:
            frame = self.retouch(frame)
        self.position += 1
        self._floor.observe(self.position, frame)
        ticks, changed = frame.ticks, []
        for first in range(0, len(ticks), _SLICE):
            if first:
                await asyncio.sleep(0)
            changed.append(self._board.apply_ticks(ticks[first : first + _SLICE]))
        rows = changed[0] if len(changed) == 1 else np.unique(np.concatenate([_NOTHING, *changed]))
        await self._announce(at, rows, self._desk.advance(at))
        if inserted:
            self._inserted.pop(0)
        else:
            self._take_next()

    async def _announce(self, at: Instant, rows: Ints, updates: Sequence[OrderUpdate]) -> None:
        """Tell the listeners; ticks of a market that is catching up are told together."""
        self._untold.append(rows)
        if not updates and self._clock.behind_s(at) > _LATE_S:
            loop_at = asyncio.get_running_loop().time()
            if loop_at < self._told_at + _TELLING_S:
                return
            self._told_at = loop_at
        await self._tell(at, updates)

    async def _tell(self, at: Instant, updates: Sequence[OrderUpdate]) -> None:
        untold, self._untold = self._untold, []
        rows = untold[0] if len(untold) == 1 else np.unique(np.concatenate([_NOTHING, *untold]))
        self.gate.shown += 1
        happening = Happening(self.gate.shown, at, rows, updates)
        for listener in self.listeners:
            await listener.announce(happening)
