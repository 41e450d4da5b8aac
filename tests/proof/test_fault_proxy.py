"""The proxy breaks lines as it is told, at the byte it is told; and the house behind it finds out."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import local_settings
from kitestring.sim.fault_proxy import Cut, Ends, FaultProxy
from kitestring.sim.link_faults import Towards
from proof.served_world import in_real_world

BODY = bytes(range(256)) * 4


@asynccontextmanager
async def talking(**options):
    """A server that answers each line with ``BODY``, behind a proxy, and a client's connection to it."""

    async def answer(reader, writer):
        try:
            while await reader.readline():
                writer.write(BODY)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = FaultProxy(server.sockets[0].getsockname()[1], **options)
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield proxy, reader, writer
    finally:
        writer.close()
        await proxy.close()
        server.close()
        await asyncio.sleep(0.05)  # the server's side hears of it


async def heard(reader, within_s=0.3):
    """Everything that comes, and how it ended."""
    got = b""
    try:
        async with asyncio.timeout(within_s):
            while piece := await reader.read(4096):
                got += piece
    except TimeoutError:
        return got, "silence"
    except ConnectionError:
        return got, "reset"
    return got, "close"


@pytest.mark.parametrize("ends", list(Ends))
@pytest.mark.parametrize("at_byte", [0, 1, 500, 1023])
def test_it_breaks_at_its_byte(ends, at_byte):
    async def play():
        cut = Cut(at_byte=at_byte, ends=ends, after=b"now")
        async with talking(cuts=[cut]) as (proxy, reader, writer):
            writer.write(b"first\n")
            assert await reader.readexactly(len(BODY)) == BODY
            writer.write(b"now\n")
            assert await heard(reader) == (BODY[:at_byte], str(ends))
            assert proxy.cuts == []
            assert proxy.lines[0].passed[Towards.CLIENT] == len(BODY) + at_byte

    asyncio.run(play())


def test_it_cuts_a_request_before_the_server_has_it_whole():
    async def play():
        cut = Cut(at_byte=2, ends=Ends.CLOSE, towards=Towards.SERVER, after=b"now")
        async with talking(cuts=[cut]) as (proxy, reader, writer):
            writer.write(b"xxxx now\n")
            got, ending = await heard(reader)
            assert (got, ending) == (b"", "close")
            assert proxy.lines[0].passed[Towards.SERVER] == len(b"xxxx no")

    asyncio.run(play())


def test_it_falls_silent_one_way_and_what_waited_comes_afterwards():
    async def play():
        async with talking() as (proxy, reader, writer):
            proxy.silent.add(Towards.CLIENT)
            writer.write(b"one\n")
            assert await heard(reader, 0.1) == (b"", "silence")
            assert proxy.lines[0].passed[Towards.SERVER] == 4
            proxy.silent.clear()
            assert await reader.readexactly(len(BODY)) == BODY

    asyncio.run(play())


def test_it_delays_throttles_and_refuses():
    async def play():
        loop = asyncio.get_running_loop()
        async with talking() as (proxy, reader, writer):
            proxy.delay_s = 0.1
            began = loop.time()
            writer.write(b"one\n")
            await reader.readexactly(len(BODY))
            assert loop.time() - began >= 0.2
            proxy.delay_s, proxy.bytes_per_s = 0, 4 * len(BODY)
            writer.write(b"two\n")
            began = loop.time()
            await reader.readexactly(len(BODY))
            assert loop.time() - began >= 0.2
            proxy.refuses = True
            other, others = await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await heard(other) == (b"", "reset")
            others.close()
            proxy.break_all(Ends.RESET)
            assert await heard(reader) == (b"", "reset")

    asyncio.run(play())


def test_a_read_into_a_black_hole_fails_in_time_and_the_next_one_is_well():
    async def play(world):
        proxy = FaultProxy(world.served.port)
        await proxy.start()
        settings = msgspec.structs.replace(
            local_settings(f"http://127.0.0.1:{proxy.port}", api_key="kitestring"),
            read_timeout_s=0.4,
        )
        try:
            async with KiteHttp(settings) as http:
                client = KiteClient(settings, world.token, http)
                assert await client.orders() == ()
                for towards in Towards:
                    proxy.silent = {towards}
                    with pytest.raises(KiteReadFailed) as failed:
                        await client.orders()
                    assert failed.value.cause is ReadFailure.TIMED_OUT
                    proxy.silent = set()
                    assert await client.orders() == ()
                proxy.bytes_per_s = 60
                with pytest.raises(KiteReadFailed, match=r"no whole answer within 0\.4 s"):
                    await client.orders()
        finally:
            await proxy.close()

    in_real_world(play)
