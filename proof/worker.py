"""A program that lives batches of units one after the other, on the word of the runner.

Orders come as JSON lines on its input, answers leave as JSON lines on its output; whatever a tier
prints goes to its error output instead, whose last words tell why it died. When its input ends, the
runner is gone, and it ends at once with everything it has started.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import Final

import msgspec

from proof.tier import Outcome, Tier


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Live these units."""

    tiers: str
    """The module whose ``TIERS`` holds the tier."""
    tier: str
    first: int
    count: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, or the error it ended with."""

    outcome: Outcome | None = None
    error: str = ""


def tiers_of(module: str) -> tuple[Tier, ...]:
    """The tiers that a module lists."""
    found: tuple[Tier, ...] = importlib.import_module(module).TIERS
    return found


def answer(order: Order) -> Answer:
    """Live the units of an order."""
    try:
        tier = next(each for each in tiers_of(order.tiers) if each.name == order.tier)
        return Answer(outcome=tier.live(order.first, order.count))
    except Exception:  # noqa: BLE001 - whatever it is, the runner names the units and goes on
        return Answer(error=traceback.format_exc())


_INPUT: Final = 0


def _listen(orders: SimpleQueue[bytes]) -> None:
    """Put each line into the queue; at the end of the input end everything."""
    rest = b""
    while piece := os.read(_INPUT, 65536):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            orders.put(line)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Live what is ordered until the runner is gone."""
    faulthandler.enable()  # SIGABRT, the runner's word for "you hang", tells where
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        orders: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=_listen, args=(orders,), daemon=True).start()
        while True:
            order = msgspec.json.decode(orders.get(), type=Order)
            answers.write(msgspec.json.encode(answer(order)) + b"\n")
            answers.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
