"""One day, one loop: number it, put it on the tape, step, journal the commands, carry them out.

The same loop drives paper, replay and live; what differs is plugged in. Three sources are merged by
time: the feed's frames, the timers the core asked for, and the broker's reports. At equal instants
reports come first, then ticks from before the instant, then the timer, then ticks after it.

On tape and synthetic days time is the watermark: a timer fires when the feed has reached it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import BarFrame
from kitestring.domain.events import Event, Fact, Note, Reports, SessionEnded, TimerFired
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.orders import ExecutionReport
from kitestring.domain.ports import Broker, Commit, Feed, Frame, Journal, Tape
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import Command
from kitestring.engine.clocks import Pace, wall_seconds

YIELD_EVERY_S: Final = 0.02
"""How long the loop may run before it lets other tasks (Ctrl-C, the screen) have a turn."""
LOOK_EVERY: Final = 64
"""Frames between two looks at the wall clock."""
SNAPSHOT_EVERY: Final = SECOND
"""While something is unexplained, how often the broker's books are read, in market time."""


class Follower(Protocol):
    """Whoever wants to hear what has become durable: projections, the screen."""

    def committed(self, number: int, commit: Commit) -> None:
        """A step is on disk."""
        ...

    def passing(self, at: Instant, frames: int) -> None:
        """Market time goes on; called a few times a second of wall time."""
        ...


