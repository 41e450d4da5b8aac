"""Triggers that wait for a price: made, changed, fired, lapsed, and shown as the samples show them."""

import json

import pytest
from desk_rig import FUTURE, SBIN, Rig

from kitestring.domain.instants import DAY, SECOND
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.gtt import GttBook
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.order_settings import OrderSettings


class Triggers(Rig):
    def __init__(self, **parts):
        super().__init__(**parts)
        self.gtts = GttBook(self.desk)

    def tick(self, instrument, last, **fields):
        super().tick(instrument, last, **fields)
        self.gtts.advance(self.now, lambda id_: self.floor.markets[id_].last_px(self.now))

    def form(self, values, last=800, *, side="SELL", instrument=SBIN, product="CNC", **changes):
        named = {"exchange": instrument.exchange, "tradingsymbol": instrument.symbol}
        order = {
            **named,
            "transaction_type": side,
            "quantity": 1,
            "order_type": "LIMIT",
            "product": product,
        }
        fields = {
            "type": "two-leg" if len(values) == 2 else "single",
            "condition": json.dumps({**named, "trigger_values": values, "last_price": last}),
            "orders": json.dumps([{**order, "price": value} | changes for value in values]),
        }
        return Form(fields)

    def gtt(self, *args, **fields):
        return str(self.gtts.place(self.now, self.form(*args, **fields))["trigger_id"])


@pytest.fixture
def rig():
    return Triggers().open_market()


def refused(call, *args, **fields):
    with pytest.raises(KiteError) as refusal:
        call(*args, **fields)
    return refusal.value


def test_a_trigger_waits_and_then_places_a_limit_order(rig):
    number = rig.gtt([790], side="BUY")
    rig.tick(SBIN, "790.05")
    assert rig.gtts.trigger(number)["status"] == "active"
    rig.tick(SBIN, "789.95")
    gtt = rig.gtts.trigger(number)
    assert gtt["status"] == "triggered"
    result = gtt["orders"][0]["result"]
    order_id = result["order_result"]["order_id"]
    assert result["order_result"] == {
        "status": "success",
        "order_id": order_id,
        "rejection_reason": "",
    }
    assert json.loads(result["meta"]) == {"app_id": 1234, "gtt": int(number)}
    assert (result["triggered_at"], result["timestamp"]) == (789.95, gtt["updated_at"])
    row = rig.row(order_id)
    assert (row["order_type"], row["price"], row["quantity"]) == ("LIMIT", 790, 1)
    rig.tick(SBIN, "780")
    rig.wait()
    assert len(rig.desk.orders(rig.now)) == 1  # one shot


def test_a_rise_is_waited_for_where_the_trigger_lies_above(rig):
    number = rig.gtt([810])
    rig.tick(SBIN, 790)
    assert rig.gtts.trigger(number)["status"] == "active"
    rig.tick(SBIN, 815)  # a gap through the trigger fires, too
    assert rig.gtts.trigger(number)["status"] == "triggered"


@pytest.mark.parametrize(("px", "fired"), [(789, 0), (811, 1)])
def test_of_two_legs_the_one_reached_first_is_placed(rig, px, fired):
    number = rig.gtt([790, 810])
    rig.tick(SBIN, px)
    orders = rig.gtts.trigger(number)["orders"]
    assert orders[fired]["result"]["price"] == (790, 810)[fired]
    assert orders[1 - fired]["result"] is None


def test_an_order_that_is_refused_at_once_is_a_failed_result(rig):
    number = rig.gtt([790], side="BUY", product="NRML")
    rig.desk.listing = type(rig.desk.listing)(rig.day, ())  # delisted meanwhile
    rig.tick(SBIN, 789)
    gtt = rig.gtts.trigger(number)
    result = gtt["orders"][0]["result"]["order_result"]
    assert gtt["status"] == "triggered"
    assert (result["status"], result["order_id"]) == ("failed", "")
    assert "expired or does not exist" in result["rejection_reason"]


def test_nothing_fires_out_of_hours():
    rig = Triggers(start="09:00:00")
    number = rig.gtt([790])
    rig.tick(SBIN, 700)
    assert rig.gtts.trigger(number)["status"] == "active"
    rig.run_to("09:15:00")
    rig.tick(SBIN, 700)
    assert rig.gtts.trigger(number)["status"] == "triggered"


