"""What the client makes of every fate of an order request, each judged by the exchange's ledger."""

import asyncio
import socket
import ssl
from pathlib import Path

import msgspec
import pytest
from kite_rig import client_at, converse, order, raw, script, scripted, served

from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_outcomes import Acked, NotSent, Refusal, Rejected, Unknown

ACK = '{"status":"success","data":{"order_id":"151220000000000"}}'
TIMED_OUT = "Order request timed out. Please check the order book and confirm before placing again."


def outcome_of(faults, *, reached, **changes):
    """The outcome of one order under a fault; sent once, and at the exchange if ``reached``."""

    async def talk(it):
        outcome = await it.place(tag="T1")
        await it.stage.until(lambda: bool(it.stage.orders()) == reached)
        sent = it.sent_once()
        assert sent.heard.params["tag"] == "T1"
        assert len(it.stage.orders()) == (1 if reached else 0)
        return outcome

    return converse(talk, faults, **changes)


def test_an_order_is_taken_with_its_tag_once():
    async def talk(it):
        outcome = await it.place(tag="T1")
        assert outcome == Acked(order_id=it.stage.orders()[0]["order_id"])
        assert it.stage.orders()[0]["tag"] == "T1"
        it.sent_once()

    converse(talk)


@pytest.mark.parametrize(
    ("faults", "reached"),
    [
        (script("no_answer"), True),
        (script("no_answer", reached="false"), False),
        (script("late_answer", seconds=0.7), True),
        (script("late_arrival", seconds=0.6), True),
        (script("slow_drip", bytes_per_second=40), True),
        (script("timed_out_400"), True),
        (script("timed_out_400", reached="false"), False),
        (script("timed_out_400", error_type="InputException"), True),
        (script("html_error", status=502, reached="true"), True),
        (script("html_error", status=502), False),
        (script("html_error", status=403, reached="true"), True),
        (script("html_error", status=429, reached="true"), True),
        (script("error_answer", status=500, reached="true"), True),
        (script("error_answer", status=503, error_type="NetworkException", reached="true"), True),
        (script("error_answer", status=400, error_type="BrandNewException", reached="true"), True),
        (script("error_answer", status=500, error_type="OrderException", reached="true"), True),
        (script("error_answer", status=404), False),
        (script("wrong_content_type"), True),
        (script("no_content_type"), True),
        (script("truncated"), True),
        (script("truncated", length="cut"), True),
        (script("truncated", keep=0), True),
        (script("field_missing", field="data"), True),
        (script("field_missing", field="data.order_id"), True),
        (script("empty_body"), True),
        (script("redirect"), False),
        (script("redirect", status=302, reached="true"), True),
        (script("redirect", status=308), False),
        (script("connection_lost"), True),
        (script("connection_lost", how="close"), True),
        (script("connection_lost", reached="false"), False),
        (script("maintenance"), False),
        (script("maintenance", body="html"), False),
    ],
)  # fmt: skip
def test_whatever_proves_nothing_is_unknown_and_is_not_sent_again(faults, reached):
    silent = any(kind in faults for kind in ("no_answer", "late_", "slow_drip"))
    changes = {"write_timeout_s": 0.4} if silent else {}
    outcome = outcome_of(faults, reached=reached, **changes)
    assert isinstance(outcome, Unknown), outcome
    assert outcome.why


@pytest.mark.parametrize(
    ("faults", "refusal"),
    [
        (script("too_many_requests"), Refusal.THROTTLED),
        (script("ip_refused"), Refusal.ADDRESS),
        (script("error_answer", status=403, error_type="TokenException"), Refusal.TOKEN),
        (script("error_answer", status=403, error_type="PermissionException"), Refusal.PERMISSION),
        (script("error_answer", status=400, error_type="MarginException"), Refusal.FUNDS),
        (script("error_answer", status=428, error_type="HoldingException"), Refusal.HOLDINGS),
        (script("error_answer", status=400, error_type="OrderException"), Refusal.ORDER),
    ],
)
def test_a_definite_no_is_a_rejection(faults, refusal):
    outcome = outcome_of(faults, reached=False)
    assert isinstance(outcome, Rejected)
    assert outcome.refusal is refusal
    assert outcome.message


def test_the_exchanges_own_no_is_a_rejection():
    async def talk(it):
        first = await it.place(order_type="MARKET", price="0")
        assert isinstance(first, Rejected)
        assert first.refusal is Refusal.INPUT
        assert "market protection" in first.message
        second = await it.client.cancel("151220000000000", "regular")
        assert second.refusal is Refusal.ORDER
        assert it.stage.orders() == []

    converse(talk)


