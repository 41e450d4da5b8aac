"""Ticks that wait for the day: bounded, newest first to survive, and every loss told.

If the day does not keep up, the older half of what waits is folded into one frame that holds the
newest tick of each instrument. No instrument loses its latest price; the highs and lows between are
lost, and a ``Gap`` says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from kitestring.domain.events import Gap
from kitestring.domain.ids import InstrumentId
from kitestring.domain.ticks import Tick, TickFrame

TICKS_MAX: Final = 100_000
"""Eleven seconds of nine thousand instruments."""


class TickInbox:
    """Frames in their order of arrival. ``take`` is for one reader."""

    def __init__(self, on_gap: Callable[[Gap], None], ticks_max: int = TICKS_MAX) -> None:
        self.waiting = 0
        """Ticks."""
        self.folded = 0
        """Ticks lost to folding."""
        self.most = 0
        """The most ticks that ever waited."""
        self._on_gap = on_gap
        self._ticks_max = ticks_max
        self._frames: deque[TickFrame] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, frame: TickFrame) -> None:
        """One more frame; never waits."""
        self._frames.append(frame)
        self.waiting += len(frame.ticks)
        self.most = max(self.most, self.waiting)
        if self.waiting > self._ticks_max:
            self._fold()
        self._wake.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._wake.set()

    async def take(self) -> TickFrame | None:
        """The next frame; ``None`` once the inbox is closed and empty."""
        while not self._frames:
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        frame = self._frames.popleft()
        self.waiting -= len(frame.ticks)
        return frame

    def _fold(self) -> None:
        older = [self._frames.popleft() for _ in range(len(self._frames) // 2)]
        if not older:
            return  # a single frame of more than may wait: it is the news itself
        newest: dict[InstrumentId, Tick] = {}
        before = 0
        for frame in older:
            before += len(frame.ticks)
            for tick in frame.ticks:
                newest.pop(tick.instrument, None)  # its place is that of its newest tick
                newest[tick.instrument] = tick
        self._frames.appendleft(TickFrame(older[-1].received_at, tuple(newest.values())))
        lost = before - len(newest)
        if not lost:
            return
        self.waiting -= lost
        self.folded += lost
        self._on_gap(
            Gap(
                start_at=older[0].received_at,
                end_at=older[-1].received_at + 1,
                reason=f"{lost} ticks were folded: the day did not keep up",
            )
        )
