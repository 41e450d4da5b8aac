"""From ``--feed kite`` to a paper day on today's real ticks: token, today's list, the plan, the day."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import IO

import msgspec

from kitestring.broker.kite_session import TokenStore
from kitestring.cli.alert_settings import configured_channels
from kitestring.cli.day_report import find, write_report
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import day_settings
from kitestring.cli.doctor_command import SECRETS
from kitestring.cli.kite_day import (
    BAR_GRACE_MS,
    Say,
    closed_today,
    todays_market,
    todays_token,
)
from kitestring.cli.login_flow import run_login
from kitestring.engine.clocks import WallClock
from kitestring.engine.kite_market import open_market
from kitestring.engine.live_day import LiveClock
from kitestring.engine.live_paper_engine import LivePaperEngine, LivePaperPlan
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.watching import DayResult, Watcher
from kitestring.exchange.fill_models import fill_model
from kitestring.market.charges import configured_charges


def run_paper_on_kite(
    request: DayRequest,
    watcher: Watcher,
    say: Say,
    *,
    login: bool = False,
    clock: LiveClock | None = None,
    secrets: Path = SECRETS,
    keyboard: IO[str] | None = None,
) -> DayResult | None:
    """Trade today on paper, on Kite's ticks; ``None`` where there is nothing to trade today.

    Raises a ``HouseError``. Orders stay in this house: nothing here can send one.
    """
    clock = clock or WallClock()
    closed = closed_today(clock)
    if closed:
        say(closed)
        return None
    say("PAPER on Kite's own ticks: orders are filled in this house, none is sent to Zerodha.")
    store = TokenStore(secrets, os.environ)
    if login:
        stdin = keyboard or sys.stdin
        run_login(request.file.config.kite, store, say, stdin=stdin, show=True, now=clock.now)
    result = asyncio.run(trade_on_kite(request, watcher, say, clock, store))
    if not result.already_finished:
        write_report(find(request.artifacts, result.run))
    return result


async def trade_on_kite(
    request: DayRequest, watcher: Watcher, say: Say, clock: LiveClock, store: TokenStore
) -> DayResult:
    """The day itself, in a running loop."""
    token = await todays_token(store, clock, say)
    config = request.file.config
    settings = msgspec.structs.replace(config.kite, api_key=token.api_key)
    manifest, _, futures = await todays_market(request, settings, token, clock, say)
    book = configured_charges(config.paper.charges, request.charges_as_of or manifest.date)
    day = day_settings(
        request.file,
        manifest,
        engines=request.engines,
        identity=("paper", str(request.seed), book.name, str(request.charges_as_of)),
        read_strategy=read_strategy,
        bar_grace_ms=BAR_GRACE_MS,
    )
    plan = LivePaperPlan(
        settings=day.settings,
        manifest=manifest,
        sessions=day.sessions,
        definitions=day.strategies,
        charge_book=book,
        fill_model=fill_model(config.paper.fill_model),
        seed=request.seed,
        artifacts=request.artifacts,
        config_hash=config.digest,
        notes=day.notes,
        fresh=request.fresh,
        alerts=configured_channels(request.file.alerts),
    )
    engine = LivePaperEngine(
        plan,
        lambda hear: open_market(
            hear,
            settings=settings,
            token=lambda: store.token(clock.now()).access_token,
            manifest=manifest,
            clock=clock,
            cache=request.artifacts / "candles",
            futures=futures,
        ),
    )
    return await engine.start(watcher)