def test_a_dead_token_is_a_rejection():
    async def talk(it):
        it.stage.exchange.sessions.flush()
        assert (await it.place()).refusal is Refusal.TOKEN

    converse(talk)


def test_an_order_taken_and_then_refused_by_risk_management_is_acked():
    """An ack is not yet an order: the book says so later."""

    async def talk(it):
        outcome = await it.place()
        assert isinstance(outcome, Acked)
        await it.stage.until(lambda: it.stage.order(outcome.order_id)["status"] == "REJECTED")

    converse(talk, script("rms_rejection"))


def test_a_change_and_a_cancel_are_sent_once_even_when_the_connection_goes():
    """The library would repeat both by itself: a PUT or DELETE on a connection that breaks."""

    async def talk(it):
        order_id = await it.resting()
        changed = await it.client.modify(order_id, "regular", {"price": "1401.00"})
        gone = await it.client.cancel(order_id, "regular")
        assert isinstance(changed, Unknown)
        assert isinstance(gone, Unknown)
        assert len(it.requests("PUT")) == 1
        assert len(it.requests("DELETE")) == 1

    converse(
        talk,
        script("connection_lost", route="PUT /orders/*", how="close")
        + "\n"
        + script("connection_lost", route="DELETE /orders/*", how="close").partition("\n")[2],
    )


def test_a_change_is_taken():
    async def talk(it):
        order_id = await it.resting()
        changed = await it.client.modify(order_id, "regular", {"price": "1401.50"})
        assert changed == Acked(order_id=order_id)
        await it.stage.until(lambda: it.stage.order(order_id)["price"] == 1401.5)
        assert await it.client.cancel(order_id, "regular") == Acked(order_id=order_id)
        await it.stage.until(lambda: it.stage.order(order_id)["status"] == "CANCELLED")

    converse(talk)


@pytest.mark.parametrize("delay", [0, 0.03])
def test_an_answer_that_comes_twice_is_not_the_answer_to_the_next_order(delay):
    async def talk(it):
        first = await it.place(tag="A")
        await asyncio.sleep(0.1)  # the second copy comes in while nobody asks
        second = await it.place(tag="B")
        book = {row["tag"]: row["order_id"] for row in it.stage.orders()}
        assert (first.order_id, second.order_id) == (book["A"], book["B"])
        assert len(it.requests()) == 2

    converse(talk, script("answered_twice", nth=1, seconds=delay))


def test_the_id_of_an_earlier_order_is_no_answer():
    """The second copy comes in while the next order is under way."""

    async def answer(request, writer, number):
        writer.write(raw(ACK))

    async def talk(client):
        return await client.place(order()), await client.place(order())

    (first, second), heard = scripted(answer, talk)
    assert isinstance(first, Acked)
    assert isinstance(second, Unknown)
    assert len(heard) == 2


def test_the_answer_to_a_change_must_name_the_order_changed():
    async def answer(request, writer, number):
        writer.write(raw(ACK))

    outcome, _ = scripted(answer, lambda client: client.cancel("999", "regular"))
    assert isinstance(outcome, Unknown)


def test_a_connection_that_is_refused_sent_nothing():
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]

    async def talk():
        async with client_at(f"http://127.0.0.1:{port}") as client:
            return await client.place(order())

    outcome = asyncio.run(talk())
    assert isinstance(outcome, NotSent)
    assert "refused" in outcome.why.lower()


def test_a_name_that_is_not_found_sent_nothing(monkeypatch):
    async def unknown(self, host, *more, **named):
        raise OSError(socket.EAI_NONAME, "Name or service not known")

    async def talk():
        async with client_at("http://localhost:9") as client:
            return await client.place(order())

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", unknown)
    monkeypatch.setattr("aiohttp.resolver.DefaultResolver.resolve", unknown)
    assert isinstance(asyncio.run(talk()), NotSent)


