"""The ticker socket as a client meets it: admission, subscriptions, heartbeats, order updates, slow readers."""

import asyncio
import datetime as dt
import itertools
import json
import struct

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web
from ticker_day import (
    ALL,
    CLOSES,
    FREE_APP,
    INFY,
    NIFTY,
    OPEN_AT,
    TCS,
    Book,
    SmallExchange,
    Tape,
    frame,
    listed,
    served,
    tick,
    until,
)

from kitestring.domain.instants import DAY, SECOND, instant
from kitestring.exchange.wire.feed_connection import FeedSettings
from kitestring.exchange.wire.kite_packets import decode, split


def run(main):
    """A scenario on a real socket, ended after 20 s whatever happens."""
    return asyncio.run(asyncio.wait_for(main(), 20))


async def ticks(socket):
    """The next message of ticks, by token; heartbeats are passed over."""
    while True:
        message = await socket.receive(timeout=5)
        assert message.type is WSMsgType.BINARY, message
        if len(message.data) > 1:
            return {words["instrument_token"]: words for words in map(decode, split(message.data))}


async def text(socket):
    """The next text."""
    while True:
        message = await socket.receive(timeout=5)
        if message.type is WSMsgType.TEXT:
            return json.loads(message.data)
        assert message.type is WSMsgType.BINARY, message


