"""Each fault of the ticker, met on a real socket: silence, nonsense, and order updates gone wrong."""

import asyncio
import json
import struct
from itertools import pairwise

import aiohttp
import pytest
from stage_rig import AT_MARKET, INFY, SBIN, play

SKEWED_BY = 600


def packets(message):
    """What a strict reader makes of a binary message: its packets; an error where it is malformed."""
    (count,), at, found = struct.unpack_from(">H", message), 2, []
    for _ in range(count):
        (length,) = struct.unpack_from(">H", message, at)
        packet = message[at + 2 : at + 2 + length]
        assert length in {8, 28, 32, 44, 184}, f"a packet of {length} bytes"
        assert len(packet) == length, "the message ends inside a packet"
        found.append(packet)
        at += 2 + length
    assert at == len(message)
    return found


def token(packet):
    return struct.unpack_from(">I", packet)[0]


def last_price(packet):
    return struct.unpack_from(">I", packet, 4)[0]


def told_at(packet):
    return struct.unpack_from(">I", packet, 60)[0]


class Listener:
    """A client that notes everything it hears."""

    def __init__(self, socket):
        self.socket = socket
        self.ticks, self.updates, self.beats, self.texts = [], [], 0, []
        self.closed = None

    async def listen(self):
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.texts.append(message.data)
                if message.data.startswith('{"type":"order"') and message.data.endswith("}}"):
                    self.updates.append(json.loads(message.data)["data"])
            elif len(message.data) == 1:
                self.beats += 1
            else:
                self.ticks.append(message.data)
        self.closed = self.socket.close_code


def listening(conversation, script, *, mode="full", tokens=(INFY, SBIN), **options):
    async def talk(stage):
        async with stage.ws() as socket:
            listener = Listener(socket)
            hearing = asyncio.create_task(listener.listen())
            await socket.send_json({"a": "mode", "v": [mode, list(tokens)]})
            try:
                return await conversation(stage, listener)
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    return play(talk, script, **options)


def statuses(listener, order_id):
    return [row["status"] for row in listener.updates if row["order_id"] == order_id]


async def filled(stage, **fields):
    order_id = await stage.placed(**AT_MARKET | fields)
    await stage.until(lambda: stage.order(order_id)["status"] == "COMPLETE")
    return order_id


def test_without_faults_every_message_is_well_formed():
    async def talk(stage, listener):
        await stage.until(lambda: len(listener.ticks) > 20)
        assert {len(p) for m in listener.ticks for p in packets(m)} == {184}
        order_id = await filled(stage)
        await stage.until(lambda: statuses(listener, order_id) == ["COMPLETE"])

    listening(talk, "")


def test_upgrade_refused():
    async def talk(stage):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with stage.ws():
                raise AssertionError("it opened")
        assert refused.value.status == 403
        async with stage.ws() as socket:
            assert not socket.closed

    play(talk, "faults: [{kind: upgrade_refused, nth: 1}]")


@pytest.mark.parametrize(("how", "code"), [("reset", 1006), ("close", 1001)])
def test_socket_closed(how, code):
    async def talk(stage, listener):
        await stage.until(lambda: listener.socket.closed)
        assert listener.socket.close_code == code
        assert 3 <= len(listener.ticks) <= 5

    listening(talk, f"faults: [{{kind: socket_closed, how: {how}, nth: 5}}]")


def test_ticks_silent_while_the_socket_stays_open():
    async def talk(stage, listener):
        await stage.jump("10:01")
        await stage.until(lambda: stage.faults.strikes)
        await asyncio.sleep(0.1)
        ticks, beats = len(listener.ticks), listener.beats
        await filled(stage)
        await asyncio.sleep(0.5)
        assert (len(listener.ticks), listener.beats, listener.updates) == (ticks, beats, [])
        assert not listener.socket.closed
        await listener.socket.ping()
        assert stage.feed.connections
        async with stage.ws() as another:
            second = Listener(another)
            hearing = asyncio.create_task(second.listen())
            await another.send_json({"a": "subscribe", "v": [INFY]})
            await stage.until(lambda: len(second.ticks) > 3)
            hearing.cancel()
        await stage.jump("10:05")
        await stage.until(lambda: len(listener.ticks) > ticks)

    listening(talk, 'faults: [{kind: ticks_silent, from: "10:01", until: "10:05"}]')


