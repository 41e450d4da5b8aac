"""How a live day is left: by which signal, and what stays open at the broker and under which stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import DayOpening
from kitestring.domain.instants import SECOND, Instant, ist_clock
from kitestring.domain.money import show_rupees
from kitestring.domain.orders import OrdStatus

_RESTING: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
TERMINATE_WITHIN: Final[Instant] = 60 * SECOND
"""Service managers kill after 90 seconds what they have asked to end."""


def left_open(core: TradingCore) -> list[str]:
    """What stays open when the house leaves, which stop at the broker covers it, and until when."""
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
        open_is = f"{book.net_qty} {book.instrument} ({book.product}) of {book.strategy} stays open"
        if book.frozen:
            lines.append(f"{open_is}, and is not touched: {book.frozen}.")
        elif core.state.ended:
            lines.append(f"{open_is} overnight.")
        elif stops:
            session = core.sessions.get(core.instruments[book.instrument].segment)
            until = f" at {ist_clock(session.close_at)}" if session is not None else ""
            lines.append(f"{open_is}: {'; '.join(stops)}, dead at the close of the session{until}.")
        else:
            lines.append(f"{open_is}: NO STOP COVERS IT.")
    return lines


def unsettled(core: TradingCore) -> str:
    """What a house that leaves everything protected still waits for; nothing once it may go."""
    if any(True for _ in core.orders.entries_working()):
        return "an entry may still fill"
    for book in core.portfolio.books.values():
        trade = book.trade
        if not book.net_qty or book.frozen or trade is None:
            continue
        exits = [order for order in core.orders.working(book.strategy) if order.is_exit]
        if any(order.status not in _RESTING for order in exits):
            return f"an order of {book.strategy} is not answered yet"
        if sum(order.leaves_qty for order in exits) < abs(book.net_qty) and trade.stop_px:
            return f"the stop of {book.strategy} does not cover all it holds"
    return ""


def open_positions(core: TradingCore, carried: DayOpening | None) -> Iterator[str]:
    """Every position the house owns, or is about to take over, in a few words."""
    if carried is not None and core.state.opening_equity is None:
        for each in carried.positions:
            yield f"{each.net_qty} {each.instrument.id} of {each.strategy}, carried"
    for book in core.portfolio.books.values():
        if book.net_qty:
            yield f"{book.net_qty} {book.instrument} of {book.strategy}"


@contextmanager
def stopping_on_signals(stop: Callable[[], None], terminate: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) stops as the settings say; a second one stops at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def asked(how: Callable[[], None]) -> None:
        how()
        for number in numbers:
            loop.remove_signal_handler(number)

    try:
        for number in numbers:
            how = terminate if number is signal.SIGTERM else stop
            loop.add_signal_handler(number, asked, how)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # No main thread, or no such signals here: whoever runs us stops us another way.
        return
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
