"""One short live day whose power can be cut at any commit, on a disk that keeps only what it was made to keep.

Production engine, broker and files at the real exchange's handlers, in virtual time. What a power cut
leaves is modelled harder than most disks behave: the journal's last write may be torn at any byte, and
of files nobody waited for, the end, all, or nothing may be gone. The exchange goes on; then the same
start is given again, and the day lived to its end.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.domain.errors import ConfigError, DiskFailed, HouseError
from kitestring.domain.events import Fact
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import SECOND, Instant, instant
from kitestring.domain.instruments import Segment
from kitestring.domain.money import Price, money, price
from kitestring.domain.ports import Commit, Manifest
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_day import LiveDay
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import Ears, LivePlan
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.ledger import LedgerEntry, read_entries
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.exchange.wire.wire_ledger import Line
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for
from kitestring.sim.dice import Dice
from kitestring.sim.memory_network import Network
from kitestring.sim.power import PowerCut
from kitestring.sim.random_market import MarketPlan, RandomMarket, listed_on
from kitestring.sim.scripted_strategy import SCRIPTED
from kitestring.sim.verdict import Books
from kitestring.sim.virtual_world import live
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.journal import VerifyResult, read_commits, verify
from kitestring.store.paths import RunPaths
from proof.power_supply import MOMENTS, PORT, Cut, CutJournal, Supply

DATE: Final = dt.date(2026, 11, 20)
OPENS: Final = instant(DATE, dt.time(10, 0))
CUTOFF_S: Final = 330
SQUARE_OFF_S: Final = 350
CLOSE_S: Final = 560
DOWN_S: Final = 1.0
"""How long the house is dark after a cut."""
LIVES_MAX: Final = 8
_CAPITAL: Final = money("2000000")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A day on which much happens, before it begins."""

    seed: int
    scripts: tuple[tuple[InstrumentId, str, int], ...]
    """Instrument, script and size of each strategy."""
    sd_bp: int
    halt_s: int | None
    """When the operator's HALT file is written, if it is; it lies a while and is lifted by nobody."""


class Died(msgspec.Struct, frozen=True, kw_only=True):
    """Where a life ended, as its files show it."""

    cut: Cut
    at: int
    """The commit at which it really came: the planned one, or the first after it of this life."""
    on_disk: int
    """Commits that the journal left behind verifies."""
    damage: str
    """What a reader finds wrong with it; nothing may be."""
    heard: bool
    """Whether the exchange had a request of that commit when the power went."""
    commands: int
    """New orders in the commit that was written last."""


