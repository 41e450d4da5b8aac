"""Every official sample against our own answer on the same route: the same keys, the same JSON types.

Samples: the 62 files of Zerodha's ``kiteconnect-mocks``. Numbers are compared as numbers, except
where the official Go client decodes an integer: there ours must be one, whatever the sample shows.
"""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from rehearsal import ask, pass_time, rehearsal

from kitestring.domain.instants import SECOND
from kitestring.domain.money import money
from kitestring.exchange.desk.opening_account import OpeningChoice

HERE = Path(__file__).resolve()
MOCKS = next(
    (
        folder / "shared" / "kite-mocks"
        for folder in HERE.parents
        if (folder / "shared" / "kite-mocks").is_dir()
    ),
    HERE / "absent",
)
with_samples = pytest.mark.skipif(not MOCKS.is_dir(), reason="shared data absent")

WHOLE = {
    # positions and holdings
    "instrument_token", "overnight_quantity", "t1_quantity", "realised_quantity", "used_quantity",
    "opening_quantity", "short_quantity", "collateral_quantity", "authorised_quantity",
    # quotes
    "last_quantity", "buy_quantity", "sell_quantity", "volume", "volume_tick", "oi_day_high",
    "oi_day_low", "validity_ttl", "trigger_id", "alert_count", "app_id",
}  # fmt: skip
"""Keys that are integers in the Go client wherever they stand."""
DAY_AND_MONTH = re.compile(r"\d\d-\d\d")
"""Keys of a plan's top-ups, which are dates."""
FUTURE = "NIFTY26NOVFUT"


def kind_of(value):
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case dict():
            return "object"


def merged(rows):
    """All keys of some rows, each with all its values."""
    keys = {}
    for row in rows:
        for key, value in row.items():
            keys.setdefault(key, []).append(value)
    return keys


def differences(sample, ours, *, absent=(), nullable=(), at="data"):
    """Where our answer lacks a key of the sample or has another type; ``sample`` and ours as lists."""
    kinds = {kind_of(value) for value in sample} - {"null"}
    have = {kind_of(value) for value in ours} - {"null"}
    if kinds and have and not have <= kinds:
        yield f"{at}: {have} where the sample has {kinds}"
        return
    if kinds and not have and at.rpartition(".")[2] not in nullable:
        yield f"{at}: only null where the sample has {kinds}"
    if "object" in kinds:
        theirs = merged(value for value in sample if isinstance(value, dict))
        mine = merged(value for value in ours if isinstance(value, dict))
        for key, values in theirs.items():
            if key in mine:
                yield from differences(
                    values, mine[key], absent=absent, nullable=nullable, at=f"{at}.{key}"
                )
            elif key not in absent and not DAY_AND_MONTH.fullmatch(key):
                yield f"{at}: without {key}"
    if "list" in kinds:
        theirs = [item for value in sample if isinstance(value, list) for item in value]
        mine = [item for value in ours if isinstance(value, list) for item in value]
        if theirs and not mine:
            yield f"{at}: an empty list says nothing"
        yield from differences(theirs, mine, absent=absent, nullable=nullable, at=f"{at}[]")
    name = at.rpartition(".")[2]
    for value in ours:
        if name in WHOLE and isinstance(value, float):
            yield f"{at}: {value} must be a whole number"


