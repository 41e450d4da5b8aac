"""The same seed is the same day, to the last bit: what the house wrote down, and what the exchange did.

Each day is lived in two programs that order sets and dictionaries of text differently (another
``PYTHONHASHSEED``), and the second one lives the days of a batch backwards, so that nothing a day
leaves behind in a program may change another one. Journal, the exchange's ledger of every
stroke, its order book and the record of its wire must be equal.

    python -m proof.same_seed 5 12      # live days 5 and 12, print what each was, as JSON lines
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from kitestring.exchange.seeded import key
from kitestring.sim.day_plan import plan_of
from kitestring.sim.simulated_day import WorldBroke, simulate
from proof.tier import Broken, Outcome, Scale, Tier

PROGRAM: Final = ("-m", "proof.same_seed")
_A_DAY_S: Final = 120.0


class Lived(msgspec.Struct, frozen=True, kw_only=True):
    """What a day was, in one program: a digest and a few words for each step of each record."""

    seed: int
    journal: str
    """The head of its hash chain."""
    orders: int
    records: dict[str, tuple[tuple[str, str], ...]]


def _digest(thing: object) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(thing)).hexdigest()[:16]


def live_here(seed: int) -> Lived:
    """Live a day in this program."""
    try:
        day = simulate(plan_of(seed))
    except WorldBroke as error:
        told = (("", f"the world broke: {error}"),)
        return Lived(seed=seed, journal="", orders=0, records={"the house's journal": told})
    return Lived(
        seed=seed,
        journal=day.journal_head,
        orders=len(day.placed),
        records={
            "the house's journal": tuple(
                (_digest(commit), " and ".join(type(fact).__name__ for fact in commit.facts))
                for _, commit in day.commits
            ),
            "the exchange's ledger": tuple(
                (_digest(entry), f"{entry.what} of {entry.tag}") for entry in day.ledger
            ),
            "the exchange's order book": tuple(
                (_digest(row), f"order {row['order_id']}") for row in day.rows
            ),
            "the requests at the exchange's door": tuple(
                (_digest(each), f"{each.method} {each.tag or each.order_id}") for each in day.sent
            ),
            "the faults that struck": tuple(
                (_digest(strike), str(strike.kind)) for strike in day.strikes
            ),
        },
    )


def live_apart(seeds: Iterable[int], hash_seed: int) -> dict[int, Lived]:
    """Live days one after the other in a fresh program. Raises ``RuntimeError`` with its last words."""
    seeds = list(seeds)
    told = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *PROGRAM, *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        timeout=_A_DAY_S * len(seeds),
        check=False,
    )
    if told.returncode != 0:
        words = told.stderr[-1500:].decode(errors="replace")
        raise RuntimeError(f"a program that lived the days {seeds} ended badly:\n{words}")
    days = (msgspec.json.decode(line, type=Lived) for line in told.stdout.splitlines())
    return {day.seed: day for day in days}


def other_hash_seed(seed: int) -> int:
    """Any but 0, which is the first program's; the same for the same day."""
    return 1 + key(seed, "hash seed") % (2**32 - 1)


def difference(one: Lived, other: Lived) -> str:
    """Where two lives of a day part, or nothing."""
    for name, steps in one.records.items():
        others = other.records[name]
        if steps == others:
            continue
        place = next(
            (at for at, (a, b) in enumerate(zip(steps, others, strict=False)) if a != b),
            min(len(steps), len(others)),
        )

        def said(steps: Sequence[tuple[str, str]], place: int = place) -> str:
            return (steps[place][1] or "nothing told") if place < len(steps) else "the end"

        return (
            f"{name} differs from entry {place + 1} on (of {len(steps)} and {len(others)}):"
            f" {said(steps)}; and {said(others)}"
        )
    return "" if one.journal == other.journal else "the hash chains of the journals differ"


def live(first: int, count: int) -> Outcome:
    """Live each day twice and compare."""
    seeds = range(first, first + count)
    strange = other_hash_seed(first)
    ours, theirs = live_apart(seeds, 0), live_apart(reversed(seeds), strange)
    broken = []
    for seed in seeds:
        found = difference(ours[seed], theirs[seed])
        if found:
            beside = f" (lived backwards with days {first} to {seeds[-1]})" if count > 1 else ""
            story = (
                f"Day {seed} is two days: {found}.\n"
                f"One program had PYTHONHASHSEED=0, the other {strange}{beside}."
            )
            again = f"python -m proof --tier same_seed --unit {seed}"
            broken.append(Broken(seed=seed, story=story, again=again))
    return Outcome(
        units=count,
        counts={
            "orders": sum(day.orders for day in ours.values()),
            "journal commits": sum(
                len(day.records["the house's journal"]) for day in ours.values()
            ),
        },
        broken=tuple(broken),
    )


TIER: Final = Tier(
    name="same_seed",
    unit="days lived twice",
    claim="The same seed is the same day to the last bit, in every program and under every hash seed.",
    size={Scale.TEST: 2, Scale.PROOF: 25, Scale.SOAK: 500},
    batch=5,
    live=live,
)


def main(seeds: Sequence[str]) -> None:
    """Print what each day was."""
    for seed in seeds:
        print(msgspec.json.encode(live_here(int(seed))).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
