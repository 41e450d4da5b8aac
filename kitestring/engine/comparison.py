"""Two runs side by side, decision by decision, down to where the rupees of difference come from.

The law: a decision is the same where strategy, bar and action are the same; a trade is the same
where the decision that opened it is. Every rupee of difference lands in exactly one place, and the
places add up to the whole: entry prices, exit prices, quantity, charges, trades that only one run
has, and what is in no closed trade.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from kitestring.domain.events import Fact
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money
from kitestring.domain.orders import Purpose
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import Approved, Blocked, Reduced
from kitestring.engine.parting import Parting, first_parting, moments
from kitestring.engine.run_card import RunFigures, figures_of
from kitestring.store.order_rows import OrderRow, OrderRows
from kitestring.store.run_reader import Recorded
from kitestring.store.rupee_sources import Source, sources


class Decided(NamedTuple):
    """What makes two decisions the same one."""

    bar_close_at: Instant
    strategy: str
    action: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a decision in one run."""

    signal: Signal
    verdict: str
    """``allowed``, ``reduced to 65 (MARGIN)``, ``TOO_SMALL``; empty for an EXIT."""
    qty: int
    """Filled by its entry orders."""
    value: Money
    """Their traded value, without the multiplier."""


class Contrast(StrEnum):
    """How a decision differs between two runs."""

    ONLY_FIRST = "only in the first"
    ONLY_SECOND = "only in the second"
    VERDICT = "another verdict"
    QUANTITY = "another quantity"
    PRICE = "another price"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One decision on which two runs part."""

    decided: Decided
    how: Contrast
    first: Outcome | None
    second: Outcome | None
    rupees: Money | None = None
    """Of another price: what the second run gained by it at entry (negative: lost)."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs, compared."""

    first: RunFigures
    second: RunFigures
    same: int
    """Decisions that both runs took with the same outcome."""
    differences: tuple[Difference, ...]
    sources: tuple[Source, ...]
    parting: Parting | None = None
    """The first event in which they differ; ``None`` if they agree to the end."""


def compare(first: Recorded, second: Recorded) -> Comparison:
    """Set two runs side by side."""
    ours, theirs = tuple(first.facts()), tuple(second.facts())
    left, right = _outcomes(ours), _outcomes(theirs)
    same = 0
    found: list[Difference] = []
    for decided in sorted(left.keys() | right.keys()):
        difference = _difference(decided, left.get(decided), right.get(decided))
        if difference is None:
            same += 1
        else:
            found.append(difference)
    one, other = figures_of(first), figures_of(second)
    return Comparison(
        first=one,
        second=other,
        same=same,
        differences=tuple(found),
        sources=tuple(sources(ours, theirs, other.net - one.net)),
        parting=first_parting(moments(first), moments(second)),
    )


def _outcomes(facts: Sequence[Fact]) -> dict[Decided, Outcome]:
    rows = OrderRows()
    rows.record(facts)
    entries: dict[str, list[OrderRow]] = {}
    for row in rows.rows.values():
        if row.intent.purpose is Purpose.ENTRY and row.intent.signal_id is not None:
            entries.setdefault(row.intent.signal_id, []).append(row)
    verdicts: dict[str, str] = {}
    for fact in facts:
        match fact:
            case Approved() if fact.intent.purpose is Purpose.ENTRY:
                verdicts[fact.intent.signal_id or ""] = "allowed"
            case Reduced():
                intent = fact.approved.intent
                verdicts[intent.signal_id or ""] = f"reduced to {intent.order_qty} ({fact.code})"
            case Blocked():
                verdicts[fact.signal_id or ""] = fact.code
            case _:
                pass
    return {
        Decided(fact.bar_close_at, fact.strategy, fact.action.value): Outcome(
            signal=fact,
            verdict=verdicts.get(fact.signal_id, ""),
            qty=sum(row.cum_qty for row in entries.get(fact.signal_id, ())),
            value=_sum(row.traded_value for row in entries.get(fact.signal_id, ())),
        )
        for fact in facts
        if isinstance(fact, Signal)
    }


def _difference(
    decided: Decided, first: Outcome | None, second: Outcome | None
) -> Difference | None:
    how: Contrast | None = None
    rupees: Money | None = None
    if first is None or second is None:
        how = Contrast.ONLY_SECOND if first is None else Contrast.ONLY_FIRST
    elif first.verdict != second.verdict:
        how = Contrast.VERDICT
    elif first.qty != second.qty:
        how = Contrast.QUANTITY
    elif first.value != second.value:
        how = Contrast.PRICE
        paid = second.value - first.value
        rupees = -paid if decided.action == "BUY" else paid
    if how is None:
        return None
    return Difference(decided=decided, how=how, first=first, second=second, rupees=rupees)


def _sum(amounts: Iterable[Money]) -> Money:
    total = Money(0)
    for amount in amounts:
        total = total + amount
    return total
