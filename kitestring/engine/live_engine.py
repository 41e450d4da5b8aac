"""A day with real orders: the same house as on paper, with a brokerage in place of a matcher.

This file only wires. What is real (broker, market data, account) is opened by whoever calls and
plugged in as a ``LiveLink``; the clock is the wall's, or in a rehearsal the exchange's. Nothing that
was sent before a restart is sent again: the broker is told what the journal holds, and looks.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final

import msgspec

from kitestring import __version__
from kitestring.core.handover import hand_over
from kitestring.core.history import history_event
from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import Bar
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.events import (
    DayOpening,
    DaySealed,
    Fact,
    Gap,
    Note,
    OperatorCommand,
    OperatorWord,
    RunOpened,
)
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.engine import arming
from kitestring.engine.arming import Armed, ArmingFile, Terms
from kitestring.engine.carrying_in import TakenOver, carried_in
from kitestring.engine.clocks import wall_now, wall_seconds
from kitestring.engine.day_before import outstanding
from kitestring.engine.day_result import day_result
from kitestring.engine.fence import Fence
from kitestring.engine.guard_story import refuse_beside_a_guard
from kitestring.engine.leaving import (
    TERMINATE_WITHIN,
    left_open,
    stopping_on_signals,
)
from kitestring.engine.live_alerts import LiveAlerts
from kitestring.engine.live_day import (
    FLATTEN_WITHIN,
    LiveDay,
)
from kitestring.engine.live_plan import (
    Ask,
    Beside,
    Ears,
    LiveLink,
    LivePlan,
    OpenLink,
    core_of,
    terms_of,
)
from kitestring.engine.live_recovery import (
    opened_tape,
    refuse_shortened,
    sent_today,
    taken_up,
    waiting_changes,
)
from kitestring.engine.overnight_stops import UNPROTECTED, leave_stops
from kitestring.engine.pulse import Pulse
from kitestring.engine.recovery import read_story
from kitestring.engine.replay import LIVE_NOTE, TIGHTENED
from kitestring.engine.scribe import Scribe
from kitestring.engine.standing_stops import StandingStops
from kitestring.engine.stopping import Stopping
from kitestring.engine.watching import DayResult, DayStarted, Watcher
from kitestring.store.atomic_file import write_atomically
from kitestring.store.halt_file import HaltFile
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.journal import SqliteJournal
from kitestring.store.paths import RunPaths, open_run

FAULTS_MAX: Final = 2
"""A second failure of the house itself on one day ends the day."""
_SUMMARY = msgspec.json.Encoder(decimal_format="number")


OpenJournal = Callable[[Path, str], SqliteJournal]
"""Opens the journal of a run, named by its key; a simulation's can lose its power."""


def _journal(path: Path, run_key: str) -> SqliteJournal:
    return SqliteJournal(path, run_key=run_key)


def _facts(journal: SqliteJournal) -> Iterator[Fact]:
    return (fact for _, commit in journal.commits() for fact in commit.facts)


