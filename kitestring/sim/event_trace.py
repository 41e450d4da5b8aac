"""What happened in a virtual world, line by line, so that two runs can be laid side by side.

Two runs of one seed must agree in every line. A line never holds an address in memory, the content
of a message, or anything else that may differ between two processes.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable
from typing import Final

_KEPT: Final = 1_000_000


class EventTrace:
    """The lines of one run: their number, one digest over all, and the first million themselves."""

    def __init__(self, *, keep: int = _KEPT) -> None:
        self.lines: list[str] = []
        self.count = 0
        self._keep = keep
        self._digest = hashlib.blake2b(digest_size=16)

    def note(self, at_s: float, what: str) -> None:
        """Write one line: when, and what."""
        line = f"{at_s:.9f} {what}"
        self._digest.update(line.encode())
        self._digest.update(b"\n")
        if self.count < self._keep:
            self.lines.append(line)
        self.count += 1

    def digest(self) -> str:
        """One short word for everything that happened so far."""
        return self._digest.hexdigest()


def first_difference(one: EventTrace, other: EventTrace) -> str | None:
    """Where two runs part, with the lines of both; ``None`` when they are the same run."""
    if one.count == other.count and one.digest() == other.digest():
        return None
    for number, (mine, theirs) in enumerate(zip(one.lines, other.lines, strict=False), 1):
        if mine != theirs:
            return f"line {number}: {mine!r} in one run, {theirs!r} in the other"
    return (
        f"the runs agree for {min(len(one.lines), len(other.lines))} kept lines; "
        f"one has {one.count} lines, the other {other.count}"
    )


def name_of(callback: Callable[..., object]) -> str:
    """A name of a callback that is the same in every process: its task's, or its own."""
    inner: object = callback
    while isinstance(inner, functools.partial):
        inner = inner.func
    owner = getattr(inner, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return owner.get_name()
    name = getattr(inner, "__qualname__", None)
    return name if isinstance(name, str) else type(inner).__qualname__