def test_ticks_silent_with_heartbeats_looks_alive():
    async def talk(stage, listener):
        await stage.until(lambda: stage.faults.strikes)
        await asyncio.sleep(0.1)
        ticks, beats = len(listener.ticks), listener.beats
        await asyncio.sleep(0.6)
        assert len(listener.ticks) == ticks
        assert listener.beats >= beats + 3
        order_id = await filled(stage)
        await stage.until(lambda: statuses(listener, order_id) == ["COMPLETE"])

    listening(talk, "faults: [{kind: ticks_silent, nth: 4, heartbeats: true, updates: true}]")


def test_half_open_nothing_is_heard_and_nothing_comes():
    async def talk(stage, listener):
        heard = []
        await stage.until(lambda: stage.faults.strikes)
        await asyncio.sleep(0.1)
        stage.feed.heard = lambda _, text: heard.append(text)
        ticks = len(listener.ticks)
        await listener.socket.send_json({"a": "unsubscribe", "v": [INFY]})
        await asyncio.sleep(0.4)
        assert heard == []
        assert (len(listener.ticks), listener.socket.closed) == (ticks, False)
        began = asyncio.get_running_loop().time()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(listener.socket.close(), 0.5)
        assert asyncio.get_running_loop().time() - began >= 0.5

    listening(talk, "faults: [{kind: half_open, nth: 4}]")


def test_half_open_hears_again_when_it_is_over():
    async def talk(stage, listener):
        await stage.jump("10:01")
        await stage.until(lambda: stage.faults.strikes)
        await asyncio.sleep(0.05)
        await listener.socket.send_json({"a": "unsubscribe", "v": [SBIN]})
        await stage.jump("10:03")
        ticks = len(listener.ticks)
        await stage.until(lambda: len(listener.ticks) > ticks + 6)
        assert {token(p) for p in packets(listener.ticks[-1])} == {INFY}

    listening(talk, 'faults: [{kind: half_open, from: "10:01", until: "10:03"}]')


def test_instrument_frozen_while_the_other_goes_on():
    async def talk(stage, listener):
        await stage.until(lambda: len(listener.ticks) > 10)
        assert {token(p) for m in listener.ticks for p in packets(m)} == {SBIN}

    listening(talk, 'faults: [{kind: instrument_frozen, instruments: ["NSE:INFY"]}]')


@pytest.mark.parametrize("how", ["wrong_count", "cut", "unknown_length", "stub"])
def test_malformed_frame_and_the_next_is_well(how):
    async def talk(stage, listener):
        await stage.until(lambda: len(listener.ticks) > 6)
        wrong = []
        for number, message in enumerate(listener.ticks):
            try:
                packets(message)
            except (AssertionError, struct.error):
                wrong.append(number)
        assert wrong == [3]
        assert (len(listener.ticks[3]) == 3) is (how == "stub")

    listening(talk, f"faults: [{{kind: malformed_frame, how: {how}, nth: 4}}]")


@pytest.mark.parametrize("how", ["extra", "instead"])
def test_stale_ticks_times_go_back(how):
    async def talk(stage, listener):
        await stage.until(lambda: len(listener.ticks) > 45)
        times = [told_at(packets(message)[0]) for message in listener.ticks]
        back = [n for n, (a, b) in enumerate(pairwise(times)) if b < a]
        assert len(back) == 1
        fall = times[back[0]] - times[back[0] + 1]
        assert 8 <= fall <= 13
        old = listener.ticks[back[0] + 1]
        assert old in listener.ticks[: back[0]]

    listening(talk, f"faults: [{{kind: stale_ticks, age: 10, how: {how}, nth: 30}}]")


