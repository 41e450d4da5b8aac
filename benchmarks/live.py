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
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.exchange import shares
from benchmarks.house import OPEN_AT
from benchmarks.live_exchange import percentile
from benchmarks.live_house import Exchange, House, climbers, exchange_program, holders
from kitestring.domain.events import BrokerSnapshot
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.store.halt_file import HaltedBy, HaltFile

CLIMBERS: Final = 30
SIZES: Final = (20, 500, 3_000)
QUICK: Final = 10.0
"""How fast the exchange goes until everybody is in."""
IN_WITHIN_S: Final = 120.0
EXIT_WITHIN_S: Final = 20.0
LINES: Final = 3
ENTERED_AT: Final = OPEN_AT + 2 * MINUTE
"""The first minute seen whole ends."""
EACH: Final = 3_000


def _ms(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50": round(statistics.median(values) * 1e3, 2),
        "p99": round(percentile(values, 99) * 1e3, 2),
        "worst": round(max(values) * 1e3, 2),
    }


def disk(folder: Path, times: int = 200) -> dict[str, object]:
    """What this disk takes to keep a page: no order leaves before one is kept."""
    taken = []
    with (folder / "page").open("wb") as page:
        for _ in range(times):
            page.write(b"x" * 4096)
            page.flush()
            began = time.perf_counter()
            os.fsync(page.fileno())
            taken.append(time.perf_counter() - began)
    return {"benchmark": "this disk", "sync_ms": _ms(taken), "load": _load()}


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


async def busy(
    seconds: float, instruments: int, folder: Path, *, orders: bool, by_file: bool
) -> tuple[dict[str, object], dict[str, object]]:
    """So many ticks a second on three connections, orders beside them; a HALT at the end of it."""
    last = shares(instruments)[-1]
    async with exchange_program(instruments, LINES) as exchange:
        house = House(exchange, instruments, climbers(last, CLIMBERS), folder)
        async with house.trading():
            if orders:  # The minute in which the house came is not whole: nobody enters on it.
                await exchange.say("speed", speed=3.0)
                await house.exchange.clock.wait_until(ENTERED_AT - 8 * SECOND)
                await exchange.say("speed", speed=1.0)
                await asyncio.sleep(2.0)
            began, ticks = time.perf_counter(), house.day.ticks
            memory: list[float] = []
            while (passed := time.perf_counter() - began) < seconds:
                if not memory and passed >= min(10.0, seconds / 3):
                    memory.append(_memory_mb())
                if house.positions and not house.working:
                    await _climb(house, 1, 0.35)
                else:
                    await asyncio.sleep(0.05)
            memory.append(_memory_mb())
            took, taken = time.perf_counter() - began, house.day.ticks - ticks
            halted = await asyncio.to_thread(_halt, house, by_file)
            await house.until(lambda: not house.working, 10.0, "waiting for the last order")
            there = await exchange.say("orders")
            assert isinstance(there, list)
            late = await _lateness(house, began)
            out = await _way_out(house) if house.marks.out else {}
            assert house.link is not None
            inbox = house.link.feed.inbox
            lost = _differences(there, house)
    measured: dict[str, object] = {
        "benchmark": "live busy",
        "instruments": instruments,
        "seconds": round(took, 1),
        "ticks_per_s": round(taken / took),
        "orders": len(there),
        "orders_told_otherwise": lost,
        "rss_mb": [round(each, 1) for each in memory],
        "frame_to_inbox_ms": _ms(late),
        "frames_later_than_250_ms": sum(each > 0.25 for each in late),
        "ticks_folded": inbox.folded,
        **out,
        "load": _load(),
    }
    return measured, {"benchmark": "live halt under load", **halted, "load": _load()}


async def _lateness(house: House, since: float) -> list[float]:
    """Of every frame, from the exchange's socket to the day's inbox."""
    noted = await house.exchange.say("noted")
    assert isinstance(noted, dict)
    handed, heard = sorted(noted["frames"]), sorted(house.marks.frames)
    both = min(len(handed), len(heard))
    pairs = zip(handed[:both], heard[:both], strict=True)
    return [there - here for here, there in pairs if here >= since]


def _differences(there: Sequence[dict[str, object]], house: House) -> list[str]:
    """Orders of which the journal does not say what the exchange says; none were lost if it is empty."""
    ours = {each.cl_ord_id: each for each in house.orders_written()}
    said = {str(row["tag"]): row for row in there if row["tag"]}
    odd: list[str] = [tag for tag, order in ours.items() if tag not in said and order.cum_qty]
    for tag, row in said.items():
        order = ours.get(ClOrdId(tag))
        filled = int(str(row["filled_quantity"]))
        if order is None or order.cum_qty != filled or not order.status.terminal:
            odd.append(tag)
    return sorted(odd)


