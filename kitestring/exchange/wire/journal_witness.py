"""Looks into a sender's journal as its order arrives, because afterwards nobody knows which came first.

A client may name its journal with an order (``X-Kitestring-Journal``). While that order still waits at
the door, the files are searched for its tag: was the intent on disk before the request?
Nothing is kept of what is read but yes or no.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

_BESIDE: Final = ("-wal", "")
"""The newest commits lie in the write-ahead log."""
_LOOKS: Final = 3


def holds_tag(journal: str, tag: str) -> bool | None:
    """Whether the journal holds an order of this tag; ``None`` where no journal is named or there."""
    path = Path(journal)
    if not tag or not journal or not path.is_absolute() or not path.is_file():
        return None
    wanted = tag.encode()
    for suffix in _BESIDE:
        with contextlib.suppress(OSError):
            if wanted in path.with_name(path.name + suffix).read_bytes():
                return True
    # A tag may be cut in two by the end of a page: ask the database itself before saying no.
    return any(_committed(path, wanted) for _ in range(_LOOKS))


def _committed(journal: Path, wanted: bytes) -> bool:
    """Whether a copy of the journal has a commit with these bytes; the original is held alone."""
    with tempfile.TemporaryDirectory(prefix="kitestring-") as folder:
        copy = Path(folder) / journal.name
        try:
            for suffix in _BESIDE:
                source = journal.with_name(journal.name + suffix)
                if source.exists():
                    shutil.copyfile(source, copy.with_name(copy.name + suffix))
            with contextlib.closing(sqlite3.connect(copy)) as db:
                found = db.execute(
                    "SELECT 1 FROM commits WHERE instr(body, ?) > 0 LIMIT 1", (wanted,)
                ).fetchone()
        except (OSError, sqlite3.Error):
            return False
    return found is not None
