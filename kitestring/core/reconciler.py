"""Compares the broker's own books with ours and names every difference.

It never mends one by inventing a fill: a difference is shown, entries stop, and the next agreeing
snapshot (or a person) ends it. Quantities must agree exactly; foreign orders and positions in the
same account are not ours and are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from kitestring.core.order_manager import OrderManager
from kitestring.core.portfolio import Portfolio
from kitestring.domain.events import BrokerSnapshot
from kitestring.domain.ids import is_ours
from kitestring.domain.orders import OrdStatus

_OVER: Final = frozenset(status.value for status in OrdStatus if status.terminal)


def differences(
    snapshot: BrokerSnapshot, orders: OrderManager, portfolio: Portfolio
) -> list[tuple[str, str, str]]:
    """``(what, ours, theirs)`` for every order and owned position that does not agree."""
    found: list[tuple[str, str, str]] = []
    if not snapshot.trusted:
        # An old or frozen book proves nothing, neither a difference nor that there is none.
        return [("the broker's books", "not to be trusted", snapshot.why)]
    rows = {row.cl_ord_id: row for row in snapshot.orders}
    for tag, order in sorted(orders.table.items()):
        row = rows.get(tag)
        over = order.status.terminal
        if row is None:
            if not over:
                found.append((f"order {tag}", order.status.value, "not in the order book"))
        elif row.cum_qty != order.cum_qty:
            found.append((f"order {tag}", f"{order.cum_qty} filled", f"{row.cum_qty} filled"))
        elif (row.status in _OVER) is not over:
            # A stop that only we believe in protects nothing; one that only they know may still fill.
            found.append((f"order {tag}", order.status.value, row.status))
    for row in snapshot.orders:
        named = row.cl_ord_id
        if named not in orders.table and is_ours(named) and row.status not in _OVER:
            found.append((f"order {named}", "not known", f"{row.status}, {row.order_qty}"))
    ours: dict[str, int] = defaultdict(int)
    for book in portfolio.books.values():
        ours[f"{book.instrument}/{book.product}"] += book.net_qty
    for key, net_qty in ours.items():
        theirs = snapshot.net_qty.get(key, 0)
        # In a shared account the broker's net may hold more than ours, never less of ours.
        if abs(theirs) < abs(net_qty) or theirs * net_qty < 0:
            found.append((f"position {key}", str(net_qty), str(theirs)))
    return found
