"""The broker's own books as they were last read whole: orders and positions of one moment.

Orders, trades, positions, orders again: only where both looks at the orders agree do the trades and
positions between them belong to them. A read that fails changes nothing; the old books stay, and say how old they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from kitestring.broker.kite_rows import OrderRow, PositionRow, TradeRow
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.order_stage import house_status
from kitestring.broker.others_trades import others_trades
from kitestring.broker.tracked_orders import Sent
from kitestring.domain.events import BrokerOrderRow, BrokerPosition, BrokerSnapshot
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.orders import OrdStatus

SANDWICHES: Final = 3
"""How often a sandwich is tried before the books are said to be moving."""


class Books(msgspec.Struct, frozen=True):
    """Orders, trades and positions that belong together."""

    orders: Sequence[OrderRow]
    trades: Sequence[TradeRow]
    positions: Sequence[PositionRow]
    read_at: Instant


def same_orders(one: Sequence[OrderRow], other: Sequence[OrderRow]) -> bool:
    """Whether two looks at the order book saw the same, in whatever order of rows."""
    return frozenset(one) == frozenset(other)


def snapshot_of(
    books: Books | None, merge: OrderBookMerge, at: Instant, *, distrust: str, failed: str
) -> BrokerSnapshot:
    """The books in the house's words. Foreign orders are shown; their tags are none of ours.

    An order of ours that left after the books were read is not missing from them: it is shown as on
    its way. One whose answer never came is not: whoever compares must notice.
    """
    if books is None:
        why = failed or "the broker's books have not been read yet"
        return BrokerSnapshot(at=at, orders=(), net_qty={}, trusted=False, why=why)
    rows = [_row(row, merge) for row in books.orders]
    shown = {row.cl_ord_id for row in rows}
    rows += [
        BrokerOrderRow(
            cl_ord_id=order.cl_ord_id,
            order_id=order.order_id,
            instrument=order.instrument,
            status=OrdStatus.PENDING_NEW.value,
            order_qty=order.qty,
            cum_qty=0,
        )
        for order in merge.orders.values()
        if order.cl_ord_id not in shown and not order.over and order.sent is not Sent.UNKNOWN
    ]
    why = distrust or contradiction(books, {order.instrument for order in merge.orders.values()})
    if failed:
        age_s = (at - books.read_at) / SECOND
        old = f"the books are {age_s:.0f} s old: {failed}"
        why = f"{why}; {old}" if why else old
    net_qty: dict[str, int] = {}
    for position in books.positions:
        key = f"{position.instrument}/{position.product.value}"
        net_qty[key] = net_qty.get(key, 0) + position.net_qty
    return BrokerSnapshot(
        at=at,
        orders=tuple(rows),
        net_qty={key: net for key, net in net_qty.items() if net},
        read_at=books.read_at,
        trusted=not why,
        why=why,
        others=others_trades(books.trades, books.orders, merge),
        positions=tuple(
            BrokerPosition(
                instrument=position.instrument,
                product=position.product.value,
                net_qty=position.net_qty,
                overnight_qty=position.overnight_qty,
                average_px=position.average_px,
                last_px=position.last_px,
            )
            for position in books.positions
        ),
    )


def contradiction(books: Books, contracts: Iterable[InstrumentId]) -> str:
    """Where positions do not follow from the broker's own trades, in words; empty where they do.

    What a contract began the day with and what was traded of it make its net over all products; a
    conversion between products changes neither. Positions are known to lag behind orders and trades.
    """
    for instrument in sorted(contracts):
        mine = [row for row in books.positions if row.instrument == instrument]
        shown = sum(row.net_qty for row in mine)
        due = sum(row.overnight_qty for row in mine) + sum(
            trade.qty * trade.side.sign for trade in books.trades if trade.instrument == instrument
        )
        if shown != due:
            return (
                f"its positions show {shown} {instrument}, its own trades make {due}: one of the two"
                " is old"
            )
    return ""


def _row(row: OrderRow, merge: OrderBookMerge) -> BrokerOrderRow:
    return BrokerOrderRow(
        cl_ord_id=merge.tag_of(row),
        order_id=row.order_id,
        instrument=row.instrument,
        status=house_status(row).value,
        order_qty=row.order_qty,
        cum_qty=row.cum_qty,
    )
