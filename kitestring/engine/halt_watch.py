"""Looks for the HALT file ten times a second, whoever wrote it, and tells the house once.

The broker's own gate looks at the file before every entry it sends, so nothing is entered even
while this waits for its turn; what is told here withdraws the entries that work already, and where
the halt asks to flatten, closes what is owned. A halt also ends the arming: lifted, the day stays halted, and the next one is armed again by a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from kitestring.domain.events import Note, OperatorCommand, OperatorWord
from kitestring.engine.arming import ArmingFile
from kitestring.engine.live_day import LiveDay
from kitestring.engine.replay import LIVE_NOTE
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.paths import RunPaths

EVERY_S: Final = 0.1
_WAKE_EVERY: Final = 10
"""Looks between two nudges of a day in which nothing happens: its clock and its state go on."""


class HaltWatch:
    """A companion of a live day (``Beside``)."""

    def __init__(self, artifacts: Path) -> None:
        self._halts = HaltFile(artifacts)
        self._arming = ArmingFile(artifacts)
        self._told: int | None = None

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""
        del paths
        self._told = None
        task = asyncio.get_running_loop().create_task(self._watch(day))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def look(self, day: LiveDay) -> OperatorCommand | None:
        """Tell the day of a halt that it has not heard of; the command that tells it."""
        if not self._halts.stands:
            return None
        halt = self._halts.read()
        if halt is None or halt.epoch == self._told:
            return None
        self._told = halt.epoch
        self._arming.clear()
        by = " (written by the guard)" if halt.by is HaltedBy.GUARD else ""
        # Where the guard has taken over, the house closes nothing itself any more.
        closes = halt.flatten and halt.by is HaltedBy.OPERATOR
        word = OperatorWord.FLATTEN if closes else OperatorWord.HALT
        return day.order(word, f"{halt.reason}{by}")

    async def _watch(self, day: LiveDay) -> None:
        looks = 0
        said = False
        while True:
            try:
                self.look(day)
            except OSError as error:  # the next look may find it well; the broker's gate looks too
                if not said:
                    said = True
                    sentence = f"The HALT file cannot be looked for: {error.strerror}."
                    day.hear(Note(at=day.now(), kind=f"{LIVE_NOTE}fault", sentence=sentence))
            looks += 1
            if looks % _WAKE_EVERY == 0:
                day.wake()
            await asyncio.sleep(EVERY_S)
