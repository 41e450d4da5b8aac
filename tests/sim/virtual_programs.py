"""Programs that the tests run in a virtual world: an aiohttp server and what its clients do."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import ClientSession, ClientTimeout, WSMsgType, web

from kitestring.sim.event_trace import EventTrace
from kitestring.sim.virtual_world import live

HOST, PORT = "127.0.0.1", 8010
URL = f"http://{HOST}:{PORT}"


async def _quote(request):
    return web.json_response({"symbol": request.query["i"], "last_price": 24_105.5})


async def _slow(request):
    await asyncio.sleep(float(request.query["s"]))
    return web.Response(text="at last")


async def _store(request):
    body = await request.read()
    return web.json_response({"size": len(body), "sum": sum(body[:: len(body) // 100 or 1])})


async def _large(request):
    return web.Response(body=bytes(int(request.query["size"])))


async def _ticker(request):
    socket = web.WebSocketResponse(heartbeat=10.0)
    await socket.prepare(request)
    ticks = asyncio.create_task(_tick(socket))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str("you said " + message.data)
    finally:
        ticks.cancel()
    return socket


async def _tick(socket):
    number = 0
    while True:
        await socket.send_bytes(number.to_bytes(4, "big"))
        number += 1
        await asyncio.sleep(1)


async def serve(**settings):
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_get("/quote", _quote)
    app.router.add_get("/slow", _slow)
    app.router.add_post("/store", _store)
    app.router.add_get("/large", _large)
    app.router.add_get("/ticker", _ticker)
    runner = web.AppRunner(app, access_log=None, **settings)
    await runner.setup()
    await web.TCPSite(runner, HOST, PORT).start()
    return runner


def in_a_world(main, **settings):
    """Serve, run ``main(network, session)``, and end both in order."""

    async def whole(network):
        runner = await serve()
        try:
            async with ClientSession(timeout=ClientTimeout(total=300)) as session:
                return await main(network, session)
        finally:
            await runner.cleanup()

    return live(whole, **settings)


SYMBOLS = ("INFY", "TCS", "M&M", "SBIN", "ITC", "RELIANCE", "HDFCBANK", "LT")


def busy_morning(seed, trace, symbols=SYMBOLS):
    """Several clients at once, each with its own pace; what they saw, in order."""
    seen = []

    async def client(session, symbol):
        for turn in range(5):
            async with session.get(f"{URL}/quote", params={"i": symbol}) as answer:
                seen.append((turn, (await answer.json())["symbol"]))
            await asyncio.sleep(0.01 * (len(symbol) % 3))

    async def listener(session):
        async with session.ws_connect(f"{URL}/ticker") as socket:
            seen.extend([("tick", (await socket.receive()).data) for _ in range(4)])

    async def main(_network, session):
        await asyncio.gather(listener(session), *(client(session, symbol) for symbol in symbols))

    in_a_world(main, seed=seed, trace=trace)
    return seen


if __name__ == "__main__":
    TRACE = EventTrace()
    busy_morning(7, TRACE, set(SYMBOLS) if sys.argv[1:] == ["careless"] else SYMBOLS)
    print(TRACE.count, TRACE.digest())
