"""Single keys of a running day: faster, slower, pause, stop, without pressing Enter.

The terminal is put into its one-key mode only while the day runs and given back in every case:
after the last tick, after a failure, after Ctrl-C. Ctrl-C itself stays the signal it was.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from kitestring.engine.helm import Helm

if TYPE_CHECKING:
    from kitestring.engine.attendance import LiveHelm

ASKED_FOR_S: Final = 5.0
"""How long a key of a live day waits to be pressed again."""
_ACTS: dict[str, Callable[[Helm], None]] = {
    "+": Helm.faster,
    "=": Helm.faster,  # the same key on most keyboards, without Shift
    "-": Helm.slower,
    "_": Helm.slower,
    "m": lambda helm: helm.set_speed(None),
    "1": lambda helm: helm.set_speed(1.0),
    " ": Helm.pause_or_go_on,
    "q": Helm.stop,
}


def press(helm: Helm, keys: str) -> bool:
    """Do what the keys ask for; ``False`` where none of them means anything."""
    if keys.startswith("\x1b"):  # an arrow or a function key arrives as several characters
        return False
    known = [_ACTS[key] for key in keys.lower() if key in _ACTS]
    for act in known:
        act(helm)
    return bool(known)


class LiveKeys:
    """The keys of a live day. What cannot be taken back is asked again: the same key, within seconds."""

    WORDS: Final = {
        "h": "HALT, no new entries any more today",
        "f": "FLATTEN, close everything that is ours",
    }

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._key = ""
        self._until_s = 0.0

    @property
    def asks(self) -> str:
        """What waits for the same key again; empty if nothing does."""
        if self._now_s() >= self._until_s:
            self._key = ""
        return f"{self._key} again: {self.WORDS[self._key]}" if self._key else ""

    def press(self, helm: LiveHelm, keys: str) -> bool:
        """Do what the keys ask for; ``False`` where none of them means anything."""
        if keys.startswith("\x1b"):
            keys = "x"  # an arrow is an answer, too: no
        meant = False
        for key in keys.lower():
            asked, self._key = self._key if self.asks else "", ""
            meant = meant or bool(asked)
            if key == "q":
                helm.stop()
                meant = True
            elif key in self.WORDS:
                meant = True
                if key != asked:
                    self._key, self._until_s = key, self._now_s() + ASKED_FOR_S
                elif key == "h":
                    helm.halt()
                else:
                    helm.flatten()
        return meant


def can_listen(source: IO[str] | None) -> bool:
    """Whether single keys can be read there: a Unix terminal that is ours at this moment."""
    if source is None or sys.platform == "win32":
        return False
    try:
        # A day in the background must leave the terminal to the shell.
        return source.isatty() and os.tcgetpgrp(source.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # closed, or no file at all
        return False


@contextmanager
def listening(source: IO[str], pressed: Callable[[str], None]) -> Iterator[None]:
    """Call ``pressed`` with what is typed, from the running event loop; ask ``can_listen`` first."""
    assert sys.platform != "win32"
    import termios  # noqa: PLC0415 - there is none on Windows
    import tty  # noqa: PLC0415 - as above

    fd, loop = source.fileno(), asyncio.get_running_loop()

    def readable() -> None:
        try:
            typed = os.read(fd, 64)
        except OSError:  # the terminal is gone
            typed = b""
        if typed:
            pressed(typed.decode(errors="ignore"))
        else:
            loop.remove_reader(fd)

    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        loop.add_reader(fd, readable)
        yield
    finally:
        loop.remove_reader(fd)
        # What was typed and not read is dropped: it was meant for us, not for the shell.
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
