"""Two live days, one after the other, each in a virtual world of its own; the broker keeps both."""

import datetime as dt

import msgspec
from house_day import RELAXED, SCRIPTED, scripted
from live_stage import Stage

from kitestring.core.settings import DaySettings
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import money, price
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.engine.carried import listed_today
from kitestring.engine.day_before import day_before, opening_of
from kitestring.engine.live_plan import LivePlan
from kitestring.exchange.desk.opening_account import OpeningChoice
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

FRIDAY, MONDAY = dt.date(2026, 11, 20), dt.date(2026, 11, 23)
CLOSE = "1000.00"


def future_on(day):
    return min(
        (
            each
            for each in instruments_on(day)
            if each.kind is InstrumentKind.FUTURE and each.name == "NIFTY" and each.expiry > MONDAY
        ),
        key=lambda each: each.expiry,
    )


def hours(day, segment):
    """Twelve minutes of trading, at the exchange and in the house alike."""

    def at(text):
        return instant(day, dt.time.fromisoformat(text))

    return Session(
        date=day, segment=segment, open_at=at("10:00"), close_at=at("10:12"),
        entry_cutoff_at=at("10:09"), square_off_at=at("10:10"),
        phases=(Phase(PhaseKind.CONTINUOUS, at("10:00"), at("10:12")),),
    )  # fmt: skip


class OneFuture:
    """A future, a tick a second, at ``px`` and a tick above it in turn."""

    def __init__(self, day, px, seconds=1200):
        self.day, self.px, self.seconds = day, int(price(px)), seconds
        self.start = instant(day, dt.time(10))
        listed = tuple(instruments_on(day))
        self.shown = [future_on(day)]
        segment = self.shown[0].segment
        sessions = sessions_for(day) | {segment: hours(day, segment)}
        self.manifest = Manifest(
            name="one future", date=day, instruments=listed, sessions=sessions,
            digest="one", previous_close={self.shown[0].id: price(CLOSE)},
        )  # fmt: skip

    def frames(self, after=0):
        one = self.shown[0]
        step = int(one.tick_size)
        for second in range(after, self.seconds):
            now = self.start + second * SECOND
            last = self.px + step * (second % 2)
            yield TickFrame(
                now,
                (Tick(one.id, now, last, 90_000 + 500 * second, last - step, 4000, last + step,
                      4000),),
            )  # fmt: skip

    def history(self, instrument, minutes, bars):
        return []


class NightStage(Stage):
    """One of the days; ``plan`` takes over what the folder's last live day left."""

    day = FRIDAY

    def at(self, text):
        return instant(self.day, dt.time.fromisoformat(text))

    async def until(self, text):
        await self.clock.wait_until(self.at(text))

    def settings_of(self, script, **risk):
        return DaySettings(
            date=self.day,
            capital=money("800000"),
            run_key=f"night{self.day}",
            strategies=(
                scripted("one", self.market.shown[0], script, lots=1, product=Product.NRML),
            ),
            risk=msgspec.structs.replace(RELAXED, max_daily_loss_pct=0.5, **risk),
            bar_grace_ms=1500,
        )

    def plan(self, script, **changes):
        one = self.market.shown[0]
        session = hours(self.day, one.segment)
        before = day_before(self.artifacts, self.day, lambda _: SCRIPTED)
        opening, said = None, []
        if before is not None:
            opening, said = opening_of(before, money("800000"), self.day)
            opening = listed_today(opening, {each.id: each for each in self.market.shown})
        manifest = Manifest(
            name="Kite, rehearsed", date=self.day, instruments=tuple(self.market.shown),
            sessions={one.segment: session}, digest="live", rewindable=False,
            previous_close={one.id: price(CLOSE)},
        )  # fmt: skip
        told = {
            "settings": self.settings_of(script), "manifest": manifest,
            "sessions": {one.segment: session}, "definitions": {"scripted": SCRIPTED},
            "charge_book": charge_book(self.day), "artifacts": self.artifacts,
            "config_hash": "c" * 64, "live_capital": money("800000"), "opening": opening,
            "said": tuple(said), "overnight": before.overnight if before is not None else (),
        } | changes  # fmt: skip
        return LivePlan(**told)

    # what is true

    def net(self):
        key = (self.market.shown[0].id, Product.NRML)
        position = self.exchange.floor.account.positions.get(key)
        return 0 if position is None else position.net_qty

    def gtts(self):
        return self.exchange.gtt.triggers(self.clock.now())

    def resting(self):
        """What could be sold now: orders that work, and triggers that wait."""
        orders = sum(
            row["pending_quantity"]
            for row in self.orders()
            if row["status"] in {"OPEN", "TRIGGER PENDING"}
        )
        return orders, sum(
            row["orders"][0]["quantity"] for row in self.gtts() if row["status"] == "active"
        )


def on_day(day, play, artifacts, *, px=CLOSE, night=None, carried=False, began="09:59:50",
           script="", seed=1):  # fmt: skip
    """One day lived through; ``night`` is the exchange of the day before, whose triggers stand."""

    async def whole(network):
        del network
        clock = ExchangeClock(instant(day, dt.time.fromisoformat(began)))
        market = OneFuture(day, px)
        account = OpeningChoice(carried="NIFTY" if carried else "", with_holdings=False)
        exchange = LocalExchange(
            ExchangeSettings(seed=seed, switches=Switches(rate_limits=True), account=account),
            market,
            clock,
        )
        if night is not None:
            for name in ("_triggers", "_active", "_next_id"):
                setattr(exchange.gtt, name, getattr(night.gtt, name))
        stage = RehearsalStage(exchange, clock, script=parse_script(script))
        served = Served(
            exchange, port=8010, middlewares=stage.middlewares,
            set_up=[lambda app, local: add_feed(app, local, clock), stage.set_up],
        )  # fmt: skip
        await served.start()
        try:
            there = NightStage(exchange, stage, served, clock, market, artifacts)
            there.day = day
            answer = await play(there)
        finally:
            await served.stop()
        assert served.app[FAILURES] == []
        return answer, exchange

    return live(whole, seed=seed)


def long_over_the_night(artifacts):
    """Friday: one lot bought with a stop 50 below, kept; the exchange as it closed."""

    async def play(stage):
        result = await stage.trade("2 BUY stop=-50")
        return result, stage.net(), stage.resting(), stage.gtts()

    return on_day(FRIDAY, play, artifacts)