def test_a_trigger_is_replaced_whole_and_taken_back(rig):
    number = rig.gtt([790])
    created = rig.gtts.trigger(number)["created_at"]
    rig.wait(5)
    assert rig.gtts.modify(rig.now, number, rig.form([780])) == {"trigger_id": int(number)}
    gtt = rig.gtts.trigger(number)
    assert gtt["condition"]["trigger_values"] == [780]
    assert gtt["created_at"] == created < gtt["updated_at"]
    rig.tick(SBIN, 789)
    assert rig.gtts.trigger(number)["status"] == "active"
    assert rig.gtts.delete(rig.now, number) == {"trigger_id": int(number)}
    assert rig.gtts.trigger(number)["status"] == "deleted"
    assert refused(rig.gtts.delete, rig.now, number).error_type == "InputException"
    assert refused(rig.gtts.trigger, "77").status == 404


def test_the_list_keeps_a_week_and_a_year_is_the_end(rig):
    old, kept = rig.gtt([790]), rig.gtt([700])
    rig.tick(SBIN, 789)
    listed = lambda now: [str(row["id"]) for row in rig.gtts.triggers(now)]  # noqa: E731
    assert listed(rig.now) == [old, kept]
    assert listed(rig.now + 8 * DAY) == [kept]
    assert rig.gtts.next_due_at == rig.now - SECOND + 365 * DAY
    rig.gtts.advance(rig.now + 366 * DAY, lambda _: 0)
    assert rig.gtts.trigger(kept)["status"] == "expired"


@pytest.mark.parametrize(
    "fields",
    [
        {"values": [800]},
        {"values": [805, 810]},
        {"values": [790, 795]},
        {"values": [0]},
        {"values": [790], "order_type": "MARKET"},
        {"values": [790], "product": "MIS"},
        {"values": [790], "quantity": 1.5},
        {"values": [790], "tradingsymbol": "BHEL"},
        {"values": [790, 810], "side": "BUY"},
        {"values": [23900, 24100], "last": 24000, "instrument": FUTURE, "product": "MTF"},
    ],
)
def test_a_trigger_that_cannot_be_is_an_input_exception(rig, fields):
    assert refused(rig.gtt, **fields).error_type == "InputException"


def test_two_legs_may_buy_index_futures_carried(rig):
    rig.gtt([23900, 24100], last=24000, side="BUY", instrument=FUTURE, product="NRML")


def test_five_hundred_active_triggers_and_no_more():
    rig = Triggers(settings=OrderSettings(gtt_active_max=3)).open_market()
    assert OrderSettings().gtt_active_max == 500
    for _ in range(3):
        rig.gtt([790])
    assert refused(rig.gtt, [790]).error_type == "InputException"
    rig.tick(SBIN, 789)
    rig.gtt([700])


def test_how_near_a_trigger_may_lie_is_a_switch():
    rig = Triggers(settings=OrderSettings(gtt_distance_bp=25)).open_market()
    assert "too close" in refused(rig.gtt, [799]).message
    rig.gtt([798])


def test_shapes_are_the_samples(rig):
    number = rig.gtt([790, 810])
    rig.tick(SBIN, 815)
    gtt = rig.gtts.trigger(number)
    types = {name: type(value) for name, value in gtt.items()}
    assert types == {
        "id": int,
        "user_id": str,
        "parent_trigger": type(None),
        "type": str,
        "created_at": str,
        "updated_at": str,
        "expires_at": str,
        "status": str,
        "condition": dict,
        "orders": list,
        "meta": dict,
    }
    assert set(gtt["condition"]) == {
        "exchange",
        "last_price",
        "tradingsymbol",
        "trigger_values",
        "instrument_token",
    }
    waiting, placed = gtt["orders"]
    fields = {"exchange", "tradingsymbol", "product", "order_type", "transaction_type", "quantity"}
    assert set(waiting) == fields | {"price", "result"}
    assert set(placed["result"]) == fields | {
        "price",
        "account_id",
        "validity",
        "meta",
        "timestamp",
        "triggered_at",
        "order_result",
    }
