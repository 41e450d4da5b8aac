"""From ``--mode live`` to a live day: token, today's list, the plan, the person's phrase, the day."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import msgspec

from kitestring.broker.kite_session import TokenStore
from kitestring.broker.kite_settings import Place, TimeOf, is_loopback
from kitestring.cli.alert_settings import configured_channels
from kitestring.cli.day_report import find, write_report
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import day_settings
from kitestring.cli.doctor_command import SECRETS, clock_ahead_s, doctor_lines, looked_at
from kitestring.cli.kite_day import (
    BAR_GRACE_MS,
    Say,
    closed_today,
    todays_market,
    todays_token,
)
from kitestring.cli.live_clock import clock_of, keeping_time
from kitestring.cli.login_flow import run_login
from kitestring.cli.twin_command import twin_beside
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import DayOpening
from kitestring.domain.instants import ist_date
from kitestring.engine.alert_channels import Channel
from kitestring.engine.attendance import Attendance
from kitestring.engine.clocks import WallClock
from kitestring.engine.control_socket import ControlSocket
from kitestring.engine.day_before import day_before, opening_of
from kitestring.engine.guard_story import guard_lines
from kitestring.engine.guarding import Guarding, guard_command
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_day import SILENT_AFTER, LiveClock
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_instruments import refuse_unbuilt
from kitestring.engine.live_market import stops_demanded, without_stop
from kitestring.engine.live_plan import Ask, Ears, LiveLink, LivePlan, OpenLink
from kitestring.engine.preflight import may_start
from kitestring.engine.rehearsal_clock import REHEARSED_SILENCE
from kitestring.engine.settings_today import settings_today
from kitestring.engine.settled_garbage import SettledGarbage
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
    clock = clock or clock_of(request.file.config.kite)
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
        # One measurement of exits under load is not explained: until it is, no rupee is put at risk.
        raise ConfigError(
            "Live trading at Zerodha is not released yet: how quickly exits leave under load is "
            "still being looked at. Nothing was started.",
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
    # In a rehearsal the clock is the exchange's own, however fast that goes.
    ahead_s = clock_ahead_s(request.file, clock.now) if isinstance(clock, WallClock) else None
    checks = looked_at(
        request.file, request.artifacts, clock.now(), secrets=secrets, ahead_s=ahead_s
    )
    for line in doctor_lines(checks):
        say(line)
    # Nobody logged in yet is waited for; everything else that fails must be mended first.
    if not may_start(check for check in checks if check.name != "token"):
        raise ConfigError(
            "The checks before a live day failed; nothing was started.",
            do="mend what is marked ✗ above; kitestring doctor --config FILE looks again",
        )
    for line in guard_lines(request.artifacts):
        say(line)
    guarding = _guarding(request, secrets) if request.guarded else None
    if guarding is None:
        say("No guard is kept beside this day.")
    result = asyncio.run(_trade_in_time(request, watcher, say, clock, store, stdin, guarding))
    if not result.already_finished:
        write_report(find(request.artifacts, result.run))
    return result


def _guarding(request: DayRequest, secrets: Path) -> Guarding:
    """A guard with the same settings, clock, folder and login; no secret is on its command line."""
    arguments = ["--config", request.file.name, "--artifacts", str(request.artifacts)]
    arguments += ["--secrets", str(secrets)]
    return Guarding(request.artifacts, guard_command(*arguments))


async def _trade_in_time(
    request: DayRequest,
    watcher: Watcher,
    say: Say,
    clock: LiveClock,
    store: TokenStore,
    stdin: IO[str],
    guarding: Guarding | None,
) -> DayResult:
    async with keeping_time(clock, request.file.config.kite):
        return await _trade(request, watcher, say, clock, store, stdin, guarding)


async def _trade(
    request: DayRequest,
    watcher: Watcher,
    say: Say,
    clock: LiveClock,
    store: TokenStore,
    stdin: IO[str],
    guarding: Guarding | None = None,
) -> DayResult:
    channels = configured_channels(request.file.alerts)
    plan, open_link = await prepared(request, say, clock, store, channels)
    halts = HaltWatch(request.artifacts)
    unguarded = (lambda: "") if guarding is None else guarding.unguarded
    twin = None
    if request.paper_twin:
        model = request.file.config.paper.fill_model
        twin = TwinLine(partial(twin_beside, request.artifacts, model, request.seed))
    beside = (
        *(() if guarding is None else (guarding,)),
        *(() if twin is None else (twin,)),
        halts,
        ControlSocket(request.artifacts, halts, guard=unguarded),
        Attendance(watcher, halts, guard=unguarded),
        SettledGarbage(),
    )
    engine = LiveEngine(plan, open_link, asking(say, stdin), beside=beside, unguarded=unguarded)
    try:
        return await engine.start(watcher)
    finally:
        if twin is not None and (why := await twin.finish()):
            say(why)


async def prepared(
    request: DayRequest,
    say: Say,
    clock: LiveClock,
    store: TokenStore,
    channels: Sequence[Channel] = (),
) -> tuple[LivePlan, OpenLink]:
    """Today's plan, and how its link is opened: for the day itself, and for who arms it ahead."""
    token = await todays_token(store, clock, say, channels)
    today = ist_date(clock.now())
    config = request.file.config
    settings = msgspec.structs.replace(config.kite, api_key=token.api_key)
    before = day_before(request.artifacts, today, read_strategy)
    opening: DayOpening | None = None
    said: list[str] = []
    if before is not None:
        opening, said = opening_of(before, config.trading.capital, today)
    manifest, opening, futures = await todays_market(request, settings, token, clock, say, opening)
    held = opening.positions if opening is not None else ()
    book = charge_book(today)
    day = day_settings(
        request.file,
        manifest,
        engines=request.engines,
        identity=("live", book.name, token.user_id),
        read_strategy=read_strategy,
        bar_grace_ms=BAR_GRACE_MS,
        carried={row.strategy: row.instrument.id for row in held if not row.frozen},
    )
    exempt = [row.strategy for row in config.strategies if row.without_stop]
    refuse_unbuilt(day.settings, manifest.instruments, book)
    allowed = settings_today(
        request.artifacts,
        stops_demanded(day.settings, exempt),
        day.sessions,
        day.strategies,
        fresh=request.fresh,
    )
    for sentence in said:
        say(sentence)
    plan = LivePlan(
        settings=allowed.settings,
        manifest=manifest,
        sessions=allowed.sessions,
        definitions=day.strategies,
        charge_book=book,
        artifacts=request.artifacts,
        config_hash=config.digest,
        live_capital=config.trading.live_capital,
        without_stop=without_stop(day.strategies, exempt),
        notes=day.notes,
        opening=opening,
        said=tuple(said),
        overnight=before.overnight if before is not None else (),
        stopping=config.trading.stopping,
        tightened=allowed.tightened,
        fresh=request.fresh,
        alerts=tuple(channels),
        silent_after=REHEARSED_SILENCE if settings.clock is TimeOf.EXCHANGE else SILENT_AFTER,
    )

    def open_link(ears: Ears) -> AbstractAsyncContextManager[LiveLink]:
        return open_kite(
            ears,
            settings=settings,
            token=lambda: store.token(clock.now()).access_token,
            manifest=manifest,
            clock=clock,
            cache=request.artifacts / "candles",
            futures=futures,
        )

    return plan, open_link


def asking(say: Say, stdin: IO[str]) -> Ask:
    """Shows the terms and waits for the phrase, where somebody is at the keyboard."""

    async def ask(lines: Sequence[str], phrase: str) -> str | None:
        for line in lines:
            say(line)
        if not stdin.isatty():
            say("Nobody is at the keyboard, so nobody can arm the day.")
            return None
        say(f"To let it trade, type exactly: {phrase}")
        return await asyncio.to_thread(stdin.readline)

    return ask
