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
    """``synthetic`` or ``tape``."""
    tape: Path | None = None
    date: dt.date | None = None
    speed: float | None = None
    """Market seconds per second; ``None`` is as fast as it goes."""
    artifacts: Path = Path("artifacts")
    seed: int = 1
    fresh: bool = False
    charges_as_of: dt.date | None = None
