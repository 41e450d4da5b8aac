"""The broker's books are laid beside ours, and every difference is named."""

from __future__ import annotations

import pytest
from house_day import ACME, DAY, clock
from test_order_manager_untold import desk, tell

from kitestring.core.portfolio import Portfolio
from kitestring.core.reconciler import differences
from kitestring.domain.events import BrokerOrderRow, BrokerSnapshot
from kitestring.domain.ids import ClOrdIds
from kitestring.domain.orders import ExecType

TEN = clock("10:00")
UNKNOWN = ClOrdIds("another day", DAY)()


def row(tag="K1", status="NEW", filled=0):
    return BrokerOrderRow(
        cl_ord_id=tag,
        order_id="1",
        instrument=ACME.id,
        status=status,
        order_qty=100,
        cum_qty=filled,
    )


def found(*rows, cancelled=False):
    orders, dirty = desk()
    if cancelled:
        tell(orders, ExecType.CANCELED)
    portfolio = Portfolio({ACME.id: ACME}, None, dirty)
    snapshot = BrokerSnapshot(at=TEN, orders=rows, net_qty={})
    return [each[:3] for each in differences(snapshot, orders, portfolio)]


@pytest.mark.parametrize(
    ("rows", "cancelled", "difference"),
    [
        ((row(),), False, None),
        ((), False, ("order K1", "NEW", "not in the order book")),
        ((row(filled=40),), False, ("order K1", "0 filled", "40 filled")),
        ((row(status="CANCELED"),), False, ("order K1", "NEW", "CANCELED")),
        ((row(status="CANCELED"),), True, None),
        ((), True, None),
        ((row(),), True, ("order K1", "CANCELED", "NEW")),
        ((row(status="CANCELED", filled=40),), True, ("order K1", "0 filled", "40 filled")),
        ((row(), row(UNKNOWN)), False, (f"order {UNKNOWN}", "not known", "NEW, 100")),
        ((row(), row(UNKNOWN, "CANCELED")), False, None),
        ((row(), row("typed by hand")), False, None),
    ],
)
def test_every_difference_of_orders_is_named(rows, cancelled, difference):
    assert found(*rows, cancelled=cancelled) == ([difference] if difference else [])
