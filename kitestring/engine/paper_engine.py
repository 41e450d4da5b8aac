"""A day on paper: the same house as live, with a matcher in place of a brokerage.

This file only wires. There is no order transport here at all: the broker is ``PaperBroker``, the
exchange's own matcher in process, with a ledger of its own that survives us.
"""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import msgspec

from kitestring.broker.paper_broker import PaperBroker
from kitestring.core.history import history_event
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import ChargeBook
from kitestring.domain.errors import HouseError, StoreError
from kitestring.domain.events import DayOpening, Gap, OperatorCommand, OperatorWord
from kitestring.domain.instants import MINUTE, NEVER
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.ports import Feed, Journal
from kitestring.domain.sessions import Session
from kitestring.engine.alert_channels import Channel
from kitestring.engine.clocks import Throttle, wall_now, wall_seconds
from kitestring.engine.day_alerts import DayAlerts
from kitestring.engine.day_record import carried_positions, closes_before, opened_on_paper, sealed
from kitestring.engine.day_result import day_result
from kitestring.engine.helm import Helm
from kitestring.engine.recovery import Story, forgotten, read_story, restore, still_unanswered
from kitestring.engine.scribe import Scribe
from kitestring.engine.settled_garbage import settled_garbage
from kitestring.engine.trading_day import TradingDay
from kitestring.engine.watching import Attendant, DayResult, DayStarted, Watcher
from kitestring.exchange.fill_models import FillModel
from kitestring.exchange.margin import StatedMargins
from kitestring.store.atomic_file import write_atomically
from kitestring.store.exchange_ledger import FileLedger
from kitestring.store.held_journal import HeldJournal
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.journal import SqliteJournal
from kitestring.store.paths import RunPaths, open_run
from kitestring.store.tape import FileTape
from kitestring.store.tape_reader import TapeReader

_Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

_SUMMARY = msgspec.json.Encoder(decimal_format="number")

FAULTS_MAX = 2
"""A second failure of the house itself on one day ends the day."""


class PaperPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a paper day is made of, decided before it starts."""

    settings: DaySettings
    feed: Feed
    sessions: Mapping[Segment, Session]
    """The feed's sessions with our own cut-offs."""
    notes: tuple[str, ...]
    """Sentences for the report, besides the feed's own."""
    definitions: Mapping[str, StrategyDefinition]
    charge_book: ChargeBook
    fill_model: FillModel
    seed: int
    speed: float | None
    """Market seconds per second; ``None`` is as fast as possible."""
    artifacts: Path
    config_hash: str
    fresh: bool = False
    opening: DayOpening | None = None
    """What the day before handed over; ``None`` for a day that begins with the configured capital."""
    of_bars: bool = False
    """The feed is of recorded bars, not of ticks."""
    held: bool = False
    """A day of the past, played as fast as possible: its journal is put on disk whole, at its seal
    (docs/decisions/0009). Interrupted, it is traded again from its opening."""
    quiet: bool = False
    """One of many days: the familiar paths are not touched."""
    alerts: tuple[Channel, ...] = ()
    """Ways to tell somebody who is not looking; none by default."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The feed's instruments, and what is carried although the feed no longer knows it."""
        listed = self.feed.manifest.instruments
        known = {instrument.id for instrument in listed}
        carried = self.opening.positions if self.opening is not None else ()
        strangers = {
            position.instrument.id: position.instrument
            for position in carried
            if position.instrument.id not in known
        }
        return (*listed, *strangers.values())


