"""A day with real orders: the same house as on paper, with a brokerage in place of a matcher.

This file only wires. What is real (broker, market data, account) is opened by whoever calls and
plugged in as a ``LiveLink``; the clock is the wall's, or in a rehearsal the exchange's. Nothing that
was sent before a restart is sent again: the broker is told what the journal holds, and looks.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final, Protocol

import msgspec

from kitestring import __version__
from kitestring.core.handover import hand_over
from kitestring.core.history import history_event
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import Bar
from kitestring.domain.charges import ChargeBook
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.events import (
    DayOpening,
    DaySealed,
    Gap,
    Note,
    OperatorCommand,
    OperatorWord,
    RunOpened,
)
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Segment
from kitestring.domain.money import Money
from kitestring.domain.orders import Order
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder
from kitestring.engine import arming
from kitestring.engine.arming import Armed, ArmingFile, Terms
from kitestring.engine.clocks import wall_now, wall_seconds
from kitestring.engine.day_result import day_result
from kitestring.engine.leaving import left_open, open_positions, stopping_on_signals
from kitestring.engine.live_day import LiveBroker, LiveClock, LiveDay, LiveFeed
from kitestring.engine.live_recovery import sent_today, taken_up, waiting_changes
from kitestring.engine.recovery import Story, read_story
from kitestring.engine.replay import LIVE_NOTE
from kitestring.engine.scribe import Scribe
from kitestring.engine.watching import DayResult, DayStarted, Watcher
from kitestring.exchange.margin import StatedMargins
from kitestring.store.atomic_file import write_atomically
from kitestring.store.halt_file import HaltFile
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.journal import SqliteJournal
from kitestring.store.paths import RunPaths, open_run
from kitestring.store.tape import FileTape
from kitestring.store.tape_reader import TapeReader

FAULTS_MAX: Final = 2
"""A second failure of the house itself on one day ends the day."""
_SUMMARY = msgspec.json.Encoder(decimal_format="number")


class RealFills(msgspec.Struct, frozen=True):
    """How a live day's orders are filled: by the market."""

    name: str = "live"
    sentence: str = "real orders at the broker; prices are those of its trades"


class LivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a live day is made of, decided before it starts."""

    settings: DaySettings
    manifest: Manifest
    sessions: Mapping[Segment, Session]
    """The market's sessions with our own cut-offs."""
    definitions: Mapping[str, StrategyDefinition]
    charge_book: ChargeBook
    artifacts: Path
    config_hash: str
    live_capital: Money | None
    without_stop: tuple[str, ...] = ()
    """Strategies that may enter without a stop and are not declared exempt."""
    notes: tuple[str, ...] = ()
    fill_model: RealFills = RealFills()
    opening: DayOpening | None = None
    fresh: bool = False


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account it is, and what is free in it (``None``: could not be read)."""

    user_id: str
    user_name: str
    available: Money | None


class RealBroker(LiveBroker, Protocol):
    """A broker with a life of its own: its connections are opened and closed with the day."""

    def resume(
        self,
        orders: Iterable[Order],
        waiting: Iterable[ModifyOrder | CancelOrder] = (),
        sent: Iterable[Command] = (),
    ) -> None:
        """After a restart: the journal's orders, unanswered changes, all that was sent today."""
        ...

    def start(self) -> None:
        """Begin to read the books."""
        ...

    async def close(self) -> None:
        """Wait for what is on its way; closes and cancels nothing at the broker."""
        ...


class LiveLink(Protocol):
    """The outside world of one day, opened."""

    @property
    def broker(self) -> RealBroker:
        """Where orders go."""
        ...

    @property
    def feed(self) -> LiveFeed:
        """Where ticks come from."""
        ...

    @property
    def clock(self) -> LiveClock:
        """What time it is at the exchange."""
        ...

    async def account(self) -> Account:
        """Whose account it is. Raises ``NotLoggedIn``, or another ``HouseError``."""
        ...

    async def load_history(
        self, needed: Iterable[tuple[InstrumentId, int, int]]
    ) -> Mapping[tuple[InstrumentId, int], Sequence[Bar]]:
        """Closed bars from before, by instrument and minutes; raises rather than give half of them."""
        ...


