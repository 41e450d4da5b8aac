"""Trading days that never were: the live house at the exchange in virtual time, faults and crashes.

A unit is the day of a seed: a whole calendar, a random market, strategies, account and faults, judged
at every step, when all is quiet, and by the exchange's history alone. A day that breaks a promise is
told with the faults that matter only.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from kitestring.sim.day_plan import plan_of
from kitestring.sim.day_story import command, story
from kitestring.sim.evidence import Evidence
from kitestring.sim.fewest_faults import fewest
from kitestring.sim.invariants import broken
from kitestring.sim.simulated_day import WorldBroke, simulate
from proof.tier import Broken, Outcome, Scale, Tier

_A_MS: Final = 1_000
_LOST: Final = ("I6", "I7", "I8")
_DOUBLED: Final = ("I2", "H1")


def live(first: int, count: int) -> Outcome:
    """Live the days of some seeds through."""
    total = Outcome(units=0)
    for seed in range(first, first + count):
        total += _day(seed)
    return total


def _day(seed: int) -> Outcome:
    again = f"python -m proof --tier {TIER.name} --unit {seed}"
    plan = plan_of(seed)
    try:
        day = simulate(plan)
    except WorldBroke as error:
        told = f"Day {seed} broke the world: {error}.\nSee it again: {command(seed)}"
        return Outcome(units=1, broken=(Broken(seed=seed, story=told, again=again),))
    counts, spread = _counts(day), _spread(day)
    found = broken(day)
    for each in {each.promise.split()[0] for each in found}:
        counts["lost"] += each in _LOST
        counts["doubled"] += each in _DOUBLED
    if not found:
        return Outcome(units=1, counts=dict(counts), spread=spread)
    least = fewest(plan, found)
    told = "\n".join(story(least.day, least.found, least.without))
    return Outcome(
        units=1,
        counts=dict(counts),
        spread=spread,
        broken=(Broken(seed=seed, story=told, again=again),),
    )


def _counts(day: Evidence) -> Counter[str]:
    counts = Counter({"lost": 0, "doubled": 0})
    counts["market_events"] = day.market_events
    counts["orders"] = sum(order.owner == "ours" for order in day.real.values())
    counts["fills"] = sum(1 for _ in day.trades())
    counts["crashes"] = sum(death.planned for death in day.deaths)
    counts["steps"] = day.steps
    for strike in day.strikes:
        counts[f"fault.{strike.kind}"] += 1
    for line in day.plan.lines:
        counts[f"fault.line_{line.kind}"] += 1
    return counts


def _spread(day: Evidence) -> dict[str, dict[int, int]]:
    spread: dict[str, dict[int, int]] = {
        "naked_ms": dict(Counter(int(each.lasted) // _A_MS for each in day.naked))
    }
    if day.recovered_s is not None:
        spread["recovered_ms"] = {round(day.recovered_s * 1_000): 1}
    return spread


TIER: Final = Tier(
    name="simulated_days",
    unit="days",
    claim="On a trading day on which whatever can go wrong does, no order is lost or doubled, no "
    "position is left alone, and a minute after the last fault all is in order again.",
    size={Scale.TEST: 50, Scale.PROOF: 250, Scale.SOAK: 10_000},
    batch=5,
    live=live,
)
