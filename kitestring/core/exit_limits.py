"""Cuts exits down to what the broker confirms that we still hold.

Where the broker shows less of a position than we have booked, an exit for all of ours would open
the opposite one. Until that is explained every exit of ours together is at most the broker's net,
shared among the books against the day's order. What rests already is cut as well once two looks agree;
new exits at the market are cut from the first look on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from kitestring.core.exits import Want
from kitestring.core.order_manager import OrderManager
from kitestring.core.reconciler import key_of
from kitestring.domain.ids import ClOrdId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.orders import Order, OrderIntent, OrdStatus, Purpose
from kitestring.domain.positions import Book
from kitestring.domain.verdicts import CancelOrder, ModifyOrder

_RESTING: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
_WHY: Final = "larger than what the broker confirms"


def share_of(book: Book, due: Mapping[StrategyId, int], books: Iterable[Book], net: int) -> int:
    """How much of the broker's net quantity of a position is this book's.

    What is missing is taken from the first books of the day, as it will be booked (``broker_view``):
    an exit that is on its way by then must not be larger than what its book is left with.

    ``due``: what each book holds once all is told that the broker has counted already.
    """
    key, sign = key_of(book), 1 if book.net_qty > 0 else -1
    left = max(net * sign, 0)
    for each in reversed(list(books)):
        if key_of(each) != key:
            continue
        share = min(max(due.get(each.strategy, each.net_qty) * sign, 0), left)
        if each is book:
            return share
        left -= share
    return 0


def cut(
    wants: Sequence[Want],
    book: Book,
    limit: int,
    orders: OrderManager,
    lot: int,
    at: Instant,
    *,
    resting_too: bool,
) -> list[Want]:
    """What may be sent of ``wants`` where a book's exits together may be ``limit`` at most."""
    limit -= limit % lot
    working = [order for order in orders.working(book.strategy) if order.is_exit]
    room = limit - sum(order.leaves_qty for order in working)
    sent: list[Want] = []
    touched: set[ClOrdId] = set()
    for want in wants:
        match want:
            case OrderIntent():
                if want.purpose is Purpose.STOP and not resting_too:
                    sent.append(want)
                    continue
                qty = min(want.order_qty, max(room, 0))
                if qty > 0:
                    room -= qty
                    sent.append(msgspec.structs.replace(want, order_qty=qty))
            case ModifyOrder():
                order = orders.table[want.cl_ord_id]
                changed, room = _change(want, order, room, resting_too=resting_too)
                if changed is not None:
                    touched.add(want.cl_ord_id)
                    sent.append(changed)
            case CancelOrder():
                touched.add(want.cl_ord_id)
                sent.append(want)
    if resting_too and room < 0:
        untouched = [order for order in working if order.cl_ord_id not in touched]
        sent += _shrunk(untouched, -room, at)
    return sent


def _change(
    want: ModifyOrder, order: Order, room: int, *, resting_too: bool
) -> tuple[Want | None, int]:
    """One change within ``room`` beside what the order holds already, and the room then left."""
    stop_waits = order.purpose is Purpose.STOP and not resting_too
    holds = order.leaves_qty
    asked = holds if want.order_qty is None else want.order_qty - order.cum_qty
    if stop_waits:
        return want, room - max(asked - holds, 0)
    fits = min(asked, holds + room)
    if fits <= 0:
        return CancelOrder(cl_ord_id=order.cl_ord_id, at=want.at, reason=_WHY), room + holds
    same_terms = want.price in (None, order.price) and want.stop_px in (None, order.stop_px)
    if fits == holds and same_terms and want.ord_type in (None, order.ord_type):
        return None, room
    if fits == asked:
        return want, room + holds - fits
    cut_down = msgspec.structs.replace(want, order_qty=order.cum_qty + fits)
    return cut_down, room + holds - fits


def _shrunk(working: Iterable[Order], excess: int, at: Instant) -> list[Want]:
    """Make orders that rest already smaller by ``excess``, the newest first."""
    wants: list[Want] = []
    for order in sorted(working, key=lambda each: each.cl_ord_id, reverse=True):
        if excess <= 0 or order.status not in _RESTING:
            continue
        less = min(excess, order.leaves_qty)
        excess -= less
        if less == order.leaves_qty or order.purpose is not Purpose.STOP:
            wants.append(CancelOrder(cl_ord_id=order.cl_ord_id, at=at, reason=_WHY))
        else:
            wants.append(
                ModifyOrder(cl_ord_id=order.cl_ord_id, at=at, order_qty=order.order_qty - less)
            )
    return wants
