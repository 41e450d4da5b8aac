"""The exchange's ledger on disk: one line appended and synced before anybody is told of it.

Kept in a file of its own, written by the exchange only, so that it can judge the house's journal.
A half last line (the power went while it was written) is cut off on opening: nobody was told of
it. Any other damage raises ``StoreError``: each line ends in a checksum of itself and of all lines
before it, so that one that was changed, taken out or put elsewhere is found.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kitestring.domain.errors import DiskFailed, StoreError


class FileLedger:
    """An append-only file of lines; ``records`` are those it held when it was opened.

    ``durable`` waits for the disk at every line; without it a line survives the death of the
    program, but not of the machine.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        self.records, self._check = _mended(path)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise DiskFailed(
                f"The exchange's ledger {path} cannot be opened ({error.strerror}).",
                do="check the folder's permissions and free space",
            ) from error

    def append(self, record: bytes) -> None:
        """Write one line and wait until it is kept; raises ``DiskFailed`` if it cannot be."""
        line, check = _checked(record, self._check)
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
            if self._durable:
                _sync(self._file)
        except OSError as error:
            raise DiskFailed(
                f"The exchange's ledger {self.path} cannot be written ({error.strerror}).",
                do="free disk space, then start again: the day goes on where it stopped",
            ) from error
        self._check = check

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_sync = getattr(os, "fdatasync", os.fsync)
"""``fdatasync`` where there is one: the length of the file is kept, its time of change is not."""


_CHECK: Final = b',"check":"%08x"}'
_CHECK_SIZE: Final = len(_CHECK % 0)


def _checked(record: bytes, before: int) -> tuple[bytes, int]:
    """The line of a record, which is a JSON object, and the checksum it ends in."""
    assert record.endswith(b"}")
    check = zlib.crc32(record, before)
    return record[:-1] + _CHECK % check + b"\n", check


def _mended(path: Path) -> tuple[list[bytes], int]:
    """The records of the file, after cutting off a half last line, and the last checksum."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise StoreError(
            f"The exchange's ledger {path} cannot be read ({error.strerror}).",
            do="check the file's permissions",
        ) from error
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].split(b"\n")[:-1]
    records, check = [], 0
    for number, line in enumerate(lines, 1):
        record = line[:-_CHECK_SIZE] + b"}"
        told, check = _checked(record, check)
        if told != line + b"\n":
            raise StoreError(
                f"Line {number} of the exchange's ledger {path} is damaged: it does not verify.",
                do="restore the file from a backup, or start another run with --fresh",
            )
        records.append(record)
    if whole < len(content):
        try:
            with path.open("r+b") as file:
                file.truncate(whole)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DiskFailed(
                f"The half last line of {path} cannot be cut off ({error.strerror}).",
                do="check the folder's permissions and free space",
            ) from error
    return records, check
