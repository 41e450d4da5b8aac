"""The official Python client, unchanged, on a real socket: its calls, its exceptions, its answers."""

import datetime as dt
import time
import warnings

import pytest
from rehearsal import DAY, serving, whole_market

from kitestring.domain.money import money
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.wire.kite_server import FAILURES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports (Twisted, autobahn of 2019) is not ours
    import requests
    from kiteconnect import KiteConnect
    from kiteconnect import exceptions as kite

INFY = "NSE:INFY"
FUTURE = "NIFTY26NOVFUT"
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def served():
    rich = OpeningChoice(cash=money(9_000_000))
    with serving(day=whole_market(DAY), account=rich) as running:
        yield running
        assert running.app[FAILURES] == []


@pytest.fixture(scope="module")
def client(served):
    """A client that has logged in as a person does: page, button, request token, session."""
    client = KiteConnect("kitestring", root=served.rest)
    page = f"{served.rest}/connect/login?v=3&api_key=kitestring"
    assert "<button" in requests.get(page, timeout=5).text
    shown = requests.post(page, timeout=5, allow_redirects=False).text
    token = shown.split('id="request_token">')[1].split("<")[0]
    session = client.generate_session(token, api_secret="kitestring-secret")
    assert session["user_id"] == "KS0001"
    assert isinstance(session["login_time"], dt.datetime)
    return client


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
    return client.order_history(order_id)[-1]


def status_of(client, order_id, *statuses):
    return until(lambda: last(client, order_id), lambda row: row["status"] in statuses)


def infy(client, **order):
    px = client.ltp(INFY)[INFY]["last_price"]
    asked = {
        "variety": "regular", "exchange": "NSE", "tradingsymbol": "INFY", "quantity": 10,
        "transaction_type": "BUY", "product": "MIS", "order_type": "LIMIT", "validity": "DAY",
    }  # fmt: skip
    return client.place_order(**asked | order), px


def tick(px, by=0.1):
    return round(round(px / by) * by, 2)


def test_the_profile(client):
    profile = client.profile()
    assert profile["user_id"] == "KS0001"
    assert "NFO" in profile["exchanges"]


def test_instruments_are_read_by_the_clients_own_parser(client):
    """By exchange: the client itself needs many seconds for the dates of 100 000 rows."""
    shares = {row["tradingsymbol"]: row for row in client.instruments("NSE")}
    assert shares["INFY"]["instrument_token"] == 408065
    assert shares["INFY"]["tick_size"] > 0
    contracts = client.instruments("MCX")
    assert {row["exchange"] for row in contracts} == {"MCX"}
    assert all(row["expiry"] >= DAY for row in contracts if row["expiry"])


def test_the_whole_dump_is_of_realistic_size(client):
    headers = {"Authorization": f"token kitestring:{client.access_token}"}
    answer = requests.get(f"{client.root}/instruments", headers=headers, timeout=60)
    assert answer.headers["Content-Type"] == "text/csv"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.text.count("\n") > 100_000


def test_quotes_in_three_lengths(client):
    quote = client.quote(INFY, "NSE:NOBODY", "NSE:M&M")
    assert set(quote) <= {INFY, "NSE:M&M"}
    assert quote[INFY]["instrument_token"] == 408065
    assert isinstance(quote[INFY]["timestamp"], dt.datetime)
    assert len(quote[INFY]["depth"]["sell"]) == 5
    assert client.ohlc([INFY, "NSE:NIFTY 50"])["NSE:NIFTY 50"]["instrument_token"] == 256265
    assert client.ltp(INFY, f"NFO:{FUTURE}").keys() == {INFY, f"NFO:{FUTURE}"}
    assert client.ltp(408065)["408065"]["instrument_token"] == 408065


def test_candles_with_times_of_india(client):
    rows = client.historical_data(
        408065, dt.datetime(2026, 11, 19, 9, 15), dt.datetime(2026, 11, 19, 9, 24), "minute"
    )
    assert len(rows) == 10
    assert rows[0]["date"].isoformat() == "2026-11-19T09:15:00+05:30"
    assert rows[0]["low"] <= rows[0]["open"] <= rows[0]["high"]
    token = whole_market(DAY).listing.find("NFO", FUTURE).token
    with_oi = client.historical_data(token, "2026-11-18", "2026-11-19", "day", oi=True)
    assert [row["oi"] > 0 for row in with_oi] == [True, True]
    joined = client.historical_data(token, "2026-11-18", "2026-11-19", "day", continuous=True)
    assert [row["date"] for row in joined] == [row["date"] for row in with_oi]


