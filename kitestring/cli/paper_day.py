"""Puts a paper day together from what was asked: feed, charges, strategies, settings."""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import partial

import msgspec

from kitestring.cli.config import Engines
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import contract_of_the_day, day_settings
from kitestring.core.strategy import StrategyDefinition
from kitestring.domain.errors import ConfigError
from kitestring.domain.ports import Feed
from kitestring.engine.paper_engine import PaperEngine, PaperPlan
from kitestring.engine.shelf import fetch_strategy
from kitestring.engine.watching import DayResult, Watcher
from kitestring.exchange.fill_models import fill_model
from kitestring.market import calendar, sessions
from kitestring.market.charges import configured_charges

DEFAULT_DAY = dt.date(2026, 11, 20)
"""The synthetic day traded when no date is given: pinned, so that it is the same one in 2030."""


def run_paper_day(request: DayRequest, watcher: Watcher) -> DayResult:
    """Trade the day that was asked for. Raises what ``HouseError`` covers, nothing else."""
    feed = _feed(request)
    manifest = feed.manifest
    config = request.file.config
    charge_book = configured_charges(config.paper.charges, request.charges_as_of or manifest.date)
    definitions = {
        name: fetch_strategy(name) for name in sorted({row.strategy for row in config.strategies})
    }
    key = _run_key(request, manifest.digest, charge_book.name, definitions)
    settled = day_settings(
        request.file,
        manifest,
        partial(contract_of_the_day, engines=request.engines),
        engines=request.engines,
        run_key=key,
        params_type=lambda name: definitions[name].params_type,
    )
    plan = PaperPlan(
        settings=settled.settings,
        feed=feed,
        sessions=settled.sessions,
        notes=settled.notes,
        definitions=definitions,
        charge_book=charge_book,
        fill_model=fill_model(config.paper.fill_model),
        seed=request.seed,
        speed=request.speed,
        artifacts=request.artifacts,
        config_hash=request.file.hash,
        fresh=request.fresh,
    )
    return PaperEngine(plan).run(watcher)


def _feed(request: DayRequest) -> Feed:
    if request.feed == "synthetic":
        # The synthetic market is built from NumPy columns; only this feed pays for importing it.
        from kitestring.exchange.instrument_master import instruments_on  # noqa: PLC0415
        from kitestring.exchange.synthetic_market import SyntheticFeed  # noqa: PLC0415

        day = request.date or DEFAULT_DAY
        if not calendar.is_trading_day(day):
            why = calendar.holiday(day) or "a weekend"
            raise ConfigError(
                f"The market is closed on {day}: {why}.",
                do=f"choose a trading day, such as --date {calendar.next_trading_day(day)}",
            )
        return SyntheticFeed(day, request.seed, instruments_on(day), timetable=_Timetable())
    raise ConfigError(f"There is no feed {request.feed!r}.")


class _Timetable:
    """The dated calendar, as the synthetic market asks for it."""

    session = staticmethod(sessions.session)
    previous_trading_day = staticmethod(calendar.previous_trading_day)


def _run_key(
    request: DayRequest,
    market: str,
    charges: str,
    definitions: dict[str, StrategyDefinition],
) -> str:
    """What makes two runs the same run: market, settings, strategies; not how fast they were traded."""
    parts = [
        "paper",
        market,
        str(request.seed),
        request.file.hash,
        str(request.engines if isinstance(request.engines, Engines) else request.engines),
        charges,
        *(definition.source_hash for definition in definitions.values()),
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
