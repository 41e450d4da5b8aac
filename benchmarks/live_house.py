"""The house's side of ``benchmarks.live``: one live day as it is shipped, and marks along its way out.

Engine, link, governor, journal on disk, pulse for the guard, HALT watch and control socket are the
production ones with their defaults; only the strategies are the benchmark's own. The marks cost some
microseconds: the time at which a frame is in the day's inbox, a step is ready to be written down,
is durable, and has been shown to the guard.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.exchange import shares
from benchmarks.house import DAY, manifest
from benchmarks.live_exchange import MINUTES
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.core import order_manager
from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.strategy import Inputs, StrategyDefinition
from kitestring.domain.events import Fact, OperatorCommand, OperatorWord
from kitestring.domain.ids import StrategyId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import money
from kitestring.domain.orders import Order, Side
from kitestring.domain.ports import Commit
from kitestring.domain.signals import Decision, buy, hold
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine.control_socket import ControlSocket
from kitestring.engine.guarding import Guarding
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.kite_link import KiteLink, open_kite
from kitestring.engine.live_day import Heard, LiveDay
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import Ears, LiveLink, LivePlan
from kitestring.engine.settled_garbage import SettledGarbage
from kitestring.engine.watching import NobodyWatches
from kitestring.market.charges import charge_book
from kitestring.store.journal import SqliteJournal
from kitestring.store.paths import RunPaths

RISK: Final = RiskSettings(
    max_daily_loss_pct=0.9,
    max_symbol_loss_pct=None,
    max_drawdown_pct=None,
    max_open_positions=None,
    max_working_orders=None,
    max_orders_per_second=None,
    max_orders_per_minute=None,
    max_orders_per_day=None,
    max_trades_per_strategy=None,
    max_trades_per_symbol=None,
    loss_streak_max=None,
)
"""The limits that would end a measurement are off; each of the others is weighed as always."""


class Stair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which step of the stairs a strategy leaves at; a stop so many rupees below, or none."""

    step: int
    stop: float = 0.0


class Nothing(msgspec.Struct, frozen=True):
    """A strategy without memory."""


_WAIT: Final = hold("in the market already")


def _decide(params: msgspec.Struct, state: msgspec.Struct, i: Inputs) -> tuple[Nothing, Decision]:
    del state
    assert isinstance(params, Stair)
    if i.position:
        return Nothing(), _WAIT
    stop = i.close - params.stop if params.stop else None
    target = i.close + 0.5 * params.step if params.step else None
    return Nothing(), buy("flat", stop=stop, target=target)


STAIRS: Final = StrategyDefinition(
    name="stairs",
    path=__file__,
    source_hash="0" * 64,
    idea="Always long; each strategy leaves one step above the one before.",
    params_type=Stair,
    state_type=Nothing,
    indicators=lambda _: {},
    history=lambda _: 0,
    decide=_decide,
)


def climbers(on: Instrument, count: int) -> tuple[StrategySettings, ...]:
    """Strategies on one share, each with a target of its own and without a stop."""
    return tuple(_row(f"step{step:03d}", on, step=step) for step in range(1, count + 1))


def holders(on: Sequence[Instrument], *, stop: int) -> tuple[StrategySettings, ...]:
    """One strategy on each share, under a stop."""
    return tuple(_row(f"hold-{each.symbol}", each, step=0, stop=float(stop)) for each in on)


def _row(name: str, on: Instrument, *, step: int, stop: float = 0.0) -> StrategySettings:
    return StrategySettings(
        name=StrategyId(name),
        strategy="stairs",
        source=on.id,
        instrument=on.id,
        minutes=1,
        params={"step": step, "stop": stop},
        lots=1,
    )


