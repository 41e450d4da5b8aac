"""One day, one loop: number it, put it on the tape, step, journal the commands, carry them out.

This loop drives paper and recorded days; ``engine.live_day`` the live one, with the same steps.
Three sources are merged by time: frames, the timers the core asked for, and the broker's reports. At
equal instants reports come first, then ticks from before the instant, then the timer, then ticks after it.

On tape and synthetic days time is the watermark: a timer fires when the feed has reached it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import BarFrame
from kitestring.domain.events import SessionEnded
from kitestring.domain.instants import SECOND
from kitestring.domain.orders import ExecutionReport
from kitestring.domain.ports import Broker, Feed, Journal, Tape
from kitestring.domain.ticks import TickFrame
from kitestring.engine.clocks import Pace, wall_seconds
from kitestring.engine.day_steps import DaySteps, Follower

YIELD_EVERY_S: Final = 0.02
"""How long the loop may run before it lets other tasks (Ctrl-C, the screen) have a turn."""
LOOK_EVERY: Final = 64
"""Frames between two looks at the wall clock."""


class TradingDay(DaySteps):
    """Drives a core through one day of a feed that can be begun again anywhere."""

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
        super().__init__(
            core,
            broker=broker,
            journal=journal,
            tape=tape,
            follower=follower,
            inbox=inbox,
            feed_position=feed_position,
            frame_left=frame_left,
            heard=heard,
        )
        self._feed = feed
        self._pace = pace

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