def test_the_trigger_range(client):
    below = client.trigger_range("BUY", INFY)[INFY]
    above = client.trigger_range("SELL", INFY)[INFY]
    assert below["lower"] < below["upper"]
    assert above["lower"] < above["upper"]


def test_an_order_that_rests_is_changed_and_taken_back(client):
    px = client.ltp(INFY)[INFY]["last_price"]
    order_id, _ = infy(client, price=tick(px * 0.98), tag="rests")
    assert isinstance(order_id, str)
    row = status_of(client, order_id, "OPEN")
    assert (row["tag"], row["pending_quantity"], row["filled_quantity"]) == ("rests", 10, 0)
    assert isinstance(row["order_timestamp"], dt.datetime)
    lower = tick(px * 0.97)
    assert client.modify_order("regular", order_id, price=lower, quantity=12) == order_id
    changed = until(
        lambda: last(client, order_id),
        lambda row: row["status"] == "OPEN" and row["price"] == lower,
    )
    assert changed["quantity"] == 12
    assert client.cancel_order("regular", order_id) == order_id
    assert status_of(client, order_id, "CANCELLED")["cancelled_quantity"] == 12
    seen = [row["status"] for row in client.order_history(order_id)]
    assert seen[:4] == ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]
    assert "MODIFIED" in seen
    assert order_id in {row["order_id"] for row in client.orders()}


def test_a_market_order_trades_and_is_in_every_book(client):
    order_id, _ = infy(client, order_type="MARKET", market_protection=-1)
    row = status_of(client, order_id, "COMPLETE")
    assert row["filled_quantity"] == 10
    trades = client.order_trades(order_id)
    assert sum(trade["quantity"] for trade in trades) == 10
    assert {trade["trade_id"] for trade in trades} <= {trade["trade_id"] for trade in client.trades()}  # fmt: skip
    value = sum(trade["quantity"] * trade["average_price"] for trade in trades)
    assert row["average_price"] == pytest.approx(value / 10, abs=0.01)


@pytest.mark.parametrize("order_type", ["SL", "SL-M"])
def test_a_stop_waits_for_its_trigger(client, order_type):
    px = client.ltp(INFY)[INFY]["last_price"]
    more = {"price": tick(px * 1.035)} if order_type == "SL" else {"market_protection": 2}
    order_id, _ = infy(client, order_type=order_type, trigger_price=tick(px * 1.03), **more)
    assert status_of(client, order_id, "TRIGGER PENDING")["trigger_price"] == tick(px * 1.03)
    client.cancel_order("regular", order_id)
    status_of(client, order_id, "CANCELLED")


def test_an_ioc_order_does_not_wait(client):
    px = client.ltp(INFY)[INFY]["last_price"]
    order_id, _ = infy(client, validity="IOC", price=tick(px * 0.98))
    assert status_of(client, order_id, "CANCELLED", "COMPLETE")["filled_quantity"] == 0


def test_an_iceberg_shows_a_leg_at_a_time(client):
    px = client.ltp(INFY)[INFY]["last_price"]
    order_id, _ = infy(
        client, variety="iceberg", quantity=1000, iceberg_legs=4, iceberg_quantity=250,
        price=tick(px * 0.98), product="MIS",
    )  # fmt: skip
    row = status_of(client, order_id, "OPEN")
    assert row["quantity"] == 250
    assert row["meta"]["iceberg"]["legs"] == 4
    client.cancel_order("iceberg", order_id)
    status_of(client, order_id, "CANCELLED")


def test_a_cover_order_comes_with_its_stop_and_exits_through_it(client):
    px = client.ltp(INFY)[INFY]["last_price"]
    order_id, _ = infy(
        client, variety="co", order_type="MARKET", market_protection=-1,
        trigger_price=tick(px * 0.97),
    )  # fmt: skip
    status_of(client, order_id, "COMPLETE")
    leg = until(
        lambda: [row for row in client.orders() if row["parent_order_id"] == order_id],
        lambda rows: rows and rows[0]["status"] == "TRIGGER PENDING",
    )[0]
    client.exit_order("co", leg["order_id"], parent_order_id=order_id)
    status_of(client, leg["order_id"], "COMPLETE")


