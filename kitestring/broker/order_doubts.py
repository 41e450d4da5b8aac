"""What makes the broker's books doubtful: what it has acknowledged or announced, and does not show."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Final

import msgspec

from kitestring.broker.kite_errors import StrangeRow
from kitestring.broker.kite_rows import OrderRow, TradeRow
from kitestring.broker.order_stage import Stage, stage_of
from kitestring.broker.tracked_orders import Sent, Tracked
from kitestring.domain.ids import is_ours
from kitestring.domain.instants import SECOND, Instant

CANARY_S: Final = 30.0
"""A book that has moved so shortly before an exit was sent is taken to be alive (decision 0012)."""

MOVES_WITHIN_S: Final = 30.0
"""An order, a change or a cancel that the exchange has not answered by then is said."""


class BookRead(msgspec.Struct, frozen=True, kw_only=True):
    """One successful read of the books. Seconds are the loop's; ``at`` is when it was heard."""

    orders: Sequence[OrderRow]
    trades: Sequence[TradeRow] | None
    """``None``: not read, or the read failed."""
    began_s: float
    ended_s: float
    at: Instant
    strange: Sequence[StrangeRow] = ()
    """Rows that could not be read; their orders keep their state, and the book is not whole."""


def untagged_double(order: Tracked, rows: Iterable[OrderRow], named: Container[str]) -> str:
    """An order like ours without a tag of the house may be ours: tags have been lost and altered.

    One whose tag is another of the house's is that other order, and one that began before ours is none.
    """
    for row in rows:
        alike = (row.instrument, row.side.value, row.order_qty, row.product.value) == (
            order.instrument,
            order.side,
            order.qty,
            order.product,
        )
        new = row.order_id not in named and row.order_id not in order.seen_before
        if alike and new and not is_ours(row.tag):
            has = f"has the tag {row.tag}" if row.tag else "has no tag"
            return (
                f"order {row.order_id} ({row.status}) {has} and may be our unanswered"
                f" {order.cl_ord_id}"
            )
    return ""


def moved_around(order: Tracked, moved_s: float, rows: Iterable[OrderRow]) -> bool:
    """Whether the book, which moved last at ``moved_s``, was alive around the time of an order.

    It has moved since; or, where a position waits for its exit, just before: a stop leaves as soon as
    the book shows the fill, an exit as soon as it shows the stop withdrawn. After a restart nobody
    has seen it move before; then the times of its rows tell.
    """
    since_s = order.asked_s - CANARY_S if order.exits else order.answered_s
    if moved_s >= 0 and moved_s > since_s:
        return True
    if not order.asked_at:
        return False
    # Kite's stamps have whole seconds.
    since = order.asked_at - (round(CANARY_S) if order.exits else -1) * SECOND
    return any(max(row.exchange_update_at or 0, row.order_at or 0) > since for row in rows)


def doubt(order: Tracked, s: float, within_s: float) -> str:
    """What the broker has acknowledged or announced of an order and its book does not show."""
    if order.over:
        return ""
    who = f"order {order.cl_ord_id}"
    if order.sent is Sent.ACKED and order.row is None and s - order.answered_s > within_s:
        return f"{who} was accepted {s - order.answered_s:.0f} s ago and is not in the order book"
    if order.hinted_s and s - order.hinted_s > within_s:
        return f"{who} was announced as further along {s - order.hinted_s:.0f} s ago than its row"
    for change in order.changes:
        waited_s = s - change.answered_s
        if change.sent is Sent.ACKED and change.reads and waited_s > within_s:
            return f"{who} shows no trace of a change accepted {waited_s:.0f} s ago"
    return ""


def unmoved(order: Tracked, row: OrderRow, s: float) -> str:
    """The exchange has not answered for long: it counts as live risk and is not sent again."""
    if order.over or stage_of(row) not in (Stage.PENDING, Stage.CHANGING, Stage.CANCELLING):
        return ""
    waited_s = s - max([order.answered_s, *(change.answered_s for change in order.changes)])
    if waited_s < MOVES_WITHIN_S:
        return ""
    return (
        f"Order {order.order_id} ({row.side} {row.order_qty} {row.instrument}) has been {row.status}"
        f" for {waited_s:.0f} s: the exchange has not answered. It counts as if it worked, and nothing"
        " is sent in its place."
    )


def came_back(order: Tracked, row: OrderRow) -> str:
    """What a person should read of an order that nobody believed in any more."""
    what = "it cannot be withdrawn." if row.status.over else "it is being withdrawn."
    return (
        f"Order {order.cl_ord_id} was believed not to exist and is {row.status} at the broker,"
        f" {row.cum_qty} of {row.order_qty} filled; {what}"
    )


def doubled(row: OrderRow) -> str:
    """What a person should read of a second order under one of our tags."""
    return (
        f"The broker holds two orders for one request of ours: {row.order_id} repeats"
        f" {row.tag} ({row.status}, {row.cum_qty} of {row.order_qty} filled). It is being withdrawn;"
        " what it traded is not booked and must be looked at."
    )
