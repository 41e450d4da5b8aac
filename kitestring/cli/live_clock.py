"""Whose clock a live day goes by: the machine's, or in a rehearsal the exchange's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from kitestring.broker.exchange_time import exchange_time
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import KiteSettings, TimeOf
from kitestring.engine.clocks import WallClock
from kitestring.engine.live_day import LiveClock
from kitestring.engine.rehearsal_clock import RehearsalClock


def clock_of(settings: KiteSettings) -> LiveClock:
    """The clock that the settings name. Raises ``KiteReadFailed`` where the exchange's is not there."""
    if settings.clock is not TimeOf.EXCHANGE:
        return WallClock()
    clock = RehearsalClock()

    async def look() -> None:
        async with KiteHttp(settings) as http:
            await clock.look(partial(exchange_time, http))

    asyncio.run(look())
    return clock


@asynccontextmanager
async def keeping_time(clock: LiveClock, settings: KiteSettings) -> AsyncIterator[None]:
    """Follow the exchange's clock for as long as this lasts; the machine's needs no following."""
    if not isinstance(clock, RehearsalClock):
        yield
        return
    async with KiteHttp(settings) as http, clock.following(partial(exchange_time, http)):
        yield
