"""What a day on Kite's own market waits for, live or on paper: a day that trades, a token, today's list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from kitestring.broker.instruments_of_day import READY_AT, instruments_of_day
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_feed import live_manifest
from kitestring.broker.kite_session import KiteToken, TokenStore
from kitestring.broker.kite_settings import KiteSettings
from kitestring.broker.previous_closes import opening_quotes
from kitestring.broker.reads_only import ReadsOnly
from kitestring.cli.day_request import DayRequest
from kitestring.domain.errors import NotLoggedIn
from kitestring.domain.events import DayOpening
from kitestring.domain.instants import MINUTE, SECOND, Instant, instant, ist_clock, ist_date
from kitestring.domain.instruments import Instrument
from kitestring.domain.ports import Manifest
from kitestring.engine.alert_channels import Channel
from kitestring.engine.carried import listed_today
from kitestring.engine.live_alerts import tell_login_due
from kitestring.engine.live_day import LiveClock
from kitestring.engine.live_market import listed_futures, watched
from kitestring.market import calendar
from kitestring.market.sessions import sessions_for
from kitestring.store.instrument_dumps import InstrumentDumps

BAR_GRACE_MS: Final = 1500
"""How long after its end a bar waits for ticks on their way."""
_TOKEN_EVERY: Final = 5 * SECOND
LOGIN_TOLD_FROM: Final = dt.time(8, 0)
"""Nobody is woken before; the market opens at 09:15."""
REMIND_EVERY: Final = 15 * MINUTE

Say = Callable[[str], object]


def closed_today(clock: LiveClock) -> str:
    """Why nothing can be traded any more today; empty if something can."""
    today = ist_date(clock.now())
    if not calendar.is_trading_day(today):
        why = calendar.holiday(today) or f"a {today:%A}"
        following = calendar.next_trading_day(today)
        return f"No trading on {today} ({why}); the next trading day is {following}."
    closes_at = max(session.close_at for session in sessions_for(today).values())
    if clock.now() >= closes_at:
        return f"Trading on {today} ended at {ist_clock(closes_at)}."
    return ""


async def todays_token(
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
                title = f"Kitestring {ist_date(now)}"
                await tell_login_due(channels, f"{error.what} {error.do}", now, title)
        await clock.wait_until(clock.now() + _TOKEN_EVERY)


async def todays_market(
    request: DayRequest,
    settings: KiteSettings,
    token: KiteToken,
    clock: LiveClock,
    say: Say,
    opening: DayOpening | None = None,
) -> tuple[Manifest, DayOpening | None, tuple[Instrument, ...]]:
    """What is watched today, from Kite's own list; waits until that is ready.

    What the day before left (``opening``) is watched too; contracts that are no longer listed are
    frozen in it. Third come all futures of the names watched: a new one warms up on the one before.
    """
    today: dt.date = ist_date(clock.now())
    if clock.now() < (ready_at := instant(today, READY_AT)):
        say(f"Waiting for Kite's list of instruments, ready at {READY_AT:%H:%M}.")
        await clock.wait_until(ready_at)
    strategies = request.file.config.strategies
    names = [name for row in strategies for name in row.instruments]
    names += [row.signal_from for row in strategies if row.signal_from is not None]
    if opening is not None:
        names += [position.instrument.id for position in opening.positions]
    async with ReadsOnly(settings) as http:
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
    used = {each.segment for each in (*chosen, *(row.instrument for row in held))}
    manifest = msgspec.structs.replace(
        manifest,
        sessions={name: each for name, each in manifest.sessions.items() if name in used},
    )
    return manifest, opening, listed_futures(listed, chosen, today)
