"""Books that lie, clocks that are wrong, files of yesterday, and what a broker does to orders unasked."""

import asyncio
import csv
import datetime as dt
import io
import json
from email.utils import parsedate_to_datetime

import pytest
from stage_rig import AT_MARKET, play

RMS = "RMS: margin blocked for this scrip"


def test_book_frozen_while_orders_go_on_working():
    async def talk(stage):
        before = await stage.placed(tag="before")
        await stage.until(lambda: stage.order(before)["status"] == "OPEN")
        await stage.jump("10:01")
        old = await stage.data("/orders")
        assert [row["tag"] for row in old] == ["before"]
        during = await stage.placed(tag="during", **AT_MARKET)
        await stage.until(lambda: stage.order(during)["status"] == "COMPLETE")
        status, _, _ = await stage.ask("DELETE", f"/orders/regular/{before}")
        assert status == 200
        await stage.until(lambda: stage.order(before)["status"] == "CANCELLED")
        assert await stage.data("/orders") == old
        assert await stage.data("/trades") == []
        assert (await stage.data(f"/orders/{before}"))[-1]["status"] == "OPEN"
        assert (await stage.ask("GET", f"/orders/{during}"))[0] == 400
        await stage.jump("10:10")
        assert [row["status"] for row in await stage.data("/orders")] == ["CANCELLED", "COMPLETE"]
        assert len(await stage.data("/trades")) == 1

    play(talk, 'faults: [{kind: book_frozen, from: "10:01", until: "10:10"}]')


def test_a_frozen_book_is_no_way_past_a_dead_token():
    async def talk(stage):
        stage.exchange.sessions.flush()
        assert (await stage.ask("GET", "/orders"))[0] == 403

    play(talk, "faults: [{kind: book_frozen}]")


def test_positions_stale_while_the_order_book_is_right():
    async def talk(stage):
        await stage.jump("10:01")
        order_id = await stage.placed(**AT_MARKET)
        await stage.until(lambda: stage.order(order_id)["status"] == "COMPLETE")
        assert (await stage.data("/orders"))[0]["status"] == "COMPLETE"
        assert (await stage.data("/portfolio/positions"))["net"] == []
        await stage.jump("10:03")
        net = (await stage.data("/portfolio/positions"))["net"]
        assert [(row["tradingsymbol"], row["quantity"]) for row in net] == [("INFY", 10)]

    play(talk, 'faults: [{kind: positions_stale, from: "10:01", for: 110}]')


def test_order_shown_late_it_is_live_and_not_in_the_book():
    async def talk(stage):
        order_id = await stage.placed()
        await stage.until(lambda: stage.order(order_id)["status"] == "OPEN")
        assert await stage.data("/orders") == []
        await stage.jump("10:02")
        assert [row["order_id"] for row in await stage.data("/orders")] == [order_id]

    play(talk, "faults: [{kind: order_shown_late, seconds: 60}]")


def test_clock_skew_every_time_the_exchange_tells_is_ahead():
    async def talk(stage):
        order_id = await stage.placed()
        (told,) = await stage.data("/orders")
        true = stage.order(order_id)
        assert true["order_timestamp"][11:16] == "10:00"
        assert told["order_timestamp"] == true["order_timestamp"].replace(" 10:00", " 10:02")

    play(talk, "faults: [{kind: clock_skew, seconds: 120}]")


@pytest.mark.parametrize(
    ("script", "utc"), [("", "04:30"), ("faults: [{kind: clock_skew, seconds: -600}]", "04:20")]
)
def test_clock_skew_moves_the_date_header_which_is_the_exchanges_own(script, utc):
    async def talk(stage):
        async with stage.http.get(stage.url + "/orders", headers=stage.headers) as answer:
            told = parsedate_to_datetime(answer.headers["Date"])
        assert told.strftime("%Y-%m-%d %H:%M") == f"2026-11-20 {utc}"

    play(talk, script)


