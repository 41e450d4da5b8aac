"""The promises that the exchange's history alone can prove or refute (H1 to H8): nobody's opinion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant
from kitestring.sim.evidence import Evidence
from kitestring.sim.history import Ending, Traded
from kitestring.sim.promises_of_orders import Found, short

_ON_THE_WAY: Final = 2 * SECOND
"""What was sent before a moment may arrive so much later, at this network's slowest."""
_LATE: Final = 60 * SECOND
"""The same where lines were slow, or requests lay about on their way."""
_STOPS: Final = ("SL", "SL-M")


def one_order_a_tag(day: Evidence) -> Found:
    """H1. What was invoked once is at most one order, and nothing is invoked twice."""
    history = day.history
    invoked = Counter(each.tag for each in history.operations)
    for operation in history.operations:
        if not operation.tag or invoked[operation.tag] > 1:
            yield operation.at, f"{short(operation.tag)} was invoked {invoked[operation.tag]} times"
        if len(set(operation.did)) > 1:
            yield operation.at, f"{short(operation.tag)} became {len(set(operation.did))} orders"
    made = Counter(order.tag for order in history.placed if order.tag)
    for order in history.placed:
        if made[order.tag] > 1:
            yield order.at, f"the exchange has {made[order.tag]} orders of {short(order.tag)}"


def endings_are_true(day: Evidence) -> Found:
    """H2. What was told ok is an order, what the exchange refused is none, and none comes unasked."""
    history = day.history
    by_tag = {order.tag: order for order in history.placed if order.tag}
    # What the broker's risk desk rejects has a number and a row, and never reaches the floor.
    rejected = {str(row["tag"]) for row in day.rows if row["status"] == "REJECTED"}
    for operation in history.operations:
        order = by_tag.get(operation.tag)
        if operation.ending is Ending.OK and order is None and operation.tag not in rejected:
            yield operation.at, f"{short(operation.tag)} was told ok and is no order"
        elif operation.ending is Ending.OK and order is not None:
            if order.order_id not in operation.told:
                yield operation.at, f"{short(operation.tag)} was told another order's number"
        elif operation.ending is Ending.FAIL and order is not None:
            yield operation.at, f"{short(operation.tag)} was refused and is an order"
    asked = {operation.tag for operation in history.operations}
    for tag, order in by_tag.items():
        if tag not in asked:
            yield order.at, f"order {short(tag)} is at the exchange, and nobody sent it"


def an_order_lives_once(day: Evidence) -> Found:
    """H3. Every order is placed, trades up to its size, ends, and stays ended."""
    yield from day.history.mistakes


def positions_are_their_trades(day: Evidence) -> Found:
    """H4. What the account holds is what it held before, plus everything that traded."""
    history = day.history
    before, after, moved = history.before.net, history.after.net, history.moved()
    for key in sorted({*before, *after, *moved}):
        expected = before.get(key, 0) + moved.get(key, 0)
        if after.get(key, 0) != expected:
            yield _end(day), f"{key} is {after.get(key, 0)}; by its trades it is {expected}"


def cash_is_its_trades(day: Evidence) -> Found:
    """H5. To the last unit: cash moves by what traded, and cash and cost are opening and realised."""
    history = day.history
    before, after = history.before, history.after
    paid = sum(trade.signed * trade.px for trade in history.trades)
    if after.cash != before.cash - paid:
        yield _end(day), f"cash is off by {after.cash - before.cash + paid} units"
    made = (after.cash + after.cost - after.realised) - (
        before.cash + before.cost - before.realised
    )
    if made:
        yield _end(day), f"cash and cost differ by {made} units from opening and realised"


def stops_only_reduce(day: Evidence) -> Found:
    """H6. A waiting stop, once it trades, makes the position smaller and never turns it round.

    Judged where one strategy trades an instrument alone.
    """
    alone = _alone(day)
    for trade, before, after in day.history.walks():
        if trade.order.instrument in alone and trade.order.kind in _STOPS and _grew(before, after):
            yield _sentence(trade, "the stop", before, after)


def a_halt_ends_growth(day: Evidence) -> Found:
    """H7. No order that was sent after a person's halt makes a position larger."""
    if day.halted_at is not None:
        yield from _growth_after(day, dict.fromkeys(_alone(day), day.halted_at), "after the halt")


def a_cut_off_ends_growth(day: Evidence) -> Found:
    """H8. No order that was sent after the entry cut-off makes a position larger."""
    sessions = day.plan.sessions
    ends = {
        each.id: sessions[each.segment].entry_cutoff_at
        for each in day.plan.instruments
        if each.id in _alone(day)
    }
    yield from _growth_after(day, ends, "after the cut-off")


def _growth_after(day: Evidence, since: Mapping[InstrumentId, Instant], when: str) -> Found:
    grace = _LATE if day.plan.slow else _ON_THE_WAY
    for trade, before, after in day.history.walks():
        begins = since.get(InstrumentId(trade.order.instrument))
        if begins is not None and trade.order.at > begins + grace and _grew(before, after):
            yield _sentence(trade, f"the order sent {when}", before, after)


def _alone(day: Evidence) -> list[InstrumentId]:
    """Instruments that one strategy trades."""
    rows = Counter(row.instrument for row in day.plan.strategies)
    return [name for name, count in rows.items() if count == 1]


def _grew(before: int, after: int) -> bool:
    return abs(after) > abs(before) or before * after < 0


def _sentence(trade: Traded, what: str, before: int, after: int) -> tuple[Instant, str]:
    order = trade.order
    return (
        trade.at,
        f"{what} {short(order.tag)} took {order.instrument} from {before:+d} to {after:+d}",
    )


def _end(day: Evidence) -> Instant:
    return day.plan.at(day.plan.closes_s)
