"""From ``--mode live`` to a live day: token, today's list, the plan, the person's phrase, the day."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import msgspec

from kitestring.broker.instruments_of_day import READY_AT, instruments_of_day
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_feed import live_manifest
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import KiteToken, TokenStore
from kitestring.broker.kite_settings import is_loopback
from kitestring.broker.previous_closes import opening_quotes
from kitestring.cli.alert_settings import configured_channels
from kitestring.cli.day_report import find, write_report
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import day_settings
from kitestring.cli.doctor_command import SECRETS, clock_ahead_s, doctor_lines, looked_at
from kitestring.cli.login_flow import run_login
from kitestring.domain.errors import ConfigError, NotLoggedIn
from kitestring.domain.events import DayOpening
from kitestring.domain.instants import MINUTE, SECOND, Instant, instant, ist_clock, ist_date
from kitestring.engine.alert_channels import Channel
from kitestring.engine.attendance import Attendance
from kitestring.engine.carried import listed_today
from kitestring.engine.clocks import WallClock, wall_now
from kitestring.engine.control_socket import ControlSocket
from kitestring.engine.day_before import day_before, opening_of
from kitestring.engine.guard_story import guard_lines
from kitestring.engine.guarding import Guarding, guard_command
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_alerts import tell_login_due
from kitestring.engine.live_day import LiveClock
from kitestring.engine.live_engine import Ask, Ears, LiveEngine, LiveLink, LivePlan, OpenLink
from kitestring.engine.live_instruments import refuse_unbuilt
from kitestring.engine.live_market import stops_demanded, watched, without_stop
from kitestring.engine.preflight import may_start
from kitestring.engine.settings_today import settings_today
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.watching import DayResult, Watcher
from kitestring.market import calendar
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for
from kitestring.store.instrument_dumps import InstrumentDumps

BAR_GRACE_MS: Final = 1500
_TOKEN_EVERY: Final = 5 * SECOND
LOGIN_TOLD_FROM: Final = dt.time(8, 0)
"""Nobody is woken before; the market opens at 09:15."""
REMIND_EVERY: Final = 15 * MINUTE

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
    clock = clock or WallClock()
    stdin = keyboard or sys.stdin
    trading = request.file.config.trading
    if trading.live_capital is None:
        raise ConfigError(
            f"{request.file.where('trading')}: live trading needs trading.live_capital, the rupees "
            "the house may trade with; it is never inferred from the account.",
            do="write `live_capital: 2 lakh` (or your amount) under trading:, then start again",
        )
    today = ist_date(clock.now())
    why = closed(today, clock)
    if why:
        say(why)
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
    guarding = _guarding(request, secrets, clock) if request.guarded else None
    if guarding is None:
        say("No guard is kept beside this day.")
    result = asyncio.run(_trade(request, watcher, say, clock, store, stdin, guarding))
    if not result.already_finished:
        write_report(find(request.artifacts, result.run))
    return result


def _guarding(request: DayRequest, secrets: Path, clock: LiveClock) -> Guarding:
    """A guard with the same settings, folder and login; no secret is on its command line."""
    arguments = ["--config", request.file.name, "--artifacts", str(request.artifacts)]
    arguments += ["--secrets", str(secrets)]
    ahead_s = (clock.now() - wall_now()) / SECOND
    if abs(ahead_s) > 1:  # A rehearsal's clock is the exchange's.
        arguments += ["--ahead", f"{ahead_s:.3f}"]
    return Guarding(request.artifacts, guard_command(*arguments))


def closed(today: dt.date, clock: LiveClock) -> str:
    """Why nothing can be traded any more today; empty if something can."""
    if not calendar.is_trading_day(today):
        why = calendar.holiday(today) or f"a {today:%A}"
        following = calendar.next_trading_day(today)
        return f"No trading on {today} ({why}); the next trading day is {following}."
    closes_at = max(session.close_at for session in sessions_for(today).values())
    if clock.now() >= closes_at:
        return f"Trading on {today} ended at {ist_clock(closes_at)}."
    return ""


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
    beside = (
        *(() if guarding is None else (guarding,)),
        halts,
        ControlSocket(request.artifacts, halts, guard=unguarded),
        Attendance(watcher, halts, guard=unguarded),
    )
    engine = LiveEngine(plan, open_link, asking(say, stdin), beside=beside, unguarded=unguarded)
    return await engine.start(watcher)


async def prepared(
    request: DayRequest,
    say: Say,
    clock: LiveClock,
    store: TokenStore,
    channels: Sequence[Channel] = (),
) -> tuple[LivePlan, OpenLink]:
    """Today's plan, and how its link is opened: for the day itself, and for who arms it ahead."""
    today = ist_date(clock.now())
    token = await _token(store, clock, say, channels)
    if clock.now() < (ready_at := instant(today, READY_AT)):
        say(f"Waiting for Kite's list of instruments, ready at {READY_AT:%H:%M}.")
        await clock.wait_until(ready_at)
    config = request.file.config
    settings = msgspec.structs.replace(config.kite, api_key=token.api_key)
    names = [name for row in config.strategies for name in row.instruments]
    names += [row.signal_from for row in config.strategies if row.signal_from is not None]
    before = day_before(request.artifacts, today, read_strategy)
    opening: DayOpening | None = None
    said: list[str] = []
    if before is not None:
        opening, said = opening_of(before, config.trading.capital, today)
        names += [position.instrument.id for position in opening.positions]
    async with KiteHttp(settings) as http:
        client = KiteClient(settings, token.access_token, http)
        listed = await instruments_of_day(
            InstrumentDumps(request.artifacts / "instruments"), client.instruments, clock.now()
        )
        chosen = watched(listed, names, today)
        if opening is not None:
            opening = listed_today(opening, {each.id: each for each in chosen})
        quoted = await opening_quotes(client, [each.id for each in chosen])
    manifest = live_manifest(today, chosen, quoted.closes, price_bands=quoted.bands)
    held = opening.positions if opening is not None else ()
    traded = {each.segment for each in (*chosen, *(row.instrument for row in held))}
    manifest = msgspec.structs.replace(
        manifest,
        sessions={
            segment: session for segment, session in manifest.sessions.items() if segment in traded
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
        carried={row.strategy: row.instrument.id for row in held if not row.frozen},
    )
    exempt = [row.strategy for row in config.strategies if row.without_stop]
    refuse_unbuilt(day.settings, chosen, book)
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
    )

    def open_link(ears: Ears) -> AbstractAsyncContextManager[LiveLink]:
        return open_kite(
            ears,
            settings=settings,
            token=lambda: store.token(clock.now()).access_token,
            manifest=manifest,
            clock=clock,
            cache=request.artifacts / "candles",
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


async def _token(
    store: TokenStore, clock: LiveClock, say: Say, channels: Sequence[Channel] = ()
) -> KiteToken:
    """Today's token; waits for somebody to log in, and tells those who are not looking."""
    said = ""
    remind_at: Instant = 0
    while True:
        now = clock.now()
        try:
            return store.token(now)
        except NotLoggedIn as error:
            if error.what != said:
                say(f"{error.what} Waiting for it: {error.do}")
                said = error.what
            if now >= max(remind_at, instant(ist_date(now), LOGIN_TOLD_FROM)):
                remind_at = now + REMIND_EVERY
                title = f"Kitestring LIVE {ist_date(now)}"
                await tell_login_due(channels, f"{error.what} {error.do}", now, title)
        await clock.wait_until(clock.now() + _TOKEN_EVERY)
