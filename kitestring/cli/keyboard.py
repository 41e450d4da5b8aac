"""Single keys of a running day: faster, slower, pause, stop, without pressing Enter.

The terminal is put into its one-key mode only while the day runs and given back in every case:
after the last tick, after a failure, after Ctrl-C. Ctrl-C itself stays the signal it was.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from kitestring.engine.helm import Helm

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
