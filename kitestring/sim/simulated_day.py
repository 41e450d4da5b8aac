"""One simulated day: the production house and the real exchange in one virtual world, then the evidence.

The house is what trades live: ``LiveEngine`` with Kite's client, ticker and books. It is started, loses its
power, is started again by whoever types the phrase (or does not), and judged by what the exchange wrote.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.core.settings import DaySettings
from kitestring.core.trading_core import TradingCore
from kitestring.domain.errors import HouseError
from kitestring.domain.events import OperatorWord
from kitestring.domain.instruments import Segment
from kitestring.domain.orders import OrdStatus
from kitestring.domain.ports import Manifest
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_day import LiveDay
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import Ears, LivePlan, core_of
from kitestring.engine.recovery import read_story, restore
from kitestring.engine.strategy_files import SHIPPED, read_strategy
from kitestring.engine.watching import DayResult, NobodyWatches
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.ledger import read_entries
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.fault_script import Script
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.market.charges import charge_book
from kitestring.sim.day_calendar import BEGINS_S
from kitestring.sim.day_plan import (
    CALM_S,
    WELL_S,
    DayPlan,
)
from kitestring.sim.event_trace import EventTrace
from kitestring.sim.every_step import StepWatch, WatchedLedger
from kitestring.sim.evidence import Death, Evidence, HouseOrder, Instrumental, Look, Sent
from kitestring.sim.history import card_of
from kitestring.sim.memory_network import Network
from kitestring.sim.persons_hand import PersonsHand
from kitestring.sim.power import Moment, MortalJournal, Power, PowerCut
from kitestring.sim.random_market import RandomMarket
from kitestring.sim.scripted_strategy import SCRIPTED
from kitestring.sim.virtual_loop import VirtualLoop
from kitestring.sim.virtual_world import live
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.journal import SqliteJournal, read_commits
from kitestring.store.paths import RunPaths
from kitestring.store.tape_reader import TapeReader

PORT: Final = 8010
_SERVER: Final = ("127.0.0.1", PORT)
LAST_S: Final = 3600.0
"""A day that has not ended by then never will."""
_LIVES_MAX: Final = 100
_AGAIN_S: Final = 20.0
"""After a start that failed: how long the person waits before the next."""
_AGREES_WITHIN_S: Final = 6
"""Something may be on its way at the moment looked at; so long it may take to arrive."""


class _Window:
    """Stands beside the day while it runs, so that a judge can look into it."""

    def __init__(self) -> None:
        self.day: LiveDay | None = None
        self.paths: RunPaths | None = None

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""
        self.day, self.paths = day, paths
        try:
            yield
        finally:
            self.day = None


class World:
    """Exchange, house and person of one day."""

    def __init__(
        self, plan: DayPlan, network: Network, artifacts: Path, *, engine: type[LiveEngine]
    ) -> None:
        self.plan = plan
        self.artifacts = artifacts
        self.network = network
        self.power = Power(network, _SERVER)
        self.clock = ExchangeClock(plan.at(BEGINS_S))
        self.market = RandomMarket(plan.market, plan.date, plan.sessions)
        self.exchange = LocalExchange(
            ExchangeSettings(
                seed=plan.seed,
                account=plan.account,
                switches=Switches(rate_limits=True),
                orders=OrderSettings(order_id_digits=plan.order_id_digits),
                square_off=False,
            ),
            self.market,
            self.clock,
        )
        # The rules say minutes before the close, which on this short day is before its afternoon.
        floor = self.exchange.floor
        floor.rules = msgspec.structs.replace(floor.rules, square_off_us={})
        self.stage = RehearsalStage(
            self.exchange, self.clock, script=Script(plan.faults, plan.seed)
        )
        self.hand = PersonsHand(plan, self.exchange, self.stage, self.until)
        self.window = _Window()
        self.watch = StepWatch(
            lambda: self.window.day.core if self.window.day is not None else None,
            slow=plan.slow,
        )
        ledger = WatchedLedger(self.watch.stroke, self.exchange.ledger.records)
        self.exchange.ledger = self.exchange.floor._ledger = ledger  # noqa: SLF001 - one object
        self.power.before_commit.append(self.watch.intends)
        self.power.after_commit.append(self.watch.committed)
        self.recovered_s: float | None = None
        self.sent: list[Sent] = []
        self.looks: list[Look] = []
        self.deaths: list[Death] = []
        self.halted_at: int | None = None
        self.broke = ""
        self.restart_writes: int | None = None
        self.result: DayResult | None = None
        self._engine_class = engine
        self._lives = 0
        self.over = False
        self._token = Secret("")
        self._settings = local_settings(f"http://127.0.0.1:{PORT}", api_key="kitestring")
        self._live_plan = self._planned()
        self.foreign: dict[str, int] = {}
        self.opening = card_of(self.exchange)

    # ── the exchange ─────────────────────────────────────────────────────────────────────────

    def witness(self) -> Middleware:
        """Notes every order request, and pulls the plug while the exchange has it in hand."""

        @web.middleware
        async def stands_by(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method == "GET" or not request.path.startswith("/orders"):
                return await handler(request)
            heard_at = self.exchange.now()
            form = await request.post() if request.method == "POST" else {}
            tag = str(form.get("tag", ""))
            durable = request.method != "POST" or tag in self.power.durable
            self.power.reached(Moment.ORDER_HEARD)
            status = 0
            try:
                response = await handler(request)
                status = response.status
            finally:
                self.sent.append(
                    Sent(
                        at=heard_at,
                        method=request.method,
                        tag=tag,
                        order_id=request.path.rpartition("/")[2],
                        durable=durable,
                        status=status,
                    )
                )
            self.power.reached(Moment.ORDER_TOLD)
            return response

        return stands_by

    def account(self) -> dict[str, int]:
        """The exchange's net quantities."""
        return {
            f"{name}/{product}": position.net_qty
            for (name, product), position in self.exchange.floor.account.positions.items()
        }

    # ── the house ────────────────────────────────────────────────────────────────────────────

    def _planned(self) -> LivePlan:
        plan, sessions = self.plan, self.plan.sessions
        settings = DaySettings(
            date=plan.date,
            capital=plan.capital,
            run_key=f"sim{plan.seed}",
            strategies=plan.strategies,
            risk=plan.risk,
            bar_grace_ms=1500,
        )
        shown = plan.instruments
        manifest = Manifest(
            name="Kite, simulated",
            date=plan.date,
            instruments=shown,
            sessions={each.segment: sessions[each.segment] for each in shown},
            digest="simulated",
            rewindable=False,
            previous_close={each.id: plan.market.closes[each.id] for each in shown},
        )
        used = {row.strategy for row in plan.strategies}
        definitions = {
            name: SCRIPTED if name == "scripted" else read_strategy(name, (SHIPPED,))
            for name in sorted(used)
        }
        return LivePlan(
            settings=settings,
            manifest=manifest,
            sessions={Segment(each): sessions[each] for each in manifest.sessions},
            definitions=definitions,
            charge_book=charge_book(plan.date),
            artifacts=self.artifacts,
            config_hash="c" * 64,
            live_capital=plan.capital,
        )

    def _new_engine(self, *, first: bool) -> LiveEngine:
        async def ask(lines: Sequence[str], phrase: str) -> str | None:
            del lines
            late = self.clock.now() >= self.plan.at(CALM_S)
            return phrase if first or self.plan.types_again or late else None

        def link(ears: Ears) -> object:
            return open_kite(
                ears,
                settings=self._settings,
                token=lambda: self._token,
                manifest=self._live_plan.manifest,
                clock=self.clock,
                cache=self.artifacts / "candles",
            )

        def journal(path: Path, run_key: str) -> SqliteJournal:
            return MortalJournal(path, run_key, self.power)

        loop = asyncio.get_running_loop()
        return self._engine_class(
            self._live_plan,
            link,  # type: ignore[arg-type]  # an async context manager of a LiveLink
            ask,
            beside=(self.window,),
            open_journal=journal,
            # By the world's time, not by how busy this machine is; a minute is enough for tables.
            seconds=lambda: loop.time() / 60,
        )

    def log_in(self) -> None:
        """The person logs in, in another terminal: a house that runs takes the new token by itself."""
        self._token = Secret(
            self.exchange.sessions.log_in(self.clock.now(), "kitestring").access_token
        )

    async def keep_house(self) -> None:
        """Start the house, and again whenever it has ended before its day has."""
        while not self.over and self._lives < _LIVES_MAX:
            self._lives += 1
            engine = self._new_engine(first=self._lives == 1)
            task = asyncio.create_task(engine.start(NobodyWatches()), name="house")
            self.power.supply(task)
            wait_s = 0.5
            try:
                result = await task
            except PowerCut as cut:
                self._died(str(cut), planned=True)
                wait_s = self._down_s
            except asyncio.CancelledError:
                if not self.power.off:
                    raise
                self._died(self.power.why, planned=True)
                wait_s = self._down_s
            except HouseError as error:
                self._died(f"{type(error).__name__}: {error}", planned=False)
                wait_s = _AGAIN_S
            else:
                if not result.interrupted:
                    self.result = result
                    return
                self._died("stopped by the person", planned=True)
            await asyncio.sleep(wait_s)

    _down_s = 1.0

    def _died(self, why: str, *, planned: bool) -> None:
        self.deaths.append(Death(at=self.clock.now(), why=why, planned=planned))
        if not planned:
            self.broke = why

    # ── what happens to them ─────────────────────────────────────────────────────────────────

    async def until(self, seconds: float) -> None:
        """Wait for a moment of the day."""
        await self.clock.wait_until(self.plan.at(seconds))

    async def pull_plugs(self) -> None:
        """Every planned crash, and none after the calm has begun."""
        for crash in sorted(self.plan.crashes, key=lambda each: each.from_s):
            await self.until(crash.from_s)
            self._down_s = crash.down_s
            self.power.arm(crash)
        await self.until(CALM_S)
        self.power.disarm()

    async def halt(self) -> None:
        """A halt, if the day has one."""
        halt = self.plan.halt
        if halt is None:
            return
        await self.until(halt.at_s)
        if halt.by_file:
            HaltFile(self.artifacts).write(HaltedBy.OPERATOR, "simulated", self.clock.now())
        else:
            # A word needs somebody who listens: the person says it again until it was heard.
            while self.window.day is None and not self.over:  # noqa: ASYNC110 - it may never come
                await asyncio.sleep(1)
            if self.window.day is not None:
                self.window.day.order(OperatorWord.HALT, "simulated")
        self.halted_at = self.watch.halted_at = self.clock.now()

    async def heal(self) -> None:
        """The faults end; a person whose session died logs in again."""
        await self.until(CALM_S)
        self.stage.faults.clear()
        self.network.heal()
        if any(fault.kind == "token_flush" for fault in self.plan.faults):
            self.log_in()

    async def look_around(self) -> None:
        """The looks a judge wants: when all must be well, when all must be flat, at the end."""
        await self.until(CALM_S)
        for tried in range((WELL_S - CALM_S) * 2):
            if self.result is not None or self.in_order(self.look("recovering")):
                self.recovered_s = tried / 2
                break
            await asyncio.sleep(0.5)
        moments = {self.plan.at(WELL_S): "well"}
        moments |= dict.fromkeys(self.plan.flat_by.values(), "flat")
        for moment, label in sorted(moments.items()):
            await self.clock.wait_until(moment)
            for _ in range(_AGREES_WITHIN_S * 2):
                look = self.look(label)
                if self.agrees(look):
                    break
                await asyncio.sleep(0.5)
            self.looks.append(look)

    def look(self, label: str) -> Look:
        """House and exchange now."""
        day = self.window.day
        core = day.core if day is not None else None
        return look_at(label, self.clock.now(), core, self.account())

    def in_order(self, look: Look) -> bool:
        """Whether the house has recovered: it agrees, trusts the books, and knows every order's fate."""
        return (
            self.agrees(look)
            and not look.untrusted
            and not any(order.status == OrdStatus.UNKNOWN for order in look.orders)
        )

    def agrees(self, look: Look) -> bool:
        """Whether the house's positions are the exchange's, and nothing is on its way."""
        ours: dict[str, int] = {}
        for book in look.books:
            ours[book.instrument] = ours.get(book.instrument, 0) + book.net
        return (
            look.alive
            and not look.wants_snapshot
            and all(look.account.get(f"{name}/MIS", 0) == net for name, net in ours.items())
        )