async def silence(socket, seconds=0.1):
    """That nothing but heartbeats comes for a while."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        try:
            message = await asyncio.wait_for(socket.receive(), left)
        except TimeoutError:
            return
        assert message.data == b"\x00", message


def at_rest(*, desk=None, instruments=ALL, **options):
    """An exchange at 09:14 whose first frame is far away; tests show frames themselves."""
    return served(SmallExchange(Tape(), desk, instruments), **options)


# ── who may listen ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/", "/ws"])
def test_a_live_token_opens_the_socket(path):
    async def main():
        async with at_rest() as market, await market.socket(path) as socket:
            await socket.send_json({"a": "subscribe", "v": [INFY.token]})
            assert (await ticks(socket))[INFY.token]["last_price"] == 1389.65

    run(main)


def test_a_bad_token_a_dead_one_and_a_free_app_get_403_at_the_upgrade():
    async def main():
        async with at_rest() as market:
            free = market.exchange.sessions.log_in(market.clock.now(), FREE_APP.api_key)
            dead = market.exchange.sessions.log_in(market.clock.now() - 2 * DAY, "key")
            for key, token in (
                ("key", "wrong"),
                ("nobody", market.token),
                ("free", free.access_token),
                ("key", dead.access_token),
            ):
                with pytest.raises(WSServerHandshakeError) as refused:
                    await market.socket(key=key, token=token)
                assert refused.value.status == 403, key
            assert market.feed.connections == []

    run(main)


def test_a_fourth_socket_of_an_app_gets_429_and_a_closed_one_makes_room():
    async def main():
        async with at_rest() as market:
            sockets = [await market.socket() for _ in range(3)]
            with pytest.raises(WSServerHandshakeError) as refused:
                await market.socket()
            assert refused.value.status == 429
            other = market.exchange.sessions.log_in(market.clock.now(), "other")
            async with await market.socket(key="other", token=other.access_token):
                assert len(market.feed.connections) == 4
            await sockets[0].close()
            async with await market.socket():
                pass

    run(main)


def test_all_sockets_end_at_six_in_the_morning():
    async def main():
        async with at_rest() as market, await market.socket() as socket:
            six = instant(dt.date(2026, 11, 21), dt.time(6))
            market.clock.jump(six - 30 * SECOND)
            await silence(socket, 0.3)
            market.clock.jump(six)
            while (message := await socket.receive(timeout=5)).type is WSMsgType.BINARY:
                assert message.data == b"\x00"
            assert message.type is WSMsgType.CLOSE
            with pytest.raises(WSServerHandshakeError) as refused:
                await market.socket()
            assert refused.value.status == 403

    run(main)


def test_what_is_no_websocket_is_no_route():
    async def main():
        async with at_rest() as market, market.http.get(market.url()) as answer:
            assert answer.status == 404
            assert (await answer.json())["error_type"] == "GeneralException"

    run(main)


# ── what they ask for ────────────────────────────────────────────────────────────────────────────


def test_subscribe_mode_and_unsubscribe():
    async def main():
        async with at_rest() as market, await market.socket() as socket:
            await socket.send_json({"a": "subscribe", "v": [INFY.token, NIFTY.token]})
            first = await ticks(socket)
            assert {token: words["mode"] for token, words in first.items()} == {
                INFY.token: "quote", NIFTY.token: "quote",
            }  # fmt: skip
            await socket.send_json({"a": "mode", "v": ["full", [INFY.token]]})
            assert (await ticks(socket))[INFY.token]["mode"] == "full"
            await socket.send_json({"a": "mode", "v": ["ltp", [NIFTY.token]]})
            assert await ticks(socket) == {
                NIFTY.token: {
                    "mode": "ltp", "tradable": False, "instrument_token": NIFTY.token,
                    "last_price": 24700.0,
                }
            }  # fmt: skip
            market.pump.insert([tick(INFY, 1, 1400, 9), tick(NIFTY, 1, 24710), tick(TCS, 1, 1, 1)])
            both = await ticks(socket)
            assert {token: words["mode"] for token, words in both.items()} == {
                INFY.token: "full", NIFTY.token: "ltp",
            }  # fmt: skip
            assert both[INFY.token]["last_price"] == 1400
            await socket.send_json({"a": "unsubscribe", "v": [INFY.token]})
            await silence(socket)
            market.pump.insert([tick(INFY, 2, 1401, 10), tick(NIFTY, 2, 24711)])
            assert set(await ticks(socket)) == {NIFTY.token}
            await socket.send_json({"a": "unsubscribe", "v": [NIFTY.token]})
            await silence(socket)
            market.pump.insert([tick(INFY, 3, 1402, 11), tick(NIFTY, 3, 24712)])
            await silence(socket)
            assert market.feed.connections[0].subscribed == 0

    run(main)


def test_a_new_subscription_means_quote_again():
    async def main():
        async with at_rest() as market, await market.socket() as socket:
            await socket.send_json({"a": "mode", "v": ["full", [INFY.token]]})
            assert (await ticks(socket))[INFY.token]["mode"] == "full"
            await socket.send_json({"a": "subscribe", "v": [INFY.token]})
            assert (await ticks(socket))[INFY.token]["mode"] == "quote"
            assert market.feed.connections[0].subscribed == 1

    run(main)


def test_watching_is_told_to_the_market():
    async def main():
        async with at_rest() as market, await market.socket() as socket:
            await socket.send_json({"a": "subscribe", "v": [TCS.token, 12_345]})
            await ticks(socket)
            assert market.exchange.watched == [TCS.id]

    run(main)


def test_what_has_no_price_yet_comes_with_its_first_tick():
    new = listed("NSE:NEW", 77 << 8 | 1)

    async def main():
        async with at_rest(instruments=(*ALL, new)) as market, await market.socket() as socket:
            await socket.send_json({"a": "subscribe", "v": [new.token]})
            await silence(socket)
            market.pump.insert([tick(new, 0, 55, 1)])
            assert (await ticks(socket))[new.token]["last_price"] == 55

    run(main)


@pytest.mark.parametrize(
    ("nonsense", "says"),
    [
        ("subscribe 408065", "not JSON"),
        ("[1]", "An object"),
        ('{"a":"sing","v":[]}', "no action 'sing'"),
        ("{}", "no action None"),
        ('{"a":"subscribe","v":"408065"}', "list of instrument tokens"),
        ('{"a":"subscribe","v":["408065"]}', "'408065' is no instrument token"),
        ('{"a":"subscribe","v":[true]}', "True is no instrument token"),
        ('{"a":"subscribe","v":[-1]}', "-1 is no instrument token"),
        ('{"a":"mode","v":["loud",[408065]]}', "A mode is"),
        ('{"a":"mode","v":[408065]}', "A mode is"),
        ('{"a":"ack","v":"one"}', "number of an event"),
        ('{"a":"ack","v":99}', "has not happened"),
    ],
)
def test_nonsense_is_answered_with_an_error_and_the_socket_goes_on(nonsense, says):
    async def main():
        async with at_rest() as market, await market.socket() as socket:
            await socket.send_str(nonsense)
            answer = await text(socket)
            assert answer["type"] == "error"
            assert isinstance(answer["data"], str)
            assert says in answer["data"]
            await socket.send_str('{ "v" : [408065.0] ,"a":"subscribe", "x": null }')
            assert INFY.token in await ticks(socket)

    run(main)


def test_binary_from_a_client_is_nonsense_too():
    async def main():
        async with at_rest() as market, await market.socket() as socket:
            await socket.send_bytes(b"\x00\x01")
            assert (await text(socket))["type"] == "error"

    run(main)


def test_beyond_3000_instruments_only_the_surplus_is_refused():
    many = [listed(f"NSE:M{n}", (20_000 + n) << 8 | 1) for n in range(3_100)]
    CLOSES.update({each.id: 1_000_000 for each in many})

    async def main():
        async with at_rest(instruments=many) as market, await market.socket() as socket:
            await socket.send_json({"a": "subscribe", "v": [each.token for each in many[:2_990]]})
            assert len(await ticks(socket)) == 2_990
            await socket.send_json({"a": "subscribe", "v": [each.token for each in many[2_980:]]})
            assert "100 of yours" in (await text(socket))["data"]
            assert len(await ticks(socket)) == 20  # ten again and ten new
            await socket.send_json({"a": "unsubscribe", "v": [many[0].token]})
            await socket.send_json({"a": "subscribe", "v": [many[3_099].token]})
            assert set(await ticks(socket)) == {many[3_099].token}

    run(main)


# ── what they hear ───────────────────────────────────────────────────────────────────────────────


def test_one_message_for_each_frame_with_all_its_instruments():
    async def main():
        async with at_rest() as market, await market.socket() as socket:
            tokens = [each.token for each in ALL]
            await socket.send_json({"a": "mode", "v": ["full", tokens]})
            assert len(await ticks(socket)) == len(ALL)
            market.pump.insert([tick(each, 1, "100", 5) for each in ALL])
            market.pump.insert([tick(each, 2, "101", 6) for each in ALL[:2]])
            assert set(await ticks(socket)) == set(tokens)
            assert set(await ticks(socket)) == set(tokens[:2])

    run(main)


def test_two_sockets_hear_what_each_asked_for():
    async def main():
        async with at_rest() as market, await market.socket() as one, await market.socket() as two:
            await one.send_json({"a": "mode", "v": ["full", [INFY.token, TCS.token]]})
            await two.send_json({"a": "mode", "v": ["ltp", [TCS.token]]})
            await ticks(one)
            await ticks(two)
            market.pump.insert([tick(INFY, 1, 1400, 1), tick(TCS, 1, 3090, 1)])
            assert {t: w["mode"] for t, w in (await ticks(one)).items()} == {
                INFY.token: "full", TCS.token: "full",
            }  # fmt: skip
            assert {t: w["mode"] for t, w in (await ticks(two)).items()} == {TCS.token: "ltp"}

    run(main)


def test_an_idle_socket_hears_one_byte_about_every_interval():
    async def main():
        async with (
            at_rest(settings=FeedSettings(heartbeat_s=0.1)) as market,
            await market.socket() as socket,
        ):
            loop = asyncio.get_running_loop()
            heard = []
            for _ in range(5):
                message = await socket.receive(timeout=5)
                assert (message.type, message.data) == (WSMsgType.BINARY, b"\x00")
                heard.append(loop.time())
            gaps = [late - early for early, late in itertools.pairwise(heard)]
            assert min(gaps) > 0.08

    run(main)


def test_the_shipped_heartbeat_comes_every_second():
    assert FeedSettings().heartbeat_s == 1.0


def test_an_order_update_comes_after_the_ticks_that_caused_it():
    async def main():
        desk = Book((OPEN_AT, "151220000000001"))
        exchange = SmallExchange(Tape(frame(0, tick(INFY, 0, 1400, 1))), desk)
        async with (
            served(exchange, at=OPEN_AT - SECOND // 2) as market,
            await market.socket() as socket,
        ):
            await socket.send_json({"a": "subscribe", "v": [INFY.token]})
            await ticks(socket)
            assert (await text(socket)) == {
                "type": "order", "data": {"order_id": "151220000000001"},
            }  # fmt: skip

    run(main)


def test_every_socket_of_the_user_hears_of_every_order():
    async def main():
        async with at_rest() as market:
            other = market.exchange.sessions.log_in(market.clock.now(), "other").access_token
            one, two = await market.socket(), await market.socket(key="other", token=other)
            market.exchange.desk.due.append((market.clock.now(), "A"))
            market.pump.stir()
            assert (await text(one))["data"] == (await text(two))["data"] == {"order_id": "A"}

    run(main)


def test_a_slow_reader_gets_the_latest_ticks_and_every_order_update():
    many = [listed(f"NSE:S{n}", (30_000 + n) << 8 | 1) for n in range(2_000)]

    async def main():
        settings = FeedSettings(backlog_bytes=400_000)
        async with (
            at_rest(instruments=many, settings=settings) as market,
            await market.socket() as socket,
        ):
            await socket.send_json({"a": "mode", "v": ["full", [each.token for each in many]]})
            await until(lambda: market.feed.connections[0].subscribed)
            socket._reader._protocol.pause_reading()  # the client is busy elsewhere
            for second in range(60):
                market.pump.insert([tick(each, second, 100 + second, 1) for each in many])
                market.exchange.desk.due.append((market.clock.now(), f"order {second}"))
                await asyncio.sleep(0.01)
                await until(lambda: not market.pump._inserted and not market.exchange.desk.due)
            connection = market.feed.connections[0]
            assert connection.conflated > 10
            assert connection._backlog < 2_000_000
            socket._reader._protocol.resume_reading()
            orders, prices, messages = [], [], 0
            while len(orders) < 60 or prices[-1] != 159:
                message = await socket.receive(timeout=5)
                if message.type is WSMsgType.TEXT:
                    orders.append(json.loads(message.data)["data"]["order_id"])
                elif len(message.data) > 1:
                    messages += 1
                    bodies = list(split(message.data))
                    assert len(bodies) == 2_000
                    prices.append(decode(bodies[0])["last_price"])
            assert orders == [f"order {second}" for second in range(60)]
            assert prices == sorted(prices)
            assert messages < 60

    run(main)


def test_a_reader_that_takes_nothing_is_cut_off():
    many = [listed(f"NSE:Z{n}", (40_000 + n) << 8 | 1) for n in range(3_000)]

    async def main():
        settings = FeedSettings(heartbeat_s=0.1, stalled_s=0.5, backlog_bytes=100_000)
        async with at_rest(instruments=many, settings=settings) as market:
            socket = await market.socket()
            await socket.send_json({"a": "mode", "v": ["full", [each.token for each in many]]})
            await until(lambda: market.feed.connections[0].subscribed)
            socket._reader._protocol.pause_reading()
            for second in range(40):
                market.pump.insert([tick(each, second, 100 + second, 1) for each in many])
                await asyncio.sleep(0.05)
                if not market.feed.connections:
                    break
            else:
                await asyncio.sleep(1)
            assert market.feed.connections == []
            socket._writer.transport.abort()

    run(main)


def test_the_day_goes_on_when_a_client_vanishes():
    async def main():
        async with at_rest() as market:
            socket = await market.socket()
            await socket.send_json({"a": "subscribe", "v": [INFY.token]})
            await ticks(socket)
            socket._writer.transport.abort()
            market.pump.insert([tick(INFY, 1, 1400, 1)])
            async with await market.socket() as again:
                await again.send_json({"a": "subscribe", "v": [INFY.token]})
                assert (await ticks(again))[INFY.token]["last_price"] == 1400
            await until(lambda: not market.feed.connections)

    run(main)


# ── step by step, over the wire ──────────────────────────────────────────────────────────────────


def test_a_stepped_day_waits_for_the_client_and_numbers_what_it_sends():
    async def main():
        tape = Tape(
            frame(0, tick(INFY, 0, 1400, 1)),
            frame(1, tick(TCS, 1, 3090, 1)),
            frame(2, tick(INFY, 2, 1402, 2)),
        )
        exchange = SmallExchange(tape, Book((OPEN_AT + SECOND, "A")))
        async with (
            served(exchange, at=OPEN_AT, speed="step") as market,
            await market.socket() as socket,
        ):
            assert await text(socket) == {
                "type": "step", "data": 0, "at": OPEN_AT, "frames": 0, "orders": 0,
            }  # fmt: skip
            await socket.send_json({"a": "subscribe", "v": [INFY.token]})
            assert (await ticks(socket))[INFY.token]["last_price"] == 1389.65
            await silence(socket)
            seen = []
            for event in range(4):
                await socket.send_json({"a": "ack", "v": event})
                step = await text(socket)
                seen.append((step["data"], step["at"] - OPEN_AT, step["frames"], step["orders"]))
                if step["frames"]:
                    assert INFY.token in await ticks(socket)
                for _ in range(step["orders"]):
                    assert (await text(socket))["type"] == "order"
                await silence(socket, 0.05)
            assert seen == [
                (1, 50_000, 1, 0), (2, SECOND, 0, 1), (3, 1_050_000, 0, 0), (4, 2_050_000, 1, 0),
            ]  # fmt: skip

    run(main)


def test_a_call_under_way_keeps_a_stepped_day_from_going_on():
    answering = asyncio.Event()

    async def slow(_):
        await answering.wait()
        return web.Response(text="at last")

    async def main():
        exchange = SmallExchange(Tape(frame(0, tick(INFY, 0, 1400, 1))))
        routes = [web.get("/slow", slow)]
        async with served(exchange, at=OPEN_AT, speed="step", routes=routes) as market:
            socket = await market.socket()
            await text(socket)
            call = asyncio.create_task(market.http.get(market.url("/slow")))
            await until(lambda: market.pump.gate.calls == 1)
            await socket.send_json({"a": "ack", "v": 0})
            await silence(socket)
            answering.set()
            assert (await text(socket))["data"] == 1
            assert (await call).status == 200
            assert market.pump.gate.calls == 0

    run(main)


def test_a_stepped_day_can_be_acknowledged_over_rest():
    async def main():
        exchange = SmallExchange(Tape(frame(0, tick(INFY, 0, 1400, 1))))
        async with served(exchange, at=OPEN_AT, speed="step") as market:
            url = f"http://127.0.0.1:{market.port}/step"
            headers = {"Authorization": f"token key:{market.token}"}
            async with market.http.get(url) as answer:
                assert (await answer.json())["data"] == {
                    "shown": 0, "acknowledged": -1, "calls": 0,
                }  # fmt: skip
            async with market.http.post(url, data={"v": "3"}, headers=headers) as answer:
                assert answer.status == 400
            async with market.http.post(url, data={"v": "0"}, headers=headers) as answer:
                assert answer.status == 200
            await until(lambda: exchange.observed)
            assert market.clock.now() == OPEN_AT + 50_000

    run(main)


def test_a_day_at_full_speed_loses_nothing_for_a_reader_slower_than_it():
    async def main():
        many = [listed(f"NSE:F{n}", (50_000 + n) << 8 | 1) for n in range(500)]
        tape = Tape(
            *(frame(n, *(tick(each, n, 100 + n, n + 1) for each in many)) for n in range(200))
        )
        exchange = SmallExchange(tape, instruments=many)
        settings = FeedSettings(backlog_bytes=200_000)
        async with (
            served(exchange, speed="max", settings=settings, paused=True) as market,
            await market.socket() as socket,
        ):
            await socket.send_json({"a": "mode", "v": ["full", [each.token for each in many]]})
            await until(lambda: market.feed.connections[0].subscribed)
            socket._reader._protocol.pause_reading()
            market.clock.resume()
            await asyncio.sleep(0.5)
            assert market.pump.position < 200  # the day waits for its reader
            socket._reader._protocol.resume_reading()
            prices = []
            while len(prices) < 200:
                message = await socket.receive(timeout=5)
                if len(message.data) > 1:
                    (price,) = struct.unpack_from(">I", message.data, 8)
                    prices.append(price)
            assert prices == [100 * (100 + n) for n in range(200)]
            assert market.feed.connections[0].conflated == 0

    run(main)
