"""How many ticks a second the house takes in and trades on.

    python -m benchmarks.ticks --ticks 1000000 --instruments 1
    python -m benchmarks.ticks --ticks 1000000 --instruments 500

Every instrument has one tick a second with depth and volume, all ticks of a second in one frame;
EMA 9/21 on 1-minute bars trades each of them. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np

from benchmarks.house import OPEN_AT, Measured, manifest, share, trade
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND
from kitestring.domain.ticks import Tick, TickFrame

_BLOCK = 4096


def frames(names: list[InstrumentId], ticks: int, seed: int = 7) -> Iterator[TickFrame]:
    """One frame a second; ticks are made in blocks, as a recording is read."""
    chance = np.random.default_rng(seed)
    width = len(names)
    price = np.full(width, 20_000, dtype=np.int64)
    traded = np.zeros(width, dtype=np.int64)
    at = OPEN_AT
    left = ticks // width
    while left:
        seconds = min(left, max(1, _BLOCK // width))
        left -= seconds
        walk = price + np.cumsum(chance.integers(-2, 3, (seconds, width)), axis=0)
        walk = np.maximum(walk, 2_000)
        price = walk[-1]
        volume = traded + np.cumsum(chance.integers(0, 200, (seconds, width)), axis=0)
        traded = volume[-1]
        last = (walk * 500).ravel().tolist()
        bid = ((walk - 1) * 500).ravel().tolist()
        ask = ((walk + 1) * 500).ravel().tolist()
        total = volume.ravel().tolist()
        instants = np.repeat(at + np.arange(seconds) * SECOND, width).tolist()
        depth = [500] * len(last)
        made = list(map(Tick, names * seconds, instants, last, total, bid, depth, ask, depth))
        for first in range(0, len(made), width):
            yield TickFrame(instants[first] + 50_000, tuple(made[first : first + width]))
        at += seconds * SECOND


def main() -> None:
    """Measure once and print the line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ticks", type=int, default=1_000_000)
    arguments.add_argument("--instruments", type=int, default=1)
    chosen = arguments.parse_args()
    shares = tuple(share(number) for number in range(chosen.instruments))
    minutes = chosen.ticks // chosen.instruments // 60 + 1
    made = frames([one.id for one in shares], chosen.ticks)
    outcome = trade(Measured(manifest(shares, minutes), made), charges="zerodha")
    print(json.dumps(outcome.line("ticks", instruments=chosen.instruments)))


if __name__ == "__main__":
    main()
