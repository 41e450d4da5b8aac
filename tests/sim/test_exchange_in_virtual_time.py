"""The real exchange's handlers in virtual time: a trading hour with orders and ticker, in an instant."""

import asyncio
import time

import pytest
from aiohttp import WSMsgType
from exchange_programs import INFY, OPEN, a_trading_hour, at_the_exchange, ten_minutes
from test_same_world_twice import run_in_a_process

from kitestring.domain.instants import SECOND
from kitestring.sim.event_trace import EventTrace, first_difference
from kitestring.sim.link_faults import Blackhole


def test_a_trading_hour_with_orders_and_ticker_passes_in_seconds():
    began = time.process_time()
    seen = at_the_exchange(a_trading_hour)
    took = time.process_time() - began
    assert seen["clock"] >= OPEN + 3590 * SECOND
    assert seen["orders"] == {seen["bought"]: ("COMPLETE", 10), seen["resting"]: ("CANCELLED", 0)}
    assert seen["history"][0] == "PUT ORDER REQ RECEIVED"
    assert seen["history"][-1] == "COMPLETE"
    assert seen["position"] == [10]
    assert (seen["bought"], "COMPLETE") in seen["updates"]
    assert (seen["resting"], "CANCELLED") in seen["updates"]
    assert seen["ticks"] > 1500
    assert took < 10  # 2.4 where nothing else runs


def test_the_same_minutes_twice_are_the_same_minutes():
    one, other = EventTrace(), EventTrace()
    first = at_the_exchange(ten_minutes, trace=one)
    second = at_the_exchange(ten_minutes, trace=other)
    assert first_difference(one, other) is None
    assert first == second
    assert one.count > 5_000


def test_they_are_the_same_in_another_process():
    program = "exchange_programs.py"
    assert run_in_a_process("0", program=program) == run_in_a_process("4711", program=program)


async def listen_for_silence(socket):
    while True:
        await socket.receive(timeout=5)


def test_a_ticker_in_a_silent_network_is_missed_by_its_heartbeats_and_comes_back():
    async def play(trader, network):
        loop = network.loop
        async with trader.ticker() as socket:
            await socket.send_json({"a": "subscribe", "v": [INFY]})
            await asyncio.sleep(10)
            network.strike(Blackhole(until_s=loop.time() + 120))
            began = loop.time()
            with pytest.raises(TimeoutError):
                await listen_for_silence(socket)
            noticed = loop.time() - began
        await asyncio.sleep(150)
        async with trader.ticker() as socket:
            await socket.send_json({"a": "subscribe", "v": [INFY]})
            return noticed, (await socket.receive(timeout=5)).type

    noticed, kind = at_the_exchange(play)
    assert 5 <= noticed < 7
    assert kind is WSMsgType.BINARY
