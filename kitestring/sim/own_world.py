"""A place of its own for a simulated world: a folder in memory, and no error that passes unheard."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from kitestring.sim.virtual_loop import VirtualLoop

_T = TypeVar("_T")
LITTER: Final = ("Unclosed connection",)
"""A connection whose owner was cut off in the middle and which aiohttp closes when it is swept up."""


class WorldFailed(Exception):
    """Something in the world failed and nobody awaited it."""


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Somewhere in memory where there is such a place: power cuts here are the simulator's own."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    folder = Path(
        tempfile.mkdtemp(prefix="kitestring-sim-", dir=memory if memory.is_dir() else None)
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def unbroken(world: Coroutine[Any, Any, _T]) -> _T:
    """What a world comes to; what breaks unheard in the exchange or the house ends it at once."""
    loop = asyncio.get_running_loop()
    broken: list[BaseException] = []
    task = loop.create_task(world)

    def heard(_: object, context: dict[str, object]) -> None:
        if context.get("message") in LITTER:
            assert isinstance(loop, VirtualLoop)
            loop.unheard.pop()
            return
        error = context.get("exception")
        broken.append(error if isinstance(error, BaseException) else RuntimeError(str(context)))
        task.cancel()

    loop.set_exception_handler(heard)
    try:
        return await task
    except asyncio.CancelledError:
        if broken:
            raise WorldFailed(f"{type(broken[0]).__name__}: {broken[0]}") from broken[0]
        raise
