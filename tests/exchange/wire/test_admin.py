"""The hand behind the scenes: time, market, orders, account, faults; and who may not reach it."""

import asyncio
import json

import aiohttp
import pytest
from stage_rig import AT_MARKET, order, play

from kitestring.domain.instants import SECOND
from kitestring.domain.money import price


def acting(conversation, script="", **options):
    return play(conversation, script, admin=True, **options)


async def must(stage, method, name, **fields):
    """What the interface answers to fields that are right."""
    status, answer = await stage.admin(method, name, **({"json": fields} if fields else {}))
    assert status == 200, answer
    return answer["data"]


async def refused(stage, method, name, fields, *parts):
    status, answer = await stage.admin(method, name, json=fields)
    assert status == 400, answer
    for part in parts:
        assert part in answer["message"]


async def quote(stage, name="NSE:INFY"):
    return (await stage.data("/quote", params={"i": name}))[name]


# ── who may ──────────────────────────────────────────────────────────────────────────────────


def test_it_is_off_unless_asked_for():
    async def talk(stage):
        assert (await stage.ask("GET", "/admin/state"))[0] == 404
        assert (await stage.ask("POST", "/admin/time", json={"action": "pause"}))[0] == 404
        assert not stage.exchange.clock.paused

    play(talk)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "exchange.example"},
        {"Host": "127.0.0.1.example:8010"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_no_page_of_another_site_and_no_rebound_name_reaches_it(headers):
    async def talk(stage):
        for method, name in (("GET", "state"), ("POST", "time"), ("GET", "ledger"), ("GET", "")):
            status, _, _ = await stage.ask(
                method,
                f"/admin/{name}",
                headers=headers,
                data='{"action": "pause"}' if method == "POST" else None,
            )
            assert status == 403
        assert not stage.exchange.clock.paused

    acting(talk)


def test_its_own_page_may():
    async def talk(stage):
        status, _, _ = await stage.ask(
            "POST", "/admin/time", headers={"Origin": stage.url}, json={"action": "pause"}
        )
        assert status == 200
        assert stage.exchange.clock.paused

    acting(talk)


def test_no_fault_and_no_ledger_line_touches_its_calls():
    async def talk(stage):
        assert (await must(stage, "GET", "state"))["orders"] == 0
        assert stage.ledger.conversations() == []

    acting(talk, "faults: [{kind: html_error}]")


# ── time ─────────────────────────────────────────────────────────────────────────────────────


def test_time_is_paused_stepped_and_resumed():
    async def talk(stage):
        await must(stage, "POST", "time", action="pause")
        await asyncio.sleep(0.1)
        then = stage.exchange.now()
        await asyncio.sleep(0.2)
        assert stage.exchange.now() == then
        await must(stage, "POST", "time", action="step", seconds=30)
        await stage.until(lambda: stage.exchange.now() == then + 30_000_000)
        await asyncio.sleep(0.1)
        assert stage.exchange.now() == then + 30_000_000
        await must(stage, "POST", "time", action="resume")
        await stage.until(lambda: stage.exchange.now() > then + 30_000_000)

    acting(talk)


def test_speed_and_a_jump_to_a_moment_or_a_phase():
    async def talk(stage):
        await must(stage, "POST", "time", action="speed", speed="600")
        assert (await must(stage, "GET", "state"))["speed"] == 600
        await must(stage, "POST", "time", action="speed", speed=1)
        await must(stage, "POST", "time", action="jump", to="10:25")
        await stage.until(lambda: stage.pump.position > 1490)
        await must(
            stage, "POST", "time", action="jump", phase="closing auction", segment="EQUITY_FNO"
        )
        await stage.until(lambda: stage.pump.ended)
        state = await must(stage, "GET", "state")
        assert state["time"].startswith("2026-11-20 15:20")
        assert state["phases"]["EQUITY_FNO"] == "closing auction"

    acting(talk)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"action": "rewind"}, "does not know rewind"),
        ({"action": "step"}, "seconds is missing"),
        ({"action": "step", "seconds": -1}, "a number of at least 0"),
        ({"action": "jump", "to": "09:00"}, "10:00"),
        ({"action": "jump", "to": "teatime"}, "must be a time of day"),
        ({"action": "jump", "phase": "lunch"}, "There is no phase lunch today."),
        ({"action": "speed", "speed": "fast"}, "fast"),
        ({"action": "pause", "sceonds": 3}, "Nothing here is called sceonds."),
    ],
)
def test_a_wrong_word_changes_nothing(fields, part):
    async def talk(stage):
        await refused(stage, "POST", "time", fields, part)
        assert not stage.exchange.clock.paused

    acting(talk)


# ── market, orders, account ──────────────────────────────────────────────────────────────────


