"""Each fault of an answer, met by a client on a real socket and judged by the exchange's own books."""

import asyncio
import json
from itertools import pairwise

import aiohttp
import pytest
from stage_rig import order, play

ORDERS = "/orders/regular"


def script(kind, route="POST /orders/regular", **more):
    lines = [f"  - kind: {kind}", f"    route: {route}"]
    lines += [f"    {name.replace('from_', 'from')}: {value}" for name, value in more.items()]
    return "faults:\n" + "\n".join(lines)


def test_no_answer_the_client_times_out_and_the_order_is_live():
    async def talk(stage):
        first = await stage.placed(tag="one")
        with pytest.raises(asyncio.TimeoutError):
            await stage.place(tag="two", within=0.3)
        rows = await stage.data("/orders")
        assert [row["tag"] for row in rows] == ["one", "two"]
        assert rows[0]["order_id"] == first
        told = await stage.until(lambda: stage.told(ORDERS).told)
        assert (told.status, told.how) == (0, "never answered")
        assert stage.told(ORDERS).did[0].order_ids == (rows[1]["order_id"],)

    play(talk, script("no_answer", nth=2))


def test_no_answer_may_also_mean_that_nothing_was_reached():
    async def talk(stage):
        with pytest.raises(asyncio.TimeoutError):
            await stage.place(within=0.3)
        assert stage.orders() == []
        assert stage.told(ORDERS).did == ()

    play(talk, script("no_answer", reached="false"))


def test_late_answer_the_order_is_live_long_before():
    async def talk(stage):
        began = asyncio.get_running_loop().time()
        waiting = asyncio.create_task(stage.place())
        await stage.until(stage.orders)
        assert not waiting.done()
        status, _, text = await waiting
        assert status == 200
        assert asyncio.get_running_loop().time() - began >= 0.4
        assert json.loads(text)["data"]["order_id"] == stage.orders()[0]["order_id"]

    play(talk, script("late_answer", seconds=0.4))


def test_late_arrival_the_order_turns_up_after_its_sender_has_given_up():
    async def talk(stage):
        with pytest.raises(asyncio.TimeoutError):
            await stage.place(within=0.2)
        assert await stage.data("/orders") == []
        await stage.until(stage.orders)
        assert stage.told(ORDERS).did[0].status == 200

    play(talk, script("late_arrival", seconds=0.5))


def test_answered_twice_the_same_bytes_come_again_unasked():
    async def talk(stage):
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.served.port)
        writer.write(
            f"GET /orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: {stage.headers['Authorization']}"
            "\r\n\r\n".encode()
        )
        body = b'{"status":"success","data":[]}'
        answers = await asyncio.wait_for(reader.readuntil(body), 5)
        again = await asyncio.wait_for(reader.readuntil(body), 5)
        assert answers == again
        assert answers.startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        assert len(stage.ledger.conversations(path="/orders")) == 1

    play(talk, script("answered_twice", "GET /orders"))


def test_taken_twice_one_request_and_two_orders_of_one_tag():
    async def talk(stage):
        order_id = await stage.placed(tag="only")
        rows = stage.orders()
        assert [row["tag"] for row in rows] == ["only", "only"]
        assert order_id == rows[0]["order_id"]
        assert [did.order_ids for did in stage.told(ORDERS).did] == [
            (row["order_id"],) for row in rows
        ]

    play(talk, script("taken_twice", nth=1))


def test_slow_drip_no_single_read_is_slow_and_the_whole_is():
    async def talk(stage):
        began = asyncio.get_running_loop().time()
        pieces = []
        async with stage.http.get(stage.url + "/orders", headers=stage.headers) as answer:
            while piece := await answer.content.readany():
                pieces.append((asyncio.get_running_loop().time(), piece))
        assert b"".join(piece for _, piece in pieces) == b'{"status":"success","data":[]}'
        assert len(pieces) >= 10
        times = [began, *(at for at, _ in pieces)]
        assert max(b - a for a, b in pairwise(times)) < 0.3
        assert times[-1] - began >= 0.3

    play(talk, script("slow_drip", "GET /orders", bytes_per_second=60, chunk=2))


def test_timed_out_400_says_it_failed_and_the_order_is_live():
    async def talk(stage):
        status, content_type, text = await stage.place(tag="alive")
        assert (status, content_type) == (400, "application/json")
        assert json.loads(text) == {
            "status": "error",
            "message": "Order request timed out. Please check the order book and confirm before"
            " placing again.",
            "error_type": "OrderException",
        }
        assert [row["tag"] for row in await stage.data("/orders")] == ["alive"]
        record = stage.told(ORDERS)
        assert (record.did[0].status, record.told.status) == (200, 400)

    play(talk, script("timed_out_400"))


@pytest.mark.parametrize(("reached", "live"), [("true", 1), ("false", 0)])
def test_html_error_says_nothing_about_the_order(reached, live):
    async def talk(stage):
        status, content_type, text = await stage.place()
        assert (status, content_type) == (502, "text/html")
        assert "<h1>502 Bad Gateway</h1>" in text
        assert len(stage.orders()) == live

    play(talk, script("html_error", reached=reached))