class Ears(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter needs of the house: where it may say something, and whether entries may leave."""

    paths: RunPaths
    woken: Callable[[], None]
    hear: Callable[[Gap | Note], None]
    entries_stopped: Callable[[], str]


class Beside(Protocol):
    """Something that lives as long as the day: the door for commands, the heartbeat for the guard."""

    def attend(self, day: LiveDay, paths: RunPaths) -> AbstractAsyncContextManager[object]:
        """Entered before the first frame is taken, left after the last; runs in the day's loop.

        It speaks to the day by ``hear``, ``order`` and ``stop`` only, and reads the core between
        two steps; a fault of its own must not leave it.
        """
        ...


OpenLink = Callable[[Ears], AbstractAsyncContextManager[LiveLink]]
Ask = Callable[[Sequence[str], str], Awaitable[str | None]]
"""Shows the lines, asks for the phrase; ``None`` where nobody is there to type."""


OpenJournal = Callable[[Path, str], SqliteJournal]
"""Opens the journal of a run, named by its key; a simulation's can lose its power."""


def _journal(path: Path, run_key: str) -> SqliteJournal:
    return SqliteJournal(path, run_key=run_key)


class LiveEngine:
    """Runs, or takes up again, one live day."""

    def __init__(
        self,
        plan: LivePlan,
        open_link: OpenLink,
        ask: Ask,
        *,
        beside: Sequence[Beside] = (),
        open_journal: OpenJournal = _journal,
    ) -> None:
        self._plan = plan
        self._open_journal = open_journal
        self._beside = tuple(beside)
        self._open_link = open_link
        self._ask = ask
        self._day: LiveDay | None = None
        self._stop_asked = False
        self._fault = ""
        self._armed_here: Armed | None = None
        self.arming = ArmingFile(plan.artifacts)
        self.halts = HaltFile(plan.artifacts)

    # ── the seed's names ─────────────────────────────────────────────────────────────────────

    def run(self, watcher: Watcher) -> DayResult:
        """Trade the day to its end (or to Ctrl-C) and say how it went."""
        return asyncio.run(self.start(watcher))

    async def start(self, watcher: Watcher) -> DayResult:
        """As ``run``, inside a running loop."""
        plan = self._plan
        with ExitStack() as held:
            held.enter_context(InstanceLock(plan.artifacts, started_at=wall_now(), name="live"))
            paths = open_run(
                plan.artifacts,
                mode="live",
                date=plan.settings.date,
                run_key=plan.settings.run_key,
                fresh=plan.fresh,
            )
            held.enter_context(stopping_on_signals(self.stop))
            return await self._run_in(paths, watcher)

    def stop(self, *, flatten: bool = False) -> None:
        """Stop and leave everything protected as it stands; with ``flatten``, once all is flat."""
        self._stop_asked = True
        if self._day is not None:
            self._day.stop(flatten=flatten)

    # ── one day ──────────────────────────────────────────────────────────────────────────────

    async def _run_in(self, paths: RunPaths, watcher: Watcher) -> DayResult:
        for attempt in range(1, FAULTS_MAX + 1):
            try:
                ears = Ears(
                    paths=paths,
                    woken=self._wake,
                    hear=self._hear,
                    entries_stopped=self._entries_stopped,
                )
                async with self._open_link(ears) as link:
                    return await self._attempt(paths, link, watcher, attempt)
            except HouseError:
                raise
            # The day's loop is one of the two places that may catch everything: a bug of ours
            # costs the day's entries, never its record and never the care for what is open.
            except Exception as fault:
                if attempt == FAULTS_MAX:
                    raise HouseError(
                        f"The house failed twice today ({fault!r}); the day is ended, and what is "
                        f"open stays as the broker holds it. Its record is whole: {paths.folder}",
                        do="see your positions and stops at the broker now; then please report this",
                    ) from fault
                self._fault = "".join(traceback.format_exception_only(fault)).strip()
            finally:
                self._day = None
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(
        self, paths: RunPaths, link: LiveLink, watcher: Watcher, attempt: int
    ) -> DayResult:
        plan, began, broker = self._plan, wall_seconds(), link.broker
        with ExitStack() as held:
            journal = self._open_journal(paths.journal, plan.settings.run_key)
            held.callback(journal.close)
            story = read_story(journal)
            core = self.fresh_core()
            gap = taken_up(core, journal, story, paths, link.clock.now())
            resumed = story.last is not None
            scribe = Scribe(
                paths,
                watcher,
                core,
                commits=journal.commits,
                frames_total=plan.manifest.frames_hint,
                resumed=resumed,
            )
            held.callback(scribe.close)
            scribe.catch_up()
            tape = self._tape(paths, story)
            held.callback(tape.close)
            if scribe.tally.sealed is not None:
                result = msgspec.structs.replace(
                    day_result(core, plan.manifest, scribe.tally, paths, plan),
                    already_finished=True,
                )
                watcher.finished(result)
                return result
            day = LiveDay(
                core,
                feed=link.feed,
                broker=broker,
                journal=journal,
                tape=tape,
                clock=link.clock,
                follower=scribe,
                inbox=story.last.inbox if story.last is not None else 0,
                feed_position=story.last.feed_position if story.last is not None else 0,
                heard=story.heard,
            )
            terms = self._terms(core, await link.account())
            armed = await self._armed(core, terms, link.clock.now(), attempt)
            history = {} if resumed else await link.load_history(core.strategies.history_needed())
            watcher.started(self._started(paths, resumed_at=core.state.now if resumed else None))
            if resumed:
                broker.resume(
                    core.orders.table.values(), waiting_changes(core, story), sent_today(journal)
                )
            broker.start()
            try:
                self._begin(day, history, gap)
                self._tell_arming(day, armed, attempt)
                await day.look_at_the_books()
                self._day = day
                if self._stop_asked:
                    day.stop()
                async with AsyncExitStack() as companions:
                    for each in self._beside:
                        await companions.enter_async_context(each.attend(day, paths))
                    await day.run()
            finally:
                await broker.close()
            self._finish(day, scribe)
            result = msgspec.structs.replace(
                day_result(core, plan.manifest, scribe.tally, paths, plan),
                interrupted=day.interrupted,
                resumed=resumed,
                ticks=day.ticks,
                wall_s=wall_seconds() - began,
                notes=plan.manifest.notes + plan.notes + tuple(left_open(core)),
            )
            scribe.write()
            content = msgspec.json.format(_SUMMARY.encode(result.summary()))
            write_atomically(paths.summary, content + b"\n")
            watcher.finished(result)
            return result

    def fresh_core(self) -> TradingCore:
        """The house of this day before anything has happened."""
        plan = self._plan
        return TradingCore(
            plan.settings,
            instruments=plan.manifest.instruments,
            sessions=plan.sessions,
            definitions=plan.definitions,
            charge_book=plan.charge_book,
            margins=StatedMargins(),
            previous_close={
                each.id: plan.manifest.previous_close[each.id]
                for each in plan.manifest.instruments
                if each.id in plan.manifest.previous_close
            },
        )

    def _tape(self, paths: RunPaths, story: Story) -> FileTape:
        if story.last is None:
            # Killed before its first commit: what the tape holds was never part of the day.
            paths.tape.unlink(missing_ok=True)
            return FileTape.begin(paths.tape, self._plan.manifest)
        end = TapeReader(paths.tape).end()
        if end < story.last.tape_offset:
            return FileTape.reopen(paths.tape, end)
        return FileTape.resume(paths.tape, story.last.tape_offset, story.last.tape_hash)

    # ── arming ───────────────────────────────────────────────────────────────────────────────

    def _terms(self, core: TradingCore, account: Account) -> Terms:
        plan = self._plan
        return Terms(
            date=plan.settings.date,
            account=account.user_id,
            account_name=account.user_name,
            capital=plan.live_capital,
            available=account.available,
            risk=plan.settings.risk,
            strategies=tuple(row.name for row in plan.settings.strategies),
            open_positions=tuple(open_positions(core)),
            config_hash=plan.config_hash,
            without_stop=plan.without_stop,
        )

    async def _armed(
        self, core: TradingCore, terms: Terms, now: Instant, attempt: int
    ) -> Armed | None:
        """The arming of this day, asked for where there is none; ``None`` is reduce-only.

        Raises ``ConfigError`` where nothing is armed and nothing is owned: there is nothing to do.
        """
        kept = self.arming.read()
        standing = arming.standing(kept, terms)
        if standing is arming.Standing.ARMED and not arming.refusals(terms):
            assert kept is not None
            return self._in_use(kept)
        if attempt > 1:
            # The same process goes on, without entries: nobody has to type anything for that.
            return self._armed_here
        owned = bool(core.portfolio.open_by_instrument) or any(core.orders.all_working())
        if not owned:
            arming.refuse(terms)
        if not arming.refusals(terms):
            typed = await self._ask(arming.shown(terms), arming.phrase(terms))
            if typed is not None and arming.agrees(terms, typed):
                return self._in_use(arming.armed_by(terms, now))
        if owned:
            return None
        raise ConfigError(
            f"Live trading is not armed ({standing}), and nothing is open that needs care.",
            do=f"start it in a terminal and type: {arming.phrase(terms)}",
        )

    def _in_use(self, armed: Armed) -> Armed:
        armed = msgspec.structs.replace(armed, in_use=True)
        self.arming.write(armed)
        self._armed_here = armed
        return armed

    def _tell_arming(self, day: LiveDay, armed: Armed | None, attempt: int) -> None:
        at = max(day.core.state.now, 0)
        if armed is not None:
            day.tell(
                OperatorCommand(at=at, word=OperatorWord.ARM, reason=arming.armed_sentence(armed))
            )
        else:
            day.tell(
                OperatorCommand(
                    at=at,
                    word=OperatorWord.DISARM,
                    reason="Nobody has armed this day: no entries; what is open is protected, "
                    "closed by its rules and squared off.",
                )
            )
        if attempt > 1:
            day.tell(
                OperatorCommand(
                    at=at,
                    word=OperatorWord.FAULT,
                    reason=f"The house failed and was rebuilt from its journal ({self._fault});"
                    " positions stay protected, no new ones are taken today.",
                )
            )

    # ── the record ───────────────────────────────────────────────────────────────────────────

    def _begin(
        self,
        day: LiveDay,
        history: Mapping[tuple[InstrumentId, int], Sequence[Bar]],
        gap: Gap | None,
    ) -> None:
        plan, core = self._plan, day.core
        if gap is not None:
            # In one commit with the note: the next start would find no gap any more.
            core.step(gap)
            day.note("resumed", f"Resumed after frame {day.feed_position}.")
            return
        core.facts.append(
            RunOpened(
                mode="live",
                date=str(plan.settings.date),
                feed=plan.manifest.name,
                seed=0,
                run_key=plan.settings.run_key,
                config_hash=plan.config_hash,
                strategy_hashes={
                    name: definition.source_hash for name, definition in plan.definitions.items()
                },
                fill_model=plan.fill_model.name,
                charges=plan.charge_book.name,
                capital=int(plan.settings.capital),
                version=__version__,
                settings=msgspec.msgpack.encode(plan.settings),
                sessions=msgspec.msgpack.encode(dict(plan.sessions)),
            )
        )
        if plan.opening is not None:
            core.step(plan.opening)
        for (instrument, minutes), bars in history.items():
            if bars:
                core.step(history_event(instrument, minutes, bars, plan.manifest.name))
        day.note("opened", f"The day is open: {plan.manifest.name}.")

    def _finish(self, day: LiveDay, scribe: Scribe) -> None:
        core, tally = day.core, scribe.tally
        kept = self.arming.read()
        if day.interrupted:
            left = left_open(core)
            said = " ".join(left) if left else "Nothing is open."
            day.note("interrupted", f"Stopped by the operator; the same command goes on. {said}")
            if kept is not None:
                self.arming.write(msgspec.structs.replace(kept, in_use=False))
            return
        self.arming.clear()
        day.record(
            DaySealed(
                at=core.state.now,
                equity=int(core.equity),
                realised=int(core.portfolio.realised),
                charges=int(core.portfolio.charges_money),
                net=int(core.equity) - int(core.opening_equity),
                orders=tally.orders,
                fills=tally.fills,
                trades=tally.trades,
                carried={
                    f"{book.strategy}|{book.instrument}|{book.product}": book.net_qty
                    for book in core.portfolio.books.values()
                    if book.net_qty
                },
                handover=hand_over(core),
            )
        )

    def _started(self, paths: RunPaths, *, resumed_at: Instant | None) -> DayStarted:
        plan = self._plan
        return DayStarted(
            date=plan.settings.date,
            mode="live",
            run=paths.folder.name,
            feed=plan.manifest.name,
            fill_model=plan.fill_model.sentence,
            charges_name=plan.charge_book.name,
            capital=plan.settings.capital,
            strategies=tuple(row.name for row in plan.settings.strategies),
            artifacts=str(plan.artifacts),
            stand_ins=plan.manifest.stand_ins,
            notes=("⚠️ real orders, real money", *plan.manifest.notes, *plan.notes),
            resumed_at=resumed_at,
            speed=1.0,
            opens_at=min(session.open_at for session in plan.sessions.values()),
            closes_at=max(session.close_at for session in plan.sessions.values()),
        )

    # ── what adapters ask ────────────────────────────────────────────────────────────────────

    def _wake(self) -> None:
        if self._day is not None:
            self._day.wake()

    def _hear(self, fact: Gap | Note) -> None:
        if self._day is not None:
            if isinstance(fact, Note):
                fact = msgspec.structs.replace(fact, kind=f"{LIVE_NOTE}{fact.kind}")
            self._day.hear(fact)

    def _entries_stopped(self) -> str:
        """Asked just before an entry leaves, however long it waited for its turn."""
        if self.halts.stands:
            halt = self.halts.read()
            if halt is not None:
                return halt.sentence
        day = self._day
        if day is None:
            return "the day is not running"
        halted = day.core.risk.state.halted
        return halted.sentence if halted is not None else day.core.state.untrusted