def test_a_price_moved_by_hand_is_seen_by_floor_board_and_socket_and_comes_back():
    """Second by second: it stands where it was put while at its low, and wiggles a tick above."""

    async def talk(stage):
        def stands():
            return stage.exchange.floor.markets["NSE:INFY"].tick.last_px

        async def pass_a_second():
            then = stage.exchange.now() + SECOND
            await must(stage, "POST", "time", action="step", seconds=1)
            await stage.until(lambda: stage.exchange.now() >= then)

        async def next_price(socket):
            while True:  # heartbeats and order updates come between
                heard = (await asyncio.wait_for(socket.receive(), 5)).data
                if isinstance(heard, bytes) and len(heard) > 1:
                    return int.from_bytes(heard[8:12], "big")

        resting = await stage.placed(side="SELL", price=1550, qty=10)
        await stage.until(lambda: stage.order(resting)["status"] == "OPEN")
        await must(stage, "POST", "time", action="pause")
        while stands() != price("1500.00"):
            await pass_a_second()
        async with stage.ws() as socket:
            await socket.send_json({"a": "mode", "v": ["ltp", [408065]]})
            assert await next_price(socket) == 150_000
            await must(stage, "POST", "price", instrument="NSE:INFY", to=1600, seconds=30)
            heard = [await next_price(socket)]  # at once, though time stands still
            for _ in range(2):
                await pass_a_second()
                heard.append(await next_price(socket))
        assert heard == [160_000, 160_010, 160_000]
        assert (await quote(stage))["last_price"] == 1600
        await stage.until(lambda: stage.order(resting)["status"] == "COMPLETE")
        assert "NSE:INFY" in (await must(stage, "GET", "state"))["moves"]
        await must(stage, "POST", "time", action="resume")
        await stage.jump("10:05")
        assert (await quote(stage))["last_price"] <= 1500.1
        assert (await quote(stage))["ohlc"]["high"] == 1600.1

    acting(talk)


def test_what_has_no_price_cannot_jump():
    async def talk(stage):
        await refused(stage, "POST", "price", {"instrument": "NSE:NOPE", "percent": 3}, "NSE:NOPE")
        await refused(stage, "POST", "price", {"instrument": "NSE:INFY"}, "percent is missing")

    acting(talk)


def test_an_order_from_the_phone_stands_in_the_same_book_and_is_not_the_apps():
    async def talk(stage):
        placed = await must(stage, "POST", "orders", **order(tag="PHONE"))
        mine = await stage.placed(tag="MINE")
        rows = {row["order_id"]: row for row in await stage.data("/orders")}
        assert rows[placed["order_id"]]["guid"] is None
        assert rows[mine]["guid"] is not None
        await refused(stage, "POST", "orders", order(quantity="none"), "quantity")

    acting(talk)


def test_risk_management_rejects_cancels_fills_and_squares_off():
    async def talk(stage):
        await must(stage, "POST", "rms", action="reject_next", message="RMS: enough", count=1)
        first = await stage.placed()
        await stage.until(lambda: stage.order(first)["status"] == "REJECTED")
        second = await stage.placed()
        await stage.until(lambda: stage.order(second)["status"] == "OPEN")
        await must(stage, "POST", "rms", action="cancel", order_id=second, message="RMS: away")
        await stage.until(lambda: stage.order(second)["status"] == "CANCELLED")
        third = await stage.placed()
        await stage.until(lambda: stage.order(third)["status"] == "OPEN")
        assert (await must(stage, "POST", "rms", action="fill", order_id=third))["filled"]
        await stage.until(lambda: stage.order(third)["status"] == "COMPLETE")
        ids = (await must(stage, "POST", "rms", action="square_off"))["order_ids"]
        assert len(ids) == 1
        await stage.until(lambda: stage.order(ids[0])["status"] == "COMPLETE")
        assert stage.order(ids[0])["transaction_type"] == "SELL"

    acting(talk)


def test_money_positions_and_holdings_come_and_go():
    async def talk(stage):
        before = (await must(stage, "GET", "state"))["available_rupees"]
        after = await must(stage, "POST", "account", cash=25_000.5)
        assert after["available_rupees"] == pytest.approx(before + 25_000.5)
        await must(
            stage, "POST", "account",
            position={"instrument": "NSE:TCS", "product": "MIS", "quantity": -15, "price": 2990},
            holding={"instrument": "NSE:RELIANCE", "quantity": 7, "price": 1100},
        )  # fmt: skip
        net = {
            (row["tradingsymbol"], row["product"]): row
            for row in (await stage.data("/portfolio/positions"))["net"]
        }
        assert net["TCS", "MIS"]["quantity"] == net["TCS", "MIS"]["overnight_quantity"] == -15
        held = {row["tradingsymbol"]: row for row in await stage.data("/portfolio/holdings")}
        assert (held["RELIANCE"]["quantity"], held["RELIANCE"]["average_price"]) == (7, 1100)
        await must(stage, "POST", "account", holding={"instrument": "NSE:RELIANCE", "quantity": 0})
        assert "RELIANCE" not in {
            r["tradingsymbol"] for r in await stage.data("/portfolio/holdings")
        }
        await stage.placed(**AT_MARKET)
        await stage.until(lambda: stage.desk.trades(stage.exchange.now()))
        await refused(
            stage, "POST", "account",
            {"position": {"instrument": "NSE:INFY", "product": "MIS", "quantity": 1, "price": 1}},
            "has been traded today",
        )  # fmt: skip

    acting(talk)


