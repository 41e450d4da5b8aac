"""Lays the broker's own books beside ours, names every difference, and says what explains it.

Quantities must agree exactly. Orders and positions of others in the same account are left alone:
the broker's net may hold more than ours, never less of ours. What is missing is explained by fills
of our own that are still to be told, by trades of others that took it away, or by nothing. Nothing
here books anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from kitestring.core.order_manager import OrderManager
from kitestring.core.portfolio import Portfolio
from kitestring.domain.events import BrokerSnapshot, OthersTrade
from kitestring.domain.ids import InstrumentId, is_ours
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.orders import OrdStatus, Product
from kitestring.domain.positions import Book

_DELIVERY: Final = f"/{Product.CNC}"
_OVER: Final = frozenset(status.value for status in OrdStatus if status.terminal)


class Cause(StrEnum):
    """Why the broker shows less of ours than we have booked."""

    LATE_FILL = "a fill of ours that is still to be told"
    MANUAL_TRADE = "a trade by hand"
    RMS_SQUARE_OFF = "the broker's risk desk"
    GUARD = "the guard"
    UNEXPLAINED = "unexplained"


class Missing(NamedTuple):
    """A position of which the broker shows less than we own."""

    key: str
    ours: int
    due: int
    """What we shall own once the fills are told that the order book counts already."""
    theirs: int


class Difference(NamedTuple):
    """One thing on which the two books do not agree."""

    what: str
    ours: str
    theirs: str
    instrument: InstrumentId
    missing: Missing | None = None
    """For a position; ``None`` for an order."""

    @property
    def name(self) -> str:
        """The same text means the same difference."""
        return f"{self.what}: we say {self.ours}, the broker says {self.theirs}"


class Explanation(NamedTuple):
    """What became of a missing quantity, and by which trades of others, if by any."""

    cause: Cause
    trades: tuple[tuple[OthersTrade, int], ...] = ()
    """In the order of time, with how much of each was ours."""


def position_key(instrument: InstrumentId, product: Product | str) -> str:
    """The broker's name of a position: ``NSE:INFY/MIS``."""
    return f"{instrument}/{product}"


def key_of(book: Book) -> str:
    """The broker's position a book is part of."""
    return position_key(book.instrument, book.product.value)


def differences(
    snapshot: BrokerSnapshot, orders: OrderManager, portfolio: Portfolio
) -> list[Difference]:
    """Every order and every owned position that does not agree. The snapshot must be trusted."""
    assert snapshot.trusted, "an old or frozen book proves nothing"
    found: list[Difference] = []
    rows = {row.cl_ord_id: row for row in snapshot.orders}
    untold: dict[str, int] = defaultdict(int)
    for tag, order in sorted(orders.table.items()):
        row = rows.get(tag)
        over = order.status.terminal
        said = None
        if row is None:
            if not over:
                said = (order.status.value, "not in the order book")
        elif row.cum_qty != order.cum_qty:
            said = (f"{order.cum_qty} filled", f"{row.cum_qty} filled")
            more = max(row.cum_qty - order.cum_qty, 0)
            untold[position_key(order.instrument, order.product.value)] += more * order.side.sign
        elif (row.status in _OVER) is not over:
            # A stop that only we believe in protects nothing; one that only they know may still fill.
            said = (order.status.value, row.status)
        if said is not None:
            found.append(Difference(f"order {tag}", *said, order.instrument))
    for row in snapshot.orders:
        named = row.cl_ord_id
        if named not in orders.table and is_ours(named) and row.status not in _OVER:
            said = ("not known", f"{row.status}, {row.order_qty}")
            found.append(Difference(f"order {named}", *said, row.instrument))
    ours: dict[str, int] = defaultdict(int)
    instrument_of: dict[str, InstrumentId] = {}
    for book in portfolio.books.values():
        key = key_of(book)
        ours[key] += book.net_qty
        instrument_of[key] = book.instrument
    for key, net_qty in ours.items():
        theirs = snapshot.net_qty.get(key, 0)
        if not covers(theirs, net_qty):
            missing = Missing(key, net_qty, net_qty + untold[key], theirs)
            said = (str(net_qty), str(theirs))
            found.append(Difference(f"position {key}", *said, instrument_of[key], missing))
    return found


def lacking(
    snapshot: BrokerSnapshot,
    orders: OrderManager,
    portfolio: Portfolio,
    carried: Mapping[str, int],
) -> set[str]:
    """Positions of which a trusted look shows less than we own, fills that are still to be told included."""
    looked = with_delivered(snapshot, carried)
    return {
        each.missing.key
        for each in differences(looked, orders, portfolio)
        if each.missing is not None and not covers(each.missing.theirs, each.missing.due)
    }


