"""An exchange for tests: one synthetic day, a clock that stands where it is put, and a client."""

import asyncio
import datetime as dt
import threading
from contextlib import contextmanager
from functools import lru_cache

from aiohttp.test_utils import TestClient, TestServer

from kitestring.domain.instants import instant
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.local_exchange import (
    READY_APP,
    ExchangeSettings,
    LocalExchange,
    Switches,
)
from kitestring.exchange.market_source import MarketSource
from kitestring.exchange.synthetic_market import SyntheticFeed
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES, make_app
from kitestring.exchange.wire.serving import Served

DAY = dt.date(2026, 11, 20)
SPEED = 20.0


def ist(clock, day=DAY):
    return instant(day, dt.time.fromisoformat(clock))


class Standing:
    """A clock somebody sets."""

    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at


@lru_cache(maxsize=4)
def market(day=DAY):
    """Two indices, their futures and seven shares: quick to make."""
    return SyntheticFeed(day, 1)


@lru_cache(maxsize=2)
def whole_market(day=DAY):
    """The market of more than 100 000 instruments that is served."""
    return MarketSource(day, 1)


@lru_cache(maxsize=4)
def frames_until(at, day=DAY):
    frames = []
    for frame in market(day).frames():
        if frame.received_at > at:
            break
        frames.append(frame)
    return frames


def rehearsal(
    at="09:20",
    *,
    rate_limits=False,
    day=DAY,
    apps=(READY_APP,),
    account=None,
    day_market=None,
    **switches,
):
    """An exchange at a moment of its day, the market shown up to it."""
    clock = Standing(ist(at, day))
    settings = ExchangeSettings(
        apps=apps,
        account=account or OpeningChoice(),
        switches=Switches(rate_limits=rate_limits, **switches),
    )
    exchange = LocalExchange(settings, day_market or market(day), clock)
    for position, frame in enumerate(frames_until(clock.at, day), 1):
        exchange.observe(position, frame)
        exchange.board.apply(frame)
    return exchange


def signed(exchange, api_key="kitestring"):
    """Headers of a client that has logged in."""
    session = exchange.sessions.log_in(exchange.now(), api_key)
    return {
        "X-Kite-Version": "3",
        "Authorization": f"token {api_key}:{session.access_token}",
    }


def asking(exchange, conversation, **options):
    """Hold a conversation with a served exchange; nothing unexpected may have happened in it."""

    async def hold():
        app = make_app(exchange, **options)
        server = TestServer(app)
        await server.start_server(max_line_size=65_536, max_field_size=65_536, access_log=None)
        async with TestClient(server) as client:
            answer = await conversation(client)
        assert app[FAILURES] == []
        return answer

    return asyncio.run(hold())


def ask(exchange, method, path, *, headers=None, **request):
    """One request of a logged-in client: status, headers and body."""
    chosen = signed(exchange) if headers is None else headers

    async def conversation(client):
        answer = await client.request(
            method, path, headers=chosen, allow_redirects=False, **request
        )
        body = await answer.read()
        if answer.content_type == "application/json":
            body = await answer.json()
        return answer.status, dict(answer.headers), body

    return asking(exchange, conversation)


@contextmanager
def in_thread(start):
    """Run a served exchange on a loop of its own, as another program would."""
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever, daemon=True)
    running.start()
    served = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(served.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        running.join(10)
        loop.close()


def serving(at="09:20", speed=SPEED, *, day=None, account=None, apps=(READY_APP,), **switches):
    """A served exchange; ``day`` is its market, two indices and seven shares if left out."""
    clock = ExchangeClock(ist(at), speed)
    settings = ExchangeSettings(
        apps=apps,
        account=account or OpeningChoice(),
        switches=Switches(**{"rate_limits": False} | switches),
    )

    async def start():
        exchange = LocalExchange(settings, day or market(DAY), clock)
        served = Served(exchange, set_up=[lambda app, exchange: add_feed(app, exchange, clock)])
        await served.start()
        return served

    return in_thread(start)


def pass_time(exchange, at, day=DAY):
    """Let the exchange's day go on to a moment: its frames are shown, its orders travel."""
    ends = ist(at, day)
    shown = len(frames_until(exchange.clock.at, day))
    for position, frame in enumerate(frames_until(ends, day)[shown:], shown + 1):
        exchange.clock.at = frame.received_at
        exchange.observe(position, frame)
        exchange.board.apply(frame)
        exchange.desk.advance(frame.received_at)
    exchange.clock.at = ends
    exchange.desk.advance(ends)
