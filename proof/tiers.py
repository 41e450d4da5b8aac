"""Every tier of the proof, in the order in which they are lived; those that need to be alone come last."""

from __future__ import annotations

from typing import Final

from proof import (
    ambiguity,
    bad_input,
    broken_lines,
    exit_paths,
    fault_pairs,
    long_day,
    same_seed,
    state_machines,
)
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (
    exit_paths.TIER,
    state_machines.TIER,
    ambiguity.TIER,
    *bad_input.TIERS,
    same_seed.TIER,
    fault_pairs.TIER,
    broken_lines.TIER,
    long_day.TIER,
)
