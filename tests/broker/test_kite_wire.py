"""Orders as they are written for Kite: exact numbers, protection always said, nothing unasked changed."""

import datetime as dt

import pytest

from kitestring.broker.kite_outcomes import Refusal, definite_refusal
from kitestring.broker.kite_wire import (
    cancel_request,
    modify_fields,
    modify_request,
    place_fields,
    place_request,
    protection_text,
)
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.ids import ClOrdIds
from kitestring.domain.money import price
from kitestring.domain.orders import OrderIntent, OrdType, Product, Purpose, Side, TimeInForce
from kitestring.domain.verdicts import Approved, ModifyOrder, PlaceOrder

TAG = "K0000000000000000000"


def placing(ord_type=OrdType.LIMIT, tag=TAG, **changes):
    shape = {
        OrdType.MARKET: {},
        OrdType.LIMIT: {"price": price("1500.05")},
        OrdType.SL: {"price": price("1490"), "stop_px": price("1491.5")},
        OrdType.SL_M: {"stop_px": price("1491.5")},
    }[ord_type]
    fields = {
        "strategy": "s", "instrument": "NSE:M&M", "side": Side.BUY, "order_qty": 10,
        "ord_type": ord_type, "product": Product.MIS, "purpose": Purpose.ENTRY, "reason": "",
        "decision_px": price("1500"), "decided_at": 0,
    }  # fmt: skip
    intent = OrderIntent(**(fields | shape | changes))
    return place_fields(PlaceOrder(cl_ord_id=tag, approved=Approved(intent=intent, at=0)))


def changing(**changes):
    return ModifyOrder(cl_ord_id=TAG, at=0, **changes)


def test_a_limit_order():
    assert placing() == {
        "exchange": "NSE", "tradingsymbol": "M&M", "transaction_type": "BUY", "quantity": "10",
        "product": "MIS", "order_type": "LIMIT", "validity": "DAY", "price": "1500.05", "tag": TAG,
    }  # fmt: skip
    assert place_request(placing()).body.startswith(b"exchange=NSE&tradingsymbol=M%26M&")
    assert placing(time_in_force=TimeInForce.IOC)["validity"] == "IOC"


@pytest.mark.parametrize("kind", [OrdType.MARKET, OrdType.SL_M])
def test_protection_is_always_said(kind):
    assert placing(kind)["market_protection"] == "-1"
    assert placing(kind, market_protection_bp=250)["market_protection"] == "2.5"
    assert placing(kind, market_protection_bp=1)["market_protection"] == "0.01"
    with pytest.raises(InvariantBroken):
        placing(kind, market_protection_bp=0)


@pytest.mark.parametrize("kind", [OrdType.LIMIT, OrdType.SL])
def test_and_never_where_it_means_nothing(kind):
    assert "market_protection" not in placing(kind)


def test_prices_by_order_type():
    stop = placing(OrdType.SL)
    assert (stop["price"], stop["trigger_price"]) == ("1490.00", "1491.50")
    assert "price" not in placing(OrdType.SL_M)
    assert "price" not in placing(OrdType.MARKET)
    assert placing(price=price("0.0125"))["price"] == "0.0125"


@pytest.mark.parametrize(
    "changes",
    [
        {"ord_type": OrdType.SL, "stop_px": None},
        {"ord_type": OrdType.LIMIT, "price": None},
        {"ord_type": OrdType.MARKET, "price": price("1")},
        {"ord_type": OrdType.SL_M, "price": price("1")},
        {"order_qty": 0},
        {"order_qty": -5},
        {"price": price("0")},
        {"price": price("-1")},
        {"tag": ""},
        {"tag": "K" * 21},
        {"tag": "K-1"},
    ],
)
def test_an_order_that_is_none_is_our_own_mistake(changes):
    with pytest.raises(InvariantBroken):
        placing(**changes)


