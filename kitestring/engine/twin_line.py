"""Keeps a live day's paper twin in a process of its own, and never waits for it.

The live day writes a few bytes into a pipe at each of its commits and goes on; the ticks themselves
the twin reads from the live day's tape. Whatever happens to the twin (it crashes, hangs, falls
behind) ends the twin with a note in the live day's record, and the day goes on without it.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from kitestring.domain.events import Note
from kitestring.domain.ports import Commit
from kitestring.engine.live_day import LiveDay
from kitestring.engine.paper_twin import word_of
from kitestring.engine.replay import LIVE_NOTE
from kitestring.store.paths import RunPaths

LENGTH: Final = 4
"""Each word in the pipe begins with its length, in so many bytes, the greatest first."""
BEHIND_MAX: Final = 64 << 20
"""Bytes that may wait for a slow twin before it is given up."""
FINISH_WITHIN_S: Final = 120.0
"""After the live day's end: how long the twin may take to the end of its own."""
_SAID_MAX: Final = 400


def framed(word: bytes) -> bytes:
    """A word as it stands in the pipe."""
    return len(word).to_bytes(LENGTH, "big") + word


class TwinLine:
    """The line to the twin; a ``Beside`` of the live engine, and a listener of its commits.

    ``command`` starts the twin of a run. Call ``finish`` once the engine has returned.
    """

    def __init__(self, command: Callable[[RunPaths], Sequence[str]]) -> None:
        self._command = command
        self._process: Process | None = None
        self._day: LiveDay | None = None
        self._watch: asyncio.Task[None] | None = None
        self._finishing = False
        self._begun = False
        self.ended = ""
        """Why there is no twin any more; empty while there is one."""

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[TwinLine]:
        """Start the twin with the day's first try; it stays for a second one."""
        self._day = day
        if not self._begun:
            self._begun = True
            await self._start(paths)
        day.follow(self)
        try:
            yield self
        finally:
            self._day = None

    def committed(self, number: int, commit: Commit) -> None:
        """Tell the twin, without waiting and without ever failing the day."""
        if self._process is None or self.ended:
            return
        # The other place that may catch everything: a fault of the twin's is not the day's.
        try:
            pipe = self._process.stdin
            assert pipe is not None
            pipe.write(framed(word_of(number, commit)))
            if pipe.transport.get_write_buffer_size() > BEHIND_MAX:
                self._over("it fell too far behind")
        except Exception as error:  # noqa: BLE001 - see above
            self._over(f"it could not be told of commit {number} ({error!r})")

    async def finish(self, within_s: float = FINISH_WITHIN_S) -> str:
        """Let the twin come to its end; why there is none, or nothing."""
        process = self._process
        self._finishing = True
        if process is not None and not self.ended:
            assert process.stdin is not None
            process.stdin.close()
            assert self._watch is not None
            try:
                await asyncio.wait_for(asyncio.shield(self._watch), within_s)
            except TimeoutError:
                self._over(f"it was not done {within_s:g} s after the live day")
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        if self._watch is not None:
            await self._watch
        return self.ended

    async def _start(self, paths: RunPaths) -> None:
        # What the twin does needs no login, and it gets none.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("KITE")
        }
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(paths),
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=PIPE,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the live day; the twin ends with its line
            )
        except OSError as error:
            self._over(f"it could not be started ({error.strerror or error})")
            return
        self._watch = asyncio.get_running_loop().create_task(self._watched(self._process))

    async def _watched(self, process: Process) -> None:
        assert process.stderr is not None
        said = (await process.stderr.read()).decode("utf-8", "replace")
        code = await process.wait()
        if code or not self._finishing:
            why = " ".join(said.split())[-_SAID_MAX:]
            self._over(f"its process ended with {code}{f': {why}' if why else ''}")

    def _over(self, why: str) -> None:
        """The twin's end, said once."""
        if self.ended:
            return
        self.ended = (
            f"The paper twin has ended: {why}. The live day goes on without it; "
            "python -m kitestring twin makes it again from the day's record."
        )
        if self._day is not None:
            at = self._day.core.state.now
            self._day.hear(Note(at=at, kind=f"{LIVE_NOTE}twin", sentence=self.ended))