def plan_of(
    instruments: int,
    rows: tuple[StrategySettings, ...],
    artifacts: Path,
    minutes: int = MINUTES,
) -> LivePlan:
    """A live day on imaginary shares."""
    listed = manifest(shares(instruments), minutes)
    listed = msgspec.structs.replace(listed, name="Kite, measured", rewindable=False)
    settings = DaySettings(
        date=DAY,
        capital=money("900000"),
        run_key="measured",
        strategies=rows,
        risk=RISK,
        bar_grace_ms=1500,
    )
    return LivePlan(
        settings=settings,
        manifest=listed,
        sessions={Segment(each): session for each, session in listed.sessions.items()},
        definitions={"stairs": STAIRS},
        charge_book=charge_book(DAY),
        artifacts=artifacts,
        config_hash="c" * 64,
        live_capital=money("900000"),
    )


class SharedClock:
    """The exchange's time without asking: both programs read the same clock of the machine."""

    def __init__(self, told: dict[str, float]) -> None:
        self._latest: Instant = 0
        self.follow(told)

    def follow(self, told: dict[str, float]) -> None:
        """The exchange says what time it is, and how fast it goes."""
        self._at, self._perf, self._speed = int(told["at"]), told["perf"], told["speed"]

    def now(self) -> Instant:
        """This moment at the exchange; never goes back."""
        passed_s = time.perf_counter() - self._perf
        self._latest = max(self._latest, self._at + int(passed_s * self._speed * SECOND))
        return self._latest

    async def wait_until(self, at: Instant) -> None:
        """Return once it is ``at``; in pieces, because the speed may change."""
        while (left := at - self.now()) > 0:  # noqa: ASYNC110 - no event tells that time has passed
            await asyncio.sleep(min(left / SECOND / self._speed, 0.05))


class Exchange:
    """The exchange's program, and the words it knows."""

    def __init__(
        self, program: asyncio.subprocess.Process | None, opened: dict[str, object]
    ) -> None:
        self.program = program
        self.told = opened
        """How it can be found, for one more program."""
        self.root = f"http://127.0.0.1:{opened['port']}"
        self.token = Secret(str(opened["token"]))
        self.clock = SharedClock({key: float(str(opened[key])) for key in ("at", "perf", "speed")})

    async def say(self, word: str, **more: object) -> object:
        """Say a word and return what is answered."""
        assert self.program is not None, "another program speaks with it"
        stdin, stdout = self.program.stdin, self.program.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"word": word, **more}).encode() + b"\n")
        answer = json.loads(await stdout.readline())
        if word == "speed":
            self.clock.follow(answer)
            self.told |= answer
        return answer


