"""The claim about weeks: what is carried over nights, holidays, expiries and crashes is never lost."""

from __future__ import annotations

from collections import Counter
from typing import Final

from kitestring.sim.own_world import WorldFailed
from kitestring.sim.simulated_week import simulate_week
from kitestring.sim.week_judges import broken_week
from kitestring.sim.week_plan import week_of
from kitestring.sim.week_story import week_command, week_story
from proof.tier import Broken, Outcome, Scale, Tier


def live(first: int, count: int) -> Outcome:
    """Live weeks ``first`` … ``first + count - 1`` through, and judge each."""
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    for seed in range(first, first + count):
        try:
            week = simulate_week(week_of(seed))
        except (WorldFailed, RuntimeError) as error:
            story = f"Week {seed} broke the world: {error}."
            broken.append(Broken(seed=seed, story=story, again=week_command(seed)))
            continue
        counts["days"] += len(week.days)
        counts["nights"] += len(week.days) - 1
        counts["orders"] += week.orders
        counts["fills"] += week.fills
        for day in week.days:
            counts["crashes"] += len(day.deaths)
            counts["carried"] += len(day.night.positions) + len(day.night.holdings)
            counts["triggers"] += sum(each.status.value == "active" for each in day.night.triggers)
            counts.update(f"fault.{strike.kind}" for strike in day.strikes)
            counts.update(f"fault.{line.kind}" for line in day.day.lines)
        found = broken_week(week)
        if found:
            story = "\n".join(week_story(week, found))
            broken.append(Broken(seed=seed, story=story, again=week_command(seed)))
    return Outcome(units=count, counts=dict(counts), broken=tuple(broken))


TIER: Final = Tier(
    name="weeks",
    unit="weeks",
    claim="Over nights, holidays, expiries, crashes and halts nothing that is carried is forgotten,"
    " left without its stop unsaid, or traded by a house that nobody has armed.",
    size={Scale.TEST: 3, Scale.PROOF: 40, Scale.SOAK: 1_000},
    batch=3,
    live=live,
)
