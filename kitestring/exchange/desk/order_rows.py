"""One order as Kite's order book shows it: its states so far, its trades, and the rows of both.

Fields and their types: the official samples orders.json, order_info.json, trades.json and
postback.json. A row is made from a state, so that the history of an order is simply all of its
states, in order.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import UNITS_PER_RUPEE, Price
from kitestring.domain.orders import OrdType
from kitestring.exchange.desk.kite_time import kite_time, kite_time_or_none
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.desk.order_status import OrderStatus
from kitestring.exchange.desk.order_ticket import OrderTicket

Row = dict[str, object]
"""A JSON object. Rows are shared with the desk's memory: readers do not change them."""


class Source(StrEnum):
    """Who sent an order: this app, the same user by another app, or the broker's risk desk."""

    APP = "app"
    PHONE = "phone"
    RMS = "rms"


def number(units: int) -> int | float:
    """Price units as JSON has them: whole rupees without a point."""
    whole, rest = divmod(units, UNITS_PER_RUPEE)
    return units / UNITS_PER_RUPEE if rest else whole


class OrderState(msgspec.Struct, frozen=True, gc=False):
    """What may change of an order. Instants of 0 have not happened."""

    status: OrderStatus
    order_at: Instant
    """Its last registration with the API: moves with every change asked for."""
    order_type: str
    validity: str
    ttl: int
    quantity: int
    disclosed: int
    price: int
    trigger_price: int
    tags: tuple[str, ...] = ()
    message: str | None = None
    raw: str | None = None
    exchange_order_id: str | None = None
    exchange_at: Instant = 0
    exchange_update_at: Instant = 0
    filled: int = 0
    value: int = 0
    """Sum of quantity × price, in price units."""
    modified: bool = False


class Change(msgspec.Struct, frozen=True):
    """What a modification on its way asks for; figures of 0 stay as they are."""

    kind: OrdType
    quantity: int
    price: Price
    trigger_price: Price
    validity: str
    ttl: int
    disclosed: int
    protection_bp: int
    to_market: bool
    """It asks for MARKET: the limit is drawn anew from the last price and the protection."""


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One fill."""

    trade_id: str
    at: Instant
    quantity: int
    price: int


class OrderRecord:
    """One order of the day: what was asked for, every state it was in, and its trades."""

    __slots__ = (
        "_row",
        "account_id",
        "asked",
        "children",
        "guid",
        "kind",
        "leg",
        "meta",
        "modifications",
        "order_id",
        "parent_order_id",
        "placed_by",
        "protection_bp",
        "quantity_left",
        "source",
        "states",
        "ticket",
        "trades",
        "triggered",
        "withdrawn",
    )

    def __init__(
        self,
        order_id: str,
        ticket: OrderTicket,
        status: OrderStatus,
        now: Instant,
        *,
        source: Source,
        account_id: str,
        placed_by: str,
        guid: str | None,
        tags: tuple[str, ...],
        parent_order_id: str | None,
    ) -> None:
        self.order_id = order_id
        self.ticket = ticket
        self.source = source
        self.account_id = account_id
        self.placed_by = placed_by
        self.guid = guid
        self.parent_order_id = parent_order_id
        self.kind = ticket.order_type
        """What it was asked to be; the book may show a MARKET order as LIMIT."""
        self.protection_bp = ticket.protection_bp
        self.states = [
            OrderState(
                status,
                now,
                ticket.order_type.value,
                ticket.validity,
                ticket.ttl,
                ticket.quantity,
                ticket.disclosed,
                int(ticket.price),
                int(ticket.trigger_price),
                tags,
            )
        ]
        self.trades: list[Trade] = []
        self.children: list[OrderRecord] = []
        self.modifications = 0
        self.asked: Change | None = None
        """What the change that is on its way asks for."""
        self.withdrawn: tuple[str, str] | None = None
        """Why the broker or the exchange withdraws it, in both voices; ``None``: nobody does."""
        self.triggered = False
        self.leg = 1
        self.quantity_left = 0
        """Of an iceberg: what the legs after this one have still to trade."""
        self.meta: Row = {}
        self._row: Row | None = None

    @property
    def state(self) -> OrderState:
        """The order as it stands."""
        return self.states[-1]

    @property
    def status(self) -> OrderStatus:
        """Kite's name for where it stands."""
        return self.states[-1].status

    @property
    def live(self) -> bool:
        """Something can still happen to it."""
        return not self.states[-1].status.over

    @property
    def is_stop(self) -> bool:
        """It waits for its trigger."""
        return not self.triggered and self.kind in (OrdType.SL, OrdType.SL_M)

    @property
    def rests_as(self) -> OrderStatus:
        """Where it stands while nothing is on its way."""
        return OrderStatus.TRIGGER_PENDING if self.is_stop else OrderStatus.OPEN

    def move(self, state: OrderState) -> None:
        """Enter the next state."""
        self.states.append(state)
        self._row = None

    def row(self, settings: OrderSettings) -> Row:
        """The order book's row."""
        if self._row is None:
            self._row = order_row(self, self.states[-1], settings)
        return self._row


