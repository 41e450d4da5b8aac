"""Every claim of the proof."""

from __future__ import annotations

from typing import Final

from proof import simulated_weeks
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (simulated_weeks.TIER,)
