"""What each word of the broker's does to an order in each state: all of it, read once and accepted."""

import pytest
from test_order_manager_untold import TEN, desk, tell

from kitestring.core.order_life import TRANSITIONS
from kitestring.core.order_manager import CELL, REMEMBERED_MAX
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.money import Price, price
from kitestring.domain.orders import ExecType, ExecutionReport, OrdStatus
from kitestring.domain.verdicts import CancelOrder, ModifyOrder

WORDS = [
    "PENDING_NEW",
    "NEW",
    "TRIGGERED",
    "TRADE",
    "REPLACED",
    "CANCELED",
    "REJECTED",
    "UNKNOWN",
    "CANCEL_REJECTED",
    "REPLACE_REJECTED",
]
ACCEPTED = """
                  sent  new   trig  trade repl  canc  rej   unkn  c-rej r-rej
PENDING_NEW       sent  rest  rest  rest  .     canc  rej   unkn  .     .
NEW               rest  rest  rest  rest  rest  canc  rej   .     rest  rest
PARTIALLY_FILLED  rest  rest  rest  rest  rest  canc  .     .     rest  rest
PENDING_REPLACE   .     p-rep p-rep p-rep rest  canc  rej   unkn  .     rest
PENDING_CANCEL    .     p-can p-can p-can p-can canc  rej   unkn  rest  p-can
UNKNOWN           sent  rest  rest  rest  rest  canc  rej   unkn  rest  rest
FILLED            .     fill  fill  .     fill  .     .     .     fill  fill
CANCELED          .     canc  canc  canc  canc  canc  .     .     canc  canc
REJECTED          .     rej   .     .     .     .     rej   .     rej   rej
"""
MEANT = {
    "sent": OrdStatus.PENDING_NEW,
    "rest": OrdStatus.NEW,
    "p-rep": OrdStatus.PENDING_REPLACE,
    "p-can": OrdStatus.PENDING_CANCEL,
    "unkn": OrdStatus.UNKNOWN,
    "fill": OrdStatus.FILLED,
    "canc": OrdStatus.CANCELED,
    "rej": OrdStatus.REJECTED,
    ".": None,
}


def test_the_table_is_the_one_that_was_accepted():
    rows = [line.split() for line in ACCEPTED.strip().splitlines()[1:]]
    accepted = {
        (OrdStatus[status], ExecType[word]): MEANT[cell]
        for status, *cells in rows
        for word, cell in zip(WORDS, cells, strict=True)
        if MEANT[cell] is not None
    }
    assert dict(TRANSITIONS) == accepted


def test_only_a_resting_order_is_changed_and_none_that_is_over_is_withdrawn():
    orders, _ = desk()
    orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN, order_qty=50))
    with pytest.raises(InvariantBroken, match="cannot change"):
        orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN, order_qty=60))
    orders, _ = desk()
    tell(orders, ExecType.CANCELED)
    with pytest.raises(InvariantBroken, match="cannot be cancelled"):
        orders.cancelling(CancelOrder(cl_ord_id="K1", at=TEN))
    assert orders.table["K1"].status is OrdStatus.CANCELED


def test_what_a_report_says_is_kept_and_written_with_the_next_commit():
    orders, dirty = desk()
    dirty.clear()
    tell(orders, ExecType.NEW, order_id="4711", text="resting", at=TEN + 3)
    order = orders.table["K1"]
    assert (order.order_id, order.text, order.updated_at) == ("4711", "resting", TEN + 3)
    assert dirty == {f"{CELL}K1": order}
    tell(orders, ExecType.NEW, at=TEN + 2)
    assert (order.order_id, order.text, order.updated_at) == ("4711", "resting", TEN + 3)
    tell(orders, ExecType.TRIGGERED, at=TEN + 4)
    assert order.triggered_at == TEN + 4


@pytest.mark.parametrize(
    ("exec_id", "qty", "px"), [(None, 1, "1"), ("T1", 0, "1"), ("T1", -1, "1"), ("T1", 1, "0")]
)
def test_a_trade_needs_a_name_a_quantity_and_a_price(exec_id, qty, px):
    orders, _ = desk()
    report = ExecutionReport(
        cl_ord_id="K1", exec_type=ExecType.TRADE, event_at=TEN, exec_id=exec_id, last_qty=qty,
        last_px=price(px),
    )  # fmt: skip
    assert orders.apply(report).surprise == "a trade without id, quantity or price"
    assert orders.table["K1"].cum_qty == 0


def test_the_smallest_trade_and_the_last_one_are_trades():
    orders, _ = desk()
    report = ExecutionReport(
        cl_ord_id="K1", exec_type=ExecType.TRADE, event_at=TEN, exec_id="T1", last_qty=1,
        last_px=Price(1),
    )  # fmt: skip
    assert orders.apply(report).fill is report
    assert orders.table["K1"].status is OrdStatus.PARTIALLY_FILLED
    applied = tell(orders, ExecType.TRADE, 99, exec_id="T2")
    assert (applied.finished, applied.surprise) == (True, "")
    assert orders.table["K1"].status is OrdStatus.FILLED
    assert list(orders.all_working()) == []


def test_a_wish_for_another_quantity_counts_until_it_is_answered():
    orders, _ = desk()
    order = orders.table["K1"]
    for answer, asked in (
        (ExecType.NEW, 300),
        (ExecType.UNKNOWN, 300),
        (ExecType.REPLACE_REJECTED, 0),
    ):
        if order.status is OrdStatus.NEW:
            orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN, order_qty=300))
        tell(orders, answer)
        assert order.asked_qty == asked, answer
    orders.modifying(ModifyOrder(cl_ord_id="K1", at=TEN, order_qty=300))
    tell(orders, ExecType.CANCELED)
    assert order.asked_qty == 0


def test_an_end_that_counts_more_than_was_told_waits_through_every_other_word():
    orders, _ = desk()
    order = orders.table["K1"]
    tell(orders, ExecType.CANCELED, cum=40)
    for word in (ExecType.NEW, ExecType.TRIGGERED, ExecType.CANCEL_REJECTED):
        tell(orders, word)
        assert order.status is OrdStatus.PENDING_CANCEL, word
    tell(orders, ExecType.TRADE, 30, exec_id="T1")
    assert order.status is OrdStatus.PENDING_CANCEL
    applied = tell(orders, ExecType.TRADE, 10, exec_id="T2")
    assert (order.status, applied.finished) == (OrdStatus.CANCELED, True)


def test_what_trades_whole_after_all_is_filled_and_not_cancelled():
    orders, _ = desk()
    order = orders.table["K1"]
    tell(orders, ExecType.CANCELED, cum=100)
    assert tell(orders, ExecType.TRADE, 100, exec_id="T1").finished
    assert (order.status, order.ends_as) == (OrdStatus.FILLED, None)


def test_the_last_finished_orders_are_remembered_and_no_more():
    assert REMEMBERED_MAX == 256
    orders, dirty = desk()
    first = orders.table["K1"]
    orders._finished.extend(f"F{number}" for number in range(REMEMBERED_MAX - 1))
    for name in orders._finished:
        orders.table[name] = first
    tell(orders, ExecType.CANCELED)
    assert len(orders._finished) == REMEMBERED_MAX
    assert "F0" in orders.table
    second, _ = desk()
    second._finished.extend(f"F{number}" for number in range(REMEMBERED_MAX))
    for name in second._finished:
        second.table[name] = first
    tell(second, ExecType.CANCELED)
    assert len(second._finished) == REMEMBERED_MAX
    assert "F0" not in second.table
    assert "F1" in second.table
    assert dirty
