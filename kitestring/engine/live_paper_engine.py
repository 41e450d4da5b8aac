"""A day on paper on the market of this very moment: live's loop and ticks, paper's matcher.

This file only wires. The loop is the live day's (``engine.live_day``): the wall clock rings the bars
closed, a feed that breaks is begun again, a silence is a gap. The broker is ``PaperBroker``, with a
ledger of its own; there is no account, nothing to arm, and no object here that could send an order.
A day taken up again goes on with what comes now: what was missed meanwhile is a gap in the record.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Protocol

import msgspec

from kitestring.broker.paper_broker import PaperBroker
from kitestring.core.history import history_event
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import ChargeBook
from kitestring.domain.errors import HouseError, StoreError
from kitestring.domain.events import Gap, Note, OperatorCommand, OperatorWord
from kitestring.domain.instants import MINUTE, NEVER
from kitestring.domain.instruments import Segment
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import TickFrame
from kitestring.engine.alert_channels import Channel
from kitestring.engine.clocks import wall_now, wall_seconds
from kitestring.engine.day_alerts import DayAlerts
from kitestring.engine.day_record import bands_in, closes_before, opened_on_paper, sealed
from kitestring.engine.day_result import day_result
from kitestring.engine.kite_market import Bars, Wanted
from kitestring.engine.leaving import stopping_on_signals
from kitestring.engine.live_day import LiveClock, LiveDay, LiveFeed
from kitestring.engine.live_recovery import taken_up
from kitestring.engine.recovery import Story, forgotten, read_story, still_unanswered
from kitestring.engine.replay import LIVE_NOTE
from kitestring.engine.scribe import Scribe
from kitestring.engine.settled_garbage import settled_garbage
from kitestring.engine.watching import DayResult, DayStarted, Watcher
from kitestring.exchange.fill_models import FillModel
from kitestring.exchange.margin import StatedMargins
from kitestring.store.atomic_file import write_atomically
from kitestring.store.exchange_ledger import FileLedger
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.journal import SqliteJournal
from kitestring.store.paths import RunPaths, open_run
from kitestring.store.tape import FileTape
from kitestring.store.tape_reader import TapeReader

FAULTS_MAX = 2
"""A second failure of the house itself on one day ends the day."""
_SUMMARY = msgspec.json.Encoder(decimal_format="number")


class LivePaperPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the day is made of, decided before it starts."""

    settings: DaySettings
    manifest: Manifest
    sessions: dict[Segment, Session]
    """The market's sessions with our own cut-offs."""
    definitions: dict[str, StrategyDefinition]
    charge_book: ChargeBook
    fill_model: FillModel
    seed: int
    artifacts: Path
    config_hash: str
    notes: tuple[str, ...] = ()
    fresh: bool = False
    alerts: tuple[Channel, ...] = ()


class Market(Protocol):
    """The market of one day, opened: ticks, candles, and what time it is."""

    @property
    def feed(self) -> LiveFeed:
        """Where ticks come from."""
        ...

    @property
    def clock(self) -> LiveClock:
        """What time it is at the exchange."""
        ...

    async def load_history(self, needed: Wanted) -> Bars:
        """Closed bars from before; raises rather than give half of them."""
        ...


OpenMarket = Callable[[Callable[[Gap | Note], None]], AbstractAsyncContextManager[Market]]


