"""Every tier of the proof."""

from __future__ import annotations

from typing import Final

from proof import simulated_days

TIERS: Final = (simulated_days.TIER,)