# ── faults, session, ledger, end ─────────────────────────────────────────────────────────────


def test_faults_are_loaded_listed_and_cleared_while_the_day_runs():
    async def talk(stage):
        await stage.placed()
        script = "seed: 3\nfaults:\n  - kind: html_error\n    route: POST /orders/*\n    nth: 2\n"
        status, answer = await stage.admin("POST", "faults", data=script)
        assert (status, answer["data"][0]["when"]) == (200, "nth 2")
        assert [(await stage.place())[0] for _ in range(3)] == [200, 502, 200]
        row = (await must(stage, "GET", "faults"))[0]
        assert (row["occurrences"], row["strikes"]) == (3, 1)
        await must(stage, "POST", "faults", script="faults: [{kind: too_many_requests}]")
        assert (await stage.place())[0] == 429
        assert await must(stage, "DELETE", "faults", number=2) == {"cleared": 1}
        assert (await stage.place())[0] == 200
        assert await must(stage, "DELETE", "faults") == {"cleared": 1}
        await refused(
            stage, "POST", "faults", {"script": "faults: [{kind: nope}]"}, "does not know nope"
        )
        assert await must(stage, "GET", "faults") == []

    acting(talk)


def test_tokens_are_flushed_and_addresses_refused():
    async def talk(stage):
        await must(stage, "POST", "addresses", allowed=["198.51.100.9"])
        status, _, text = await stage.place()
        assert (status, json.loads(text)["error_type"]) == (403, "PermissionException")
        assert (await stage.ask("GET", "/orders"))[0] == 200
        await must(stage, "POST", "addresses", allowed=[])
        await stage.placed()
        await must(stage, "POST", "tokens/flush")
        assert (await stage.ask("GET", "/orders"))[0] == 403

    acting(talk)


def test_the_ledger_is_read_by_route_and_from_a_line_on():
    async def talk(stage):
        ids = [await stage.placed(tag=f"T{n}") for n in range(3)]
        await stage.data("/orders")
        status, answer = await stage.admin(
            "GET", "ledger", params={"method": "POST", "path": "/orders"}
        )
        assert status == 200
        rows = answer["data"]
        assert [row["did"][0]["order_ids"] for row in rows] == [[each] for each in ids]
        after = rows[1]["heard"]["n"]
        _, later = await stage.admin("GET", "ledger", params={"after": str(after), "lines": "true"})
        assert {line["n"] for line in later["data"]} == {
            rows[2]["heard"]["n"],
            rows[2]["heard"]["n"] + 1,
        }

    acting(talk)


def test_what_the_admin_did_is_in_the_ledger():
    async def talk(stage):
        await must(stage, "POST", "account", cash=1)
        assert stage.ledger.lines()[-1].text == 'admin: POST account {"cash":1}'

    acting(talk)


def test_shutdown_asks_the_exchange_to_stop():
    async def talk(stage):
        assert not stage.stop.is_set()
        await must(stage, "POST", "shutdown")
        assert stage.stop.is_set()

    acting(talk)


def test_the_page_shows_the_day_and_its_faults_and_loads_nothing_from_elsewhere():
    async def talk(stage):
        await stage.place()
        async with stage.http.get(f"{stage.url}/admin/") as answer:
            page = await answer.text()
            assert answer.content_type == "text/html"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "too_many_requests" in page
        assert "1 of 1" in page
        assert "&lt;script&gt;" in page
        assert "<script" not in page
        assert "http://" not in page
        assert "https://" not in page

    acting(
        talk,
        "faults: [{kind: too_many_requests, route: writes},"
        " {kind: error_answer, nth: 99, message: '<script>'}]",
    )


def test_garbage_is_refused_in_words():
    async def talk(stage):
        for body in (b'{"a', b"{}", b"[1]", b"\xff\xfe", b'{"action": 3}', b'{"action": null}'):
            status, _, text = await stage.ask("POST", "/admin/time", data=body)
            assert status == 400
            assert json.loads(text)["message"]
        async with (
            aiohttp.ClientSession() as other,
            other.get(f"{stage.url}/admin/nothing") as gone,
        ):
            assert gone.status == 404

    acting(talk)
