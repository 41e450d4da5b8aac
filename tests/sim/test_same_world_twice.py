"""One seed is one world: the same events at the same instants, in every process."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from virtual_programs import URL, busy_morning, in_a_world

from kitestring.sim.event_trace import EventTrace, first_difference
from kitestring.sim.memory_network import Latency
from kitestring.sim.one_way import OneWay

ROOT = Path(__file__).resolve().parents[2]


def test_the_same_seed_gives_the_same_trace():
    one, other = EventTrace(), EventTrace()
    assert busy_morning(7, one) == busy_morning(7, other)
    assert one.count > 500
    assert first_difference(one, other) is None


def test_another_seed_gives_another():
    one, other = EventTrace(), EventTrace()
    busy_morning(7, one)
    busy_morning(8, other)
    assert first_difference(one, other) is not None


def run_in_a_process(hash_seed, *how, program="virtual_programs.py"):
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), *how],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return ran.stdout


def test_the_same_seed_gives_the_same_trace_in_every_process():
    trace = EventTrace()
    busy_morning(7, trace)
    here = f"{trace.count} {trace.digest()}\n"
    assert run_in_a_process("0") == run_in_a_process("4711") == here


def test_a_set_iterated_anywhere_is_caught_between_two_processes():
    """The planted fault: the same program, but its clients are started from a set of names."""
    assert run_in_a_process("0", "careless") != run_in_a_process("4711", "careless")


def test_a_wall_clock_read_anywhere_is_caught_and_its_line_named(monkeypatch):
    """The planted fault: one delay taken from the machine's clock instead of the loop's."""
    drawn = OneWay.latency_s

    def late(way):
        return drawn(way) + time.perf_counter() % 1e-6

    one, other = EventTrace(), EventTrace()
    monkeypatch.setattr(OneWay, "latency_s", late)
    busy_morning(7, one)
    busy_morning(7, other)
    assert "in one run" in first_difference(one, other)


def test_what_happens_at_one_server_does_not_change_the_latencies_of_another():
    def world(*, busy):
        async def main(network, session):
            if busy:
                server = await network.loop.create_server(asyncio.Protocol, "127.0.0.1", 9000)
                for _ in range(5):
                    elsewhere, _ = await network.loop.create_connection(
                        asyncio.Protocol, "127.0.0.1", 9000
                    )
                    elsewhere.write(bytes(1000))
                    await asyncio.sleep(1)
                    elsewhere.close()
                server.close()
            took = []
            for _ in range(20):
                began = network.loop.time()
                async with session.get(f"{URL}/quote?i=INFY") as answer:
                    await answer.read()
                took.append(network.loop.time() - began)
            return took

        return in_a_world(main, seed=3, latency=Latency(base_s=0.001, jitter_s=0.010))

    quiet = world(busy=False)
    assert len({round(one, 6) for one in quiet}) == 20
    assert world(busy=True) == pytest.approx(quiet)
