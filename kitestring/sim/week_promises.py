"""The promises of a single day (orders, halts, restarts), judged on every day of a week as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from kitestring.domain.ids import is_ours
from kitestring.domain.instants import Instant
from kitestring.sim import promises_of_halts as halts
from kitestring.sim import promises_of_orders as orders
from kitestring.sim.day_plan import plan_of
from kitestring.sim.evidence import Evidence
from kitestring.sim.promises import Judge
from kitestring.sim.promises_of_exits import over_nothing
from kitestring.sim.week_evidence import DayOfWeek, WeekEvidence

_DAILY: Final[tuple[Judge, ...]] = (
    orders.intent_before_send,
    orders.at_most_one,
    orders.no_blind_resend,
    orders.once_over_always_over,
    orders.filled_once,
    orders.nothing_forgotten,
    halts.losses_end_entries,
    halts.unarmed_enters_nothing,
    halts.everything_is_explained,
    halts.a_reserve_for_exits,
)


def days_keep_their_own(week: WeekEvidence) -> Iterator[tuple[Instant, str]]:
    """I1 to I7 and I14 to I20, of each day."""
    for day in week.days:
        if not day.runs:
            continue
        evidence = _as_a_day(day)
        for judge in _DAILY:
            for at, sentence in judge(evidence):
                yield at, f"{judge.__name__.replace('_', ' ')}: {sentence}"
        if len(day.runs) == 1:
            yield from halts.a_crash_loses_nothing(evidence)
        # The guard's trades have tags, the broker's square-off has names of its own.
        named = any(by == "guard" for _, by in day.halts) or any(e.origin for e in day.ledger)
        if not named:
            yield from orders.others_booked_once(evidence)


def exits_have_a_position(week: WeekEvidence) -> Iterator[tuple[Instant, str]]:
    """No exit or stop of ours works over a position that does not exist, but for moments."""
    for day in week.days:
        before = day.last("morning")
        if day.runs and before is not None:
            yield from over_nothing(_as_a_day(day), before.account)


def _as_a_day(day: DayOfWeek) -> Evidence:
    """One day of the week as the judges of a day look at it; the guard's orders are not the house's."""
    plan = msgspec.structs.replace(plan_of(0), lines=day.day.lines, halt=None, crashes=())
    ours = [each for each in day.sent if not each.tag or is_ours(each.tag)]
    return Evidence(
        plan=plan,
        sent=ours,
        ledger=day.ledger,
        rows=day.rows,
        commits=[each for run in day.runs for each in run.commits],
        looks=[],
        deaths=day.deaths,
        strikes=day.strikes,
        halted_at=None,
        restart_writes=None,
        twice=None,
        journal_head=day.runs[-1].head,
        foreign={},
    )
