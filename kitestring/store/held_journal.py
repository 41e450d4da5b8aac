"""The journal of a day that nobody outside can hear of: kept in memory, put on disk whole at its seal.

The law: the same commits give the same bytes and the same chain as a journal written step by step;
the file appears whole (written aside, synced, renamed) or not at all. So a day of a past market that
is interrupted leaves no journal, and is traded again from its opening, to the same end. Never for
a day whose orders can reach anybody (docs/decisions/0009).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from kitestring.store import journal_file
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.records import SCHEMA


class HeldJournal(MemoryJournal):
    """A journal in memory that ``write`` turns into an ordinary journal file."""

    def __init__(self, path: Path, *, run_key: str) -> None:
        super().__init__(run_key=run_key)
        self.path = path

    def write(self) -> None:
        """Put the whole journal on disk. Raises ``DiskFailed``."""
        path = self.path
        aside = path.with_name(path.name + ".new")
        rows = (
            (number, SCHEMA, inbox, at, body, digest)
            for number, (_, inbox, at, body, digest) in enumerate(self._kept, 1)
        )
        try:
            with contextlib.closing(journal_file.begin(aside, self.run_key)) as db:
                db.execute("BEGIN")
                db.executemany("INSERT INTO commits VALUES(?, ?, ?, ?, ?, ?)", rows)
                db.execute("UPDATE head SET no = ?, hash = ? WHERE id = 1", (self._no, self._head))
                db.execute("COMMIT")
                db.execute("PRAGMA journal_mode = WAL")
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            # The new name is not waited for: without it, the day is merely traded once more.
            aside.replace(path)
        except OSError as error:
            raise journal_file.unwritable(error, path) from error
        except sqlite3.Error as error:
            raise journal_file.translated(error, path) from error