class TradingDay:
    """Drives a core through one day of a feed. Owns the numbering; shares nothing else."""

    def __init__(
        self,
        core: TradingCore,
        *,
        feed: Feed,
        broker: Broker,
        journal: Journal,
        tape: Tape,
        pace: Pace,
        follower: Follower,
        inbox: int = 0,
        feed_position: int = 0,
        frame_left: int = 0,
        heard: Iterable[ExecutionReport] = (),
    ) -> None:
        self.core = core
        self.inbox = inbox
        self.feed_position = feed_position
        """Frames the broker has been shown so far."""
        self._frame_left = frame_left
        """How much of the last of them the core has not taken yet."""
        self._heard = Counter(heard)
        """Reports the journal holds, which the broker of a day taken up again may repeat."""
        self.stopping = False
        self.interrupted = False
        self.ticks = 0
        self._feed = feed
        self._broker = broker
        self._journal = journal
        self._tape = tape
        self._pace = pace
        self._follower = follower
        self._next_snapshot: Instant = 0
        self._encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode

    async def run(self) -> None:
        """Trade the rest of the feed; returns at its end, or early once ``stopping`` is set."""
        pace, every_frame = self._pace, self._pace.every_frame
        last_at = self.core.state.now
        turn_ends = wall_seconds() + YIELD_EVERY_S
        countdown = LOOK_EVERY
        if self._frame_left:
            self._take_rest()
        for frame in self._feed.frames(self.feed_position):
            if every_frame:
                await pace.until(frame.received_at)
            last_at = frame.received_at
            self.take_frame(frame)
            countdown -= 1
            if countdown == 0 or every_frame:
                countdown = LOOK_EVERY
                if wall_seconds() >= turn_ends:
                    self._follower.passing(last_at, self.feed_position)
                    await pace.until(last_at)
                    every_frame = pace.every_frame  # its speed may have been changed meanwhile
                    turn_ends = wall_seconds() + YIELD_EVERY_S
                if self.stopping:
                    self.interrupted = True
                    break
        if self.stopping:  # Asked for in the last frames, between two looks.
            self.interrupted = True
        else:
            self._run_out()
        self._follower.passing(self.core.state.now, self.feed_position)

    def take_frame(self, frame: Frame) -> None:
        """Everything due before this frame, then the frame itself."""
        core, broker = self.core, self._broker
        at = frame.received_at
        if type(frame) is TickFrame:
            ticks = frame.ticks
            reached = ticks[0].event_at
            if reached > at:  # noqa: PLR1730 - min() would cost a call per frame
                reached = at  # A stamp from the future must not ring tomorrow's bells.
            # What the broker says at this very instant comes after it has seen the frame.
            if core.next_due_at <= reached or broker.next_due_at < at:
                self._catch_up(reached, at - 1)
            self._frame_left = left = len(ticks)
            self.ticks += left
        else:
            assert type(frame) is BarFrame
            ticks = ()
            # A bar's frame arrives at its close: what is due by then is due before it.
            first = frame.bars[0]
            if core.next_due_at < first.close_at or broker.next_due_at <= first.open_at:
                self._catch_up(first.close_at - 1, first.open_at)
            self._frame_left = len(frame.bars)
        self.feed_position = position = self.feed_position + 1
        broker.observe(position, frame)
        if broker.next_due_at <= at:
            self._catch_up(-1, at)
        if ticks and ticks[-1].event_at >= core.next_due_at:
            assert type(frame) is TickFrame
            frame = self._take_first_parts(frame)
        self._frame_left = 0
        self.inbox = inbox = self.inbox + 1
        self._tape.append_frame(inbox, frame)
        commands = core.step(frame)
        if core.must_commit:
            self._commit(commands)
        if not ticks and core.next_due_at <= at:  # A bar's timers come after it.
            self._catch_up(at, at)

    def _take_rest(self) -> None:
        """After a restart: what the core had not taken of the last frame the broker was shown."""
        frame = next(self._feed.frames(self.feed_position - 1))
        core, at, left = self.core, frame.received_at, self._frame_left
        if isinstance(frame, TickFrame):
            split = left < len(frame.ticks)
            frame = TickFrame(at, frame.ticks[-left:])
            self.ticks += left
            self._catch_up(min(frame.ticks[0].event_at, at) if split else -1, at)
            frame = self._take_first_parts(frame)
        else:
            self._catch_up(-1, at)
        self._frame_left = 0
        self.inbox += 1
        self._tape.append_frame(self.inbox, frame)
        commands = core.step(frame)
        if core.must_commit:
            self._commit(commands)
        if isinstance(frame, BarFrame):
            self._catch_up(at, at)

    def tell(self, event: Event) -> None:
        """Step an event that is neither frame nor timer nor report (history, an operator, a gap)."""
        self.inbox += 1
        commands = self.core.step(event)
        if self.core.must_commit:
            self._commit(commands)

    def record(self, fact: Fact) -> None:
        """Put a fact of the house's own into the journal."""
        self.core.facts.append(fact)
        self._commit(())

    def note(self, kind: str, sentence: str) -> None:
        """Put a line of the day's story into the journal."""
        self.record(Note(at=self.core.state.now, kind=kind, sentence=sentence))

    def _take_first_parts(self, frame: TickFrame) -> TickFrame:
        """Split a frame at the timers in it: ticks before one, the timer, ticks after it.

        The broker has been shown the frame whole; the last part is left to the caller.
        """
        core, at = self.core, frame.received_at
        while frame.ticks[-1].event_at >= core.next_due_at:
            ticks, due = frame.ticks, core.next_due_at
            place = next(place for place, tick in enumerate(ticks) if tick.event_at >= due)
            if place == 0:  # Stamped in the future: no timer's time has come by it.
                break
            first, frame = TickFrame(at, ticks[:place]), TickFrame(at, ticks[place:])
            self._frame_left = len(frame.ticks)
            self.inbox += 1
            self._tape.append_frame(self.inbox, first)
            commands = core.step(first)
            if core.must_commit:
                self._commit(commands)
            self._catch_up(min(frame.ticks[0].event_at, at), at)
        return frame

    def _catch_up(self, reached: Instant, at: Instant) -> None:
        """Reports up to ``at`` and timers up to ``reached``, in the order of time."""
        core, broker = self.core, self._broker
        while True:
            due, report_at = core.next_due_at, broker.next_due_at
            if report_at <= at and (report_at <= due or due > reached):
                self._take_reports(report_at)
            elif due <= reached:
                self._take_timer(due)
            else:
                return

    def _take_reports(self, until: Instant) -> None:
        told = self._broker.reports_until(until)
        reports = tuple(report for _, report in told)
        if self._heard:
            reports = self._without_repetitions(reports)
            if not reports:
                return
        self.inbox += 1
        commands = self.core.step(Reports(until, reports))
        self._commit(commands)
        if self.core.wants_snapshot:
            self._look_at_the_books(until)

    def _without_repetitions(
        self, reports: tuple[ExecutionReport, ...]
    ) -> tuple[ExecutionReport, ...]:
        """A change told again would be taken for the answer to the next one."""
        new: list[ExecutionReport] = []
        for report in reports:
            if self._heard[report] > 0:
                self._heard[report] -= 1
            else:
                new.append(report)
        return tuple(new)

    def _take_timer(self, due: Instant) -> None:
        self.inbox += 1
        self._tape.append_timer(self.inbox, due)
        commands = self.core.step(TimerFired(due))
        if self.core.must_commit:
            self._commit(commands)
        if self.core.wants_snapshot:
            self._look_at_the_books(due)

    def _look_at_the_books(self, at: Instant) -> None:
        """Something is unexplained: read the broker's books, once a second of market time."""
        if at >= self._next_snapshot:
            self._next_snapshot = at + SNAPSHOT_EVERY
            self.tell(self._broker.snapshot(at))

    def _run_out(self) -> None:
        """The feed is over: let the last bars close, the last orders answer, then end the session."""
        core = self.core
        end = max(session.close_at for session in core.sessions.values()) + 2 * SECOND
        end = max(end, core.state.now)
        # One instant at a time: an answer born on the way comes before a later timer.
        while (at := min(core.next_due_at, self._broker.next_due_at)) <= end:
            self._catch_up(at, at)
        if not core.state.ended:
            self.tell(SessionEnded(end))

    def _commit(self, commands: Sequence[Command]) -> None:
        """Make a step durable, and only then let its commands out of the house."""
        core = self.core
        facts, cells = core.take()
        encode = self._encode
        offset, digest = self._tape.mark()
        commit = Commit(
            inbox=self.inbox,
            at=core.state.now,
            feed_position=self.feed_position,
            tape_offset=offset,
            tape_hash=digest,
            facts=facts,
            cells={
                key: None if cell is None else msgspec.Raw(encode(cell))
                for key, cell in cells.items()
            },
            frame_left=self._frame_left,
        )
        number = self._journal.commit(commit)
        for command in commands:
            self._broker.carry_out(command, core.state.now)
        self._follower.committed(number, commit)