def test_a_certificate_nobody_signed_gets_nothing():
    """The token is in the first bytes of a request; they go to nobody who cannot prove a name."""
    pem = Path(__file__).with_name("self_signed.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

    async def answer(request, writer, number):
        writer.write(raw(ACK))

    async def talk():
        async with (
            served(answer, ssl=context) as (url, heard),
            client_at(url.replace("http:", "https:")) as client,
        ):
            outcome = await client.place(order())
            with pytest.raises(KiteReadFailed, match="certificate"):
                await client.orders()
            return outcome, heard

    outcome, heard = asyncio.run(talk())
    assert isinstance(outcome, NotSent)
    assert "certificate" in outcome.why
    assert heard == []


def test_a_closed_pool_sends_nothing():
    async def talk():
        async with client_at("http://127.0.0.1:9") as client:
            pass
        return await client.place(order())

    assert isinstance(asyncio.run(talk()), NotSent)


def test_a_connection_that_is_not_made_in_time_sent_nothing():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(4):  # fill the queue of those that wait to be let in
            line = socket.socket()
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", port))
            waiting.append(line)

        async def talk():
            url = f"http://127.0.0.1:{port}"
            async with client_at(url, connect_timeout_s=0.2, write_timeout_s=2.0) as client:
                return await client.place(order())

        outcome = asyncio.run(talk())
        for line in waiting:
            line.close()
    assert isinstance(outcome, NotSent)
    assert "0.2 s" in outcome.why


def test_a_body_that_drips_ends_at_the_deadline():
    async def answer(request, writer, number):
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n"
        )
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def talk(client):
        began = asyncio.get_running_loop().time()
        outcome = await client.place(order())
        return outcome, asyncio.get_running_loop().time() - began

    (outcome, took), heard = scripted(answer, talk, write_timeout_s=0.3)
    assert isinstance(outcome, Unknown)
    assert 0.25 < took < 1.0
    assert len(heard) == 1


@pytest.mark.parametrize(
    "bytes_back",
    [
        b"",
        b"HTTP/1.1 200",
        b"\x16\x03\x01\x00\xff garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9000 + b"\r\n",
        raw("[" * 100_000),
        raw('{"status":"success","data":null}'),
        raw('{"status":"success","data":{"order_id":151220000000000}}'),
        raw('{"status":"success","data":{"order_id":"../../etc"}}'),
        raw('{"status":"error","data":{"order_id":"151220000000000"}}'),
        raw('{"status":"success","data":[{"order_id":"151220000000000"}]}'),
        raw(ACK, status="201 Created"),
        raw(ACK, content_type="text/html"),
        raw(ACK + "x"),
        raw(b'{"status":"success","data":{"order_id":"\xff\xfe"}}'),
        raw('{"status":"error","error_type":null,"message":null}', "400 Bad Request"),
        raw('{"status":"error","error_type":"InputException"}', "400 Bad Request"),
        raw(f'{{"status":"error","error_type":"OrderException","message":"{TIMED_OUT}"}}', "400 X"),
        raw('{"status":"success","error_type":"InputException","message":"no"}', "400 X"),
    ],
)  # fmt: skip
def test_what_nobody_expected_is_unknown(bytes_back):
    async def answer(request, writer, number):
        writer.write(bytes_back)
        await writer.drain()
        writer.close()

    outcome, heard = scripted(answer, lambda client: client.place(order()), body_max_bytes=50_000)
    assert isinstance(outcome, Unknown), outcome
    assert len(heard) == 1


def test_a_cancelled_call_sends_no_second_request():
    async def answer(request, writer, number):
        await asyncio.sleep(60)

    async def talk(client):
        sending = asyncio.create_task(client.place(order()))
        await asyncio.sleep(0.1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    _, heard = scripted(answer, talk, write_timeout_s=5.0)
    assert len(heard) == 1


def test_headers_say_who_asks_and_how():
    async def answer(request, writer, number):
        writer.write(raw(ACK))

    async def talk(client):
        await client.place({"exchange": "NSE", "tradingsymbol": "M&M"}, journal="open")

    _, (request,) = scripted(answer, talk)
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b"exchange=NSE&tradingsymbol=M%26M"
    assert b"X-Kite-Version: 3" in head
    assert b"Authorization: token kitestring:a-token-of-the-day" in head
    assert b"Content-Type: application/x-www-form-urlencoded" in head
    assert b"X-Kitestring-Journal: open" in head
    assert b"User-Agent: Kitestring/" in head


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def answer(request, writer, number):
        writer.write(raw(ACK))

    outcome, _ = scripted(answer, lambda client: client.place(order()))
    assert isinstance(outcome, Acked)


def test_an_outcome_can_be_told_apart_by_its_type_alone():
    for outcome in (
        Acked(order_id="1"),
        Unknown(why="x"),
        NotSent(why="x"),
        Rejected(error_type="x", message="x", refusal=Refusal.INPUT, status=400),
    ):
        assert msgspec.structs.asdict(outcome)
        with pytest.raises(AttributeError):
            outcome.why = "y"
