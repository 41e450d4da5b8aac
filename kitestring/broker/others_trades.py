"""What others trade in the same account: its owner by hand, the broker's risk desk, our own guard.

Kite says of no order whether a person or its risk desk sent it. ``placed_by`` names another user where a dealer or the risk desk sent it
(kite.trade/docs/connect/v3/orders); some say so in their message instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kitestring.broker.kite_rows import OrderRow, TradeRow
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.domain.events import OthersTrade
from kitestring.domain.ids import is_guards, is_ours

TRADE_OF_OTHERS: Final = "trade of others"
"""The kind of the note that says so."""
_RMS_WORDS: Final = ("rms", "square off", "squareoff", "square-off", "risk management")


def others_trades(
    trades: Sequence[TradeRow], orders: Sequence[OrderRow], merge: OrderBookMerge
) -> tuple[OthersTrade, ...]:
    """Trades of orders that are not ours, in the order of time.

    Every order under a tag of ours is left out, also one that the journal does not know and one that
    repeats a tag: those are unexplained, and a person has to look.
    """
    rows = {row.order_id: row for row in orders}
    ourselves = {row.placed_by for row in orders if merge.owns(row)} - {""}
    found: list[OthersTrade] = []
    for trade in trades:
        row = rows.get(trade.order_id)
        if row is None or merge.owns(row) or _claims(row, merge):
            continue
        by_guard = _by_guard(row)
        at = trade.fill_at or trade.exchange_at or row.exchange_update_at or row.order_at or 0
        found.append(
            OthersTrade(
                trade_id=trade.trade_id,
                order_id=trade.order_id,
                instrument=trade.instrument,
                product=trade.product.value,
                side=trade.side,
                qty=trade.qty,
                px=trade.px,
                at=at,
                rms=not by_guard and _by_rms(row, ourselves),
                guard=by_guard,
            )
        )
    return tuple(sorted(found, key=lambda each: (each.at, each.order_id, each.trade_id)))


class Bystander:
    """Notices that others trade in a contract of ours: then the books are worth a look at once."""

    def __init__(self) -> None:
        self._filled: dict[str, int] = {}

    def look(self, orders: Sequence[OrderRow], merge: OrderBookMerge) -> str:
        """What is new since the last look, in words; empty if nothing is."""
        said = ""
        contracts = {order.instrument for order in merge.orders.values()}
        for row in orders:
            if row.cum_qty <= self._filled.get(row.order_id, 0) or merge.owns(row):
                continue
            self._filled[row.order_id] = row.cum_qty
            if row.instrument in contracts:
                whose = "it is the guard's" if _by_guard(row) else "it is not ours"
                said = (
                    f"{row.side} {row.instrument}: {row.cum_qty} of order {row.order_id} have traded,"
                    f" and {whose}."
                )
        return said


def _claims(row: OrderRow, merge: OrderBookMerge) -> bool:
    return any(is_ours(tag) or tag in merge.orders for tag in (row.tag, *row.tags))


def _by_guard(row: OrderRow) -> bool:
    return any(is_guards(tag) for tag in (row.tag, *row.tags))


def _by_rms(row: OrderRow, ourselves: set[str]) -> bool:
    if row.placed_by and ourselves and row.placed_by not in ourselves:
        return True
    said = f"{row.status_message} {row.status_message_raw} {row.variety}".lower()
    return not row.guid and any(word in said for word in _RMS_WORDS)
