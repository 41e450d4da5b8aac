"""One claim of the proof: what is tried, how often, and what came of it.

A tier is a row: a name, a sentence, how many units a proof and a soak take, and a function that lives
the units of some seeds through. Units are numbered; the same number is the same unit on every
machine, so that a batch can be lived anywhere, twice, or after a break. Outcomes of batches add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec


class Scale(StrEnum):
    """How much of it: a test's worth, a proof's (under 45 minutes in all), or a soak's (a night)."""

    TEST = "test"
    PROOF = "proof"
    SOAK = "soak"


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that broke a promise."""

    seed: int
    story: str
    """In a trader's words, shortest first."""
    again: str
    """The command that lives it again."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a batch. ``+`` adds two."""

    units: int
    counts: dict[str, int] = {}
    """Sums: orders sent, faults injected by kind (``fault.no_answer``), lost, doubled."""
    spread: dict[str, dict[int, int]] = {}
    """Value → how often; the name ends in its unit (``naked_ms``)."""
    broken: tuple[Broken, ...] = ()

    def __add__(self, other: Outcome) -> Outcome:
        """Both batches as one."""
        counts = dict(self.counts)
        for name, count in other.counts.items():
            counts[name] = counts.get(name, 0) + count
        spread = {name: dict(values) for name, values in self.spread.items()}
        for name, values in other.spread.items():
            mine = spread.setdefault(name, {})
            for value, times in values.items():
                mine[value] = mine.get(value, 0) + times
        return Outcome(
            units=self.units + other.units,
            counts=counts,
            spread=spread,
            broken=self.broken + other.broken,
        )


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """One claim, and how it is tried."""

    name: str
    """One word of letters and ``_``."""
    unit: str
    """What is counted, in the plural: days, kills, orders, frames."""
    claim: str
    """One sentence a trader understands; what a broken unit would refute."""
    size: Mapping[Scale, int]
    batch: int
    """Units of one call; about ten seconds of one core."""
    live: Callable[[int, int], Outcome]
    """``live(first, count)`` lives units ``first`` … ``first + count - 1``, numbered from 1."""
    alone: bool = False
    """Whether it needs the machine for itself (real programs, real clocks)."""
    limit_s: float = 900.0
    """The longest a batch may take; beyond it, it hangs, which breaks the promise like anything else."""


def share_of(values: Mapping[int, int], percent: float) -> int:
    """The smallest value that at least so many per cent of them do not exceed.

    Raises ``ValueError`` where there is none.
    """
    if not values:
        raise ValueError("there is no value to take a share of")
    wanted = sum(values.values()) * percent / 100
    reached = 0
    for value in sorted(values):
        reached += values[value]
        if reached >= wanted:
            return value
    raise AssertionError("the values add up to less than their sum")