@pytest.mark.parametrize("how", ["yesterday", "changed", "cut", "headless", "empty"])
def test_instruments_wrong_in_every_way(how):
    async def talk(stage):
        status, content_type, text = await stage.ask("GET", "/instruments/NFO")
        assert (status, content_type) == (200, "text/csv")
        _, _, right = await stage.ask("GET", "/instruments/NFO")
        true = {row["tradingsymbol"]: row for row in csv.DictReader(io.StringIO(right))}
        assert len(true) >= 2
        if how == "cut":
            assert right.startswith(text)
            assert len(text) == len(right) // 2
        elif how == "headless":
            assert text.splitlines() == right.splitlines()[1:]
        elif how == "empty":
            assert text.splitlines() == right.splitlines()[:1]
        else:
            rows = {row["tradingsymbol"]: row for row in csv.DictReader(io.StringIO(text))}
            if how == "yesterday":
                assert set(rows) & set(true)
                assert all(len(row) == 12 for row in rows.values())
            else:
                for symbol, row in rows.items():
                    assert int(row["lot_size"]) == 2 * int(true[symbol]["lot_size"])
                    assert (
                        int(row["instrument_token"]) == int(true[symbol]["instrument_token"]) + 1792
                    )

    play(talk, f"faults: [{{kind: instruments_wrong, how: {how}, nth: 1}}]")


def test_instruments_wrong_yesterdays_file_still_lists_what_has_expired():
    async def talk(stage):
        expiries = []
        for _ in range(2):
            _, _, text = await stage.ask("GET", "/instruments/NFO")
            expiries.append({row["expiry"] for row in csv.DictReader(io.StringIO(text))})
        stale, right = expiries
        assert "2026-11-23" in stale
        assert min(right) >= "2026-11-25"

    # Tuesday the 24th is a holiday: November's contracts expired on Monday, the trading day before.
    play(
        talk,
        "faults: [{kind: instruments_wrong, how: yesterday, nth: 1}]",
        day=dt.date(2026, 11, 25),
    )


def test_rms_rejection_comes_after_the_order_id():
    async def talk(stage):
        order_id = await stage.placed()
        row = await stage.until(
            lambda: (row := stage.order(order_id))["status"] == "REJECTED" and row
        )
        assert row["status_message_raw"].endswith(RMS)
        assert row["filled_quantity"] == 0
        second = await stage.placed()
        await stage.until(lambda: stage.order(second)["status"] == "OPEN")

    play(talk, f"faults: [{{kind: rms_rejection, nth: 1, message: '{RMS}'}}]")


def test_an_rms_rejection_that_meets_a_malformed_order_waits_for_no_other():
    async def talk(stage):
        status, _, _ = await stage.place(qty=-1)
        assert status == 400
        order_id = await stage.placed()
        await stage.until(lambda: stage.order(order_id)["status"] == "OPEN")

    play(talk, "faults: [{kind: rms_rejection, nth: 1}]")


def test_partial_then_cancel_leaves_what_has_traded():
    async def talk(stage):
        order_id = await stage.placed(qty=100, **AT_MARKET)
        row = await stage.until(
            lambda: (row := stage.order(order_id))["status"] == "CANCELLED" and row
        )
        assert row["filled_quantity"] == 30
        assert sum(trade["quantity"] for trade in stage.desk.trades(stage.exchange.now())) == 30
        assert stage.held("NSE:INFY") == 30

    play(talk, "faults: [{kind: partial_then_cancel, part: 0.3}]")


def test_an_order_cut_short_on_its_way_through_the_book_trades_no_further():
    """Four hundred stand at the best price: the order would take three prices, and is cut at one."""

    async def talk(stage):
        order_id = await stage.placed(qty=1000, **AT_MARKET)
        row = await stage.until(
            lambda: (row := stage.order(order_id))["status"] == "CANCELLED" and row
        )
        assert row["filled_quantity"] == 200
        assert stage.held("NSE:INFY") == 200
        await stage.placed(qty=10)

    play(talk, "faults: [{kind: partial_then_cancel, nth: 1, part: 0.2}]")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_fill_wins_the_race_against_a_change(method):
    async def talk(stage):
        order_id = await stage.placed()
        await stage.until(lambda: stage.order(order_id)["status"] == "OPEN")
        fields = {"price": "1410"} if method == "PUT" else {}
        status, _, text = await stage.ask(method, f"/orders/regular/{order_id}", data=fields)
        row = await stage.until(
            lambda: stage.order(order_id)["status"] == "COMPLETE" and stage.order(order_id)
        )
        assert (row["filled_quantity"], row["average_price"]) == (10, 1400)
        if status == 400:
            assert json.loads(text)["error_type"] == "OrderException"
        else:
            assert status == 200

    play(talk, "faults: [{kind: fill_wins}]")


