"""Connections in memory keep the promises of sockets, and break as real lines break."""

import asyncio
import math
import socket

import pytest
from aiohttp import ClientConnectorError, ClientError, ClientOSError, ClientTimeout
from virtual_programs import HOST, PORT, URL, in_a_world

from kitestring.sim.link_faults import Blackhole, Delay, Refused, Reset, SlowDrip, Towards
from kitestring.sim.memory_network import Latency
from kitestring.sim.one_way import WINDOW
from kitestring.sim.virtual_world import live

STILL = Latency(base_s=0.010, jitter_s=0)
SERVER = (HOST, 9000)


class Recorder(asyncio.Protocol):
    """Writes down everything a transport tells it."""

    def __init__(self, *, stays_open=False):
        self.seen = []
        self.heard = bytearray()
        self.stays_open = stays_open
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.seen.append("made")

    def data_received(self, data):
        self.heard += data

    def eof_received(self):
        self.seen.append("eof")
        return self.stays_open

    def pause_writing(self):
        self.seen.append("pause")

    def resume_writing(self):
        self.seen.append("resume")

    def connection_lost(self, error):
        self.seen.append("lost" if error is None else type(error).__name__)
        self.ended.set_result(None)


def with_a_pair(talk, *, seed=0, latency=STILL, server_stays_open=False):
    """Connect two recorders and let ``talk(network, client, server)`` play."""

    async def main(network):
        served = []

        def accept():
            served.append(Recorder(stays_open=server_stays_open))
            return served[-1]

        await network.loop.create_server(accept, *SERVER)
        _, client = await network.loop.create_connection(Recorder, *SERVER)
        return await talk(network, client, served[0])

    return live(main, seed=seed, latency=latency)


def test_both_ends_know_each_other_by_address():
    async def talk(_network, client, server):
        c, s = client.transport, server.transport
        assert c.get_extra_info("peername") == s.get_extra_info("sockname") == SERVER
        assert c.get_extra_info("sockname") == s.get_extra_info("peername")
        plug = c.get_extra_info("socket")
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert plug.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert (plug.family, plug.getpeername(), plug.fileno()) == (socket.AF_INET, SERVER, -1)

    with_a_pair(talk)


def test_a_write_is_delivered_one_latency_later_and_never_from_within_the_call():
    async def talk(_network, client, server):
        buffer = bytearray(b"BUY 75 ")
        client.transport.write(buffer)
        buffer[:] = b"SELL 75"  # what was written is what was meant
        client.transport.writelines([b"NI", b"FTY"])
        assert server.heard == b""
        await asyncio.sleep(0.009)
        assert server.heard == b""
        await asyncio.sleep(0.002)
        assert server.heard == b"BUY 75 NIFTY"

    with_a_pair(talk)


def test_bytes_stay_in_order_under_jitter():
    async def talk(_network, client, server):
        for number in range(500):
            client.transport.write(number.to_bytes(2, "big"))
            await asyncio.sleep(0.0001)
        await asyncio.sleep(1)
        return bytes(server.heard)

    sent = b"".join(number.to_bytes(2, "big") for number in range(500))
    assert with_a_pair(talk, latency=Latency(base_s=0.001, jitter_s=0.050)) == sent


def test_a_reader_who_pauses_makes_the_writer_wait_and_nothing_is_lost():
    async def talk(_network, client, server):
        server.transport.pause_reading()
        body = bytes(range(256)) * 4096  # one MiB
        for first in range(0, len(body), 4096):
            client.transport.write(body[first : first + 4096])
        await asyncio.sleep(10)
        assert server.heard == b""
        assert client.seen == ["made", "pause"]
        assert client.transport.get_write_buffer_size() == len(body) - WINDOW
        server.transport.resume_reading()
        await asyncio.sleep(10)
        assert server.heard == body
        assert client.seen == ["made", "pause", "resume"]

    with_a_pair(talk)


def test_water_marks_are_obeyed():
    async def talk(_network, client, server):
        server.transport.pause_reading()
        client.transport.set_write_buffer_limits(high=1000, low=10)
        assert client.transport.get_write_buffer_limits() == (10, 1000)
        client.transport.write(bytes(WINDOW))
        client.transport.write(bytes(1000))
        assert client.seen == ["made"]
        client.transport.write(b"!")
        assert client.seen == ["made", "pause"]
        with pytest.raises(ValueError, match="high"):
            client.transport.set_write_buffer_limits(high=1, low=2)

    with_a_pair(talk)


def test_close_delivers_everything_first_even_to_a_slow_reader():
    async def talk(_network, client, server):
        server.transport.pause_reading()
        client.transport.write(bytes(1_000_000))
        client.transport.close()
        client.transport.write(b"too late")
        await asyncio.sleep(1)
        assert client.seen == ["made", "pause"]
        server.transport.resume_reading()
        await asyncio.gather(client.ended, server.ended)
        assert len(server.heard) == 1_000_000
        assert server.seen == ["made", "eof", "lost"]
        assert client.seen[-1] == "lost"

    with_a_pair(talk)