@pytest.mark.parametrize(
    ("how", "px"), [("zero", {0}), ("huge", {0xFFFFFFFF}), ("x100", {15_000_000, 15_001_000})]
)
def test_absurd_price_on_the_wire_alone(how, px):
    async def talk(stage, listener):
        await stage.until(lambda: len(listener.ticks) > 6)
        rows = packets(listener.ticks[4])
        assert {last_price(p) for p in rows if token(p) == INFY} <= px
        assert {last_price(p) for p in rows if token(p) == SBIN} <= {80_000, 80_005, 80_010}
        assert {last_price(p) for p in packets(listener.ticks[5])} <= {
            150_000,
            150_010,
            150_005,
            80_000,
            80_005,
            80_010,
        }
        quote = (await stage.data("/quote/ltp", params={"i": "NSE:INFY"}))["NSE:INFY"]
        assert 1499 < quote["last_price"] < 1501

    listening(
        talk, f'faults: [{{kind: absurd_price, how: {how}, instruments: ["NSE:INFY"], nth: 5}}]'
    )


def test_clock_skew_in_packets_and_order_updates():
    async def talk(stage, listener):
        order_id = await filled(stage)
        await stage.until(lambda: listener.updates)
        # An update is ahead of the exchange's own book by ten minutes, to the second.
        true = stage.order(order_id)["exchange_update_timestamp"]
        assert true[11:16] == "10:00"
        assert listener.updates[0]["exchange_update_timestamp"] == true.replace(" 10:00", " 10:10")
        now = stage.exchange.now() // 1_000_000
        (packet, *_) = packets(listener.ticks[-1])
        assert SKEWED_BY - 5 <= told_at(packet) - now <= SKEWED_BY + 1

    listening(talk, f"faults: [{{kind: clock_skew, seconds: {SKEWED_BY}}}]")


def test_update_lost_the_book_knows_it():
    async def talk(stage, listener):
        lost, told = await filled(stage), await filled(stage)
        await stage.until(lambda: statuses(listener, told))
        assert statuses(listener, lost) == []
        assert stage.order(lost)["status"] == "COMPLETE"

    listening(talk, "faults: [{kind: update_lost, nth: 1}]")


def test_update_doubled():
    async def talk(stage, listener):
        order_id = await filled(stage)
        await stage.until(lambda: statuses(listener, order_id) == ["COMPLETE", "COMPLETE"])
        assert listener.updates[0] == listener.updates[1]

    listening(talk, "faults: [{kind: update_doubled}]")


def test_update_late_comes_after_younger_ones():
    async def talk(stage, listener):
        late, young = await filled(stage), await filled(stage)
        await stage.until(lambda: len(listener.updates) == 2)
        assert [row["order_id"] for row in listener.updates] == [young, late]

    listening(talk, "faults: [{kind: update_late, seconds: 40, nth: 1}]")


def test_update_swapped_comes_after_its_follower():
    async def talk(stage, listener):
        first, second, third = await filled(stage), await filled(stage), await filled(stage)
        await stage.until(lambda: len(listener.updates) == 3)
        assert [row["order_id"] for row in listener.updates] == [second, first, third]

    listening(talk, "faults: [{kind: update_swapped, nth: 1, seconds: 600}]")


def test_update_swapped_without_a_follower_comes_in_the_end():
    async def talk(stage, listener):
        only = await filled(stage)
        await stage.until(lambda: statuses(listener, only) == ["COMPLETE"])

    listening(talk, "faults: [{kind: update_swapped, seconds: 5}]")


def test_update_cut_is_half_a_json():
    async def talk(stage, listener):
        order_id = await filled(stage)
        await stage.until(lambda: listener.texts)
        with pytest.raises(json.JSONDecodeError):
            json.loads(listener.texts[0])
        assert order_id not in statuses(listener, order_id)

    listening(talk, "faults: [{kind: update_cut, nth: 1}]")