class Desk:
    """A client of the exchange, with everything in its books."""

    def __init__(self):
        rich = OpeningChoice(cash=money(9_000_000))
        self.exchange = rehearsal("09:20", account=rich, fund_orders=True)

    def ask(self, method, path, **request):
        status, _, body = ask(self.exchange, method, path, **request)
        assert status == 200, body
        return body["data"] if isinstance(body, dict) else body

    def order(self, variety="regular", **more):
        form = {
            "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY",
            "quantity": "10", "product": "MIS", "order_type": "MARKET", "market_protection": "2",
            "validity": "DAY",
        } | {name: str(value) for name, value in more.items()}  # fmt: skip
        return self.ask("POST", f"/orders/{variety}", data=form)

    def px(self, key="NSE:INFY", times=1.0):
        last = self.ask("GET", "/quote/ltp", params={"i": key})[key]["last_price"]
        return round(round(last * times / 0.1) * 0.1, 2)

    def resting(self, **more):
        limit = {"order_type": "LIMIT", "price": self.px(times=0.98), "market_protection": "0"}
        order_id = self.order(**limit | more)["order_id"]
        self.exchange.clock.at += 2 * SECOND
        self.exchange.desk.advance(self.exchange.now())
        return order_id

    def gtt(self):
        last = self.px()
        condition = {
            "exchange": "NSE", "tradingsymbol": "INFY", "last_price": last,
            "trigger_values": [round(last * 0.9, 1), round(last * 1.1, 1)],
        }  # fmt: skip
        leg = {
            "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "SELL", "quantity": 1,
            "order_type": "LIMIT", "product": "CNC",
        }  # fmt: skip
        orders = [leg | {"price": px} for px in condition["trigger_values"]]
        return {
            "type": "two-leg",
            "condition": json.dumps(condition),
            "orders": json.dumps(orders),
        }

    def gtt_soon(self, away):
        """A trigger that the next ticks may reach: its result is part of the sample's row."""
        last = self.px()
        condition = {
            "exchange": "NSE", "tradingsymbol": "INFY", "last_price": last,
            "trigger_values": [round(last + away, 1)],
        }  # fmt: skip
        order = {
            "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1,
            "order_type": "LIMIT", "product": "CNC", "price": round(last + away, 1),
        }  # fmt: skip
        form = {
            "type": "single", "condition": json.dumps(condition), "orders": json.dumps([order]),
        }  # fmt: skip
        return self.ask("POST", "/gtt/triggers", data=form)["trigger_id"]

    def alert(self, **more):
        return {
            "name": "NIFTY 50", "type": "simple", "lhs_exchange": "INDICES",
            "lhs_tradingsymbol": "NIFTY 50", "lhs_attribute": "LastTradedPrice", "operator": ">=",
            "rhs_type": "constant", "rhs_constant": "27000",
        } | more  # fmt: skip

    def fund_plan(self):
        return {
            "tradingsymbol": "INF0KSL01011", "amount": "5000", "frequency": "monthly",
            "instalments": "-1", "instalment_day": "5", "tag": "plan",
        }  # fmt: skip


def everything():
    """An exchange with one of everything in its books; what each sample's route answers."""
    desk = Desk()
    order_at = desk.order(tag="mine")["order_id"]
    changed = desk.resting()
    refused = desk.order(quantity=9_000_000)["order_id"]
    desk.order("iceberg", quantity=1000, iceberg_legs=5, iceberg_quantity=200, validity="TTL",
               validity_ttl=2, order_type="LIMIT", price=desk.px(times=0.98), tag="icebergord",
               market_protection=0)  # fmt: skip
    future = f"NFO:{FUTURE}"
    slices = desk.order(
        exchange="NFO", tradingsymbol=FUTURE, quantity=65 * 90, product="NRML", autoslice="true",
        order_type="LIMIT", price=desk.px(future, 0.995), market_protection=0,
    )  # fmt: skip
    auction = desk.ask("GET", "/portfolio/holdings/auctions")[0]
    alert = desk.ask("POST", "/alerts", data=desk.alert(operator=">", rhs_constant="1"))
    desk.ask("POST", "/alerts", data=desk.alert() | BASKET)
    triggers = [desk.gtt_soon(-0.1), desk.gtt_soon(0.1)]
    pass_time(desk.exchange, "09:21")
    desk.ask("PUT", f"/orders/regular/{changed}", data={"price": desk.px(times=0.97)})
    pass_time(desk.exchange, "09:22")
    rows = {row["id"]: row["status"] for row in desk.ask("GET", "/gtt/triggers")}
    (trigger, *_) = [each for each in triggers if rows[each] == "triggered"]
    return desk, order_at, changed, refused, slices, auction, alert["uuid"], trigger


