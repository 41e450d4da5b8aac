"""The exchange's time as the house's time, for a rehearsal: a day that does not happen today, at any speed.

The exchange is another process, so its time is asked for again and again, and between two answers it
is reckoned from its speed. Only what the house calls "now" comes from here; deadlines of requests
stay the machine's own seconds, because networks know no other.

The law: time never goes back, and it never runs ahead of an exchange that is not heard of. It is
reckoned from the moment the answer came in, so it is rather a little late than early, and a frame is
not taken for one from the future.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from kitestring.broker.exchange_time import ExchangeTime
from kitestring.domain.errors import HouseError
from kitestring.domain.instants import SECOND, Instant
from kitestring.engine.clocks import wall_seconds

ASKED_EVERY_S: Final = 1.0
"""At the market's own speed; a faster exchange is asked more often, because it errs faster."""
ERRS_AT_MOST_S: Final = 6.0
"""Exchange seconds that may pass between two questions, as far as ``ASKED_AT_LEAST_S`` allows."""
ASKED_AT_LEAST_S: Final = 0.02
"""So that asking for the time never becomes the day's work."""
REHEARSED_SILENCE: Final = 900 * SECOND
"""How long a quick feed may be silent: three real seconds at the usual speed."""
FASTEST: Final = 600.0
"""The speed for which freshness of ticks is judged: the exchange's may change on the way."""

Ask = Callable[[], Awaitable[ExchangeTime]]


class RehearsalClock:
    """A ``LiveClock`` that follows another process; ``look`` once, then live inside ``following``.

    Where nobody answers (``Ask`` raises a ``HouseError``), time soon stands.
    """

    def __init__(self, *, seconds: Callable[[], float] = wall_seconds) -> None:
        self._seconds = seconds
        self._told = ExchangeTime(at=0, speed=0.0)
        self._told_s = 0.0
        self._rate = 0.0
        """Exchange seconds a second as they really passed: a busy exchange falls behind its speed."""
        self._latest: Instant = 0
        self._stirred = asyncio.Event()
        self.unanswered = ""
        """Why the last question was not answered; empty after one that was."""

    @property
    def speed(self) -> float:
        """What the exchange said its speed is."""
        return self._told.speed

    def now(self) -> Instant:
        """This moment at the exchange; never goes back."""
        passed_s = min(self._seconds() - self._told_s, 2 * self._every_s())
        at = self._told.at + round(passed_s * self._rate * SECOND)
        self._latest = max(self._latest, at)
        return self._latest

    async def wait_until(self, at: Instant) -> None:
        """Return once it is ``at`` at the exchange."""
        while (left := at - self.now()) > 0:
            wait_s = ASKED_EVERY_S if self._rate <= 0.0 else left / SECOND / self._rate
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, ASKED_EVERY_S)):
                    await self._stirred.wait()

    async def look(self, ask: Ask) -> None:
        """Ask once. Raises the ``HouseError`` of whoever is asked."""
        self._take(await ask(), self._seconds())

    @asynccontextmanager
    async def following(self, ask: Ask) -> AsyncIterator[None]:
        """Ask again and again for as long as this lasts."""
        task = asyncio.get_running_loop().create_task(self._follow(ask))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self, ask: Ask) -> None:
        while True:
            try:
                told = await ask()
            except HouseError as error:
                self.unanswered = error.what
            else:
                self.unanswered = ""
                self._take(told, self._seconds())
            await asyncio.sleep(self._every_s())

    def _take(self, told: ExchangeTime, heard_s: float) -> None:
        passed_s = heard_s - self._told_s
        moved_s = (told.at - self._told.at) / SECOND
        steady = told.speed == self._told.speed and not told.paused and not self._told.paused
        rate = 0.0 if told.paused else told.speed
        if steady and passed_s > 0.0:
            rate = min(rate, max(moved_s / passed_s, 0.0))
        self._told, self._told_s, self._rate = told, heard_s, rate
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    def _every_s(self) -> float:
        """Seconds from one answer to the next question."""
        often_s = ERRS_AT_MOST_S / max(self._told.speed, ERRS_AT_MOST_S)
        return max(min(often_s, ASKED_EVERY_S), ASKED_AT_LEAST_S)
