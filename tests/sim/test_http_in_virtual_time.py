"""An aiohttp server and its clients, unchanged, in a world where nothing is real but the code."""

import asyncio
import time

import pytest
from aiohttp import ClientConnectorError, ClientSession, ClientTimeout, WSMsgType, web
from virtual_programs import HOST, PORT, URL, in_a_world, serve

from kitestring.sim.memory_network import Latency
from kitestring.sim.virtual_world import live


def test_requests_share_one_kept_connection():
    async def main(network, session):
        seen = []
        for symbol in ("INFY", "TCS", "M&M"):
            async with session.get(f"{URL}/quote", params={"i": symbol}) as answer:
                assert answer.status == 200
                seen.append((await answer.json())["symbol"])
        return seen, list(network.lines)

    seen, lines = in_a_world(main)
    assert seen == ["INFY", "TCS", "M&M"]
    assert lines == ["127.0.0.1:8010#1"]


def test_a_request_takes_as_long_as_the_network():
    async def main(network, session):
        loop = network.loop
        took = []
        for _ in range(2):
            began = loop.time()
            async with session.get(f"{URL}/quote", params={"i": "INFY"}) as answer:
                await answer.read()
            took.append(loop.time() - began)
        return took

    first, second = in_a_world(main, latency=Latency(base_s=0.025, jitter_s=0))
    assert first == pytest.approx(0.100)  # the handshake, then the request
    assert second == pytest.approx(0.050)


def test_a_client_gives_up_after_two_minutes_in_an_instant():
    async def main(network, session):
        began = network.loop.time()
        with pytest.raises(TimeoutError):
            await session.get(f"{URL}/slow?s=3600", timeout=ClientTimeout(total=120))
        return network.loop.time() - began

    began = time.perf_counter()
    assert in_a_world(main) == pytest.approx(120, abs=1)
    assert time.perf_counter() - began < 2


def test_an_idle_connection_is_closed_by_the_server_when_its_time_is_up():
    async def main(network, session):
        async with session.get(f"{URL}/quote", params={"i": "INFY"}) as answer:
            await answer.read()
        await asyncio.sleep(3000)
        assert not network.lines
        async with session.get(f"{URL}/quote", params={"i": "TCS"}) as answer:
            return answer.status

    assert in_a_world(main) == 200


def test_a_pooled_connection_ages_in_virtual_time():
    """aiohttp dates idle connections by the machine's clock; a world replaces that clock."""

    async def main(network, session):
        for _ in range(2):
            async with session.get(f"{URL}/quote", params={"i": "INFY"}) as answer:
                await answer.read()
            await asyncio.sleep(20)  # the pool keeps one for 15 s, the server for longer
        return network._numbers[HOST, PORT]

    assert in_a_world(main) == 2


@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
@pytest.mark.parametrize("size", [1, 65_536, 10_000_000])
def test_large_bodies_both_ways(size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def main(_network, session):
        async with session.post(f"{URL}/store", data=body) as answer:
            stored = await answer.json()
        async with session.get(f"{URL}/large", params={"size": size}) as answer:
            return stored, len(await answer.read())

    stored, fetched = in_a_world(main)
    assert stored == {"size": size, "sum": sum(body[:: size // 100 or 1])}
    assert fetched == size


def test_names_are_looked_up_in_the_world_and_nowhere_else():
    async def main(_network, session):
        async with session.get(f"http://api.kite.trade:{PORT}/quote?i=INFY") as answer:
            status = answer.status
        with pytest.raises(ClientConnectorError, match=r"no name of this virtual world"):
            await session.get("http://example.invalid/")
        return status

    assert in_a_world(main, names={"api.kite.trade": HOST}) == 200


def test_where_nobody_listens_the_connection_is_refused():
    async def main(_network, session):
        with pytest.raises(ClientConnectorError, match="Connection refused"):
            await session.get(f"http://{HOST}:9/")
        return "refused"

    assert in_a_world(main) == "refused"


def test_tls_is_refused_with_the_reason():
    async def main(_network, session):
        with pytest.raises(NotImplementedError, match="http:// and ws://"):
            await session.get(f"https://{HOST}:{PORT}/")
        return "refused"

    assert in_a_world(main) == "refused"


def test_a_ticker_speaks_both_ways_for_an_hour():
    async def main(network, session):
        ticks, said = [], []
        async with session.ws_connect(f"{URL}/ticker") as socket:
            for minute in range(60):
                await socket.send_str(f"minute {minute}")
                until = network.loop.time() + 60
                while (left := until - network.loop.time()) > 0:
                    try:
                        message = await socket.receive(timeout=left)
                    except TimeoutError:
                        break
                    if message.type is WSMsgType.BINARY:
                        ticks.append(int.from_bytes(message.data, "big"))
                    else:
                        said.append(message.data)
        return ticks, said

    began = time.perf_counter()
    ticks, said = in_a_world(main)
    assert ticks == list(range(len(ticks)))
    assert 3590 <= len(ticks) <= 3601
    assert said == [f"you said minute {minute}" for minute in range(60)]
    assert time.perf_counter() - began < 10


def test_the_servers_end_reaches_an_open_ticker():
    async def whole(_network):
        runner = await serve(shutdown_timeout=5)
        async with ClientSession() as session:
            socket = await session.ws_connect(f"{URL}/ticker")
            await socket.receive()
            ending = asyncio.create_task(runner.cleanup())
            kinds = [message.type async for message in socket]
            await ending
            with pytest.raises(ClientConnectorError):
                await session.get(f"{URL}/quote?i=INFY")
            return kinds, socket.closed

    kinds, closed = live(whole)
    assert closed
    assert set(kinds) <= {WSMsgType.BINARY}


def test_a_runner_server_can_be_listened_on_directly():
    async def whole(network):
        runner = web.AppRunner(web.Application(), access_log=None)
        await runner.setup()
        server = await network.loop.create_server(runner.server, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        async with ClientSession() as session, session.get(f"http://{HOST}:{port}/") as answer:
            status = answer.status
        server.close()
        await runner.cleanup()
        return port, status

    assert live(whole) == (49_152, 404)
