"""The official JavaScript client, unchanged and run by Node: its calls, its errors, its answers."""

import datetime as dt
import time
from urllib.parse import urlsplit

import pytest
import requests
from javascript_client import JavaScriptClient, Refused, needs_node
from rehearsal import DAY, serving, whole_market

from kitestring.domain.money import money
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.desk.sessions import App
from kitestring.exchange.wire.kite_server import FAILURES

pytestmark = needs_node

INFY = "NSE:INFY"
FUTURE = "NIFTY26NOVFUT"
PATIENCE_S = 60.0
NUMBERS = ("last_price", "strike", "tick_size", "lot_size")


@pytest.fixture(scope="module")
def served():
    rich = OpeningChoice(cash=money(9_000_000))
    with serving(day=whole_market(DAY), account=rich) as running:
        yield running
        assert running.app[FAILURES] == []


def logged_in(running):
    """A client with a token of its own."""
    session = running.exchange.sessions.log_in(running.exchange.now(), "kitestring")
    return JavaScriptClient(running.rest, access_token=session.access_token)


@pytest.fixture(scope="module")
def client(served):
    with logged_in(served) as js:
        yield js


def until(what, found, *, patience=PATIENCE_S):
    """Ask again until the answer is the one waited for."""
    ends = time.monotonic() + patience
    while True:
        answer = what()
        if found(answer):
            return answer
        assert time.monotonic() < ends, answer
        time.sleep(0.02)


def last(client, order_id):
    return client("getOrderHistory", order_id)[-1]


def status_of(client, order_id, *statuses):
    return until(lambda: last(client, order_id), lambda row: row["status"] in statuses)


def price_of(client, name=INFY):
    return client("getLTP", [name])[name]["last_price"]


def tick(px, by=0.1):
    return round(round(px / by) * by, 2)


def infy(client, variety="regular", **order):
    asked = {
        "exchange": "NSE", "tradingsymbol": "INFY", "quantity": 10, "transaction_type": "BUY",
        "product": "MIS", "order_type": "LIMIT", "validity": "DAY",
    }  # fmt: skip
    return client("placeOrder", variety, asked | order)["order_id"]


def shown(stamp):
    """A moment the client made a Date of, by the clocks of India."""
    moment = dt.datetime.fromisoformat(stamp)
    return moment.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))


# ── session ──────────────────────────────────────────────────────────────────────────────────


def test_logging_in_with_the_clients_own_address_and_checksum(served):
    with JavaScriptClient(served.rest) as stranger:
        address = urlsplit(stranger("getLoginURL"))  # its host is written into the client
        page = f"{served.rest}{address.path}?{address.query}"
        assert "<button" in requests.get(page, timeout=5).text
        answer = requests.post(page, timeout=5, allow_redirects=False).text
        token = answer.split('id="request_token">')[1].split("<")[0]
        with pytest.raises(Refused) as refusal:
            stranger("generateSession", token, "a wrong secret")
        assert refusal.value.kind == "TokenException"
        answer = requests.post(page, timeout=5, allow_redirects=False).text
        token = answer.split('id="request_token">')[1].split("<")[0]
        session = stranger("generateSession", token, "kitestring-secret")
        assert session["user_id"] == "KS0001"
        assert shown(session["login_time"]).date() == DAY
        assert stranger("accessToken") == session["access_token"]
        assert stranger("getProfile")["user_id"] == "KS0001"


def test_whoever_logs_out_is_out_and_the_clients_hook_is_called(served):
    with logged_in(served) as leaving:
        assert leaving("getOrders") is not None
        assert leaving("invalidateAccessToken") is True
        assert leaving("timesExpired") == 0
        with pytest.raises(Refused) as refusal:
            leaving("getProfile")
        assert refusal.value.kind == "TokenException"
        assert leaving("timesExpired") == 1


def test_a_refresh_token_is_traded_for_a_session_and_given_up():
    platform = App(api_key="platform", api_secret="secret", refreshable=True)
    with serving(apps=[platform]) as running:
        session = running.exchange.sessions.log_in(running.exchange.now(), "platform")
        with JavaScriptClient(running.rest, "platform") as client:
            renewed = client("renewAccessToken", session.refresh_token, "secret")
            assert renewed["access_token"] != session.access_token
            assert client("getProfile")["user_id"] == "KS0001"
            assert client("invalidateRefreshToken", renewed["refresh_token"]) is True
            with pytest.raises(Refused) as refusal:
                client("renewAccessToken", renewed["refresh_token"], "secret")
            assert refusal.value.kind == "TokenException"


