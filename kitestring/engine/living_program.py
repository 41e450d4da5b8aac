"""Another program of this machine: whether it still lives, and how to end exactly that one.

The law: a program is known by its number *and* its start. A number that the system has given to
somebody else since is never signalled.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

TERM_WITHIN_S: Final = 2.0
KILL_WITHIN_S: Final = 5.0
_LOOK_S: Final = 0.05
_STATE, _START = 0, 19
"""Places in ``/proc/PID/stat`` behind the name: the state, and the start in ticks since boot."""


def born(pid: int) -> str:
    """When a program started, in its system's own words; empty if it does not live."""
    if sys.platform == "linux":
        fields = _stat(pid)
        return "" if not fields or fields[_STATE] in ("Z", "X") else f"tick {fields[_START]}"
    if sys.platform == "win32":
        return ""  # Not known here: such a program is never ended by us.
    asked = ("ps", "-o", "lstart=", "-p", str(pid))
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    return answer.stdout.strip()


def lives(pid: int, since: str) -> bool:
    """Whether the program with this number is still the one that started then."""
    return bool(since) and born(pid) == since


async def end(pid: int, since: str, *, term_s: float = TERM_WITHIN_S) -> str:
    """End it, kindly first; empty once it is dead, or why it is not."""
    if pid == os.getpid():
        return "it would be ourselves"
    if not since:
        return "nobody knows when it started"
    for number, within_s in ((signal.SIGTERM, term_s), (signal.SIGKILL, KILL_WITHIN_S)):
        if number is signal.SIGTERM and _stopped(pid):
            continue  # A frozen program hears nothing but the last word.
        why = _signal(pid, since, number)
        if why:
            return why
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while lives(pid, since):
            if loop.time() >= until:
                break
            await asyncio.sleep(_LOOK_S)
        else:
            return ""
    return "" if not lives(pid, since) else "it does not end, not even by SIGKILL"


def _signal(pid: int, since: str, number: signal.Signals) -> str:
    """Signal exactly that program; why not, where it could not be done."""
    try:
        if sys.platform == "linux":
            # The open descriptor names one program, whatever becomes of its number meanwhile.
            descriptor = os.pidfd_open(pid)
            try:
                if lives(pid, since):
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
        elif lives(pid, since):
            os.kill(pid, number)
    except ProcessLookupError:
        return ""
    except OSError as error:
        return f"it could not be signalled ({error.strerror})"
    return ""


def _stopped(pid: int) -> bool:
    fields = _stat(pid) if sys.platform == "linux" else []
    return bool(fields) and fields[_STATE] in ("T", "t")


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
