"""One house at a time: a second start in the same artifacts folder is refused while a first one lives.

The law: the lock is the operating system's, held by a living process and by nothing else. After
``kill -9`` or a power cut it is free; the file that stays behind only says who held it last.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kitestring.domain.errors import AnotherDayIsRunning, DiskFailed
from kitestring.domain.instants import Instant, ist_text

_LOCKED_BYTE: Final = 1 << 20
"""Windows locks a stretch of bytes for reading too: one far behind the text that others read."""


if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _leave(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(handle: int) -> None:
        # flock, not lockf: a lock of ours must not vanish because some other handle was closed.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _leave(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


class InstanceLock:
    """The right to run a day in a folder; ``name`` tells days apart that may run side by side.

    ``started_at`` is shown to whoever is refused. Raises ``AnotherDayIsRunning`` naming the
    process that holds it, and ``DiskFailed`` where the folder takes no file.
    """

    def __init__(self, folder: Path, *, started_at: Instant, name: str = "day") -> None:
        self.path = folder / f".{name}.lock"
        self._started_at = started_at
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock now, or raise."""
        assert self._handle is None, "the lock is already ours"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DiskFailed(
                f"The folder {self.path.parent} cannot be written: {error.strerror}.",
                do="make it writable, or use another --artifacts folder",
            ) from error
        try:
            _take(handle)
        except OSError as error:
            holder = os.read(handle, 200).decode("utf-8", "replace").strip()
            os.close(handle)
            raise AnotherDayIsRunning(
                f"Another day is running in {self.path.parent} ({holder or 'no name given'});"
                " this one did not start.",
                do="stop that one (Ctrl-C in its window), or use another --artifacts folder",
            ) from error
        self._handle = handle
        with contextlib.suppress(OSError):  # A full disk has no room for the name; the lock holds.
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            name = f"process {os.getpid()}, since {ist_text(self._started_at)}\n"
            os.write(handle, name.encode())

    def release(self) -> None:
        """Give the lock back; the file stays, for deleting it could free a lock just taken."""
        if self._handle is not None:
            _leave(self._handle)
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
