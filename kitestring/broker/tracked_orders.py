"""What the live side remembers of each order it has sent: what was asked, heard, and told onwards.

Only for finding out what is new; the house's own record of an order is the core's.
"""

from __future__ import annotations

from enum import Enum, auto

import msgspec

from kitestring.broker.kite_rows import OrderRow
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import Order, OrdStatus, OrdType
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder

STOPS = (OrdType.SL, OrdType.SL_M)
_PRICED = (OrdType.LIMIT, OrdType.SL)


class Sent(Enum):
    """What is known of a request that was sent."""

    WAITING = auto()
    """In line, or for the order's id."""
    UNDER_WAY = auto()
    ACKED = auto()
    UNKNOWN = auto()
    REFUSED = auto()


class Change(msgspec.Struct, eq=False):
    """One modification or cancellation on its way to its answer."""

    command: ModifyOrder | CancelOrder
    sent: Sent = Sent.WAITING
    of_our_own: bool = False
    """The broker side's own cancel of an order that was believed dead: nobody waits for an answer."""
    answered_s: float = 0.0
    base_order_at: Instant = 0
    """When the order was last registered before this change left."""
    invisible: bool = False
    """The row looked as wanted before it left: only its registration can show that it arrived."""
    text: str = ""
    reads: int = 0
    """Successful reads since its answer that show no trace of it."""

    @property
    def cancels(self) -> bool:
        """It withdraws the order."""
        return isinstance(self.command, CancelOrder)


class Tracked(msgspec.Struct, eq=False, kw_only=True):
    """One order of ours."""

    cl_ord_id: str
    instrument: InstrumentId
    side: str
    product: str
    exits: bool
    ord_type: OrdType
    """What it is now: a change may make a stop a LIMIT order."""
    protection_bp: int | None
    qty: int
    price: Price | None
    stop_px: Price | None
    asked_s: float
    sent: Sent = Sent.WAITING
    order_id: str = ""
    variety: str = "regular"
    answered_s: float = 0.0
    """When the answer to its placing came, or did not come."""
    row: OrderRow | None = None
    told_new: bool = False
    told_anything: bool = False
    told_trigger: bool = False
    over: bool = False
    """Its end has been told."""
    believed_dead: bool = False
    """It was told as refused, because it was, or because nothing was ever seen of it."""
    trade_ids: set[str] = msgspec.field(default_factory=set)
    told_qty: int = 0
    filled_max: int = 0
    terms_at: Instant = 0
    changes: list[Change] = msgspec.field(default_factory=list)
    reads_without: int = 0
    registered_at: Instant = 0
    """The latest time at which Kite says the order, or a change of it, was registered."""
    older_reads: int = 0
    seen_before: frozenset[str] = frozenset()
    """Orders that were in the book before it was sent."""
    hinted_filled: int = 0
    hinted_over: bool = False
    hinted_s: float = 0.0
    asked_at: Instant = 0
    """Of an order taken up after a restart: when the house decided to send it."""
    untold_since_s: float = -1.0
    """Since when the book counts trades of it that the trade book has not shown."""

    @property
    def is_stop(self) -> bool:
        """It waits, or waited, for a trigger."""
        return self.ord_type in STOPS

    @property
    def unsettled(self) -> bool:
        """Something may still happen to it, or is still to be told."""
        return not self.over or bool(self.changes)

    def take_terms(self, row: OrderRow) -> None:
        """What the book shows is what has been told now."""
        self.qty = row.order_qty
        if row.price and self.price is not None:
            self.price = row.price
        if row.stop_px and self.stop_px is not None:
            self.stop_px = row.stop_px

    def differs(self, row: OrderRow) -> bool:
        """The book shows other terms than those last told.

        A protected MARKET order is shown as the LIMIT it became: where no price was asked for, none
        is compared.
        """
        return (
            row.order_qty != self.qty
            or (self.price is not None and bool(row.price) and row.price != self.price)
            or (self.stop_px is not None and bool(row.stop_px) and row.stop_px != self.stop_px)
        )


def tracked(command: PlaceOrder, s: float) -> Tracked:
    """An order about to be sent."""
    intent = command.intent
    return Tracked(
        cl_ord_id=command.cl_ord_id,
        instrument=intent.instrument,
        side=intent.side.value,
        product=intent.product.value,
        exits=intent.purpose.value != "ENTRY",
        ord_type=intent.ord_type,
        protection_bp=intent.market_protection_bp,
        qty=intent.order_qty,
        price=intent.price if intent.ord_type in _PRICED else None,
        stop_px=intent.stop_px,
        asked_s=s,
    )


def taken_up(order: Order, s: float) -> Tracked:
    """An order of the journal after a restart: what left may have arrived, whatever we were told."""
    known = order.order_id is not None
    fresh = order.status in (OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN)
    resting = order.status in (
        OrdStatus.NEW,
        OrdStatus.PARTIALLY_FILLED,
        OrdStatus.PENDING_REPLACE,
        OrdStatus.PENDING_CANCEL,
    )
    return Tracked(
        cl_ord_id=order.cl_ord_id,
        instrument=order.instrument,
        side=order.side.value,
        product=order.product.value,
        exits=order.is_exit,
        ord_type=order.ord_type,
        protection_bp=None,
        qty=order.order_qty,
        price=order.price if order.ord_type in _PRICED else None,
        stop_px=order.stop_px,
        asked_s=s,
        asked_at=order.created_at,
        sent=Sent.ACKED if known else Sent.UNKNOWN,
        order_id=order.order_id or "",
        answered_s=s,
        told_new=resting or (known and not fresh),
        told_anything=known or not fresh,
        told_trigger=order.triggered_at is not None,
        over=order.status.terminal,
        believed_dead=order.status is OrdStatus.REJECTED,
        trade_ids=set(order.exec_ids),
        told_qty=order.cum_qty,
        filled_max=order.cum_qty,
        terms_at=order.terms_at,
    )


def wanted(change: ModifyOrder, row: OrderRow) -> bool:
    """Whether a row shows what a modification asked for."""
    return (
        (change.order_qty is None or row.order_qty == change.order_qty)
        and (change.price is None or row.price == change.price)
        and (change.stop_px is None or row.stop_px == change.stop_px)
    )