def look_at(label: str, now: int, core: TradingCore | None, account: dict[str, int]) -> Look:
    """A moment, put down."""
    if core is None:
        return Look(label=label, at=now, alive=False, books=(), orders=(), account=account)
    books = core.portfolio.books.values()
    return Look(
        label=label,
        at=now,
        alive=True,
        books=tuple(
            Instrumental(
                strategy=book.strategy,
                instrument=book.instrument,
                net=book.net_qty,
                wants_stop=book.trade is not None and book.trade.stop_px is not None,
                leaving=book.trade is not None and book.trade.leaving is not None,
            )
            for book in books
        ),
        orders=tuple(
            HouseOrder(
                tag=order.cl_ord_id,
                status=str(order.status),
                over=order.status.terminal,
                leaves=order.leaves_qty,
                filled=order.cum_qty,
                is_exit=order.is_exit,
            )
            for order in core.orders.table.values()
        ),
        account=account,
        realised=int(core.portfolio.realised),
        unrealised=int(core.unrealised()),
        charges=int(core.portfolio.charges_money),
        equity=int(core.equity),
        marks={name: int(view.last_px) for name, view in core.market.views.items()},
        wants_snapshot=core.wants_snapshot,
        untrusted=core.state.untrusted,
        frozen=tuple(core.view.state.frozen),
    )


