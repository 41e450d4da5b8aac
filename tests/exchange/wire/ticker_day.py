"""A market of six instruments written down tick by tick, and loops and sockets to hear it on."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import selectors

import msgspec
from aiohttp import ClientSession, web

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import NEVER, SECOND, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.sessions import App, Sessions
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.newcomers import Newcomers
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_connection import FeedSettings
from kitestring.exchange.wire.feed_routes import FEED, PUMP, add_feed

DAY = dt.date(2026, 11, 20)
OPEN_AT = instant(DAY, dt.time(9, 15))
APP = App(api_key="key", api_secret="secret")
OTHER_APP = App(api_key="other", api_secret="secret")
FREE_APP = App(api_key="free", api_secret="secret", personal=True)


def listed(key, token, kind=InstrumentKind.EQUITY, *, lot=1, tick="0.05", **more):
    exchange, _, symbol = key.partition(":")
    segment = {
        InstrumentKind.EQUITY: Segment.EQUITY_WITH_DERIVATIVES,
        InstrumentKind.FUTURE: Segment.FUTURES,
        InstrumentKind.INDEX: Segment.INDEX,
    }[kind]
    return Instrument(
        id=InstrumentId(key),
        exchange=exchange,
        symbol=symbol,
        token=token,
        kind=kind,
        segment=segment,
        name=symbol,
        lot_size=lot,
        tick_size=price(tick),
        **more,
    )


INFY = listed("NSE:INFY", 408065)
TCS = listed("NSE:TCS", 2953217)
NIFTY = listed("NSE:NIFTY 50", 256265, InstrumentKind.INDEX, has_volume=False, has_depth=False)
FUTURE = listed("NFO:NIFTY26NOVFUT", 35_000 << 8 | 2, InstrumentKind.FUTURE, lot=65, tick="0.1")
USDINR = listed("CDS:USDINR26NOVFUT", 9_000 << 8 | 3, InstrumentKind.FUTURE, tick="0.0025")
GOLD = listed("NCO:GOLD26NOVFUT", 700 << 8 | 12, InstrumentKind.FUTURE, tick="1")
ALL = (INFY, TCS, NIFTY, FUTURE, USDINR, GOLD)
CLOSES = {
    INFY.id: price("1389.65"),
    TCS.id: price(3080),
    NIFTY.id: price(24_700),
    FUTURE.id: price("24750.5"),
    USDINR.id: price("88.4125"),
    GOLD.id: price(121_500),
}


def tick(instrument, second, px, qty=0, bid=None, ask=None, oi=0):
    """A tick ``second`` seconds after the open; bid and ask as (rupees, quantity)."""
    bid_px, bid_qty = bid or ("0", 0)
    ask_px, ask_qty = ask or ("0", 0)
    return Tick(
        instrument.id,
        OPEN_AT + second * SECOND,
        price(px),
        qty,
        price(bid_px),
        bid_qty,
        price(ask_px),
        ask_qty,
        oi,
    )


def frame(second, *ticks, delay_us=50_000):
    return TickFrame(OPEN_AT + second * SECOND + delay_us, tuple(ticks))


def board(instruments=ALL):
    return MarketBoard(Listing(DAY, instruments), CLOSES.get)


class Tape:
    """A market that shows what was written down."""

    def __init__(self, *frames):
        self.written = frames

    def frames(self, after=0):
        return iter(self.written[after:])


class Update(msgspec.Struct):
    """An order update as the desk gives it."""

    row: dict
    to_postback: bool = True


class Book:
    """A desk whose orders trade at written moments; what it is asked it writes down."""

    def __init__(self, *updates):
        self.due = sorted(updates, key=lambda each: each[0])
        self.asked = []

    @property
    def next_due_at(self):
        return self.due[0][0] if self.due else NEVER

    def advance(self, now):
        self.asked.append(now)
        told = [Update({"order_id": name}) for at, name in self.due if at <= now]
        self.due = self.due[len(told) :]
        return told


class SmallExchange:
    """What the ticker needs of an exchange, around a written market and book."""

    def __init__(self, market=None, desk=None, instruments=ALL):
        self.market = market or Tape()
        self.desk = desk or Book()
        self.board = board(instruments)
        self.newcomers = Newcomers(self.market, self.board, lambda: OPEN_AT)
        self.sessions = Sessions(7, (APP, OTHER_APP, FREE_APP))
        self.on_stir = []
        self.observed = []
        self.watched = []

    def observe(self, position, frame):
        self.observed.append((position, frame.received_at))

    def watch(self, instruments):
        self.watched.extend(instruments)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer instead of waiting for it."""

    def __init__(self):
        self.here = 1_000.0
        super().__init__(_Jumping(self))

    def time(self):
        return self.here


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        found = super().select(0)
        if timeout and not found:
            self._loop.here += timeout
        return found


def in_virtual_time(main):
    """Run a coroutine to its end without waiting."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


async def until(condition):
    """Return as soon as something has become true; the test's own deadline ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


class Served:
    """An exchange on a port of this machine, and a client's sockets to it."""

    def __init__(self, exchange, clock, app, port, session):
        self.exchange, self.clock, self.app, self.port, self.http = (
            exchange, clock, app, port, session,
        )  # fmt: skip
        self.sockets = []
        self.token = exchange.sessions.log_in(clock.now(), "key").access_token

    @property
    def feed(self):
        return self.app[FEED]

    @property
    def pump(self):
        return self.app[PUMP]

    def url(self, path="/", key="key", token=None):
        return (
            f"http://127.0.0.1:{self.port}{path}?api_key={key}&access_token={token or self.token}"
        )

    async def socket(self, path="/", key="key", token=None, **options):
        url = self.url(path, key, token)
        self.sockets.append(await self.http.ws_connect(url, max_msg_size=0, **options))
        return self.sockets[-1]


@contextlib.asynccontextmanager
async def served(
    exchange, *, at=OPEN_AT - 60 * SECOND, speed=1.0, settings=None, paused=False, routes=()
):
    clock = ExchangeClock(at, speed)
    if paused:
        clock.pause()
    app = web.Application()
    app.add_routes(routes)
    add_feed(app, exchange, clock, settings or FeedSettings(heartbeat_s=0.2))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with ClientSession() as session:
        day = Served(exchange, clock, app, port, session)
        try:
            yield day
        finally:
            for socket in day.sockets:
                await socket.close()
            await runner.cleanup()
