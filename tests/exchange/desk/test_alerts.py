"""Price alerts: made, fired, listed, and the orders that some of them place."""

import json

import pytest
from desk_rig import INDEX, SBIN, Rig

from kitestring.exchange.desk.alerts import AlertBook
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.order_settings import OrderSettings

BASKET = {
    "name": "",
    "type": "alert",
    "items": [
        {
            "type": "insert",
            "tradingsymbol": "SBIN",
            "exchange": "NSE",
            "weight": 10000,
            "params": {
                "validity": "DAY",
                "validity_ttl": 0,
                "variety": "regular",
                "product": "CNC",
                "order_type": "LIMIT",
                "transaction_type": "BUY",
                "quantity": 3,
                "disclosed_quantity": 0,
                "price": 790.05,
                "trigger_price": 0,
                "gtt": {"target": 0, "stoploss": 0},
                "tags": [],
            },
        }
    ],
}


class Alerts(Rig):
    def __init__(self, **parts):
        super().__init__(**parts)
        self.alerts = AlertBook(self.desk)

    def tick(self, instrument, last, **fields):
        super().tick(instrument, last, **fields)
        self.alerts.advance(self.now, lambda id_: self.floor.markets[id_].last_px(self.now))

    def form(self, operator=">=", constant=810, **fields):
        form = {
            "name": "watch",
            "type": "simple",
            "lhs_exchange": "NSE",
            "lhs_tradingsymbol": "SBIN",
            "lhs_attribute": "LastTradedPrice",
            "operator": operator,
            "rhs_type": "constant",
            "rhs_constant": str(constant),
        }
        return Form(form | fields)

    def alert(self, *args, **fields):
        return self.alerts.create(self.now, self.form(*args, **fields))["uuid"]


@pytest.fixture
def rig():
    return Alerts().open_market()


def refused(call, *args, **fields):
    with pytest.raises(KiteError) as refusal:
        call(*args, **fields)
    return refusal.value


@pytest.mark.parametrize(
    ("operator", "px", "fires"),
    [
        (">=", 810, True),
        (">=", "809.95", False),
        (">", 810, False),
        (">", "810.05", True),
        ("==", 810, True),
        ("==", 811, False),
        ("<", 809, True),
        ("<=", 811, False),
    ],
)
def test_the_last_price_is_compared(rig, operator, px, fires):
    rig.tick(SBIN, 820 if operator.startswith("<") else 805)
    uuid = rig.alert(operator)
    rig.tick(SBIN, px)
    assert rig.alerts.alert(uuid)["alert_count"] == int(fires)


def test_an_alert_fires_again_only_after_it_was_false(rig):
    uuid = rig.alert(">=", 810)
    for px in (811, 812, 813, 805, 811):
        rig.tick(SBIN, px)
    alert = rig.alerts.alert(uuid)
    assert (alert["alert_count"], alert["status"]) == (2, "enabled")
    first, second = rig.alerts.history(uuid)
    assert first["condition"] == 'LastTradedPrice("NSE:SBIN") >= 810'
    assert [each["meta"][0]["last_price"] for each in (first, second)] == [811, 811]
    assert first["order_meta"] is None


def test_an_index_is_named_by_an_exchange_of_its_own(rig):
    uuid = rig.alert(">=", 24000, lhs_exchange="INDICES", lhs_tradingsymbol="NIFTY 50")
    rig.tick(INDEX, 24010)
    (event,) = rig.alerts.history(uuid)
    assert event["meta"][0]["instrument_token"] == 256265
    assert event["meta"][0]["exchange"] == "INDICES"
    assert rig.alerts.watched() == {INDEX.id}


def test_two_instruments_are_compared(rig):
    uuid = rig.alert(
        "<",
        rhs_type="instrument",
        rhs_exchange="NSE",
        rhs_tradingsymbol="BHEL",
        rhs_attribute="LastTradedPrice",
    )
    rig.tick(SBIN, 201)
    assert rig.alerts.alert(uuid)["alert_count"] == 0
    rig.tick(SBIN, 199)
    (event,) = rig.alerts.history(uuid)
    assert event["condition"] == 'LastTradedPrice("NSE:SBIN") < LastTradedPrice("NSE:BHEL")'
    assert len(event["meta"]) == 2


