"""The journal's file: how it is born, opened, read back, and how its refusals are told apart.

The law: a new file appears whole (written aside, then renamed), so one without its header is
damaged, never new; and whatever SQLite says is translated once, here, into busy, disk or damage.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kitestring.domain.errors import AnotherDayIsRunning, DiskFailed, StoreError
from kitestring.domain.ports import Commit
from kitestring.store.atomic_file import sync_folder
from kitestring.store.records import SCHEMA, damaged, first_link, read_record

_APPLICATION_ID: Final = 0x4B535452
"""``KSTR``: SQLite's mark of whose file this is."""
_BATCH: Final = 256
_TABLES: Final = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    (
        "CREATE TABLE commits(no INTEGER PRIMARY KEY, schema INTEGER NOT NULL,"
        " inbox INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL, hash BLOB NOT NULL)"
    ),
    # The head says how long the chain is, so that rows lost at its end are missed.
    "CREATE TABLE head(id INTEGER PRIMARY KEY, no INTEGER NOT NULL, hash BLOB NOT NULL)",
    (
        "CREATE TABLE checkpoints(no INTEGER PRIMARY KEY, schema INTEGER NOT NULL,"
        " chain BLOB NOT NULL, body BLOB NOT NULL, hash BLOB NOT NULL)"
    ),
    "CREATE TABLE probe(id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DISK: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOLFS,
    }
)
_FREE_THE_DISK: Final = (
    "free space on that disk, or make its folder writable; then start the same command again:"
    " the day resumes where it stood"
)


REFUSALS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a file through SQLite may raise; the second one where damaged text is not UTF-8."""


def translated(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StoreError:
    """SQLite's refusal in the words of the house: busy, disk or damage."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in _BUSY:
        return AnotherDayIsRunning(
            f"The journal {path} is in use by another program, so this one did not start.",
            do="stop the other one (Ctrl-C in its window), or use another --artifacts folder",
        )
    if primary in _DISK and code != sqlite3.SQLITE_IOERR_SHORT_READ:
        return DiskFailed(
            f"The journal {path} cannot be written: {error}. No new risk is taken.",
            do=_FREE_THE_DISK,
        )
    return damaged(path, f"SQLite says: {error}")


def unwritable(error: OSError, path: Path) -> DiskFailed:
    """The operating system's refusal in the words of the house."""
    return DiskFailed(
        f"The journal {path} cannot be written: {error.strerror or error}. No new risk is taken.",
        do=_FREE_THE_DISK,
    )


def create(path: Path, run_key: str) -> None:
    """Bring an empty journal into the world, whole. Raises ``OSError`` and ``sqlite3.Error``."""
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise damaged(path, f"{wal.name} is there, but the file it belongs to is gone")
    aside = path.with_name(path.name + ".new")
    with contextlib.closing(begin(aside, run_key)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with aside.open("rb+") as file:
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def begin(aside: Path, run_key: str) -> sqlite3.Connection:
    """A new file with the tables of a journal that holds nothing yet, under a passing name.

    It keeps no roll-back journal and waits for no disk: whoever called syncs it once it is whole
    and gives it its name. Raises ``OSError`` and ``sqlite3.Error``.
    """
    aside.parent.mkdir(parents=True, exist_ok=True)
    for leftover in ("", "-journal", "-wal", "-shm"):
        aside.with_name(aside.name + leftover).unlink(missing_ok=True)
    db = sqlite3.connect(aside, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")
        db.execute("BEGIN")
        for table in _TABLES:
            db.execute(table)
        db.executemany(
            "INSERT INTO meta VALUES(?, ?)",
            (("application", "kitestring"), ("schema", str(SCHEMA)), ("run_key", run_key)),
        )
        db.execute("INSERT INTO head VALUES(1, 0, ?)", (first_link(run_key),))
        db.execute("COMMIT")
    except sqlite3.Error:
        db.close()
        raise
    return db


def connect(path: Path) -> sqlite3.Connection:
    """The one writer of an existing journal. Raises ``sqlite3.Error``."""
    db = sqlite3.connect(path, isolation_level=None, timeout=0.0)
    try:
        # Exclusive before the first read: the WAL's index is then in our memory, not in a file.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA synchronous = FULL")
    except REFUSALS:
        db.close()
        raise
    return db


def connect_read_only(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A reader of a journal that no day is using, and whether the file stands alone.

    Without a WAL it does, and can be read from a read-only disk as well. Raises ``sqlite3.Error``.
    """
    alone = not path.with_name(path.name + "-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.0), alone


def read_header(
    db: sqlite3.Connection, path: Path, *, alone: bool = False
) -> tuple[str, int, bytes]:
    """Run key, number and hash of the last commit; ``alone`` says that there is no WAL to read.

    Raises ``JournalDamaged`` and ``sqlite3.Error``.
    """
    application = db.execute("PRAGMA application_id").fetchone()[0]
    # A header that has lost its WAL mode would have the day written in another, untested way.
    mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    if application != _APPLICATION_ID or not (alone or mode == "wal"):
        raise damaged(path, "its header is not that of a journal")
    tables = db.execute(
        "SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY rowid"
    ).fetchall()
    if tables != [(table,) for table in _TABLES]:
        raise damaged(path, "its tables are not those of a journal")
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if meta.get("application") != "kitestring" or not isinstance(meta.get("run_key"), str):
        raise damaged(path, "its header does not name a run")
    if meta.get("schema") != str(SCHEMA):
        raise damaged(path, f"it has schema {meta.get('schema')!r}; this house reads {SCHEMA}")
    heads = db.execute("SELECT no, hash FROM head").fetchall()
    if len(heads) != 1:
        raise damaged(path, "it does not say where its chain ends")
    (no, head) = heads[0]
    if not isinstance(no, int) or no < 0 or not isinstance(head, bytes):
        raise damaged(path, "it does not say where its chain ends")
    return meta["run_key"], no, head


def walk(
    db: sqlite3.Connection, path: Path, run_key: str, span: tuple[int, int], head: bytes
) -> Iterator[tuple[int, Commit, bytes]]:
    """Commits ``span[0] + 1`` to ``span[1]`` with their hashes, verified to end in ``head``.

    Raises ``JournalDamaged`` naming the first commit that does not verify.
    """
    after, until = span
    no, previous = after, first_link(run_key)
    try:
        if after > 0:
            row = db.execute("SELECT hash FROM commits WHERE no = ?", (after,)).fetchone()
            if row is None or not isinstance(row[0], bytes):
                raise damaged(path, f"commit {after} is missing")
            previous = row[0]
        while no < until:
            # In batches, so that no cursor stays open while the day goes on writing.
            rows = db.execute(
                "SELECT no, schema, inbox, at, body, hash FROM commits"
                " WHERE no > ? AND no <= ? ORDER BY no LIMIT ?",
                (no, until, _BATCH),
            ).fetchall()
            if not rows:
                raise damaged(path, f"commit {no + 1} is missing (the chain ends at {until})")
            for row in rows:
                no += 1
                commit = read_record(path, no, previous, row)
                previous = row[5]
                yield no, commit, previous
        beyond = db.execute("SELECT max(no) FROM commits").fetchone()[0] or 0
    except REFUSALS as error:
        raise translated(error, path) from error
    if previous != head:
        raise damaged(path, f"commit {until} does not match the head of the chain")
    if beyond < until:
        raise damaged(path, f"commit {until} is missing")