def test_the_free_plan_may_not_read_prices():
    free = App(api_key="free", api_secret="secret", personal=True)
    with serving(apps=[free]) as running:
        session = running.exchange.sessions.log_in(running.exchange.now(), "free")
        with JavaScriptClient(running.rest, "free", session.access_token) as client:
            assert client("getOrders") == []
            with pytest.raises(Refused) as refusal:
                client("getQuote", [INFY])
            assert refusal.value.kind == "PermissionException"


def test_the_profile(client):
    profile = client("getProfile")
    assert (profile["user_id"], profile["broker"]) == ("KS0001", "ZERODHA")
    assert "NFO" in profile["exchanges"]


def test_the_money_of_both_segments(client):
    assert set(client("getMargins")) == {"equity", "commodity"}
    equity = client("getMargins", "equity")
    assert equity["available"]["opening_balance"] == 9_000_000


# ── market ───────────────────────────────────────────────────────────────────────────────────


def test_instruments_are_a_list_only_where_the_content_type_is_exactly_text_csv(client):
    *rows, after_the_last_line = client("getInstruments", "NSE")
    assert after_the_last_line == {**dict.fromkeys(NUMBERS), "instrument_token": ""}
    shares = {row["tradingsymbol"]: row for row in rows}
    assert shares["INFY"]["instrument_token"] == "408065"
    assert shares["INFY"]["tick_size"] == 0.1


def test_the_whole_dump_is_read(client):
    dump = client("getInstruments")
    assert dump["length"] > 100_000
    assert dump["first"].keys() >= {"instrument_token", "tradingsymbol", "strike", "lot_size"}


def test_expiries_are_dates(client):
    contracts = [row for row in client("getInstruments", "MCX") if row.get("expiry")]
    assert contracts
    assert all(row["expiry"][:10] >= DAY.isoformat() for row in contracts)
    assert all(row["lot_size"] > 0 for row in contracts)


def test_the_quote(client):
    quote = client("getQuote", [INFY, "NSE:NOBODY", "NSE:M&M"])
    assert set(quote) == {INFY, "NSE:M&M"}
    assert quote[INFY]["instrument_token"] == 408065
    assert len(quote[INFY]["depth"]["sell"]) == 5
    assert shown(quote[INFY]["timestamp"]).date() == DAY


def test_the_short_quotes(client):
    assert client("getOHLC", [INFY, "NSE:NIFTY 50"])["NSE:NIFTY 50"]["instrument_token"] == 256265
    both = client("getLTP", [INFY, f"NFO:{FUTURE}"])
    assert both.keys() == {INFY, f"NFO:{FUTURE}"}
    assert client("getLTP", ["408065"])["408065"]["instrument_token"] == 408065


def test_candles_with_times_of_india(client):
    rows = client(
        "getHistoricalData", 408065, "minute", "2026-11-19 09:15:00", "2026-11-19 09:24:00"
    )
    assert len(rows) == 10
    assert shown(rows[0]["date"]).isoformat() == "2026-11-19T09:15:00+05:30"
    assert rows[0]["low"] <= rows[0]["open"] <= rows[0]["high"]
    assert "oi" not in rows[0]


def test_candles_with_open_interest_and_joined_ones(client):
    token = whole_market(DAY).listing.find("NFO", FUTURE).token
    asked = (token, "day", "2026-11-18 00:00:00", "2026-11-19 00:00:00")
    with_oi = client("getHistoricalData", *asked, False, True)
    assert [row["oi"] > 0 for row in with_oi] == [True, True]
    joined = client("getHistoricalData", *asked, True)
    assert [row["date"] for row in joined] == [row["date"] for row in with_oi]


# ── orders ───────────────────────────────────────────────────────────────────────────────────


