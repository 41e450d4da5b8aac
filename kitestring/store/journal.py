"""The record of the trading day: each step is on disk, whole, before anything is sent.

The law: a commit that was acknowledged is there after ``kill -9`` or a power cut; one that was not
is there whole or not at all; and nothing that changed since it was written is ever read as if it
had not. SQLite keeps the bytes (WAL, ``synchronous=FULL``, one exclusive writer; torn tails are
its business), the hash chain of ``records`` keeps them honest. State is the fold of the cells;
every so often all live cells are stored as a checkpoint, so that recovery reads the last
checkpoint and the commits after it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import AnotherDayIsRunning, DiskFailed, StoreError
from kitestring.domain.events import DaySealed, Fact
from kitestring.domain.ports import Commit
from kitestring.store import journal_file
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.records import (
    SCHEMA,
    damaged,
    decode_cells,
    encode_cell,
    encode_cells,
    encode_commit,
    first_link,
    fold,
    link,
)

__all__ = [
    "JournalFacts",
    "MemoryJournal",
    "SqliteJournal",
    "VerifyResult",
    "encode_cell",
    "is_sealed",
    "read_facts",
    "seals",
    "verify",
]

CHECKPOINT_EVERY: Final = 256
"""Commits between two checkpoints, at the least."""


class SqliteJournal:
    """The journal of one run, on disk.

    Opening verifies the chain from the last checkpoint to the head, and that the disk takes
    writes. Raises ``JournalDamaged``, ``DiskFailed`` or ``AnotherDayIsRunning``. An empty
    ``run_key`` opens any run's journal.
    """

    def __init__(
        self, path: Path, *, run_key: str = "", checkpoint_every: int = CHECKPOINT_EVERY
    ) -> None:
        self.path = path
        self._every = checkpoint_every
        self._cells: dict[str, msgspec.Raw] = {}
        self._since_checkpoint = 0
        self._bytes_since_checkpoint = 0
        self._checkpoint_bytes = 0
        self._checkpoint_no = 0
        try:
            if not path.exists():
                journal_file.create(path, run_key)
            self._db = journal_file.connect(path)
        except OSError as error:
            raise journal_file.unwritable(error, path) from error
        except journal_file.REFUSALS as error:
            raise journal_file.translated(error, path) from error
        try:
            self.run_key, self._no, self._head = journal_file.read_header(self._db, path)
            if run_key and run_key != self.run_key:
                raise damaged(path, f"it was written for run {self.run_key!r}, not {run_key!r}")
            self._recover()
            # A disk that went read-only is found now, not at the first order.
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("COMMIT")
        except journal_file.REFUSALS as error:
            self._db.close()
            raise journal_file.translated(error, path) from error
        except StoreError:
            self._db.close()
            raise

    @property
    def count(self) -> int:
        """Number of the last commit; 0 in a new journal."""
        return self._no

    @property
    def head(self) -> str:
        """Hash of the last commit, in hexadecimal."""
        return self._head.hex()

    def commit(self, commit: Commit) -> int:
        """Make one step durable and return its number.

        Raises ``DiskFailed`` if it cannot be; the journal then stands where it stood before.
        """
        body = encode_commit(commit)
        digest = link(self._head, body)
        no = self._no + 1
        # As large again as the last checkpoint, at the least: so checkpoints never cost more
        # than the commits themselves, however much state there is.
        due = (
            self._since_checkpoint >= self._every
            and self._bytes_since_checkpoint >= self._checkpoint_bytes
        )
        checkpoint = encode_cells(self._cells) if due else b""
        execute = self._db.execute
        try:
            execute("BEGIN")
            if due:
                execute("DELETE FROM checkpoints WHERE no < ?", (self._checkpoint_no,))
                execute(
                    "INSERT OR REPLACE INTO checkpoints VALUES(?, ?, ?, ?, ?)",
                    (self._no, SCHEMA, self._head, checkpoint, link(self._head, checkpoint)),
                )
            execute(
                "INSERT INTO commits VALUES(?, ?, ?, ?, ?, ?)",
                (no, SCHEMA, commit.inbox, commit.at, body, digest),
            )
            execute("UPDATE head SET no = ?, hash = ? WHERE id = 1", (no, digest))
            execute("COMMIT")
        except sqlite3.ProgrammingError:
            raise  # A closed journal was written to: our bug, not the disk's failure.
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back already.
                execute("ROLLBACK")
            raise journal_file.translated(error, self.path) from error
        if due:
            self._checkpoint_no = self._no
            self._checkpoint_bytes = len(checkpoint)
            self._since_checkpoint = self._bytes_since_checkpoint = 0
        self._no = no
        self._head = digest
        self._since_checkpoint += 1
        self._bytes_since_checkpoint += len(body)
        fold(self._cells, commit.cells)
        return no

    def commits(self, after: int = 0) -> Iterator[tuple[int, Commit]]:
        """Every commit after the given number up to the last one now, verified, in order."""
        span = (after, self._no)
        for no, commit, _ in journal_file.walk(self._db, self.path, self.run_key, span, self._head):
            yield no, commit

    def cells(self) -> Mapping[str, bytes]:
        """The folded state: each cell as last written."""
        return {key: bytes(raw) for key, raw in self._cells.items()}

    def measure_commit_ms(self, samples: int = 16) -> float:
        """How long one durable commit takes on this disk now: the median, in milliseconds."""
        body = bytes(1024)
        taken: list[float] = []
        try:
            for _ in range(samples):
                begun = time.perf_counter()
                self._db.execute("INSERT OR REPLACE INTO probe VALUES(1, ?)", (body,))
                taken.append((time.perf_counter() - begun) * 1000.0)
        except sqlite3.Error as error:
            raise journal_file.translated(error, self.path) from error
        return statistics.median(taken)

    def close(self) -> None:
        """Let go of the files; closing twice is allowed."""
        self._db.close()

    def _recover(self) -> None:
        """Fold the last good checkpoint and what came after it.

        A checkpoint is only a view: one that does not verify is passed over for the one before
        it, and in the end for the whole chain.
        """
        start = 0
        rows = self._db.execute(
            "SELECT s.no, s.chain, s.body, s.hash FROM checkpoints s JOIN commits c ON c.no = s.no"
            " WHERE s.schema = ? AND s.chain = c.hash AND s.no <= ? ORDER BY s.no DESC",
            (SCHEMA, self._no),
        )
        for no, chain, body, digest in rows:
            if isinstance(body, bytes) and link(chain, body) == digest:
                self._cells = decode_cells(body)
                self._checkpoint_no, self._checkpoint_bytes = no, len(body)
                start = no
                break
        rows.close()
        for _, commit in self.commits(start):
            # Copied, so that a small cell does not keep its whole commit in memory.
            changes = commit.cells.items()
            fold(self._cells, {key: None if raw is None else raw.copy() for key, raw in changes})
            self._since_checkpoint += 1


class VerifyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What reading a whole journal found; ``damage`` is empty when all of it verifies."""

    path: str
    run_key: str
    commits: int
    """How many commits verify, from the first on."""
    head: str
    """Hash of the last commit that verifies, in hexadecimal."""
    sealed: bool
    """Whether the last commit seals the day."""
    damage: str = ""
    damaged_commit: int | None = None
    """Number of the first commit that does not verify."""


