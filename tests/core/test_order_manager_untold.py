"""Reports that overtake one another, are told twice, or make no sense."""

from __future__ import annotations

import msgspec
from house_day import ACME, clock

from kitestring.core.order_manager import OrderManager
from kitestring.domain.money import price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    OrderIntent,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.verdicts import Approved, CancelOrder, ModifyOrder, PlaceOrder

TEN = clock("10:00")


def desk():
    """A stop for 100 shares, resting."""
    dirty = {}
    orders = OrderManager(dirty)
    intent = OrderIntent(
        strategy="one",
        instrument=ACME.id,
        side=Side.SELL,
        order_qty=100,
        ord_type=OrdType.SL,
        product=Product.MIS,
        purpose=Purpose.STOP,
        reason="protective stop",
        decision_px=price("490"),
        decided_at=TEN,
    )
    command = PlaceOrder(cl_ord_id="K1", approved=Approved(intent=intent, at=TEN))
    orders.placing(command, TEN, None)
    tell(orders, ExecType.NEW)
    return orders, dirty


def tell(orders, exec_type, qty=0, *, exec_id=None, cum=0, at=TEN, **more):
    return orders.apply(
        ExecutionReport(
            cl_ord_id="K1",
            exec_type=exec_type,
            event_at=at,
            exec_id=exec_id,
            last_qty=qty,
            last_px=price("489.50") if qty else price("0"),
            cum_qty=cum,
            **more,
        )
    )


def test_a_cancellation_that_counts_an_untold_trade_is_over_only_when_that_is_told():
    orders, _ = desk()
    orders.cancelling(CancelOrder(cl_ord_id="K1", at=TEN))
    applied = tell(orders, ExecType.CANCELED, cum=40)
    assert not applied.finished
    assert applied.surprise == "the broker counts 40 filled, we were told 0"
    assert [order.status for order in orders.working("one")] == [OrdStatus.PENDING_CANCEL]
    applied = tell(orders, ExecType.TRADE, 40, exec_id="T1", cum=40)
    assert applied.finished
    assert orders.table["K1"].status is OrdStatus.CANCELED
    assert list(orders.working("one")) == []


def test_a_repeated_report_changes_nothing():
    orders, _ = desk()
    tell(orders, ExecType.TRADE, 40, exec_id="T1", cum=40, at=TEN + 5)
    before = msgspec.msgpack.encode(orders.table["K1"])
    again = [
        tell(orders, ExecType.NEW),
        tell(orders, ExecType.TRADE, 40, exec_id="T1", cum=40, at=TEN + 5),
    ]
    assert [applied.surprise for applied in again] == ["", ""]
    assert [applied.fill for applied in again] == [None, None]
    assert msgspec.msgpack.encode(orders.table["K1"]) == before


def test_a_report_that_makes_no_sense_leaves_the_order_as_it_was():
    orders, dirty = desk()
    tell(orders, ExecType.TRADE, 40, exec_id="T1", cum=40)
    dirty.clear()
    before = msgspec.msgpack.encode(orders.table["K1"])
    later = TEN + 60_000_000
    surprises = [
        tell(orders, ExecType.TRADE, 70, exec_id="T2", cum=110, at=later).surprise,
        tell(orders, ExecType.TRADE, 0, exec_id="T3", cum=40, at=later).surprise,
        tell(orders, ExecType.REPLACED, order_qty=30, cum=40, at=later).surprise,
    ]
    assert surprises == [
        "more filled than was ordered",
        "a trade without id, quantity or price",
        "changed to less than has filled",
    ]
    assert msgspec.msgpack.encode(orders.table["K1"]) == before
    assert dirty == {}


def test_a_fill_that_overtakes_the_answer_to_a_change_is_a_fill():
    orders, _ = desk()
    orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN, order_qty=300))
    applied = tell(orders, ExecType.TRADE, 260, exec_id="T1", cum=260, at=TEN + 20, order_qty=300)
    assert applied.fill is not None
    assert applied.surprise == ""
    tell(orders, ExecType.REPLACED, at=TEN + 10, order_qty=300)
    order = orders.table["K1"]
    assert (order.status, order.cum_qty, order.leaves_qty) == (OrdStatus.PARTIALLY_FILLED, 260, 40)


def test_of_two_changes_told_in_the_wrong_order_the_later_one_stands():
    orders, _ = desk()
    orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN, order_qty=500))
    tell(orders, ExecType.REPLACED, at=TEN + 20, order_qty=1, stop_px=price("480"))
    tell(orders, ExecType.REPLACED, at=TEN + 10, order_qty=500, stop_px=price("470"))
    order = orders.table["K1"]
    assert (order.order_qty, order.stop_px) == (1, price("480"))


def test_a_refusal_that_says_the_order_is_whole_ends_it():
    orders, _ = desk()
    tell(orders, ExecType.TRADE, 40, exec_id="T1", cum=40, at=TEN + 5)
    orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN + 6, order_qty=100))
    applied = tell(orders, ExecType.REPLACE_REJECTED, cum=40, at=TEN + 7, order_qty=40)
    assert applied.finished
    assert orders.table["K1"].status is OrdStatus.FILLED
    assert list(orders.working("one")) == []


def test_a_change_that_may_have_been_granted_counts_at_its_worst_until_it_is_answered():
    # The stop is triggered while it is being enlarged: an exit for the rest would be too much.
    orders, _ = desk()
    order = orders.table["K1"]
    orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN, order_qty=300))
    tell(orders, ExecType.TRIGGERED, at=TEN + 5, order_qty=100)
    tell(orders, ExecType.TRADE, 70, exec_id="T1", cum=70, at=TEN + 5, order_qty=100)
    assert order.leaves_qty == 230
    tell(orders, ExecType.REPLACE_REJECTED, cum=70, at=TEN + 9, order_qty=100)
    assert (order.leaves_qty, order.asked_qty) == (30, 0)
