"""Where the rupees between two runs of the same day come from, trade by trade.

The law: a trade is the same where the decision that opened it is. Every rupee of difference lands in
exactly one place, and the places add up to the whole: entry prices, exit prices, quantity, charges,
trades that only one run has, and what is in no closed trade.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from kitestring.domain.events import Fact
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, charge_as_money
from kitestring.domain.orders import Purpose
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import PlaceOrder


class Source(msgspec.Struct, frozen=True):
    """One place that rupees of difference come from; positive: the second run has more."""

    what: str
    rupees: Money
    trades: int


class Trade(NamedTuple):
    """A round trip, and what it left after charges."""

    trip: RoundTrip
    net: Money


def sources(ours: Sequence[Fact], theirs: Sequence[Fact], whole: Money) -> list[Source]:
    """Every rupee of ``whole`` in one place."""
    left, right = trades_by_decision(ours), trades_by_decision(theirs)
    entry = exits = other_exit = quantity = charges = Money(0)
    counts = dict.fromkeys(("entry", "exit", "other exit", "quantity", "charges"), 0)
    for key in left.keys() & right.keys():
        one, two = left[key].trip, right[key].trip
        gross = two.gross - one.gross
        paid = (right[key].net - two.gross) - (left[key].net - one.gross)
        charges = charges + paid
        counts["charges"] += bool(paid)
        if (one.qty, one.side) != (two.qty, two.side):
            quantity = quantity + gross
            counts["quantity"] += 1
            continue
        # Averages are rounded for show; what that rounds off falls to the exit.
        at_entry = (one.entry_px - two.entry_px) * (one.qty * one.side.sign)
        entry = entry + at_entry
        counts["entry"] += bool(at_entry)
        at_exit = gross - at_entry
        if one.exit_reason is two.exit_reason:
            exits = exits + at_exit
            counts["exit"] += bool(at_exit)
        else:
            other_exit = other_exit + at_exit
            counts["other exit"] += 1
    only_left = [left[key].net for key in left.keys() - right.keys()]
    only_right = [right[key].net for key in right.keys() - left.keys()]
    gone, come = -_sum(only_left), _sum(only_right)
    rest = whole - (entry + exits + other_exit + quantity + charges + gone + come)
    found = [
        Source("entry prices of the same trades", entry, counts["entry"]),
        Source("exit prices, left for the same reason", exits, counts["exit"]),
        Source("exits, left for another reason", other_exit, counts["other exit"]),
        Source("another quantity", quantity, counts["quantity"]),
        Source("charges of the same trades", charges, counts["charges"]),
        Source("trades only the first has", gone, len(only_left)),
        Source("trades only the second has", come, len(only_right)),
        # Charges are rounded per trade for show; the sum of it is far below a paisa a trade.
        Source("open positions and rounding", rest, 0),
    ]
    return [source for source in found if source.rupees or source.trades]


def trades_by_decision(facts: Sequence[Fact]) -> dict[tuple[str, str, int], Trade]:
    """Round trips by the decision that opened them; a second trip of one decision is its second."""
    signal_of = {
        fact.cl_ord_id: fact.intent.signal_id
        for fact in facts
        if isinstance(fact, PlaceOrder) and fact.intent.purpose is Purpose.ENTRY
    }
    opening: dict[tuple[str, Instant, str], str] = {}
    for fact in facts:
        if isinstance(fact, Fill):
            signal_id = signal_of.get(ClOrdId(fact.cl_ord_id))
            if signal_id is not None:
                opening.setdefault((fact.strategy, fact.at, fact.side.value), signal_id)
    found: dict[tuple[str, str, int], Trade] = {}
    for fact in facts:
        if isinstance(fact, RoundTrip):
            by = opening.get((fact.strategy, fact.entry_at, fact.side.value), fact.trade_id)
            number = sum(key[:2] == (fact.strategy, by) for key in found)
            net = fact.gross - charge_as_money(fact.charges.total)
            found[fact.strategy, by, number] = Trade(fact, net)
    return found


def _sum(amounts: Iterable[Money]) -> Money:
    total = Money(0)
    for amount in amounts:
        total = total + amount
    return total
