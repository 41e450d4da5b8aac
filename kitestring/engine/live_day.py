"""The live day's loop: what the network, the clock and the operator bring goes through one inbox.

Network tasks never touch the core. They put what they heard here and the loop takes one thing at a
time: number, tape, step, journal, carry out, exactly as on paper (``engine.day_steps``). Bars close
by the clock, ``bar_grace`` after their end, so that ticks on their way still land in their own bar.

The law: a frame that waits is taken before any timer that came due after its arrival, so a slow
moment of the machine never makes a tick late that was not; and a task that fails says so here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Final, Protocol

from kitestring.broker.others_trades import TRADE_OF_OTHERS
from kitestring.broker.ticker_events import FeedState
from kitestring.core.reconciler import lacking
from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import (
    BrokerSnapshot,
    Gap,
    HistoryLoaded,
    Note,
    OperatorCommand,
    OperatorWord,
    OvernightStop,
    Resolution,
    SessionEnded,
)
from kitestring.domain.instants import NEVER, SECOND, Instant, ist_clock
from kitestring.domain.orders import ExecutionReport
from kitestring.domain.ports import Broker, Journal, Tape
from kitestring.domain.sessions import PhaseKind
from kitestring.domain.ticks import TickFrame
from kitestring.engine.day_steps import SNAPSHOT_EVERY, DaySteps, Follower
from kitestring.engine.leaving import unsettled
from kitestring.engine.replay import LIVE_NOTE

TURN_S: Final = 0.02
"""How long the loop may take from a full inbox before the network tasks have a turn."""
TURNS_TO_LEAVE: Final = 2
"""A request that was just begun is on the wire after so many turns of the loop."""
LOOK_EVERY: Final = 60 * SECOND
"""How often the broker's books are read and compared although nothing of ours is open."""
LOOK_WHILE_OPEN: Final = 15 * SECOND
"""The same while we hold something or an order of ours works."""
LOOK_BEFORE: Final = 5 * SECOND
"""So long before a square-off the books are read once more."""
LOOK_AGAIN: Final = 5 * SECOND
"""After books that could not be read."""
UNREAD_AGAIN: Final = 60 * SECOND
"""While they cannot be read for the same reason, it is said so often; another reason at once."""
OLD_AFTER: Final = 45 * SECOND
"""Books that could not be read for so long are not believed: entries wait."""
FIRST_LOOK_S: Final = 5.0
"""How long a house that is started again waits for books it can believe before it sends anything."""
FIRST_LOOK_AGAIN_S: Final = 0.3
"""Between two looks while it waits."""
SILENT_AFTER: Final = 15 * SECOND
"""No frame for so long, while a market trades, is a silence: said, and a gap when ticks return."""
LAST_WORDS: Final = 10 * SECOND
"""After the close: what the broker still has to say of orders that lapsed with the day."""
FLATTEN_WITHIN: Final = 120 * SECOND
"""How long a stop with ``flatten`` waits for the exits before it hands over loudly."""
CALM_WITHIN: Final = 10 * SECOND
"""How long a stop that leaves everything protected waits for entries to be withdrawn."""
FEED_AGAIN_S: Final = 5.0
"""After a feed that broke: the pause before it is begun again."""

Heard = TickFrame | Gap | HistoryLoaded | Note | OvernightStop | OperatorCommand | BrokerSnapshot
"""What may lie in the inbox; reports are fetched from the broker, timers are the clock's."""


class LiveClock(Protocol):
    """The wall's time, or in a rehearsal the exchange's."""

    def now(self) -> Instant:
        """This moment; never goes back."""
        ...

    async def wait_until(self, at: Instant) -> None:
        """Return once it is ``at``."""
        ...


class LiveFeed(Protocol):
    """Market data as it arrives."""

    @property
    def status(self) -> FeedState:
        """How far it has come; only ``FLOWING`` is good enough to enter on."""
        ...

    def live_frames(self) -> AsyncIterator[TickFrame | Gap | Note]:
        """Frames stamped on arrival, and what is known to be missing between them."""
        ...


class LiveBroker(Broker, Protocol):
    """A broker that is asked over a network; ``Broker`` is how the loop speaks to it."""

    def notes(self) -> list[Note]:
        """What a person should read and no report can say; each is given once."""
        ...

    async def refresh(self) -> str:
        """Read the books whole for the next ``snapshot``; why that failed, or nothing."""
        ...


