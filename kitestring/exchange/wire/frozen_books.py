"""Books as they stood when a freeze began: orders work on, and whoever asks sees the old copy.

On 6 Nov 2023 about a fifth of Zerodha's clients saw frozen order status from 09:15 on, while orders
could still be placed (Zerodha bulletin 363900).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from kitestring.domain.instants import Instant
from kitestring.exchange.wire.faults import Fault, Faults
from kitestring.exchange.wire.raw_answer import JSON, Answer, kite_error_answer

_PATHS: Final[Mapping[str, str]] = {
    "/orders": "orders",
    "/trades": "trades",
    "/portfolio/positions": "positions",
    "/portfolio/holdings": "holdings",
    "/user/margins": "margins",
}
_FREEZES: Final = ("book_frozen", "positions_stale")


class Books(Protocol):
    """The exchange's books as its routes would answer them now."""

    def read(self, book: str, now: Instant) -> object:
        """``orders``, ``trades``, ``positions``, ``holdings`` or ``margins``, JSON-ready."""
        ...

    def history(self, order_id: str, now: Instant) -> object:
        """One order's history."""
        ...


class FrozenBooks:
    """The copies that are shown while a freeze is on."""

    def __init__(self, books: Books, faults: Faults) -> None:
        self._books = books
        self._faults = faults
        self._copies: dict[int, dict[str, bytes]] = {}

    def look(self, now: Instant) -> None:
        """Take copies where a freeze has begun, and drop those of one that is over."""
        on = [state.fault for kind in _FREEZES for state in self._faults.on(kind, now)]
        for fault in on:
            if fault.number not in self._copies:
                self._copies[fault.number] = self._copy(fault, now)
        for number in set(self._copies) - {fault.number for fault in on}:
            del self._copies[number]

    def _copy(self, fault: Fault, now: Instant) -> dict[str, bytes]:
        books = fault.names("books") if fault.kind == "book_frozen" else ("positions",)
        copy = {book: msgspec.json.encode(self._books.read(book, now)) for book in books}
        if "orders" in copy:
            for row in msgspec.json.decode(copy["orders"], type=list[dict[str, object]]):
                order_id = str(row["order_id"])
                history = msgspec.json.encode(self._books.history(order_id, now))
                copy[f"orders/{order_id}"] = history
        return copy

    def answer(self, fault: Fault, path: str) -> Answer | None:
        """The old answer to a path; ``None`` where this freeze does not concern it."""
        copy = self._copies.get(fault.number, {})
        book = _PATHS.get(path)
        if book is not None:
            return _kite(copy[book]) if book in copy else None
        if path.startswith("/user/margins/") and "margins" in copy:
            segments = msgspec.json.decode(copy["margins"], type=dict[str, msgspec.Raw])
            segment = segments.get(path.rpartition("/")[2])
            return None if segment is None else _kite(bytes(segment))
        if path.startswith("/orders/"):
            return _of_order(copy, path)
        return None


def _of_order(copy: dict[str, bytes], path: str) -> Answer | None:
    order_id, _, rest = path.removeprefix("/orders/").partition("/")
    if rest == "trades" and "trades" in copy:
        rows = msgspec.json.decode(copy["trades"], type=list[dict[str, object]])
        mine = [row for row in rows if row.get("order_id") == order_id]
        return _kite(msgspec.json.encode(mine))
    if rest or "orders" not in copy:
        return None
    history = copy.get(f"orders/{order_id}")
    if history is None:
        return kite_error_answer(400, "OrderException", "Couldn't find that `order_id`.")
    return _kite(history)


def _kite(rows: bytes) -> Answer:
    body = b'{"status":"success","data":' + rows + b"}"
    return Answer(200, (("Content-Type", JSON),), body)