def test_error_answer_of_a_type_no_client_knows():
    async def talk(stage):
        status, _, text = await stage.place()
        assert status == 418
        assert json.loads(text)["error_type"] == "TeapotException"
        assert stage.orders() == []

    play(talk, script("error_answer", status=418, error_type="TeapotException"))


def test_too_many_requests_is_refused_without_effect():
    async def talk(stage):
        status, _, text = await stage.place()
        assert status == 429
        assert json.loads(text)["error_type"] == "NetworkException"
        assert json.loads(text)["message"] == "Too many requests"
        assert stage.orders() == []
        await stage.placed()

    play(talk, script("too_many_requests", nth=1))


def test_maintenance_lasts_for_its_window_and_then_is_over():
    async def talk(stage):
        assert (await stage.ask("GET", "/orders"))[0] == 200
        await stage.jump("10:01")
        for path in ("/orders", "/user/profile"):
            status, _, text = await stage.ask("GET", path)
            assert status == 503
            assert json.loads(text)["error_type"] == "NetworkException"
        await stage.jump("10:02")
        assert (await stage.ask("GET", "/orders"))[0] == 200

    play(talk, 'faults: [{kind: maintenance, from: "10:00:50", until: "10:02"}]')


def test_ip_refused_orders_are_and_reads_are_not():
    async def talk(stage):
        status, _, text = await stage.place()
        assert status == 403
        assert json.loads(text)["error_type"] == "PermissionException"
        assert "IP (198.51.100.9) is not allowed" in json.loads(text)["message"]
        assert await stage.data("/orders") == []
        assert (await stage.ask("DELETE", "/orders/regular/1"))[0] == 403
        assert (await stage.ask("PUT", "/orders/regular/1"))[0] == 403

    play(talk, 'faults: [{kind: ip_refused, ip: "198.51.100.9"}]')


def test_wrong_content_type_over_the_right_body():
    async def talk(stage):
        status, content_type, text = await stage.ask("GET", "/orders")
        assert (status, content_type) == (200, "text/plain")
        assert json.loads(text)["data"] == []

    play(talk, script("wrong_content_type", "GET /orders", content_type="text/plain"))


def test_no_content_type_at_all():
    async def talk(stage):
        async with stage.http.get(stage.url + "/orders", headers=stage.headers) as answer:
            assert "Content-Type" not in answer.headers
            assert json.loads(await answer.read())["data"] == []

    play(talk, script("no_content_type", "GET /orders"))


def test_truncated_with_a_promise_of_the_whole_breaks_the_read():
    async def talk(stage):
        with pytest.raises(aiohttp.ClientPayloadError):
            await stage.place()
        assert len(stage.orders()) == 1

    play(talk, script("truncated", keep=0.5))


def test_truncated_with_a_fitting_length_is_half_a_json():
    async def talk(stage):
        status, _, text = await stage.place()
        assert status == 200
        assert text.startswith('{"status":"success"')
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        assert len(stage.orders()) == 1

    play(talk, script("truncated", length="cut"))


@pytest.mark.parametrize(
    ("field", "left"),
    [("data", {"status": "success"}), ("data.order_id", {"status": "success", "data": {}})],
)
def test_field_missing_from_the_answer(field, left):
    async def talk(stage):
        status, _, text = await stage.place()
        assert (status, json.loads(text)) == (200, left)
        assert len(stage.orders()) == 1

    play(talk, script("field_missing", field=field))


def test_field_missing_from_every_row():
    async def talk(stage):
        await stage.placed()
        row = (await stage.data("/orders"))[0]
        assert "status" not in row
        assert row["tradingsymbol"] == "INFY"

    play(talk, script("field_missing", "GET /orders", field="data.*.status"))


def test_empty_body_of_an_order_that_is_live():
    async def talk(stage):
        assert await stage.place() == (200, "application/json", "")
        assert len(stage.orders()) == 1

    play(talk, script("empty_body"))


def test_redirect_followed_by_a_careless_client_is_a_second_order():
    async def talk(stage):
        status, _, _ = await stage.place(tag="careful")
        assert status == 307
        assert [row["tag"] for row in stage.orders()] == ["careful"]
        async with stage.http.post(
            stage.url + ORDERS, data=order(tag="careless"), headers=stage.headers
        ) as answer:
            assert answer.status == 200
            assert answer.history[0].status == 307
        assert [row["tag"] for row in stage.orders()] == ["careful", "careless", "careless"]

    play(talk, script("redirect", nth="[1, 2]", reached="true"))


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize(("reached", "live"), [("true", 1), ("false", 0)])
def test_connection_lost_before_or_after_the_order_took_effect(how, reached, live):
    async def talk(stage):
        expected = aiohttp.ClientOSError if how == "reset" else aiohttp.ServerDisconnectedError
        with pytest.raises(expected):
            await stage.place()
        assert len(stage.orders()) == live
        assert stage.told(ORDERS).told.how == f"connection {how}"

    play(talk, script("connection_lost", how=how, reached=reached))
