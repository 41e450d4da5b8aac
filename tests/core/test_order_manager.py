"""An order follows its table; whatever is told twice, late or out of order changes nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.core.order_life import TRANSITIONS
from kitestring.core.order_manager import CELL, REMEMBERED_MAX, OrderManager
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.ids import ClOrdId, ExecId, InstrumentId, OrderId, StrategyId
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

EMA = StrategyId("ema")


def sent(manager, tag="K1", qty=130):
    intent = OrderIntent(
        strategy=EMA,
        instrument=InstrumentId("NFO:NIFTY26NOVFUT"),
        side=Side.BUY,
        order_qty=qty,
        ord_type=OrdType.MARKET,
        product=Product.MIS,
        purpose=Purpose.ENTRY,
        reason="test",
        decision_px=price("100"),
        decided_at=1,
    )
    command = PlaceOrder(cl_ord_id=ClOrdId(tag), approved=Approved(intent=intent, at=1))
    return manager.placing(command, 1, None)


def report(exec_type, tag="K1", **more):
    return ExecutionReport(
        cl_ord_id=ClOrdId(tag), exec_type=exec_type, event_at=5, order_id=OrderId("7"), **more
    )


def trade(n, qty=65, px="100", tag="K1", cum=0):
    return report(
        ExecType.TRADE,
        tag,
        exec_id=ExecId(f"T{n}"),
        last_qty=qty,
        last_px=price(px),
        cum_qty=cum,
    )


def test_an_order_is_acknowledged_filled_in_parts_and_done():
    manager = OrderManager({})
    order = sent(manager)
    assert manager.apply(report(ExecType.NEW)).surprise == ""
    assert order.status is OrdStatus.NEW
    assert manager.apply(trade(1)).fill is not None
    assert (order.status, order.cum_qty, order.leaves_qty) == (OrdStatus.PARTIALLY_FILLED, 65, 65)
    assert manager.apply(trade(2, px="101")).finished
    assert (order.status, order.leaves_qty) == (OrdStatus.FILLED, 0)
    assert order.traded_value == price("201") * 65
    assert not list(manager.all_working())


def test_a_trade_told_twice_is_booked_once():
    manager = OrderManager({})
    order = sent(manager)
    assert manager.apply(trade(1)).fill is not None
    assert manager.apply(trade(1)).fill is None
    assert order.cum_qty == 65


def test_a_fill_may_outrun_its_acknowledgement_and_its_cancel():
    manager = OrderManager({})
    order = sent(manager)
    manager.apply(trade(1))
    manager.apply(report(ExecType.NEW))
    assert order.status is OrdStatus.PARTIALLY_FILLED
    manager.cancelling(CancelOrder(cl_ord_id=order.cl_ord_id, at=6))
    assert manager.apply(trade(2)).finished
    assert order.status is OrdStatus.FILLED
    assert manager.apply(report(ExecType.CANCEL_REJECTED)).surprise == ""
    assert order.status is OrdStatus.FILLED


def test_a_fill_after_the_cancel_is_still_a_fill():
    manager = OrderManager({})
    order = sent(manager)
    manager.apply(report(ExecType.NEW))
    manager.apply(report(ExecType.CANCELED))
    applied = manager.apply(trade(1))
    assert applied.fill is not None
    assert (order.status, order.cum_qty) == (OrdStatus.CANCELED, 65)


@pytest.mark.parametrize(
    ("surprising", "sentence"),
    [
        (report(ExecType.REPLACED), "REPLACED for an order that is PENDING_NEW"),
        (trade(1, qty=999), "more filled than was ordered"),
        (trade(1, qty=0), "a trade without id, quantity or price"),
        (trade(1, cum=130), "the broker counts 130 filled, we were told 65"),
        (report(ExecType.NEW, tag="K9"), "report for an order we do not know: K9"),
    ],
)
def test_a_surprise_is_said_aloud(surprising, sentence):
    manager = OrderManager({})
    sent(manager)
    assert manager.apply(surprising).surprise == sentence


def test_a_missing_pair_keeps_the_state():
    manager = OrderManager({})
    order = sent(manager)
    manager.apply(report(ExecType.REPLACED))
    assert order.status is OrdStatus.PENDING_NEW


def test_an_id_is_never_issued_twice():
    manager = OrderManager({})
    sent(manager)
    with pytest.raises(InvariantBroken):
        sent(manager)


def test_a_change_takes_over_what_the_broker_confirms():
    manager = OrderManager({})
    order = sent(manager)
    manager.apply(report(ExecType.NEW))
    manager.modifying(ModifyOrder(cl_ord_id=order.cl_ord_id, at=6, price=price("99")))
    assert order.status is OrdStatus.PENDING_REPLACE
    assert order.price is None
    manager.apply(report(ExecType.REPLACED, price=price("99"), order_qty=65))
    assert (order.status, order.price, order.order_qty) == (OrdStatus.NEW, price("99"), 65)


def test_the_table_never_leaves_an_end():
    for (status, _), after in TRANSITIONS.items():
        if status.terminal:
            assert after is status


def test_a_long_day_remembers_only_so_many_finished_orders():
    dirty = {}
    manager = OrderManager(dirty)
    for n in range(REMEMBERED_MAX + 50):
        sent(manager, tag=f"K{n:04d}", qty=65)
        manager.apply(trade(n, tag=f"K{n:04d}"))
    assert len(manager.table) == REMEMBERED_MAX
    assert dirty[CELL + "K0000"] is None


reports = st.lists(
    st.one_of(
        st.sampled_from([kind for kind in ExecType if kind is not ExecType.TRADE]).map(report),
        st.integers(1, 4).map(lambda n: trade(n, qty=n * 10)),
    ),
    max_size=12,
)


@given(reports, st.randoms(use_true_random=False))
def test_quantities_stay_lawful_whatever_is_told(told, chance):
    manager = OrderManager({})
    order = sent(manager, qty=100)
    seen_terminal = None
    for item in told:
        before = order.cum_qty
        manager.apply(item)
        assert before <= order.cum_qty <= order.order_qty
        if not order.status.terminal:
            assert order.cum_qty + order.leaves_qty == order.order_qty
        if seen_terminal is not None:
            assert order.status is seen_terminal
        if order.status.terminal:
            seen_terminal = order.status
    cum = order.cum_qty
    again = list(told)
    chance.shuffle(again)
    for item in again:
        if item.exec_type is ExecType.TRADE and item.exec_id in order.exec_ids:
            manager.apply(item)
    assert order.cum_qty == cum


@given(reports)
def test_what_was_written_down_is_what_comes_back(told):
    dirty = {}
    manager = OrderManager(dirty)
    sent(manager, qty=100)
    for item in told:
        manager.apply(item)
    cells = {key: msgspec.msgpack.encode(cell) for key, cell in dirty.items() if cell is not None}
    restored = OrderManager({})
    restored.restore(cells)
    assert restored.table == manager.table
    assert list(restored.all_working()) == list(manager.all_working())


def test_a_trailed_stop_is_measured_from_where_it_stands():
    manager = OrderManager({})
    intent = OrderIntent(
        strategy=EMA,
        instrument=InstrumentId("NFO:NIFTY26NOVFUT"),
        side=Side.SELL,
        order_qty=65,
        ord_type=OrdType.SL,
        product=Product.MIS,
        purpose=Purpose.STOP,
        reason="protective stop",
        decision_px=price("95"),
        decided_at=1,
        price=price("94"),
        stop_px=price("95"),
    )
    command = PlaceOrder(cl_ord_id=ClOrdId("K1"), approved=Approved(intent=intent, at=1))
    order = manager.placing(command, 1, None)
    manager.apply(report(ExecType.NEW))
    manager.modifying(ModifyOrder(cl_ord_id=order.cl_ord_id, at=6, stop_px=price("98")))
    assert order.decision_px == price("95")
    manager.apply(report(ExecType.REPLACED, stop_px=price("98"), price=price("97")))
    assert order.decision_px == price("98")


def test_a_refused_withdrawal_ends_the_doubt_about_an_order_that_rests():
    manager = OrderManager({})
    order = sent(manager)
    manager.apply(report(ExecType.NEW))
    manager.cancelling(CancelOrder(cl_ord_id=order.cl_ord_id, at=6))
    manager.apply(report(ExecType.UNKNOWN))
    assert order.status is OrdStatus.UNKNOWN
    assert manager.apply(report(ExecType.CANCEL_REJECTED)).surprise == ""
    assert order.status is OrdStatus.NEW
