"""Simulated weeks one after the other, told as ``kitestring simulate`` tells them."""

from __future__ import annotations

import msgspec

from kitestring.sim.own_world import WorldFailed
from kitestring.sim.simulated_week import simulate_week
from kitestring.sim.week_judges import broken_week
from kitestring.sim.week_plan import week_of
from kitestring.sim.week_story import week_command, week_story


class LivedWeek(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a week."""

    seed: int
    broken: int
    lines: tuple[str, ...]


def lived_week(seed: int) -> LivedWeek:
    """Live one week through and judge it."""
    try:
        week = simulate_week(week_of(seed), replays=True)
    except WorldFailed as error:
        lines = (f"Week {seed} broke the world: {error}.", f"See it again: {week_command(seed)}")
        return LivedWeek(seed=seed, broken=1, lines=lines)
    found = broken_week(week)
    told = week_story(week, found)
    if not found:
        dates = f"{week.days[0].day.date} to {week.days[-1].day.date}"
        faults = sum(len(day.strikes) for day in week.days)
        deaths = sum(len(day.deaths) for day in week.days)
        told.append(
            f"{len(week.days)} days, {dates}: {week.orders} orders, {week.fills} fills,"
            f" {faults} faults, {deaths} restarts."
        )
    return LivedWeek(seed=seed, broken=len(found), lines=tuple(told))
