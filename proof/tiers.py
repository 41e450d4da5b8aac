"""Every claim of the proof, in the order in which it is told."""

from __future__ import annotations

from typing import Final

from proof import ambiguity, bad_input, broken_lines
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (
    ambiguity.TIER,
    broken_lines.TIER,
    *bad_input.TIERS,
)
