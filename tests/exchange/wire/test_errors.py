"""Refusals as clients see them: one of each type, and never a 500 of our own, whatever is sent."""

import asyncio
import io

import pytest
from aiohttp import web
from rehearsal import ask, asking, rehearsal, signed

from kitestring.exchange.desk import kite_error
from kitestring.exchange.desk.sessions import App
from kitestring.exchange.seeded import Stream
from kitestring.exchange.wire.kite_server import FAILURES, ROUTES, make_app

ORDER = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1",
    "product": "MIS", "order_type": "LIMIT", "price": "1500", "validity": "DAY",
}  # fmt: skip


def refused(exchange, method, path, **request):
    status, headers, body = ask(exchange, method, path, **request)
    assert headers["Content-Type"] == "application/json"
    assert body["status"] == "error"
    assert body["data"] is None
    assert isinstance(body["message"], str)
    assert body["message"]
    return status, body["error_type"]


def test_no_session_is_a_token_exception():
    exchange = rehearsal("09:20")
    assert refused(exchange, "GET", "/orders", headers={}) == (403, "TokenException")


def test_the_free_plan_is_a_permission_exception():
    exchange = rehearsal("09:20", apps=(App(api_key="kitestring", api_secret="x", personal=True),))
    answer = refused(exchange, "GET", "/quote", params={"i": "NSE:INFY"})
    assert answer == (403, "PermissionException")


def test_an_impossible_parameter_is_an_input_exception():
    exchange = rehearsal("09:20")
    form = ORDER | {"quantity": "some"}
    answer = refused(exchange, "POST", "/orders/regular", data=form)
    assert answer == (400, "InputException")


def test_an_unknown_order_is_an_order_exception():
    exchange = rehearsal("09:20")
    answer = refused(exchange, "DELETE", "/orders/regular/151220000000000")
    assert answer == (400, "OrderException")


def test_too_little_money_for_a_slice_is_a_margin_exception():
    exchange = rehearsal("09:20")
    px = exchange.quotes.ltp(["NFO:NIFTY26NOVFUT"])["NFO:NIFTY26NOVFUT"]["last_price"]
    form = ORDER | {
        "exchange": "NFO", "tradingsymbol": "NIFTY26NOVFUT", "product": "NRML",
        "quantity": str(65 * 250), "price": str(round(px)), "autoslice": "true",
    }  # fmt: skip
    status, _, body = ask(exchange, "POST", "/orders/regular", data=form)
    assert status == 200
    errors = [child["error"] for child in body["data"]["children"] if "error" in child]
    assert {(error["code"], error["error_type"]) for error in errors} == {(400, "MarginException")}


def test_what_is_not_there_is_a_general_exception():
    exchange = rehearsal("09:20")
    assert refused(exchange, "GET", "/no/such/route") == (404, "GeneralException")
    assert refused(exchange, "PATCH", "/orders") == (405, "GeneralException")


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (kite_error.user_error("The account is blocked."), 403, "UserException"),
        (kite_error.margin_error("Insufficient funds."), 400, "MarginException"),
        (kite_error.holding_error("Not authorised.", 428), 428, "HoldingException"),
        (kite_error.network_error("Down.", 503), 503, "NetworkException"),
        (kite_error.network_error("Late.", 504), 504, "NetworkException"),
        (kite_error.answer_error("Nonsense."), 502, "DataException"),
        (kite_error.general_error("Gone.", 410), 410, "GeneralException"),
    ],
)
def test_what_the_desk_raises_keeps_status_type_and_words(monkeypatch, error, status, error_type):
    exchange = rehearsal("09:20")

    def refuse(*_args, **_more):
        raise error

    monkeypatch.setattr(exchange.desk, "place", refuse)
    status_, _, body = ask(exchange, "POST", "/orders/regular", data=ORDER)
    assert (status_, body["error_type"], body["message"]) == (status, error_type, error.message)


