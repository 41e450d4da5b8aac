"""What a live day costs: from a tick to its order on the wire, a busy minute, a start, a HALT.

    python -m benchmarks.live                       # all of it, one JSON line each, ten minutes
    python -m benchmarks.live --only latency

Everything runs over loopback with the exchange in a program of its own, on the production path with its
defaults. ``latency``: thirty strategies hold one share each way up a stair; a frame whose LAST tick
climbs a step takes one of them out. Measured is from the frame's bytes handed to the exchange's
socket to the order's request at the exchange's door.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.exchange import shares
from benchmarks.live_exchange import percentile
from benchmarks.live_house import House, climbers, exchange_program, holders
from kitestring.core import portfolio
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.store.halt_file import HaltedBy, HaltFile

CLIMBERS: Final = 30
SIZES: Final = (20, 500, 3_000)
QUICK: Final = 10.0
"""How fast the exchange goes until everybody is in."""
IN_WITHIN_S: Final = 25.0
EXIT_WITHIN_S: Final = 2.0
LINES: Final = 3
EACH: Final = 3_000
assert portfolio


def _ms(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50": round(statistics.median(values) * 1e3, 2),
        "p99": round(percentile(values, 99) * 1e3, 2),
        "worst": round(max(values) * 1e3, 2),
    }


def _load() -> float:
    return round(os.getloadavg()[0], 1)


async def _all_in(house: House, count: int) -> None:
    """Wait until every strategy is in, and the minute is young enough for a whole round of exits."""
    await house.exchange.say("speed", speed=QUICK)
    clock = house.exchange.clock

    def ready() -> bool:
        second = clock.now() % MINUTE / SECOND
        return house.positions == count and not house.working and 3 <= second <= 40

    await house.until(ready, IN_WITHIN_S, f"waiting for {count} positions")
    await house.exchange.say("speed", speed=1.0)


async def _climb(house: House, ticks: int, pause_s: float) -> None:
    """One step up: one strategy goes out."""
    before = house.positions
    await house.exchange.say("climb", instruments=ticks)
    began = time.perf_counter()
    await house.until(lambda: house.positions < before, EXIT_WITHIN_S, "waiting for an exit")
    await asyncio.sleep(max(0.0, began + pause_s - time.perf_counter()))


async def _way_out(house: House) -> dict[str, object]:
    """What the clocks of both programs say of every exit so far."""
    noted = await house.exchange.say("noted")
    assert isinstance(noted, dict)
    handed, arrived, out = noted["handed"], noted["arrived"], house.marks.out
    assert len(handed) == len(arrived) == len(out), (len(handed), len(arrived), len(out))
    whole = [there - here for here, there in zip(handed, arrived, strict=True)]
    marks = list(zip(handed, *zip(*out, strict=True), arrived, strict=True))
    names = ("wire_and_decode", "inbox_and_step", "commit", "guard_file", "send")
    return {
        "exits": len(whole),
        "frame_to_post_ms": _ms(whole),
        "p50_ms_of": {
            name: round(statistics.median(mark[at + 1] - mark[at] for mark in marks) * 1e3, 2)
            for at, name in enumerate(names)
        },
    }


async def latency(instruments: int, rounds: int, count: int, folder: Path) -> dict[str, object]:
    """Frames of all instruments; the last tick of some takes a strategy out."""
    last = shares(instruments)[-1]
    async with exchange_program(instruments, 1) as exchange:
        house = House(exchange, instruments, climbers(last, count), folder)
        async with house.trading():
            for _ in range(rounds):
                await _all_in(house, count)
                await asyncio.sleep(0.3)
                for _ in range(count):
                    await _climb(house, instruments, 0.25)
            measured = await _way_out(house)
    return {
        "benchmark": "live frame to order",
        "ticks_in_frame": instruments,
        **measured,
        "load": _load(),
    }


def main() -> None:
    """Measure what was asked for and print a JSON line of each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", choices=("latency", "frames", "busy", "start"))
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    arguments.add_argument("--strategies", type=int, default=CLIMBERS)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if chosen.only in {None, "latency"}:
            for size in chosen.sizes:
                line = asyncio.run(
                    latency(size, chosen.rounds, chosen.strategies, Path(place) / f"{size}")
                )
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
