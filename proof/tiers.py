"""Every tier of the proof, in the order in which they are lived; those that need to be alone come last."""

from __future__ import annotations

from typing import Final

from proof import (
    ambiguity,
    bad_input,
    broken_lines,
    crash_points,
    damaged_files,
    exit_paths,
    fault_pairs,
    full_disks,
    long_day,
    safety_lines,
    same_seed,
    sigkills,
    simulated_days,
    simulated_weeks,
    state_machines,
)
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (
    simulated_days.TIER,
    simulated_weeks.TIER,
    same_seed.TIER,
    exit_paths.TIER,
    state_machines.TIER,
    ambiguity.TIER,
    *bad_input.TIERS,
    crash_points.TIER,
    damaged_files.TIER,
    full_disks.TIER,
    fault_pairs.TIER,
    safety_lines.TIER,
    sigkills.TIER,
    broken_lines.TIER,
    long_day.TIER,
)
