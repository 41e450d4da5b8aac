"""What an account owns, and what a book is protected by, as the looks of a simulated week note it."""

from __future__ import annotations

from kitestring.domain.orders import Product
from kitestring.domain.positions import Book
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.sim.week_evidence import WeekLook


def owned_by(exchange: LocalExchange) -> dict[str, int]:
    """What the account owns: its positions, and the shares that lie in the demat account."""
    found: dict[str, int] = {}
    for (name, product), position in exchange.floor.account.positions.items():
        net = position.net_qty + (position.held if product is Product.CNC else 0)
        if net:
            found[f"{name}/{product}"] = net
    return found


def stop_of(book: Book) -> int | None:
    """The stop of a book's plan."""
    stop_px = book.trade.stop_px if book.trade is not None else None
    return None if stop_px is None else int(stop_px)


def agrees(look: WeekLook) -> bool:
    """Whether the account holds at least what the house says it owns."""
    ours: dict[str, int] = {}
    for book in look.books:
        ours[book.key] = ours.get(book.key, 0) + book.net
    return all(abs(look.account.get(key, 0)) >= abs(net) for key, net in ours.items())
