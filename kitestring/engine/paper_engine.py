"""A day on paper: the same house as live, with a matcher in place of a brokerage.

This file only wires. There is no order transport here at all: the broker is ``PaperBroker``, the
exchange's own matcher in process, with a ledger of its own that survives us.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from kitestring import __version__
from kitestring.broker.paper_broker import PaperBroker
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import ChargeBook
from kitestring.domain.errors import FeedError, HouseError, StoreError
from kitestring.domain.events import DaySealed, HistoryLoaded, OperatorCommand, OperatorWord, RunOpened
from kitestring.domain.ports import Feed, Journal, Tape
from kitestring.domain.verdicts import HaltPolicy
from kitestring.engine.clocks import AsFastAsPossible, Pace, TimesFaster, wall_seconds
from kitestring.engine.day_files import DayFiles
from kitestring.engine.recovery import read_story, restore, still_unanswered
from kitestring.engine.scribe import Scribe
from kitestring.engine.trading_day import TradingDay
from kitestring.engine.watching import DayResult, Watcher
from kitestring.exchange.fill_models import FillModel


class PaperPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a paper day is made of, decided before it starts."""

    settings: DaySettings
    feed: Feed
    definitions: Mapping[str, StrategyDefinition]
    charge_book: ChargeBook
    fill_model: FillModel
    seed: int
    speed: float | None
    """Market seconds per second; ``None`` is as fast as possible."""
    artifacts: Path
    config_hash: str
    fresh: bool = False
