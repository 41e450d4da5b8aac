"""Which of our orders goes by which id of Kite's, and which row of its book is whose.

The tag is an order's name; the id that came with an answer is a claim. An answer may belong to another
request (a proxy or a worn connection mixes two up), and whoever believes it books another order's
trades, and withdraws a stranger's. So an id that was another order's before is not believed, and
one that the book shows under another tag, or for another order, is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kitestring.broker.kite_rows import OrderRow
from kitestring.broker.tracked_orders import Tracked
from kitestring.domain.ids import is_ours


class OrderNames:
    """The ids of our orders. ``orders`` is the table of all of them, by tag."""

    def __init__(self, orders: dict[str, Tracked]) -> None:
        self._orders = orders
        self._by_id: dict[str, Tracked] = {}

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._by_id

    def get(self, order_id: str) -> Tracked | None:
        """Our order of that id."""
        return self._by_id.get(order_id)

    def give(self, order: Tracked, order_id: str) -> None:
        """From now on an order goes by this id."""
        order.order_id = order_id
        self._by_id[order_id] = order

    def take_back(self, order: Tracked) -> None:
        """An order has lost its id: it was another's."""
        if self._by_id.get(order.order_id) is order:
            del self._by_id[order.order_id]
        order.order_id = ""
        order.hinted_filled, order.hinted_over, order.hinted_s = 0, False, 0.0

    def anothers(self, order: Tracked, order_id: str) -> bool:
        """Whether an id just heard for an order is known to be another order's."""
        mine = self._by_id.get(order_id)
        return mine is not order and (mine is not None or order_id in order.seen_before)

    def of_row(self, row: OrderRow) -> Tracked | None:
        """Our order that a row of the book shows."""
        order = self._by_id.get(row.order_id) or self._orders.get(row.tag)
        if order is None and row.tags:
            order = next((self._orders[tag] for tag in row.tags if tag in self._orders), None)
        if order is not None and order.order_id and order.order_id != row.order_id:
            return None  # The same tag twice.
        return order

    def misnamed(self, rows: Sequence[OrderRow]) -> Iterable[Tracked]:
        """Orders never seen yet, whose id the book shows to be another's."""
        unseen = [each for each in self._orders.values() if each.order_id and each.row is None]
        if not unseen:
            return
        by_id: dict[str, OrderRow] = {row.order_id: row for row in rows}
        tags = {tag for row in rows for tag in (row.tag, *row.tags) if tag in self._orders}
        for order in unseen:
            row = by_id.get(order.order_id)
            if row is None:
                if order.cl_ord_id in tags:
                    yield order
            elif not _may_be(order, row):
                yield order


def _may_be(order: Tracked, row: OrderRow) -> bool:
    """Whether a row may show an order: by its tag, or where that was lost, by what it is."""
    if order.cl_ord_id in (row.tag, *row.tags):
        return True
    if any(is_ours(tag) for tag in (row.tag, *row.tags)) or row.order_id in order.seen_before:
        return False
    return (row.instrument, row.side.value, row.product.value) == (
        order.instrument,
        order.side,
        order.product,
    ) and (row.order_qty == order.qty or bool(order.changes))