class LiveDay(DaySteps):
    """Drives a core through a day that happens now."""

    def __init__(
        self,
        core: TradingCore,
        *,
        feed: LiveFeed,
        broker: LiveBroker,
        journal: Journal,
        tape: Tape,
        clock: LiveClock,
        follower: Follower,
        inbox: int = 0,
        feed_position: int = 0,
        heard: Iterable[ExecutionReport] = (),
        silent_after: Instant = SILENT_AFTER,
    ) -> None:
        self._silent_after = silent_after
        super().__init__(
            core,
            broker=broker,
            journal=journal,
            tape=tape,
            follower=follower,
            inbox=inbox,
            feed_position=feed_position,
            heard=heard,
        )
        self._live_feed = feed
        self._live_broker = broker
        self._clock = clock
        self._waiting: deque[Heard] = deque()
        self._awake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: tuple[Instant, asyncio.Task[None]] | None = None
        self._looking = False
        self._looked_at: Instant = 0
        self._next_look: Instant = 0
        self._compared_at: Instant = 0
        self._unread: tuple[str, Instant] = ("", 0)
        """Why the books were not read, as it was last said, and when."""
        self._last_frame_at: Instant = 0
        self._silent = False
        self._flat_by: Instant = NEVER
        self._calm_by: Instant = NEVER
        self.closes_at = max(session.close_at for session in core.sessions.values())

    # ── from outside ─────────────────────────────────────────────────────────────────────────

    def hear(self, heard: Heard) -> None:
        """Put something into the inbox; returns at once. For tasks of the running loop."""
        self._waiting.append(heard)
        self._awake.set()

    def wake(self) -> None:
        """The broker has something to say."""
        self._awake.set()

    def order(
        self,
        word: OperatorWord,
        reason: str,
        *,
        instrument: str = "",
        resolution: Resolution | None = None,
    ) -> OperatorCommand:
        """A person's command, taken in its turn; ``waits`` says whether it was."""
        command = OperatorCommand(
            at=self._clock.now(),
            word=word,
            reason=reason,
            instrument=instrument,
            resolution=resolution,
        )
        self.hear(command)
        return command

    def waits(self, heard: Heard) -> bool:
        """Whether something heard has not been taken yet."""
        return any(each is heard for each in self._waiting)

    @property
    def inbox_length(self) -> int:
        """How much has been heard and not been taken yet."""
        return len(self._waiting)

    def now(self) -> Instant:
        """What time it is at the exchange."""
        return self._clock.now()

    @property
    def feed_state(self) -> FeedState:
        """How far the feed has come."""
        return self._live_feed.status

    def stop(
        self, *, flatten: bool = False, withdraw: bool = False, within: Instant = FLATTEN_WITHIN
    ) -> None:
        """Stop: at once, with ``withdraw`` once no entry rests, with ``flatten`` once all is flat.

        However that goes, after ``within``.
        """
        now = self._clock.now()
        if flatten:
            self._flat_by = now + within
            self.order(OperatorWord.FLATTEN, "stop with flatten")
        elif withdraw:
            self._calm_by = now + min(within, CALM_WITHIN)
            self.order(OperatorWord.DISARM, "The house is being stopped: no entries any more.")
        else:
            self.stopping = True
            self.wake()

    # ── the loop ─────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Trade until the session has ended and the broker fell silent, or until stopped."""
        self._last_frame_at = self._clock.now()
        self._begin(self._read_feed())
        try:
            await self._live()
            if self.stopping:
                self.interrupted = True
            else:
                await self._end()
        finally:
            for task in tuple(self._tasks):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            if self._alarm is not None:
                self._alarm[1].cancel()
        self._follower.passing(self.core.state.now, self.feed_position)

    async def look_at_the_books(self) -> str:
        """Read the broker's books now and tell the core; why that failed, or nothing."""
        why = await self._live_broker.refresh()
        if why:
            self.note(f"{LIVE_NOTE}books", f"The broker's books could not be read: {why}.")
        # Also where they could not: then the core hears that it may believe nothing.
        self._compare()
        self._next_look = self._clock.now() + (LOOK_AGAIN if why else SNAPSHOT_EVERY)
        return why

    async def look_before_sending(self, within_s: float = FIRST_LOOK_S) -> None:
        """After a restart: agree with the broker's books before anything of ours is heard or sent.

        What others closed meanwhile is booked before we hear that our stop is gone: the other way
        round it would be sent again over nothing. What our own reports explain waits for them.
        Where the books cannot be read it goes on after ``within_s``: exits are never blocked.
        """
        loop = asyncio.get_running_loop()
        over_s = loop.time() + within_s
        while True:
            why = await self._read_within(over_s - loop.time())
            lacks = False
            if not why:
                snapshot = self._live_broker.snapshot(self._clock.now())
                why = "" if snapshot.trusted else snapshot.why
                if snapshot.trusted and (lacks := self._lacks(snapshot)):
                    self.tell(snapshot)
                    lacks = self._lacks(snapshot)
            if not (why or lacks):
                break
            if loop.time() + FIRST_LOOK_AGAIN_S >= over_s:
                what = f"were not read ({why.rstrip('.')})" if why else "differ from ours"
                sentence = (
                    f"Started again, and in {within_s:g} s the broker's books {what}: "
                    "what is open is protected by our own record until they agree."
                )
                # By the clock: the house's own time still stands where it ended.
                at = self._clock.now()
                self.record(Note(at=at, kind=f"{LIVE_NOTE}books", sentence=sentence))
                break
            await asyncio.sleep(FIRST_LOOK_AGAIN_S)
        # Only now what was heard of our orders since; and the same books beside it.
        self._compare()
        self._next_look = self._clock.now() + SNAPSHOT_EVERY

    async def _read_within(self, seconds: float) -> str:
        """Read the books; why that failed, or nothing."""
        try:
            async with asyncio.timeout(seconds):
                return await self._live_broker.refresh()
        except TimeoutError:
            return "no answer in time"

    def _lacks(self, snapshot: BrokerSnapshot) -> bool:
        """Whether a position of ours is not all there, which is neither explained nor frozen yet."""
        core, view = self.core, self.core.view.state
        missing = lacking(snapshot, core.orders, core.portfolio, view.carried)
        return bool(missing - set(view.frozen))

    async def _live(self) -> None:
        over_at = self.closes_at + LAST_WORDS
        loop = asyncio.get_running_loop()
        turn_ends = loop.time() + TURN_S
        while not self.stopping:
            if self._waiting:
                self._take(self._waiting.popleft())
                if loop.time() < turn_ends:
                    continue
                await asyncio.sleep(0)
                self._follower.passing(self._clock.now(), self.feed_position)
            else:
                self._awake.clear()
                now = self._clock.now()
                self._take_due(now)
                if now >= over_at:
                    return
                if not self._waiting and not self.stopping:
                    for _ in range(TURNS_TO_LEAVE):
                        await asyncio.sleep(0)
                    # Files and screen now, when nothing waits: not between a tick and its order.
                    self._follower.passing(self._clock.now(), self.feed_position)
                    await self._sleep(over_at)
            turn_ends = loop.time() + TURN_S

    def _take(self, heard: Heard) -> None:
        if isinstance(heard, TickFrame):
            self._take_live_frame(heard)
            return
        self._catch_up(-1, self._clock.now())
        if isinstance(heard, Note | OvernightStop):
            self.record(heard)
            return
        self.tell(heard)
        if isinstance(heard, Gap):
            self._next_look = 0  # What happened meanwhile is in the broker's books.

    def _take_live_frame(self, frame: TickFrame) -> None:
        at, last = frame.received_at, self._last_frame_at
        if at - last >= self._silent_after and self._trades(at) and self._trades(last):
            self.tell(Gap(start_at=last, end_at=at, reason="the feed was silent"))
        self._last_frame_at = max(last, at)
        self._silent = False
        # What came due before this frame came in is taken first, however late we are.
        self._catch_up(at - 1, at - 1)
        self.take_frame(frame)

    def _take_due(self, now: Instant) -> None:
        """Nothing waits: the broker's words and the clock's timers up to this moment."""
        self._catch_up(now, now)
        for note in self._live_broker.notes():
            self.record(Note(at=note.at, kind=f"{LIVE_NOTE}{note.kind}", sentence=note.sentence))
            if note.kind == TRADE_OF_OTHERS:
                self._next_look = now
        quiet_since = self._quiet_since()
        if now - quiet_since >= self._silent_after and not self._silent and self._trades(now):
            self._silent = True
            since = ist_clock(quiet_since)
            self.note(f"{LIVE_NOTE}silence", f"No tick since {since}; nothing is entered on it.")
        if now >= self._next_look:
            self._look_at_the_books(now)
        if self._flat_by < NEVER:
            self._flat_yet(now)
        if self._calm_by < NEVER:
            self._calm_yet(now)

    def _flat_yet(self, now: Instant) -> None:
        flat = not self.core.portfolio.open_by_instrument and not any(
            self.core.orders.all_working()
        )
        if flat or now >= self._flat_by:
            if not flat:
                self.note(
                    f"{LIVE_NOTE}not flat",
                    "Stopped, but NOT flat: see what is open and close it at the broker.",
                )
            self.stopping = True

    def _calm_yet(self, now: Instant) -> None:
        waits = unsettled(self.core)
        if not waits or now >= self._calm_by:
            if waits:
                self.note(f"{LIVE_NOTE}not flat", f"Stopped before it was settled: {waits}.")
            self.stopping = True

    async def _sleep(self, over_at: Instant) -> None:
        """Until something is heard, or the clock reaches what is due next."""
        due = min(
            self.core.next_due_at, self._broker.next_due_at, over_at, self._flat_by, self._calm_by
        )
        if not self._looking:  # The look that is under way wakes us by itself.
            due = min(due, self._next_look)
        if not self._silent and self._trades(self._clock.now()):
            due = min(due, self._quiet_since() + self._silent_after)
        if self._alarm is None or self._alarm[1].done() or self._alarm[0] > due:
            if self._alarm is not None:
                self._alarm[1].cancel()
            self._alarm = (due, asyncio.get_running_loop().create_task(self._ring(due)))
        await self._awake.wait()

    async def _ring(self, at: Instant) -> None:
        await self._clock.wait_until(at)
        self._awake.set()

    def _trades(self, at: Instant) -> bool:
        """Whether any of the day's markets trades continuously."""
        return any(
            session.phase_at(at) is PhaseKind.CONTINUOUS for session in self.core.sessions.values()
        )

    def _quiet_since(self) -> Instant:
        """The last frame, or the first open where none has come since: before it nobody ticks."""
        opens_at = min(session.open_at for session in self.core.sessions.values())
        return max(self._last_frame_at, opens_at)

    # ── the broker's books ───────────────────────────────────────────────────────────────────

    def _look_at_the_books(self, at: Instant) -> None:
        """Start reading the books, once a second at most; the snapshot is told when it is there."""
        if self._looking or at < self._looked_at + SNAPSHOT_EVERY:
            # As soon as may be; an instant that is over would ring for ever.
            self._next_look = self._looked_at + SNAPSHOT_EVERY
            return
        self._looking = True
        self._looked_at = at
        self._next_look = at + self._look_every(at)
        self._begin(self._refresh())

    def _look_every(self, at: Instant) -> Instant:
        """How long the books just read may stand."""
        core = self.core
        every = LOOK_EVERY
        if core.view.uneasy:
            every = LOOK_AGAIN
        elif core.portfolio.open_by_instrument or any(core.orders.all_working()):
            every = LOOK_WHILE_OPEN
        for session in core.sessions.values():
            before = session.square_off_at - LOOK_BEFORE
            if at < before < at + every:
                every = before - at
        return every

    async def _refresh(self) -> None:
        try:
            why = await self._live_broker.refresh()
        finally:
            self._looking = False
        now = self._clock.now()
        if why:
            self._next_look = min(self._next_look, now + LOOK_AGAIN)
            said, said_at = self._unread
            if why != said or now - said_at >= UNREAD_AGAIN:
                self._unread = (why, now)
                sentence = f"The broker's books were not read: {why.rstrip('.')}."
                self.hear(Note(at=now, kind=f"{LIVE_NOTE}books", sentence=sentence))
            if now - self._compared_at >= OLD_AFTER:
                self._compare()  # They are not believed for ever: the core hears how old they are.
            return
        self._unread = ("", 0)
        # At once: a report that came in between would make the two differ.
        self._compare()
        if self.core.wants_snapshot:
            self._next_look = min(self._next_look, now + SNAPSHOT_EVERY)
        self._awake.set()

    def _compare(self) -> None:
        """Tell the books just read, after every report that was heard by then."""
        now = self._clock.now()
        self._catch_up(-1, now)
        snapshot = self._live_broker.snapshot(now)
        if snapshot.trusted:
            self._compared_at = now
        self.tell(snapshot)

    # ── tasks ────────────────────────────────────────────────────────────────────────────────

    def _begin(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broke("a task of the live day", error)

    def _broke(self, what: str, error: BaseException) -> None:
        sentence = f"{what} failed: {type(error).__name__}: {error}."
        self.hear(Note(at=self._clock.now(), kind=f"{LIVE_NOTE}fault", sentence=sentence))

    async def _read_feed(self) -> None:
        """Bring what the feed says into the inbox; a feed that breaks is begun again."""
        while True:
            try:
                async for heard in self._live_feed.live_frames():
                    self.hear(heard)
            except Exception as error:  # noqa: BLE001 - an adapter's top: it becomes a fact
                self._broke("the feed", error)
            else:
                return
            await asyncio.sleep(FEED_AGAIN_S)

    async def _end(self) -> None:
        """The session is over: compare once more, then say so."""
        await self.look_at_the_books()
        if not self.core.state.ended:
            self.tell(SessionEnded(max(self._clock.now(), self.core.state.now)))
