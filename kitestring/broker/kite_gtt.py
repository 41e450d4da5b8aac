"""Kite's triggers (GTT) on the wire: a stop that waits at the broker when no session is open.

kite.trade/docs/connect/v3/gtt. A trigger is a condition and an order, each a JSON text in a form; it
fires once, in market hours, and only ever sends a LIMIT order. It carries no tag: it is known by its
number, and before that is known, by its exact terms.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from kitestring.broker.kite_rows import RowStrange, px_of, read_as, whole
from kitestring.broker.kite_wire import Envelope, Fields, WireRequest
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.ids import InstrumentId, exchange_of, instrument_id, symbol_of
from kitestring.domain.money import Price, rupees_text
from kitestring.domain.orders import Product, Side
from kitestring.domain.unreadable import UNREADABLE

_PATH: Final = "/gtt/triggers"
_PRODUCTS: Final = frozenset({Product.CNC.value, Product.NRML.value})
_SINGLE: Final = "single"


class GttState(StrEnum):
    """Kite's words for what a trigger is. ``triggered``: an order was sent, not that it filled."""

    ACTIVE = "active"
    TRIGGERED = "triggered"
    DISABLED = "disabled"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DELETED = "deleted"


class GttTerms(msgspec.Struct, frozen=True, kw_only=True):
    """One stop as a trigger: what it waits for and what it then sends."""

    instrument: InstrumentId
    product: str
    side: Side
    qty: int
    stop_px: Price
    limit_px: Price


class GttRow(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger in the broker's list. ``terms`` is ``None`` for kinds the house never makes."""

    trigger_id: int
    state: GttState
    terms: GttTerms | None
    order_id: str = ""
    """Of the order it sent."""
    why: str = ""
    """Why the order it sent was refused."""


def place_gtt(terms: GttTerms, last_px: Price) -> WireRequest:
    """``POST /gtt/triggers``. ``last_px`` tells Kite from which side the trigger is reached."""
    if terms.qty <= 0 or terms.product not in _PRODUCTS:
        raise InvariantBroken(f"no trigger can carry this: {terms}")
    below = terms.stop_px < last_px
    if int(last_px) <= 0 or terms.stop_px == last_px or below is not (terms.side is Side.SELL):
        raise InvariantBroken(f"a stop must be reached from the last price {last_px}: {terms}")
    named = {
        "exchange": exchange_of(terms.instrument),
        "tradingsymbol": symbol_of(terms.instrument),
    }
    condition = named | {"trigger_values": [_number(terms.stop_px)], "last_price": _number(last_px)}
    order = named | {
        "transaction_type": terms.side.value,
        "quantity": terms.qty,
        "order_type": "LIMIT",
        "product": terms.product,
        "price": _number(terms.limit_px),
    }
    form: Fields = (("type", _SINGLE), ("condition", _text(condition)), ("orders", _text([order])))
    return WireRequest(method="POST", path=_PATH, form=form)


def delete_gtt(trigger_id: int) -> WireRequest:
    """``DELETE /gtt/triggers/{id}``."""
    return WireRequest(method="DELETE", path=f"{_PATH}/{int(trigger_id)}")


class _Condition(msgspec.Struct):
    exchange: str
    tradingsymbol: str
    trigger_values: list[Decimal]


class _Sent(msgspec.Struct):
    status: str = ""
    order_id: str = ""
    rejection_reason: str | None = None


class _Result(msgspec.Struct):
    order_result: _Sent | None = None


class _Order(msgspec.Struct):
    transaction_type: str
    quantity: Decimal
    product: str
    price: Decimal
    result: _Result | None = None


class _Row(msgspec.Struct):
    id: int
    type: str
    status: str
    condition: _Condition
    orders: list[_Order]


_row = msgspec.json.Decoder(_Row)


def gtt_row(raw: bytes) -> GttRow:
    """One row of ``/gtt/triggers``. Raises ``RowStrange``."""
    row = read_as(raw, _row)
    try:
        state = GttState(row.status)
    except ValueError:
        raise RowStrange(f"status is {row.status[:40]!r}, a word we do not know") from None
    sent = next((each.result.order_result for each in row.orders if each.result is not None), None)
    return GttRow(
        trigger_id=row.id,
        state=state,
        terms=_terms(row),
        order_id=sent.order_id if sent is not None else "",
        why=(sent.rejection_reason or "") if sent is not None else "",
    )


def _terms(row: _Row) -> GttTerms | None:
    if row.type != _SINGLE or len(row.orders) != 1 or len(row.condition.trigger_values) != 1:
        return None
    order = row.orders[0]
    if order.transaction_type not in (Side.BUY.value, Side.SELL.value):
        raise RowStrange(f"transaction_type is {order.transaction_type[:40]!r}")
    return GttTerms(
        instrument=instrument_id(row.condition.exchange, row.condition.tradingsymbol),
        product=order.product,
        side=Side(order.transaction_type),
        qty=whole(order.quantity, "quantity"),
        stop_px=px_of(row.condition.trigger_values[0], "trigger_values"),
        limit_px=px_of(order.price, "price"),
    )


class _TriggerId(msgspec.Struct):
    trigger_id: int


_trigger_id = msgspec.json.Decoder(_TriggerId)


def acked_trigger_id(envelope: Envelope) -> int | None:
    """The number in a successful answer; ``None`` if it names none."""
    if not envelope.succeeded:
        return None
    assert isinstance(envelope.data, msgspec.Raw), "a success has data"
    try:
        return _trigger_id.decode(envelope.data).trigger_id
    except UNREADABLE:
        return None


def _number(px: Price) -> msgspec.Raw:
    """A price as a JSON number, exactly as it is."""
    if int(px) <= 0:
        raise InvariantBroken(f"a price of {rupees_text(px)} cannot be asked for")
    return msgspec.Raw(rupees_text(px).encode())


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
