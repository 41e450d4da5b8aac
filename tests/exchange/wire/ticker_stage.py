"""A served exchange that stands still, and an official ticker as a program of its own connected to it."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import msgspec
from rehearsal import DAY, ist, market
from ticker_day import until

from kitestring.domain.money import Price
from kitestring.domain.ticks import Tick
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_connection import FeedSettings
from kitestring.exchange.wire.feed_routes import PUMP, add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.serving import Served

PYTHON = (sys.executable, str(Path(__file__).with_name("official_ticker.py")))
NAMES = ("NSE:NIFTY 50", "NSE:INFY", "NFO:NIFTY26NOVFUT")


class Ticker:
    """The program with the official ticker: told what to do, and read line by line."""

    def __init__(self, program):
        self._program = program
        self.heard = []

    def tell(self, name, *values):
        self._program.stdin.write(json.dumps([name, *values]).encode() + b"\n")

    async def next(self, what, *, where=lambda *_: True):
        """The next callback of a kind; what else came is kept in ``heard``."""
        while True:
            line = await asyncio.wait_for(self._program.stdout.readline(), 20)
            assert line, "the ticker's program has ended"
            kind, *values = json.loads(line)
            self.heard.append((kind, values))
            if kind == what and where(*values):
                return values

    async def ended(self):
        """With which code the program ended by itself."""
        return await asyncio.wait_for(self._program.wait(), 20)


class Stage:
    """A served exchange that stands at 09:20, and the official ticker connected to it."""

    def __init__(self, served, clock, ticker):
        self.served, self.clock, self.ticker = served, clock, ticker
        self.exchange = served.exchange
        self.tokens = {name: self.exchange.listing.by_key[name].token for name in NAMES}

    @property
    def pump(self):
        return self.served.app[PUMP]

    def move(self, *names, by=1):
        """Every named instrument ticks, a few rupees away from where it stands."""
        ticks = []
        for name in names:
            last = self.exchange.floor.markets[name].tick
            away = int(self.exchange.listing.by_key[name].tick_size) * by
            changed = {"last_px": Price(last.last_px + away), "event_at": self.clock.now()}
            if last.cum_qty:
                changed["cum_qty"] = last.cum_qty + 5 * self.exchange.listing.by_key[name].lot_size
            ticks.append(msgspec.structs.replace(last, **changed))
        assert all(isinstance(each, Tick) for each in ticks)
        self.pump.insert(ticks)


@contextlib.asynccontextmanager
async def stage(*, command=PYTHON, environment=None, speed=1.0, **feed):
    """Serve, and start a program with an official ticker: ``command`` HOST:PORT KEY TOKEN."""
    clock = ExchangeClock(ist("09:20"), speed)
    settings = ExchangeSettings(switches=Switches(rate_limits=False))
    exchange = LocalExchange(settings, market(DAY), clock)
    limits = FeedSettings(**feed)
    served = Served(exchange, set_up=[lambda app, local: add_feed(app, local, clock, limits)])
    await served.start()
    token = exchange.sessions.log_in(clock.now(), "kitestring").access_token
    program = await asyncio.create_subprocess_exec(
        *command,
        f"127.0.0.1:{served.port}",
        "kitestring",
        token,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
        env={**os.environ, **(environment or {})},
    )
    try:
        ticker = Ticker(program)
        await ticker.next("connect")
        await until(lambda: clock.now() >= ist("09:20"))
        clock.pause()
        await asyncio.sleep(0.05)
        yield Stage(served, clock, ticker)
        assert served.app[FAILURES] == []
    finally:
        program.stdin.close()
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                program.kill()
        await program.wait()
        program._transport.close()
        await served.stop()


def on_stage(main, **options):
    async def play():
        async with stage(**options) as scene:
            await main(scene)

    asyncio.run(asyncio.wait_for(play(), 60))
