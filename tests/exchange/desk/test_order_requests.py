"""What is refused before it becomes an order, and what an accepted one looks like on the wire."""

import datetime as dt
import re

import pytest
from desk_rig import BEFORE_PROTECTION, FUTURE, GOLD, INDEX, SBIN, Rig

from kitestring.domain.instants import instant
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.order_numbers import OrderNumbers
from kitestring.exchange.desk.order_rows import Source
from kitestring.exchange.desk.order_settings import OrderSettings

UNPROTECTED = (
    "Market orders without market protection are not allowed via API."
    " Please set market protection or use a Limit order."
)


@pytest.fixture
def rig():
    return Rig().open_market()


def refused(call, *args, **fields):
    with pytest.raises(KiteError) as refusal:
        call(*args, **fields)
    return refusal.value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("exchange", "NYSE"),
        ("exchange", None),
        ("tradingsymbol", "NOBODY"),
        ("tradingsymbol", None),
        ("transaction_type", "buy"),
        ("quantity", 0),
        ("quantity", -5),
        ("quantity", "ten"),
        ("quantity", None),
        ("product", "BO"),
        ("order_type", "STOP"),
        ("price", 0),
        ("price", "NaN"),
        ("price", None),
        ("validity", "GTC"),
        ("disclosed_quantity", 11),
        ("market_protection", 101),
        ("market_protection", -2),
        ("tag", "x" * 21),
        ("autoslice", "maybe"),
    ],
)
def test_a_parameter_that_cannot_be_is_an_input_exception(rig, field, value):
    if value is None and field == "price":
        value = ""
    error = refused(rig.order, SBIN, **{"quantity": 10, field: value})
    assert (error.status, error.error_type) == (400, "InputException")
    assert rig.desk.orders(rig.now) == []


def test_an_index_cannot_be_bought(rig):
    assert "index" in refused(rig.order, INDEX).message


def test_an_unknown_variety_is_refused(rig):
    assert refused(rig.order, SBIN, variety="bo").message == "Invalid `variety`."


def test_ttl_needs_its_minutes(rig):
    assert refused(rig.order, SBIN, validity="TTL").message.endswith("`validity_ttl`.")


def test_a_tag_of_twenty_letters_passes(rig):
    order = rig.order(SBIN, price=790, tag="x" * 20)
    assert (rig.row(order)["tag"], rig.row(order)["tags"]) == ("x" * 20, ["x" * 20])


@pytest.mark.parametrize("order_type", ["MARKET", "SL-M"])
@pytest.mark.parametrize("protection", [0, None])
def test_market_orders_need_protection_since_april_2026(rig, order_type, protection):
    fields = {"order_type": order_type, "market_protection": protection, "trigger_price": 810}
    error = refused(rig.order, SBIN, **fields)
    assert (error.status, error.error_type, error.message) == (400, "InputException", UNPROTECTED)


def test_before_april_2026_they_did_not():
    rig = Rig(day=BEFORE_PROTECTION, start="10:00:00").open_market()
    order = rig.order(SBIN, order_type="MARKET", market_protection=None)
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["order_type"], row["price"]) == ("COMPLETE", "MARKET", 0)
    assert "tags" not in row


def test_a_limit_made_market_needs_protection_an_unprotected_phone_does_not(rig):
    order = rig.order(SBIN, price=790)
    rig.wait()
    assert refused(rig.modify, order, order_type="MARKET").message == UNPROTECTED
    rig.modify(order, price=791, order_type="LIMIT")
    phone = rig.order(SBIN, order_type="MARKET", market_protection=None, source=Source.PHONE)
    rig.wait()
    assert rig.row(phone)["status"] == "COMPLETE"


def test_a_market_order_that_rests_may_be_priced_anew_without_protection(rig):
    rig.tick(SBIN, 800, qty=5)
    order = rig.order(SBIN, quantity=20, order_type="MARKET", market_protection=1)
    rig.wait()
    rig.tick(SBIN, 820, qty=5)
    assert rig.row(order)["price"] == 808
    rig.modify(order, order_type="MARKET")
    rig.wait()
    assert rig.row(order)["price"] == 828.2


def test_mcx_takes_no_ioc_from_an_app(rig):
    assert "IOC" in refused(rig.order, GOLD, validity="IOC", price=9000).message
    order = rig.order(GOLD, validity="IOC", price=9001, source=Source.PHONE)
    rig.wait()
    assert rig.row(order)["status"] == "COMPLETE"


def test_intraday_waits_for_the_market():
    rig = Rig(start="08:30:00")
    error = refused(rig.order, FUTURE, product="MIS", quantity=65)
    assert error.error_type == "OrderException"
    assert error.message.startswith("MIS (intraday) are blocked as the markets are not open")


def test_the_variety_of_the_original_order_is_asked_for(rig):
    order = rig.order(SBIN, price=790)
    rig.wait()
    for call in (rig.modify, rig.cancel):
        assert refused(call, order, "co").error_type == "InputException"


# ── numbers ──────────────────────────────────────────────────────────────────────────────────


def test_fifteen_digits_begin_with_the_day(rig):
    ids = [rig.order(SBIN, price=790) for _ in range(50)]
    assert {(len(each), each[:6]) for each in ids} == {(15, "261120")}
    assert ids == sorted(set(ids), key=int)