async def _played(world: World) -> Evidence:
    """The whole day, and what is known of it."""
    served = Served(
        world.exchange,
        port=PORT,
        middlewares=[world.witness(), *world.stage.middlewares],
        set_up=[lambda app, local: add_feed(app, local, world.clock), world.stage.set_up],
    )
    await served.start()
    world.log_in()
    for name, product, qty in world.plan.foreign:
        px = world.plan.market.closes[name]
        world.stage.reach.set_position(name, product, qty, px)
    world.foreign = world.account()
    world.opening = card_of(world.exchange)
    opened_s = asyncio.get_running_loop().time() - BEGINS_S
    for line in world.plan.lines:
        world.network.strike(line.made(_SERVER, opened_s))
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(each, name=name)
        for name, each in (
            ("house keeper", world.keep_house()),
            ("plugs", world.pull_plugs()),
            ("person", world.hand.trade()),
            ("person's hand on ours", world.hand.meddle()),
            ("halt", world.halt()),
            ("healer", world.heal()),
            ("judge", world.look_around()),
        )
    ]
    try:
        closing = asyncio.create_task(world.until(world.plan.closes_s + 30), name="close")
        breaking = asyncio.create_task(world.watch.broke.wait(), name="first broken step")
        await asyncio.wait((closing, breaking), return_when=asyncio.FIRST_COMPLETED)
        tasks += [closing, breaking]
        world.over = True
        for task in tasks:
            if not task.done():
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        await served.stop()
    assert served.app[FAILURES] == [], served.app[FAILURES]
    return _evidence(world)