def test_a_regular_order_rests_is_changed_and_taken_back(client):
    px = price_of(client)
    order_id = infy(client, price=tick(px * 0.98), tag="rests")
    row = status_of(client, order_id, "OPEN")
    assert (row["tag"], row["pending_quantity"], row["filled_quantity"]) == ("rests", 10, 0)
    assert shown(row["order_timestamp"]).date() == DAY
    lower = tick(px * 0.97)
    answer = client("modifyOrder", "regular", order_id, {"price": lower, "quantity": 12})
    assert answer["order_id"] == order_id
    changed = until(
        lambda: last(client, order_id),
        lambda row: row["status"] == "OPEN" and row["price"] == lower,
    )
    assert changed["quantity"] == 12
    assert client("cancelOrder", "regular", order_id)["order_id"] == order_id
    assert status_of(client, order_id, "CANCELLED")["cancelled_quantity"] == 12
    assert order_id in {row["order_id"] for row in client("getOrders")}


def test_a_market_order_trades_and_is_in_every_book(client):
    order_id = infy(client, order_type="MARKET", market_protection=-1)
    assert status_of(client, order_id, "COMPLETE")["filled_quantity"] == 10
    trades = client("getOrderTrades", order_id)
    assert sum(trade["quantity"] for trade in trades) == 10
    assert shown(trades[0]["fill_timestamp"]).date() == DAY
    everything = {trade["trade_id"] for trade in client("getTrades")}
    assert {trade["trade_id"] for trade in trades} <= everything


@pytest.mark.parametrize("order_type", ["SL", "SL-M"])
def test_a_stop_waits_for_its_trigger(client, order_type):
    px = price_of(client)
    more = {"price": tick(px * 1.035)} if order_type == "SL" else {"market_protection": 2}
    order_id = infy(client, order_type=order_type, trigger_price=tick(px * 1.03), **more)
    assert status_of(client, order_id, "TRIGGER PENDING")["trigger_price"] == tick(px * 1.03)
    client("cancelOrder", "regular", order_id)
    status_of(client, order_id, "CANCELLED")


def test_orders_that_do_not_wait_or_wait_minutes(client):
    px = price_of(client)
    at_once = infy(client, validity="IOC", price=tick(px * 0.98))
    assert status_of(client, at_once, "CANCELLED", "COMPLETE")["filled_quantity"] == 0
    minutes = infy(client, validity="TTL", validity_ttl=1, price=tick(px * 0.98))
    assert status_of(client, minutes, "CANCELLED")["validity_ttl"] == 1


def test_an_iceberg_shows_a_leg_at_a_time_and_is_changed(client):
    px = price_of(client)
    order_id = infy(
        client, "iceberg", quantity=1000, iceberg_legs=4, iceberg_quantity=250,
        price=tick(px * 0.98),
    )  # fmt: skip
    row = status_of(client, order_id, "OPEN")
    assert (row["quantity"], row["meta"]["iceberg"]["legs"]) == (250, 4)
    lower = tick(px * 0.97)
    client("modifyOrder", "iceberg", order_id, {"price": lower})
    until(
        lambda: last(client, order_id), lambda row: (row["status"], row["price"]) == ("OPEN", lower)
    )
    client("cancelOrder", "iceberg", order_id)
    status_of(client, order_id, "CANCELLED")


def test_a_cover_order_comes_with_its_stop_and_exits_through_it(client):
    px = price_of(client)
    order_id = infy(
        client, "co", order_type="MARKET", market_protection=-1, trigger_price=tick(px * 0.97)
    )
    status_of(client, order_id, "COMPLETE")
    leg = until(
        lambda: [row for row in client("getOrders") if row["parent_order_id"] == order_id],
        lambda rows: rows and rows[0]["status"] == "TRIGGER PENDING",
    )[0]["order_id"]
    lower = tick(px * 0.965)
    client("modifyOrder", "co", leg, {"trigger_price": lower, "parent_order_id": order_id})
    until(lambda: last(client, leg), lambda row: row["trigger_price"] == lower)
    client("exitOrder", "co", leg, {"parent_order_id": order_id})
    status_of(client, leg, "COMPLETE")


def test_an_auction_order_delivers_a_listed_holding(client):
    (listed,) = client("getAuctionInstruments")
    name = f"{listed['exchange']}:{listed['tradingsymbol']}"
    order_id = client(
        "placeOrder", "auction",
        {
            "exchange": listed["exchange"], "tradingsymbol": listed["tradingsymbol"],
            "transaction_type": "SELL", "quantity": 1, "product": "CNC", "order_type": "LIMIT",
            "price": tick(price_of(client, name)), "validity": "DAY",
            "auction_number": listed["auction_number"],
        },
    )["order_id"]  # fmt: skip
    assert status_of(client, order_id, "OPEN")["auction_number"] == listed["auction_number"]
    client("cancelOrder", "auction", order_id)
    status_of(client, order_id, "CANCELLED")