def verify(path: Path) -> VerifyResult:
    """Read a whole journal without changing it, and say how far it is true.

    Raises ``AnotherDayIsRunning`` while its day is running, and ``DiskFailed`` where the file
    cannot be opened at all.
    """
    run_key, count, head, sealed, damage = "", 0, b"", False, ""
    try:
        db, alone = journal_file.connect_read_only(path)
        with contextlib.closing(db):
            run_key, last, last_hash = journal_file.read_header(db, path, alone=alone)
            head = first_link(run_key)
            span = (0, last)
            for no, commit, digest in journal_file.walk(db, path, run_key, span, last_hash):
                count, head, sealed = no, digest, seals(commit)
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                damage = damaged(path, f"SQLite says: {found}").what
    except (AnotherDayIsRunning, DiskFailed):
        raise
    except StoreError as error:
        damage = error.what
    except journal_file.REFUSALS as error:
        refusal = journal_file.translated(error, path)
        if isinstance(refusal, AnotherDayIsRunning | DiskFailed):
            raise refusal from error
        damage = refusal.what
    return VerifyResult(
        path=str(path),
        run_key=run_key,
        commits=count,
        head=head.hex(),
        sealed=sealed,
        damage=damage,
        damaged_commit=count + 1 if damage else None,
    )


class JournalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal tells of its day, without the state it keeps for recovery."""

    run_key: str
    commits: int
    """Number of the last commit."""
    head: str
    """Hash of the last commit, in hexadecimal."""
    facts: tuple[Fact, ...]
    """Every fact of every commit, in order."""


def read_facts(path: Path) -> JournalFacts:
    """Read every fact of a journal, verified, without changing it.

    Raises ``AnotherDayIsRunning`` while its day is running, ``JournalDamaged`` where it does not
    verify, and ``DiskFailed`` where it cannot be opened.
    """
    try:
        db, alone = journal_file.connect_read_only(path)
        with contextlib.closing(db):
            run_key, last, head = journal_file.read_header(db, path, alone=alone)
            facts = [
                fact
                for _, commit, _ in journal_file.walk(db, path, run_key, (0, last), head)
                for fact in commit.facts
            ]
    except journal_file.REFUSALS as error:
        raise journal_file.translated(error, path) from error
    return JournalFacts(run_key=run_key, commits=last, head=head.hex(), facts=tuple(facts))


def is_sealed(path: Path) -> bool:
    """Whether a run's journal ends with its seal; reads the header and the last commit only.

    Raises as ``verify`` does, and ``JournalDamaged`` where the last commit does not verify.
    """
    try:
        db, alone = journal_file.connect_read_only(path)
        with contextlib.closing(db):
            run_key, last, head = journal_file.read_header(db, path, alone=alone)
            span = (max(0, last - 1), last)
            return any(seals(c) for _, c, _ in journal_file.walk(db, path, run_key, span, head))
    except journal_file.REFUSALS as error:
        raise journal_file.translated(error, path) from error


def sealed_by(path: Path) -> tuple[DaySealed, str] | None:
    """The seal of a run's journal and the hash of its last commit, or ``None`` if it is not sealed.

    Raises as ``is_sealed`` does.
    """
    try:
        db, alone = journal_file.connect_read_only(path)
        with contextlib.closing(db):
            run_key, last, head = journal_file.read_header(db, path, alone=alone)
            span = (max(0, last - 1), last)
            for _, commit, digest in journal_file.walk(db, path, run_key, span, head):
                for fact in commit.facts:
                    if isinstance(fact, DaySealed):
                        return fact, digest.hex()
    except journal_file.REFUSALS as error:
        raise journal_file.translated(error, path) from error
    return None


def read_commits(path: Path) -> Iterator[tuple[int, Commit]]:
    """Every commit of a journal that no day is using, verified, in order. Raises as ``verify``."""
    try:
        db, alone = journal_file.connect_read_only(path)
        with contextlib.closing(db):
            run_key, last, head = journal_file.read_header(db, path, alone=alone)
            for number, commit, _ in journal_file.walk(db, path, run_key, (0, last), head):
                yield number, commit
    except journal_file.REFUSALS as error:
        raise journal_file.translated(error, path) from error


def seals(commit: Commit) -> bool:
    """Whether a commit seals its day: nothing follows it."""
    return any(isinstance(fact, DaySealed) for fact in commit.facts)
