"""Cover, iceberg, after-market and auction orders, and orders cut into slices."""

import pytest
from desk_rig import BHEL, CALL, FUTURE, SBIN, Rig

from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.order_settings import OrderSettings

ACCEPTED = ["VALIDATION PENDING", "OPEN PENDING"]


@pytest.fixture
def rig():
    return Rig().open_market()


def refused(call, *args, **fields):
    with pytest.raises(KiteError) as refusal:
        call(*args, **fields)
    return refusal.value


# ── iceberg ──────────────────────────────────────────────────────────────────────────────────


def test_an_iceberg_shows_one_leg_after_the_other(rig):
    first = rig.order(
        SBIN, quantity=1000, variety="iceberg", iceberg_legs=5, tag="icebergord", price=801
    )
    rig.wait(20)
    rows = rig.desk.orders(rig.now)
    assert [row["quantity"] for row in rows] == [200] * 5
    assert {row["status"] for row in rows} == {"COMPLETE"}
    assert rows[0]["order_id"] == first
    assert rows[0]["meta"] == {
        "iceberg": {
            "leg": 1,
            "legs": 5,
            "leg_quantity": 200,
            "total_quantity": 1000,
            "remaining_quantity": 800,
        }
    }
    assert [row["meta"]["iceberg"]["remaining_quantity"] for row in rows] == [800, 600, 400, 200, 0]
    assert {tuple(row["tags"]) for row in rows} == {("icebergord",)}
    placed = [row["order_timestamp"] for row in rows]
    assert placed == sorted(placed)


def test_the_last_leg_takes_what_is_left_and_legs_are_whole_lots(rig):
    rig.order(FUTURE, quantity=65 * 7, variety="iceberg", iceberg_legs=3, price=24001)
    rig.wait(20)
    assert [row["quantity"] for row in rig.desk.orders(rig.now)] == [195, 195, 65]


def test_cancelling_the_leg_in_the_book_ends_the_iceberg(rig):
    order = rig.order(SBIN, quantity=100, variety="iceberg", iceberg_legs=2, price=790)
    rig.wait()
    rig.cancel(order, "iceberg")
    rig.wait(10)
    assert [row["status"] for row in rig.desk.orders(rig.now)] == ["CANCELLED"]


def test_a_changed_price_holds_for_the_legs_to_come(rig):
    order = rig.order(SBIN, quantity=100, variety="iceberg", iceberg_legs=2, price=790)
    rig.wait()
    rig.modify(order, "iceberg", price=801)
    rig.wait(5)
    assert [row["price"] for row in rig.desk.orders(rig.now)] == [801, 801]


@pytest.mark.parametrize("legs", [1, 51, 0])
def test_legs_are_from_2_to_50(rig, legs):
    error = refused(rig.order, SBIN, quantity=100, variety="iceberg", iceberg_legs=legs)
    assert error.error_type == "InputException"


# ── cover ────────────────────────────────────────────────────────────────────────────────────


def cover(rig, **fields):
    parent = rig.order(SBIN, quantity=10, variety="co", product="MIS", trigger_price=780, **fields)
    rig.wait(3)
    return parent, [r for r in rig.desk.orders(rig.now) if r["parent_order_id"] == parent]


def test_a_cover_order_is_followed_by_its_stop(rig):
    parent, children = cover(rig, order_type="MARKET")
    (stop,) = children
    assert rig.row(parent)["status"] == "COMPLETE"
    assert {rig.row(parent)["product"], stop["product"]} == {"CO"}
    assert (stop["status"], stop["order_type"]) == ("TRIGGER PENDING", "SL-M")
    assert (stop["transaction_type"], stop["quantity"], stop["trigger_price"]) == ("SELL", 10, 780)
    rig.tick(SBIN, 779)
    rig.wait()
    assert rig.row(stop["order_id"])["status"] == "COMPLETE"


def test_every_part_of_a_fill_is_protected_at_once(rig):
    rig.tick(SBIN, 800, qty=4)
    parent, children = cover(rig, price=801)
    assert rig.row(parent)["status"] == "OPEN"
    assert [child["quantity"] for child in children] == [4]
    rig.tick(SBIN, 800, qty=100)
    rig.wait(3)
    stops = [r["quantity"] for r in rig.desk.orders(rig.now) if r["parent_order_id"] == parent]
    assert stops == [4, 6]


def test_cancelling_the_second_leg_closes_the_position(rig):
    parent, (stop,) = cover(rig, order_type="MARKET")
    rig.cancel(stop["order_id"], "co", parent_order_id=parent)
    rig.wait(3)
    row = rig.row(stop["order_id"])
    assert (row["status"], row["order_type"], row["average_price"]) == ("COMPLETE", "LIMIT", 799.95)
    assert all(p.net_qty == 0 for p in rig.floor.account.positions.values())


