"""Text messages of Kite's ticker: order updates, errors, notices. None of them is believed as such.

An order update may come late, twice, out of order or never, so it is a hint to read the order book;
so is a text that cannot be read, because half an order update is all that is left of one.
Types: kite.trade/docs/connect/v3/websocket (``order``, ``error``, ``message``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from kitestring.domain.instants import Instant
from kitestring.domain.unreadable import UNREADABLE

_SHOWN: Final = 300


class OrderHint(msgspec.Struct, frozen=True, kw_only=True):
    """Something became of an order: read the book. ``row`` is the update as it came."""

    received_at: Instant
    order_id: str
    tag: str
    status: str
    row: Mapping[str, object]


class BrokerSaid(msgspec.Struct, frozen=True, kw_only=True):
    """An error or a notice, in the broker's words."""

    received_at: Instant
    error: bool
    text: str


class OtherText(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a type the house does not know (the local exchange's ``step`` is one)."""

    received_at: Instant
    kind: str
    message: Mapping[str, object]


class UnreadableText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that is no message: perhaps the half of an order update, so read the book."""

    received_at: Instant
    size: int


TickerText = OrderHint | BrokerSaid | OtherText | UnreadableText


def read_text(text: str, received_at: Instant) -> TickerText:
    """What a text message says."""
    try:
        message = msgspec.json.decode(text)
    except UNREADABLE:
        message = None
    if not isinstance(message, dict):
        return UnreadableText(received_at=received_at, size=len(text))
    kind, content = message.get("type"), message.get("data")
    match kind:
        case "order" if isinstance(content, dict):
            return OrderHint(
                received_at=received_at,
                order_id=_word(content.get("order_id")),
                tag=_word(content.get("tag")),
                status=_word(content.get("status")),
                row=content,
            )
        case "order":
            return UnreadableText(received_at=received_at, size=len(text))
        case "error" | "message":
            return BrokerSaid(
                received_at=received_at,
                error=kind == "error",
                text=(content if isinstance(content, str) else repr(content))[:_SHOWN],
            )
        case _:
            return OtherText(received_at=received_at, kind=_word(kind), message=message)


def _word(value: object) -> str:
    """Order ids may come as numbers of 19 digits, and tags as nothing."""
    return "" if value is None else str(value)