class PaperEngine:
    """Runs, or takes up again, one paper day."""

    def __init__(self, plan: PaperPlan) -> None:
        self._plan = plan
        self._day: TradingDay | None = None
        self._held: HeldJournal | None = None
        self._throttle = Throttle(plan.speed)

    def stop(self) -> None:
        """Ask the day to stop after the frame in hand; what was traded is kept, and resumable."""
        if self._day is not None:
            self._day.stopping = True
            self._throttle.release()  # a slow or paused day must not wait for its next tick

    @property
    def held(self) -> bool:
        """Whether this is a day of the past that is traded again if it is interrupted."""
        return self._plan.held

    @property
    def held_journal(self) -> HeldJournal | None:
        """The journal of a day that was held in memory; ``None`` for any other."""
        return self._held

    def run(self, watcher: Watcher) -> DayResult:
        """Trade the day to its end (or to Ctrl-C) and say how it went."""
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
            with settled_garbage(), stopping_on_ctrl_c(self.stop):
                return self.run_in(paths, watcher)

    def run_in(self, paths: RunPaths, watcher: Watcher) -> DayResult:
        """Trade the day in a folder whose lock is held by whoever calls."""
        for attempt in range(1, FAULTS_MAX + 1):
            try:
                return self._attempt(paths, watcher, attempt)
            except HouseError:
                raise
            # The day's loop is one of the two places that may catch everything: a bug of ours
            # costs the day's entries, never its record and never the care for what is open.
            except Exception as fault:
                if attempt == FAULTS_MAX:
                    raise HouseError(
                        f"The house failed twice today ({fault!r}); the day is ended. "
                        f"Its record is whole: {paths.folder}",
                        do="please report this with the folder; --fresh starts another run",
                    ) from fault
                self._fault = "".join(traceback.format_exception_only(fault)).strip()
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempt(self, paths: RunPaths, watcher: Watcher, attempt: int) -> DayResult:
        plan, began = self._plan, wall_seconds()
        manifest = plan.feed.manifest
        with ExitStack() as held:
            journal = self._journal(paths)
            held.callback(journal.close)
            story = read_story(journal)
            core = TradingCore(
                plan.settings,
                instruments=plan.instruments,
                sessions=plan.sessions,
                definitions=plan.definitions,
                charge_book=plan.charge_book,
                margins=StatedMargins(),
                previous_close=closes_before(manifest),
            )
            ledger = FileLedger(paths.exchange_ledger, durable=not plan.held)
            held.callback(ledger.close)
            broker = PaperBroker(
                instruments=core.instruments,
                sessions=plan.sessions,
                charges=plan.charge_book,
                cash=plan.settings.capital if plan.opening is None else plan.opening.equity,
                fill_model=plan.fill_model,
                seed=plan.seed,
                ledger=ledger,
                opening=carried_positions(plan.opening),
                bars=plan.of_bars,
            )
            resumed = story.last is not None
            scribe = Scribe(
                paths,
                watcher,
                core,
                commits=journal.commits,
                frames_total=manifest.frames_hint,
                resumed=resumed,
                quiet=plan.quiet,
            )
            held.callback(scribe.close)
            gap = None
            if story.last is not None:
                gap = self._recover(
                    core, broker, journal=journal, ledger=ledger, paths=paths, story=story
                )
            scribe.catch_up()
            tape = self._tape(paths, story)
            tape.durable = not plan.held
            held.callback(tape.close)
            alerts = self._alerts(paths, scribe, journal)
            if alerts is not None:
                held.enter_context(alerts)
            day = self._day = TradingDay(
                core,
                feed=plan.feed,
                broker=broker,
                journal=journal,
                tape=tape,
                pace=self._throttle,
                follower=alerts or scribe,
                inbox=story.last.inbox if story.last is not None else 0,
                feed_position=story.last.feed_position if story.last is not None else 0,
                frame_left=story.last.frame_left if story.last is not None else 0,
                heard=story.heard,
            )
            if scribe.tally.sealed is not None:
                result = day_result(core, manifest, scribe.tally, paths, plan)
                result = msgspec.structs.replace(result, already_finished=True)
                if not paths.summary.exists():
                    scribe.write()
                    _write_summary(paths, result)
                watcher.finished(result)
                return result
            watcher.started(self._started(paths, resumed_at=core.state.now if resumed else None))
            if resumed:
                for unanswered in still_unanswered(core, story):
                    broker.carry_out(unanswered.command, unanswered.at)
                if gap is not None:
                    # In one commit with the note: the next start would find no gap any more.
                    core.step(gap)
                day.note("resumed", f"Resumed after frame {day.feed_position}.")
            else:
                self._open(day)
            if attempt > 1:
                day.tell(
                    OperatorCommand(
                        at=core.state.now,
                        word=OperatorWord.FAULT,
                        reason=f"The house failed and was rebuilt from its journal ({self._fault});"
                        " positions stay protected, no new ones are taken today.",
                    )
                )
            asyncio.run(self._run_watched(day, scribe, watcher))
            if day.interrupted:
                day.note("interrupted", "Stopped by the operator; the same command goes on.")
            else:
                day.record(sealed(core, scribe.tally))
                if isinstance(journal, HeldJournal):
                    journal.write()
            scribe.write()
            result = day_result(core, manifest, scribe.tally, paths, plan)
            result = msgspec.structs.replace(
                result,
                notes=result.notes + (alerts.close() if alerts is not None else ()),
                interrupted=day.interrupted,
                resumed=resumed,
                ticks=day.ticks,
                wall_s=wall_seconds() - began,
            )
            _write_summary(paths, result)
            watcher.finished(result)
            return result

    def _alerts(
        self, paths: RunPaths, scribe: Scribe, journal: SqliteJournal | HeldJournal
    ) -> DayAlerts | None:
        plan = self._plan
        if not plan.alerts or scribe.tally.sealed is not None:
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

    def _journal(self, paths: RunPaths) -> SqliteJournal | HeldJournal:
        run_key = self._plan.settings.run_key
        if not self._plan.held or paths.journal.exists():
            return SqliteJournal(paths.journal, run_key=run_key)
        if self._held is None:
            # What an interrupted try left was never part of the day.
            paths.exchange_ledger.unlink(missing_ok=True)
            self._held = HeldJournal(paths.journal, run_key=run_key)
        return self._held

    def _recover(
        self,
        core: TradingCore,
        broker: PaperBroker,
        *,
        journal: Journal,
        ledger: FileLedger,
        paths: RunPaths,
        story: Story,
    ) -> Gap | None:
        """Restore house and exchange; what the tape lost to a power failure comes back as a gap."""
        assert story.last is not None
        reader = TapeReader(paths.tape)
        whole = min(story.last.tape_offset, reader.end())
        taped_to = restore(core, journal, story, reader.records(whole))
        broker.recover(ledger.records, story.last.at, story.last.feed_position)
        lost = forgotten(core, broker.snapshot(NEVER))
        if lost:
            raise StoreError(
                f"The exchange's ledger {paths.exchange_ledger} has lost what the journal holds "
                f"({lost}).",
                do="restore the file from a backup, or start another run with --fresh",
            )
        # The exchange saw every frame; seeing them again gives it back its quotes.
        for position, frame in enumerate(self._plan.feed.frames(), 1):
            if position > story.last.feed_position and frame.received_at > story.last.at:
                break
            broker.observe(position, frame)
        if whole == story.last.tape_offset:
            return None
        return Gap(
            start_at=taped_to,
            end_at=story.last.at,
            reason="the tape was not on disk when the power went",
        )

    def _tape(self, paths: RunPaths, story: Story) -> FileTape:
        """The tape up to the last commit; what came after it comes again from the feed."""
        if story.last is not None:
            end = TapeReader(paths.tape).end()
            if end < story.last.tape_offset:
                # The power went before the tape was on disk: what is missing is a known gap.
                return FileTape.reopen(paths.tape, end)
            return FileTape.resume(paths.tape, story.last.tape_offset, story.last.tape_hash)
        # Killed before its first commit: what the tape holds was never part of the day.
        paths.tape.unlink(missing_ok=True)
        return FileTape.begin(paths.tape, self._plan.feed.manifest)

    def _open(self, day: TradingDay) -> None:
        plan, manifest = self._plan, self._plan.feed.manifest
        settings = plan.settings
        day.core.facts.append(
            opened_on_paper(
                settings,
                feed=manifest.name,
                capital=settings.capital if plan.opening is None else plan.opening.equity,
                seed=plan.seed,
                config_hash=plan.config_hash,
                definitions=plan.definitions,
                fill_model=plan.fill_model,
                charge_book=plan.charge_book,
                sessions=plan.sessions,
            )
        )
        if plan.opening is not None:
            day.core.step(plan.opening)
        for instrument, minutes, bars in day.core.strategies.history_needed():
            loaded = plan.feed.history(instrument, minutes, bars)
            if loaded:
                # Not told one by one: the opening is one commit, so that it is whole or not there.
                day.core.step(history_event(instrument, minutes, loaded, manifest.name))
        day.note("opened", f"The day is open: {manifest.name}.")

    async def _run_watched(self, day: TradingDay, scribe: Scribe, watcher: Watcher) -> None:
        """Trade; whoever attends may look and steer, and has let go when this returns or fails."""
        with ExitStack() as attending:
            if isinstance(watcher, Attendant):
                helm = Helm(self._throttle, self.stop)
                attending.enter_context(watcher.attending(helm, scribe.view))
            await day.run()

    def _started(self, paths: RunPaths, *, resumed_at: int | None) -> DayStarted:
        plan, manifest = self._plan, self._plan.feed.manifest
        return DayStarted(
            date=manifest.date,
            mode="paper",
            run=paths.folder.name,
            feed=manifest.name,
            fill_model=plan.fill_model.sentence,
            charges_name=plan.charge_book.name,
            capital=plan.settings.capital if plan.opening is None else plan.opening.equity,
            strategies=tuple(row.name for row in plan.settings.strategies),
            artifacts=str(plan.artifacts),
            stand_ins=manifest.stand_ins,
            notes=manifest.notes + plan.notes,
            resumed_at=resumed_at,
            speed=plan.speed,
            opens_at=min(session.open_at for session in plan.sessions.values()),
            closes_at=max(session.close_at for session in plan.sessions.values()),
        )

    _fault: str = ""


def _write_summary(paths: RunPaths, result: DayResult) -> None:
    content = msgspec.json.format(_SUMMARY.encode(result.summary()))
    write_atomically(paths.summary, content + b"\n")


@contextmanager
def stopping_on_ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) stops after the frame in hand; a second one stops at once."""
    before: list[tuple[signal.Signals, _Handler]] = []

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop()
        for number, handler in before:
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before.append((number, signal.signal(number, asked)))
        except ValueError:  # Not the main thread: whoever runs us there stops us another way.
            break
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
