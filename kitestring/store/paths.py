"""Where the files of a day are: every run has its own folder, and the familiar paths show the latest.

The law: a run never writes into another run's folder, and starting afresh deletes nothing. The
paths that people and other programs know (``artifacts/journal/<date>/orders.csv`` and so on) are
real copies, replaced whole: links would not work on Windows.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import msgspec

from kitestring.domain.errors import AnotherDayIsRunning, DiskFailed, StoreError
from kitestring.store.atomic_file import copy_atomically, write_atomically
from kitestring.store.journal import is_sealed

Mode = Literal["paper", "live", "twin"]
"""``twin`` is the paper day beside a live one."""

_CSV_NAMES: Final = ("orders.csv", "fills.csv", "trades.csv")


class RunState(StrEnum):
    """How far a run has come."""

    RUNNING = "running"
    """Another process holds its journal now."""
    INTERRUPTED = "interrupted"
    """It has not been sealed: starting it again resumes it."""
    SEALED = "sealed"
    """Its day is over."""
    DAMAGED = "damaged"
    """Its journal does not verify."""


class RunCard(msgspec.Struct, frozen=True, kw_only=True):
    """What ``run.json`` in a run's folder says: which run this is."""

    run_key: str
    mode: Mode
    date: dt.date
    attempt: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunPaths:
    """All paths of one run. ``attempt`` is 1, or higher for runs started with ``--fresh``."""

    artifacts: Path
    mode: Mode
    date: dt.date
    run_key: str
    attempt: int = 1

    @property
    def folder(self) -> Path:
        """``artifacts/runs/2026-11-23-paper-1a2b3c4d``, with ``-2``, ``-3`` for fresh starts."""
        key = self.run_key
        if len(key) < 8 or not (key.isascii() and key.isalnum()):
            key = hashlib.sha256(key.encode()).hexdigest()
        suffix = "" if self.attempt == 1 else f"-{self.attempt}"
        return self.artifacts / "runs" / f"{self.date}-{self.mode}-{key[:8]}{suffix}"

    @property
    def card(self) -> Path:
        """Which run this is, in full."""
        return self.folder / "run.json"

    @property
    def journal(self) -> Path:
        """The record of the day."""
        return self.folder / "journal.sqlite"

    @property
    def tape(self) -> Path:
        """Everything that came from the feed."""
        return self.folder / "tape.bin"

    @property
    def exchange_ledger(self) -> Path:
        """What the paper exchange did, in its own words."""
        return self.folder / "exchange_ledger.jsonl"

    @property
    def orders(self) -> Path:
        """One row per order."""
        return self.folder / "orders.csv"

    @property
    def fills(self) -> Path:
        """One row per execution."""
        return self.folder / "fills.csv"

    @property
    def trades(self) -> Path:
        """One row per round trip."""
        return self.folder / "trades.csv"

    @property
    def summary(self) -> Path:
        """The day's summary, once it is over."""
        return self.folder / "summary.json"

    @property
    def report(self) -> Path:
        """The day's report, one page that needs nothing else."""
        return self.folder / "report.html"

    @property
    def state_latest(self) -> Path:
        """The latest state of this mode, whatever the run."""
        return self.artifacts / "checkpoints" / f"{self.mode}_state_latest.json"

    @property
    def latest_folder(self) -> Path:
        """Where the CSV files of the day's latest run of this mode are shown."""
        family = "journal" if self.mode == "paper" else self.mode
        return self.artifacts / family / str(self.date)

    @property
    def events(self) -> Path:
        """The log of events of all runs."""
        return self.artifacts / "logs" / "events.jsonl"

    def create(self, *, durable: bool = True) -> None:
        """Make the folder and its card; a folder that is there already is kept as it is.

        ``durable`` waits for the disk.

        Raises ``DiskFailed``, and ``StoreError`` where the folder belongs to another run.
        """
        card = RunCard(run_key=self.run_key, mode=self.mode, date=self.date, attempt=self.attempt)
        present = _read_card(self.folder)
        if present is not None and present != card:
            raise StoreError(
                f"The folder {self.folder} belongs to another run ({present.run_key}).",
                do="use another --artifacts folder, or --fresh",
            )
        if present is None:
            try:
                content = msgspec.json.format(msgspec.json.encode(card))
                write_atomically(self.card, content + b"\n", durable=durable)
            except OSError as error:
                raise DiskFailed(
                    f"The folder {self.folder} cannot be written: {error.strerror}.",
                    do="free space on that disk, make it writable, or use another --artifacts",
                ) from error

    def publish(self) -> tuple[Path, ...]:
        """Show this run's CSV files at the familiar paths; the ones that would not be written.

        A file that another program holds open (a spreadsheet on Windows) stays for a later try.
        """
        waiting: list[Path] = []
        for name in _CSV_NAMES:
            source = self.folder / name
            try:
                if source.exists():
                    copy_atomically(source, self.latest_folder / name)
            except OSError:
                waiting.append(self.latest_folder / name)
        return tuple(waiting)

    def publish_report(self) -> Path | None:
        """Show this run's report at the familiar path; ``None`` if it would not be written there."""
        try:
            copy_atomically(self.report, self.latest_folder / self.report.name)
        except OSError:
            return None
        return self.latest_folder / self.report.name

    def state(self) -> RunState:
        """How far this run has come, from its journal."""
        if not self.journal.exists():
            return RunState.INTERRUPTED
        try:
            return RunState.SEALED if is_sealed(self.journal) else RunState.INTERRUPTED
        except AnotherDayIsRunning:
            return RunState.RUNNING
        except StoreError:
            return RunState.DAMAGED


