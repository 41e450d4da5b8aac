"""Every tier of the proof, in the order in which they are lived; those that need to be alone come last."""

from __future__ import annotations

from typing import Final

from proof import safety_lines
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (safety_lines.TIER,)
