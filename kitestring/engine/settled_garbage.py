"""A day is not stopped to look for rubbish among what was made before it began.

Start-up leaves some hundred thousand objects that live all day (instruments, history, modules). Each full
collection would walk them with the loop standing still, tens of milliseconds between a tick and its order.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


@contextmanager
def settled_garbage() -> Iterator[None]:
    """Collect once, and put what is left out of the collector's sight until the block ends."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class SettledGarbage:
    """The same as a companion of a live day (``Beside``)."""

    @asynccontextmanager
    async def attend(self, day: object, paths: object) -> AsyncIterator[None]:
        """See ``Beside``."""
        del day, paths
        with settled_garbage():
            yield
