"""What the same day would have claimed on last-price paper: every fill at the price it was decided at.

The law: same orders, same quantities, same moments; only the price of each fill is replaced by
its decision price (for a stop: its level), and each order's charges are computed again. Nothing
is decided again, so the difference is the cost of meeting a market, and nothing else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final, NamedTuple

from kitestring.domain.charges import NO_CHARGES, ChargeBook, Charges
from kitestring.domain.errors import HouseError
from kitestring.domain.money import Money, charge_as_money
from kitestring.domain.positions import Fill
from kitestring.market.charges import charge_book, configured_charges
from kitestring.report.figures import Figures, total_charges
from kitestring.report.run_facts import RunFacts

_DATED: Final = "Zerodha charges of "


class Repriced(NamedTuple):
    """A day at its decision prices."""

    gross: Money
    charges: Charges
    net: Money
    claimed: Money
    """How much more than the filled day it claims; negative where the market was kinder."""
    charges_again: bool
    """Whether charges could be computed again; else they stand as booked."""
    unfilled_qty: int
    """Entry quantity that the market did not fill; it is in neither result."""


def repriced(facts: RunFacts, day: Figures) -> Repriced:
    """The same fills at their decision prices."""
    gross = day.gross + day.slippage
    again = _charges_at_decision(facts)
    charges = day.charges if again is None else again
    net = gross - charge_as_money(charges.total)
    filled: dict[str, int] = {}
    for fill in facts.fills:
        filled[fill.cl_ord_id] = filled.get(fill.cl_ord_id, 0) + fill.qty
    unfilled = sum(
        order.intent.order_qty - filled.get(tag, 0)
        for tag, order in facts.orders.items()
        if order.intent.purpose.value == "ENTRY"
    )
    return Repriced(gross, charges, net, net - day.net, again is not None, unfilled)


def _charges_at_decision(facts: RunFacts) -> Charges | None:
    """Charges at decision prices; ``None`` unless the same rates explain what was booked."""
    try:
        book = _book_named(facts.opened.charges)
    except HouseError:
        return None
    if book is None or any(fill.instrument not in facts.instruments for fill in facts.fills):
        return None
    try:
        booked = _order_charges(book, facts, at_decision=False)
        again = _order_charges(book, facts, at_decision=True)
    except HouseError:
        return None
    return again if booked == total_charges(facts.fills) else None


def _book_named(name: str) -> ChargeBook | None:
    """The charge book whose name the journal holds."""
    if name.startswith("flat "):
        return configured_charges(name, dt.date.min)
    if not name.startswith(_DATED):
        return None
    try:
        return charge_book(dt.date.fromisoformat(name.removeprefix(_DATED)))
    except ValueError:
        return None


def _order_charges(book: ChargeBook, facts: RunFacts, *, at_decision: bool) -> Charges:
    total = NO_CHARGES
    for fills in _by_order(facts.fills):
        first = fills[0]
        multiplier = facts.multiplier(first.instrument)
        value = Money(0)
        for fill in fills:
            px = fill.decision_px if at_decision else fill.px
            value = value + px * (fill.qty * multiplier)
        instrument = facts.instruments[first.instrument]
        total = total.plus(book.order_charges(instrument, first.product, first.side, value))
    return total


def _by_order(fills: Iterable[Fill]) -> list[list[Fill]]:
    orders: dict[str, list[Fill]] = {}
    for fill in fills:
        orders.setdefault(fill.cl_ord_id, []).append(fill)
    return list(orders.values())