class LiveEngine:
    """Runs, or takes up again, one live day."""

    def __init__(
        self,
        plan: LivePlan,
        open_link: OpenLink,
        ask: Ask,
        *,
        beside: Sequence[Beside] = (),
        unguarded: Callable[[], str] = lambda: "",
        open_journal: OpenJournal = _journal,
        seconds: Callable[[], float] = wall_seconds,
    ) -> None:
        """``unguarded`` says why nobody watches this engine now: entries wait for the guard.

        ``seconds`` times the files for people: a world whose time is its own gives its own.
        """
        self._plan = plan
        self._seconds = seconds
        self._open_journal = open_journal
        self._beside = tuple(beside)
        self._unguarded = unguarded
        self._open_link = open_link
        self._ask = ask
        self._day: LiveDay | None = None
        self._stop_asked = False
        self._early: list[Gap | Note] = []
        """What the feed said before the day was there to hear it."""
        self._fault = ""
        self._armed_here: Armed | None = None
        self.arming = ArmingFile(plan.artifacts)
        self.halts = HaltFile(plan.artifacts)
        self.fence = Fence(self.halts)

    # ── the seed's names ─────────────────────────────────────────────────────────────────────

    def run(self, watcher: Watcher) -> DayResult:
        """Trade the day to its end (or to Ctrl-C) and say how it went."""
        return asyncio.run(self.start(watcher))

    async def start(self, watcher: Watcher) -> DayResult:
        """As ``run``, inside a running loop."""
        plan = self._plan
        with ExitStack() as held:
            refuse_beside_a_guard(plan.artifacts)
            held.enter_context(InstanceLock(plan.artifacts, started_at=wall_now(), name="live"))
            paths = open_run(
                plan.artifacts,
                mode="live",
                date=plan.settings.date,
                run_key=plan.settings.run_key,
                fresh=plan.fresh,
            )
            held.enter_context(stopping_on_signals(self.stop, self.terminate))
            return await self._run_in(paths, watcher)

    def stop(self, *, flatten: bool = False, within: Instant = FLATTEN_WITHIN) -> None:
        """Stop as the settings say; with ``flatten``, once all is flat."""
        self._stop_asked = True
        if self._day is not None:
            policy = Stopping.FLATTEN if flatten else self._plan.stopping
            self._day.stop(
                flatten=policy is Stopping.FLATTEN,
                withdraw=policy is Stopping.LEAVE_PROTECTED,
                within=within,
            )

    def terminate(self) -> None:
        """As ``stop``, for a machine that is going down and does not wait for long."""
        self.stop(within=TERMINATE_WITHIN)

    # ── one day ──────────────────────────────────────────────────────────────────────────────

    async def _run_in(self, paths: RunPaths, watcher: Watcher) -> DayResult:
        for attempt in range(1, FAULTS_MAX + 1):
            self._early.clear()
            try:
                ears = Ears(
                    paths=paths,
                    woken=self._wake,
                    hear=self._hear,
                    entries_stopped=self._entries_stopped,
                    fenced=self._fenced,
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
        async with AsyncExitStack() as held:
            journal = self._open_journal(paths.journal, plan.settings.run_key)
            held.callback(journal.close)
            refuse_shortened(journal, plan.artifacts, paths)
            story = read_story(journal)
            core = core_of(plan, paths, story)
            gap = taken_up(core, journal, story, paths, link.clock.now())
            resumed = story.last is not None
            scribe = Scribe(
                paths,
                watcher,
                core,
                commits=journal.commits,
                frames_total=plan.manifest.frames_hint,
                resumed=resumed,
                seconds=self._seconds,
            )
            held.callback(scribe.close)
            scribe.catch_up()
            tape = opened_tape(paths, story, plan.manifest)
            held.callback(tape.close)
            if scribe.tally.sealed is not None:
                result = msgspec.structs.replace(
                    day_result(core, plan.manifest, scribe.tally, paths, plan),
                    already_finished=True,
                )
                watcher.finished(result)
                return result
            alerts = await held.enter_async_context(self._alerts(paths, scribe, journal))
            day = LiveDay(
                core,
                feed=link.feed,
                broker=broker,
                journal=journal,
                tape=tape,
                clock=link.clock,
                follower=alerts.follower,
                inbox=story.last.inbox if story.last is not None else 0,
                feed_position=story.last.feed_position if story.last is not None else 0,
                heard=story.heard,
                silent_after=plan.silent_after,
            )
            terms = terms_of(plan, core, await link.account())
            armed = await self._armed(core, terms, link.clock.now(), attempt)
            history = {} if resumed else await link.load_history(core.strategies.history_needed())
            watcher.started(self._started(paths, resumed_at=core.state.now if resumed else None))
            if resumed:
                broker.resume(
                    core.orders.table.values(), waiting_changes(core, story), sent_today(journal)
                )
            broker.start()
            try:
                over = TakenOver()
                if not resumed:
                    over = await carried_in(plan.opening, plan.overnight, link, plan.settings)
                opening = over.opening
                self._begin(day, history, gap, opening)
                for stop in over.stops:
                    day.record(stop)
                for sentence in over.unprotected:
                    day.note(f"{LIVE_NOTE}{UNPROTECTED}", sentence)
                self._tell_arming(day, armed, attempt)
                async with AsyncExitStack() as companions:
                    # First of all: whatever leaves from here on is shown to the guard before.
                    pulse = Pulse(plan.artifacts, self.fence)
                    await companions.enter_async_context(pulse.attend(day, paths))
                    if resumed:
                        await day.look_before_sending()
                    else:
                        await day.look_at_the_books()
                    if opening is not None and opening.positions:
                        # A difference is certain when it was seen twice; nothing is sent before.
                        await day.look_at_the_books()
                    self._day = day
                    for fact in self._early:
                        self._hear(fact)
                    if self._stop_asked:
                        self.stop()
                    standing = StandingStops(link.triggers, outstanding(_facts(journal)))
                    for each in (standing, *self._beside, *link.beside):
                        await companions.enter_async_context(each.attend(day, paths))
                    await day.run()
                if not day.interrupted:
                    asked = outstanding(_facts(journal))
                    await leave_stops(link.triggers, day, link.clock.now(), asked)
            finally:
                await broker.close()
            self._finish(day, scribe)
            result = msgspec.structs.replace(
                day_result(core, plan.manifest, scribe.tally, paths, plan),
                interrupted=day.interrupted,
                resumed=resumed,
                ticks=day.ticks,
                wall_s=wall_seconds() - began,
                notes=plan.manifest.notes
                + plan.notes
                + tuple(left_open(core))
                + await alerts.close(),
            )
            scribe.write()
            content = msgspec.json.format(_SUMMARY.encode(result.summary()))
            write_atomically(paths.summary, content + b"\n")
            watcher.finished(result)
            return result

    def _alerts(self, paths: RunPaths, scribe: Scribe, journal: SqliteJournal) -> LiveAlerts:
        plan = self._plan
        return LiveAlerts(
            plan.alerts,
            first=scribe,
            folder=paths.folder,
            title=f"Kitestring LIVE {plan.settings.date}",
            opens_at=min(session.open_at for session in plan.sessions.values()),
            commits=journal.commits(),
        )

    # ── arming ───────────────────────────────────────────────────────────────────────────────

    async def _armed(
        self, core: TradingCore, terms: Terms, now: Instant, attempt: int
    ) -> Armed | None:
        """The arming of this day, asked for where there is none; ``None`` is reduce-only.

        Raises ``ConfigError`` where nothing is armed and nothing is owned: there is nothing to do.
        """
        kept = self.arming.read()
        standing = arming.standing(kept, terms)
        # What is carried is no position of the core's yet; it needs care all the same.
        owned = bool(terms.open_positions) or any(core.orders.all_working())
        if attempt == 1 and terms.halted:
            # Nothing may be armed over it: a person takes it away first.
            if owned:
                return None
            raise ConfigError(
                f"{terms.halted} Nothing is armed while HALT stands, and nothing is open here.",
                do="kitestring halt --lift, once you know why it was written; then start again",
            )
        if standing is arming.Standing.ARMED and not arming.refusals(terms):
            assert kept is not None
            return self._in_use(kept)
        if attempt > 1:
            # The same process goes on, without entries: nobody has to type anything for that.
            return self._armed_here
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
        opening: DayOpening | None,
    ) -> None:
        plan, core = self._plan, day.core
        if gap is not None:
            # In one commit with the note: the next start would find no gap any more.
            core.step(gap)
            day.note("resumed", f"Resumed after frame {day.feed_position}.")
            if plan.tightened:
                day.note(TIGHTENED, f"Tightened: {'; '.join(plan.tightened)}.")
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
        if opening is not None:
            core.step(opening)
        for (instrument, minutes), bars in history.items():
            if bars:
                core.step(history_event(instrument, minutes, bars, plan.manifest.name))
        day.note("opened", f"The day is open: {plan.manifest.name}.")
        for sentence in plan.said:
            day.note(f"{LIVE_NOTE}the day before", sentence)

    def _finish(self, day: LiveDay, scribe: Scribe) -> None:
        core, tally = day.core, scribe.tally
        kept = self.arming.read()
        if day.interrupted:
            left = left_open(core)
            said = " ".join(left) if left else "Nothing is open."
            day.note("interrupted", f"Stopped by the operator; the same command goes on. {said}")
            if self.fence.fallen:
                day.note(f"{LIVE_NOTE}guard acted", f"The day ended here: {self.fence.fallen}.")
                self.arming.clear()
            elif kept is not None and self._armed_here is not None:
                # One that a dead house left in use stays so: nobody has read the terms since.
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
        if self._day is None:
            self._early.append(fact)
        elif isinstance(fact, Note):
            self._day.hear(msgspec.structs.replace(fact, kind=f"{LIVE_NOTE}{fact.kind}"))
        else:
            self._day.hear(fact)

    def _fenced(self) -> str:
        """Asked just before anything leaves; once the guard has taken over, the day ends as well."""
        why = self.fence.look()
        if why and self._day is not None:
            self._day.stop()
        return why

    def _entries_stopped(self) -> str:
        """Asked just before an entry leaves, however long it waited for its turn."""
        unguarded = self._unguarded()
        if unguarded:
            return unguarded
        if self.halts.stands:
            halt = self.halts.read()
            if halt is not None:
                return halt.sentence
        day = self._day
        if day is None:
            return "the day is not running"
        halted = day.core.risk.state.halted
        return halted.sentence if halted is not None else day.core.state.untrusted
