"""The promise that no exit rests over nothing, judged by the exchange's ledger and its account alone.

A stop or an exit over a position that is not there opens the opposite one. While the house watches, a
person's hand may be quicker than its next look at the books. A house that was started again has no such
excuse: it looks first and sends afterwards, unless it says that the books could not be read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from kitestring.domain.events import Gap, Note
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.orders import Purpose
from kitestring.engine.live_recovery import NOT_RUNNING
from kitestring.exchange.ledger import What
from kitestring.sim.evidence import Evidence, RealOrder
from kitestring.sim.promises_of_orders import Found, short

STANDS_MAX: Final = 30 * SECOND
"""How long an exit may work over nothing while the house watches and nothing is asked to go wrong."""


def exits_have_a_position(day: Evidence) -> Found:
    """I11c. No exit or stop of ours works over a position that does not exist, but for moments."""
    yield from over_nothing(day, day.foreign)


def over_nothing(day: Evidence, opening: Mapping[str, int]) -> Found:
    """``opening``: what the account held before the first trade."""
    lives = [fact.end_at for _, fact in day.facts() if isinstance(fact, Gap) and _is_life(fact)]
    net: dict[str, int] = defaultdict(int, opening)
    gone: dict[tuple[str, int], Instant] = {}
    """Since when there is nothing that an order of that side could close."""
    working: dict[str, RealOrder] = {}
    bare: dict[str, Instant] = {}
    for entry, order in day.strokes():
        key, now = f"{order.instrument}/{order.product}", entry.at
        if entry.what is What.TRADE:
            net[key] += order.side * entry.last_qty
            for side in (1, -1):
                if net[key] * side < 0:
                    gone.pop((key, side), None)
                else:
                    gone.setdefault((key, side), now)
        if _exits(day, order):
            if entry.what is What.NEW and net[key] * order.side >= 0:
                since = gone.get((key, order.side), 0)
                started = max((each for each in lives if since <= each <= now), default=0)
                if started and not _was_blind(day, started, now):
                    what = f"the {order.purpose.lower()} {short(order.tag)} for {order.qty} {key}"
                    over = f"over {net[key]:+d}, by a house started again when that was so"
                    yield now, f"{what} was sent {over}"
            if order.live and order.resting:
                working[order.order_id] = order
            else:
                working.pop(order.order_id, None)
        for name, each in working.items():
            if net[f"{each.instrument}/{each.product}"] * each.side >= 0:
                bare.setdefault(name, now)
        for name, since in list(bare.items()):
            still = working.get(name)
            if still is None or net[f"{still.instrument}/{still.product}"] * still.side < 0:
                del bare[name]
                yield from _stood(day, name, since, now)
    end = max((commit.at for _, commit in day.commits), default=0)
    for name, since in bare.items():
        yield from _stood(day, name, since, end)


def _stood(day: Evidence, name: str, since: Instant, until: Instant) -> Found:
    """An exit worked over nothing for so long: too long, where nothing kept the house from seeing it."""
    disturbed = day.strikes or day.plan.lines or any(each.at <= until for each in day.deaths)
    if until - since > STANDS_MAX and not disturbed:
        order = day.real[name]
        what = f"the {order.purpose.lower()} {short(order.tag)}"
        yield since, f"{what} worked over nothing for {(until - since) / SECOND:.0f} s"


def _exits(day: Evidence, order: RealOrder) -> bool:
    command = day.placed.get(ClOrdId(order.tag))
    return command is not None and command.intent.purpose is not Purpose.ENTRY


def _is_life(gap: Gap) -> bool:
    return gap.reason == NOT_RUNNING


def _was_blind(day: Evidence, since: Instant, until: Instant) -> bool:
    """Whether the house said that the books could not be read, on a day on which that is so."""
    return bool(day.strikes or day.plan.lines) and any(
        isinstance(fact, Note) and fact.kind.endswith("books") and since <= fact.at <= until
        for _, fact in day.facts()
    )
