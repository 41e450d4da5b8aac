"""What an order can be called at Kite, and which name may follow which.

Names and their order: the order history in kite.trade/docs/connect/v3/orders, and the eight rows of
the official sample ``order_info.json``. A partial fill keeps the name and raises ``filled_quantity``,
so every name of a live order may follow itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class OrderStatus(StrEnum):
    """Kite's spelling."""

    PUT_RECEIVED = "PUT ORDER REQ RECEIVED"
    AMO_RECEIVED = "AMO REQ RECEIVED"
    VALIDATION_PENDING = "VALIDATION PENDING"
    OPEN_PENDING = "OPEN PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER PENDING"
    MODIFY_VALIDATION_PENDING = "MODIFY VALIDATION PENDING"
    MODIFY_PENDING = "MODIFY PENDING"
    MODIFIED = "MODIFIED"
    CANCEL_PENDING = "CANCEL PENDING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    CANCELLED_AMO = "CANCELLED AMO"
    REJECTED = "REJECTED"

    @property
    def over(self) -> bool:
        """Nothing more can happen to the order."""
        return self in TERMINAL

    @property
    def resting(self) -> bool:
        """The order waits and can be changed."""
        return self in RESTING


_S = OrderStatus

TERMINAL: Final = frozenset({_S.COMPLETE, _S.CANCELLED, _S.CANCELLED_AMO, _S.REJECTED})
RESTING: Final = frozenset({_S.OPEN, _S.TRIGGER_PENDING, _S.AMO_RECEIVED})

_ENDS: Final = frozenset({_S.COMPLETE, _S.CANCELLED, _S.REJECTED})
_RESTS: Final = frozenset({_S.OPEN, _S.TRIGGER_PENDING})

FOLLOWERS: Final[Mapping[OrderStatus, frozenset[OrderStatus]]] = MappingProxyType(
    {
        _S.PUT_RECEIVED: frozenset({_S.VALIDATION_PENDING}),
        _S.AMO_RECEIVED: frozenset(
            {_S.AMO_RECEIVED, _S.VALIDATION_PENDING, _S.CANCELLED_AMO, _S.REJECTED}
        ),
        _S.VALIDATION_PENDING: frozenset({_S.OPEN_PENDING, _S.REJECTED}),
        _S.OPEN_PENDING: _RESTS | {_S.REJECTED},
        _S.OPEN: _ENDS | {_S.OPEN, _S.MODIFY_VALIDATION_PENDING, _S.CANCEL_PENDING},
        _S.TRIGGER_PENDING: frozenset(
            {
                _S.OPEN,
                _S.CANCELLED,
                _S.REJECTED,
                _S.MODIFY_VALIDATION_PENDING,
                _S.CANCEL_PENDING,
            }
        ),
        _S.MODIFY_VALIDATION_PENDING: _ENDS | {_S.MODIFY_VALIDATION_PENDING, _S.MODIFY_PENDING},
        _S.MODIFY_PENDING: _ENDS | _RESTS | {_S.MODIFY_PENDING, _S.MODIFIED},
        _S.MODIFIED: _RESTS,
        _S.CANCEL_PENDING: _ENDS | _RESTS | {_S.CANCEL_PENDING},
        _S.COMPLETE: frozenset(),
        _S.CANCELLED: frozenset(),
        _S.CANCELLED_AMO: frozenset(),
        _S.REJECTED: frozenset(),
    }
)
"""What may come after what. A refused change falls back to where the order rests."""