def _halt(house: House, by_file: bool) -> dict[str, object]:
    """Halt from another thread; the day's own loop goes on with its load."""
    core, stopped = house.day.core, house.engine._entries_stopped  # noqa: SLF001
    assert not stopped(), "entries were open"
    began = time.perf_counter()
    if by_file:
        HaltFile(house.artifacts).write(HaltedBy.OPERATOR, "measured", house.day.now())
        gate = time.perf_counter() if stopped() else 0.0
        answered = gate
    else:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(house.artifacts / "live" / "control.sock"))
            door.sendall(b'{"word":"halt","reason":"measured"}\n')
            while not stopped():
                time.sleep(0.0005)
            gate = time.perf_counter()
            answer = json.loads(door.makefile().readline())
            answered = time.perf_counter()
            assert answer["ok"], answer
    assert gate, "the gate is shut by now"
    while core.risk.state.halted is None:
        time.sleep(0.0005)
    halted = time.perf_counter()
    return {
        "by": "HALT file" if by_file else "control socket",
        "gate_shut_ms": round((gate - began) * 1e3, 1),
        "answered_ms": round((answered - began) * 1e3, 1),
        "core_halted_ms": round((halted - began) * 1e3, 1),
    }


def _memory_mb() -> float:
    """What this program holds now (``/proc``; elsewhere the most it ever held)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / (1 << 20)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def start(positions: int, orders: int, folder: Path, quick: float) -> dict[str, object]:
    """A day with positions, their stops and other orders is stopped, and taken up by a new program."""
    rows = holders(shares(positions), stop=20)
    async with exchange_program(positions, 1) as exchange:
        house = House(exchange, positions, rows, folder)
        async with house.trading():
            await exchange.say("speed", speed=quick)
            await house.until(
                lambda: house.positions == positions == house.working, IN_WITHIN_S, "waiting"
            )
            await exchange.say("foreign", count=max(0, orders - 2 * positions))
            await exchange.say("speed", speed=1.0)
            shown = house.marks.shown[-positions:]
        began = time.perf_counter()
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.live", "--take-up"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        told = exchange.told | {"positions": positions, "folder": str(folder)}
        answer, _ = await program.communicate(json.dumps(told).encode())
        taken_up = json.loads(answer)
        there = await exchange.say("orders")
        assert isinstance(there, list)
    assert taken_up["positions"] == taken_up["working"] == positions, taken_up
    assert not taken_up["untrusted"], taken_up
    return {
        "benchmark": "live start to reconciled",
        "positions": positions,
        "orders_in_book": len(there),
        "seconds": round(taken_up["at"] - began, 2),
        "guard_file_ms": _ms(shown),
        "load": _load(),
    }


async def take_up(told: dict[str, object]) -> dict[str, object]:
    """The second program: as soon as the books were compared, say so and stop."""
    positions = int(str(told["positions"]))
    exchange = Exchange(None, told)
    rows = holders(shares(positions), stop=20)
    house = House(exchange, positions, rows, Path(str(told["folder"])))
    async with house.trading():
        at = time.perf_counter()
        looked = any(
            isinstance(fact, BrokerSnapshot) and fact.trusted
            for fact in house.marks.told  # since this start
        )
        state = house.day.core.state
        return {
            "at": at,
            "positions": house.positions,
            "working": house.working,
            "untrusted": state.untrusted or ("" if looked else "nothing was compared"),
        }


def main() -> None:
    """Measure what was asked for and print a JSON line of each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", choices=("latency", "frames", "busy", "start"))
    arguments.add_argument("--rounds", type=int, default=4, help="of thirty exits each")
    arguments.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    arguments.add_argument("--seconds", type=float, default=90.0, help="of the busy time")
    arguments.add_argument("--instruments", type=int, default=LINES * EACH, help="in it")
    arguments.add_argument("--positions", type=int, default=50)
    arguments.add_argument("--quick", type=float, default=QUICK, help="speed until all are in")
    arguments.add_argument("--folder", type=Path, help="where the journals are written")
    arguments.add_argument("--take-up", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.take_up:
        print(json.dumps(asyncio.run(take_up(json.loads(sys.stdin.read())))))
        return

    def say(line: dict[str, object]) -> None:
        print(json.dumps(line), flush=True)

    if chosen.folder is not None:
        Path(chosen.folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
        folder = Path(place)
        say(disk(folder))
        if chosen.only in {None, "latency"}:
            for size in chosen.sizes:
                say(asyncio.run(latency(size, chosen.rounds, CLIMBERS, folder / f"{size}")))
        if chosen.only in {None, "frames"}:
            subprocess.run([sys.executable, "-m", "benchmarks.kite_frames"], check=True)
        if chosen.only in {None, "start"}:
            many = chosen.positions
            say(asyncio.run(start(many, 4 * many, folder / "start", chosen.quick)))
        if chosen.only in {None, "busy"}:
            seconds, many = chosen.seconds, chosen.instruments
            for line in asyncio.run(
                busy(seconds, many, folder / "busy", orders=True, by_file=False)
            ):
                say(line)
            say(
                asyncio.run(busy(seconds / 9, many, folder / "file", orders=False, by_file=True))[1]
            )


if __name__ == "__main__":
    main()