def with_delivered(snapshot: BrokerSnapshot, carried: Mapping[str, int]) -> BrokerSnapshot:
    """The same look, with the shares we carried for delivery counted where they began.

    They lie in the demat account from the day after they were bought, and positions do not show them.
    No sale beyond them can open anything: the broker refuses to sell shares short for delivery.
    """
    delivered = {key: qty for key, qty in carried.items() if key.endswith(_DELIVERY) and qty > 0}
    if not delivered:
        return snapshot
    net_qty = dict(snapshot.net_qty)
    for key, qty in delivered.items():
        net_qty[key] = net_qty.get(key, 0) + qty
    positions = tuple(
        msgspec.structs.replace(
            row,
            net_qty=row.net_qty + delivered.get(position_key(row.instrument, row.product), 0),
            overnight_qty=row.overnight_qty
            + delivered.get(position_key(row.instrument, row.product), 0),
        )
        for row in snapshot.positions
    )
    return msgspec.structs.replace(snapshot, net_qty=net_qty, positions=positions)


def foreign_net(
    snapshot: BrokerSnapshot, carried: Mapping[str, int], booked: Mapping[str, int]
) -> dict[str, int]:
    """What of each position is not ours: from yesterday, and by today's trades of others.

    ``carried`` is what of it we brought, ``booked`` how much of which trade closed a position of ours.
    """
    keys = {position_key(each.instrument, each.product) for each in snapshot.positions}
    keys |= {position_key(each.instrument, each.product) for each in snapshot.others}
    found = {key: _others_net(key, snapshot, carried.get(key, 0), booked) for key in sorted(keys)}
    return {key: net for key, net in found.items() if net}


def covers(theirs: int, ours: int) -> bool:
    """Whether a net quantity of the account holds all of ours."""
    return abs(theirs) >= abs(ours) and theirs * ours >= 0


def explain(
    missing: Missing,
    snapshot: BrokerSnapshot,
    books: Iterable[Book],
    *,
    carried: int,
    booked: Mapping[str, int],
) -> Explanation:
    """Why the broker shows less than we own.

    ``carried``: what of it we brought from yesterday; ``booked``: how much of which trade of others
    was booked as ours already.

    Trades of others explain it only if they explain all of it: what others held and traded together
    with ours must be exactly the broker's net. They take away ours last: of their trades the latest
    are those that were ours, and none from before we owned anything.
    """
    key, due, theirs = missing.key, missing.due, missing.theirs
    if covers(theirs, due):
        return Explanation(Cause.LATE_FILL)
    theirs_too = _others_net(key, snapshot, carried, booked)
    if due + theirs_too != theirs:
        return Explanation(Cause.UNEXPLAINED)
    sign = 1 if due > 0 else -1
    # Stamps have whole seconds: a trade of the entry's own second may have come after it.
    since = min((_since(book) for book in books if book.net_qty), default=0)
    left = abs(due) - max(theirs * sign, 0)
    chosen: list[tuple[OthersTrade, int]] = []
    for trade in reversed(snapshot.others):
        if _key(trade) != key or trade.side.sign == sign or trade.at < since:
            continue
        qty = min(left, trade.qty - booked.get(trade_name(trade), 0))
        if qty > 0:
            chosen.append((trade, qty))
            left -= qty
    if left:
        return Explanation(Cause.UNEXPLAINED)
    causes = {cause_of(trade) for trade, _ in chosen}
    cause = causes.pop() if len(causes) == 1 else Cause.MANUAL_TRADE
    return Explanation(cause, tuple(reversed(chosen)))


def cause_of(trade: OthersTrade) -> Cause:
    """Who made a trade that no order of the engine's made."""
    if trade.guard:
        return Cause.GUARD
    return Cause.RMS_SQUARE_OFF if trade.rms else Cause.MANUAL_TRADE


def trade_name(trade: OthersTrade) -> str:
    """A trade id is unique only together with its order's exchange; the order makes it so."""
    return f"{trade.order_id}/{trade.trade_id}"


def _others_net(key: str, snapshot: BrokerSnapshot, carried: int, booked: Mapping[str, int]) -> int:
    """What others hold of a position: brought from yesterday, and traded today."""
    overnight = next(
        (
            row.overnight_qty
            for row in snapshot.positions
            if position_key(row.instrument, row.product) == key
        ),
        carried,
    )
    return (overnight - carried) + sum(
        (trade.qty - booked.get(trade_name(trade), 0)) * trade.side.sign
        for trade in snapshot.others
        if _key(trade) == key
    )


def _key(trade: OthersTrade) -> str:
    return position_key(trade.instrument, trade.product)


def _since(book: Book) -> Instant:
    return book.trade.entry_at // SECOND * SECOND if book.trade is not None else 0
