"""One day as it was asked for: settings file and command line together, checked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from kitestring.cli.config import ConfigFile, Engines


class DayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything somebody asked of a paper day; ``None`` leaves the choice to the feed."""

    file: ConfigFile
    engines: Engines
    feed: str
    """``synthetic``, ``tape``, ``bars`` or ``kite``."""
    tape: Path | None = None
    date: dt.date | None = None
    speed: float | None = None
    """Market seconds per second; ``None`` is as fast as it goes."""
    artifacts: Path = Path("artifacts")
    seed: int = 1
    fresh: bool = False
    charges_as_of: dt.date | None = None
    bars: tuple[Path, ...] = ()
    """Files of 1-minute bars, one an instrument."""
    first: dt.date | None = None
    last: dt.date | None = None
    """Which days of the bars; ``None`` is from their first, to their last."""
    days: int = 1
    """How many trading days of the synthetic market, one after the other."""
    guarded: bool = True
    """Live: a guard is kept beside it."""
    paper_twin: bool = False
    """Of a live day: a paper day beside it, on the same ticks."""

    @property
    def many(self) -> bool:
        """Whether it is a chain of days, with one report for all of them."""
        return bool(self.bars) or self.days > 1