_LITTER: Final = ("Unclosed connection",)
"""A connection whose owner was cut off in the middle and which aiohttp closes when it is swept up."""


async def _unbroken(day: Coroutine[None, None, Evidence]) -> Evidence:
    """The day's evidence; what breaks unheard in the exchange or the house ends it at once."""
    loop = asyncio.get_running_loop()
    broken: list[BaseException] = []
    task = loop.create_task(day)

    def heard(_: object, context: dict[str, object]) -> None:
        if context.get("message") in _LITTER:
            assert isinstance(loop, VirtualLoop)
            loop.unheard.pop()
            return
        error = context.get("exception")
        broken.append(error if isinstance(error, BaseException) else RuntimeError(str(context)))
        task.cancel()

    loop.set_exception_handler(heard)
    try:
        return await task
    except asyncio.CancelledError:
        if broken:
            raise WorldBroke(f"{type(broken[0]).__name__}: {broken[0]}") from broken[0]
        raise


class WorldBroke(Exception):
    """Something in the world failed and nobody awaited it."""


def _evidence(world: World) -> Evidence:
    paths = world.window.paths
    commits = []
    twice = None
    head = ""
    if paths is not None and paths.journal.exists():
        commits = list(read_commits(paths.journal))
        journal = SqliteJournal(paths.journal)
        head = journal.head
        journal.close()
        twice = (_recovered(world, paths), _recovered(world, paths))
    return Evidence(
        plan=world.plan,
        sent=world.sent,
        ledger=list(read_entries(world.exchange.ledger.records)),
        rows=world.exchange.desk.orders(world.exchange.now()),
        commits=commits,
        looks=world.looks,
        deaths=world.deaths,
        strikes=list(world.stage.faults.strikes),
        halted_at=world.halted_at,
        restart_writes=world.restart_writes,
        twice=twice,
        journal_head=head,
        foreign=world.foreign,
        wire=world.stage.ledger.lines(),
        records=list(world.exchange.ledger.records),
        cards=(world.opening, card_of(world.exchange)),
        naked=tuple(world.watch.naked),
        steps=world.watch.steps,
        stopped_by=tuple(world.watch.found),
        recovered_s=world.recovered_s,
        broke=world.broke,
        ended=world.result is not None,
        market_events=world.market.events,
    )


