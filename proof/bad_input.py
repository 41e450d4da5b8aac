"""Bad input of every kind: what the ticker, the broker, a rehearsal's client and the disk may bring."""

from __future__ import annotations

from typing import Final

from proof import bad_bodies, bad_files, bad_forms, bad_frames
from proof.tier import Tier

TIERS: Final[tuple[Tier, ...]] = (
    bad_frames.TIER,
    bad_bodies.TIER,
    *bad_files.TIERS,
    bad_forms.TIER,
)
