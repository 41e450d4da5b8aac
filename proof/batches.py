"""The file that remembers what has been lived: one line for each finished batch, on disk before it counts.

A line belongs to one tree of the code; lines of another are kept and not counted. Half a last line
is a batch that was not finished.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from proof.tier import Broken, Outcome, Tier


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some units of a tier."""

    tree: str
    commit: str
    tier: str
    first: int
    count: int
    hash_seed: int
    """``PYTHONHASHSEED`` of the program that lived them."""
    seconds: float
    outcome: Outcome
    fell: bool = False
    """The program died, hung or broke off: the units of a larger batch are lived again one by one."""

    def units(self) -> range:
        """The units this line answers for."""
        return range(self.first, self.first + (0 if self.fell and self.count > 1 else self.count))


def again(tier: str, unit: int) -> str:
    """The command that lives a unit once more."""
    return f"python -m proof --tier {tier} --unit {unit}"


def honest(tier: str, first: int, count: int, outcome: Outcome) -> Outcome:
    """The outcome, with what it does not say itself: too few units, or losses that no unit owns up to."""
    silent = []
    if outcome.units != count:
        silent.append(f"Asked for {count} units, it lived {outcome.units}.")
    if not outcome.broken:
        silent += [
            f"It counts {outcome.counts[name]} {name} and names no unit that broke."
            for name in ("lost", "doubled")
            if outcome.counts.get(name)
        ]
    wrong = tuple(
        Broken(seed=first, story=f"{story} (units {first} to {first + count - 1})",
               again=again(tier, first))
        for story in silent
    )  # fmt: skip
    return msgspec.structs.replace(outcome, broken=outcome.broken + wrong)


class BatchFile:
    """JSON lines of finished batches."""

    def __init__(self, path: Path, tree: str) -> None:
        self.path = path
        self.tree = tree
        self.batches: list[Batch] = []
        self.others = 0
        """Lines of another tree."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            return
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        for line in whole.splitlines():
            batch = msgspec.json.decode(line, type=Batch)
            if batch.tree == tree:
                self.batches.append(batch)
            else:
                self.others += 1
        if torn:
            path.write_bytes(whole + b"\n" if whole else b"")

    def add(self, batch: Batch) -> None:
        """Remember a batch, beyond any power cut."""
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(batch) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.batches.append(batch)

    def set_aside(self) -> Path | None:
        """Begin anew: the file keeps its content under another name."""
        if not self.path.exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.stem}-{number}.jsonl")).exists():
            number += 1
        self.path.rename(aside)
        self.batches, self.others = [], 0
        return aside

    def of(self, tier: Tier) -> Iterator[Batch]:
        """What was lived of a tier."""
        return (batch for batch in self.batches if batch.tier == tier.name)

    def waiting(self, tier: Tier, size: int) -> Iterator[tuple[int, int]]:
        """First unit and count of every batch that is still to be lived."""
        done: set[int] = set()
        suspect: set[int] = set()
        for batch in self.of(tier):
            done.update(batch.units())
            if batch.fell:
                suspect.update(range(batch.first, batch.first + batch.count))
        yield from _runs(
            (unit for unit in range(1, size + 1) if unit not in done), suspect, tier.batch
        )


def _runs(units: Iterable[int], alone: set[int], most: int) -> Iterator[tuple[int, int]]:
    """Neighbours together, at most so many, those of a batch that fell each for itself."""
    first, count = 0, 0
    for unit in units:
        together = count and unit == first + count and unit not in alone and first not in alone
        if together and count < most:
            count += 1
            continue
        if count:
            yield first, count
        first, count = unit, 1
    if count:
        yield first, count
