"""The ticker on the exchange's port: its socket at ``/`` and ``/ws``, the day's pump, and ``/step``.

``add_feed(app, exchange)`` is all a server calls. The pump and the socket's heartbeat begin when the
application starts, and end with it; ``app[PUMP]`` and ``app[FEED]`` are there for admin and faults.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Final, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import NEVER
from kitestring.domain.ticks import TickFrame
from kitestring.exchange.desk.sessions import Sessions
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.newcomers import Newcomers
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_connection import FeedSettings
from kitestring.exchange.wire.kite_feed import KiteFeed
from kitestring.exchange.wire.postbacks import Postbacks
from kitestring.exchange.wire.pump import Desk, MarketSource, Pump

FEED: Final = web.AppKey("feed", KiteFeed)
PUMP: Final = web.AppKey("pump", Pump)
_STEP: Final = "/step"
_FILL_IN_S: Final = 0.1
"""Between two of them; the morning of one takes some milliseconds."""


class ServedExchange(Protocol):
    """What the ticker needs of an exchange; ``LocalExchange`` has it."""

    board: MarketBoard
    newcomers: Newcomers
    sessions: Sessions
    on_stir: list[Callable[[], None]]

    @property
    def market(self) -> MarketSource:
        """Where the day's frames come from."""
        ...

    @property
    def desk(self) -> Desk:
        """What is due, and what became of orders."""
        ...

    def observe(self, position: int, frame: TickFrame) -> None:
        """The market moved."""
        ...

    def watch(self, instruments: Iterable[InstrumentId]) -> None:
        """Somebody looks at these."""
        ...


def add_feed(
    app: web.Application,
    exchange: ServedExchange,
    clock: ExchangeClock,
    settings: FeedSettings | None = None,
) -> None:
    """Add ticker, pump and step protocol to an application that is not running yet."""
    pump = Pump(exchange.market, exchange, exchange.board, exchange.desk, clock)
    feed = KiteFeed(
        exchange.board,
        exchange.sessions,
        clock,
        pump.gate,
        watch=exchange.watch,
        settings=settings,
    )
    pump.listeners.append(feed)
    exchange.on_stir.append(pump.stir)
    app[PUMP], app[FEED] = pump, feed
    for path in ("/", "/ws"):
        app.router.add_get(path, feed.open)
    app.router.add_get(_STEP, _tell_step)
    app.router.add_post(_STEP, _acknowledge)
    app.middlewares.append(_count_calls)
    running: list[Callable[[], Coroutine[None, None, None]]] = [
        pump.run,
        feed.run,
        lambda: _fill_in(exchange.newcomers),
    ]
    if feed.settings.postback_url:
        postbacks = Postbacks(feed.settings.postback_url)
        pump.listeners.append(postbacks)
        running.append(postbacks.run)

    async def run(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(start()) for start in running]
        for task in tasks:
            task.add_done_callback(_report_fault)
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):  # told when it happened
                await task

    async def close(_: web.Application) -> None:
        await feed.close_all()

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(close)


async def _fill_in(newcomers: Newcomers) -> None:
    """Give instruments that came late their morning, one at a time, with room for others between."""
    while newcomers.have_mornings:
        await asyncio.sleep(_FILL_IN_S)
        newcomers.fill_in_next()


def _report_fault(task: asyncio.Task[None]) -> None:
    """A market that breaks must not look like a quiet one: the loop's handler shouts."""
    if task.cancelled() or task.exception() is None:
        return
    task.get_loop().call_exception_handler(
        {"message": "The exchange's day has stopped.", "exception": task.exception(), "task": task}
    )


@web.middleware
async def _count_calls(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A call under way keeps ``--speed step`` from going on; sockets and ``/step`` do not."""
    if request.path == _STEP or request.headers.get("Upgrade"):
        return await handler(request)
    gate = request.app[PUMP].gate
    gate.call_began()
    try:
        return await handler(request)
    finally:
        gate.call_ended()


async def _tell_step(request: web.Request) -> web.Response:
    gate = request.app[PUMP].gate
    return _answer({"shown": gate.shown, "acknowledged": gate.acknowledged, "calls": gate.calls})


async def _acknowledge(request: web.Request) -> web.Response:
    who = request.headers.get("Authorization", "")
    form = await request.post()
    value, wake_at = form.get("v", ""), form.get("w", str(NEVER))
    gate = request.app[PUMP].gate
    if not isinstance(value, str) or not value.isdecimal() or len(value) > 15:
        return _answer(None, "`v` is the number of an event.")
    if not isinstance(wake_at, str) or not wake_at.isdecimal() or len(wake_at) > 19:
        return _answer(None, "`w` is a time in whole microseconds.")
    wrong = gate.acknowledge(who, int(value), int(wake_at))
    if wrong is not None:
        return _answer(None, wrong)
    return await _tell_step(request)


def _answer(data: object, wrong: str = "") -> web.Response:
    answer: dict[str, object] = {"status": "success", "data": data}
    if wrong:
        answer = {"status": "error", "message": wrong, "error_type": "InputException", "data": None}
    return web.Response(
        body=msgspec.json.encode(answer),
        status=400 if wrong else 200,
        content_type="application/json",
    )
