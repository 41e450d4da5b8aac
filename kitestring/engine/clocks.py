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


class TimesFaster:
    """Market time passes ``speed`` times as fast as the wall clock, from the first frame on."""

    every_frame = True

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began_wall: float | None = None
        self._began_at: Instant = 0

    async def until(self, at: Instant) -> None:
        """Sleep until the wall clock has caught up with market time."""
        if self._began_wall is None:
            self._began_wall, self._began_at = wall_seconds(), at
        due = self._began_wall + (at - self._began_at) / SECOND / self._speed
        # At least one turn of the loop, so that Ctrl-C is seen even when we are behind.
        await asyncio.sleep(max(0.0, due - wall_seconds()))