@pytest.fixture(scope="module")
def books():
    return everything()


def order_item(**more):
    return {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY",
        "variety": "regular", "product": "CNC", "order_type": "MARKET", "quantity": 1, "price": 0,
        "trigger_price": 0, "order_id": "1", "average_price": 1500,
    } | more  # fmt: skip


OPTION_BASKET = [
    order_item(exchange="NFO", tradingsymbol=FUTURE, quantity=65, product="NRML"),
    order_item(exchange="NFO", tradingsymbol=FUTURE, quantity=65, product="NRML",
               transaction_type="SELL"),
]  # fmt: skip


BASKET = {
    "type": "ato",
    "basket": json.dumps(
        {"name": "x", "type": "alert", "tags": [], "items": [
            {"type": "insert", "tradingsymbol": "INFY", "exchange": "NSE", "weight": 10_000,
             "params": {"transaction_type": "BUY", "product": "CNC", "order_type": "LIMIT",
                        "validity": "DAY", "validity_ttl": 0, "quantity": 1, "price": 1450,
                        "trigger_price": 0, "disclosed_quantity": 0, "variety": "regular",
                        "squareoff": 0, "stoploss": 0, "trailing_stoploss": 0, "tags": [],
                        "gtt": {"target": 0, "stoploss": 0}}},
        ]}
    ),
}  # fmt: skip
"""The parameters as the official Go client sends them: Kite shows a basket as it was sent."""


