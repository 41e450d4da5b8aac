"""The same market twice: once for a paper day, once for a live day at the exchange in steps."""

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import ClientSession, WSMsgType

from kitestring.broker.governor import Governor, Limits
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.domain.instants import MINUTE, NEVER
from kitestring.domain.money import money
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import LivePlan
from kitestring.engine.paper_engine import PaperEngine
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import FEED, add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.serving import Served
from kitestring.sim.virtual_world import live
from kitestring.store.run_reader import chosen_run, read_run

UNPACED = Governor(
    Limits(per_second=10**6, broker_per_second=10**6, per_minute=10**6, others_per_second=10**6)
)
"""In steps the exchange's seconds stand still while the house asks: nothing may be counted by them."""


QUIET_S = 0.25
"""Of the loop's time: longer than any answer takes in a world in which nothing is lost."""


class SteppedClock:
    """The exchange's time under ``step``, which remembers when the live day wants to be woken."""

    def __init__(self, clock):
        self._clock = clock
        self._due = {}
        self._asked = itertools.count()

    def now(self):
        """The time of the last event."""
        return self._clock.now()

    async def wait_until(self, at):
        """Return once it is ``at``."""
        asked = next(self._asked)
        self._due[asked] = at
        try:
            await self._clock.wait_until(at)
        finally:
            del self._due[asked]

    @property
    def next_due_at(self):
        """The next moment after this one that somebody waits for."""
        now = self.now()
        return min((at for at in self._due.values() if at > now), default=NEVER)


@asynccontextmanager
async def stepping(address, clock, ready, look):
    """Say after each event that the live day is at rest; ``address`` is the ticker's, with its key.

    The first event waits until the live day is ``ready``. At each it is asked to ``look`` at the
    broker's books: Kite pushes nothing when an order merely rests, and how soon it is found out is
    a matter of polling, not of deciding. Everything runs in one world of virtual time, so being at
    rest is having had ``QUIET_S``.
    """
    async with ClientSession() as session, session.ws_connect(address) as socket:

        async def take_part():
            while not ready():  # noqa: ASYNC110 - nobody tells when the exchange is ready
                await asyncio.sleep(QUIET_S)
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                said = msgspec.json.decode(message.data)
                if said.get("type") == "step":
                    look()
                    await asyncio.sleep(QUIET_S)
                    await socket.send_json({"a": "ack", "v": said["data"], "w": clock.next_due_at})

        task = asyncio.create_task(take_part())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class FirstHour:
    """The frames of a feed up to an instant; everything else as it is."""

    def __init__(self, feed, until):
        self._feed, self._until = feed, until

    @property
    def manifest(self):
        return self._feed.manifest

    def frames(self, after=0):
        for frame in self._feed.frames(after):
            if frame.received_at > self._until:
                return
            yield frame

    def history(self, instrument, minutes, bars):
        return self._feed.history(instrument, minutes, bars)


class OneTape:
    """A source of the whole listing and its past, whose ticks are those of one tape."""

    def __init__(self, tape, past):
        self._tape, self._past = tape, past

    @property
    def manifest(self):
        return self._past.manifest

    def frames(self, after=0):
        return self._tape.frames(after)

    def watch(self, ids):
        pass

    def latest(self, ids, at):
        return [None for _ in ids]

    def __getattr__(self, name):
        return getattr(self._past, name)


def shortened(plan, close_at):
    """A plan whose sessions end early: square-off five minutes before, no entry in the last six."""
    sessions = {
        segment: msgspec.structs.replace(
            session,
            close_at=close_at,
            square_off_at=close_at - 5 * MINUTE,
            entry_cutoff_at=close_at - 6 * MINUTE,
        )
        for segment, session in plan.sessions.items()
    }
    return msgspec.structs.replace(plan, sessions=sessions)


def paper_day(plan):
    """The paper day, as it was recorded."""
    PaperEngine(plan).run(NobodyWatches())
    return read_run(chosen_run(plan.artifacts))


def live_day(plan, market, artifacts, *, charges="zerodha", opens_at):
    """The live day on the same settings, at an exchange that shows the market in steps."""
    manifest = msgspec.structs.replace(plan.feed.manifest, name="Kite", rewindable=False)

    async def whole(network):
        del network
        clock = ExchangeClock(opens_at, "step")
        exchange = LocalExchange(
            ExchangeSettings(
                seed=plan.seed,
                account=OpeningChoice(cash=money(20_000_000), carried="", with_holdings=False),
                square_off=False,
                charges=charges,
                switches=Switches(rate_limits=False),
            ),
            market,
            clock,
        )
        served = Served(
            exchange, port=8010, set_up=[lambda app, local: add_feed(app, local, clock)]
        )
        await served.start()
        token = exchange.sessions.log_in(clock.now(), "kitestring").access_token
        settings = local_settings(served.rest, api_key="kitestring")
        stepped, links = SteppedClock(clock), []

        @asynccontextmanager
        async def link(ears):
            async with open_kite(
                ears, settings=settings, token=lambda: Secret(token), manifest=manifest,
                clock=stepped, cache=artifacts / "candles", governor=UNPACED,
            ) as opened:  # fmt: skip
                links.append(opened)
                yield opened

        async def types(lines, phrase):
            del lines
            return phrase

        def subscribed():
            return any(each.modes.any() for each in served.app[FEED].connections)

        def look():
            if links and links[0].broker.merge.unsettled:
                links[0].broker.hint()

        live_plan = LivePlan(
            settings=plan.settings, manifest=manifest, sessions=plan.sessions,
            definitions=plan.definitions, charge_book=plan.charge_book, artifacts=artifacts,
            config_hash="c" * 64, live_capital=plan.settings.capital,
        )  # fmt: skip
        address = f"{served.ticker}/?api_key=kitestring&access_token={token}"
        async with stepping(address, stepped, subscribed, look):
            await LiveEngine(live_plan, link, types).start(NobodyWatches())
        await served.stop()
        assert served.app[FAILURES] == []
        return read_run(chosen_run(artifacts))

    return live(whole, seed=plan.seed)