def test_an_after_market_order_waits_for_the_morning():
    with serving("08:40", speed=1.0) as running, logged_in(running) as client:
        order_id = infy(client, "amo", product="CNC", price=tick(price_of(client) * 0.99))
        assert last(client, order_id)["status"] == "AMO REQ RECEIVED"
        assert client("modifyOrder", "amo", order_id, {"quantity": 2})["order_id"] == order_id
        assert last(client, order_id)["quantity"] == 2
        client("cancelOrder", "amo", order_id)
        assert last(client, order_id)["status"].startswith("CANCELLED")


def test_a_large_order_is_sliced(client):
    px = price_of(client, f"NFO:{FUTURE}")
    answer = client(
        "placeOrder", "regular",
        {
            "exchange": "NFO", "tradingsymbol": FUTURE, "transaction_type": "BUY",
            "quantity": 65 * 30, "product": "NRML", "order_type": "LIMIT",
            "price": tick(px * 0.985), "validity": "DAY", "autoslice": True,
        },
    )  # fmt: skip
    placed = [child["order_id"] for child in answer["children"] if "order_id" in child]
    refused = [child["error"] for child in answer["children"] if "error" in child]
    assert len(placed) + len(refused) == 2
    assert {error["error_type"] for error in refused} <= {"MarginException"}
    for order_id in placed:
        assert "autoslice" in status_of(client, order_id, "OPEN")["tags"]
        client("cancelOrder", "regular", order_id)


# ── portfolio, triggers, calculators ─────────────────────────────────────────────────────────


def test_what_was_bought_is_a_position_that_can_be_converted(client):
    order_id = client(
        "placeOrder", "regular",
        {
            "exchange": "NSE", "tradingsymbol": "TCS", "transaction_type": "BUY", "quantity": 5,
            "product": "MIS", "order_type": "MARKET", "market_protection": -1,
        },
    )["order_id"]  # fmt: skip
    paid = status_of(client, order_id, "COMPLETE")["average_price"]

    def position(product):
        rows = client("getPositions")["net"]
        return next(r for r in rows if (r["tradingsymbol"], r["product"]) == ("TCS", product))

    assert position("MIS")["quantity"] == 5
    assert position("MIS")["average_price"] == pytest.approx(paid)
    convert = {
        "exchange": "NSE", "tradingsymbol": "TCS", "transaction_type": "BUY",
        "position_type": "day", "quantity": 2, "old_product": "MIS", "new_product": "CNC",
    }  # fmt: skip
    assert client("convertPosition", convert) is True
    assert (position("MIS")["quantity"], position("CNC")["quantity"]) == (3, 2)
    with pytest.raises(Refused) as refusal:
        client("convertPosition", convert | {"quantity": 50})
    assert refusal.value.kind == "OrderException"


def test_holdings_are_there_from_the_start(client):
    held = {row["tradingsymbol"]: row for row in client("getHoldings")}
    row = held["RELIANCE"]
    assert row["quantity"] == 20
    assert row["pnl"] == pytest.approx((row["last_price"] - row["average_price"]) * 20)


def test_a_trigger_is_placed_changed_read_and_taken_back(client):
    px = price_of(client)
    low, high = tick(px * 0.9), tick(px * 1.1)
    leg = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC"}
    asked = {"tradingsymbol": "INFY", "exchange": "NSE", "last_price": px}
    both = {"trigger_type": "two-leg", "trigger_values": [low, high]}
    orders = {"orders": [leg | {"price": low}, leg | {"price": high}]}
    trigger = client("placeGTT", asked | both | orders)["trigger_id"]
    assert isinstance(trigger, int)
    assert client("getGTT", trigger)["condition"]["trigger_values"] == [low, high]
    lower = tick(px * 0.8)
    single = {"trigger_type": "single", "trigger_values": [lower]}
    one = {"orders": [leg | {"price": lower}]}
    assert client("modifyGTT", trigger, asked | single | one) == {"trigger_id": trigger}
    assert trigger in {row["id"] for row in client("getGTTs")}
    assert client("getGTT", trigger)["condition"]["trigger_values"] == [lower]
    assert client("deleteGTT", trigger) == {"trigger_id": trigger}
    assert client("getGTT", trigger)["status"] == "deleted"