def conversation(books):
    desk, traded, changed, _, slices, _, alert, trigger = books
    ask = desk.ask
    sip = ask("GET", "/mf/sips")[0]["sip_id"]
    login = desk.exchange.sessions
    app = desk.exchange.settings.apps[0]

    def session():
        from kitestring.exchange.desk.sessions import checksum

        token = login.request_token(desk.exchange.now(), app.api_key)
        proof = checksum(app.api_key, token, app.api_secret)
        form = {"api_key": app.api_key, "request_token": token, "checksum": proof}
        return ask("POST", "/session/token", headers={}, data=form)

    def log_out():
        token = session()["access_token"]
        query = {"api_key": app.api_key, "access_token": token}
        return ask("DELETE", "/session/token", headers={}, params=query)

    def gtt(method, path=""):
        form = desk.gtt() if method in {"POST", "PUT"} else None
        return ask(method, f"/gtt/triggers{path}", data=form)

    def new_gtt():
        return f"/{gtt('POST')['trigger_id']}"

    def new_alert():
        return ask("POST", "/alerts", data=desk.alert())["uuid"]

    def new_fund_order():
        form = {"tradingsymbol": "INF0KSL01011", "transaction_type": "BUY", "amount": "1000"}
        return ask("POST", "/mf/orders", data=form)

    candles = {"from": "2026-11-19 09:15:00", "to": "2026-11-19 09:20:00", "oi": "0"}
    token = desk.exchange.listing.find("NFO", FUTURE).token
    infy = {"i": "NSE:INFY"}
    convert = {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1",
        "position_type": "day", "old_product": "MIS", "new_product": "CNC",
    }  # fmt: skip
    return {
        "alerts_create": lambda: ask("POST", "/alerts", data=desk.alert()),
        "alerts_create_ato": lambda: ask("POST", "/alerts", data=desk.alert() | BASKET),
        "alerts_delete": lambda: ask("DELETE", "/alerts", params={"uuid": new_alert()}),
        "alerts_get": lambda: ask("GET", "/alerts"),
        "alerts_get_one": lambda: ask("GET", f"/alerts/{alert}"),
        "alerts_history": lambda: ask("GET", f"/alerts/{alert}/history"),
        "alerts_modify": lambda: ask("PUT", f"/alerts/{new_alert()}", data=desk.alert()),
        "auctions_list": lambda: ask("GET", "/portfolio/holdings/auctions"),
        "autoslice_response": lambda: slices,
        "basket_margins": lambda: ask("POST", "/margins/basket", json=OPTION_BASKET),
        "convert_position": lambda: ask("PUT", "/portfolio/positions", data=convert),
        "full_profile": lambda: ask("GET", "/user/profile/full"),
        "generate_session": session,
        "gtt_delete_order": lambda: gtt("DELETE", new_gtt()),
        "gtt_get_order": lambda: gtt("GET", f"/{trigger}"),
        "gtt_get_orders": lambda: gtt("GET"),
        "gtt_modify_order": lambda: gtt("PUT", new_gtt()),
        "gtt_place_order": lambda: gtt("POST"),
        "historical_minute": lambda: ask(
            "GET", "/instruments/historical/408065/minute", params=candles
        ),
        "historical_oi": lambda: ask(
            "GET", f"/instruments/historical/{token}/minute", params=candles | {"oi": "1"}
        ),
        "holdings": lambda: ask("GET", "/portfolio/holdings"),
        "holdings_auth": lambda: ask("POST", "/portfolio/holdings/authorise"),
        "holdings_compact": lambda: ask("GET", "/portfolio/holdings/compact"),
        "holdings_summary": lambda: ask("GET", "/portfolio/holdings/summary"),
        "ltp": lambda: ask("GET", "/quote/ltp", params=infy),
        "margin_commodity": lambda: ask("GET", "/user/margins/commodity"),
        "margins": lambda: ask("GET", "/user/margins"),
        "margins_equity": lambda: ask("GET", "/user/margins/equity"),
        "mf_holdings": lambda: ask("GET", "/mf/holdings"),
        "mf_order_cancel": lambda: ask("DELETE", f"/mf/orders/{new_fund_order()['order_id']}"),
        "mf_order_response": new_fund_order,
        "mf_orders": lambda: ask("GET", "/mf/orders"),
        "mf_orders_info": lambda: ask("GET", f"/mf/orders/{new_fund_order()['order_id']}"),
        "mf_sip_cancel": lambda: ask(
            "DELETE", f"/mf/sips/{ask('POST', '/mf/sips', data=desk.fund_plan())['sip_id']}"
        ),
        "mf_sip_info": lambda: ask("GET", f"/mf/sips/{sip}"),
        "mf_sip_modify": lambda: ask("PUT", f"/mf/sips/{sip}", data={"amount": "6000"}),
        "mf_sip_place": lambda: ask("POST", "/mf/sips", data=desk.fund_plan()),
        "mf_sips": lambda: ask("GET", "/mf/sips"),
        "ohlc": lambda: ask("GET", "/quote/ohlc", params=infy),
        "order_cancel": lambda: ask("DELETE", f"/orders/regular/{desk.resting()}"),
        "order_info": lambda: ask("GET", f"/orders/{changed}"),
        "order_margins": lambda: ask("POST", "/margins/orders", json=[order_item()]),
        "order_modify": lambda: ask(
            "PUT", f"/orders/regular/{changed}", data={"price": desk.px(times=0.975)}
        ),
        "order_response": desk.order,
        "order_trades": lambda: ask("GET", f"/orders/{traded}/trades"),
        "orders": lambda: ask("GET", "/orders"),
        "positions": lambda: ask("GET", "/portfolio/positions"),
        "profile": lambda: ask("GET", "/user/profile"),
        "quote": lambda: ask("GET", "/quote", params=infy),
        "session_logout": log_out,
        "trades": lambda: ask("GET", "/trades"),
        "trigger_range": lambda: ask("GET", "/instruments/trigger_range/buy", params=infy),
        "virtual_contract_note": lambda: ask("POST", "/charges/orders", json=[order_item()]),
    }


