"""Kite's order book, trade book and positions as rows: read leniently, but never guessed.

Rows differ in which fields they have, and prices come with the noise of binary fractions; what drives
an order's state must be there and make sense, or the whole read is refused. A status is a word from a
list that Kite calls incomplete: an unknown one is kept and named, never taken for something else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum, auto
from typing import Final

import msgspec

from kitestring.domain.errors import BrokerError
from kitestring.domain.ids import InstrumentId, instrument_id
from kitestring.domain.instants import IST, Instant, instant_of
from kitestring.domain.money import UNITS_PER_RUPEE, Price

Json = Mapping[str, object]


class BookDamaged(BrokerError):
    """A book came without what it cannot be without; nothing of it is believed."""


class Stage(Enum):
    """Where an order stands, as far as the house acts differently on it."""

    PENDING = auto()
    """On its way: the exchange has not answered yet."""
    RESTING = auto()
    ARMED = auto()
    """A stop that waits for its trigger."""
    CHANGING = auto()
    CANCELLING = auto()
    COMPLETE = auto()
    CANCELLED = auto()
    REJECTED = auto()
    UNHEARD_OF = auto()
    """A word we do not know."""

    @property
    def over(self) -> bool:
        """Nothing more can happen to the order."""
        return self in (Stage.COMPLETE, Stage.CANCELLED, Stage.REJECTED)

    @property
    def stands(self) -> bool:
        """The order rests and nothing is on its way."""
        return self in (Stage.RESTING, Stage.ARMED)


STAGES: Final[Mapping[str, Stage]] = {
    "PUT ORDER REQ RECEIVED": Stage.PENDING,
    "AMO REQ RECEIVED": Stage.PENDING,
    "VALIDATION PENDING": Stage.PENDING,
    "OPEN PENDING": Stage.PENDING,
    "OPEN": Stage.RESTING,
    "TRIGGER PENDING": Stage.ARMED,
    "MODIFY VALIDATION PENDING": Stage.CHANGING,
    "MODIFY PENDING": Stage.CHANGING,
    "MODIFIED": Stage.CHANGING,
    "CANCEL PENDING": Stage.CANCELLING,
    "COMPLETE": Stage.COMPLETE,
    "CANCELLED": Stage.CANCELLED,
    "CANCELLED AMO": Stage.CANCELLED,
    "REJECTED": Stage.REJECTED,
}


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order as the book shows it. Instants of 0 are not given."""

    order_id: str
    status: str
    stage: Stage
    instrument: InstrumentId
    side: str
    product: str
    variety: str
    order_type: str
    qty: int
    filled: int
    price: Price
    trigger: Price
    tag: str
    tags: tuple[str, ...]
    text: str
    reached_exchange: bool
    order_at: Instant
    update_at: Instant


class TradeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fill."""

    trade_id: str
    order_id: str
    qty: int
    px: Price
    at: Instant


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """The account's net quantity of one contract in one product."""

    instrument: InstrumentId
    product: str
    net_qty: int


def order_rows(rows: Iterable[object]) -> list[OrderRow]:
    """``GET /orders``; raises ``BookDamaged``."""
    found = [_order_row(_fields(row, "order")) for row in rows]
    if len({row.order_id for row in found}) != len(found):
        raise BookDamaged("The order book shows an order twice; the read is not believed.")
    return found


def trade_rows(rows: Iterable[object]) -> list[TradeRow]:
    """``GET /trades``; raises ``BookDamaged``."""
    return [_trade_row(_fields(row, "trade")) for row in rows]


def position_rows(positions: object) -> list[PositionRow]:
    """The ``net`` rows of ``GET /portfolio/positions``; raises ``BookDamaged``."""
    net = _fields(positions, "positions").get("net")
    if not isinstance(net, list):
        raise BookDamaged("The positions came without their net rows; the read is not believed.")
    found: list[PositionRow] = []
    for each in net:
        row = _fields(each, "position")
        name = instrument_id(_word(row, "exchange"), _word(row, "tradingsymbol"))
        found.append(
            PositionRow(
                instrument=name, product=_word(row, "product"), net_qty=_whole(row, "quantity")
            )
        )
    return found


def _order_row(row: Json) -> OrderRow:
    status = _word(row, "status")
    qty, filled = _whole(row, "quantity"), _whole(row, "filled_quantity")
    order_id = _word(row, "order_id")
    if not 0 <= filled <= qty:
        raise BookDamaged(
            f"Order {order_id} shows {filled} filled of {qty}; the read is not believed."
        )
    tags = row.get("tags")
    return OrderRow(
        order_id=order_id,
        status=status,
        stage=STAGES.get(status, Stage.UNHEARD_OF),
        instrument=instrument_id(_word(row, "exchange"), _word(row, "tradingsymbol")),
        side=_word(row, "transaction_type"),
        product=_word(row, "product"),
        variety=_text(row, "variety") or "regular",
        order_type=_text(row, "order_type"),
        qty=qty,
        filled=filled,
        price=_price(row, "price"),
        trigger=_price(row, "trigger_price"),
        tag=_text(row, "tag"),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        text=_text(row, "status_message") or _text(row, "status_message_raw"),
        reached_exchange=bool(row.get("exchange_order_id")),
        order_at=kite_instant(row.get("order_timestamp")),
        update_at=kite_instant(row.get("exchange_update_timestamp"))
        or kite_instant(row.get("exchange_timestamp")),
    )


def _trade_row(row: Json) -> TradeRow:
    qty, px = _whole(row, "quantity"), _price(row, "average_price")
    trade_id = _word(row, "trade_id")
    if qty <= 0 or int(px) <= 0:
        raise BookDamaged(f"Trade {trade_id} has no quantity or price; the read is not believed.")
    return TradeRow(
        trade_id=trade_id,
        order_id=_word(row, "order_id"),
        qty=qty,
        px=px,
        at=kite_instant(row.get("fill_timestamp")) or kite_instant(row.get("exchange_timestamp")),
    )


def kite_instant(told: object) -> Instant:
    """``2026-11-20 10:00:00`` in India; 0 where nothing readable is told."""
    if not isinstance(told, str):
        return 0
    try:
        moment = dt.datetime.fromisoformat(told)
    except ValueError:
        return 0
    return instant_of(moment if moment.tzinfo is not None else moment.replace(tzinfo=IST))


def _fields(row: object, what: str) -> Json:
    """A row as a mapping of names."""
    if not isinstance(row, Mapping):
        raise BookDamaged(f"A row of the {what} book is no row; the read is not believed.")
    return row


def _text(row: Json, name: str) -> str:
    told = row.get(name)
    return told if isinstance(told, str) else ""


def _word(row: Json, name: str) -> str:
    told = _text(row, name)
    if not told:
        raise BookDamaged(f"A row of the broker's books has no {name}; the read is not believed.")
    return told


def _whole(row: Json, name: str) -> int:
    told = row.get(name)
    if isinstance(told, bool) or not isinstance(told, int | float | Decimal) or told % 1:
        raise BookDamaged(
            f"A row of the broker's books has a {name} of {told!r}; the read is not believed."
        )
    return int(told)


def _price(row: Json, name: str) -> Price:
    told: object = row.get(name)
    if told is None:
        return Price(0)
    if isinstance(told, bool) or not isinstance(told, int | float | Decimal) or not abs(told) < 10**11:
        raise BookDamaged(
            f"A row of the broker's books has a {name} of {told!r}; the read is not believed."
        )
    return Price(round(told * UNITS_PER_RUPEE))
