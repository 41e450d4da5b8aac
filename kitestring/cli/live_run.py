"""From ``--mode live`` to a live day: token, today's list, the plan, the person's phrase, the day."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import msgspec

from kitestring.broker.instruments_of_day import READY_AT, instruments_of_day
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_feed import live_manifest
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import KiteToken, TokenStore
from kitestring.broker.kite_settings import Place, TimeOf, is_loopback
from kitestring.broker.previous_closes import previous_closes
from kitestring.cli.day_report import find, write_report
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import day_settings
from kitestring.cli.doctor_command import SECRETS, doctor_lines, looked_at
from kitestring.cli.live_clock import clock_of, keeping_time
from kitestring.cli.login_flow import run_login
from kitestring.domain.errors import ConfigError, NotLoggedIn
from kitestring.domain.instants import SECOND, instant, ist_clock, ist_date
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_day import SILENT_AFTER, LiveClock
from kitestring.engine.live_engine import LiveEngine, LivePlan
from kitestring.engine.live_market import watched, without_stop
from kitestring.engine.preflight import may_start
from kitestring.engine.rehearsal_clock import REHEARSED_SILENCE
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.watching import DayResult, Watcher
from kitestring.market import calendar
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for
from kitestring.store.instrument_dumps import InstrumentDumps

BAR_GRACE_MS: Final = 1500
_TOKEN_EVERY: Final = 5 * SECOND

Say = Callable[[str], object]


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
    clock = clock or clock_of(request.file.config.kite)
    stdin = keyboard or sys.stdin
    trading = request.file.config.trading
    if trading.live_capital is None:
        raise ConfigError(
            f"{request.file.where('trading')}: live trading needs trading.live_capital, the rupees "
            "the house may trade with; it is never inferred from the account.",
            do="write `live_capital: 2 lakh` (or your amount) under trading:, then start again",
        )
    today = ist_date(clock.now())
    closed = _closed(today, clock)
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
    if request.file.config.kite.place is Place.KITE:
        say("⚠️  LIVE: real orders with real money, in your account at Zerodha.")
    else:
        say(f"⚠️  LIVE, rehearsed at {request.file.config.kite.api_root}: no money is real there.")
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
    result = asyncio.run(_trade_in_time(request, watcher, say, clock, store, stdin))
    if not result.already_finished:
        write_report(find(request.artifacts, result.run))
    return result


def _closed(today: dt.date, clock: LiveClock) -> str:
    """Why nothing can be traded any more today; empty if something can."""
    if not calendar.is_trading_day(today):
        why = calendar.holiday(today) or f"a {today:%A}"
        following = calendar.next_trading_day(today)
        return f"No trading on {today} ({why}); the next trading day is {following}."
    closes_at = max(session.close_at for session in sessions_for(today).values())
    if clock.now() >= closes_at:
        return f"Trading on {today} ended at {ist_clock(closes_at)}."
    return ""


async def _trade_in_time(
    request: DayRequest,
    watcher: Watcher,
    say: Say,
    clock: LiveClock,
    store: TokenStore,
    stdin: IO[str],
) -> DayResult:
    async with keeping_time(clock, request.file.config.kite):
        return await _trade(request, watcher, say, clock, store, stdin)


async def _trade(
    request: DayRequest,
    watcher: Watcher,
    say: Say,
    clock: LiveClock,
    store: TokenStore,
    stdin: IO[str],
) -> DayResult:
    today = ist_date(clock.now())
    token = await _token(store, clock, say)
    if clock.now() < (ready_at := instant(today, READY_AT)):
        say(f"Waiting for Kite's list of instruments, ready at {READY_AT:%H:%M}.")
        await clock.wait_until(ready_at)
    config = request.file.config
    settings = msgspec.structs.replace(config.kite, api_key=token.api_key)
    names = [name for row in config.strategies for name in row.instruments]
    names += [row.signal_from for row in config.strategies if row.signal_from is not None]
    async with KiteHttp(settings) as http:
        client = KiteClient(settings, token.access_token, http)
        listed = await instruments_of_day(
            InstrumentDumps(request.artifacts / "instruments"), client.instruments, clock.now()
        )
        chosen = watched(listed, names, today)
        closes = await previous_closes(client, [each.id for each in chosen])
    manifest = live_manifest(today, chosen, closes)
    manifest = msgspec.structs.replace(
        manifest,
        sessions={
            segment: session
            for segment, session in manifest.sessions.items()
            if segment in {each.segment for each in chosen}
        },
    )
    book = charge_book(today)
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
        silent_after=REHEARSED_SILENCE if settings.clock is TimeOf.EXCHANGE else SILENT_AFTER,
    )

    async def ask(lines: Sequence[str], phrase: str) -> str | None:
        for line in lines:
            say(line)
        if not stdin.isatty():
            say("Nobody is at the keyboard, so nobody can arm the day.")
            return None
        say(f"To let it trade, type exactly: {phrase}")
        return await asyncio.to_thread(stdin.readline)

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
    )
    return await engine.start(watcher)


async def _token(store: TokenStore, clock: LiveClock, say: Say) -> KiteToken:
    """Today's token; waits for somebody to log in."""
    said = ""
    while True:
        try:
            return store.token(clock.now())
        except NotLoggedIn as error:
            if error.what != said:
                say(f"{error.what} Waiting for it: {error.do}")
                said = error.what
        await clock.wait_until(clock.now() + _TOKEN_EVERY)