def test_abort_forgets_what_had_not_left():
    async def talk(network, client, server):
        client.transport.write(bytes(WINDOW + 1000))
        client.transport.abort()
        await asyncio.gather(client.ended, server.ended)
        assert len(server.heard) == WINDOW
        assert network.lines == {}

    with_a_pair(talk)


def test_a_half_closed_connection_still_hears():
    async def talk(_network, client, server):
        client.transport.write(b"that is all")
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            client.transport.write(b"more")
        await asyncio.sleep(1)
        assert server.seen == ["made", "eof"]
        server.transport.write(b"thank you")
        server.transport.close()
        await asyncio.gather(client.ended, server.ended)
        assert (server.heard, client.heard) == (b"that is all", b"thank you")

    with_a_pair(talk, server_stays_open=True)


def test_bytes_for_a_closed_end_are_answered_with_a_reset():
    async def talk(_network, client, server):
        server.stays_open = client.stays_open = True
        client.transport.close()
        server.transport.write(b"are you there?")
        await asyncio.gather(client.ended, server.ended)
        assert client.seen == ["made", "lost"]
        assert server.seen == ["made", "eof", "ConnectionResetError"]

    with_a_pair(talk)


def test_a_protocol_that_fails_loses_its_connection_and_is_heard():
    async def talk(network, client, server):
        server.data_received = lambda data: 1 / 0
        client.transport.write(b"?")
        await asyncio.gather(client.ended, server.ended)
        assert server.seen == ["made", "ZeroDivisionError"]
        assert "data_received" in network.loop.unheard[0]
        network.loop.unheard.clear()

    with_a_pair(talk)


def test_streams_of_the_standard_library_run_on_it():
    async def main(network):
        async def answer(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, *SERVER):
            reader, writer = await asyncio.open_connection(*SERVER)
            writer.write(b"nifty\n")
            heard = await reader.read()
            writer.close()
            await writer.wait_closed()
        return heard

    assert live(main) == b"NIFTY\n"


# -- faults ---------------------------------------------------------------------------------


def test_a_refused_connection_is_refused_only_while_the_fault_lasts():
    async def main(network, session):
        network.strike(Refused(server=(HOST, PORT), until_s=network.loop.time() + 5))
        with pytest.raises(ClientConnectorError, match="Connection refused"):
            await session.get(f"{URL}/quote?i=INFY")
        await asyncio.sleep(5)
        async with session.get(f"{URL}/quote?i=INFY") as answer:
            return answer.status

    assert in_a_world(main) == 200


def test_an_answer_cut_by_a_reset():
    async def main(network, session):
        network.strike(
            Reset(towards=Towards.CLIENT, from_byte=50, until_s=network.loop.time() + 60)
        )
        with pytest.raises(ClientOSError, match="reset by peer"):
            await session.post(f"{URL}/store", data=b"BUY")
        assert network.lines == {}
        await asyncio.sleep(60)
        async with session.post(f"{URL}/store", data=b"BUY") as answer:
            return (await answer.json())["size"]

    assert in_a_world(main) == 3


def test_aiohttp_asks_again_by_itself_when_a_read_is_cut():
    async def main(network, session):
        network.strike(Reset(towards=Towards.CLIENT, connection=1, from_byte=50))
        async with session.get(f"{URL}/quote?i=INFY") as answer:
            return (await answer.json())["symbol"], list(network.lines)

    assert in_a_world(main) == ("INFY", [f"{HOST}:{PORT}#2"])


def test_a_reset_after_exactly_n_bytes():
    async def talk(network, client, server):
        network.strike(Reset(towards=Towards.SERVER, from_byte=7))
        client.transport.write(b"BUY 75")
        await asyncio.sleep(60)
        assert server.seen == ["made"]
        client.transport.write(b" NIFTY")
        await asyncio.gather(client.ended, server.ended)
        assert server.heard == b"BUY 75 "
        assert server.seen == client.seen == ["made", "ConnectionResetError"]

    with_a_pair(talk)


def test_a_reset_at_an_instant_strikes_a_silent_connection():
    async def talk(network, client, server):
        began = network.loop.time()
        network.strike(Reset(from_s=began + 3))
        await asyncio.gather(client.ended, server.ended)
        assert network.loop.time() - began == pytest.approx(3)
        assert client.seen == server.seen == ["made", "ConnectionResetError"]

    with_a_pair(talk)


def test_a_line_that_swallows_the_rest_of_a_message_leaves_both_waiting():
    async def talk(network, client, server):
        network.strike(Blackhole(from_byte=4))
        client.transport.write(b"SELL 100")
        client.transport.close()
        await asyncio.sleep(3600)
        assert server.heard == b"SELL"
        assert server.seen == ["made"]  # half-open: nobody told it
        server.transport.abort()
        await asyncio.sleep(1)

    with_a_pair(talk)


def test_what_a_blackhole_held_back_arrives_when_it_ends():
    async def talk(network, client, server):
        now = network.loop.time()
        network.strike(Blackhole(from_s=now + 1, until_s=now + 31))
        client.transport.write(b"one ")
        await asyncio.sleep(2)
        client.transport.write(b"two ")
        await asyncio.sleep(10)
        client.transport.write(b"three")
        await asyncio.sleep(18)
        assert server.heard == b"one "
        await asyncio.sleep(1.1)
        assert server.heard == b"one two three"

    with_a_pair(talk)


