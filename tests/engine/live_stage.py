"""A whole live day in virtual time: the production link and engine at the real exchange's handlers."""

import asyncio
import datetime as dt
from contextlib import suppress

import msgspec
from house_day import RELAXED, SCRIPTED, scripted

from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.core.settings import DaySettings
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.instruments import Segment
from kitestring.domain.money import money, price
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import LivePlan
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.fault_script import parse_script
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for
from kitestring.sim.virtual_world import live

DAY = dt.date(2026, 11, 20)
PRICES = {"NSE:INFY": "1500.00", "NSE:SBIN": "800.00"}


def at(text):
    return instant(DAY, dt.time.fromisoformat(text))


class CalmMarket:
    """Two shares, a tick a second each; 4 000 on either side of the book."""

    def __init__(self, seconds=1200, start="10:00"):
        self.seconds = seconds
        self.start = at(start)
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
            now = self.start + second * SECOND
            yield TickFrame(now, tuple(self._tick(each, second, now) for each in self.shown))

    def _tick(self, each, second, now):
        step = int(each.tick_size)
        last = int(price(PRICES[each.id])) + step * (second % 2)
        return Tick(each.id, now, last, 90_000 + 500 * second, last - step, 4000, last + step, 4000)

    def history(self, instrument, minutes, bars):
        return []


def timetable(close="10:12", square_off="10:10", cutoff="10:09"):
    made = sessions_for(DAY)
    open_at, close_at = at("10:00"), at(close)
    return {
        segment: Session(
            date=DAY,
            segment=segment,
            open_at=open_at,
            close_at=close_at,
            entry_cutoff_at=at(cutoff),
            square_off_at=at(square_off),
            phases=(Phase(PhaseKind.CONTINUOUS, open_at, close_at),),
        )
        for segment in made
    }


class Stage:
    """The exchange, an artifacts folder, and houses that trade there one after the other."""

    def __init__(self, exchange, stage, served, clock, market, artifacts):
        self.exchange, self.stage, self.clock = exchange, stage, clock
        self.market, self.artifacts = market, artifacts
        self.log_in()
        self.settings = local_settings(served.rest, api_key="kitestring")
        self.asked = []

    def log_in(self):
        """A login in another terminal: a new token lies where the house finds it."""
        token = self.exchange.sessions.log_in(self.clock.now(), "kitestring").access_token
        self.token = Secret(token)

    def plan(self, script, **changes):
        infy = self.market.shown[0]
        sessions = timetable()
        settings = DaySettings(
            date=DAY,
            capital=money("200000"),
            run_key="livetest",
            strategies=(scripted("one", infy, script, lots=10),),
            risk=msgspec.structs.replace(RELAXED, max_daily_loss_pct=0.5),
            bar_grace_ms=1500,
        )
        manifest = Manifest(
            name="Kite, rehearsed",
            date=DAY,
            instruments=tuple(self.market.shown),
            sessions={each.segment: sessions[each.segment] for each in self.market.shown},
            digest="live",
            rewindable=False,
            previous_close={name: price(px) for name, px in PRICES.items()},
        )
        told = {
            "settings": settings, "manifest": manifest,
            "sessions": {Segment(each): sessions[each] for each in manifest.sessions},
            "definitions": {"scripted": SCRIPTED}, "charge_book": charge_book(DAY),
            "artifacts": self.artifacts, "config_hash": "c" * 64, "live_capital": money("200000"),
        } | changes  # fmt: skip
        return LivePlan(**told)

    def engine(self, script, *, types=True, open_link=None, beside=(), **changes):
        """A house; ``types`` says whether the person types the phrase."""
        plan = self.plan(script, **changes)

        async def ask(lines, phrase):
            self.asked.append((list(lines), phrase))
            return phrase if types is True else types or None

        def link(ears):
            return open_kite(
                ears, settings=self.settings, token=lambda: self.token, manifest=plan.manifest,
                clock=self.clock, cache=self.artifacts / "candles",
            )  # fmt: skip

        return LiveEngine(plan, open_link or link, ask, beside=beside)

    async def trade(self, script, **options):
        return await self.engine(script, **options).start(NobodyWatches())

    # what is true

    def orders(self):
        return self.exchange.desk.orders(self.exchange.now())

    def held(self, name="NSE:INFY"):
        position = self.exchange.floor.account.positions.get((name, Product.MIS))
        return 0 if position is None else position.net_qty

    def posts(self):
        return self.stage.ledger.conversations(method="POST", path="/orders/")

    async def until(self, text):
        await self.clock.wait_until(at(text))

    async def die(self, task):
        """End a house in the middle of what it does."""
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def on_stage(play, artifacts, script="", *, seed=1, began="09:59:50", opens="10:00", market=None):
    """Live ``play(stage)`` through in a fresh world; nothing unexpected may have happened in it."""

    async def whole(network):
        del network
        clock = ExchangeClock(at(began))
        shown = market or CalmMarket(start=opens)
        exchange = LocalExchange(
            ExchangeSettings(seed=seed, switches=Switches(rate_limits=True)), shown, clock
        )
        stage = RehearsalStage(exchange, clock, script=parse_script(script))
        served = Served(
            exchange,
            port=8010,
            middlewares=stage.middlewares,
            set_up=[lambda app, local: add_feed(app, local, clock), stage.set_up],
        )
        await served.start()
        try:
            answer = await play(Stage(exchange, stage, served, clock, shown, artifacts))
        finally:
            await served.stop()
        assert served.app[FAILURES] == []
        return answer

    return live(whole, seed=seed)
