"""Where an order stands, as far as the live side acts differently on it, from Kite's many words."""

from __future__ import annotations

from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from kitestring.broker.kite_rows import KiteStatus, OrderRow
from kitestring.domain.orders import OrdStatus

_K: Final = KiteStatus


class Stage(Enum):
    """Kite's states, grouped."""

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

    @property
    def over(self) -> bool:
        """Nothing more can happen to the order."""
        return self in (Stage.COMPLETE, Stage.CANCELLED, Stage.REJECTED)

    @property
    def stands(self) -> bool:
        """The order rests and nothing is on its way."""
        return self in (Stage.RESTING, Stage.ARMED)


STAGES: Final = MappingProxyType(
    {
        _K.PUT_RECEIVED: Stage.PENDING,
        _K.AMO_RECEIVED: Stage.PENDING,
        _K.VALIDATION_PENDING: Stage.PENDING,
        _K.OPEN_PENDING: Stage.PENDING,
        _K.OPEN: Stage.RESTING,
        _K.TRIGGER_PENDING: Stage.ARMED,
        _K.MODIFY_VALIDATION_PENDING: Stage.CHANGING,
        _K.MODIFY_PENDING: Stage.CHANGING,
        _K.MODIFIED: Stage.CHANGING,
        _K.UPDATE: Stage.CHANGING,
        _K.CANCEL_PENDING: Stage.CANCELLING,
        _K.COMPLETE: Stage.COMPLETE,
        _K.CANCELLED: Stage.CANCELLED,
        _K.CANCELLED_AMO: Stage.CANCELLED,
        _K.REJECTED: Stage.REJECTED,
    }
)
_OVER: Final = MappingProxyType(
    {
        Stage.COMPLETE: OrdStatus.FILLED,
        Stage.CANCELLED: OrdStatus.CANCELED,
        Stage.REJECTED: OrdStatus.REJECTED,
        Stage.PENDING: OrdStatus.PENDING_NEW,
        Stage.CHANGING: OrdStatus.PENDING_REPLACE,
        Stage.CANCELLING: OrdStatus.PENDING_CANCEL,
    }
)


def stage_of(row: OrderRow) -> Stage:
    """Where a row stands."""
    return STAGES[row.status]


def over_by_word(word: object) -> bool:
    """Whether an update's word says that an order is over; an unknown word says nothing."""
    return isinstance(word, str) and word in set(_K) and _K(word).over


def house_status(row: OrderRow) -> OrdStatus:
    """The house's word for a row, as snapshots use it."""
    usual = OrdStatus.PARTIALLY_FILLED if row.cum_qty else OrdStatus.NEW
    return _OVER.get(stage_of(row), usual)


def said_of(row: OrderRow) -> str:
    """The broker's sentence on an order: the friendly one, or the exchange's own."""
    return row.status_message or row.status_message_raw
