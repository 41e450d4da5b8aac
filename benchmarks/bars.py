"""How many 1-minute bars a second the house trades: EMA 9/21, always long or short.

    python -m benchmarks.bars --bars 500000

Market orders of 50 shares fill at the next bar's open; 0.03 % commission. Prints one JSON line.
``--csv`` reads bars (columns ts, open, high, low, close, volume) instead of making them, so that
other engines can be given the same ones.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.house import OPEN_AT, Measured, manifest, share, trade
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE
from kitestring.domain.money import UNITS_PER_RUPEE, Price

Columns = tuple[list[Price], list[Price], list[Price], list[Price], list[int]]


def made_up(bars: int, seed: int = 42) -> Columns:
    """Open, high, low, close and volume of a seeded walk around ₹1,000, on a tick of 5 paise."""
    chance = np.random.default_rng(seed)
    steps = chance.standard_normal(bars) * 3e-4
    close = np.round(1000 * np.exp(np.cumsum(steps) - np.linspace(0, steps.sum(), bars)) / 0.05)
    open_ = np.concatenate(([20_000.0], close[:-1])) + chance.integers(-2, 3, bars)
    high = np.maximum(open_, close) + chance.integers(0, 10, bars)
    low = np.minimum(open_, close) - chance.integers(0, 10, bars)
    volume = chance.integers(100, 50_000, bars)
    columns = [(column.astype(np.int64) * 500).tolist() for column in (open_, high, low, close)]
    return columns[0], columns[1], columns[2], columns[3], volume.tolist()


def from_csv(path: Path, bars: int) -> Columns:
    """The same columns from a file of decimal rupees."""
    prices: list[list[Price]] = [[], [], [], []]
    volume: list[int] = []
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number == bars:
                break
            for column, name in zip(prices, ("open", "high", "low", "close"), strict=True):
                column.append(Price(round(float(row[name]) * UNITS_PER_RUPEE)))
            volume.append(int(row["volume"]))
    return prices[0], prices[1], prices[2], prices[3], volume


def frames(instrument: InstrumentId, columns: Columns) -> Iterator[BarFrame]:
    """One frame a bar, made as it is asked for."""
    open_at = OPEN_AT
    for open_, high, low, close, volume in zip(*columns, strict=True):
        close_at = open_at + MINUTE
        bar = Bar(instrument, 1, open_at, close_at, open_, high, low, close, volume)
        yield BarFrame(close_at, (bar,))
        open_at = close_at


def main() -> None:
    """Measure once and print the line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bars", type=int, default=500_000)
    arguments.add_argument("--csv", type=Path)
    chosen = arguments.parse_args()
    one = share(0)
    columns = from_csv(chosen.csv, chosen.bars) if chosen.csv else made_up(chosen.bars)
    bars = len(columns[0])
    feed = Measured(manifest((one,), bars), frames(one.id, columns))
    print(json.dumps(trade(feed, charges="flat 0.03%").line("bars")))


if __name__ == "__main__":
    main()
