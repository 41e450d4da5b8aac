"""Reads a day's record for whoever asks about it, also while that day is still being traded.

The law: nothing is changed, and nothing is told that the hash chain does not vouch for. A running
day holds its journal alone; it is read from a copy, and a copy torn by the day going on does not
verify and is taken again.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.errors import AnotherDayIsRunning, ConfigError, JournalDamaged, StoreError
from kitestring.domain.events import DaySealed, Fact, RunOpened
from kitestring.domain.instants import Instant
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill
from kitestring.store import journal_file
from kitestring.store.journal import VerifyResult, verify
from kitestring.store.paths import RunPaths, RunState, list_runs

_COPIES: Final = 5


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's journal holds, verified."""

    paths: RunPaths
    commits: tuple[tuple[int, Commit], ...]
    running: bool
    """Whether its day is being traded now: what comes after ``at`` is not in here."""

    @property
    def run(self) -> str:
        """The name of the run: its folder's."""
        return self.paths.folder.name

    @property
    def opened(self) -> RunOpened | None:
        """What the run is made of; ``None`` when it was stopped before it began."""
        for fact in self.facts():
            if isinstance(fact, RunOpened):
                return fact
        return None

    @property
    def sealed(self) -> DaySealed | None:
        """How the day ended, once it did."""
        if self.commits:
            for fact in self.commits[-1][1].facts:
                if isinstance(fact, DaySealed):
                    return fact
        return None

    @property
    def state(self) -> RunState:
        """How far the run has come."""
        if self.running:
            return RunState.RUNNING
        return RunState.INTERRUPTED if self.sealed is None else RunState.SEALED

    @property
    def at(self) -> Instant:
        """Market time of the last commit; 0 before the first."""
        return self.commits[-1][1].at if self.commits else 0

    @property
    def opening_cells(self) -> dict[str, bytes]:
        """The state the day began with: each cell before the first bar closed or order filled."""
        cells: dict[str, bytes] = {}
        for _, commit in self.commits:
            if any(isinstance(fact, Bar | Fill) for fact in commit.facts):
                break
            cells |= {key: bytes(raw) for key, raw in commit.cells.items() if raw is not None}
        return cells

    def facts(self) -> Iterator[Fact]:
        """Every fact, in the order it became one."""
        for _, commit in self.commits:
            yield from commit.facts


def read_run(paths: RunPaths) -> Recorded:
    """Everything a run's journal holds.

    Raises ``JournalDamaged``, ``DiskFailed``, and ``AnotherDayIsRunning`` where the day writes so
    fast that no whole copy could be taken.
    """
    if not paths.journal.exists():
        return Recorded(paths=paths, commits=(), running=False)
    try:
        return Recorded(paths=paths, commits=_read(paths.journal), running=False)
    except AnotherDayIsRunning:
        return Recorded(paths=paths, commits=_of_copy(paths.journal), running=True)


def verify_run(journal: Path) -> tuple[VerifyResult, bool]:
    """``store.journal.verify``, of a copy where the day is running; and whether it is."""
    try:
        return verify(journal), False
    except AnotherDayIsRunning:
        result: VerifyResult | None = None
        for _ in range(_COPIES):
            with _copied(journal) as copy:
                result = verify(copy)
            if not result.damage:
                break
        assert result is not None
        return msgspec.structs.replace(result, path=str(journal)), True


def chosen_run(artifacts: Path, *, run: str | None = None, day: str | None = None) -> RunPaths:
    """The run that somebody means: by (part of) its name, by its day, or else the latest one.

    The latest is the one whose journal was written last. Raises ``ConfigError`` naming what there
    is where nothing fits.
    """
    runs = every_run(artifacts)
    if not runs:
        raise ConfigError(
            f"There are no runs in {artifacts} yet.",
            do="trade a day first: python -m scripts.run_day; or name the folder with --artifacts",
        )
    fitting = runs
    if run is not None:
        fitting = [one for one in runs if one.folder.name == run]
        if not fitting:
            fitting = [one for one in runs if run in one.folder.name]
        if len(fitting) > 1:
            names = ", ".join(one.folder.name for one in fitting[:6])
            raise ConfigError(f"{len(fitting)} runs are called like {run}: {names}.", do="say more")
    if day is not None:
        fitting = [one for one in fitting if str(one.date) == day]
    if not fitting:
        what = f"called {run}" if run is not None else f"of {day}"
        raise ConfigError(
            f"There is no run {what} in {artifacts}.",
            do=f"python -m kitestring days --artifacts {artifacts} lists them",
        )
    # A twin is asked for by its name: what somebody means by "the day" is the live one.
    days = [one for one in fitting if one.mode != "twin"]
    return newest(fitting if run is not None else days or fitting)[0]


def every_run(artifacts: Path) -> list[RunPaths]:
    """Every run there is, also the days of chains, which have folders of their own; by date."""
    runs = list_runs(artifacts)
    chains = artifacts / "groups"
    if chains.is_dir():
        for folder in sorted(chains.iterdir()):
            runs += list_runs(folder)
    return sorted(runs, key=lambda run: (run.date, run.mode, run.run_key, run.attempt))


def newest(runs: list[RunPaths]) -> list[RunPaths]:
    """Runs by when their journal was written last, the latest first."""
    return sorted(runs, key=lambda one: (_touched(one), one.folder.name), reverse=True)


def _touched(run: RunPaths) -> int:
    """When a run was last written, by the clock of its disk."""
    for path in (run.journal.with_name(run.journal.name + "-wal"), run.journal, run.card):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime_ns
    return 0


def _read(journal: Path) -> tuple[tuple[int, Commit], ...]:
    try:
        db, alone = journal_file.connect_read_only(journal)
        with contextlib.closing(db):
            run_key, last, head = journal_file.read_header(db, journal, alone=alone)
            walked = journal_file.walk(db, journal, run_key, (0, last), head)
            return tuple((number, commit) for number, commit, _ in walked)
    except journal_file.REFUSALS as error:
        raise journal_file.translated(error, journal) from error


def _of_copy(journal: Path) -> tuple[tuple[int, Commit], ...]:
    for _ in range(_COPIES):
        with _copied(journal) as copy, contextlib.suppress(JournalDamaged):
            return _read(copy)
    raise AnotherDayIsRunning(
        f"The journal {journal} changed under our hands {_COPIES} times.",
        do="try again in a moment, or see python -m kitestring status",
    )


@contextlib.contextmanager
def _copied(journal: Path) -> Iterator[Path]:
    """A copy of a journal and what SQLite keeps beside it, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="kitestring-") as folder:
        copy = Path(folder) / journal.name
        try:
            for suffix in ("", "-wal"):
                source = journal.with_name(journal.name + suffix)
                if source.exists():
                    shutil.copyfile(source, copy.with_name(copy.name + suffix))
        except OSError as error:
            raise StoreError(
                f"The journal {journal} cannot be copied: {error.strerror}.",
                do="check the rights of the file, and that there is room for temporary files",
            ) from error
        yield copy