def test_a_basket_is_placed_once_and_the_alert_disabled(rig):
    uuid = rig.alert("<=", 791, type="ato", basket=json.dumps(BASKET))
    rig.tick(SBIN, 790)
    rig.wait()
    (row,) = rig.desk.orders(rig.now)
    assert (row["quantity"], row["price"], row["status"]) == (3, 790.05, "COMPLETE")
    alert = rig.alerts.alert(uuid)
    assert (alert["status"], alert["alert_count"]) == ("disabled", 1)
    assert alert["basket"]["items"][0]["instrument_token"] == SBIN.token
    assert alert["basket"]["items"][0]["params"]["price"] == 790.05
    (event,) = rig.alerts.history(uuid)
    assert event["order_meta"] == {"orders": [{"order_id": row["order_id"]}]}
    rig.tick(SBIN, 800)
    rig.tick(SBIN, 780)
    assert len(rig.desk.orders(rig.now)) == 1


def test_an_alert_is_replaced_whole_and_deleted(rig):
    uuid = rig.alert()
    answer = rig.alerts.modify(rig.now, uuid, rig.form(">=", 900))
    assert (answer["uuid"], answer["rhs_constant"]) == (uuid, 900)
    other = rig.alert()
    assert rig.alerts.delete(rig.now, [uuid, other]) is None
    assert rig.alerts.alerts(Form({})) == []
    assert [row["uuid"] for row in rig.alerts.alerts(Form({"status": "deleted"}))] == [uuid, other]
    for call in (rig.alerts.alert, rig.alerts.history):
        assert refused(call, uuid).status == 404


def test_nothing_is_deleted_if_one_of_them_is_unknown(rig):
    uuid = rig.alert()
    assert refused(rig.alerts.delete, rig.now, [uuid, "nobody"]).status == 404
    assert rig.alerts.alert(uuid)["status"] == "enabled"


def test_the_list_has_pages(rig):
    uuids = [rig.alert() for _ in range(5)]
    page = lambda n: rig.alerts.alerts(Form({"page": str(n), "page_size": "2"}))  # noqa: E731
    assert [row["uuid"] for n in (1, 2, 3) for row in page(n)] == uuids
    assert len(set(uuids)) == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"type": "loud"},
        {"lhs_tradingsymbol": "NOBODY"},
        {"lhs_attribute": "Volume"},
        {"operator": "!="},
        {"rhs_type": ""},
        {"rhs_constant": "many"},
        {"rhs_constant": "0"},
        {"rhs_type": "instrument"},
        {"type": "ato"},
        {"type": "ato", "basket": "{}"},
        {"type": "ato", "basket": '{"items":[{"exchange":"NSE","tradingsymbol":"SBIN"}]}'},
    ],
)
def test_an_alert_that_cannot_be_is_an_input_exception(rig, fields):
    assert refused(rig.alert, **fields).error_type == "InputException"


def test_so_many_alerts_and_no_more():
    rig = Alerts(settings=OrderSettings(alerts_max=2)).open_market()
    assert OrderSettings().alerts_max == 500
    first = rig.alert()
    rig.alert()
    assert refused(rig.alert).error_type == "InputException"
    rig.alerts.delete(rig.now, [first])
    rig.alert()


def test_shapes_are_the_samples(rig):
    answer = rig.alerts.create(rig.now, rig.form())
    assert {name: type(value) for name, value in answer.items()} == {
        "type": str,
        "user_id": str,
        "uuid": str,
        "name": str,
        "status": str,
        "disabled_reason": str,
        "lhs_attribute": str,
        "lhs_exchange": str,
        "lhs_tradingsymbol": str,
        "operator": str,
        "rhs_type": str,
        "rhs_attribute": str,
        "rhs_exchange": str,
        "rhs_tradingsymbol": str,
        "rhs_constant": int,
        "alert_count": int,
        "created_at": str,
        "updated_at": str,
    }
    rig.tick(SBIN, 815)
    (event,) = rig.alerts.history(answer["uuid"])
    assert set(event) == {"uuid", "type", "meta", "condition", "created_at", "order_meta"}
    assert set(event["meta"][0]) == {
        "instrument_token",
        "tradingsymbol",
        "timestamp",
        "last_price",
        "ohlc",
        "net_change",
        "exchange",
        "last_trade_time",
        "last_quantity",
        "buy_quantity",
        "sell_quantity",
        "volume",
        "volume_tick",
        "average_price",
        "oi",
        "oi_day_high",
        "oi_day_low",
        "lower_circuit_limit",
        "upper_circuit_limit",
    }
    assert set(event["meta"][0]["ohlc"]) == {"open", "high", "low", "close"}
