"""Lines a person pastes into the terminal, while the loop goes on with something else.

They are read past Python's buffers, by a thread that may be left behind: a buffered read would hold
the program open until the next Enter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import threading
from typing import IO, Final

_PIECE: Final = 4096
_LINE_MAX: Final = 65_536


class PastedLines:
    """``next`` gives the next line, and ``None`` at the end of the input."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._queue: asyncio.Queue[str | None] | None = None
        self._ended = False
        self._bell: int | None = None

    def close(self) -> None:
        """Read no more: the next line is somebody else's to read."""
        if self._bell is not None:
            os.close(self._bell)
            self._bell = None

    async def next(self) -> str | None:
        """Wait for a line."""
        if self._queue is None:
            self._queue = self._begin()
        if self._ended and self._queue.empty():
            return None
        line = await self._queue.get()
        self._ended = self._ended or line is None
        return line

    def _begin(self) -> asyncio.Queue[str | None]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        try:
            number = self._stream.fileno()
        except (OSError, ValueError, AttributeError):  # no file behind it: a test's, or none at all
            for line in _rest_of(self._stream):
                queue.put_nowait(line)
            queue.put_nowait(None)
            return queue
        loop = asyncio.get_running_loop()
        closed, self._bell = os.pipe()
        threading.Thread(
            target=_read, args=(number, closed, loop, queue), name="pasted lines", daemon=True
        ).start()
        return queue


def _rest_of(stream: IO[str]) -> list[str]:
    try:
        return stream.read().splitlines()
    except (OSError, ValueError, AttributeError):
        return []


def _read(
    number: int, closed: int, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[str | None]
) -> None:
    """Read a file by its number until its end, line by line, or until ``closed`` can be read."""
    left = b""
    # RuntimeError: the loop has ended meanwhile, and nobody waits for lines any more.
    with contextlib.suppress(RuntimeError), os.fdopen(closed, "rb"):
        while True:
            try:
                # A file that is not waited for here (or Windows, which cannot) is read all the same.
                if sys.platform != "win32" and closed in select.select([number, closed], [], [])[0]:
                    return
                piece = os.read(number, _PIECE)
            except OSError:
                piece = b""
            *lines, left = (left + piece).split(b"\n")
            for line in lines if piece else [*lines, left]:
                loop.call_soon_threadsafe(queue.put_nowait, line.decode(errors="replace"))
            if not piece or len(left) > _LINE_MAX:
                loop.call_soon_threadsafe(queue.put_nowait, None)
                return
