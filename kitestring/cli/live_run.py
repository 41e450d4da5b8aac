"""From ``--mode live`` to a live day: token, today's list, the plan, the person's phrase, the day."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import msgspec

from kitestring.broker.kite_session import TokenStore
from kitestring.broker.kite_settings import is_loopback
from kitestring.cli.day_report import find, write_report
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import day_settings
from kitestring.cli.doctor_command import SECRETS, doctor_lines, looked_at
from kitestring.cli.kite_day import (
    BAR_GRACE_MS,
    Say,
    closed_today,
    todays_market,
    todays_token,
)
from kitestring.cli.login_flow import run_login
from kitestring.cli.twin_command import twin_beside
from kitestring.domain.errors import ConfigError
from kitestring.engine.clocks import WallClock
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_day import LiveClock
from kitestring.engine.live_engine import LiveEngine, LivePlan
from kitestring.engine.live_market import without_stop
from kitestring.engine.preflight import may_start
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.twin_line import TwinLine
from kitestring.engine.watching import DayResult, Watcher
from kitestring.market.charges import charge_book


def run_live_day(
    request: DayRequest,
    watcher: Watcher,
    say: Say,
    *,
    login: bool = False,
    clock: LiveClock | None = None,
    secrets: Path = SECRETS,
    keyboard: IO[str] | None = None,
) -> DayResult | None:
    """Trade today for real; ``None`` where there is nothing to trade today. Raises a ``HouseError``."""
    clock = clock or WallClock()
    stdin = keyboard or sys.stdin
    trading = request.file.config.trading
    if trading.live_capital is None:
        raise ConfigError(
            f"{request.file.where('trading')}: live trading needs trading.live_capital, the rupees "
            "the house may trade with; it is never inferred from the account.",
            do="write `live_capital: 2 lakh` (or your amount) under trading:, then start again",
        )
    closed = closed_today(clock)
    if closed:
        say(closed)
        return None
    if not is_loopback(urlsplit(request.file.config.kite.api_root).hostname):
        # Until the guard and the kill tests of the real processes stand, no rupee is put at risk.
        raise ConfigError(
            "Live trading at Zerodha is not released yet: the guard beside the engine, the rehearsal "
            "and the tests that pull the plug are still to come. Nothing was started.",
            do="trade on paper, or rehearse: run `python -m kitestring exchange` and write "
            "`api_root: http://127.0.0.1:8010` under kite:",
        )
    say("⚠️  LIVE: real orders with real money, in your account at Zerodha.")
    store = TokenStore(secrets, os.environ)
    if login:
        run_login(request.file.config.kite, store, say, stdin=stdin, show=True, now=clock.now)
    checks = looked_at(request.file, request.artifacts, clock.now(), secrets=secrets)
    for line in doctor_lines(checks):
        say(line)
    # Nobody logged in yet is waited for; everything else that fails must be mended first.
    if not may_start(check for check in checks if check.name != "token"):
        raise ConfigError(
            "The checks before a live day failed; nothing was started.",
            do="mend what is marked ✗ above; kitestring doctor --config FILE looks again",
        )
    result = asyncio.run(_trade(request, watcher, say, clock, store, stdin))
    if not result.already_finished:
        write_report(find(request.artifacts, result.run))
    return result


async def _trade(
    request: DayRequest,
    watcher: Watcher,
    say: Say,
    clock: LiveClock,
    store: TokenStore,
    stdin: IO[str],
) -> DayResult:
    token = await todays_token(store, clock, say)
    config = request.file.config
    settings = msgspec.structs.replace(config.kite, api_key=token.api_key)
    manifest = await todays_market(request, settings, token, clock, say)
    book = charge_book(manifest.date)
    day = day_settings(
        request.file,
        manifest,
        engines=request.engines,
        identity=("live", book.name, token.user_id),
        read_strategy=read_strategy,
        bar_grace_ms=BAR_GRACE_MS,
    )
    plan = LivePlan(
        settings=day.settings,
        manifest=manifest,
        sessions=day.sessions,
        definitions=day.strategies,
        charge_book=book,
        artifacts=request.artifacts,
        config_hash=config.digest,
        live_capital=config.trading.live_capital,
        without_stop=without_stop(
            day.strategies,
            [row.strategy for row in config.strategies if row.without_stop],
        ),
        notes=day.notes,
        fresh=request.fresh,
    )

    async def ask(lines: Sequence[str], phrase: str) -> str | None:
        for line in lines:
            say(line)
        if not stdin.isatty():
            say("Nobody is at the keyboard, so nobody can arm the day.")
            return None
        say(f"To let it trade, type exactly: {phrase}")
        return await asyncio.to_thread(stdin.readline)

    twin = None
    if request.paper_twin:
        paper = config.paper
        twin = TwinLine(partial(twin_beside, request.artifacts, paper.fill_model, request.seed))
    engine = LiveEngine(
        plan,
        lambda ears: open_kite(
            ears,
            settings=settings,
            token=lambda: store.token(clock.now()).access_token,
            manifest=manifest,
            clock=clock,
            cache=request.artifacts / "candles",
        ),
        ask,
        beside=() if twin is None else (twin,),
    )
    try:
        return await engine.start(watcher)
    finally:
        if twin is not None and (why := await twin.finish()):
            say(why)
