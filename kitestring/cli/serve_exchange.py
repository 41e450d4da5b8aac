"""From the command to an exchange that is served: chooses the market, says where it is, waits for Ctrl-C."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from kitestring.cli.exchange_settings import ExchangeFile, ExchangeRequest, load_exchange_file
from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import SECOND, Instant, instant, ist_clock
from kitestring.exchange.desk.sessions import OpenSession
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.market_source import MarketSource, Source, TapeSource
from kitestring.exchange.wire.exchange_clock import ExchangeClock, speed_of
from kitestring.exchange.wire.fault_script import Script, load_script
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.market import calendar, sessions
from kitestring.store.recordings import is_tape, tape_file
from kitestring.store.taped_feed import TapedFeed

SYNTHETIC_DATE: Final = dt.date(2026, 11, 20)
"""The day served when none is named: pinned, so that it is the same market every year."""
_BEFORE_OPEN: Final = 5 * SECOND

Say = Callable[[str], object]


def serve(request: ExchangeRequest, say: Say) -> bool:
    """Serve until stopped; whether that was Ctrl-C. Raises a ``HouseError`` for what forbids it."""
    file = load_exchange_file(request.config) if request.config is not None else ExchangeFile()
    if request.seed is not None:
        settings = msgspec.structs.replace(file.settings, seed=request.seed)
        file = msgspec.structs.replace(file, settings=settings)
    speed = speed_of(request.speed)
    market = _market(request, file.settings.seed)
    clock = ExchangeClock(_start(request, file, market), speed)
    local = LocalExchange(file.settings, market, clock)
    return asyncio.run(_serve(request, file, local, clock, say))


async def _serve(
    request: ExchangeRequest,
    file: ExchangeFile,
    local: LocalExchange,
    clock: ExchangeClock,
    say: Say,
) -> bool:
    stop, stopped_by = asyncio.Event(), []
    stage = RehearsalStage(
        local,
        clock,
        script=_script(request, file),
        ledger_path=request.wire_ledger,
        admin=request.admin,
        stop=stop.set,
    )
    served = Served(
        local,
        host=request.host,
        port=request.port,
        middlewares=stage.middlewares,
        set_up=[lambda app, exchange: add_feed(app, exchange, clock, file.ticker), stage.set_up],
    )

    def end(signum: int) -> None:
        stopped_by.append(signum)
        stop.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, end, signum)
    starts_at = clock.aim()
    await served.start()
    try:
        if not isinstance(clock.speed, str):  # the market before the chosen moment is shown first
            await clock.wait_until(starts_at)
        session = local.sessions.log_in(clock.now(), file.settings.apps[0].api_key)
        for line in opening_lines(served, clock, session):
            say(line)
        await served.wait(stop)
    finally:
        await served.stop()
    say("Stopped. Orders, positions and tokens of this exchange are gone.")
    return signal.SIGINT in stopped_by


def opening_lines(served: Served, clock: ExchangeClock, session: OpenSession) -> list[str]:
    """What somebody needs to trade here: addresses, key, token, how to log in, two lines of Python."""
    exchange, app = served.exchange, session.app
    speed = clock.speed if isinstance(clock.speed, str) else f"speed {clock.speed:g}"
    market = f"{exchange.market.manifest.name}, {exchange.day:%a %d %b %Y}"
    client = f'KiteConnect("{app.api_key}", "{session.access_token}", root="{served.rest}")'
    return [
        f"Kitestring exchange: {market}, {ist_clock(clock.now())} IST, {speed}",
        f"{len(exchange.listing):,} instruments",
        "",
        f"  REST          {served.rest}",
        f"  WebSocket     {served.ticker}",
        f"  api_key       {app.api_key}",
        f"  api_secret    {app.api_secret}",
        f"  access_token  {session.access_token}    (good until 06:00 IST)",
        f"  log in        {served.rest}/connect/login?v=3&api_key={app.api_key}",
        "                one click instead of a password; gives a request_token for generate_session",
        "",
        "  from kiteconnect import KiteConnect",
        f'  print({client}.ltp("NSE:INFY"))',
        "",
        "No money is real here. Ctrl-C stops it.",
    ]


def _script(request: ExchangeRequest, file: ExchangeFile) -> Script:
    """The faults asked for: the command's script, else the one its settings name, beside them."""
    if request.faults is not None:
        return load_script(request.faults)
    if not file.faults:
        return Script()
    beside = request.config.parent if request.config is not None else Path()
    return load_script(beside / file.faults)


def _market(request: ExchangeRequest, seed: int) -> Source:
    if request.tape is not None:
        if not is_tape(request.tape):
            raise ConfigError(
                f"{request.tape} is no tape of ticks.",
                do="Name a run's folder or its tape.bin; `kitestring tape check` says what it holds.",
            )
        feed = TapedFeed(tape_file(request.tape))
        taped = feed.manifest.date
        if request.date not in {None, taped}:
            raise ConfigError(
                f"{request.tape} is a tape of {taped}, not of {request.date}.",
                do="Leave --date out: a tape knows its day.",
            )
        return TapeSource(feed)
    day = request.date or SYNTHETIC_DATE
    calendar.known(day)
    sessions.sessions_for(day)  # a closed day names the next open one
    return MarketSource(day, seed)


def _start(request: ExchangeRequest, file: ExchangeFile, market: Source) -> Instant:
    chosen = request.start or file.start
    manifest = market.manifest
    if chosen is not None:
        return instant(manifest.date, chosen)
    opens_at = min(session.open_at for session in manifest.sessions.values())
    return opens_at - _BEFORE_OPEN
