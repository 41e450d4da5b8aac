"""One call that lives a virtual world through: seed, network, loop, and the clocks libraries read past it.

Some libraries ask the machine although the loop could answer. Those known to matter are listed
here and answered from the world while it lives; nothing of them is changed.
"""

from __future__ import annotations

import random  # noqa: TID251  # its global state is put under the seed, and back
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import aiohttp.connector

from kitestring.exchange.seeded import key
from kitestring.sim.event_trace import EventTrace
from kitestring.sim.memory_network import Latency, Network
from kitestring.sim.virtual_loop import DAY_S, VirtualLoop

_T = TypeVar("_T")


@contextmanager
def libraries_in(loop: VirtualLoop, seed: int) -> Iterator[None]:
    """Put on virtual time what aiohttp takes from elsewhere.

    The age of an idle connection in its pool is taken from the machine's clock, so that a slow
    machine would see other connections; the masks of WebSocket frames come from Python's global
    generator, which is also put back afterwards.
    """
    before = random.getstate()
    clock = aiohttp.connector.monotonic  # type: ignore[attr-defined]  # a name it imports
    random.seed(key(seed, "libraries"))
    aiohttp.connector.monotonic = loop.time  # type: ignore[attr-defined]
    try:
        yield
    finally:
        aiohttp.connector.monotonic = clock  # type: ignore[attr-defined]
        random.setstate(before)


def live(
    main: Callable[[Network], Coroutine[Any, Any, _T]],
    *,
    seed: int = 0,
    latency: Latency = Latency(),  # noqa: B008  # a frozen value
    names: dict[str, str] | None = None,
    last_s: float = 30 * DAY_S,
    trace: EventTrace | None = None,
) -> _T:
    """Live ``main(network)`` through in a fresh world and return what it returns.

    Raises ``RuntimeError`` when something failed that nobody awaited: in a world made to be
    repeated, no error may pass unheard.
    """
    network = Network(seed, latency=latency, names=names)
    loop = VirtualLoop(network, last_s=last_s, trace=trace)
    with libraries_in(loop, seed):
        outcome = loop.run(main(network))
    if loop.unheard:
        raise RuntimeError("unheard in the virtual world:\n  " + "\n  ".join(loop.unheard))
    return outcome