def test_nothing_arrives_behind_a_hole_even_when_the_line_is_healed():
    async def talk(network, client, server):
        network.strike(Blackhole(from_byte=4))
        client.transport.write(b"SELL 100")
        network.heal()
        client.transport.write(b" AT MARKET")
        await asyncio.sleep(3600)
        assert server.heard == b"SELL"

    with_a_pair(talk)


def test_a_server_that_speaks_first_is_heard_by_a_client_still_connecting():
    async def main(network):
        class Greeter(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.write(b"welcome")
                transport.close()

        network.strike(Delay(towards=Towards.CLIENT, by_s=2.0))
        await network.loop.create_server(Greeter, *SERVER)
        dialling = asyncio.create_task(network.loop.create_connection(Recorder, *SERVER))
        await asyncio.sleep(1)
        network.heal()
        _, client = await dialling
        await client.ended
        return bytes(client.heard), client.seen

    assert live(main, latency=STILL) == (b"welcome", ["made", "eof", "lost"])


def test_a_connection_attempt_into_a_blackhole_gives_up_after_127_seconds():
    async def main(network, session):
        network.strike(Blackhole(server=(HOST, PORT)))
        began = network.loop.time()
        with pytest.raises(ClientConnectorError, match="timed out"):
            await session.get(f"{URL}/quote?i=INFY", timeout=ClientTimeout(total=None))
        return network.loop.time() - began

    assert in_a_world(main) == pytest.approx(127, abs=0.1)


def test_a_silent_ticker_is_noticed_by_its_heartbeat():
    async def main(network, session):
        socket_ = await session.ws_connect(f"{URL}/ticker", heartbeat=20)
        await socket_.receive()
        began = network.loop.time()
        network.strike(Blackhole(server=(HOST, PORT)))
        while not (await socket_.receive()).type.name.startswith(("CLOS", "ERR")):
            pass
        network.heal()
        return network.loop.time() - began

    assert 10 <= in_a_world(main) <= 40


def test_a_slow_drip_arrives_byte_by_byte():
    async def talk(network, client, server):
        network.strike(SlowDrip(towards=Towards.SERVER, piece=2, every_s=1.0))
        client.transport.write(b"abcdef")
        lengths = []
        for _ in range(4):
            lengths.append(len(server.heard))
            await asyncio.sleep(1)
        return lengths

    assert with_a_pair(talk) == [0, 0, 2, 4]


def test_a_read_timeout_meets_a_slow_drip():
    async def main(network, session):
        network.strike(SlowDrip(towards=Towards.CLIENT, piece=1, every_s=2.0))
        with pytest.raises(TimeoutError):
            await session.get(f"{URL}/quote?i=INFY", timeout=ClientTimeout(total=30))
        network.heal()
        return "gave up"

    assert in_a_world(main) == "gave up"


def test_delay_strikes_the_chosen_connection_only():
    async def main(network, session):
        network.strike(Delay(connection=2, by_s=5.0))
        loop, took = network.loop, []
        for _ in range(3):
            began = loop.time()
            async with session.get(f"{URL}/quote?i=INFY", headers={"Connection": "close"}) as got:
                await got.read()
            took.append(loop.time() - began)
        return took

    first, second, third = in_a_world(main, latency=Latency(base_s=0, jitter_s=0))
    assert (first, third) == (0, 0)
    assert second == pytest.approx(20)  # two ways of the handshake, two of the request


def test_a_reset_lost_on_the_way_leaves_the_other_side_half_open_until_it_speaks():
    async def talk(network, client, server):
        now = network.loop.time()
        client.transport.pause_reading()
        server.transport.write(b"unread")
        await asyncio.sleep(1)
        network.strike(Blackhole(towards=Towards.SERVER, from_s=now, until_s=now + 60))
        client.transport.abort()  # unread bytes make it a reset, and it is lost
        await asyncio.sleep(120)
        assert server.seen == ["made"]
        server.transport.write(b"still there?")
        await server.ended
        assert server.seen == ["made", "ConnectionResetError"]

    with_a_pair(talk)


def test_a_client_that_goes_away_during_the_handshake():
    async def main(network, session):
        network.strike(Delay(towards=Towards.CLIENT, by_s=60.0))
        with pytest.raises((TimeoutError, ClientError)):
            await session.get(f"{URL}/quote?i=INFY", timeout=ClientTimeout(total=10))
        await asyncio.sleep(100)
        return dict(network.lines)

    assert in_a_world(main) == {}


def test_a_line_dead_for_good_fills_the_window_and_then_stops_the_writer():
    async def talk(network, client, server):
        network.strike(Blackhole(until_s=math.inf))
        client.transport.write(bytes(WINDOW))
        assert client.seen == ["made"]
        client.transport.write(bytes(100_000))
        assert client.seen == ["made", "pause"]
        await asyncio.sleep(3600)
        assert client.transport.get_write_buffer_size() == 100_000

    with_a_pair(talk)
