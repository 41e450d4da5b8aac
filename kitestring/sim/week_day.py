"""One day inside a simulated week: exchange, house, guard, and the person with keyboard and phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.events import OperatorWord, Resolution
from kitestring.domain.instants import DAY, IST_OFFSET, SECOND, Instant
from kitestring.domain.instruments import Segment
from kitestring.domain.orders import Product
from kitestring.engine.arm_ahead import arm_ahead
from kitestring.engine.guard import Guard, GuardTerms
from kitestring.engine.guard_hands import GuardHands
from kitestring.engine.guard_story import guard_folder
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_day import LiveDay
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import Beside, Ears
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.overnight import Night
from kitestring.exchange.rules import rules_of
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.fault_script import Script
from kitestring.exchange.wire.faults import Fault, When
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.sim.evidence import Death, Sent
from kitestring.sim.memory_network import Network
from kitestring.sim.power import Moment, MortalJournal, Power, PowerCut
from kitestring.sim.week_evidence import BookThen, TriggerThen, WeekLook
from kitestring.sim.week_house import planned
from kitestring.sim.week_looks import agrees, owned_by, stop_of
from kitestring.sim.week_market import WeekMarket
from kitestring.sim.week_plan import (
    BEGINS_S,
    BROKERS_S,
    CALM_S,
    CLOSE_S,
    EVENING_S,
    FLAT_S,
    HEALED_S,
    LOGIN_S,
    MORNING_S,
    WELL_S,
    WeekDay,
    WeekPlan,
    moment,
)
from kitestring.store.guard_journal import GuardJournal
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.journal import SqliteJournal, read_commits
from kitestring.store.owned_file import Owned
from kitestring.store.paths import RunPaths, list_runs

PORT: Final = 8010
_SERVER: Final = ("127.0.0.1", PORT)
_CASH: Final = OpeningChoice().cash * 40
_LIVES_MAX: Final = 30
_AGAIN_S: Final = 8.0
_GIVES_UP: Final = 4
"""After so many refused starts in a row, with nothing open, the person leaves it for today."""
_SAMPLE_S: Final = 2.0
_AGREES_WITHIN_S: Final = 8


class _Window:
    """Stands beside the day while it runs, so that a judge can look into it."""

    def __init__(self) -> None:
        self.day: LiveDay | None = None

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""
        del paths
        self.day = day
        try:
            yield
        finally:
            self.day = None


class DayWorld:
    """Exchange, house and people of one day."""

    def __init__(
        self,
        plan: WeekPlan,
        day: WeekDay,
        network: Network,
        artifacts: Path,
        market: WeekMarket,
        night: Night | None,
        *,
        engine: type[LiveEngine] = LiveEngine,
    ) -> None:
        self.plan, self.day, self.network = plan, day, network
        self.artifacts, self.market = artifacts, market
        self.begins_s = BEGINS_S
        self.power = Power(network, _SERVER)
        self.clock = ExchangeClock(moment(day.date, BEGINS_S))
        before_close = (CLOSE_S - BROKERS_S) * SECOND
        account = OpeningChoice(cash=_CASH, carried="", with_holdings=False)
        self.exchange = LocalExchange(
            ExchangeSettings(
                seed=plan.seed,
                account=account,
                opening=night.opening() if night is not None else None,
                switches=Switches(rate_limits=True),
                rules=msgspec.structs.replace(
                    rules_of(day.date), square_off_us=dict.fromkeys(Segment, before_close)
                ),
            ),
            market,
            self.clock,
        )
        if night is not None:
            night.wake(self.exchange, self.clock.now())
        self.stage = RehearsalStage(
            self.exchange, self.clock, script=Script(tuple(self._faults()), plan.seed)
        )
        self.window = _Window()
        self.halt_file = HaltFile(artifacts)
        self.sent: list[Sent] = []
        self.looks: list[WeekLook] = []
        self.samples: list[WeekLook] = []
        self.deaths: list[Death] = []
        self.typed: list[Instant] = []
        self.starts: list[Instant] = []
        self.halts: list[tuple[Instant, str]] = []
        self.refused: list[str] = []
        self.lift_at: list[int] = []
        self.halted = False
        self.loosened = False
        self.sealed = False
        self.over = False
        self.stopped_at: Instant | None = None
        self._engine_class = engine
        self._engine: LiveEngine | None = None
        self._task: asyncio.Task[object] | None = None
        self._begun = False
        """A house has opened the day."""
        self._began_with = 0.0
        self._lives = 0
        self._down_s = 1.0
        self._token = Secret("")
        self._settings = local_settings(f"http://127.0.0.1:{PORT}", api_key="kitestring")

    # ── the exchange ─────────────────────────────────────────────────────────────────────────

    def _faults(self) -> Iterator[Fault]:
        opens = moment(self.day.date, 0)
        midnight = (opens + IST_OFFSET) % DAY
        for number, (kind, route, from_s, until_s, often) in enumerate(self.day.routes, 1):
            since, until = midnight + from_s * SECOND, midnight + until_s * SECOND
            when = When(since=since, until=until, probability=often, times=20)
            yield Fault(kind=kind, route=route, when=when, number=number)

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

    def triggered(self) -> Iterator[dict[str, object]]:
        """The orders that triggers have sent today."""
        rows = {str(row["order_id"]): row for row in self.exchange.desk.orders(self.clock.now())}
        for trigger in self.exchange.gtt.overnight():
            for result in trigger.results:
                told = result and result.get("order_result")
                if isinstance(told, dict) and told["order_id"] in rows:
                    yield rows[told["order_id"]]

    # ── who is there ─────────────────────────────────────────────────────────────────────────

    def people(self) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        """Everything that happens beside the exchange, by name."""
        yield "house keeper", self.keep_house()
        yield "plugs", self.pull_plugs()
        yield "person at the keyboard", self.stop_and_start()
        yield "person at the phone", self.meddle()
        yield "who decides", self.resolve()
        yield "who halts", self.halt()
        yield "who lifts", self.lift()
        yield "healer", self.heal()
        yield "judge", self.look_around()
        yield "sampler", self.sample()
        if self.plan.guard is not None:
            yield "guard", self.keep_guard()

    async def until(self, seconds: float) -> None:
        """Wait for a moment of the day."""
        await self.clock.wait_until(moment(self.day.date, seconds))

    def log_in(self) -> None:
        """The person logs in: yesterday's token has died in the night."""
        login = self.exchange.sessions.log_in(self.clock.now(), "kitestring")
        self._token = Secret(login.access_token)

    async def pull_plugs(self) -> None:
        """Every planned crash; and the machine that dies for good."""
        crashes = sorted(self.day.crashes, key=lambda each: each.from_s)
        for crash in crashes:
            await self.until(crash.from_s)
            self._down_s = crash.down_s
            self.power.arm(crash)
            if crash.from_s < CALM_S:
                later = (each.from_s for each in crashes if each.from_s > crash.from_s)
                await self.until(min(CALM_S, next(later, CALM_S)))
                self.power.disarm()
        if self.day.dies_s is not None:
            await self.until(self.day.dies_s)
            self._leave()
            self.power.cut(Moment.ANY)

    async def stop_and_start(self) -> None:
        """The person stops the house as the settings say, and starts it again, or does not."""
        if self.day.stops is None:
            return
        at_s, again_s = self.day.stops
        await self.until(at_s)
        engine = self._engine
        if engine is None:
            return
        self._down_s = 1.0 if again_s is None else max(again_s - at_s, 1.0)
        if again_s is None:
            self._leave()
        engine.stop()

    def _leave(self) -> None:
        """Nobody is there from now on; a machine that dies later changes nothing about that."""
        if self.stopped_at is None:
            self.stopped_at = self.clock.now()

    async def meddle(self) -> None:
        """The person's hand on what is ours."""
        for each in sorted(self.day.hand, key=lambda hand: hand.at_s):
            await self.until(each.at_s)
            for (name, product), position in list(self.exchange.floor.account.positions.items()):
                lot = position.instrument.lot_size
                lots = abs(position.net_qty) // lot
                if product is Product.CNC or not lots:
                    continue
                qty = ((lots + 1) // 2 if each.some else lots) * lot
                where, _, symbol = name.partition(":")
                fields = {
                    "exchange": where,
                    "tradingsymbol": symbol,
                    "transaction_type": "SELL" if position.net_qty > 0 else "BUY",
                    "quantity": str(qty),
                    "product": product.value,
                    "validity": "DAY",
                    "order_type": "MARKET",
                    "market_protection": "-1",
                }
                with suppress(KiteError):
                    self.stage.reach.order_from_phone(self.clock.now(), "regular", fields)
                break

    async def resolve(self) -> None:
        """A person looks at what is frozen, and lets go of it."""
        if self.day.resolves_s is None:
            return
        await self.until(self.day.resolves_s)
        day = self.window.day
        if day is None:
            return
        for each in list(day.core.view.state.frozen.values()):
            day.order(
                OperatorWord.RESOLVE,
                "simulated",
                instrument=each.instrument,
                resolution=Resolution.RELEASE,
            )

    async def halt(self) -> None:
        """The operator's HALT, if the day has one."""
        halt = self.day.halt
        if halt is None:
            return
        await self.until(halt.at_s)
        self.halt_file.write(HaltedBy.OPERATOR, "simulated", self.clock.now(), flatten=halt.flatten)
        self.halts.append((self.clock.now(), HaltedBy.OPERATOR.value))
        self.halted = True

    async def lift(self) -> None:
        """HALTs of this day or of one before are lifted; the guard's by whoever lifts."""
        due = list(self.lift_at)
        halt = self.day.halt
        if halt is not None and halt.days == 0 and halt.lifted_s > halt.at_s:
            due.append(halt.lifted_s)
        for second in sorted(due):
            await self.until(second)
            if self.halt_file.lift() is not None:
                self.halts.append((self.clock.now(), "lifted"))

    async def heal(self) -> None:
        """The faults end, those of the day before the calm and those of the evening."""
        await self.until(LOGIN_S)
        self.log_in()
        await self.until(HEALED_S)
        self.stage.faults.clear()
        self.network.heal()
        self.power.disarm()

    # ── the house ────────────────────────────────────────────────────────────────────────────

    def _risk(self) -> RiskSettings:
        """The week's limits; other ones once the person has changed them in the middle of the day."""
        risk = self.plan.risk
        if not self._begun or self._lives < 2 or not self.day.change:
            return risk
        factor = 0.5 if self.day.change == "tighter" else 2.0
        return msgspec.structs.replace(
            risk, max_gross_exposure_x=(risk.max_gross_exposure_x or 1.0) * factor
        )

    async def keep_house(self) -> None:
        """Start the house, and again whenever it has ended before its day has."""
        await self.until(self.day.house_s)
        refusals = 0
        reverted = False
        while not self.over and self.stopped_at is None and self._lives < _LIVES_MAX:
            self._lives += 1
            self.starts.append(self.clock.now())
            risk = self.plan.risk if reverted else self._risk()
            task = asyncio.create_task(self._life(risk), name="house")
            self.power.supply(task)
            self._task = task
            wait_s = self._down_s
            try:
                interrupted = await task
            except PowerCut as cut:
                self._died(str(cut))
            except asyncio.CancelledError:
                if not self.power.off:
                    raise
                self._died(self.power.why)
            except HouseError as error:
                self.refused.append(f"{type(error).__name__}: {error}")
                refusals += 1
                reverted = isinstance(error, ConfigError)
                idle = "nothing is open" in str(error)
                if idle and refusals >= _GIVES_UP and self.clock.now() > moment(self.day.date, 0):
                    return
                wait_s = _AGAIN_S * refusals
            else:
                refusals = 0
                if not interrupted:
                    self.sealed = True
                    return
                if self.halt_file.stands and self.clock.now() > moment(self.day.date, CLOSE_S):
                    self._leave()
                    return
                self._died("stopped")
            finally:
                self._engine = None
            await asyncio.sleep(wait_s)

    def _died(self, why: str) -> None:
        self.deaths.append(Death(at=self.clock.now(), why=why, planned=True))

    async def _life(self, risk: RiskSettings) -> bool:
        """One life of the house; whether it was interrupted."""
        plan, futures = await planned(
            self.plan,
            self.day,
            risk,
            self.artifacts,
            self._settings,
            self._token,
            self.clock.now(),
        )
        gross = risk.max_gross_exposure_x or 0.0
        first = not self._begun

        async def ask(lines: Sequence[str], phrase: str) -> str | None:
            del lines
            if not (self.day.types if first else self.day.types_again):
                return None
            self.typed.append(self.clock.now())
            return phrase

        def link(ears: Ears) -> object:
            return open_kite(
                ears,
                settings=self._settings,
                token=lambda: self._token,
                manifest=plan.manifest,
                clock=self.clock,
                cache=self.artifacts / "candles",
                futures=futures,
            )

        def journal(path: Path, run_key: str) -> SqliteJournal:
            return MortalJournal(path, run_key, self.power)

        if self.day.armed_ahead and first and self.day.types:
            await arm_ahead(plan, link, ask)  # type: ignore[arg-type]  # opens a LiveLink
        self._begun = True
        loop = asyncio.get_running_loop()
        if not self._opened():
            self._began_with = gross
        elif gross > self._began_with:
            self.loosened = True
        self._engine = self._engine_class(
            plan,
            link,  # type: ignore[arg-type]  # as above
            ask,
            beside=self._beside(),
            open_journal=journal,
            seconds=lambda: loop.time() / 60,  # As on a single simulated day.
        )
        result = await self._engine.start(NobodyWatches())
        return result.interrupted

    def _opened(self) -> bool:
        """Whether today's run has its first record."""
        return any(
            True
            for paths in list_runs(self.artifacts)
            if paths.date == self.day.date and paths.journal.exists()
            for _ in read_commits(paths.journal)
        )

    def _beside(self) -> tuple[Beside, ...]:
        halts = self.day.halt is not None or self.halt_file.stands or self.plan.guard is not None
        return (self.window, HaltWatch(self.artifacts)) if halts else (self.window,)

    async def keep_guard(self) -> None:
        """A guard beside the house, from its first start to the close."""
        await self.until(max(self.day.house_s, LOGIN_S + 5) - 1)
        assert self.plan.guard is not None
        async with KiteHttp(self._settings) as http:
            journal = GuardJournal(guard_folder(self.artifacts))
            client = KiteClient(self._settings, self._token, http)
            hands = GuardHands(client, journal, self.clock.now)
            terms = GuardTerms(
                artifacts=self.artifacts,
                policy=self.plan.guard,
                closes_at=moment(self.day.date, CLOSE_S),
            )
            guard = Guard(
                terms,
                hands,
                journal,
                now=self.clock.now,
                end_engine=self._end_engine,
                tell=lambda _: None,
            )
            before = self.halt_file.guard_epoch
            try:
                await guard.run()
            finally:
                halt = self.halt_file.read()
                if halt is not None and halt.guard_epoch > before:
                    self.halts.append((halt.at, HaltedBy.GUARD.value))

    async def _end_engine(self, owned: Owned) -> str:
        del owned
        self.power.cut(Moment.ANY)
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        return ""

    # ── what a judge sees ────────────────────────────────────────────────────────────────────

    async def look_around(self) -> None:
        """The looks a judge wants: before the open, when all must be well, when flat, in the evening."""
        for label, seconds in (
            ("morning", MORNING_S),
            ("well", WELL_S),
            ("flat", FLAT_S),
            ("evening", EVENING_S),
        ):
            await self.until(seconds)
            look = self.look(label)
            for _ in range(_AGREES_WITHIN_S * 2 if label in ("well", "flat") else 0):
                if look.alive and not look.untrusted and agrees(look):
                    break
                await asyncio.sleep(0.5)
                look = self.look(label)
            self.looks.append(look)

    async def sample(self) -> None:
        """Looks, again and again, while a trigger stands or an order of one waits."""
        while not self.over:
            if any(True for _ in self._triggers()):
                self.samples.append(self.look("sample"))
            await asyncio.sleep(_SAMPLE_S)

    def _triggers(self) -> Iterator[TriggerThen]:
        for trigger in self.exchange.gtt.overnight():
            if trigger.status.value != "active":
                continue
            for order in trigger.orders:
                yield TriggerThen(
                    number=trigger.trigger_id,
                    key=f"{trigger.instrument.id}/{order.product}",
                    side=1 if order.side == "BUY" else -1,
                    qty=order.quantity,
                )

    def look(self, label: str) -> WeekLook:
        """House and exchange now."""
        now = self.clock.now()
        day = self.window.day
        resting = tuple(
            (
                str(row["tag"] or row["order_id"]),
                f"{row['exchange']}:{row['tradingsymbol']}/{row['product']}",
                1 if row["transaction_type"] == "BUY" else -1,
                int(str(row["pending_quantity"])),
            )
            for row in self.exchange.desk.orders(now)
            if row["status"] in ("OPEN", "TRIGGER PENDING")
        )
        books: tuple[BookThen, ...] = ()
        core = day.core if day is not None else None
        if core is not None:
            books = tuple(
                BookThen(
                    strategy=book.owner or book.strategy,
                    instrument=book.instrument,
                    product=book.product.value,
                    net=book.net_qty,
                    stop_px=stop_of(book),
                    leaving=book.trade is not None and book.trade.leaving is not None,
                    kept_out=book.frozen or core.view.left_to(book),
                )
                for book in core.portfolio.books.values()
            )
        return WeekLook(
            label=label,
            at=now,
            alive=core is not None,
            books=books,
            frozen=tuple(core.view.state.frozen) if core is not None else (),
            account=owned_by(self.exchange),
            triggers=tuple(self._triggers()),
            resting=resting,
            halted=core.risk.state.halted.code
            if core is not None and core.risk.state.halted is not None
            else "",
            untrusted=core.state.untrusted if core is not None else "",
        )
