"""The engine's side of its guard: it shows that its loop lives, what it owns, and obeys a fence.

The counter is raised by the day's own loop, so a loop that is blocked loses it. What is owned is
rewritten with every commit that changes it, before a command of that commit can leave.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from kitestring.core import order_manager, portfolio
from kitestring.domain.events import Note
from kitestring.domain.ports import Commit
from kitestring.engine.fence import Fence
from kitestring.engine.live_day import LiveDay
from kitestring.engine.living_program import born
from kitestring.engine.ownership import owned_of
from kitestring.engine.replay import LIVE_NOTE
from kitestring.store.owned_file import ENGINE_BEATS, Heartbeat, Owned, OwnedFile
from kitestring.store.paths import RunPaths

BEAT_S: Final = 0.5


LAST_WORD_S: Final = 0.5
"""Twice as long as a halt may go unnoticed."""


class Pulse:
    """A companion of the live day (``Beside``)."""

    def __init__(self, artifacts: Path, fence: Fence) -> None:
        self._file = OwnedFile(artifacts)
        self._beats = Heartbeat(artifacts, ENGINE_BEATS)
        self._fence = fence
        self._born = born(os.getpid())
        self._shown: Owned | None = None
        self._unwritten = ""

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""

        def committed(number: int, commit: Commit) -> None:
            if any(key.startswith(_OURS) for key in commit.cells):
                self._show(day, paths, number)

        self._show(day, paths, 0)
        self._raise_counter(day)
        day.before_sending.append(committed)
        beating = asyncio.get_running_loop().create_task(self._beat(day))
        try:
            yield
            if not self._fence.look() and self._shown is not None:
                # Only a day that ends by itself or by its operator says so; one that breaks does not.
                self._write(msgspec.structs.replace(self._shown, ended=True))
        finally:
            day.before_sending.remove(committed)
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
            self._beats.close()
            self._file.close()

    async def _beat(self, day: LiveDay) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._raise_counter(day)
            if self._fence.look():
                # Nothing leaves any more; a moment for whoever tells the day of the guard's halt.
                await asyncio.sleep(LAST_WORD_S)
                day.stop()  # The day's own end says why.
                return

    def _show(self, day: LiveDay, paths: RunPaths, number: int) -> None:
        core, before = day.core, self._shown
        owned = owned_of(
            core,
            paths,
            commit=number or (before.commit if before is not None else 0),
            at=core.state.now,
            pid=os.getpid(),
            born=self._born,
        )
        self._shown = owned
        why = self._write(owned)
        if why != self._unwritten:
            self._unwritten = why
            if why:
                self._say(day, "guard", f"What is owned cannot be shown to the guard: {why}.")

    def _write(self, owned: Owned) -> str:
        try:
            self._file.write(owned)
        except OSError as error:
            # The guard then reads the journal itself; the day goes on.
            return error.strerror or type(error).__name__
        return ""

    def _raise_counter(self, day: LiveDay) -> None:
        try:
            self._beats.beat()
        except OSError as error:
            if not self._unwritten:
                self._unwritten = error.strerror or type(error).__name__
                self._say(day, "guard", f"The heartbeat cannot be written: {self._unwritten}.")

    def _say(self, day: LiveDay, kind: str, sentence: str) -> None:
        day.hear(Note(at=day.core.state.now, kind=f"{LIVE_NOTE}{kind}", sentence=sentence))


_OURS: Final = (order_manager.CELL, portfolio.CELL)