def test_an_unfilled_first_leg_is_simply_cancelled(rig):
    parent, children = cover(rig, price=790)
    assert children == []
    rig.cancel(parent, "co")
    rig.wait()
    assert rig.row(parent)["status"] == "CANCELLED"


def test_only_price_and_trigger_of_a_cover_order_change(rig):
    parent, _ = cover(rig, price=790)
    assert "order type" in refused(rig.modify, parent, "co", order_type="SL").message
    assert "quantity" in refused(rig.modify, parent, "co", quantity=5).message
    rig.modify(parent, "co", price=801)
    rig.wait(3)
    (stop,) = [r for r in rig.desk.orders(rig.now) if r["parent_order_id"] == parent]
    rig.modify(stop["order_id"], "co", trigger_price=785)
    rig.wait()
    assert rig.row(stop["order_id"])["trigger_price"] == 785


def test_a_cover_order_in_an_option_is_stopped_by_a_limit(rig):
    parent = rig.order(
        CALL, quantity=65, variety="co", product="MIS", trigger_price=90, order_type="MARKET"
    )
    rig.wait(3)
    (stop,) = [r for r in rig.desk.orders(rig.now) if r["parent_order_id"] == parent]
    assert (stop["order_type"], stop["trigger_price"], stop["price"]) == ("SL", 90, 87.3)


def test_a_stop_that_cannot_stand_closes_what_it_should_have_guarded(rig):
    parent = rig.order(
        SBIN, quantity=10, variety="co", product="MIS", trigger_price=799, order_type="MARKET"
    )
    rig.wait(0.005)
    rig.tick(SBIN, 798, wait=0.01)
    rig.wait(5)
    stop, market = [r for r in rig.desk.orders(rig.now) if r["parent_order_id"] == parent]
    assert (stop["status"], market["status"]) == ("REJECTED", "COMPLETE")
    assert all(p.net_qty == 0 for p in rig.floor.account.positions.values())


# ── autoslice ────────────────────────────────────────────────────────────────────────────────


def test_an_order_above_the_freeze_quantity_is_sliced(rig):
    answer = rig.place(FUTURE, quantity=65 * 60, price=24000, autoslice="true", tag="big")
    ids = [child["order_id"] for child in answer["children"]]
    rows = rig.desk.orders(rig.now)
    assert [row["order_id"] for row in rows] == ids
    assert [row["quantity"] for row in rows] == [1755, 1755, 390]
    parent = answer["order_id"]
    assert {tuple(row["tags"]) for row in rows} == {("big", "autoslice", f"autoslice:{parent}")}
    assert parent not in ids


def test_slices_the_money_does_not_reach_for_fail_by_themselves():
    rig = Rig(cash=10_000_000).open_market()
    # 1755 futures at 24 010 and 15 % need 63.2 lakh: one slice of them, and the small rest.
    answer = rig.place(FUTURE, quantity=65 * 60, price=24010, autoslice="true")
    first, second, third = answer["children"]
    assert second == {
        "error": {
            "code": 400,
            "error_type": "MarginException",
            "message": "Insufficient funds. Required margin is 6320632.50 but available margin is"
            " 3679367.50. Check the orderbook for open orders.",
            "data": None,
        }
    }
    rig.wait()
    assert {rig.row(each["order_id"])["status"] for each in (first, third)} == {"COMPLETE"}
    assert rig.floor.account.blocked == (1755 + 390) * 24010 * 10_000 * 15 // 100


def test_asking_ties_up_nothing():
    rig = Rig(cash=10_000_000).open_market()
    before = rig.floor.account.available
    rig.place(FUTURE, quantity=65 * 60, price=24000, autoslice="true")
    assert rig.floor.account.available == before


def test_the_documentations_shape_is_a_switch():
    rig = Rig(settings=OrderSettings(autoslice_shape="A")).open_market()
    answer = rig.place(FUTURE, quantity=3510, price=24000, autoslice="true")
    assert [list(child) for child in answer] == [["order_id"], ["order_id"]]


def test_slicing_where_none_is_needed_is_refused(rig):
    error = refused(rig.place, FUTURE, quantity=1755, price=24000, autoslice="true")
    assert error.message == "Quantity should be greater than or equal to 1820 for order slicing."
    assert error.error_type == "InputException"


def test_ten_slices_and_no_more(rig):
    assert len(rig.place(FUTURE, quantity=17550, autoslice="true")["children"]) == 10
    error = refused(rig.place, FUTURE, quantity=17550 + 65, autoslice="true")
    assert error.error_type == "InputException"


# ── after-market ─────────────────────────────────────────────────────────────────────────────


