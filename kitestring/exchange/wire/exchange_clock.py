"""What time it is at the exchange: the loop's time at a speed, or the time of the event being shown.

``speed`` is exchange seconds per second; ``max`` and ``step`` have no pace of their own: time is that
of the last event, and the pump moves it. Everything waits through the running loop, so that a day runs
in the same way on a loop of virtual time.

Time never overtakes the market: it stands at the next event until the pump has shown that to everyone
(``hold``), however far the loop's time is ahead. An order sent at 09:20:01 therefore never meets prices
of 09:19:58.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import NEVER, SECOND, Instant, ist_clock

Speed = float | Literal["max", "step"]

_LEAST_WAIT_S: Final = 1e-6


def speed_of(word: str) -> Speed:
    """A speed as it is typed: a number above zero, ``max`` or ``step``; ``ConfigError`` otherwise."""
    if word == "max":
        return "max"
    if word == "step":
        return "step"
    try:
        speed = float(word)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1_000_000:
        raise ConfigError(
            f"{word!r} is no speed of the exchange's clock",
            do="give a number above zero (1 is real time, 60 a minute a second), max or step",
        )
    return speed


class ExchangeClock:
    """The one clock of an exchange. Time runs from the first time it is asked for inside a loop."""

    def __init__(self, start: Instant, speed: Speed = 1.0) -> None:
        self._at = start
        self._loop_at: float | None = None
        """The loop's time at which it was ``_at``."""
        self._speed: Speed = speed
        self._paused = False
        self._held_at: Instant = NEVER
        self._waiting: dict[asyncio.Future[None], Instant] = {}
        """Who waits, and until when; ``NEVER`` for any change at all."""

    @property
    def speed(self) -> Speed:
        """Exchange seconds per second, ``max`` or ``step``."""
        return self._speed

    @property
    def paused(self) -> bool:
        """Whether time stands still by order of the admin."""
        return self._paused

    def now(self) -> Instant:
        """The exchange's time, in microseconds. Never goes back."""
        return min(self.aim(), self._held_at)

    def aim(self) -> Instant:
        """Where time would be if the market had kept up."""
        speed = self._speed
        if self._paused or isinstance(speed, str):
            return self._at
        loop_at = self._loop_time()
        if loop_at is None:
            return self._at
        if self._loop_at is None:
            self._loop_at = loop_at
        return self._at + round((loop_at - self._loop_at) * speed * SECOND)

    def behind_s(self, at: Instant) -> float:
        """By how many real seconds an event of this time is late; 0 where events make the time."""
        speed = self._speed
        if self._paused or isinstance(speed, str):
            return 0.0
        return (self.aim() - at) / SECOND / speed

    # ── orders of the admin ──────────────────────────────────────────────────────────────────

    def set_speed(self, speed: Speed) -> None:
        """From now on time passes like this."""
        self._begin_here()
        self._speed = speed
        self.stir()

    def pause(self) -> None:
        """Time stands still, and so does the market."""
        self._begin_here()
        self._paused = True
        self.stir()

    def resume(self) -> None:
        """Time goes on from where it stands."""
        self._begin_here()
        self._paused = False
        self.stir()

    def step(self, by: Instant) -> None:
        """Move on by so many microseconds; everything due on the way happens. A pause goes on."""
        self.jump(self.aim() + by)

    def jump(self, to: Instant) -> None:
        """Move on to a later moment; everything due on the way happens. A pause goes on.

        Raises ``ConfigError`` for a moment that has passed: the market does not go back.
        """
        here = self.aim()
        if to < here:
            raise ConfigError(
                f"It is {ist_clock(here)} at the exchange and cannot become {ist_clock(to)} again",
                do="start the day anew to see an earlier moment",
            )
        self._begin_here()
        self._at = to
        self.stir()

    # ── waiting ──────────────────────────────────────────────────────────────────────────────

    async def wait_until(self, at: Instant) -> None:
        """Return once it is ``at`` at the exchange.

        Under ``max`` and ``step`` only events move time: after the last one this may never return.
        """
        while self.now() < at:
            await self._change(at)

    async def reach(self, at: Instant) -> bool:
        """For the pump: wait until the event of this time may be shown, which moves time there.

        Also returns, with ``False``, whenever something changed: the next event may be another now.
        """
        if self.aim() >= at:
            return True
        if isinstance(self._speed, str) and not self._paused and at < NEVER:
            self._at = at
            self.stir()
            return True
        await self._change(at)
        return self.aim() >= at

    def hold(self, at: Instant) -> None:
        """For the pump: the next event it has not shown yet; time does not pass it."""
        self._held_at = at
        for waiting, until in self._waiting.items():
            if (until <= at or until == NEVER) and not waiting.done():
                waiting.set_result(None)

    def stir(self) -> None:
        """Something changed: whoever waits looks again."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def changed(self) -> None:
        """Return when somebody stirs."""
        await self._change(NEVER)

    async def _change(self, at: Instant) -> None:
        """Wait until the loop's time has reached ``at``, or until something changes."""
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[None] = loop.create_future()
        self._waiting[changed] = at
        timer = None
        speed, left = self._speed, at - self.aim()
        if left > 0 and at < NEVER and not self._paused and not isinstance(speed, str):
            timer = loop.call_later(max(left / SECOND / speed, _LEAST_WAIT_S), _done, changed)
        try:
            await changed
        finally:
            del self._waiting[changed]
            if timer is not None:
                timer.cancel()

    def _begin_here(self) -> None:
        self._at = self.aim()
        self._loop_at = self._loop_time()

    def _loop_time(self) -> float | None:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:  # No loop yet: time has not begun to run.
            return None


def _done(changed: asyncio.Future[None]) -> None:
    if not changed.done():
        changed.set_result(None)