class LivePaperEngine:
    """Runs, or takes up again, one paper day on live ticks."""

    def __init__(self, plan: LivePaperPlan, open_market: OpenMarket) -> None:
        self._plan = plan
        self._open_market = open_market
        self._day: LiveDay | None = None
        self._stop_asked = False
        self._early: list[Gap | Note] = []
        """What the feed said before the day was there to hear it."""
        self._fault = ""

    def run(self, watcher: Watcher) -> DayResult:
        """Trade the day to its end (or to Ctrl-C) and say how it went."""
        return asyncio.run(self.start(watcher))

    async def start(self, watcher: Watcher) -> DayResult:
        """As ``run``, inside a running loop."""
        plan = self._plan
        with ExitStack() as held:
            held.enter_context(InstanceLock(plan.artifacts, started_at=wall_now(), name="paper"))
            paths = open_run(
                plan.artifacts,
                mode="paper",
                date=plan.settings.date,
                run_key=plan.settings.run_key,
                fresh=plan.fresh,
            )
            held.enter_context(stopping_on_signals(self.stop, self.stop))
            return await self._run_in(paths, watcher)

    def stop(self) -> None:
        """Stop after the thing in hand; what was traded is kept, and resumable."""
        self._stop_asked = True
        if self._day is not None:
            self._day.stop()

    # ── one day ──────────────────────────────────────────────────────────────────────────────

    async def _run_in(self, paths: RunPaths, watcher: Watcher) -> DayResult:
        for attempt in range(1, FAULTS_MAX + 1):
            self._early.clear()
            try:
                async with self._open_market(self._hear) as market:
                    return await self._attempt(paths, market, watcher, attempt)
            except HouseError:
                raise
            # The day's loop is one of the two places that may catch everything: a bug of ours
            # costs the day's entries, never its record.
            except Exception as fault:
                if attempt == FAULTS_MAX:
                    raise HouseError(
                        f"The house failed twice today ({fault!r}); the day is ended. "
                        f"Its record is whole: {paths.folder}",
                        do="please report this with the folder; --fresh starts another run",
                    ) from fault
                self._fault = "".join(traceback.format_exception_only(fault)).strip()
            finally:
                self._day = None
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(
        self, paths: RunPaths, market: Market, watcher: Watcher, attempt: int
    ) -> DayResult:
        plan, began = self._plan, wall_seconds()
        with ExitStack() as held:
            journal = SqliteJournal(paths.journal, run_key=plan.settings.run_key)
            held.callback(journal.close)
            story = read_story(journal)
            core = self._core(paths, story)
            gap = taken_up(core, journal, story, paths, market.clock.now())
            resumed = story.last is not None
            ledger = FileLedger(paths.exchange_ledger)
            held.callback(ledger.close)
            broker = self._broker(core, ledger)
            if resumed:
                _recover(core, broker, ledger, paths, story)
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
            result = day_result(core, plan.manifest, scribe.tally, paths, plan)
            if scribe.tally.sealed is not None:
                result = msgspec.structs.replace(result, already_finished=True)
                watcher.finished(result)
                return result
            alerts = self._alerts(paths, scribe, journal)
            if alerts is not None:
                held.enter_context(alerts)
            day = LiveDay(
                core,
                feed=market.feed,
                broker=broker,
                journal=journal,
                tape=tape,
                clock=market.clock,
                follower=alerts or scribe,
                inbox=story.last.inbox if story.last is not None else 0,
                # What the exchange has matched beyond our last commit is not matched again.
                feed_position=max(story.last.feed_position, broker.position) if story.last else 0,
                heard=story.heard,
            )
            history = {} if resumed else await market.load_history(core.strategies.history_needed())
            watcher.started(self._started(paths, resumed_at=core.state.now if resumed else None))
            for unanswered in still_unanswered(core, story) if resumed else ():
                broker.carry_out(unanswered.command, unanswered.at)
            self._begin(day, history, gap, attempt)
            self._day = day
            for fact in self._early:
                self._hear(fact)
            if self._stop_asked:
                day.stop()
            with settled_garbage():
                await day.run()
            if day.interrupted:
                day.note("interrupted", "Stopped by the operator; the same command goes on.")
            else:
                day.record(sealed(core, scribe.tally))
            scribe.write()
            result = msgspec.structs.replace(
                day_result(core, plan.manifest, scribe.tally, paths, plan),
                interrupted=day.interrupted,
                resumed=resumed,
                ticks=day.ticks,
                wall_s=wall_seconds() - began,
            )
            if alerts is not None:
                result = msgspec.structs.replace(result, notes=result.notes + alerts.close())
            content = msgspec.json.format(_SUMMARY.encode(result.summary()))
            write_atomically(paths.summary, content + b"\n")
            watcher.finished(result)
            return result

    def _core(self, paths: RunPaths, story: Story) -> TradingCore:
        plan = self._plan
        # Bands move in the day. A day taken up again keeps those it began with, as its replay does.
        began = plan.manifest if story.last is None else TapeReader(paths.tape).manifest
        return TradingCore(
            plan.settings,
            instruments=plan.manifest.instruments,
            sessions=plan.sessions,
            definitions=plan.definitions,
            charge_book=plan.charge_book,
            margins=StatedMargins(),
            previous_close=closes_before(plan.manifest),
            price_bands=bands_in(began),
        )

    def _broker(self, core: TradingCore, ledger: FileLedger) -> PaperBroker:
        plan = self._plan
        return PaperBroker(
            instruments=core.instruments,
            sessions=plan.sessions,
            charges=plan.charge_book,
            cash=plan.settings.capital,
            fill_model=plan.fill_model,
            seed=plan.seed,
            ledger=ledger,
            own_clock=True,
        )

    def _tape(self, paths: RunPaths, story: Story) -> FileTape:
        if story.last is None:
            # Killed before its first commit: what the tape holds was never part of the day.
            paths.tape.unlink(missing_ok=True)
            return FileTape.begin(paths.tape, self._plan.manifest, durable=True)
        end = TapeReader(paths.tape).end()
        if end < story.last.tape_offset:
            return FileTape.reopen(paths.tape, end)
        return FileTape.resume(paths.tape, story.last.tape_offset, story.last.tape_hash)

    def _alerts(self, paths: RunPaths, scribe: Scribe, journal: SqliteJournal) -> DayAlerts | None:
        plan = self._plan
        if not plan.alerts:
            return None
        opens_at = min(session.open_at for session in plan.sessions.values())
        return DayAlerts(
            plan.alerts,
            first=scribe,
            folder=paths.folder,
            title=f"Kitestring paper {plan.settings.date}",
            alive_at=opens_at - MINUTE,
            commits=journal.commits(),
        )

    def _begin(self, day: LiveDay, history: Bars, gap: Gap | None, attempt: int) -> None:
        plan, core = self._plan, day.core
        if gap is not None:
            # In one commit with the note: the next start would find no gap any more.
            core.step(gap)
            day.note("resumed", f"Resumed after frame {day.feed_position}.")
        else:
            core.facts.append(
                opened_on_paper(
                    plan.settings,
                    feed=plan.manifest.name,
                    capital=plan.settings.capital,
                    seed=plan.seed,
                    config_hash=plan.config_hash,
                    definitions=plan.definitions,
                    fill_model=plan.fill_model,
                    charge_book=plan.charge_book,
                    sessions=plan.sessions,
                )
            )
            for (instrument, minutes), bars in history.items():
                if bars:
                    core.step(history_event(instrument, minutes, bars, plan.manifest.name))
            day.note("opened", f"The day is open: {plan.manifest.name}.")
        if attempt > 1:
            day.tell(
                OperatorCommand(
                    at=core.state.now,
                    word=OperatorWord.FAULT,
                    reason=f"The house failed and was rebuilt from its journal ({self._fault});"
                    " positions stay protected, no new ones are taken today.",
                )
            )

    def _started(self, paths: RunPaths, *, resumed_at: int | None) -> DayStarted:
        plan = self._plan
        return DayStarted(
            date=plan.settings.date,
            mode="paper",
            run=paths.folder.name,
            feed=plan.manifest.name,
            fill_model=plan.fill_model.sentence,
            charges_name=plan.charge_book.name,
            capital=plan.settings.capital,
            strategies=tuple(row.name for row in plan.settings.strategies),
            artifacts=str(plan.artifacts),
            stand_ins=plan.manifest.stand_ins,
            notes=plan.manifest.notes + plan.notes,
            resumed_at=resumed_at,
            speed=1.0,
            opens_at=min(session.open_at for session in plan.sessions.values()),
            closes_at=max(session.close_at for session in plan.sessions.values()),
        )

    def _hear(self, fact: Gap | Note) -> None:
        if self._day is None:
            self._early.append(fact)
        elif isinstance(fact, Note):
            self._day.hear(msgspec.structs.replace(fact, kind=f"{LIVE_NOTE}{fact.kind}"))
        else:
            self._day.hear(fact)


def _recover(
    core: TradingCore, broker: PaperBroker, ledger: FileLedger, paths: RunPaths, story: Story
) -> None:
    """Give the exchange its books and its last quotes back. Raises ``StoreError`` if it cannot be."""
    assert story.last is not None
    broker.recover(ledger.records, story.last.at, story.last.feed_position)
    lost = forgotten(core, broker.snapshot(NEVER))
    if lost:
        raise StoreError(
            f"The exchange's ledger {paths.exchange_ledger} has lost what the journal holds "
            f"({lost}).",
            do="restore the file from a backup, or start another run with --fresh",
        )
    reader = TapeReader(paths.tape)
    whole = min(story.last.tape_offset, reader.end())
    position, before = 0, 0
    for _, frame in reader.records(whole):
        if not isinstance(frame, TickFrame):
            continue
        # The parts of a frame that a timer split lie on the tape one by one; it was shown whole.
        position += frame.received_at != before or position == 0
        before = frame.received_at
        if position > story.last.feed_position:
            break
        broker.observe(position, frame)
