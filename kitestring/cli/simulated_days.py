"""Simulated days one after the other, and the file that remembers which are done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from kitestring.domain.errors import ConfigError
from kitestring.sim.day_plan import plan_of
from kitestring.sim.day_story import command, story
from kitestring.sim.fewest_faults import fewest, parts, without
from kitestring.sim.invariants import broken
from kitestring.sim.simulated_day import WorldBroke, simulate


class LivedDay(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a day: one line of the file."""

    seed: int
    broken: int
    journal: str
    market_events: int
    orders: int
    faults: dict[str, int]
    crashes: int
    lines: tuple[str, ...] = ()
    """Its story, where a promise was broken."""


def lived(seed: int, left_out: Sequence[str] = ()) -> LivedDay:
    """Live one day through and judge it; what breaks is told with the faults that matter only.

    Raises ``ConfigError`` where the day has no such part to leave out.
    """
    plan = plan_of(seed)
    try:
        plan = without(plan, left_out)
    except KeyError as error:
        has = ", ".join(parts(plan)) or "nothing that can be left out"
        raise ConfigError(
            f"day {seed} has no {error.args[0]}", do=f"its parts are: {has}"
        ) from error
    try:
        day = simulate(plan)
    except WorldBroke as error:
        lines = (
            f"Day {seed} broke the world: {error}.",
            f"See it again: {command(seed, left_out)}",
        )
        return LivedDay(
            seed=seed,
            broken=1,
            journal="",
            market_events=0,
            orders=0,
            faults={},
            crashes=0,
            lines=lines,
        )
    found = broken(day)
    faults: dict[str, int] = {}
    for strike in day.strikes:
        faults[strike.kind] = faults.get(strike.kind, 0) + 1
    orders = sum(order.owner == "ours" for order in day.real.values())
    told = story(day, found, left_out)
    if found:
        least = fewest(plan, found)
        told = story(least.day, least.found, (*left_out, *least.without))
    if not found:
        told.append(
            f"{day.market_events} ticks, {orders} orders, {sum(faults.values())} faults,"
            f" {len(day.deaths)} restarts; journal {day.journal_head[:16] or 'empty'}."
        )
    return LivedDay(
        seed=seed,
        broken=len(found),
        journal=day.journal_head,
        market_events=day.market_events,
        orders=orders,
        faults=faults,
        crashes=len(day.deaths),
        lines=tuple(told),
    )


class DayFile:
    """JSON lines, one for each day that is done; half a last line is a day that is not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: set[int] = set()
        if path.exists():
            whole, _, torn = path.read_bytes().rpartition(b"\n")
            self._done = {
                msgspec.json.decode(line, type=LivedDay).seed for line in whole.splitlines()
            }
            if torn:
                path.write_bytes(whole + b"\n" if whole else b"")

    def holds(self, seed: int) -> bool:
        """Whether this day is done."""
        return seed in self._done

    def add(self, day: LivedDay) -> None:
        """Remember a day; its story only if it broke something."""
        kept = day if day.broken else msgspec.structs.replace(day, lines=())
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(kept) + b"\n")
        self._done.add(day.seed)