PACKETS = {"ticker_full", "ticker_ltp", "ticker_quote"}
"""Not of REST: the packets are tested, to the byte, beside what packs them."""
DUMPS = {"instruments_all": "/instruments", "instruments_nse": "/instruments/NSE",
         "mf_instruments": "/mf/instruments"}  # fmt: skip
PUSHED = {"postback"}
ABSENT = {
    # Of one row of ten in the sample, whose order a dealer's terminal had sent.
    "orders": ("terminal_id", "auction_number"),
}
NULLABLE = {
    "orders": ("validity_ttl",),
    "mf_orders": ("tag",),
    "mf_sips": ("sip_reg_num",),
}
KEYED = {"ltp", "ohlc", "quote", "trigger_range"}
"""Answers whose keys are what was asked for."""


def unkeyed(name, data):
    return list(data.values()) if name in KEYED else [data]


def names(suffix):
    return sorted(path.name.removesuffix(suffix) for path in MOCKS.glob(f"*{suffix}"))


@with_samples
def test_every_sample_is_asked_for(books):
    asked = set(conversation(books)) | PACKETS | PUSHED
    assert set(names(".json")) == asked
    assert set(names(".csv")) == set(DUMPS)
    assert set(names(".packet")) == {"ticker_full", "ticker_quote"}


@with_samples
@pytest.mark.parametrize("name", [n for n in names(".json") if n not in PACKETS | PUSHED])
def test_our_answer_has_every_key_and_type_of_the_sample(books, name):
    sample = json.loads((MOCKS / f"{name}.json").read_text(encoding="utf-8"))["data"]
    ours = conversation(books)[name]()
    found = differences(
        unkeyed(name, sample),
        unkeyed(name, ours),
        absent=ABSENT.get(name, ()),
        nullable=NULLABLE.get(name, ()),
    )
    assert list(found) == []


@with_samples
def test_a_pushed_update_has_every_key_and_type_of_the_sample():
    desk = Desk()
    desk.order()
    exchange = desk.exchange
    exchange.clock.at += 2_000_000
    rows = [update.row for update in exchange.desk.advance(exchange.now())]
    sample = json.loads((MOCKS / "postback.json").read_text(encoding="utf-8"))
    assert list(differences([sample], rows)) == []


@with_samples
@pytest.mark.parametrize("name", DUMPS)
def test_our_dump_has_the_columns_of_the_sample(books, name):
    sample = (MOCKS / f"{name}.csv").read_text(encoding="utf-8")
    ours = books[0].ask("GET", DUMPS[name]).decode()
    assert ours.splitlines()[0] == sample.splitlines()[0]
    rows = list(csv.DictReader(io.StringIO(ours)))
    assert rows
    for row in rows:
        assert None not in row
        assert None not in row.values()


def test_a_wrong_type_and_a_missing_key_are_caught():
    sample = [{"id": "1", "rows": [{"px": 1.5, "instrument_token": 1}], "ok": True}]
    right = [{"id": "2", "rows": [{"px": 2, "instrument_token": 2}], "ok": False}]
    assert list(differences(sample, right)) == []
    for wrong in (
        [{"id": 2, "rows": [{"px": 2, "instrument_token": 2}], "ok": False}],
        [{"id": "2", "rows": [{"px": "2", "instrument_token": 2}], "ok": False}],
        [{"id": "2", "rows": [{"px": 2, "instrument_token": 2.0}], "ok": False}],
        [{"id": "2", "rows": None, "ok": False}],
        [{"id": "2", "rows": [], "ok": False}],
        [{"id": "2", "rows": [{"px": None, "instrument_token": 2}], "ok": False}],
        [{"id": "2", "rows": [{"px": 2, "instrument_token": 2}], "ok": 0}],
        [{"rows": [{"px": 2, "instrument_token": 2}], "ok": False}],
    ):
        assert list(differences(sample, wrong)), wrong