def list_runs(artifacts: Path) -> list[RunPaths]:
    """Every run in the artifacts folder, by date, mode and attempt."""
    runs: list[RunPaths] = []
    if (artifacts / "runs").is_dir():
        for folder in (artifacts / "runs").iterdir():
            card = _read_card(folder)
            if card is not None:
                runs.append(
                    RunPaths(
                        artifacts=artifacts,
                        mode=card.mode,
                        date=card.date,
                        run_key=card.run_key,
                        attempt=card.attempt,
                    )
                )
    return sorted(runs, key=lambda run: (run.date, run.mode, run.run_key, run.attempt))


def find_run(artifacts: Path, run_key: str) -> RunPaths | None:
    """The latest attempt of a run, or ``None`` if it was never started."""
    found = [run for run in list_runs(artifacts) if run.run_key == run_key]
    return found[-1] if found else None


def open_run(
    artifacts: Path, *, mode: Mode, date: dt.date, run_key: str, fresh: bool = False
) -> RunPaths:
    """The run to work in: the latest attempt, or with ``fresh`` the next one. Creates its folder."""
    latest = find_run(artifacts, run_key)
    attempt = 1 if latest is None else latest.attempt + (1 if fresh else 0)
    run = RunPaths(artifacts=artifacts, mode=mode, date=date, run_key=run_key, attempt=attempt)
    run.create()
    return run


class GroupCard(msgspec.Struct, frozen=True, kw_only=True):
    """What ``group.json`` says: which chain of days this folder holds."""

    group_key: str
    mode: Mode
    first: dt.date
    last: dt.date
    attempt: int


def list_groups(artifacts: Path) -> list[tuple[Path, GroupCard]]:
    """Every chain of days in the artifacts folder, by first day, key and attempt.

    Each folder is laid out like an artifacts folder: ``list_runs(folder)`` are its days.
    """
    found: list[tuple[Path, GroupCard]] = []
    if (artifacts / "groups").is_dir():
        for folder in (artifacts / "groups").iterdir():
            try:
                content = (folder / "group.json").read_bytes()
                found.append((folder, msgspec.json.decode(content, type=GroupCard)))
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                continue
    return sorted(found, key=lambda one: (one[1].first, one[1].group_key, one[1].attempt))


def next_group(
    artifacts: Path, *, first: dt.date, last: dt.date, group_key: str, fresh: bool
) -> Path:
    """The folder of a chain of days: the latest attempt, or with ``fresh`` a new one.

    Raises ``DiskFailed``.
    """
    attempts = [card.attempt for _, card in list_groups(artifacts) if card.group_key == group_key]
    attempt = max(attempts, default=0) + (1 if fresh or not attempts else 0)
    suffix = "" if attempt == 1 else f"-{attempt}"
    folder = artifacts / "groups" / f"{first}_{last}-paper-{group_key[:8]}{suffix}"
    card = GroupCard(group_key=group_key, mode="paper", first=first, last=last, attempt=attempt)
    if not (folder / "group.json").exists():
        try:
            content = msgspec.json.format(msgspec.json.encode(card))
            write_atomically(folder / "group.json", content + b"\n", durable=True)
        except OSError as error:
            raise DiskFailed(
                f"The folder {folder} cannot be written: {error.strerror}.",
                do="free space on that disk, make it writable, or use another --artifacts",
            ) from error
    return folder


def _read_card(folder: Path) -> RunCard | None:
    """The card of a run's folder; ``None`` for a folder that is no run's."""
    try:
        return msgspec.json.decode((folder / "run.json").read_bytes(), type=RunCard)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