def test_nineteen_digits_tell_their_moment():
    # The official sample's order of 2025-08-07 11:56:33, and one a fraction of it later.
    day = dt.date(2025, 8, 7)
    at = instant(day, dt.time(11, 56, 32, 978_000))
    numbers = OrderNumbers(1, day, 19)
    assert numbers.order_id(at) == "1953341975595868160"
    assert numbers.order_id(at) == "1953341975595868161"


def test_ids_of_both_lengths_take_turns_and_none_repeats():
    rig = Rig(settings=OrderSettings(order_id_digits="both")).open_market()
    ids = [rig.order(SBIN, price=790) for _ in range(60)]
    assert [len(each) for each in ids[:4]] == [15, 19, 15, 19]
    assert len(set(ids)) == 60
    assert all(isinstance(each, str) for each in ids)


def test_a_thousand_orders_in_one_millisecond_have_a_thousand_ids():
    numbers = OrderNumbers(1, dt.date(2026, 11, 20), 19)
    ids = [numbers.order_id(1_795_149_000_000_000) for _ in range(10_000)]
    assert len(set(ids)) == 10_000
    assert ids == sorted(ids)


# ── shapes ───────────────────────────────────────────────────────────────────────────────────

TEXT, NUMBER, MAYBE = (str,), (int, float), (str, type(None))
ORDER_FIELDS = {
    "account_id": TEXT,
    "placed_by": TEXT,
    "order_id": TEXT,
    "exchange_order_id": MAYBE,
    "parent_order_id": MAYBE,
    "status": TEXT,
    "status_message": MAYBE,
    "status_message_raw": MAYBE,
    "order_timestamp": TEXT,
    "exchange_update_timestamp": MAYBE,
    "exchange_timestamp": MAYBE,
    "variety": TEXT,
    "modified": (bool,),
    "exchange": TEXT,
    "tradingsymbol": TEXT,
    "instrument_token": (int,),
    "order_type": TEXT,
    "transaction_type": TEXT,
    "validity": TEXT,
    "validity_ttl": (int,),
    "product": TEXT,
    "quantity": (int,),
    "disclosed_quantity": (int,),
    "price": NUMBER,
    "trigger_price": NUMBER,
    "average_price": NUMBER,
    "filled_quantity": (int,),
    "pending_quantity": (int,),
    "cancelled_quantity": (int,),
    "market_protection": NUMBER,
    "meta": (dict,),
    "tag": MAYBE,
    "guid": MAYBE,
}
SOMETIMES = {"tags": (list,), "auction_number": TEXT}
TRADE_FIELDS = {
    "trade_id": TEXT,
    "order_id": TEXT,
    "exchange": TEXT,
    "tradingsymbol": TEXT,
    "instrument_token": (int,),
    "product": TEXT,
    "average_price": NUMBER,
    "quantity": (int,),
    "exchange_order_id": TEXT,
    "transaction_type": TEXT,
    "fill_timestamp": TEXT,
    "order_timestamp": TEXT,
    "exchange_timestamp": TEXT,
}
PUSHED_ONLY = {"user_id": TEXT, "unfilled_quantity": (int,), "app_id": (int,), "checksum": TEXT}
NOT_PUSHED = {"account_id", "modified", "validity_ttl"}


def test_every_row_has_every_field_of_the_samples_in_its_type(rig):
    rig.place(FUTURE, quantity=3900, autoslice="true", tag="t")
    rig.order(SBIN, quantity=9, variety="iceberg", iceberg_legs=3)
    rig.order(SBIN, quantity=9, variety="co", product="MIS", trigger_price=790)
    rig.order(SBIN, order_type="MARKET", validity="TTL", validity_ttl=1)
    rig.order(SBIN, quantity=10**9)
    rig.wait(90)
    rows = rig.desk.orders(rig.now)
    for row in rows:
        for each in (row, *rig.desk.history(rig.now, row["order_id"])):
            assert ORDER_FIELDS.keys() <= each.keys() <= (ORDER_FIELDS | SOMETIMES).keys()
            for name, value in each.items():
                assert type(value) in (ORDER_FIELDS | SOMETIMES)[name], (name, value)
    for row in rig.desk.trades(rig.now):
        assert row.keys() == TRADE_FIELDS.keys()
        assert all(type(value) in TRADE_FIELDS[name] for name, value in row.items())
        assert re.fullmatch(r"2026-11-20 \d\d:\d\d:\d\d", row["fill_timestamp"])
        assert row["fill_timestamp"].endswith(row["order_timestamp"])
    pushed = PUSHED_ONLY | {k: v for k, v in ORDER_FIELDS.items() if k not in NOT_PUSHED}
    assert rig.updates
    for update in rig.updates:
        assert update.row.keys() == pushed.keys()
        assert all(type(value) in pushed[name] for name, value in update.row.items())


def test_whole_rupees_are_whole_numbers(rig):
    order = rig.order(SBIN, price=790)
    assert repr(rig.row(order)["price"]) == "790"
    order = rig.order(SBIN, price="790.05")
    assert repr(rig.row(order)["price"]) == "790.05"
