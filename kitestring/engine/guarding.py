"""Keeps a guard beside the live engine: starts it, sees that it lives, starts it again, says so.

While none lives, no entry leaves: a house that nobody could stop takes no new risk.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from kitestring.domain.events import Note
from kitestring.engine.live_day import LiveDay
from kitestring.engine.replay import LIVE_NOTE
from kitestring.store.owned_file import GUARD_BEATS, Heartbeat
from kitestring.store.paths import RunPaths

LOOK_S: Final = 0.5
GONE_AFTER_S: Final = 6.0
"""The guard's heartbeat may stand still for so long; a start takes a second or two."""
AGAIN_S: Final = 10.0
"""Between two starts of a guard."""


class Guarding:
    """A companion of the live day (``Beside``). ``command`` starts a guard."""

    def __init__(self, artifacts: Path, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._beats = Heartbeat(artifacts, GUARD_BEATS)
        self._log = artifacts / "live" / "guard.log"
        self._program: subprocess.Popen[bytes] | None = None
        self._started_s = -AGAIN_S
        self._present = False
        self._ever = False

    async def ended(self, within_s: float) -> bool:
        """Wait until the guard has read that the day is over; whether it has ended by then."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        while self._program is not None and self._program.poll() is None:
            if loop.time() >= ends:
                return False
            await asyncio.sleep(0.1)
        return True

    @property
    def pid(self) -> int:
        """Of the guard that was started last; 0 before the first."""
        return 0 if self._program is None else self._program.pid

    def unguarded(self) -> str:
        """Why no entry may leave now; empty while the guard lives."""
        return "" if self._present else "the guard is not there; entries wait for it"

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``. The guard is not ended here: it ends by itself once it reads that the day has."""
        del paths
        watching = asyncio.get_running_loop().create_task(self._watch(day))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, day: LiveDay) -> None:
        loop = asyncio.get_running_loop()
        beats, beat_s = self._beats.read(), -GONE_AFTER_S
        while True:
            here, count = loop.time(), self._beats.read()
            if count != beats:
                beats, beat_s = count, here
            present = here - beat_s < GONE_AFTER_S
            if present != self._present:
                self._present = present
                if present:
                    again = " again" if self._ever else ""
                    self._say(day, f"The guard is there{again}.")
                    self._ever = True
                else:
                    self._say(day, "The guard is GONE; entries wait until it is back.", " gone")
            if not present and here - self._started_s >= AGAIN_S:
                self._started_s = here
                self._start(day)
            await asyncio.sleep(LOOK_S)

    def _start(self, day: LiveDay) -> None:
        old = self._program
        if old is not None and old.poll() is None:
            old.kill()  # It is ours, and it shows no sign of life.
            old.wait()
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                self._program = subprocess.Popen(  # noqa: S603 - our own command
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in our terminal is not meant for it.
                )
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._say(day, f"The guard could not be started: {why}.", " gone")

    def _say(self, day: LiveDay, sentence: str, kind: str = "") -> None:
        note = Note(at=day.core.state.now, kind=f"{LIVE_NOTE}guard{kind}", sentence=sentence)
        day.hear(note)


def guard_command(*arguments: str) -> tuple[str, ...]:
    """The command line of a guard: this very program."""
    return (sys.executable, "-m", "kitestring", "guard", *arguments)
