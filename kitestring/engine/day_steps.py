"""What every day does with one thing that happened: number it, tape it, step, journal, carry out.

Live and paper days share this to the letter; they differ in where the next thing comes from and when.
A frame is taken after everything that is due before it: the broker's reports first, then ticks from
before a timer's instant, then the timer, then the ticks after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import BarFrame
from kitestring.domain.events import Event, Fact, Note, Reports, TimerFired
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.orders import ExecutionReport
from kitestring.domain.ports import Broker, Commit, Frame, Journal, Tape
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import Command

SNAPSHOT_EVERY: Final = SECOND
"""While something is unexplained, how often the broker's books are read, in market time."""


class Listener(Protocol):
    """Whoever wants to hear what has become durable."""

    def committed(self, number: int, commit: Commit) -> None:
        """A step is on disk."""
        ...


class Follower(Listener, Protocol):
    """Who tells people of it, too: projections, the screen."""

    def passing(self, at: Instant, frames: int) -> None:
        """Market time goes on; called a few times a second of wall time."""
        ...


class DaySteps:
    """Takes one thing after the other into a core. Owns the numbering; shares nothing else."""

    def __init__(
        self,
        core: TradingCore,
        *,
        broker: Broker,
        journal: Journal,
        tape: Tape,
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
        self._broker = broker
        self._journal = journal
        self._tape = tape
        self._follower = follower
        self.before_sending: list[Callable[[int, Commit], None]] = []
        """Who is told of a commit before anything of it can leave the house."""
        self._listeners: list[Listener] = []
        self._next_snapshot: Instant = 0
        self._encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode

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

    def follow(self, follower: Listener) -> None:
        """Let one more hear what is durable, from the day's first commit on; it must not raise."""
        for number, commit in self._journal.commits():
            follower.committed(number, commit)
        self._listeners.append(follower)

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
        for tell in self.before_sending:
            tell(number, commit)
        for command in commands:
            self._broker.carry_out(command, core.state.now)
        self._follower.committed(number, commit)
        for listener in self._listeners:
            listener.committed(number, commit)
