"""What the house owns, in one small file that the guard reads: positions, working orders, and who wrote it.

The engine rewrites it before a command can leave, and raises a counter beside it from its own loop.
A file that cannot be read says nothing; it never says "nothing is owned".
"""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money
from kitestring.domain.orders import Product, Purpose, Side
from kitestring.domain.unreadable import UNREADABLE

OWNED: Final = "owned.json"
_OTHER: Final = "owned-2.json"
ENGINE_BEATS: Final = "engine.heartbeat"
GUARD_BEATS: Final = "guard.heartbeat"
_DIGITS: Final = 20


class OwnedBook(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy's position."""

    strategy: StrategyId
    instrument: InstrumentId
    product: Product
    net_qty: int
    multiplier: int = 1
    freeze_qty: int = 0
    """The most one order may ask for; 0 where nothing limits it."""
    fixed: Money = Money(0)
    """The book's result today is this and ``net_qty`` × ``multiplier`` × the last price."""


class OwnedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the engine's that can still trade, or may."""

    tag: str
    instrument: InstrumentId
    product: Product
    side: Side
    purpose: Purpose
    leaves_qty: int
    cum_qty: int
    """What of it the books have."""
    order_id: str = ""


class Owned(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    pid: int
    born: str
    """When that process started, as its system tells it."""
    run: str
    """The run's folder below the artifacts."""
    run_key: str
    date: str
    commit: int
    at: Instant
    books: tuple[OwnedBook, ...] = ()
    orders: tuple[OwnedOrder, ...] = ()
    ended: bool = False
    """The day ended by itself or by its operator: nobody has to take over."""


class OwnedFile:
    """The file of one artifacts folder, in two copies that are written in turn.

    It is rewritten between a durable intent and its order, so in place: a new name for every state
    can wait some milliseconds for the disk. Each copy begins with its number, its length and a
    checksum of both and of what follows; one that was torn does not count, and the other still says
    what was true a moment before.
    """

    def __init__(self, artifacts: Path) -> None:
        self.path = artifacts / "live" / OWNED
        self.paths = (self.path, self.path.with_name(_OTHER))
        self._number: int | None = None
        """Of the last whole copy; what fails is tried again under the same number."""
        self._open: list[_Copy | None] = [None, None]

    def write(self, owned: Owned) -> None:
        """Write the older copy anew. Raises ``OSError``; the newer one then stands as it stood."""
        if self._number is None:
            self._number = max(_whole(path)[0] for path in self.paths)
        number = self._number + 1
        at = number % 2
        copy = self._open[at]
        if copy is None or not copy.stands:
            if copy is not None:
                copy.close()
                self._open[at] = None
            copy = self._open[at] = _Copy(self.paths[at])
        body = msgspec.json.encode(owned)
        copy.replace(_head(number, body) + body)
        self._number = number

    def read(self) -> Owned | None:
        """What the newer whole copy says; ``None`` where there is none, or none that can be read."""
        body = max(_whole(path) for path in self.paths)[1]
        try:
            return msgspec.json.decode(body, type=Owned)
        except UNREADABLE:
            return None

    def close(self) -> None:
        """Let go of both copies."""
        for copy in self._open:
            if copy is not None:
                copy.close()
        self._open = [None, None]


class _Copy:
    """An open file that is rewritten in place."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._path = path
        self._file = os.open(path, flags, 0o644)
        found = os.fstat(self._file)
        self._inode, self._size = found.st_ino, found.st_size

    @property
    def stands(self) -> bool:
        """Whether it still is the file of its name: one that was taken away is read by nobody."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def replace(self, content: bytes) -> None:
        """Write over all that was there. Raises ``OSError``."""
        content = content.ljust(self._size)
        os.lseek(self._file, 0, os.SEEK_SET)
        written = os.write(self._file, content)
        self._size = max(self._size, written)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def _head(number: int, body: bytes) -> bytes:
    """The first line of a copy."""
    told = f"{number} {len(body)}"
    return f"{told} {zlib.crc32(body, zlib.crc32(told.encode())):08x}\n".encode()


def _whole(path: Path) -> tuple[int, bytes]:
    """Number and body of a copy; 0 and nothing where it is missing, torn or of somebody else."""
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
        number, length = map(int, head.split()[:2])
    except (OSError, ValueError):
        return 0, b""
    body = rest[:length]
    return (number, body) if _head(number, body) == head + b"\n" else (0, b"")


class Heartbeat:
    """A counter in a file. Whoever raises it lives; whoever watches it needs no clock of the other's."""

    def __init__(self, artifacts: Path, name: str) -> None:
        self.path = artifacts / "live" / name
        self._beats = 0
        self._file: int | None = None

    def beat(self) -> None:
        """Raise it. Raises ``OSError``."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Go on from where a former one stopped: the same number twice would look like death.
            self._beats = self.read()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        self._beats += 1
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, f"{self._beats:0{_DIGITS}d}".encode())

    def read(self) -> int:
        """How often it was raised; 0 where it never was, or cannot be read."""
        try:
            return int(self.path.read_bytes()[:_DIGITS] or b"0")
        except (OSError, ValueError):
            return 0

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