def test_a_change_says_what_changes_and_nothing_else():
    assert modify_fields(changing(price=price("1501")), OrdType.LIMIT) == {
        "order_type": "LIMIT", "price": "1501.00",
    }  # fmt: skip
    assert modify_fields(changing(stop_px=price("9")), OrdType.SL) == {
        "order_type": "SL", "trigger_price": "9.00",
    }  # fmt: skip
    assert modify_fields(changing(order_qty=5), OrdType.LIMIT)["quantity"] == "5"
    to_market = modify_fields(changing(ord_type=OrdType.MARKET), OrdType.LIMIT)
    assert to_market == {"order_type": "MARKET", "market_protection": "-1"}
    assert (
        modify_fields(changing(stop_px=price("9")), OrdType.SL_M, 100)["market_protection"] == "1"
    )
    with pytest.raises(InvariantBroken):
        modify_fields(changing(price=price("1")), OrdType.MARKET)
    with pytest.raises(InvariantBroken):
        modify_fields(changing(order_qty=0), OrdType.LIMIT)


def test_paths():
    assert (
        modify_request("151220000000000", "regular", {}).path == "/orders/regular/151220000000000"
    )
    exit_of_cover = cancel_request("2", "co", "1")
    assert (exit_of_cover.method, exit_of_cover.query_text) == ("DELETE", "parent_order_id=1")
    for order_id in ("", "../1", "1/2", "1?x", "1 2", "é"):
        with pytest.raises(InvariantBroken):
            cancel_request(order_id, "regular")
    with pytest.raises(InvariantBroken):
        place_request({}, "bo")


def test_protection_has_its_bounds():
    assert protection_text(10_000) == "100"
    for absurd in (0, -1, 10_001):
        with pytest.raises(InvariantBroken):
            protection_text(absurd)


def test_a_tag_of_ours_fits():
    tag = ClOrdIds("a run", dt.date(2026, 11, 20))()
    assert placing(tag=tag)["tag"] == tag


MARGIN = "Insufficient funds. Required margin is 95417.84 but available margin is 74251.80."
PROTECTION = (
    "Market orders without market protection are not allowed via API."
    " Please set market protection or use a Limit order."
)
ADDRESS = "IP (203.0.113.7) is not allowed to place orders for this app."


@pytest.mark.parametrize(
    ("status", "error_type", "message", "refusal"),
    [
        (400, "MarginException", MARGIN, Refusal.FUNDS),
        (400, "OrderException", MARGIN, Refusal.FUNDS),
        (400, "InputException", PROTECTION, Refusal.INPUT),
        (403, "PermissionException", ADDRESS, Refusal.ADDRESS),
        (403, "UserException", ADDRESS, Refusal.ADDRESS),
        (403, "TokenException", "Incorrect `api_key` or `access_token`.", Refusal.TOKEN),
        (400, "OrderException", "The order for ID (1) does not exist", Refusal.ORDER),
        (
            400,
            "OrderException",
            "Order cannot be modified as it is being processed, try again later",
            Refusal.ORDER,
        ),
        (429, "NetworkException", "Too many requests", Refusal.THROTTLED),
        (428, "HoldingException", "Authorise the sale first.", Refusal.HOLDINGS),
        (400, "OrderException", "Order request timed out. Please check the order book", None),
        (400, "InputException", "Request timeout", None),
        (400, "InputException", "Gateway time-out at the OMS", None),
        (403, "TokenException", "Session timed out; see the orderbook", None),
        (400, "OrderException", "", None),
        (400, "NetworkException", "Connection lost", None),
        (400, "GeneralException", "Something went wrong", None),
        (400, "orderexception", "No", None),
        (429, "GeneralException", "Too many requests", None),
        (500, "OrderException", "No", None),
        (500, "InputException", "No", None),
        (503, "NetworkException", "The OMS is down", None),
        (200, "InputException", "No", None),
        (403, "", "Forbidden", None),
        (404, "GeneralException", "Route not found", None),
        (401, "TokenException", "No", None),
    ],
)
def test_the_short_list_of_definite_refusals(status, error_type, message, refusal):
    assert definite_refusal(status, error_type, message) is refusal