def _recovered(world: World, paths: RunPaths) -> dict[str, bytes]:
    """The cells of a house recovered from what is on disk."""
    journal = SqliteJournal(paths.journal)
    try:
        story = read_story(journal)
        core = core_of(world._live_plan, paths, story)  # noqa: SLF001 - this module's own class
        reader = TapeReader(paths.tape)
        whole = min(story.last.tape_offset if story.last else 0, reader.end())
        restore(core, journal, story, reader.records(whole))
    finally:
        journal.close()
    encode = msgspec.msgpack.encode
    cells = {f"order/{name}": encode(order) for name, order in core.orders.table.items()}
    cells |= {f"book/{name}": encode(book) for name, book in core.portfolio.books.items()}
    return cells


@contextmanager
def _folder() -> Iterator[Path]:
    """Somewhere in memory where there is such a place: power cuts here are the simulator's own."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    folder = Path(
        tempfile.mkdtemp(prefix="kitestring-sim-", dir=memory if memory.is_dir() else None)
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def simulate(
    plan: DayPlan,
    *,
    engine: type[LiveEngine] = LiveEngine,
    trace: EventTrace | None = None,
    change: Callable[[World], None] | None = None,
) -> Evidence:
    """Live one day through. ``engine`` and ``change`` are for planted mistakes."""
    with _folder() as folder:

        async def whole(network: Network) -> Evidence:
            world = World(plan, network, folder, engine=engine)
            if change is not None:
                change(world)
            return await _unbroken(_played(world))

        with warnings.catch_warnings():
            for litter in _LITTER:
                warnings.filterwarnings("ignore", litter, ResourceWarning)
            try:
                return live(whole, seed=plan.seed, latency=plan.latency, trace=trace, last_s=LAST_S)
            finally:
                gc.collect()  # What a cut-off call has left is swept up in its own day.
