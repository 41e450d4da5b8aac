"""A ticker at the served exchange, in virtual time or on a real socket: a calm market, scripted faults, one's notes.

Three shares tick once a second from 10:00:00 on, at known prices; a fourth, TCS, every twenty seconds.
"""

import asyncio
import datetime as dt

from aiohttp import ClientSession

from kitestring.broker.kite_texts import OrderHint
from kitestring.broker.kite_ticker import KiteTicker
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import (
    FeedState,
    InstrumentsQuiet,
    StateChanged,
    TickerSettings,
)
from kitestring.domain.events import Gap
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.money import price
from kitestring.domain.ports import Manifest
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.fault_script import parse_script
from kitestring.exchange.wire.feed_connection import FeedSettings
from kitestring.exchange.wire.feed_routes import FEED, add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.market.sessions import sessions_for
from kitestring.sim.virtual_world import live

DAY = dt.date(2026, 11, 20)
START = instant(DAY, dt.time(10, 0))
PRICES = {
    "NSE:INFY": "1500.00",
    "NSE:SBIN": "800.00",
    "NSE:RELIANCE": "1200.00",
    "NSE:TCS": "3000.00",
}


class CalmMarket:
    """Every share wiggles by a tick."""

    def __init__(self, seconds=3600):
        self.seconds = seconds
        listed = {each.id: each for each in instruments_on(DAY)}
        self.shown = [listed[name] for name in PRICES]
        self.manifest = Manifest(
            name="calm",
            date=DAY,
            instruments=tuple(listed.values()),
            sessions=sessions_for(DAY),
            digest="calm",
            previous_close={name: price(px) for name, px in PRICES.items()},
        )

    def frames(self, after=0):
        for second in range(after, self.seconds):
            at = START + second * SECOND
            yield TickFrame(
                at,
                tuple(
                    self.tick(each, second, at)
                    for each in self.shown
                    if each.symbol != "TCS" or second % 20 == 0
                ),
            )

    def tick(self, instrument, second, at):
        step = int(instrument.tick_size)
        last = int(price(PRICES[instrument.id])) + step * (second % 2)
        return Tick(instrument.id, at, last, 10_000 + second, last - step, 400, last + step, 400)

    def history(self, instrument, minutes, bars):
        return []


class Notes:
    """What the ticker handed on, in order."""

    def __init__(self):
        self.all = []

    def add(self, item):
        self.all.append(item)

    def of(self, kind):
        return [each for each in self.all if isinstance(each, kind)]

    @property
    def frames(self):
        return self.of(TickFrame)

    @property
    def gaps(self):
        return self.of(Gap)

    @property
    def states(self):
        return [each.state for each in self.of(StateChanged)]

    @property
    def reasons(self):
        return [each.why for each in self.of(StateChanged) if each.why]

    @property
    def hints(self):
        return self.of(OrderHint)

    @property
    def quiet(self):
        return self.of(InstrumentsQuiet)

    def ticks_of(self, name):
        return [tick for frame in self.frames for tick in frame.ticks if tick.instrument == name]


class Stage:
    """The exchange, the ticker that listens to it, and what it noted."""

    def __init__(self, served, staged, clock, network):
        self.served, self.staged, self.clock, self.network = served, staged, clock, network
        self.exchange = served.exchange
        self.feed = served.app[FEED]
        self.token = self.exchange.sessions.log_in(clock.now(), "kitestring").access_token
        self.notes = Notes()
        self.ticker = None
        self.task = None
        self.names = {self.exchange.listing.by_key[name].token: name for name in PRICES}

    def listen(self, names=None, **settings):
        """Begin to listen; the task ends with the stage."""
        self.ticker = KiteTicker(
            TickerSettings(ws_root=settings.pop("ws_root", self.served.ticker), api_key="kitestring", **settings),
            self.names if names is None else names,
            lambda: Secret(self.token),
            now=self.clock.now,
            on_frame=self.notes.add,
            on_event=self.notes.add,
            on_text=self.notes.add,
            seed=7,
        )  # fmt: skip
        self.task = asyncio.create_task(self.ticker.run())
        return self.ticker

    async def flowing(self, within=30.0):
        await self.until(lambda: self.ticker.state is FeedState.FLOWING, within)

    async def until(self, condition, within=30.0):
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while not (found := condition()):
            if self.task is not None and self.task.done():
                self.task.result()
            assert loop.time() < end, f"it never became so: {self.notes.of(StateChanged)}"
            await asyncio.sleep(0.05)
        return found

    async def place(self, **fields):
        """An order as a client sends it."""
        form = {
            "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1",
            "product": "MIS", "order_type": "MARKET", "market_protection": "-1", "validity": "DAY",
        } | fields  # fmt: skip
        headers = {"X-Kite-Version": "3", "Authorization": f"token kitestring:{self.token}"}
        url = f"{self.served.rest}/orders/regular"
        async with ClientSession() as http, http.post(url, data=form, headers=headers) as answer:
            told = await answer.json()
            assert answer.status == 200, told
            return told["data"]["order_id"]


async def _staged(play, script, speed, network):
    clock = ExchangeClock(START, speed)
    settings = ExchangeSettings(switches=Switches(rate_limits=False))
    exchange = LocalExchange(settings, CalmMarket(), clock)
    staged = RehearsalStage(exchange, clock, script=parse_script(script))
    served = Served(
        exchange,
        port=0 if network is None else 8010,
        middlewares=staged.middlewares,
        set_up=[
            lambda app, local: add_feed(app, local, clock, FeedSettings()),
            staged.set_up,
        ],
    )
    await served.start()
    stage = Stage(served, staged, clock, network)
    try:
        return await play(stage)
    finally:
        if stage.task is not None:
            stage.task.cancel()
            await asyncio.gather(stage.task, return_exceptions=True)
        await served.stop()
        assert served.app[FAILURES] == []


def in_virtual_time(play, script="", *, seed=1):
    """Let ``play(stage)`` happen in a world whose clock jumps."""
    return live(lambda network: _staged(play, script, 1.0, network), seed=seed)


def on_a_real_socket(play, script="", *, speed=20.0):
    """The same with real sockets, the exchange's time running faster."""
    return asyncio.run(_staged(play, script, speed, None))
