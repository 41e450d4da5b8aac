"""Every claim of the proof, in the order in which a person reads them."""

from __future__ import annotations

from typing import Final

from proof import exit_paths, state_machines
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (
    exit_paths.TIER,
    state_machines.TIER,
)
