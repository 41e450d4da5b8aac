"""What the house owns, in one small file that the guard reads: positions, working orders, and who wrote it.

The engine rewrites it before a command can leave, and raises a counter beside it from its own loop.
A file that cannot be read says nothing; it never says "nothing is owned".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money
from kitestring.domain.orders import Product, Purpose, Side
from kitestring.store.atomic_file import write_atomically

OWNED: Final = "owned.json"
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
    """The file of one artifacts folder."""

    def __init__(self, artifacts: Path) -> None:
        self.path = artifacts / "live" / OWNED

    def write(self, owned: Owned) -> None:
        """Replace it whole. Raises ``OSError``."""
        write_atomically(self.path, msgspec.json.encode(owned))

    def read(self) -> Owned | None:
        """What it says; ``None`` where there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Owned)
        except (OSError, msgspec.DecodeError):
            return None


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
