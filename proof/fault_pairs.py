"""Two things go wrong at once: every pair of the faults an order can meet, each on a day of its own.

A fault alone is tested by name; houses die of two together, a time-out while the book stands still.
Each day has exactly two kinds, made to meet three times while positions are open, and is judged by
the same promises as any simulated day. Besides the faults of the exchange, the pulled plug is one.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import msgspec

from kitestring.domain.instants import DAY as A_DAY
from kitestring.domain.instants import IST_OFFSET, SECOND
from kitestring.exchange.wire.fault_kinds import KINDS, Place
from kitestring.exchange.wire.faults import Fault, When
from kitestring.sim.day_calendar import CALM_S, opens
from kitestring.sim.day_plan import DayPlan, plan_of
from kitestring.sim.day_story import story
from kitestring.sim.dice import Dice
from kitestring.sim.evidence import Evidence
from kitestring.sim.fault_swarm import LEFT_OUT, LineFault, fault_of
from kitestring.sim.invariants import broken
from kitestring.sim.power import Crash, Moment
from kitestring.sim.simulated_day import simulate
from proof.tier import Broken, Outcome, Scale, Tier

POWER_CUT: Final = "power_cut"
KINDS_OF_PAIRS: Final = (*(name for name in sorted(KINDS) if name not in LEFT_OUT), POWER_CUT)
_MEETINGS: Final = ((60, 150), (180, 270), (300, 400))
"""When the two meet, in seconds after the opening: some moment of each stretch."""
_ROUTES: Final = (
    "POST /orders/*",
    "POST /orders/*",
    "changes",
    "writes",
    "GET /orders",
    "reads",
    "any",
)
"""Where a fault of any request strikes here: around orders more often than on a day of chance."""
_SELDOM: Final = {"any": 8, "reads": 8, "GET /orders": 4}
"""One request of so many, where there are many; elsewhere every second one."""


def _shuffled() -> tuple[tuple[str, str], ...]:
    left = list(combinations(KINDS_OF_PAIRS, 2))
    dice = Dice(6, "order of the pairs")
    return tuple(left.pop(dice.below(len(left))) for _ in range(len(left)))


PAIRS: Final = _shuffled()
"""All of them in an order without rhyme, so that the first few hundred are a fair sample."""


def pair_of(number: int) -> tuple[str, str]:
    """The two kinds of a unit; behind the last pair they come again, on other days."""
    return PAIRS[(number - 1) % len(PAIRS)]


def narrowed(plan: DayPlan, kinds: tuple[str, str]) -> DayPlan:
    """The same day with these two kinds of fault and nothing else that goes wrong, and no halt.

    The limits that would end the trading early are lifted: a day at rest meets no fault.
    """
    dice = Dice(plan.seed, f"pair {kinds[0]} {kinds[1]}")
    meetings = [dice.between(*stretch) for stretch in _MEETINGS]
    names = tuple(str(row.instrument) for row in plan.strategies)
    return msgspec.structs.replace(
        plan,
        market=msgspec.structs.replace(plan.market, silences=(), step_s=1),
        risk=msgspec.structs.replace(
            plan.risk, max_daily_loss_pct=0.5, max_drawdown_pct=None, loss_streak_max=None
        ),
        meddling=(),
        halt=None,
        types_again=True,
        faults=tuple(
            _fault(dice, kind, meeting, names)
            for meeting in meetings
            for kind in kinds
            if kind != POWER_CUT
        ),
        crashes=tuple(
            Crash(
                moment=dice.one_of(tuple(Moment)),
                from_s=meeting - dice.below(20),
                count=dice.one_of((1, 1, 2, 3)),
                down_s=dice.one_of((0.5, 3.0, 12.0)),
            )
            for meeting in meetings
            if POWER_CUT in kinds
        ),
        # An upgrade can only be refused to whoever has lost the connection before it.
        lines=tuple(
            LineFault(kind="reset", from_s=meeting, lasts_s=1)
            for meeting in meetings
            if "upgrade_refused" in kinds
        ),
    )


def _fault(dice: Dice, kind: str, meeting: int, names: tuple[str, ...]) -> Fault:
    spec = KINDS[kind]
    opening = (opens() + IST_OFFSET) % A_DAY
    drawn = fault_of(dice, spec, opening, CALM_S, names)
    since = opening + (meeting - dice.below(15)) * SECOND
    until = min(since + dice.between(30, 75) * SECOND, opening + CALM_S * SECOND)
    if spec.place is Place.DAY:
        when = When(since=since, until=until)
    elif spec.lasts:
        when = When(since=since, until=until, lasts=until - since)
    else:
        route = spec.route
        if spec.place is Place.REQUEST and route == "any":
            route = dice.one_of(_ROUTES)
        drawn = msgspec.structs.replace(drawn, route=route)
        rare = {Place.TICKS: 10, Place.UPDATE: 2, Place.UPGRADE: 1}.get(
            spec.place, _SELDOM.get(route, 2)
        )
        when = When(
            since=since, until=until, probability=1 / rare, times=dice.one_of((1, 2, 3, 6, 40))
        )
    return msgspec.structs.replace(drawn, when=when)


def plan_of_unit(number: int) -> DayPlan:
    """The day of a unit."""
    return narrowed(plan_of(1_000_000 + number), pair_of(number))


def _lived(number: int) -> Outcome:
    kinds = pair_of(number)
    again = f"python -m proof --tier {TIER.name} --unit {number}"
    try:
        day = simulate(plan_of_unit(number))
    except Exception as error:  # noqa: BLE001 - whatever a day ends in is what this unit found
        told = f"{' and '.join(kinds)}: the world broke with {type(error).__name__}: {error}"
        return Outcome(units=1, broken=(Broken(seed=number, story=told, again=again),))
    found = broken(day)
    struck = _struck(day)
    counts = {f"fault.{kind}": count for kind, count in struck.items()}
    counts["orders"] = sum(order.owner == "ours" for order in day.real.values())
    counts["lost"] = sum(each.promise.startswith("I7 ") for each in found)
    counts["doubled"] = sum(each.promise.startswith("I2 ") for each in found)
    counts["pairs_met"] = int(all(struck.get(kind) for kind in kinds))
    lines = story(day, found)[:-1] if found else []
    told = "\n".join((f"{' and '.join(kinds)} together.", *lines))
    return Outcome(
        units=1,
        counts=counts,
        broken=(Broken(seed=number, story=told, again=again),) if found else (),
    )


def _struck(day: Evidence) -> dict[str, int]:
    counts: dict[str, int] = {}
    for strike in day.strikes:
        counts[strike.kind] = counts.get(strike.kind, 0) + 1
    pulled = sum(death.planned for death in day.deaths)
    return counts | ({POWER_CUT: pulled} if pulled else {})


def live(first: int, count: int) -> Outcome:
    """Live the days of units ``first`` … ``first + count - 1``."""
    outcome = Outcome(units=0)
    for number in range(first, first + count):
        outcome += _lived(number)
    return outcome


TIER: Final = Tier(
    name="fault_pairs",
    unit="pairs of faults",
    claim="Whatever two faults meet, no order is lost or doubled and every position is looked after.",
    size={Scale.TEST: 4, Scale.PROOF: 200, Scale.SOAK: len(PAIRS)},
    batch=4,
    live=live,
)