def test_a_large_order_is_sliced(client):
    px = client.ltp(f"NFO:{FUTURE}")[f"NFO:{FUTURE}"]["last_price"]
    answer = client.place_autoslice_order(
        "regular", "NFO", FUTURE, "BUY", 65 * 30, "NRML", "LIMIT", price=tick(px * 0.985, 0.1),
        validity="DAY",
    )  # fmt: skip
    assert answer["order_id"].isdigit()
    placed = [child["order_id"] for child in answer["children"] if "order_id" in child]
    refused = [child["error"] for child in answer["children"] if "error" in child]
    assert len(placed) + len(refused) == 2
    assert placed
    assert {error["error_type"] for error in refused} <= {"MarginException"}
    for order_id in placed:
        assert "autoslice" in last(client, order_id)["tags"]


def test_a_refusal_of_the_risk_system_turns_the_order_rejected(client):
    px = client.ltp(INFY)[INFY]["last_price"]
    order_id, _ = infy(client, quantity=10_000_000, price=tick(px), product="CNC")
    row = status_of(client, order_id, "REJECTED")
    assert row["status_message"]
    assert row["status_message_raw"]


@pytest.mark.parametrize(
    ("error", "order", "message"),
    [
        (kite.InputException, {"order_type": "MARKET"}, "market protection"),
        (kite.InputException, {"tradingsymbol": "NOBODY", "price": 100}, ""),
        (kite.InputException, {"quantity": 0, "price": 100}, "quantity"),
        (kite.InputException, {"transaction_type": "HOLD", "price": 100}, "transaction_type"),
    ],
)
def test_what_is_refused_at_once_is_the_clients_exception(client, error, order, message):
    with pytest.raises(error, match=f"(?i){message}") as refusal:
        infy(client, **order)
    assert refusal.value.code == 400


def test_an_unknown_order_is_an_order_exception(client):
    for ask in (
        lambda: client.cancel_order("regular", "151220000000000"),
        lambda: client.modify_order("regular", "151220000000000", price=1),
        lambda: client.order_history("151220000000000"),
    ):
        with pytest.raises(kite.OrderException, match="does not exist"):
            ask()


def test_a_dead_token_calls_the_hook_and_raises(served):
    stranger = KiteConnect("kitestring", access_token="dead", root=served.rest)
    called = []
    stranger.set_session_expiry_hook(lambda: called.append(True))
    with pytest.raises(kite.TokenException) as refusal:
        stranger.orders()
    assert (refusal.value.code, called) == (403, [True])


def test_a_path_that_is_not_there_is_a_general_exception(client):
    client._routes = client._routes | {"orders": "/nowhere"}
    try:
        with pytest.raises(kite.GeneralException) as refusal:
            client.orders()
        assert refusal.value.code == 404
    finally:
        del client._routes


def test_addresses_that_are_not_registered_may_read_but_not_order():
    with serving(allowed_addresses=("10.1.2.3",)) as running:
        session = running.exchange.sessions.log_in(running.exchange.now(), "kitestring")
        client = KiteConnect("kitestring", session.access_token, root=running.rest)
        assert client.orders() == []
        for ask in (
            lambda: infy(client, price=100),
            lambda: client.modify_order("regular", "1", price=1),
            lambda: client.cancel_order("regular", "1"),
        ):
            with pytest.raises(kite.PermissionException, match=r"IP \(127.0.0.1\) is not allowed"):
                ask()


def test_too_fast_is_a_network_exception():
    with serving(rate_limits=True, speed=1.0) as running:
        session = running.exchange.sessions.log_in(running.exchange.now(), "kitestring")
        client = KiteConnect("kitestring", session.access_token, root=running.rest)

        def hurry():
            for _ in range(100):
                client.ltp(INFY)

        with pytest.raises(kite.NetworkException, match="Too many requests") as refusal:
            hurry()
        assert refusal.value.code == 429


def position(client, symbol, product):
    rows = client.positions()["net"]
    return next(r for r in rows if (r["tradingsymbol"], r["product"]) == (symbol, product))


