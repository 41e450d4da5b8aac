"""What it costs to read Kite's frames: 3 000 instruments and 20, beside the official client.

    python -m benchmarks.kite_frames --rounds 200

Prints one JSON line: microseconds by wall clock, the median and the best of all rounds. ``cold`` is the
median where every reader takes its turn in every round, so that it finds the processor's caches full
of the others' work. The official client (a development dependency) is left out if not installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from kitestring.broker.kite_frames import FULL, FrameReader, columns_of
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND

_STAMP: Final = 1_795_149_000
_NOW: Final = _STAMP * SECOND + SECOND // 2


def full_frame(instruments: int, seed: int = 1) -> bytes:
    """A frame in full mode, with an index of 32 bytes after every thousandth share."""
    chance = np.random.default_rng(seed)
    bodies: list[bytes] = []
    for number in range(1, instruments + 1):
        index = number % 1_000 == 0
        length, stamp_at, segment = (32, 28, 9) if index else (FULL, 60, 2)
        body = bytearray(chance.bytes(length))
        struct.pack_into(">I", body, 0, number << 8 | segment)
        struct.pack_into(">I", body, stamp_at, _STAMP)
        bodies.append(struct.pack(">H", length) + bytes(body))
    return struct.pack(">H", len(bodies)) + b"".join(bodies)


def _official() -> Callable[[bytes], object] | None:
    try:
        from kiteconnect import KiteTicker  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        return None
    read: Callable[[bytes], object] = KiteTicker("key", "token")._parse_binary  # noqa: SLF001
    return read


def _took(read: Callable[[], object]) -> float:
    began = time.perf_counter()
    read()
    return (time.perf_counter() - began) * 1e6


def _measured(readers: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    alone = {name: [_took(read) for _ in range(rounds)] for name, read in readers.items()}
    in_turn: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            in_turn[name].append(_took(read))
    return {
        name: {
            "p50": round(statistics.median(taken), 1),
            "best": round(min(taken), 1),
            "cold": round(statistics.median(in_turn[name]), 1),
        }
        for name, taken in alone.items()
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=200)
    rounds: int = options.parse_args().rounds
    official = _official()
    results: dict[str, object] = {"benchmark": "kite_frames", "rounds": rounds, "unit": "µs"}
    for instruments in (20, 3_000):
        frame = full_frame(instruments)
        tokens = columns_of(frame).token.tolist()
        reader = FrameReader({token: InstrumentId(f"NFO:S{token}") for token in tokens})
        readers: dict[str, Callable[[], object]] = {
            "ticks": lambda frame=frame, reader=reader: reader.read(frame, _NOW),  # type: ignore[misc]
            "columns": lambda frame=frame: columns_of(frame),  # type: ignore[misc]
        }
        if official is not None:
            readers["official client"] = lambda frame=frame: official(frame)  # type: ignore[misc]
        assert len(reader.read(frame, _NOW)) == instruments
        results[f"{instruments} instruments"] = _measured(readers, rounds)
    print(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main()