def item(**more):
    return {
        "exchange": "NFO", "tradingsymbol": FUTURE, "transaction_type": "BUY",
        "variety": "regular", "product": "NRML", "order_type": "MARKET", "quantity": 65,
        "price": 0, "trigger_price": 0,
    } | more  # fmt: skip


def test_the_margin_of_an_order(client):
    (compact,) = client("orderMargins", [item()])
    (full,) = client("orderMargins", [item()], "")  # it says compact itself if left out
    assert full["total"] > 0
    assert compact["total"] == pytest.approx(full["total"], rel=0.02)


def test_the_margin_of_a_basket(client):
    orders = [item(), item(transaction_type="SELL", tradingsymbol="NIFTY26DECFUT")]
    basket = client("orderBasketMargins", orders, False, "")
    assert basket["final"]["total"] < basket["initial"]["total"]
    assert len(basket["orders"]) == 2
    assert client("orderBasketMargins", orders)["final"]["total"] > 0


def test_the_virtual_contract_note(client):
    (note,) = client(
        "getvirtualContractNote", [item(order_id="any", average_price=24_000, price=24_000)]
    )
    assert note["charges"]["total"] > note["charges"]["brokerage"] > 0


def test_mutual_fund_books_are_read(client):
    assert client("getMFHoldings")[0]["fund"]
    order = client("getMFOrders")[0]
    assert client("getMFOrders", order["order_id"])["order_id"] == order["order_id"]
    plan = client("getMFSIPS")[0]
    assert client("getMFSIPS", plan["sip_id"])["sip_id"] == plan["sip_id"]
    assert client("getMFInstruments")[0]["last_price"] > 0


# ── errors ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ({"order_type": "MARKET"}, "market protection"),
        ({"tradingsymbol": "NOBODY", "price": 100}, ""),
        ({"quantity": 0, "price": 100}, "quantity"),
        ({"transaction_type": "HOLD", "price": 100}, "transaction_type"),
    ],
)
def test_what_is_refused_at_once_is_an_input_exception(client, order, word):
    with pytest.raises(Refused) as refusal:
        infy(client, **order)
    assert refusal.value.kind == "InputException"
    assert word in refusal.value.error["message"].lower()


@pytest.mark.parametrize(
    "asked",
    [
        ("cancelOrder", "regular", "151220000000000"),
        ("modifyOrder", "regular", "151220000000000", {"price": 1}),
        ("getOrderHistory", "151220000000000"),
    ],
)
def test_an_unknown_order_is_an_order_exception(client, asked):
    with pytest.raises(Refused, match="does not exist") as refusal:
        client(*asked)
    assert refusal.value.kind == "OrderException"


def test_an_unknown_trigger_is_a_general_exception(client):
    with pytest.raises(Refused) as refusal:
        client("getGTT", 1)
    assert refusal.value.kind == "GeneralException"


def test_a_refusal_of_the_risk_system_turns_the_order_rejected(client):
    order_id = infy(client, quantity=10_000_000, price=tick(price_of(client)), product="CNC")
    assert status_of(client, order_id, "REJECTED")["status_message"]


def test_a_dead_token_is_a_token_exception_and_calls_the_hook(served):
    with JavaScriptClient(served.rest, access_token="dead") as stranger:
        with pytest.raises(Refused) as refusal:
            stranger("getOrders")
        assert refusal.value.kind == "TokenException"
        assert stranger("timesExpired") == 1


def test_addresses_that_are_not_registered_may_read_but_not_order():
    with serving(allowed_addresses=("10.1.2.3",)) as running, logged_in(running) as client:
        assert client("getOrders") == []
        with pytest.raises(Refused, match="is not allowed") as refusal:
            infy(client, price=100)
        assert refusal.value.kind == "PermissionException"


def test_too_fast_is_a_network_exception():
    with serving(rate_limits=True, speed=1.0) as running, logged_in(running) as client:

        def hurry():
            for _ in range(100):
                price_of(client)

        with pytest.raises(Refused, match="Too many requests") as refusal:
            hurry()
        assert refusal.value.kind == "NetworkException"
