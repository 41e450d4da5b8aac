"""Everything a paper day is made of, chosen and checked, before the engine is built from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.domain.charges import ChargeBook
from kitestring.domain.instruments import Segment
from kitestring.domain.ports import Feed
from kitestring.domain.sessions import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperPlan:
    """One paper day. The same plan again is the same run: it resumes, or shows its report.

    ``sessions`` are the feed's with the user's own cut-offs; ``speed`` is market seconds per
    second, ``None`` as fast as it goes; ``notes`` and the manifest's stand-ins go into the report.
    """

    settings: DaySettings
    sessions: dict[Segment, Session]
    strategies: dict[str, StrategyDefinition]
    feed: Feed
    charge_book: ChargeBook
    fill_model: str
    seed: int
    config_hash: str
    artifacts: Path
    speed: float | None = None
    fresh: bool = False
    notes: tuple[str, ...] = ()