def order_row(order: OrderRecord, state: OrderState, settings: OrderSettings) -> Row:
    """An order in one of its states, with every field Kite has."""
    ticket = order.ticket
    instrument = ticket.instrument
    status = state.status
    pending = cancelled = 0
    if not status.over:
        pending = state.quantity - state.filled
    elif status is OrderStatus.CANCELLED or status is OrderStatus.CANCELLED_AMO:
        # Samples: both figures hold the rest, or of an auction order only the first.
        rest = state.quantity - state.filled
        cancelled = 0 if ticket.variety == "auction" else rest
        pending = rest if settings.pending_after_cancel or not cancelled else 0
    protection = 0.0
    if settings.protection_echoed and order.protection_bp > 0:
        protection = order.protection_bp / 100
    elif settings.protection_echoed and ticket.protected:
        protection = -1
    row: Row = {
        "account_id": order.account_id,
        "placed_by": order.placed_by,
        "order_id": order.order_id,
        "exchange_order_id": state.exchange_order_id,
        "parent_order_id": order.parent_order_id,
        "status": status.value,
        "status_message": state.message,
        "status_message_raw": state.raw,
        "order_timestamp": kite_time(state.order_at),
        "exchange_update_timestamp": kite_time_or_none(state.exchange_update_at),
        "exchange_timestamp": kite_time_or_none(state.exchange_at),
        "variety": ticket.variety,
        "modified": state.modified,
        "exchange": instrument.exchange,
        "tradingsymbol": instrument.symbol,
        "instrument_token": instrument.token,
        "order_type": state.order_type,
        "transaction_type": ticket.side.value,
        "validity": state.validity,
        "validity_ttl": state.ttl,
        "product": ticket.product,
        "quantity": state.quantity,
        "disclosed_quantity": state.disclosed,
        "price": number(state.price),
        "trigger_price": number(state.trigger_price),
        "average_price": average_price(state.value, state.filled),
        "filled_quantity": state.filled,
        "pending_quantity": pending,
        "cancelled_quantity": cancelled,
        "market_protection": protection or 0,
        "meta": order.meta,
        "tag": ticket.tag,
        "guid": order.guid,
    }
    if state.tags:
        row["tags"] = list(state.tags)
    if ticket.auction_number:
        row["auction_number"] = ticket.auction_number
    return row


def average_price(value: int, quantity: int) -> int | float:
    """What one unit cost on average; 0 until something traded."""
    if not quantity:
        return 0
    whole, rest = divmod(value, quantity * UNITS_PER_RUPEE)
    return value / (quantity * UNITS_PER_RUPEE) if rest else whole


def trade_row(order: OrderRecord, trade: Trade) -> Row:
    """One row of the trade book; its ``order_timestamp`` is a time of day."""
    ticket = order.ticket
    at = kite_time(trade.at)
    return {
        "trade_id": trade.trade_id,
        "order_id": order.order_id,
        "exchange": ticket.instrument.exchange,
        "tradingsymbol": ticket.instrument.symbol,
        "instrument_token": ticket.instrument.token,
        "product": ticket.product,
        "average_price": number(trade.price),
        "quantity": trade.quantity,
        "exchange_order_id": order.state.exchange_order_id,
        "transaction_type": ticket.side.value,
        "fill_timestamp": at,
        "order_timestamp": ist_clock(trade.at),
        "exchange_timestamp": at,
    }


class OrderUpdate(msgspec.Struct, frozen=True):
    """What is pushed to clients: ``row`` is the ``data`` of a WebSocket frame and a postback's body.

    ``to_postback``: sent to the app's postback address too, because this app placed the order.
    """

    at: Instant
    order_id: str
    row: Row
    to_postback: bool


_NOT_PUSHED: Final = ("account_id", "tags", "modified", "validity_ttl", "auction_number")


def pushed_row(
    order: OrderRecord,
    settings: OrderSettings,
    *,
    status: str,
    user_id: str,
    app_id: int,
    api_secret: str,
) -> Row:
    """The pushed form of an order; signed as kite.trade/docs/connect/v3/postbacks says."""
    state = order.state
    row: Row = {
        "user_id": user_id,
        "unfilled_quantity": state.quantity - state.filled if order.live else 0,
        "app_id": app_id,
        "checksum": "",
    }
    row |= order.row(settings)
    for name in _NOT_PUSHED:
        row.pop(name, None)
    row["status"] = status
    signed = f"{order.order_id}{row['order_timestamp']}{api_secret}"
    row["checksum"] = hashlib.sha256(signed.encode()).hexdigest()
    return row
