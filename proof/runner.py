"""Lives the batches of every tier on as many programs as there are cores, and loses none.

A program that dies, and a batch that never ends, are broken promises themselves: they are written
down with their units, the units are lived again one by one so that the culprit is known, and the run
goes on. Tiers that need the machine for themselves come last, one batch at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from proof.batches import Batch, BatchFile, again, honest
from proof.tier import Broken, Outcome, Scale, Tier
from proof.tree import ROOT
from proof.worker import Answer, Order

BATCHES_OF_A_LIFE: Final = 25
"""A program is replaced after so many, so that a long run sees many hash seeds."""
_LINE_MAX: Final = 1 << 28
_GRACE_S: Final = 5.0
"""For cleaning up after Ctrl-C; and for saying where it hangs."""
_LAST_WORDS: Final = 1500


class Watcher(Protocol):
    """Whoever is shown how far it has come."""

    def told(self, batch: Batch) -> None:
        """A batch is finished and on disk."""
        ...


class Fell(Exception):
    """The program with the batch died, hung or broke off."""


class Worker:
    """One program that lives batches."""

    def __init__(self, hash_seed: int, folder: Path) -> None:
        self.hash_seed = hash_seed
        self.lived = 0
        self._folder = folder
        self._errors: IO[bytes] | None = None
        self._program: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C in the terminal is the runner's to answer."""
        self._folder.mkdir(parents=True)
        self._errors = (self._folder / "errors").open("w+b")
        self._program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proof.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            limit=_LINE_MAX,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONHASHSEED": str(self.hash_seed),
                "PYTHONPATH": os.pathsep.join(
                    each for each in (str(ROOT), os.environ.get("PYTHONPATH", "")) if each
                ),
                "TMPDIR": str(self._folder),
            },
        )

    async def live(self, order: Order, limit_s: float) -> Outcome:
        """Have it live a batch. Raises ``Fell``, after which it is gone."""
        program = self._program
        assert program is not None
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            program.stdin.write(msgspec.json.encode(order) + b"\n")
            await program.stdin.drain()
            line = await asyncio.wait_for(program.stdout.readline(), limit_s)
        except TimeoutError:
            _signal(program, signal.SIGABRT)
            with suppress(TimeoutError):
                await asyncio.wait_for(program.wait(), _GRACE_S)
            words = self._last_words()
            await self.end()
            raise Fell(f"It still hung after {limit_s:.0f} seconds, here:\n{words}") from None
        except ConnectionError:
            line = b""
        if not line.endswith(b"\n"):
            code = await program.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            words = self._last_words()
            await self.end()
            raise Fell(f"The program that lived it died: {how}. Its last words:\n{words}")
        told = msgspec.json.decode(line, type=Answer)
        if told.outcome is None:
            await self.end()
            raise Fell(f"It broke off with an error:\n{told.error[-_LAST_WORDS:]}")
        self.lived += 1
        return told.outcome

    def _last_words(self) -> str:
        assert self._errors is not None
        self._errors.seek(0)
        return self._errors.read()[-_LAST_WORDS:].decode(errors="replace").strip() or "(none)"

    async def end(self) -> None:
        """Let it clean up, then end it with all it has started, and clear away its folder."""
        program, self._program = self._program, None
        if program is None:
            return
        try:
            if program.returncode is None:
                with suppress(ProcessLookupError):
                    program.send_signal(signal.SIGINT)
                with suppress(TimeoutError):
                    await asyncio.wait_for(program.wait(), _GRACE_S)
        finally:
            _signal(program, signal.SIGKILL)
            await program.wait()
            if self._errors is not None:
                self._errors.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def _signal(program: asyncio.subprocess.Process, which: int) -> None:
    """To a program and everything it has started."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(program.pid, which)
        else:
            program.kill()


class Runner:
    """The batches that wait, and the lanes in which programs live them."""

    def __init__(
        self,
        tiers: Sequence[Tier],
        scale: Scale,
        file: BatchFile,
        watcher: Watcher,
        *,
        commit: str,
        workers: int,
        seconds: Callable[[], float],
        module: str = "proof.tiers",
        limit_s: float | None = None,
    ) -> None:
        self._tiers = tiers
        self._scale = scale
        self._file = file
        self._watcher = watcher
        self._commit = commit
        self._workers = workers
        self._seconds = seconds
        self._module = module
        self._limit_s = limit_s
        self._started = 0
        self._folder = Path()

    async def run(self) -> None:
        """Live all that waits. After ``CancelledError`` no program of it is left."""
        self._folder = Path(tempfile.mkdtemp(prefix="proof-"))
        try:
            together = [tier for tier in self._tiers if not tier.alone]
            await self._lanes(together, self._workers)
            for tier in self._tiers:
                if tier.alone:
                    await self._lanes([tier], 1)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _lanes(self, tiers: Sequence[Tier], most: int) -> None:
        waiting = deque(
            (tier, first, count)
            for tier in tiers
            for first, count in self._file.waiting(tier, tier.size[self._scale])
        )
        async with asyncio.TaskGroup() as lanes:
            for _ in range(min(most, len(waiting))):
                lanes.create_task(self._lane(waiting))

    async def _lane(self, waiting: deque[tuple[Tier, int, int]]) -> None:
        worker: Worker | None = None
        try:
            while waiting:
                if worker is None:
                    worker = self._new_worker()
                    await worker.start()
                tier, first, count = waiting.popleft()
                batch = await self._lived(worker, tier, first, count)
                self._file.add(batch)
                self._watcher.told(batch)
                if batch.fell and count > 1:
                    waiting.extendleft(
                        (tier, unit, 1) for unit in reversed(range(first, first + count))
                    )
                if batch.fell or worker.lived >= BATCHES_OF_A_LIFE:
                    await worker.end()
                    worker = None
        finally:
            if worker is not None:
                await worker.end()

    async def _lived(self, worker: Worker, tier: Tier, first: int, count: int) -> Batch:
        began = self._seconds()
        order = Order(tiers=self._module, tier=tier.name, first=first, count=count)
        fell = False
        try:
            outcome = await worker.live(order, self._limit_s or tier.limit_s)
        except Fell as how:
            fell = True
            units = f"unit {first}" if count == 1 else f"units {first} to {first + count - 1}"
            story = f"{tier.name}, {units}: {how}"
            broken = Broken(seed=first, story=story, again=again(tier.name, first))
            outcome = Outcome(units=1 if count == 1 else 0, broken=(broken,))
        else:
            outcome = honest(tier.name, first, count, outcome)
        return Batch(
            tree=self._file.tree,
            commit=self._commit,
            tier=tier.name,
            first=first,
            count=count,
            hash_seed=worker.hash_seed,
            seconds=round(self._seconds() - began, 3),
            outcome=outcome,
            fell=fell,
        )

    def _new_worker(self) -> Worker:
        self._started += 1
        number = len(self._file.batches) + self._started
        drawn = hashlib.sha256(f"{self._file.tree} program {number}".encode()).digest()
        return Worker(int.from_bytes(drawn[:4]), self._folder / str(self._started))
