"""Every claim of the proof, one row each."""

from __future__ import annotations

from typing import Final

from proof import crash_points, damaged_files, full_disks, sigkills
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (
    crash_points.TIER,
    damaged_files.TIER,
    full_disks.TIER,
    sigkills.TIER,
)