@asynccontextmanager
async def exchange_program(
    instruments: int, parts: int, *, every: int = 1, minutes: int = MINUTES
) -> AsyncIterator[Exchange]:
    """The exchange in a program of its own, for as long as this lasts."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.live_exchange"),
        *("--instruments", str(instruments), "--parts", str(parts)),
        *("--every", str(every), "--minutes", str(minutes)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        yield Exchange(program, json.loads(await program.stdout.readline()))
    finally:
        program.stdin.close()
        with suppress(ProcessLookupError):
            await program.wait()


class Marks:
    """The times of the last frame and of the last commit that sends an order out of the house."""

    def __init__(self) -> None:
        self.frame = self.write = 0.0
        self.out: list[tuple[float, float, float, float]] = []
        """Frame in the inbox, step ready, durable, shown to the guard: of every sell order."""
        self.shown: list[float] = []
        """What telling the guard cost, of every commit."""
        self.frames: list[float] = []
        """When each frame was in the inbox."""
        self.ready = asyncio.Event()
        self.day: LiveDay | None = None
        self.told: list[Fact] = []
        """Everything written since the start."""
        self.written: SqliteJournal | None = None
        self._durable = 0.0

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """A companion of the day (``Beside``), entered after the pulse."""
        del paths
        hear = day.hear

        def noted(heard: Heard) -> None:
            if isinstance(heard, TickFrame):
                self.frame = time.perf_counter()
                self.frames.append(self.frame)
            hear(heard)

        day.hear = noted  # type: ignore[method-assign]
        day.before_sending.insert(0, self._is_durable)
        day.before_sending.append(self._is_shown)
        self.day = day
        self.ready.set()
        yield

    def _is_durable(self, number: int, commit: Commit) -> None:
        del number, commit
        self._durable = time.perf_counter()

    def _is_shown(self, number: int, commit: Commit) -> None:
        del number
        now = time.perf_counter()
        self.shown.append(now - self._durable)
        if any(
            isinstance(fact, PlaceOrder) and fact.intent.side is Side.SELL for fact in commit.facts
        ):
            self.out.append((self.frame, self.write, self._durable, now))

    def journal(self, path: Path, run_key: str) -> SqliteJournal:
        """The journal on disk; only the moment before a commit is noted."""
        marks = self

        class Journal(SqliteJournal):
            def commit(self, commit: Commit) -> int:
                marks.write = time.perf_counter()
                marks.told += commit.facts
                return super().commit(commit)

        self.written = Journal(path, run_key=run_key)
        return self.written


class House:
    """One live day at an exchange of another program."""

    def __init__(
        self,
        exchange: Exchange,
        instruments: int,
        rows: tuple[StrategySettings, ...],
        folder: Path,
        *,
        minutes: int = MINUTES,
        guarding: Guarding | None = None,
    ) -> None:
        self.exchange = exchange
        self.marks = Marks()
        self.artifacts = folder
        plan = plan_of(instruments, rows, folder, minutes)
        settings = local_settings(exchange.root, api_key="kitestring")
        self.link: KiteLink | None = None

        @asynccontextmanager
        async def link(ears: Ears) -> AsyncIterator[LiveLink]:
            async with open_kite(
                ears,
                settings=settings,
                token=lambda: exchange.token,
                manifest=plan.manifest,
                clock=exchange.clock,
                cache=folder / "candles",
            ) as opened:
                self.link = opened
                yield opened

        async def ask(lines: Sequence[str], phrase: str) -> str:
            del lines
            return phrase

        halts = HaltWatch(folder)
        guards = () if guarding is None else (guarding,)
        beside = (*guards, halts, ControlSocket(folder, halts), SettledGarbage(), self.marks)
        self.engine = LiveEngine(
            plan,
            link,
            ask,
            beside=beside,
            unguarded=(lambda: "") if guarding is None else guarding.unguarded,
            open_journal=self.marks.journal,
        )

    @property
    def day(self) -> LiveDay:
        """The day that runs."""
        assert self.marks.day is not None
        return self.marks.day

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[House]:
        """From the first books compared to a stop that leaves everything as it is."""
        day = asyncio.get_running_loop().create_task(self.engine.start(NobodyWatches()))
        ready = asyncio.get_running_loop().create_task(self.marks.ready.wait())
        await asyncio.wait((day, ready), return_when=asyncio.FIRST_COMPLETED)
        if day.done():
            day.result()
        try:
            yield self
            assert not day.done(), "the day went on"
            assert not self.faults, self.faults
        finally:
            ready.cancel()
            if not day.done():
                self.day.stop()
            await day

    @property
    def faults(self) -> list[str]:
        """What the house says of its own failures: none, or nothing here was measured."""
        return [
            fact.reason
            for fact in self.marks.told
            if isinstance(fact, OperatorCommand) and fact.word is OperatorWord.FAULT
        ]

    def orders_written(self) -> list[Order]:
        """Every order of the day, as the journal holds it."""
        assert self.marks.written is not None
        cells = {
            key: bytes(cell)
            for _, commit in self.marks.written.commits()
            for key, cell in commit.cells.items()
            if cell is not None and key.startswith(order_manager.CELL)
        }
        return [msgspec.msgpack.decode(cell, type=Order) for cell in cells.values()]

    @property
    def positions(self) -> int:
        """How many books are open."""
        return sum(map(len, self.day.core.portfolio.open_by_instrument.values()))

    @property
    def working(self) -> int:
        """How many orders of ours still may trade."""
        return sum(1 for _ in self.day.core.orders.all_working())

    async def until(self, reached: Callable[[], bool], within_s: float, what: str) -> None:
        """Look again and again, without keeping the loop."""
        ends = time.perf_counter() + within_s
        while not reached():
            assert time.perf_counter() < ends, f"{what}: {self.positions} open, {self.working} work"
            await asyncio.sleep(0.005)
