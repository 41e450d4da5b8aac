"""The guard's own record: one JSON line a fact, on disk before anything of it is sent.

Kept apart from the engine's journal, if need be on another disk: it must be writable when that is not.
A last line cut short by a power failure is left out; everything before it counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import DiskFailed
from kitestring.domain.instants import Instant, ist_text
from kitestring.domain.unreadable import UNREADABLE

FILE_NAME: Final = "guard.jsonl"


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

    def append(self, line: GuardLine) -> None:
        """Write a line and wait for the disk. Raises ``DiskFailed``."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(file, self._break() + msgspec.json.encode(line) + b"\n")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise DiskFailed(
                f"The guard's journal {self.path} cannot be written: {error.strerror}.",
                do="give the guard another folder with --journal",
            ) from error

    def lines(self) -> Iterator[GuardLine]:
        """Every line that can be read, oldest first."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return
        for raw in content.splitlines():
            try:
                yield msgspec.json.decode(raw, type=GuardLine)
            except UNREADABLE:
                continue

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
