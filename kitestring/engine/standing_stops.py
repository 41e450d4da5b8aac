"""Watches a trigger that stays at the broker by day: it must never sell what is no longer owned.

A carried position that the day does not trade is left to its trigger of the night. Once a person has
closed that position, or some of it, the trigger would open the opposite one: it is taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

from kitestring.domain.events import Note, OvernightStop
from kitestring.engine.live_day import LiveDay
from kitestring.engine.overnight_stops import UNPROTECTED, TriggerDesk, take_back, too_many
from kitestring.engine.replay import LIVE_NOTE
from kitestring.store.paths import RunPaths

EVERY_S: Final = 2.0


class StandingStops:
    """A companion of the live day (``Beside``)."""

    def __init__(self, desk: TriggerDesk, stops: Iterable[OvernightStop]) -> None:
        self._desk = desk
        self._stops = [stop for stop in stops if stop.step != "fired"]

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""
        del paths
        if not self._stops:
            yield
            return
        task = asyncio.get_running_loop().create_task(self._watch(day))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self, day: LiveDay) -> None:
        while self._stops:
            await asyncio.sleep(EVERY_S)
            for stop in too_many(day.core, self._stops):
                (after,) = await take_back(self._desk, [stop], day.now())
                day.hear(after)
                self._stops.remove(stop)
                if after.step != "gone":
                    # Not asked again and again: a person sees to it, and the evening looks once more.
                    kind = f"{LIVE_NOTE}{UNPROTECTED}"
                    day.hear(Note(at=after.at, kind=kind, sentence=after.sentence))