def test_our_own_mistake_is_answered_logged_and_counted(monkeypatch, caplog):
    exchange = rehearsal("09:20")
    mine = signed(exchange)

    def stumble(*_):
        raise RuntimeError("our mistake")

    monkeypatch.setattr(exchange.desk, "orders", stumble)

    async def hold():
        from aiohttp.test_utils import TestClient, TestServer

        async with TestClient(TestServer(make_app(exchange))) as client:
            answer = await client.get("/orders", headers=mine)
            return answer.status, await answer.json(), client.app[FAILURES]

    status, body, failures = asyncio.run(hold())
    assert (status, body["error_type"]) == (500, "GeneralException")
    assert "our mistake" not in body["message"]
    assert [str(error) for error in failures] == ["our mistake"]
    assert "our mistake" in caplog.text


def test_a_middleware_stands_inside_the_net_and_outside_the_routes():
    exchange = rehearsal("09:20")
    mine = signed(exchange)

    @web.middleware
    async def lost(request, handler):
        answer = await handler(request)
        if request.method == "POST":
            return web.Response(status=502, text="<html>", content_type="text/html")
        return answer

    def add_page(app, exchange):
        async def page(request):
            return web.json_response({"day": str(exchange.day)})

        app.router.add_get("/extra", page)

    async def talk(client):
        answer = await client.post("/orders/regular", data=ORDER, headers=mine)
        page = await client.get("/extra")
        return answer.status, answer.content_type, await page.json()

    answer = asking(exchange, talk, middlewares=[lost], set_up=[add_page])
    assert answer == (502, "text/html", {"day": "2026-11-20"})
    assert len(exchange.desk.orders(exchange.now())) == 1  # it was taken all the same


def test_a_body_too_large_is_refused():
    exchange = rehearsal("09:20")
    answer = refused(exchange, "POST", "/margins/orders", data=io.BytesIO(b" " * (2 << 20)))
    assert answer == (400, "InputException")


WORDS = [
    "", "0", "1", "-1", "1e99", "NaN", "٣", "null", "[]", "{}", "regular", "amo", "co", "iceberg",
    "auction", "NSE", "NFO", "INFY", "NIFTY26NOVFUT", "BUY", "SELL", "LIMIT", "MARKET", "SL",
    "SL-M", "MIS", "CNC", "NRML", "MTF", "DAY", "IOC", "TTL", "65", "1500", "true", "True", "2",
    "10", "408065", "minute", "day", "2026-11-20", "2026-11-20 09:15:00", "0001-01-01", "\x00",
    "é" * 30, "%ff", "💣", "'; --", "a" * 5000, "<=", "simple", "ato", "two-leg", "single",
    '{"exchange":"NSE","tradingsymbol":"INFY","trigger_values":[1],"last_price":2}',
    '[{"exchange":"NSE"}]', "[" * 200, '{"a":' * 50, "kitestring", "151220000000000",
    "NSE:INFY", "equity", "LastTradedPrice", "constant", "-0", ".5", "0x10", "1_000", "inf",
]  # fmt: skip
NAMES = [
    "variety", "exchange", "tradingsymbol", "transaction_type", "quantity", "product",
    "order_type", "price", "trigger_price", "validity", "validity_ttl", "disclosed_quantity",
    "iceberg_legs", "iceberg_quantity", "auction_number", "tag", "market_protection", "autoslice",
    "algo_id", "parent_order_id", "order_id", "type", "condition", "orders", "i", "from", "to",
    "interval", "continuous", "oi", "api_key", "request_token", "checksum", "access_token",
    "refresh_token", "position_type", "old_product", "new_product", "isin", "name", "lhs_exchange",
    "lhs_tradingsymbol", "lhs_attribute", "operator", "rhs_type", "rhs_constant", "rhs_exchange",
    "rhs_tradingsymbol", "rhs_attribute", "basket", "uuid", "status", "page", "page_size", "mode",
    "consider_positions", "amount", "frequency", "instalments", "instalment_day",
    "redirect_params",
]  # fmt: skip
FIELDS = (
    "exchange", "tradingsymbol", "transaction_type", "variety", "product", "order_type",
    "quantity", "price", "trigger_price", "order_id", "average_price",
)  # fmt: skip


