"""How many HTTP round trips a processor second holds in virtual time, and what an event costs there.

    python -m benchmarks.virtual_time --requests 10000

aiohttp's server and client, unchanged, over the network in memory. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from aiohttp import ClientSession, web

from kitestring.sim.event_trace import EventTrace
from kitestring.sim.memory_network import Network
from kitestring.sim.virtual_world import live

HOST, PORT = "127.0.0.1", 8010


async def _order(request: web.Request) -> web.Response:
    form = await request.post()
    return web.json_response({"status": "success", "data": {"order_id": form["order_id"]}})


async def _ticker(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    frame = bytes(184 * 20)
    for _ in range(int(request.query["frames"])):
        await socket.send_bytes(frame)
        await asyncio.sleep(1)
    await socket.close()
    return socket


async def _played(network: Network, requests: int, frames: int) -> dict[str, float]:
    app = web.Application()
    app.router.add_post("/orders", _order)
    app.router.add_get("/ticker", _ticker)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, PORT).start()
    url = f"http://{HOST}:{PORT}"
    async with ClientSession() as session:
        before, began = network.loop.callbacks_run, time.process_time()
        for number in range(requests):
            async with session.post(f"{url}/orders", data={"order_id": str(number)}) as answer:
                await answer.json()
        http_s = time.process_time() - began
        callbacks = network.loop.callbacks_run - before
        began = time.process_time()
        async with session.ws_connect(f"{url}/ticker?frames={frames}") as socket:
            heard = [message async for message in socket]
        ticker_s = time.process_time() - began
    assert len(heard) == frames
    await runner.cleanup()
    return {
        "round_trips_per_cpu_s": round(requests / http_s),
        "callbacks_per_round_trip": round(callbacks / requests, 2),
        "ticker_frames_per_cpu_s": round(frames / ticker_s),
        "virtual_hours_per_cpu_s_of_ticker": round(frames / 3600 / ticker_s, 2),
    }


async def _timers(_network: Network, count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        await asyncio.sleep(1)
    return (time.process_time() - began) / count * 1e6


def main() -> None:
    """Measure and print the line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=10_000)
    chosen = arguments.parse_args()
    count: int = chosen.requests
    line: dict[str, float | str] = {"benchmark": "virtual_time", "requests": count}
    line |= live(lambda network: _played(network, count, count))
    trace = EventTrace()
    traced = live(lambda network: _played(network, count, count), trace=trace)
    line["round_trips_per_cpu_s_traced"] = traced["round_trips_per_cpu_s"]
    line["sleep_us"] = round(live(lambda network: _timers(network, count)), 2)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
