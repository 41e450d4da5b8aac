"""Every claim of the proof, in the order in which it is read."""

from __future__ import annotations

from typing import Final

from proof import fault_pairs
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (fault_pairs.TIER,)
