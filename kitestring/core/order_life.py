"""The life of an order: every state it may be in, and every way between them.

A pair missing from TRANSITIONS is not a transition. A broker that asks for one has surprised us:
the order keeps its state, and the house takes no new risk until the surprise is explained.

``RESTING`` in the table means "working, as far filled as it is": NEW while nothing has traded,
PARTIALLY_FILLED afterwards. A TRADE that completes the order makes it FILLED from any row below.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from kitestring.domain.orders import ExecType, OrdStatus

RESTING: Final = OrdStatus.NEW

_S, _E = OrdStatus, ExecType

TRANSITIONS: Final = MappingProxyType(
    {
        (_S.PENDING_NEW, _E.PENDING_NEW): _S.PENDING_NEW,
        (_S.PENDING_NEW, _E.NEW): RESTING,
        (_S.PENDING_NEW, _E.TRIGGERED): RESTING,
        (_S.PENDING_NEW, _E.TRADE): RESTING,  # A fill may outrun its acknowledgement.
        (_S.PENDING_NEW, _E.CANCELED): _S.CANCELED,  # IOC, or the broker's risk desk.
        (_S.PENDING_NEW, _E.REJECTED): _S.REJECTED,
        (_S.PENDING_NEW, _E.UNKNOWN): _S.UNKNOWN,
        (_S.NEW, _E.PENDING_NEW): RESTING,  # Told late: Kite's updates are not ordered.
        (_S.NEW, _E.NEW): RESTING,
        (_S.NEW, _E.TRIGGERED): RESTING,
        (_S.NEW, _E.TRADE): RESTING,
        (_S.NEW, _E.REPLACED): RESTING,  # Changed from the phone: the broker's word counts.
        (_S.NEW, _E.CANCELED): _S.CANCELED,
        (_S.NEW, _E.REJECTED): _S.REJECTED,  # A stop refused when its trigger released it.
        (_S.NEW, _E.CANCEL_REJECTED): RESTING,
        (_S.NEW, _E.REPLACE_REJECTED): RESTING,
        (_S.PARTIALLY_FILLED, _E.PENDING_NEW): RESTING,
        (_S.PARTIALLY_FILLED, _E.NEW): RESTING,
        (_S.PARTIALLY_FILLED, _E.TRIGGERED): RESTING,
        (_S.PARTIALLY_FILLED, _E.TRADE): RESTING,
        (_S.PARTIALLY_FILLED, _E.REPLACED): RESTING,
        (_S.PARTIALLY_FILLED, _E.CANCELED): _S.CANCELED,
        (_S.PARTIALLY_FILLED, _E.CANCEL_REJECTED): RESTING,
        (_S.PARTIALLY_FILLED, _E.REPLACE_REJECTED): RESTING,
        (_S.PENDING_REPLACE, _E.NEW): _S.PENDING_REPLACE,
        (_S.PENDING_REPLACE, _E.TRIGGERED): _S.PENDING_REPLACE,
        (_S.PENDING_REPLACE, _E.TRADE): _S.PENDING_REPLACE,  # Fills outrun modifications.
        (_S.PENDING_REPLACE, _E.REPLACED): RESTING,
        (_S.PENDING_REPLACE, _E.REPLACE_REJECTED): RESTING,
        (_S.PENDING_REPLACE, _E.CANCELED): _S.CANCELED,
        (_S.PENDING_REPLACE, _E.REJECTED): _S.REJECTED,
        (_S.PENDING_REPLACE, _E.UNKNOWN): _S.UNKNOWN,
        (_S.PENDING_CANCEL, _E.NEW): _S.PENDING_CANCEL,
        (_S.PENDING_CANCEL, _E.TRIGGERED): _S.PENDING_CANCEL,
        (
            _S.PENDING_CANCEL,
            _E.TRADE,
        ): _S.PENDING_CANCEL,  # Fills outrun cancels, in the real world.
        (_S.PENDING_CANCEL, _E.REPLACED): _S.PENDING_CANCEL,
        (_S.PENDING_CANCEL, _E.REPLACE_REJECTED): _S.PENDING_CANCEL,
        (_S.PENDING_CANCEL, _E.CANCELED): _S.CANCELED,
        (_S.PENDING_CANCEL, _E.CANCEL_REJECTED): RESTING,
        (_S.PENDING_CANCEL, _E.REJECTED): _S.REJECTED,
        (_S.PENDING_CANCEL, _E.UNKNOWN): _S.UNKNOWN,
        (_S.UNKNOWN, _E.UNKNOWN): _S.UNKNOWN,
        (_S.UNKNOWN, _E.PENDING_NEW): _S.PENDING_NEW,
        (_S.UNKNOWN, _E.NEW): RESTING,
        (_S.UNKNOWN, _E.TRIGGERED): RESTING,
        (_S.UNKNOWN, _E.TRADE): RESTING,
        (_S.UNKNOWN, _E.REPLACED): RESTING,
        (_S.UNKNOWN, _E.CANCELED): _S.CANCELED,
        (_S.UNKNOWN, _E.REJECTED): _S.REJECTED,
        # Only an acknowledged order is changed or withdrawn: a refusal of that finds it as it was.
        (_S.UNKNOWN, _E.CANCEL_REJECTED): RESTING,
        (_S.UNKNOWN, _E.REPLACE_REJECTED): RESTING,
        # The end is the end; what is told again, or crossed our last request, changes nothing.
        (_S.FILLED, _E.NEW): _S.FILLED,
        (_S.FILLED, _E.TRIGGERED): _S.FILLED,
        (_S.FILLED, _E.REPLACED): _S.FILLED,
        (_S.FILLED, _E.CANCEL_REJECTED): _S.FILLED,
        (_S.FILLED, _E.REPLACE_REJECTED): _S.FILLED,
        (_S.CANCELED, _E.NEW): _S.CANCELED,
        (_S.CANCELED, _E.TRIGGERED): _S.CANCELED,
        (_S.CANCELED, _E.REPLACED): _S.CANCELED,
        (_S.CANCELED, _E.CANCELED): _S.CANCELED,
        (_S.CANCELED, _E.CANCEL_REJECTED): _S.CANCELED,
        (_S.CANCELED, _E.REPLACE_REJECTED): _S.CANCELED,
        (_S.CANCELED, _E.TRADE): _S.CANCELED,  # A fill told after its cancel is still a fill.
        (_S.REJECTED, _E.REJECTED): _S.REJECTED,
        (_S.REJECTED, _E.NEW): _S.REJECTED,
        (_S.REJECTED, _E.CANCEL_REJECTED): _S.REJECTED,
        (_S.REJECTED, _E.REPLACE_REJECTED): _S.REJECTED,
    }
)