def test_an_amo_waits_and_goes_with_the_opening():
    rig = Rig(start="08:30:00")
    order = rig.order(FUTURE, quantity=65, variety="amo", price=24000)
    rig.run_to("09:14:59")
    assert rig.statuses(order) == ["AMO REQ RECEIVED"]
    assert rig.updates == []
    rig.run_to("09:15:02")
    assert rig.statuses(order) == ["AMO REQ RECEIVED", *ACCEPTED, "OPEN"]
    row = rig.row(order)
    assert (row["variety"], row["exchange_timestamp"]) == ("amo", "2026-11-20 09:15:00")
    rig.modify(order, "regular", price=24001)  # released, it answers to both names
    rig.wait()
    rig.cancel(order, "amo")


def test_a_share_goes_with_the_pre_open_and_its_stop_with_the_opening():
    rig = Rig(start="08:30:00")
    limit = rig.order(BHEL, variety="amo", price=200)
    stop = rig.order(BHEL, variety="amo", order_type="SL", price=210, trigger_price=205)
    rig.run_to("09:00:02")
    assert rig.statuses(limit)[1:3] == ACCEPTED
    assert rig.statuses(stop) == ["AMO REQ RECEIVED"]
    rig.run_to("09:15:02")
    assert rig.statuses(stop)[1:3] == ACCEPTED


def test_a_waiting_amo_is_rewritten_and_cancelled_at_the_broker():
    rig = Rig(start="08:30:00")
    order = rig.order(FUTURE, quantity=65, variety="amo", price=24000)
    rig.modify(order, "amo", price=24010, quantity=130)
    row = rig.row(order)
    assert (row["status"], row["price"], row["quantity"]) == ("AMO REQ RECEIVED", 24010, 130)
    rig.cancel(order, "amo")
    assert rig.row(order)["status"] == "CANCELLED AMO"
    rig.run_to("09:16:00")
    assert rig.statuses(order)[-1] == "CANCELLED AMO"
    assert rig.pushed(order) == ["CANCELLED"]
    assert order not in rig.floor.closed


@pytest.mark.parametrize(
    ("instrument", "clock", "taken"),
    [
        (BHEL, "08:57:59", True),
        (BHEL, "08:58:00", False),
        (FUTURE, "09:09:59", True),
        (FUTURE, "09:10:00", False),
        (FUTURE, "15:44:59", False),
        (FUTURE, "15:45:00", True),
        (BHEL, "15:59:59", False),
        (BHEL, "16:00:00", True),
    ],
)
def test_amo_windows(instrument, clock, taken):
    rig = Rig(start=clock)
    if taken:
        order = rig.order(instrument, quantity=65, variety="amo")
        assert rig.row(order)["status"] == "AMO REQ RECEIVED"
    else:
        assert refused(rig.order, instrument, variety="amo").error_type == "OrderException"


def test_an_evening_amo_is_for_another_day():
    rig = Rig(start="16:30:00")
    order = rig.order(FUTURE, quantity=65, variety="amo")
    rig.run_to("23:59:59")
    assert rig.statuses(order) == ["AMO REQ RECEIVED"]


# ── auction ──────────────────────────────────────────────────────────────────────────────────

AUCTIONED = [{"tradingsymbol": "BHEL", "exchange": "NSE", "quantity": 60, "auction_number": "22"}]


def test_an_auction_order_rests_until_the_auction_is_over():
    rig = Rig(auctions=lambda: AUCTIONED).open_market()
    order = rig.order(BHEL, "SELL", 60, variety="auction", auction_number="22", price=210)
    rig.wait()
    assert rig.statuses(order) == ["PUT ORDER REQ RECEIVED", *ACCEPTED, "OPEN"]
    rig.run_to("14:45:00")
    row = rig.row(order)
    figures = (row["status"], row["pending_quantity"], row["cancelled_quantity"])
    assert figures == ("CANCELLED", 60, 0)  # as the official sample has it
    assert row["auction_number"] == "22"
    assert rig.pushed(order) == ["CANCELLED"]


def test_an_auction_order_can_be_cancelled():
    rig = Rig(auctions=lambda: AUCTIONED).open_market()
    order = rig.order(BHEL, "SELL", 60, variety="auction", auction_number="22")
    rig.wait()
    rig.cancel(order, "auction")
    rig.wait()
    assert rig.statuses(order)[-2:] == ["CANCEL PENDING", "CANCELLED"]


@pytest.mark.parametrize(
    "fields",
    [
        {"auction_number": "23"},
        {"quantity": 61},
        {"side": "BUY"},
        {"instrument": SBIN},
        {"product": "MIS"},
        {"auction_number": None},
    ],
)
def test_only_what_is_auctioned_can_be_sold_there(fields):
    rig = Rig(auctions=lambda: AUCTIONED).open_market()
    order = {"instrument": BHEL, "side": "SELL", "quantity": 60, "auction_number": "22"} | fields
    assert refused(rig.order, variety="auction", **order).error_type == "InputException"
