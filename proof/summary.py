"""What a proof comes to: the figures of every tier, and ``docs/proof.json`` that keeps them.

The law: a figure cannot be better than what was lived. A unit that broke, an order lost or doubled
makes ``violations`` more than nothing, and a file that says otherwise cannot be written or read.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from kitestring.domain.instants import Instant, ist_text
from kitestring.store.atomic_file import write_atomically
from proof.batches import BatchFile
from proof.tier import Broken, Outcome, Scale, Tier, share_of

STORIES: Final = 20
"""So many broken units of a tier are kept with their stories; all are counted."""
FAULT: Final = "fault."


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How long, or how much: half of them at most this, 99 of 100 at most that."""

    times: int
    p50: int
    p99: int
    worst: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One tier."""

    name: str
    unit: str
    claim: str
    seeds: str
    """Which units were lived: ``1 to 250``."""
    asked: int
    units: int
    violations: int
    lost: int | None
    """None where nothing could be lost."""
    doubled: int | None
    counts: dict[str, int]
    faults: dict[str, int]
    """Faults injected, by kind."""
    spreads: dict[str, Spread]
    seconds: float
    """Of one core."""
    broken: tuple[Broken, ...]

    def __post_init__(self) -> None:
        if self.violations < len(self.broken) or (
            not self.violations and (self.lost or self.doubled)
        ):
            raise ValueError(f"{self.name} broke promises and counts {self.violations}")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was lived."""

    cores: int
    python: str
    system: str

    @classmethod
    def this(cls) -> Self:
        """The one at hand."""
        return cls(
            cores=os.cpu_count() or 1,
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
        )


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All tiers at one scale."""

    scale: Scale
    date: str
    commit: str
    tree: str
    machine: Machine
    whole: bool
    violations: int
    lost: int
    doubled: int
    seconds: float
    tiers: tuple[Figures, ...]

    def __post_init__(self) -> None:
        if self.violations != sum(each.violations for each in self.tiers):
            raise ValueError("the violations of the run are not those of its tiers")
        if self.lost != sum(each.lost or 0 for each in self.tiers):
            raise ValueError("the orders lost in the run are not those of its tiers")
        if self.doubled != sum(each.doubled or 0 for each in self.tiers):
            raise ValueError("the orders doubled in the run are not those of its tiers")
        if self.whole and any(each.units < each.asked for each in self.tiers):
            raise ValueError("a run that is not finished calls itself whole")


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The latest whole run of each scale; the content of ``docs/proof.json``."""

    runs: dict[str, Run] = {}


def figures_of(tier: Tier, scale: Scale, file: BatchFile) -> Figures:
    """What the file knows of a tier."""
    batches = list(file.of(tier))
    total = sum((batch.outcome for batch in batches), Outcome(units=0))
    done = sorted({unit for batch in batches for unit in batch.units()})
    counts = dict(sorted(total.counts.items()))
    return Figures(
        name=tier.name,
        unit=tier.unit,
        claim=tier.claim,
        seeds=_ranges(done),
        asked=tier.size[scale],
        units=len(done),
        violations=len(total.broken),
        lost=counts.pop("lost", None),
        doubled=counts.pop("doubled", None),
        faults={
            name.removeprefix(FAULT): counts.pop(name)
            for name in list(counts)
            if name.startswith(FAULT)
        },
        counts=counts,
        spreads={
            name: Spread(
                times=sum(values.values()),
                p50=share_of(values, 50),
                p99=share_of(values, 99),
                worst=max(values),
            )
            for name, values in sorted(total.spread.items())
            if values
        },
        seconds=round(sum(batch.seconds for batch in batches), 1),
        broken=tuple(sorted(total.broken, key=lambda each: each.seed)[:STORIES]),
    )


def _ranges(units: Sequence[int]) -> str:
    """``1 to 7, 9``."""
    found: list[list[int]] = []
    for unit in units:
        if found and unit == found[-1][1] + 1:
            found[-1][1] = unit
        else:
            found.append([unit, unit])
    return ", ".join(f"{a} to {b}" if b > a else f"{a}" for a, b in found) or "none"


def run_of(
    tiers: Sequence[Tier], scale: Scale, file: BatchFile, *, now: Instant, commit: str
) -> Run:
    """The figures of all tiers, as far as they have come."""
    figures = tuple(figures_of(tier, scale, file) for tier in tiers)
    return Run(
        scale=scale,
        date=ist_text(now),
        commit=commit,
        tree=file.tree,
        machine=Machine.this(),
        whole=all(each.units >= each.asked for each in figures),
        violations=sum(each.violations for each in figures),
        lost=sum(each.lost or 0 for each in figures),
        doubled=sum(each.doubled or 0 for each in figures),
        seconds=round(sum(each.seconds for each in figures), 1),
        tiers=figures,
    )


def read_proof(path: Path) -> Proof:
    """What ``docs/proof.json`` says; nothing where it is not there."""
    return msgspec.json.decode(path.read_bytes(), type=Proof) if path.exists() else Proof()


def write_proof(path: Path, run: Run) -> Proof:
    """Put a whole run in the place of the last one of its scale."""
    if not run.whole:
        raise ValueError("only a whole run is written down")
    proof = Proof(runs={**read_proof(path).runs, str(run.scale): run})
    write_atomically(path, msgspec.json.format(msgspec.json.encode(proof), indent=1) + b"\n")
    return proof