class Lived(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a day afterwards."""

    reference: Reference
    deaths: tuple[Died, ...]
    commits: tuple[tuple[int, Commit], ...]
    verified: VerifyResult
    before: Books
    after: Books
    wire: tuple[Line, ...]
    ledger: tuple[LedgerEntry, ...]
    not_durable: tuple[str, ...]
    """Tags that reached the exchange before their intent was on disk."""
    broke: str
    sealed: bool
    lost_requests: int
    """Requests the cut tore apart on their way."""
    dark: tuple[tuple[Instant, Instant], ...]
    """When there was no house."""
    unsure: bool
    """An order's fate could be known only by waiting: one was on its way when the power went."""

    full: tuple[str, ...] = ()
    """What the house said of a disk without room, each time."""

    @property
    def facts(self) -> list[Fact]:
        """Every fact of the journal."""
        return [fact for _, commit in self.commits for fact in commit.facts]


def at(seconds: float) -> Instant:
    """An instant so many seconds after the opening."""
    return OPENS + round(seconds * SECOND)


_NAMES: Final = {"NSE:INFY": "1500.00", "NSE:SBIN": "800.00"}
_FIRST: Final = (
    ("NSE:INFY", "2 BUY stop=-6.00 target=+30.00 trail=1.50; 3 SELL stop=+9.00; 4 EXIT", 160),
    ("NSE:SBIN", "2 SELL stop=+2.00; 3 BUY stop=-1.00 for=1; 4 SELL stop=+3.00", 240),
    ("NSE:INFY", "2 SELL stop=+2.50; 3 BUY stop=-9.00; 4 SELL stop=+2.00 target=-1.00", 90),
    ("NSE:SBIN", "1 BUY stop=-1.00; 3 SELL stop=+4.00 trail=0.80; 5 BUY stop=-3.00", 120),
)
"""Entry, partial fills, a trail, a reversal, an exit, a time stop, and a square-off at the end."""


def reference_day(number: int) -> Reference:
    """Day 1 is written by hand; the others are drawn from their number."""
    names = tuple(InstrumentId(name) for name in _NAMES)
    if number == 1:
        first = tuple((InstrumentId(name), script, lots) for name, script, lots in _FIRST)
        return Reference(seed=1, scripts=first, sd_bp=2, halt_s=290)
    dice = Dice(number, "reference day")
    return Reference(
        seed=number,
        scripts=tuple((name, _script(dice, name), dice.between(40, 300)) for name in names * 2),
        sd_bp=dice.one_of((1, 2, 3)),
        halt_s=dice.one_of((None, None, dice.between(60, 320))),
    )


def _script(dice: Dice, name: str) -> str:
    step = float(_NAMES[name]) / 1000
    lines = []
    for minute in (1, 2, 3, 4, 5):
        word = dice.one_of(("BUY", "SELL", "BUY", "SELL", "EXIT"))
        line = f"{minute} {word}"
        if word != "EXIT":
            away, along = ("-", "+") if word == "BUY" else ("+", "-")
            line += f" stop={away}{step * dice.between(1, 4):.2f}"
            if dice.one_in(3):
                line += f" target={along}{step * dice.between(1, 4):.2f}"
            if dice.one_in(3):
                line += f" trail={step * dice.between(1, 3):.2f}"
            if dice.one_in(5):
                line += " for=1"
        lines.append(line)
    return "; ".join(lines)


def timetable() -> dict[Segment, Session]:
    """The short day's sessions, of house and exchange alike."""
    return {
        segment: Session(
            date=DATE,
            segment=segment,
            open_at=OPENS,
            close_at=at(CLOSE_S),
            entry_cutoff_at=at(CUTOFF_S),
            square_off_at=at(SQUARE_OFF_S),
            phases=(Phase(PhaseKind.CONTINUOUS, OPENS, at(CLOSE_S)),),
        )
        for segment in sessions_for(DATE)
    }


class _Window:
    """Lets the stage see the run's folder."""

    def __init__(self) -> None:
        self.paths: RunPaths | None = None

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""
        del day
        self.paths = paths
        yield


class Stage:
    """Exchange, house, and the person who starts it again."""

    def __init__(
        self,
        reference: Reference,
        cuts: Sequence[Cut],
        network: Network,
        artifacts: Path,
        engine: type[LiveEngine],
    ) -> None:
        self.reference, self.artifacts = reference, artifacts
        self.clock = ExchangeClock(at(-8))
        closes: Mapping[str, Price] = {name: price(px) for name, px in _NAMES.items()}
        self.market = RandomMarket(
            MarketPlan(
                seed=reference.seed,
                names=tuple(InstrumentId(name) for name in closes),
                closes=closes,
                opens_at=OPENS,
                ends_at=at(CLOSE_S),
                step_s=1,
                sd_bp=reference.sd_bp,
                jump_one_in=0,
                thin=True,
            ),
            DATE,
            timetable(),
        )
        self.exchange = LocalExchange(
            ExchangeSettings(
                seed=reference.seed,
                account=OpeningChoice(cash=money(20_000_000)),
                switches=Switches(rate_limits=True),
                square_off=False,
            ),
            self.market,
            self.clock,
        )
        floor = self.exchange.floor
        floor.rules = msgspec.structs.replace(floor.rules, square_off_us={})
        self.stage = RehearsalStage(self.exchange, self.clock)
        self.supply = Supply(network, artifacts, cuts, reference.seed * 1000 + _number(cuts))
        self.window = _Window()
        self.not_durable: list[str] = []
        self.dark: list[tuple[Instant, Instant]] = []
        self.broke = ""
        self.sealed = False
        self._engine = engine
        self._token = Secret("")
        self._settings = local_settings(f"http://127.0.0.1:{PORT}", api_key="kitestring")
        self._plan = self._planned()

    def witness(self) -> Middleware:
        """Stands at the exchange's door, and pulls the plug while it has a request in hand."""

        @web.middleware
        async def stands_by(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method == "GET" or not request.path.startswith("/orders"):
                return await handler(request)
            supply = self.supply
            form = await request.post() if request.method == "POST" else {}
            tag = str(form.get("tag", ""))
            if tag and tag not in supply.durable:
                self.not_durable.append(tag)
            torn = tag in supply.expected and _number_of(supply.died, tag) % 3 == 0
            if not torn:
                supply.came.add(tag)
            awaited = tag in supply.expected or (supply.changes and not tag)
            if not awaited:
                return await handler(request)
            way = _number_of(supply.died, tag) % 3
            if way == 0:
                # Its first bytes were all that ever left.
                supply.lost_requests += 1
                supply.cut()
                raise web.HTTPBadRequest
            if way == 1:
                supply.cut(heard=True)
                return await handler(request)
            response = await handler(request)
            supply.cut(heard=True)
            return response

        return stands_by

    def books(self) -> Books:
        """All the exchange shows of the account."""
        desk, folio, now = self.exchange.desk, self.exchange.portfolio, self.exchange.now()
        shown = (desk.orders(now), desk.trades(now), folio.positions(now), folio.holdings(now))
        return Books.told(*(msgspec.json.decode(msgspec.json.encode(each)) for each in shown))

    def _planned(self) -> LivePlan:
        sessions, listed = timetable(), listed_on(DATE)
        shown = tuple(listed[InstrumentId(name)] for name in _NAMES)
        settings = DaySettings(
            date=DATE,
            capital=_CAPITAL,
            run_key="crash",
            strategies=tuple(
                StrategySettings(
                    name=StrategyId(f"s{place}"),
                    strategy="scripted",
                    source=name,
                    instrument=name,
                    minutes=1,
                    params={"script": script},
                    lots=lots,
                )
                for place, (name, script, lots) in enumerate(self.reference.scripts)
            ),
            risk=_RISK,
            bar_grace_ms=1500,
        )
        manifest = Manifest(
            name="Kite, simulated",
            date=DATE,
            instruments=shown,
            sessions={each.segment: sessions[each.segment] for each in shown},
            digest="crash",
            rewindable=False,
            previous_close={each.id: price(_NAMES[each.id]) for each in shown},
        )
        return LivePlan(
            settings=settings,
            manifest=manifest,
            sessions={Segment(each): sessions[each] for each in manifest.sessions},
            definitions={"scripted": SCRIPTED},
            charge_book=charge_book(DATE),
            artifacts=self.artifacts,
            config_hash="c" * 64,
            live_capital=_CAPITAL,
        )

    def _house(self) -> LiveEngine:
        async def types_it(lines: Sequence[str], phrase: str) -> str:
            del lines
            return phrase

        def link(ears: Ears) -> object:
            return open_kite(
                ears,
                settings=self._settings,
                token=lambda: self._token,
                manifest=self._plan.manifest,
                clock=self.clock,
                cache=self.artifacts / "candles",
            )

        return self._engine(
            self._plan,
            link,  # type: ignore[arg-type]  # an async context manager of a LiveLink
            types_it,
            beside=(self.window,),
            open_journal=lambda path, key: CutJournal(path, key, self.supply),
            # What a cut finds on the disk shall not depend on how busy this machine is.
            seconds=asyncio.get_running_loop().time,
        )

    async def play(self) -> Lived:
        """The whole day."""
        served = Served(
            self.exchange,
            port=PORT,
            middlewares=[self.witness(), *self.stage.middlewares],
            set_up=[lambda app, local: add_feed(app, local, self.clock), self.stage.set_up],
        )
        await served.start()
        login = self.exchange.sessions.log_in(self.clock.now(), "kitestring")
        self._token = Secret(login.access_token)
        before = self.books()
        halting = asyncio.create_task(self._halt())
        deaths: list[Died] = []
        rooms_made = 0
        try:
            for _ in range(LIVES_MAX):
                if await self._life():
                    break
                if len(self.supply.full_said) > rooms_made:
                    rooms_made = len(self.supply.full_said)
                    await asyncio.sleep(DOWN_S)
                    continue
                if not self.supply.off:
                    break
                self.supply.back()
                deaths.append(self._death())
                began = self.clock.now()
                await asyncio.sleep(DOWN_S)
                self.dark.append((began, self.clock.now()))
            else:
                self.broke = f"{LIVES_MAX} lives, and the day was not over"
        finally:
            halting.cancel()
            with suppress(asyncio.CancelledError):
                await halting
            after = self.books()
            await served.stop()
        assert served.app[FAILURES] == [] or self.supply.lost_requests, served.app[FAILURES]
        return self._lived(before, after, tuple(deaths))

    async def _life(self) -> bool:
        """One start of the house; whether it lived to the end of the day."""
        task: asyncio.Task[object] = asyncio.create_task(
            self._house().start(NobodyWatches()), name="house"
        )
        self.supply.begin(task)
        try:
            await task
        except (PowerCut, asyncio.CancelledError):
            if not self.supply.off:
                raise
            return False
        except HouseError as error:
            if not self.supply.off and _waits_for_a_person(error):
                return True
            if self.supply.full_at and isinstance(error, DiskFailed):
                self.supply.full_said.append(str(error))
                self.supply.full_at = 0
                return False
            if not self.supply.off:
                self.broke = f"{type(error).__name__}: {error}"
            return False
        # Without power nobody hears that it ended well.
        return not self.supply.off

    def _death(self) -> Died:
        cut, at_commit, heard, commands = self.supply.died[-1]
        journal = next(self.artifacts.rglob("journal.sqlite"), None)
        if journal is None:
            return Died(cut=cut, at=at_commit, on_disk=0, damage="", heard=heard, commands=commands)
        with tempfile.TemporaryDirectory(dir=self.artifacts.parent) as aside:
            # Looked at in a copy: opening a log may change it.
            for path in journal.parent.glob("journal.sqlite*"):
                shutil.copyfile(path, Path(aside) / path.name)
            found = verify(Path(aside) / journal.name)
        return Died(
            cut=cut,
            at=at_commit,
            on_disk=found.commits,
            damage=found.damage,
            heard=heard,
            commands=commands,
        )

    async def _halt(self) -> None:
        if self.reference.halt_s is not None:
            await self.clock.wait_until(at(self.reference.halt_s))
            HaltFile(self.artifacts).write(HaltedBy.OPERATOR, "enough for today", self.clock.now())

    def _lived(self, before: Books, after: Books, deaths: tuple[Died, ...]) -> Lived:
        journal = next(self.artifacts.rglob("journal.sqlite"))
        verified = verify(journal)
        return Lived(
            reference=self.reference,
            deaths=deaths,
            commits=tuple(read_commits(journal)) if not verified.damage else (),
            verified=verified,
            before=before,
            after=after,
            wire=tuple(self.stage.ledger.lines()),
            ledger=tuple(read_entries(self.exchange.ledger.records)),
            not_durable=tuple(self.not_durable),
            broke=self.broke,
            sealed=verified.sealed,
            lost_requests=self.supply.lost_requests,
            dark=tuple(self.dark),
            unsure=self.supply.unsure,
            full=tuple(self.supply.full_said),
        )


_RISK: Final = RiskSettings(
    max_daily_loss_pct=0.5,
    max_symbol_loss_pct=None,
    max_drawdown_pct=None,
    max_gross_exposure_x=20.0,
    max_net_exposure_x=20.0,
    max_symbol_exposure_x=20.0,
    per_trade_risk_pct=0.5,
    max_trades_per_strategy=None,
    max_trades_per_symbol=None,
    loss_streak_max=None,
    duplicate_window_s=0.0,
)


def _number(cuts: Sequence[Cut]) -> int:
    """A number of these cuts, from which the disk's whims are drawn."""
    number = 0
    for cut in cuts:
        number = number * 4096 + cut.commit * 4 + MOMENTS.index(cut.moment)
    return number


def _waits_for_a_person(error: HouseError) -> bool:
    """Nothing is open, and HALT stands: the house is meant not to start before somebody lifts it."""
    return isinstance(error, ConfigError) and "while HALT stands, and nothing is open" in error.what


def _number_of(died: Sequence[object], tag: str) -> int:
    return len(died) + sum(tag.encode())


@contextmanager
def folder() -> Iterator[Path]:
    """Somewhere in memory where there is such a place: the cuts here are modelled."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    made = Path(
        tempfile.mkdtemp(prefix="kitestring-crash-", dir=memory if memory.is_dir() else None)
    )
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def lived(
    reference: Reference,
    cuts: Sequence[Cut] = (),
    *,
    engine: type[LiveEngine] = LiveEngine,
    change: Callable[[Stage], None] | None = None,
) -> Lived:
    """Live a reference day, cut where asked. ``engine`` and ``change`` are for planted mistakes."""
    with folder() as made:
        artifacts = made / "artifacts"
        artifacts.mkdir()

        async def whole(network: Network) -> Lived:
            stage = Stage(reference, cuts, network, artifacts, engine)
            if change is not None:
                change(stage)
            return await stage.play()

        return live(whole, seed=reference.seed, last_s=3600.0)
