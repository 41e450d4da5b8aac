"""A disk without room, from any commit of a live day on: the house says so and stops; with room it goes on.

The refusal is SQLite's own (no page may be added to the journal). Somebody makes room and gives the
same start again; the exchange's books judge the end.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from kitestring.engine.live_engine import LiveEngine
from proof.crash_points import commits_of, found_in
from proof.crash_stage import Stage, lived, reference_day
from proof.tier import Broken, Outcome, Scale, Tier


def live(first: int, count: int) -> Outcome:
    """See ``Tier``."""
    outcome = Outcome(units=0)
    for unit in range(first, first + count):
        outcome += of_one(unit)
    return outcome


def of_one(unit: int, *, engine: type[LiveEngine] = LiveEngine) -> Outcome:
    """One unit; ``engine`` is for planted mistakes."""
    many = commits_of(1)
    full_at = 2 + unit * 13 % (many - 1)

    def no_room(stage: Stage) -> None:
        stage.supply.full_at = full_at

    told = lived(reference_day(1 + (unit - 1) // many), change=no_room, engine=engine)
    found = found_in(told, planned=0)
    for sentence in told.full:
        if "No new risk is taken" not in sentence or "free space" not in sentence:
            found.append(f"the full disk was not explained: {sentence}")
    counts = Counter({"fault.disk_full": len(told.full), "orders": len(told.after.orders)})
    counts["lost"] = sum(each.startswith("lost") for each in found)
    counts["doubled"] = sum(each.startswith("doubled") for each in found)
    story = f"disk full from commit {full_at}: {' '.join(found[:4])}"
    again = f"python -m proof --tier {TIER.name} --unit {unit}"
    broken = (Broken(seed=unit, story=story, again=again),) if found else ()
    return Outcome(units=1, counts=dict(counts), broken=broken)


TIER: Final = Tier(
    name="full_disks",
    unit="full disks",
    claim="Let the disk fill up at any commit of a live day: the house says why it stops, sends"
    " nothing that is not on disk, and goes on without a loss once there is room.",
    size={Scale.TEST: 3, Scale.PROOF: 24, Scale.SOAK: 400},
    batch=6,
    live=live,
)
