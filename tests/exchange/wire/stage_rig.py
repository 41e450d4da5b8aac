"""A rehearsal on a real socket for tests: a calm market of four shares, scripted faults, a client.

Time runs twenty times as fast as outside, so that exchange seconds cost little; the shares stand
at known prices and only wiggle by a tick.
"""

import asyncio
import datetime as dt
import json
from contextlib import asynccontextmanager

import aiohttp

from kitestring.domain.instants import SECOND, instant
from kitestring.domain.money import price
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.fault_script import parse_script
from kitestring.exchange.wire.feed_connection import FeedSettings
from kitestring.exchange.wire.feed_routes import FEED, PUMP, add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.market.sessions import sessions_for

DAY = dt.date(2026, 11, 20)
PRICES = {
    "NSE:INFY": "1500.00",
    "NSE:SBIN": "800.00",
    "NSE:TCS": "3000.00",
    "NSE:RELIANCE": "1200.00",
}
INFY, SBIN = 1594 << 8 | 1, 3045 << 8 | 1


class CalmMarket:
    """Four shares, a tick a second each, from 10:00:00 on for so many seconds."""

    def __init__(self, seconds=1800, day=DAY):
        self.seconds = seconds
        self.start = instant(day, dt.time(10, 0))
        listed = {each.id: each for each in instruments_on(day)}
        self._shown = [listed[name] for name in PRICES]
        self.manifest = Manifest(
            name="calm",
            date=day,
            instruments=tuple(listed.values()),
            sessions=sessions_for(day),
            digest="calm",
            previous_close={name: price(px) for name, px in PRICES.items()},
        )

    def frames(self, after=0):
        for second in range(after, self.seconds):
            at = self.start + second * SECOND
            yield TickFrame(at, tuple(self._tick(each, second, at) for each in self._shown))

    def _tick(self, instrument, second, at):
        step = int(instrument.tick_size)
        last = int(price(PRICES[instrument.id])) + step * (second % 2)
        return Tick(
            instrument.id, at, last, 10_000 + 500 * second, last - step, 400, last + step, 400
        )

    def history(self, instrument, minutes, bars):
        return []


class Stage:
    """A served exchange with its stage, and a client that is logged in."""

    def __init__(self, served, stage, session, http, stop):
        self.served, self.stage, self.http, self.stop = served, stage, http, stop
        self.exchange = stage.reach.exchange
        self.ledger, self.faults, self.desk = stage.ledger, stage.faults, self.exchange.desk
        self.url = served.rest
        self.token = session.access_token
        self.headers = {
            "X-Kite-Version": "3",
            "Authorization": f"token kitestring:{session.access_token}",
        }
        self.pump, self.feed = served.app[PUMP], served.app[FEED]

    async def ask(self, method, path, *, within=5.0, headers=None, **request):
        """One request: status, content type, text."""
        request.setdefault("allow_redirects", False)
        async with self.http.request(
            method,
            self.url + path,
            headers=self.headers | (headers or {}),
            timeout=aiohttp.ClientTimeout(total=within),
            **request,
        ) as answer:
            return answer.status, answer.headers.get("Content-Type"), await answer.text()

    async def data(self, path, **request):
        """What a read answers."""
        status, _, text = await self.ask("GET", path, **request)
        assert status == 200, text
        return json.loads(text)["data"]

    async def place(self, symbol="INFY", qty=10, side="BUY", **fields):
        """An order as a client sends it; status, content type and text of the answer."""
        within = fields.pop("within", 5.0)
        return await self.ask(
            "POST", "/orders/regular", data=order(symbol, qty, side, **fields), within=within
        )

    async def placed(self, *args, **fields):
        """An order that must be answered with its id."""
        status, _, text = await self.place(*args, **fields)
        assert status == 200, text
        return json.loads(text)["data"]["order_id"]

    def orders(self):
        """The exchange's own order book."""
        return self.desk.orders(self.exchange.now())

    def order(self, order_id):
        """One order of the exchange's own book."""
        return next(row for row in self.orders() if row["order_id"] == order_id)

    def held(self, name, product=Product.MIS):
        """The account's net quantity of an instrument."""
        position = self.exchange.floor.account.positions.get((name, product))
        return 0 if position is None else position.net_qty

    async def jump(self, clock):
        """Let it become a time of day, everything on the way having happened."""
        at = instant(DAY, dt.time.fromisoformat(clock))
        self.exchange.clock.jump(at)
        await self.until(lambda: self.exchange.now() >= at)

    async def until(self, condition, seconds=5.0):
        """Wait until something is so, or fail."""
        end = asyncio.get_running_loop().time() + seconds
        while not (found := condition()):
            assert asyncio.get_running_loop().time() < end, "it never became so"
            await asyncio.sleep(0.01)
        return found

    async def admin(self, method, name, **asked):
        """What the admin interface answers: status and JSON."""
        status, _, text = await self.ask(method, f"/admin/{name}", **asked)
        return status, json.loads(text)

    def ws(self, **options):
        """A ticker socket being opened."""
        address = f"{self.url}/?api_key=kitestring&access_token={self.token}"
        return self.http.ws_connect(address, **options)

    def told(self, path="/orders"):
        """The last request to a path in the ledger of the wire."""
        return self.ledger.conversations(path=path)[-1]


def order(symbol="INFY", qty=10, side="BUY", **fields):
    """The fields of an order: to buy ten INFY at 1400, which rests far below the market."""
    return {
        "exchange": "NSE", "tradingsymbol": symbol, "transaction_type": side,
        "quantity": str(qty), "product": "MIS", "order_type": "LIMIT", "price": "1400",
        "validity": "DAY",
    } | {name: str(value) for name, value in fields.items()}  # fmt: skip


AT_MARKET = {"order_type": "MARKET", "price": "0", "market_protection": "-1"}


@asynccontextmanager
async def on_stage(script="", *, speed=20.0, admin=False, ledger_path=None, seconds=1800, day=DAY):
    """Serve, and be its client, until the block ends; nothing unexpected may have happened."""
    market = CalmMarket(seconds, day)
    clock = ExchangeClock(market.start, speed)
    settings = ExchangeSettings(switches=Switches(rate_limits=False))
    exchange = LocalExchange(settings, market, clock)
    stop = asyncio.Event()
    stage = RehearsalStage(
        exchange, clock, script=parse_script(script), admin=admin, ledger_path=ledger_path,
        stop=stop.set,
    )  # fmt: skip
    ticker = FeedSettings(heartbeat_s=0.1)
    served = Served(
        exchange,
        middlewares=stage.middlewares,
        set_up=[lambda app, local: add_feed(app, local, clock, ticker), stage.set_up],
    )
    await served.start()
    try:
        session = exchange.sessions.log_in(clock.now(), "kitestring")
        async with aiohttp.ClientSession() as http:
            play = Stage(served, stage, session, http, stop)
            await play.until(lambda: exchange.floor.markets["NSE:INFY"].tick is not None)
            yield play
        assert served.app[FAILURES] == []
    finally:
        await served.stop()


def play(conversation, script="", **options):
    """Run one conversation with a served exchange."""

    async def hold():
        async with on_stage(script, **options) as stage:
            return await conversation(stage)

    return asyncio.run(hold())
