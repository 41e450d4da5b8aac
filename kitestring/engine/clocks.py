"""The only place that reads a clock: how fast market time may pass, and how long work took.

The core never asks what time it is. On tape and synthetic days market time is the time of the
ticks; a pace decides whether we wait for the wall clock between them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from kitestring.domain.instants import SECOND, Instant


def wall_seconds() -> float:
    """Monotonic seconds, for durations only."""
    return time.perf_counter()


def wall_now() -> Instant:
    """The wall clock, in UTC microseconds: for naming files and locks, never for decisions."""
    return time.time_ns() // 1000


SLICE_S = 0.05
"""The longest sleep in one piece, in wall seconds."""


class Pace(Protocol):
    """How market time relates to the wall clock."""

    async def until(self, at: Instant) -> None:
        """Return once market time ``at`` may happen; always lets other tasks run now and then."""
        ...

    @property
    def every_frame(self) -> bool:
        """Whether ``until`` must be asked for every frame."""
        ...


class AsFastAsPossible:
    """No waiting at all."""

    every_frame = False

    async def until(self, at: Instant) -> None:
        """Let other tasks run, then go on: ``at`` needs no waiting for."""
        del at
        await asyncio.sleep(0)


class Throttle:
    """Market time passes ``speed`` times as fast as the wall clock; the speed may change on the way.

    ``None`` is as fast as possible. A pause, a change and a release are seen within ``SLICE_S``.
    """

    __slots__ = ("_asked", "_at", "_paused", "_released", "_speed", "_wall")

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._paused = False
        self._released = False
        self._wall: float | None = None
        """Where the present speed began, by the wall clock and by the market's."""
        self._at: Instant = 0
        self._asked: Instant = 0
        """The market time last asked for: where the day is, or what it waits for."""

    @property
    def every_frame(self) -> bool:
        """Whether ``until`` must be asked for every frame, at this moment."""
        return self._paused or self._speed is not None

    @property
    def speed(self) -> float | None:
        """Market seconds per second; ``None`` is as fast as possible."""
        return self._speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        assert speed is None or speed > 0
        self._begin_here()
        self._speed = speed

    @property
    def paused(self) -> bool:
        """Whether market time stands still."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._begin_here()
        self._paused = paused

    def release(self) -> None:
        """Wait no more: whoever waits goes on at once, because the day is to stop."""
        self._released = True

    async def until(self, at: Instant) -> None:
        """Sleep until the wall clock has caught up with market time ``at``."""
        if self._wall is None:
            self._wall, self._at = wall_seconds(), at
        self._asked = at
        while not self._released:
            wait = self._wait(at)
            if wait <= 0.0:
                break
            # In slices: a signal does not wake a sleeping loop, and the speed may change.
            await asyncio.sleep(min(wait, SLICE_S))
        # At least one turn of the loop, so that Ctrl-C and keys are seen even when we are behind.
        await asyncio.sleep(0)

    def _wait(self, at: Instant) -> float:
        assert self._wall is not None
        if self._paused:
            return SLICE_S
        if self._speed is None:
            return 0.0
        return self._wall + (at - self._at) / SECOND / self._speed - wall_seconds()

    def _begin_here(self) -> None:
        """Count from this moment on: what has passed so far passed at the speed of then."""
        if self._wall is None:
            return
        now, here = wall_seconds(), self._asked
        if self._paused:
            here = self._at
        elif self._speed is not None:
            # Behind its time, the day is only where it was last asked for.
            here = min(here, self._at + round((now - self._wall) * self._speed * SECOND))
        self._wall, self._at = now, here


class WallClock:
    """The wall's time for a day that happens now; kept from going back."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: Instant = 0

    def now(self) -> Instant:
        """This moment."""
        self._latest = max(self._latest, wall_now())
        return self._latest

    async def wait_until(self, at: Instant) -> None:
        """Return once it is ``at``; in pieces, because the wall's time may be set meanwhile."""
        while (left := at - self.now()) > 0:  # noqa: ASYNC110 - no event tells that time has passed
            await asyncio.sleep(min(left / SECOND, 1.0))
