"""Three calls a second and no more, whoever asks: Kite's limit for historical candles."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

CALLS_MAX: Final = 3
_WINDOW_S: Final = 1.05
"""A little over a second: their clock counts, and the way there takes different times."""


class HistoryPace:
    """Grants turns, at most three in any second, in the order of asking."""

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self._calls_max = calls_max
        self._granted: deque[float] = deque()

    async def turn(self) -> None:
        """Return when one more call may be made."""
        loop = asyncio.get_running_loop()
        granted = self._granted
        at = loop.time()
        if len(granted) >= self._calls_max:
            at = max(at, granted[-self._calls_max] + _WINDOW_S)
        granted.append(at)  # before waiting, so that the next one counts from here
        while len(granted) > self._calls_max:
            granted.popleft()
        if at > loop.time():
            await asyncio.sleep(at - loop.time())
