"""What the house owns, told by its core while it lives and by its journal once it does not.

The two must agree. Where they do not, the smaller position counts: whoever reduces on a doubtful
number must never reduce too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from kitestring.core import order_manager, portfolio
from kitestring.core.trading_core import TradingCore
from kitestring.domain.errors import HouseError
from kitestring.domain.instants import Instant
from kitestring.domain.money import charge_as_money
from kitestring.domain.orders import Order
from kitestring.domain.positions import Book
from kitestring.domain.unreadable import UNREADABLE
from kitestring.store.owned_file import Owned, OwnedBook, OwnedOrder
from kitestring.store.paths import RunPaths, list_runs
from kitestring.store.run_reader import read_run

_ORDER = msgspec.msgpack.Decoder(Order)
_BOOK = msgspec.msgpack.Decoder(Book)


def owned_books(books: Iterable[Book], freeze: Mapping[str, int]) -> tuple[OwnedBook, ...]:
    """Every position that was opened or carried today."""
    return tuple(
        OwnedBook(
            strategy=book.strategy,
            instrument=book.instrument,
            product=book.product,
            net_qty=book.net_qty,
            multiplier=book.multiplier,
            freeze_qty=freeze.get(book.instrument, 0),
            fixed=book.realised - book.open_cost - charge_as_money(book.charges.total),
        )
        for book in books
        if (book.net_qty or book.bought_qty or book.sold_qty) and not untouched(book)
    )


def untouched(book: Book) -> bool:
    """A carried position that is frozen: nobody reduces it, a stop of last night may be doing that."""
    leaving = book.trade is not None and book.trade.leaving is not None
    return bool(book.frozen and book.net_qty) and not leaving


def owned_orders(orders: Iterable[Order]) -> tuple[OwnedOrder, ...]:
    """Every order that can still trade, or may."""
    return tuple(
        OwnedOrder(
            tag=order.cl_ord_id,
            instrument=order.instrument,
            product=order.product,
            side=order.side,
            purpose=order.purpose,
            leaves_qty=order.leaves_qty,
            cum_qty=order.cum_qty,
            order_id=order.order_id or "",
        )
        for order in orders
        if not order.status.terminal
    )


def owned_of(
    core: TradingCore, paths: RunPaths, *, commit: int, at: Instant, pid: int, born: str
) -> Owned:
    """As the core has it now."""
    # Of what is held only: asked for every commit, on days of thousands of instruments.
    books = core.portfolio.books.values()
    freeze = {
        str(book.instrument): each.freeze_qty or 0
        for book in books
        if (each := core.instruments.get(book.instrument)) is not None
    }
    return Owned(
        pid=pid,
        born=born,
        run=paths.folder.name,
        run_key=paths.run_key,
        date=str(paths.date),
        commit=commit,
        at=at,
        books=owned_books(books, freeze),
        orders=owned_orders(core.orders.all_working()),
    )


def journalled(artifacts: Path, shown: Owned) -> Owned | None:
    """What the journal of that run says; ``None`` if it cannot be read whole.

    What only the file knows (freeze quantities, who the engine is) is taken from it.
    """
    paths = next((run for run in list_runs(artifacts) if run.folder.name == shown.run), None)
    if paths is None:
        return None
    try:
        recorded = read_run(paths)
    except HouseError:
        return None
    if recorded.running or not recorded.commits:
        return None  # Its engine still writes: what it says now is not the end of it.
    opened = recorded.opened
    if opened is None or opened.run_key != shown.run_key:
        return None
    cells: dict[str, bytes | None] = {}
    for _, commit in recorded.commits:
        cells |= {key: None if raw is None else bytes(raw) for key, raw in commit.cells.items()}
    freeze = {str(book.instrument): book.freeze_qty for book in shown.books}
    try:
        books = [_BOOK.decode(raw) for raw in _under(cells, portfolio.CELL)]
        orders = [_ORDER.decode(raw) for raw in _under(cells, order_manager.CELL)]
    except UNREADABLE:
        return None
    return msgspec.structs.replace(
        shown,
        commit=recorded.commits[-1][0],
        at=recorded.at,
        books=owned_books(books, freeze),
        orders=owned_orders(orders),
    )


def confirmed(shown: Owned, journal: Owned | None) -> Owned:
    """The file, the journal, or of two of the same commit that differ the smaller of each position."""
    if journal is None:
        return shown
    if journal.commit < shown.commit:
        return shown  # The file is written after the commit: a journal behind it has lost its end.
    if journal.commit > shown.commit:
        return journal
    theirs = {_whose(book): book for book in journal.books}
    books: list[OwnedBook] = []
    for book in shown.books:
        other = theirs.get(_whose(book))
        if other is None or other.net_qty * book.net_qty < 0:
            books.append(msgspec.structs.replace(book, net_qty=0))
        else:
            books.append(min(book, other, key=lambda each: abs(each.net_qty)))
    tags = {order.tag: order for order in shown.orders}
    # An order that only one of them knows may still trade.
    orders = tags | {order.tag: order for order in journal.orders}
    return msgspec.structs.replace(shown, books=tuple(books), orders=tuple(orders.values()))


def _whose(book: OwnedBook) -> tuple[str, str, str]:
    return (book.strategy, book.instrument, book.product)


def _under(cells: Mapping[str, bytes | None], prefix: str) -> list[bytes]:
    return [raw for key, raw in cells.items() if raw is not None and key.startswith(prefix)]
