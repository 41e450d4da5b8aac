"""How long the house takes to read a day's list of instruments, and to find one in it.

    python -m benchmarks.instruments --rows 120000

The list is generated: shares, index and stock options with the symbols, tokens and strikes Kite's has.
Prints one JSON line; milliseconds of processor time to read, microseconds for each look-up.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import time
from collections.abc import Callable

from kitestring.broker.kite_dump import COLUMNS
from kitestring.broker.kite_instruments import instruments_from
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import price

DAY = dt.date(2026, 11, 23)
EXPIRIES = (
    (dt.date(2026, 11, 24), "26NOV"),
    (dt.date(2026, 12, 29), "26DEC"),
    (dt.date(2027, 1, 25), "27JAN"),
)
_SHARES = 2_500


def made_up(rows: int) -> bytes:
    """A list of that many rows: shares first, then their and NIFTY's contracts on NFO."""
    lines = [",".join(COLUMNS), "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE"]
    for number in range(_SHARES):
        token = 1 + number
        lines.append(
            f"{token * 256 + 1},{token},SHARE{number},SHARE {number} LTD,0.0,,0.0,0.05,1,EQ,NSE,NSE"
        )
    token, share = 40_000, -1
    while len(lines) <= rows:
        name = "NIFTY" if share < 0 else f"SHARE{share}"
        middle, step = (24_000, 50) if share < 0 else (200 + share % 40 * 25, 5)
        for expiry, words in EXPIRIES:
            for place in range(-60, 61):
                strike = middle + place * step / 2
                for side in ("CE", "PE"):
                    token += 1
                    lines.append(
                        f"{token * 256 + 2},{token},{name}{words}{strike:g}{side},{name},0.0,"
                        f"{expiry},{strike},0.05,75,{side},NFO-OPT,NFO"
                    )
            token += 1
            lines.append(
                f"{token * 256 + 2},{token},{name}{words}FUT,{name},0.0,{expiry},0.0,0.1,75,FUT,"
                "NFO-FUT,NFO"
            )
        share += 1
    return "\n".join(lines[: rows + 1]).encode() + b"\n"


def _each_us(look_up: Callable[[int], object], times: int) -> float:
    began = time.process_time()
    for number in range(times):
        look_up(number)
    return round((time.process_time() - began) / times * 1e6, 2)


def main() -> None:
    """Measure and print the line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=120_000)
    chosen = arguments.parse_args()
    content = made_up(chosen.rows)
    took: list[float] = []
    for _ in range(5):
        began = time.process_time()
        instruments = instruments_from(content, DAY)
        took.append((time.process_time() - began) * 1000)
    ids = list(instruments)
    tokens = [instruments.token_of(one) or 0 for one in ids]
    began = time.process_time()
    chain = instruments.chain("NIFTY")
    chain_ms = (time.process_time() - began) * 1000
    assert chain is not None
    expiry, strike = chain.expiries[0], price("24000")
    line = {
        "benchmark": "instruments",
        "rows": len(instruments),
        "bytes": len(content),
        "read_ms_best": round(min(took), 1),
        "read_ms_worst": round(max(took), 1),
        "first_find_us": _each_us(lambda n: instruments.find(ids[n * 5]), len(ids) // 5),
        "find_us": _each_us(lambda n: instruments.find(ids[n * 5]), len(ids) // 5),
        "of_token_us": _each_us(lambda n: instruments.of_token(tokens[n * 5]), len(ids) // 5),
        "first_chain_ms": round(chain_ms, 2),
        "contract_us": _each_us(
            lambda _: instruments.contract("NIFTY", expiry, strike, InstrumentKind.CALL), 20_000
        ),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
