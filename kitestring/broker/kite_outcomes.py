"""What came of an order request: taken, refused for certain, unknown, or never sent.

A failed call says nothing about whether the order exists. Only a short list of refusals, each by
status, type and text, proves that it does not; everything else after the first byte is UNKNOWN, and
is settled by reading the order book (sources: kite.trade forum 9602, 8124, comment 35732: a 400 that
says "timed out" belongs to an order that may be live).
"""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.ids import OrderId


class Refusal(StrEnum):
    """The kinds of a definite no, as far as the house acts differently on them."""

    TOKEN = "token"  # noqa: S105 - a cause, not a secret
    """The session is dead: reduce only, and log in."""
    ADDRESS = "address"
    """Orders are taken from the registered static addresses only, and this is none of them."""
    PERMISSION = "permission"
    THROTTLED = "throttled"
    FUNDS = "funds"
    HOLDINGS = "holdings"
    INPUT = "input"
    ORDER = "order"
    """The order system said no: gone, being changed, price or product refused."""


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """Kite took the request; the exchange may still refuse the order."""

    order_id: OrderId


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A definite no: nothing was placed, changed or cancelled. ``message`` is Kite's sentence."""

    error_type: str
    message: str
    refusal: Refusal
    status: int


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """It left, and nothing says what came of it: look it up by tag, never send it again."""

    why: str


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """Not one byte of the request left this machine."""

    why: str


SendOutcome = Acked | Rejected | Unknown | NotSent

_DEFINITE: Final = MappingProxyType(
    {
        (403, "TokenException"): Refusal.TOKEN,
        (403, "PermissionException"): Refusal.PERMISSION,
        (403, "UserException"): Refusal.PERMISSION,
        (429, "NetworkException"): Refusal.THROTTLED,
        (400, "InputException"): Refusal.INPUT,
        (400, "OrderException"): Refusal.ORDER,
        (400, "MarginException"): Refusal.FUNDS,
        (400, "HoldingException"): Refusal.HOLDINGS,
        (428, "HoldingException"): Refusal.HOLDINGS,
    }
)
_SAYS_NOTHING: Final = re.compile(
    r"time(d|s)?[\s_-]*out|order\s*-?book|may have been|might have been|before placing again"
    r"|already (been )?placed|unknown (status|state)|duplicate",
    re.IGNORECASE,
)
"""Texts with which even a listed refusal proves nothing."""
_ADDRESS: Final = re.compile(r"\bIP\b.*\bnot allowed\b|allowed IPs|static ip", re.IGNORECASE)
_MESSAGE_MAX: Final = 2_000
"""No sentence of Kite's is longer; to search one of a megabyte would stop the house."""
_FUNDS: Final = re.compile(r"insufficient funds|margin exceeds", re.IGNORECASE)


def definite_refusal(status: int, error_type: str, message: str) -> Refusal | None:
    """Which definite no an error in Kite's envelope is; ``None`` if it proves nothing."""
    refusal = _DEFINITE.get((status, error_type))
    if refusal is None or len(message) > _MESSAGE_MAX or not message.strip():
        return None
    if _SAYS_NOTHING.search(message):
        return None
    if status == 403 and refusal is not Refusal.TOKEN and _ADDRESS.search(message):
        return Refusal.ADDRESS
    if refusal is Refusal.ORDER and _FUNDS.search(message):
        return Refusal.FUNDS
    return refusal
