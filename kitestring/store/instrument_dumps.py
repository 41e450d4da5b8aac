"""The broker's lists of instruments, one file a day, kept as they came.

A file begins with one line that says which day's list it is, when it was fetched, how many rows each
exchange has, and the checksum of what follows; the list itself follows, compressed. Files are
replaced whole. A file that does not verify is never read as a list.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import DiskFailed, StoreError
from kitestring.domain.instants import Instant
from kitestring.store.atomic_file import write_atomically

_FORMAT: Final = "kitestring instruments 1"
_HEAD_MAX: Final = 64 * 1024


class DumpHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first line says."""

    format: str
    day: dt.date
    fetched_at: Instant
    counts: dict[str, int]
    """Rows by exchange."""
    checksum: str = ""
    """Of the list as packed, and of this line without it."""


class KeptDump(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it was kept."""

    head: DumpHead
    content: bytes


class InstrumentDumps:
    """The lists kept in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, day: dt.date) -> Path:
        """Where a day's list is."""
        return self.folder / f"{day}.instruments"

    def keep(
        self, content: bytes, *, day: dt.date, fetched_at: Instant, counts: dict[str, int]
    ) -> None:
        """Keep a day's list, in place of an earlier one of that day. Raises ``DiskFailed``."""
        packed = zlib.compress(content, level=3)
        head = DumpHead(
            format=_FORMAT,
            day=day,
            fetched_at=fetched_at,
            counts=dict(sorted(counts.items())),
        )
        head = msgspec.structs.replace(head, checksum=_checksum(head, packed))
        try:
            write_atomically(
                self.path_of(day), msgspec.json.encode(head) + b"\n" + packed, durable=True
            )
        except OSError as error:
            raise DiskFailed(
                f"The list of instruments of {day} cannot be kept in {self.folder}: "
                f"{error.strerror}.",
                do="free space on that disk, or make it writable",
            ) from error

    def read(self, day: dt.date) -> KeptDump | None:
        """The list of exactly that day, or ``None``. Raises ``StoreError`` if it does not verify."""
        path = self.path_of(day)
        try:
            whole = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"The list of instruments in {path} cannot be read: {error.strerror}.",
                do="make it readable, or delete it: it will be fetched again",
            ) from error
        line, found, packed = whole.partition(b"\n")
        head = _head(line) if found else None
        if head is None or head.day != day or head.checksum != _checksum(head, packed):
            raise StoreError(
                f"The list of instruments in {path} is damaged or of another day.",
                do="delete it: it will be fetched again",
            )
        try:
            return KeptDump(head=head, content=zlib.decompress(packed))
        except zlib.error as error:
            raise StoreError(
                f"The list of instruments in {path} cannot be unpacked: {error}.",
                do="delete it: it will be fetched again",
            ) from error

    def counts_before(self, day: dt.date) -> tuple[dt.date, dict[str, int]] | None:
        """The latest earlier day with a list, and its rows by exchange; damaged files are passed over."""
        if not self.folder.is_dir():
            return None
        for path in sorted(self.folder.glob("????-??-??.instruments"), reverse=True):
            if path.name >= self.path_of(day).name:
                continue
            try:
                with path.open("rb") as file:
                    head = _head(file.readline(_HEAD_MAX))
            except OSError:
                continue
            if head is not None and self.path_of(head.day) == path:
                return head.day, head.counts
        return None


def _head(line: bytes) -> DumpHead | None:
    try:
        head = msgspec.json.decode(line, type=DumpHead)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return head if head.format == _FORMAT else None


def _checksum(head: DumpHead, packed: bytes) -> str:
    digest = hashlib.blake2b(
        msgspec.json.encode(msgspec.structs.replace(head, checksum="")), digest_size=16
    )
    digest.update(packed)
    return digest.hexdigest()
