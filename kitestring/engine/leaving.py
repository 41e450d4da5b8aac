"""How a live day is left: by which signal, and what stays open at the broker and under which stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kitestring.core.trading_core import TradingCore
from kitestring.domain.money import show_rupees


def left_open(core: TradingCore) -> list[str]:
    """What stays open when the house leaves, and which stop at the broker covers it."""
    lines: list[str] = []
    for book in core.portfolio.books.values():
        if not book.net_qty:
            continue
        stops = [
            f"stop {order.order_id or order.cl_ord_id} for {order.leaves_qty} from "
            f"{show_rupees(order.stop_px)}"
            for order in core.orders.working(book.strategy)
            if order.is_exit and order.stop_px is not None
        ]
        covered = "; ".join(stops) if stops else "NO STOP COVERS IT"
        lines.append(
            f"{book.net_qty} {book.instrument} ({book.product}) of {book.strategy} stays open: "
            f"{covered}, dead at the close of the session."
        )
    return lines


def open_positions(core: TradingCore) -> Iterator[str]:
    """Every position the house owns, in a few words."""
    for book in core.portfolio.books.values():
        if book.net_qty:
            yield f"{book.net_qty} {book.instrument} of {book.strategy}"


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) stops after the thing in hand; a second one stops at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def asked() -> None:
        stop()
        for number in numbers:
            loop.remove_signal_handler(number)

    try:
        for number in numbers:
            loop.add_signal_handler(number, asked)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # No main thread, or no such signals here: whoever runs us stops us another way.
        return
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
