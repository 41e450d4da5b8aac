"""The guard's own record: one JSON line a fact, on disk before anything of it is sent.

Kept apart from the engine's journal, if need be on another disk: it must be writable when that is not.
A last line cut short by a power failure is left out; everything before it counts. Each line ends in a
checksum: one that was changed since is left out, too, and said (``damage``). Some room is kept for the
worst day: where the disk is full, it is given back to the record.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import DiskFailed
from kitestring.domain.instants import Instant, ist_text
from kitestring.domain.unreadable import UNREADABLE

FILE_NAME: Final = "guard.jsonl"
_ROOM: Final = "guard.room"
ROOM_BYTES: Final = 128 << 10
"""More than the lines of a takeover."""
_CHECK: Final = b',"check":"%08x"}'
_CHECK_SIZE: Final = len(_CHECK % 0)


class GuardLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact."""

    at: Instant
    kind: str
    """``began``, ``took over``, ``intent``, ``outcome``, ``finished``, ``ended`` or ``note``."""
    sentence: str
    epoch: int = 0
    tag: str = ""
    """Of the order an intent or outcome is about."""
    instrument: str = ""
    product: str = ""
    side: str = ""
    qty: int = 0
    order_id: str = ""
    policy: str = ""
    run: str = ""


class GuardJournal:
    """The file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._room = folder / _ROOM
        self.damage = ""
        """What of the file could not be read the last time, and where; empty if all of it was."""

    def keep_room(self) -> None:
        """Put room aside for a full disk; without any, there is none."""
        with contextlib.suppress(OSError):
            self._room.parent.mkdir(parents=True, exist_ok=True)
            with self._room.open("wb") as file:
                file.write(bytes(ROOM_BYTES))
                file.flush()
                os.fsync(file.fileno())

    def append(self, line: GuardLine) -> None:
        """Write a line and wait for the disk. Raises ``DiskFailed``; then nothing of it is there."""
        try:
            try:
                self._append(line)
            except OSError:
                self._room.unlink(missing_ok=True)
                self._append(line)
        except OSError as error:
            raise DiskFailed(
                f"The guard's journal {self.path} cannot be written: {error.strerror}.",
                do="give the guard another folder with --journal",
            ) from error

    def _append(self, line: GuardLine) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(file).st_size
            content = memoryview(self._break() + _checked(msgspec.json.encode(line)) + b"\n")
            try:
                while content:
                    # A disk with room for half of it takes half of it, and calls that success.
                    content = content[os.write(file, content) :]
                os.fsync(file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, size)
                raise
        finally:
            os.close(file)

    def lines(self) -> Iterator[GuardLine]:
        """Every line that is as it was written, oldest first; ``damage`` says what is not."""
        self.damage = ""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            self.damage = f"{self.path} cannot be read: {error.strerror}"
            return
        torn = not content.endswith(b"\n")
        rows = content.split(b"\n")
        for number, raw in enumerate(rows, 1):
            if not raw:
                continue
            try:
                yield _line_of(raw)
            except UNREADABLE:
                # Half a line was never on disk whole, so nothing was done upon it.
                whole = raw.endswith(b"}") or not torn or number < len(rows)
                if whole and not _cut_off(raw):
                    self.damage = f"line {number} of {self.path} is not as it was written"

    def last_deed(self) -> list[GuardLine]:
        """The last time it took over, from then on; empty if it never did."""
        found: list[GuardLine] = []
        for line in self.lines():
            if line.kind == "took over":
                found = []
            if found or line.kind == "took over":
                found.append(line)
        return found

    def story(self) -> list[str]:
        """The last time it took over, for a person."""
        return [f"{ist_text(line.at)}  {line.sentence}" for line in self.last_deed()]

    def _break(self) -> bytes:
        """A new line first, where a power failure has left half of one."""
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return b"" if file.read(1) == b"\n" else b"\n"
        except OSError:
            return b""


def _checked(body: bytes) -> bytes:
    return body[:-1] + _CHECK % zlib.crc32(body)


def _line_of(raw: bytes) -> GuardLine:
    """One line. Raises ``msgspec.DecodeError`` where it is not as it was written."""
    body = raw[:-_CHECK_SIZE] + b"}"
    if _checked(body) != raw:
        raise msgspec.DecodeError("its checksum does not verify")
    return msgspec.json.decode(body, type=GuardLine)


def _cut_off(raw: bytes) -> bool:
    """Whether it is the first part of a line: the power went, and a later line began anew."""
    return not raw.endswith(b'"}') and raw.startswith(b'{"at"')