def test_what_was_bought_is_a_position_that_can_be_converted(client):
    order_id = client.place_order(
        "regular", "NSE", "TCS", "BUY", 5, "MIS", "MARKET", market_protection=-1
    )
    paid = status_of(client, order_id, "COMPLETE")["average_price"]
    row = position(client, "TCS", "MIS")
    assert (row["quantity"], row["day_buy_quantity"]) == (5, 5)
    assert row["average_price"] == pytest.approx(paid)
    assert row["pnl"] == pytest.approx(row["value"] + 5 * row["last_price"], abs=0.001)
    assert client.convert_position("NSE", "TCS", "BUY", "day", 2, "MIS", "CNC") is True
    assert position(client, "TCS", "MIS")["quantity"] == 3
    assert position(client, "TCS", "CNC")["quantity"] == 2
    with pytest.raises(kite.OrderException):
        client.convert_position("NSE", "TCS", "BUY", "day", 50, "MIS", "CNC")


def test_holdings_are_there_from_the_start_and_can_be_sold(client):
    held = {row["tradingsymbol"]: row for row in client.holdings()}
    assert held["RELIANCE"]["quantity"] == 20
    assert held["RELIANCE"]["pnl"] == pytest.approx(
        (held["RELIANCE"]["last_price"] - held["RELIANCE"]["average_price"]) * 20
    )
    order_id = client.place_order(
        "regular", "NSE", "RELIANCE", "SELL", 20, "CNC", "MARKET", market_protection=-1
    )
    status_of(client, order_id, "COMPLETE")
    again = client.place_order(
        "regular", "NSE", "RELIANCE", "SELL", 1, "CNC", "MARKET", market_protection=-1
    )
    assert "holdings" in status_of(client, again, "REJECTED")["status_message"].lower()
    assert isinstance(client.get_auction_instruments(), list)


def test_a_sale_that_nobody_authorised_is_refused_with_428():
    with serving(account=OpeningChoice(authorised=False)) as running:
        session = running.exchange.sessions.log_in(running.exchange.now(), "kitestring")
        client = KiteConnect("kitestring", session.access_token, root=running.rest)
        sell = ("regular", "NSE", "INFY", "SELL", 5, "CNC", "MARKET")
        with pytest.raises(kite.GeneralException) as refusal:  # it knows no HoldingException
            client.place_order(*sell, market_protection=-1)
        assert refusal.value.code == 428
        headers = {"Authorization": f"token kitestring:{session.access_token}"}
        asked = requests.post(
            f"{running.rest}/portfolio/holdings/authorise", headers=headers, timeout=5
        )
        request_id = asked.json()["data"]["request_id"]
        page = f"{running.rest}/connect/portfolio/authorise/holdings/kitestring/{request_id}"
        assert "<button" in requests.get(page, timeout=5).text
        assert requests.post(page, timeout=5).status_code == 200
        order_id = client.place_order(*sell, market_protection=-1)
        status_of(client, order_id, "COMPLETE")


def test_the_money_of_both_segments(client):
    both = client.margins()
    assert set(both) == {"equity", "commodity"}
    equity = client.margins("equity")
    assert equity["available"]["opening_balance"] == 9_000_000
    assert equity["net"] == pytest.approx(equity["available"]["live_balance"])


def order_item(**more):
    return {
        "exchange": "NFO", "tradingsymbol": FUTURE, "transaction_type": "BUY",
        "variety": "regular", "product": "NRML", "order_type": "MARKET", "quantity": 65,
        "price": 0, "trigger_price": 0,
    } | more  # fmt: skip


def test_calculators_answer_before_money_is_tied_up(client):
    (alone,) = client.order_margins([order_item()])
    assert alone["total"] > 0
    basket = client.basket_order_margins(
        [order_item(), order_item(transaction_type="SELL", tradingsymbol="NIFTY26DECFUT")]
    )
    assert basket["final"]["total"] < basket["initial"]["total"]
    assert len(basket["orders"]) == 2
    compact = client.basket_order_margins([order_item()], mode="compact")
    assert compact["final"]["total"] > 0
    (note,) = client.get_virtual_contract_note(
        [order_item(order_id="any", average_price=24_000, price=24_000)]
    )
    assert note["charges"]["total"] > note["charges"]["brokerage"] > 0