class Chance:
    """Dice with a seed."""

    def __init__(self, seed):
        self._draws = iter(Stream(seed, "pestering").below(400_000, 1 << 30).tolist())

    def randrange(self, bound):
        return next(self._draws) % bound

    def random(self):
        return next(self._draws) / (1 << 30)

    def choice(self, among):
        return among[self.randrange(len(among))]

    def randbytes(self, count):
        return bytes(self.randrange(256) for _ in range(count))


def some_json(chance, depth=0):
    kind = chance.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.choice([0, 1, -1, 65, 10**30, -(10**18), 1500.5, 1e300, -0.0])
    if kind < 6:
        return chance.choice(WORDS)
    if kind == 6:
        return [some_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(FIELDS): some_json(chance, depth + 1) for _ in range(chance.randrange(9))}


def good_item(chance):
    """An order a calculator likes, with one field that it may not."""
    item = {
        "exchange": "NFO", "tradingsymbol": "NIFTY26NOVFUT", "transaction_type": "BUY",
        "variety": "regular", "product": "NRML", "order_type": "LIMIT", "quantity": 65,
        "price": 24_000, "trigger_price": 0, "order_id": "1", "average_price": 24_000,
    }  # fmt: skip
    if chance.random() < 0.8:
        item[chance.choice(FIELDS)] = some_json(chance, 2)
    return item


def some_form(chance):
    """Parameters that make sense, until one of them does not; or none that do."""
    pairs = [(chance.choice(NAMES), chance.choice(WORDS)) for _ in range(chance.randrange(6))]
    if chance.random() < 0.5:
        order = ORDER | {"price": chance.choice(["1500", "1480", "1520"])}
        if chance.random() < 0.7:
            order[chance.choice(list(order))] = chance.choice(WORDS)
        pairs += order.items()
    return pairs


@pytest.mark.parametrize("seed", range(10))
def test_nothing_a_client_sends_makes_the_exchange_stumble(seed):
    """A thousand bodies and queries a time, ten times: answers of Kite's kind to every one."""
    chance = Chance(seed)
    exchange = rehearsal("09:20")
    mine = signed(exchange)
    routes = [route for route in ROUTES if route.path != "/session/token"]

    async def pester(client):
        statuses = set()
        for _ in range(1_000):
            route = chance.choice(routes)
            path = route.path
            while "{" in path:
                head, _, rest = path.partition("{")
                word = chance.choice(WORDS)[:40].replace("/", "") or "x"
                path = head + word.replace("%", "").replace("\x00", "") + rest.partition("}")[2]
            form = some_form(chance)
            query = [(name, word[:300]) for name, word in form if chance.random() < 0.5]
            more = {}
            if route.method in {"POST", "PUT"}:
                kind = chance.randrange(4)
                if kind == 0:
                    more["data"] = chance.randbytes(chance.randrange(200))
                elif kind == 1 or route.path.startswith(("/margins", "/charges")):
                    items = [
                        good_item(chance) if chance.random() < 0.7 else some_json(chance)
                        for _ in range(chance.randrange(4))
                    ]
                    more["json"] = items if chance.random() < 0.9 else some_json(chance)
                else:
                    more["data"] = form
            answer = await client.request(
                route.method, path, params=query, headers=mine, allow_redirects=False, **more
            )
            assert answer.headers["Content-Type"]
            if answer.content_type == "application/json":
                body = await answer.json()
                assert body["status"] == ("success" if answer.status == 200 else "error"), body
                assert "data" in body
            statuses.add(answer.status)
        return statuses

    statuses = asking(exchange, pester)
    assert {200, 400} <= statuses <= {200, 302, 400, 403, 404, 405, 410, 428}
