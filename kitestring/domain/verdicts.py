"""What risk answers to an intent. Only ``Approved`` can become an order: there is no other way to build one."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kitestring.domain.ids import ClOrdId, InstrumentId, SignalId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrderIntent, OrdType, Side


class HaltPolicy(StrEnum):
    """What the house does with open positions when the day is halted."""

    FLATTEN = "flatten"
    """Close everything we own: losses must stop."""
    KEEP_PROTECTED = "keep protected"
    """Keep positions under their stops: the data cannot be trusted enough to trade on."""


class Approved(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="approved"):
    """Risk says yes, to exactly this intent."""

    intent: OrderIntent
    at: Instant


class Reduced(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="reduced"):
    """Risk says yes to less than was asked; ``approved`` holds the smaller intent."""

    approved: Approved
    asked_qty: int
    code: str
    sentence: str


class Blocked(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="blocked"):
    """Risk says no: a code for machines and one sentence, in rupees, for people."""

    strategy: StrategyId
    instrument: InstrumentId
    side: Side
    code: str
    sentence: str
    at: Instant
    signal_id: SignalId | None = None


class HaltSession(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="halt"):
    """Risk ends the day's entries, latched until tomorrow; ``policy`` says what happens to positions."""

    code: str
    sentence: str
    policy: HaltPolicy
    at: Instant


RiskVerdict = Approved | Reduced | Blocked | HaltSession


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="place"):
    """Send a new order. Holds the approval it was built from; without one it cannot be built."""

    cl_ord_id: ClOrdId
    approved: Approved

    @property
    def intent(self) -> OrderIntent:
        """The order as approved."""
        return self.approved.intent


class ModifyOrder(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="modify"):
    """Change a working order; ``None`` leaves a field as it is."""

    cl_ord_id: ClOrdId
    at: Instant
    order_qty: int | None = None
    ord_type: OrdType | None = None
    price: Price | None = None
    stop_px: Price | None = None
    market_protection_bp: int | None = None
    """Where it becomes MARKET: how far it may go, in basis points; None = what the order was given."""


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="cancel"):
    """Withdraw a working order."""

    cl_ord_id: ClOrdId
    at: Instant
    reason: str = ""


Command = PlaceOrder | ModifyOrder | CancelOrder
"""What leaves the core for the broker; journalled before the first byte goes out."""
