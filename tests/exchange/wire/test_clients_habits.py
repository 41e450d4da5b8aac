"""What the official clients do beyond the documentation is taken as it comes (and nothing redirects)."""

import json

import pytest
from rehearsal import ask, asking, pass_time, rehearsal, signed, whole_market

from kitestring.exchange.desk.candles import Candles
from kitestring.exchange.wire.kite_server import ROUTES

ORDER = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1",
    "product": "MIS", "order_type": "LIMIT", "validity": "DAY",
}  # fmt: skip
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def exchange():
    return rehearsal("09:20")


def order(exchange, **more):
    px = exchange.quotes.ltp(["NSE:INFY"])["NSE:INFY"]["last_price"]
    form = ORDER | {"price": str(round(px * 0.98, 1))} | more
    status, _, body = ask(exchange, "POST", "/orders/regular", data=form)
    assert status == 200, body
    pass_time(exchange, "09:20:05")
    return body["data"]["order_id"]


def test_path_parameters_are_repeated_in_the_body_and_the_path_counts(exchange):
    """Python repeats them on POST and PUT."""
    order_id = order(exchange, variety="regular")
    form = {"variety": "co", "order_id": "1", "quantity": "2"}
    status, _, body = ask(exchange, "PUT", f"/orders/regular/{order_id}", data=form)
    assert (status, body["data"]) == (200, {"order_id": order_id})


def test_path_parameters_are_repeated_in_the_query_with_a_forms_content_type(exchange):
    """JavaScript does so on GET and DELETE."""
    order_id = order(exchange)
    mine = signed(exchange) | FORM
    for path, query in (
        (f"/orders/{order_id}", {"order_id": order_id}),
        ("/user/margins/equity", {"segment": "equity"}),
        ("/quote/ltp", {"i": "NSE:INFY"}),
    ):
        assert ask(exchange, "GET", path, headers=mine, params=query)[0] == 200
    query = {"variety": "regular", "order_id": order_id}
    path = f"/orders/regular/{order_id}"
    assert ask(exchange, "DELETE", path, headers=mine, params=query)[0] == 200


def test_go_writes_true_and_python_writes_it_with_a_capital(exchange):
    item = ORDER | {"variety": "regular", "quantity": 1, "price": 0, "trigger_price": 0}
    answers = [
        ask(exchange, "POST", "/margins/basket", json=[item], params={"consider_positions": word})
        for word in ("true", "True")
    ]
    assert answers[0][2]["data"] == answers[1][2]["data"]


def test_floats_come_with_their_noise(exchange):
    px = exchange.quotes.ltp(["NSE:INFY"])["NSE:INFY"]["last_price"]
    limit = round(px * 0.98, 1)
    order_id = order(exchange, price=f"{limit}0000000000004", quantity="1.0")
    _, _, body = ask(exchange, "GET", f"/orders/{order_id}")
    assert (body["data"][-1]["price"], body["data"][-1]["quantity"]) == (limit, 1)


def test_go_sends_the_whole_order_with_a_trigger(exchange):
    px = exchange.quotes.ltp(["NSE:INFY"])["NSE:INFY"]["last_price"]
    leg = {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "SELL", "quantity": 1,
        "order_type": "LIMIT", "product": "CNC", "price": round(px * 0.9, 1), "order_id": "",
        "order_timestamp": "0001-01-01T00:00:00Z", "meta": None, "status": "", "filled_quantity": 0,
    }  # fmt: skip
    condition = {
        "exchange": "NSE", "tradingsymbol": "INFY", "last_price": px,
        "trigger_values": [round(px * 0.9, 1)],
    }  # fmt: skip
    form = {"type": "single", "condition": json.dumps(condition), "orders": json.dumps([leg])}
    assert ask(exchange, "POST", "/gtt/triggers", data=form)[0] == 200


def test_symbols_with_an_ampersand_and_a_space_are_found():
    exchange = rehearsal("09:20", day_market=whole_market())
    query = [("i", "NSE:M&M"), ("i", "NSE:NIFTY 50")]
    _, _, body = ask(exchange, "GET", "/quote/ltp", params=query)
    assert set(body["data"]) == {"NSE:M&M", "NSE:NIFTY 50"}
    future = next(one for one in exchange.listing if one.name == "M&M" and one.kind.value == "FUT")
    _, _, body = ask(exchange, "GET", "/quote", params=[("i", future.id)])
    assert body["data"][future.id]["last_price"] > 0


def test_nothing_but_the_login_redirects(exchange):
    mine = signed(exchange)

    async def call_all(client):
        statuses = {}
        for route in ROUTES:
            if not route.signed:
                continue
            path = route.path.replace("{", "").replace("}", "")
            for spelling in (path, path + "/"):
                answer = await client.request(
                    route.method, spelling, headers=mine, allow_redirects=False
                )
                assert answer.headers["Content-Type"] in {"application/json", "text/csv"}
                statuses.setdefault(answer.status // 100, []).append(spelling)
        return statuses

    assert set(asking(exchange, call_all)) <= {2, 4}


def test_one_connection_is_kept_for_many_calls(exchange):
    mine = signed(exchange)

    async def talk(client):
        ports = set()
        for _ in range(5):
            answer = await client.get("/user/profile", headers=mine)
            ports.add(answer.connection and answer.connection.transport.get_extra_info("sockname"))
            await answer.read()
        return ports

    assert len(asking(exchange, talk) - {None}) <= 1


def test_everything_is_served_under_the_sandboxs_prefix_where_the_switch_says_so():
    exchange = rehearsal("09:20", sandbox_prefix=True)
    assert ask(exchange, "GET", "/oms/user/profile")[0] == 200
    assert ask(exchange, "GET", "/user/profile")[0] == 200
    assert ask(rehearsal("09:20"), "GET", "/oms/user/profile")[0] == 404


def test_continuous_candles_show_the_future_that_was_the_nearest_then():
    """The October contract expired on 27 Oct 2026 (the last Tuesday); November's was next."""
    exchange = rehearsal("09:20", day_market=whole_market())
    live = exchange.listing.find("NFO", "NIFTY26NOVFUT")
    seen = []

    class Watching:
        def day_bars(self, instrument, day, minutes):
            seen.append((day.isoformat(), instrument.symbol))
            return whole_market().day_bars(instrument, day, minutes)

    candles = Candles(Watching(), exchange.listing, whole_market().manifest.sessions)

    def read(*, continuous):
        asked = candles.read(
            str(live.token), "day", "2026-10-26", "2026-10-29", continuous=continuous, oi=True
        )
        steps = candles.candles(exchange.now(), asked)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value

    joined, alone = read(continuous=True), read(continuous=False)
    assert seen[:4] == [
        ("2026-10-26", "NIFTY26OCTFUT"),
        ("2026-10-27", "NIFTY26OCTFUT"),
        ("2026-10-28", "NIFTY26NOVFUT"),
        ("2026-10-29", "NIFTY26NOVFUT"),
    ]
    assert len(joined) == len(alone) == 4
    assert joined[2:] == alone[2:]
    assert joined[0][1:5] != alone[0][1:5]
    assert joined[0][6] != alone[0][6]


def test_only_day_candles_of_futures_are_continuous(exchange):
    token = exchange.listing.find("NFO", "NIFTY26NOVFUT").token
    query = {"from": "2026-10-01", "to": "2026-10-02", "continuous": "1"}
    for path in (f"{token}/minute", "408065/day"):
        status, _, body = ask(exchange, "GET", f"/instruments/historical/{path}", params=query)
        assert (status, body["error_type"]) == (400, "InputException")
