"""What the guard does about the broker's books: which orders of ours it withdraws, what it reduces.

Pure: the same books and the same ownership give the same actions. The laws, which tests hold with
any books at all: everything of ours that works or is sent never adds up to more than
min(owned, |broker net|) against a position; nothing can flip; what is not ours is not touched.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from kitestring.broker.kite_rows import OrderRow, PositionRow
from kitestring.broker.order_stage import Stage, stage_of
from kitestring.domain.ids import InstrumentId, is_ours, tag_prefix
from kitestring.domain.orders import Product, Purpose, Side
from kitestring.store.owned_file import Owned, OwnedOrder

Key = tuple[InstrumentId, str]
"""Instrument and product: positions of one are not positions of the other."""


class Seen(msgspec.Struct, frozen=True):
    """The broker's books of one moment, the whole account's."""

    orders: Sequence[OrderRow]
    positions: Sequence[PositionRow]


class GuardPolicy(StrEnum):
    """What becomes of positions once the guard has taken over."""

    KEEP_PROTECTED = "keep_protected"
    """Stops that rest and fit stay; what none covers is reduced."""
    FLATTEN = "flatten"
    """All of it is reduced."""


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was sent, or may have been, and that the book does not show."""

    key: Key
    side: Side
    qty: int


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel an order of ours."""

    row: OrderRow
    why: str


class Reduce(msgspec.Struct, frozen=True, kw_only=True):
    """Send an order against a position of ours."""

    key: Key
    side: Side
    qty: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done now. ``open_qty``: what we still own and the broker still holds, by key."""

    withdraw: tuple[Withdraw, ...] = ()
    reduce: tuple[Reduce, ...] = ()
    open_qty: Mapping[Key, int] = {}
    covered: Mapping[Key, int] = {}
    """How much of that stops of ours cover which stay."""
    under_way: int = 0
    """Orders of ours whose end has to be seen before all is done."""

    @property
    def idle(self) -> bool:
        """Nothing is to be done, and nothing is on its way."""
        return not (self.withdraw or self.reduce or self.under_way)


class Mine(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to us, and how it is known."""

    owned: Owned
    guards: frozenset[str] = frozenset()
    """Tags the guard has sent since it took over."""
    fresh: frozenset[str] = frozenset()
    """Those of them that may still have their time to fill."""

    def holds(self, row: OrderRow) -> bool:
        """Whether an order is ours to withdraw: by its tag, which no other house writes, or by its id."""
        if row.tag in self.guards or order_of(self.owned, row) is not None:
            return True
        owned = self.owned
        run = tag_prefix(owned.run_key, dt.date.fromisoformat(owned.date))
        return row.tag.startswith(run) and is_ours(row.tag)


def order_of(owned: Owned, row: OrderRow) -> OwnedOrder | None:
    """The engine's order that a row shows, if it is one; a row may have lost its tag."""
    for order in owned.orders:
        if row.tag == order.tag or (order.order_id and row.order_id == order.order_id):
            return order
    return None


def net_owned(mine: Mine, rows: Iterable[OrderRow]) -> dict[Key, int]:
    """Our position by key: the books', and what our orders have traded since the books were written."""
    net: dict[Key, int] = {}
    for book in mine.owned.books:
        key = (book.instrument, book.product.value)
        net[key] = net.get(key, 0) + book.net_qty
    for row in rows:
        order = order_of(mine.owned, row)
        booked = order.cum_qty if order is not None else row.cum_qty
        if row.tag in mine.guards:
            booked = 0
        since = max(row.cum_qty - booked, 0)
        if since:
            key = key_of(row)
            net[key] = net.get(key, 0) + row.side.sign * since
    return net


def decide(books: Seen, mine: Mine, policy: GuardPolicy, unseen: Sequence[Unseen] = ()) -> Plan:
    """What to do about these books. ``unseen``: orders of ours which may exist beside them."""
    owned = net_owned(mine, books.orders)
    broker: dict[Key, int] = {}
    for position in books.positions:
        key = (position.instrument, position.product.value)
        broker[key] = broker.get(key, 0) + position.net_qty
    working: dict[Key, list[OrderRow]] = {}
    for row in books.orders:
        if mine.holds(row) and not row.status.over:
            working.setdefault(key_of(row), []).append(row)
    withdraw: list[Withdraw] = []
    reduce: list[Reduce] = []
    open_qty: dict[Key, int] = {}
    covered: dict[Key, int] = {}
    under_way = len(unseen)
    for key in sorted({*owned, *working}):
        have = reducible(owned.get(key, 0), broker.get(key, 0))
        size, side = abs(have), Side.SELL if have > 0 else Side.BUY
        if size:
            open_qty[key] = have
        staying, leaving = _sorted_out(working.get(key, ()), mine, policy, size, side)
        withdraw += leaving
        under_way += len(staying.moving)
        at_work = sum(row.leaves_qty for row in working.get(key, ()) if row.side is side) + sum(
            each.qty for each in unseen if each.key == key and each.side is side
        )
        stops = sum(row.leaves_qty for row in staying.stops)
        if stops:
            covered[key] = stops
        # Never more than is free of everything that may still trade against it.
        qty = size - at_work
        if qty > 0 and key[1] in set(Product):
            reduce.append(Reduce(key=key, side=side, qty=qty))
    return Plan(
        withdraw=tuple(withdraw),
        reduce=tuple(reduce),
        open_qty=open_qty,
        covered=covered,
        under_way=under_way,
    )


def reducible(owned: int, broker_net: int) -> int:
    """How much may be reduced, signed as the position: what both have, and nothing where they contradict."""
    if owned > 0 and broker_net > 0:
        return min(owned, broker_net)
    if owned < 0 and broker_net < 0:
        return max(owned, broker_net)
    return 0


def may_enter(row: OrderRow, owned: Owned) -> bool:
    """Whether a working order of the engine's is one that would open or grow a position."""
    order = order_of(owned, row)
    return order is not None and order.purpose is Purpose.ENTRY and not row.status.over


def key_of(row: OrderRow) -> Key:
    """Whose position an order changes."""
    return (row.instrument, row.product.value)


class _Staying(msgspec.Struct):
    stops: list[OrderRow] = []
    moving: list[OrderRow] = []


def _sorted_out(
    rows: Sequence[OrderRow], mine: Mine, policy: GuardPolicy, size: int, side: Side
) -> tuple[_Staying, list[Withdraw]]:
    """Our working orders in one contract: those that stay, and those to be withdrawn."""
    staying, leaving = _Staying(), []
    room = size
    for row in sorted(rows, key=lambda each: each.order_id):
        stage = stage_of(row)
        why = ""
        if may_enter(row, mine.owned):
            why = "an entry"
        elif not size or row.side is not side:
            why = "there is nothing of ours that it could close"
        elif row.leaves_qty > room:
            why = "it is larger than what it could close"
        elif row.tag in mine.guards:
            why = "" if row.tag in mine.fresh else "it did not fill in time"
        elif stage is not Stage.ARMED and stage is not Stage.CHANGING:
            why = "nobody is there to bring it to its end"
        elif policy is GuardPolicy.FLATTEN:
            why = "all of it is closed at once"
        if why:
            if stage in (Stage.CANCELLING, Stage.PENDING):
                staying.moving.append(row)  # It cannot be withdrawn now; its end is waited for.
            else:
                leaving.append(Withdraw(row=row, why=why))
        else:
            room -= row.leaves_qty
            if row.tag in mine.guards:
                staying.moving.append(row)
            else:
                staying.stops.append(row)
    return staying, leaving