def test_rms_square_off_closes_intraday_positions_at_its_moment():
    async def talk(stage):
        await stage.placed(qty=10, **AT_MARKET)
        await stage.placed("SBIN", 20, "SELL", **AT_MARKET)
        await stage.until(lambda: (stage.held("NSE:INFY"), stage.held("NSE:SBIN")) == (10, -20))
        await stage.jump("10:05:02")
        await stage.until(lambda: (stage.held("NSE:INFY"), stage.held("NSE:SBIN")) == (0, 0))
        rows = [
            row
            for row in await stage.data("/orders")
            if row["order_timestamp"] >= "2026-11-20 10:05"
        ]
        assert sorted((row["tradingsymbol"], row["transaction_type"]) for row in rows) == [
            ("INFY", "SELL"), ("SBIN", "BUY"),
        ]  # fmt: skip
        assert {row["placed_by"] for row in rows} != {stage.exchange.person.user_id}

    play(talk, 'faults: [{kind: rms_square_off, from: "10:05"}]')


def test_token_flush_at_a_moment():
    async def talk(stage):
        assert (await stage.ask("GET", "/orders"))[0] == 200
        await stage.jump("10:01")
        status, _, text = await stage.ask("GET", "/orders")
        assert (status, json.loads(text)["error_type"]) == (403, "TokenException")

    play(talk, 'faults: [{kind: token_flush, from: "10:00:30"}]')


def test_token_flush_at_a_request():
    async def talk(stage):
        answers = [(await stage.ask("GET", "/orders"))[0] for _ in range(4)]
        assert answers == [200, 200, 403, 403]

    play(talk, "faults: [{kind: token_flush, route: GET /orders, nth: 3}]")


def test_price_jump_moves_floor_quotes_and_fills_alike_and_comes_back():
    async def talk(stage):
        order_id = await stage.placed(qty=10, side="SELL", price=1600)
        await stage.until(lambda: stage.order(order_id)["status"] == "OPEN")
        await stage.jump("10:01:01")
        quote = (await stage.data("/quote", params={"i": "NSE:INFY"}))["NSE:INFY"]
        assert quote["last_price"] in {1650, 1650.1}
        assert quote["ohlc"]["high"] == quote["last_price"] or quote["ohlc"]["high"] == 1650.1
        row = await stage.until(
            lambda: stage.order(order_id)["status"] == "COMPLETE" and stage.order(order_id)
        )
        assert row["average_price"] >= 1600
        await stage.jump("10:02")
        back = (await stage.data("/quote/ltp", params={"i": "NSE:INFY"}))["NSE:INFY"]
        assert back["last_price"] in {1500, 1500.1, 1500.05}

    play(
        talk,
        'faults: [{kind: price_jump, from: "10:01", instruments: ["NSE:INFY"], percent: 10, seconds: 30}]',
    )


def test_the_same_seed_meets_the_same_requests_with_the_same_faults():
    text = "seed: 11\nfaults: [{kind: too_many_requests, route: GET /orders, probability: 0.4}]"

    async def talk(stage):
        return [(await stage.ask("GET", "/orders"))[0] for _ in range(40)]

    first = play(talk, text)
    assert play(talk, text) == first
    assert 8 <= first.count(429) <= 26
    assert play(talk, text.replace("11", "12")) != first


def test_faults_of_one_request_lie_around_each_other():
    async def talk(stage):
        began = asyncio.get_running_loop().time()
        status, _, _ = await stage.place()
        assert status == 504
        assert asyncio.get_running_loop().time() - began >= 0.2
        assert len(stage.orders()) == 1
        assert stage.told("/orders").told.faults == ("late_answer", "html_error")

    play(
        talk,
        "faults: [{kind: late_answer, route: writes, seconds: 0.2},"
        " {kind: html_error, route: writes, status: 504, reached: true}]",
    )