def test_a_trigger_is_placed_changed_read_and_taken_back(client):
    px = client.ltp(INFY)[INFY]["last_price"]
    leg = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC"}
    low, high = tick(px * 0.9), tick(px * 1.1)
    trigger = client.place_gtt(
        client.GTT_TYPE_OCO, "INFY", "NSE", [low, high], px,
        [leg | {"price": low}, leg | {"price": high}],
    )["trigger_id"]  # fmt: skip
    assert isinstance(trigger, int)
    assert client.get_gtt(trigger)["condition"]["trigger_values"] == [low, high]
    lower = tick(px * 0.8)
    changed = client.modify_gtt(
        trigger, client.GTT_TYPE_SINGLE, "INFY", "NSE", [lower], px, [leg | {"price": lower}]
    )
    assert changed == {"trigger_id": trigger}
    assert trigger in {row["id"] for row in client.get_gtts()}
    assert client.delete_gtt(trigger) == {"trigger_id": trigger}
    assert client.get_gtt(trigger)["status"] == "deleted"
    with pytest.raises(kite.GeneralException):
        client.get_gtt(1)


def test_a_trigger_that_is_reached_places_its_order(client):
    px = client.ltp(INFY)[INFY]["last_price"]
    leg = {"transaction_type": "BUY", "quantity": 1, "order_type": "LIMIT", "product": "CNC"}
    near = [tick(px - 0.1), tick(px + 0.1)]
    triggers = [
        client.place_gtt(
            client.GTT_TYPE_SINGLE, "INFY", "NSE", [value], px, [leg | {"price": tick(px * 0.98)}]
        )["trigger_id"]
        for value in near
    ]
    fired = until(
        lambda: [client.get_gtt(each) for each in triggers],
        lambda rows: any(row["status"] == "triggered" for row in rows),
    )
    (result, *_) = [row["orders"][0]["result"] for row in fired if row["status"] == "triggered"]
    order_id = result["order_result"]["order_id"]
    assert status_of(client, order_id, "OPEN")["quantity"] == 1
    client.cancel_order("regular", order_id)


def test_any_listed_instrument_can_be_asked_for_and_traded(client):
    """Not of the market that ticks from the open on: it begins to tick when somebody looks."""
    market = whole_market(DAY)
    option = next(
        one
        for one in market.listing
        if (one.exchange, one.name, one.kind.value) == ("NFO", "RELIANCE", "CE")
        and one.id not in market.watched
    )
    name = option.id
    quote = client.quote(name)[name]
    assert quote["last_price"] > 0
    candles = client.historical_data(
        option.token, "2026-11-20 09:15:00", "2026-11-20 15:30:00", "minute", oi=True
    )
    assert candles
    assert candles[0]["oi"] >= 0


def test_an_after_market_order_waits_for_the_morning():
    with serving("08:40", speed=1.0) as running:
        session = running.exchange.sessions.log_in(running.exchange.now(), "kitestring")
        client = KiteConnect("kitestring", session.access_token, root=running.rest)
        px = client.ltp(INFY)[INFY]["last_price"]
        order_id = client.place_order(
            "amo", "NSE", "INFY", "BUY", 1, "CNC", "LIMIT", price=tick(px * 0.99)
        )
        assert last(client, order_id)["status"] == "AMO REQ RECEIVED"
        assert client.modify_order("amo", order_id, quantity=2) == order_id
        assert last(client, order_id)["quantity"] == 2
        client.cancel_order("amo", order_id)
        assert last(client, order_id)["status"].startswith("CANCELLED")


def test_mutual_fund_books_are_read(client):
    assert client.mf_holdings()[0]["fund"]
    order = client.mf_orders()[0]
    assert client.mf_orders(order["order_id"])["order_id"] == order["order_id"]
    plan = client.mf_sips()[0]
    assert client.mf_sips(plan["sip_id"])["sip_id"] == plan["sip_id"]
    assert client.mf_instruments()[0]["last_price"] > 0
    with pytest.raises(kite.PermissionException):
        client.place_mf_order(plan["tradingsymbol"], "BUY", amount=1000)


def test_whoever_logs_out_is_out(served):
    session = served.exchange.sessions.log_in(served.exchange.now(), "kitestring")
    leaving = KiteConnect("kitestring", session.access_token, root=served.rest)
    assert leaving.invalidate_access_token() is True
    with pytest.raises(kite.TokenException):
        leaving.profile()
