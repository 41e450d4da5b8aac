"""The HALT file: as long as it lies in the folder, nobody enters a position from there.

Any process of the owner may write it, and the engine looks for it before every entry it sends, so it
works with a blocked loop, a dead socket or no engine at all. It has an epoch that only grows: a halt
of the guard takes the market away from the engine altogether, and an engine that wakes up later must
see that it is no longer the one who sends.

The law: a HALT file that cannot be read is a halt. It has a checksum and a copy, because a flipped bit
must neither take back a takeover of the guard nor make its epoch look old; a file that somebody wrote
by hand has none, and stands as a halt of the operator's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import DiskFailed
from kitestring.domain.instants import Instant, ist_text
from kitestring.domain.unreadable import UNREADABLE
from kitestring.store.atomic_file import write_atomically

FILE_NAME: Final = "HALT"
_LIFTED: Final = "HALT.lifted"
_COPY: Final = "HALT.copy"


class HaltedBy(StrEnum):
    """Who halted."""

    OPERATOR = "operator"
    """Entries stop; the engine goes on to protect and to close."""
    GUARD = "guard"
    """The guard has taken over: the engine sends nothing any more, not even exits."""


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    epoch: int
    at: Instant
    by: HaltedBy
    reason: str
    flatten: bool = False
    """The operator asks for more than no entries: whoever can shall close what we own."""
    guard_epoch: int = 0
    """The epoch of the last halt of the guard, this one or an earlier one; 0 before the first."""

    @property
    def sentence(self) -> str:
        """For a person."""
        return f"HALT stands since {ist_text(self.at)}, written by the {self.by}: {self.reason}."


class HaltFile:
    """The file of one artifacts folder."""

    def __init__(self, artifacts: Path) -> None:
        self.path = artifacts / "live" / FILE_NAME
        self._lifted = self.path.with_name(_LIFTED)
        self._copy = self.path.with_name(_COPY)

    def read(self) -> Halt | None:
        """The halt that stands, or ``None``; a file that cannot be read stands as a halt."""
        try:
            return _halt_of(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, *UNREADABLE) as error:
            return self._from_copy() or _by_hand(f"({type(error).__name__})")

    def _from_copy(self) -> Halt | None:
        """What the file said before it was damaged; nothing if that was lifted long ago."""
        try:
            halt = _halt_of(self._copy.read_bytes())
        except (OSError, *UNREADABLE):
            return None
        return halt if halt.epoch > self._known(self._lifted, lambda each: each.epoch) else None

    @property
    def stands(self) -> bool:
        """Whether there is one; asked before every entry, so it costs one look at the folder."""
        return self.path.exists()

    @property
    def epoch(self) -> int:
        """The largest epoch that ever was, lifted ones included; 0 before the first."""
        return max(self._known(path, lambda each: each.epoch) for path in self._all)

    @property
    def guard_epoch(self) -> int:
        """The epoch of the guard's last halt, also of one that was lifted; 0 before the first."""
        return max(self._known(path, lambda each: each.guard_epoch) for path in self._all)

    @property
    def _all(self) -> tuple[Path, ...]:
        return (self.path, self._copy, self._lifted)

    @staticmethod
    def _known(path: Path, number: Callable[[Halt], int]) -> int:
        """A number of one file; 0 where it cannot be read: the other two say it as well."""
        try:
            return number(_halt_of(path.read_bytes()))
        except (OSError, *UNREADABLE):
            return 0

    def write(self, by: HaltedBy, reason: str, at: Instant, *, flatten: bool = False) -> Halt:
        """Halt, with a new epoch. A halt of the guard is not replaced by an operator's.

        A wish to flatten is never taken back by a later halt; to one of the guard's it is added.
        Raises ``DiskFailed``.
        """
        standing = self.read()
        if standing is not None:
            flatten = flatten or standing.flatten
            if standing.by is HaltedBy.GUARD and by is HaltedBy.OPERATOR:
                if flatten != standing.flatten:
                    standing = msgspec.structs.replace(standing, flatten=True)
                    self._write(standing)
                return standing
        epoch = self.epoch + 1
        halt = Halt(
            epoch=epoch,
            at=at,
            by=by,
            reason=reason,
            flatten=flatten,
            guard_epoch=epoch if by is HaltedBy.GUARD else self.guard_epoch,
        )
        self._write(halt)
        return halt

    def _write(self, halt: Halt) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = _content(halt)
            write_atomically(self._copy, content, durable=True)
            write_atomically(self.path, content, durable=True)
        except OSError as error:
            raise DiskFailed(
                f"HALT cannot be written to {self.path}: {error.strerror}.",
                do="stop the engine with Ctrl-C, and close what is open at the broker",
            ) from error

    def lift(self) -> Halt | None:
        """Let entries be armed again; what was lifted, or ``None`` where nothing stood."""
        halt = self.read()
        if halt is not None:
            # Kept aside: the next halt's epoch must be larger than this one's, and an engine that
            # the guard has stopped stays stopped, whenever it wakes up.
            epoch, guard_epoch = (
                max(halt.epoch, self.epoch),
                max(halt.guard_epoch, self.guard_epoch),
            )
            kept = msgspec.structs.replace(halt, epoch=epoch, guard_epoch=guard_epoch)
            # On disk before the halt goes: its epoch must never be forgotten.
            write_atomically(self._lifted, _content(kept), durable=True)
            self.path.unlink(missing_ok=True)
        return halt


def _content(halt: Halt) -> bytes:
    """The file: what it says, and on a line of its own a checksum of that."""
    body = msgspec.json.encode(halt)
    return body + b"\n" + _check(body) + b"\n"


def _check(body: bytes) -> bytes:
    return f"crc32 {zlib.crc32(body):08x}".encode()


def _halt_of(content: bytes) -> Halt:
    """What a file says. Raises ``msgspec.DecodeError`` where it is not as it was written."""
    body, line, check = content.partition(b"\n")
    # An older house wrote one line, and no checksum.
    if line and check != _check(body) + b"\n":
        raise msgspec.DecodeError("its checksum does not verify")
    return msgspec.json.decode(body, type=Halt)


def _by_hand(why: str) -> Halt:
    reason = f"the file cannot be read {why}"
    return Halt(epoch=0, at=0, by=HaltedBy.OPERATOR, reason=reason)
