"""Many days, one after the other: each opens with exactly what the one before it sealed.

The chain is folders, not memory: a group has a folder of its own, laid out like an artifacts folder,
and in it every day has its run. What is sealed there is done; the first day that is not is taken up
or traded again, from the hand-over in the last seal. So it makes no difference whether the days ran
through, were stopped between two of them, or were killed in the middle of one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import msgspec

from kitestring.domain.events import DayOpening, Fact
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money
from kitestring.domain.positions import RoundTrip
from kitestring.engine.clocks import wall_now, wall_seconds
from kitestring.engine.day_rows import DayRow, DaysResult, FinishedDay, finished_day
from kitestring.engine.paper_engine import (
    PaperEngine,
    PaperPlan,
    stopping_on_ctrl_c,
)
from kitestring.engine.settled_garbage import settled_garbage
from kitestring.engine.watching import DayResult, DaySnapshot, DayStarted
from kitestring.store.atomic_file import copy_atomically, write_atomically
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.journal import read_commits, sealed_by
from kitestring.store.ledgers import day_trades_table
from kitestring.store.paths import RunPaths, next_group

PlanOf = Callable[[dt.date, DayOpening | None], PaperPlan]
"""The plan of one day, given what the day before handed over."""

_SUMMARY = msgspec.json.Encoder(decimal_format="number")


class DaysPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a chain of paper days is made of, decided before it starts."""

    days: tuple[dt.date, ...]
    plan_of: PlanOf
    artifacts: Path
    feed: str
    """The market of all the days, in words."""
    notes: tuple[str, ...]
    fresh: bool = False


class DaysStarted(msgspec.Struct, frozen=True, kw_only=True):
    """What the days are made of, said before the first of them."""

    first: dt.date
    last: dt.date
    days: int
    finished: int
    """Days that an earlier start already sealed."""
    run: str
    feed: str
    fill_model: str
    charges_name: str
    capital: Money
    strategies: tuple[str, ...]
    stand_ins: tuple[str, ...]
    notes: tuple[str, ...]


class DaysWatcher(Protocol):
    """Somebody who looks on."""

    def days_started(self, days: DaysStarted) -> None:
        """The days are set up."""
        ...

    def day_passing(self, date: dt.date, done: int, at: Instant, snapshot: DaySnapshot) -> None:
        """``done`` days are finished, and the market clock of ``date`` is at ``at``."""
        ...

    def day_finished(self, row: DayRow, done: int) -> None:
        """One day is sealed."""
        ...

    def days_finished(self, result: DaysResult) -> None:
        """All days are over, or were interrupted cleanly."""
        ...


class ManyDays:
    """Runs, or takes up again, a chain of paper days."""

    def __init__(self, plan: DaysPlan) -> None:
        self._plan = plan
        self._engine: PaperEngine | None = None
        self._stopping = False

    def stop(self) -> None:
        """Ask the days to stop: a day of the past is finished first, a long one after its frame."""
        self._stopping = True
        if self._engine is not None and not self._engine.held:
            self._engine.stop()

    def run(self, watcher: DaysWatcher) -> DaysResult:
        """Trade the days to their end (or to Ctrl-C) and say how they went."""
        plan, began = self._plan, wall_seconds()
        first = plan.plan_of(plan.days[0], None)
        key = _group_key(first.settings.run_key, plan.days)
        with ExitStack() as at_work:
            lock = InstanceLock(plan.artifacts, started_at=wall_now(), name="paper")
            at_work.enter_context(lock)
            group = next_group(
                plan.artifacts,
                first=plan.days[0],
                last=plan.days[-1],
                group_key=key,
                fresh=plan.fresh,
            )
            finished = self._finished(group, key)
            done_before = len(finished)
            watcher.days_started(self._started(first, group, done_before))
            at_work.enter_context(settled_garbage())
            at_work.enter_context(stopping_on_ctrl_c(self.stop))
            for number in range(done_before, len(plan.days)):
                if self._stopping:
                    break
                day = self._trade(group, key, number, finished, watcher)
                if day is None:
                    break
                finished.append(day)
                watcher.day_finished(day.row, number + 1)
            complete = len(finished) == len(plan.days)
            result = DaysResult(
                first=plan.days[0],
                last=plan.days[-1],
                days=len(plan.days),
                rows=tuple(day.row for day in finished),
                mode="paper",
                run=group.name,
                feed=plan.feed,
                fill_model=first.fill_model.sentence,
                charges_name=first.charge_book.name,
                stand_ins=first.feed.manifest.stand_ins,
                notes=plan.notes + first.notes,
                interrupted=not complete,
                already_finished=complete and done_before == len(plan.days),
                wall_s=wall_seconds() - began,
                artifacts=_artifacts(group, plan.artifacts, complete=complete),
            )
            self._write(group, result, [day.trades for day in finished])
            if complete:
                _show(group, plan.artifacts, plan.days[-1])
        watcher.days_finished(result)
        return result

    def _paths(self, group: Path, key: str, date: dt.date) -> RunPaths:
        return RunPaths(artifacts=group, mode="paper", date=date, run_key=_day_key(key, date))

    def _finished(self, group: Path, key: str) -> list[FinishedDay]:
        """The days that are sealed, from the first one on, up to the first that is not."""
        found: list[FinishedDay] = []
        for date in self._plan.days:
            paths = self._paths(group, key, date)
            # The summary is written last: without it the day's tables may be behind its journal.
            if not paths.journal.exists() or not paths.summary.exists():
                break
            day = finished_day(paths.folder.name, read_commits(paths.journal))
            if day is None:
                break
            found.append(day)
        return found

    def _trade(
        self,
        group: Path,
        key: str,
        number: int,
        finished: list[FinishedDay],
        watcher: DaysWatcher,
    ) -> FinishedDay | None:
        """One day of the chain; ``None`` if it was interrupted."""
        plan = self._plan
        date = plan.days[number]
        opening = self._opening(group, key, finished)
        day_plan = plan.plan_of(date, opening)
        last = number + 1 == len(plan.days)
        day_plan = msgspec.structs.replace(
            day_plan,
            settings=msgspec.structs.replace(day_plan.settings, run_key=_day_key(key, date)),
            quiet=day_plan.held and not last,
        )
        paths = self._paths(group, key, date)
        paths.create(durable=not day_plan.held)
        self._engine = PaperEngine(day_plan)
        result = self._engine.run_in(paths, _OneOfMany(watcher, date, number))
        if result.interrupted:
            return None
        journal = self._engine.held_journal
        if journal is None:
            day = finished_day(paths.folder.name, read_commits(paths.journal))
        else:
            day = finished_day(paths.folder.name, journal.commits(), journal.head)
        assert day is not None, "a day that was not interrupted is sealed"
        return day

    def _opening(self, group: Path, key: str, finished: list[FinishedDay]) -> DayOpening | None:
        """What the last sealed day hands over, with the hash of the journal it was read from."""
        if not finished:
            return None
        last = finished[-1]
        head = last.head
        if not head:
            sealed = sealed_by(self._paths(group, key, last.row.date).journal)
            assert sealed is not None
            head = sealed[1]
        assert last.sealed.handover is not None
        return msgspec.structs.replace(last.sealed.handover, head=head)

    def _started(self, first: PaperPlan, group: Path, finished: int) -> DaysStarted:
        plan = self._plan
        return DaysStarted(
            first=plan.days[0],
            last=plan.days[-1],
            days=len(plan.days),
            finished=finished,
            run=group.name,
            feed=plan.feed,
            fill_model=first.fill_model.sentence,
            charges_name=first.charge_book.name,
            capital=first.settings.capital,
            strategies=tuple(row.name for row in first.settings.strategies),
            stand_ins=first.feed.manifest.stand_ins,
            notes=plan.notes + first.notes,
        )

    def _write(self, group: Path, result: DaysResult, trades: list[tuple[RoundTrip, ...]]) -> None:
        summary = msgspec.json.format(_SUMMARY.encode(result.summary()))
        write_atomically(group / "summary.json", summary + b"\n")
        dated = [(row.date, trips) for row, trips in zip(result.rows, trades, strict=True)]
        write_atomically(group / "trades.csv", day_trades_table(dated).encode())


class _OneOfMany:
    """Passes on how a day goes, and leaves its many lines out."""

    __slots__ = ("_date", "_number", "_watcher")

    def __init__(self, watcher: DaysWatcher, date: dt.date, number: int) -> None:
        self._watcher = watcher
        self._date = date
        self._number = number

    def started(self, day: DayStarted) -> None:
        """See ``Watcher``."""

    def progress(
        self, at: Instant, done_frames: int, total_frames: int, snapshot: DaySnapshot
    ) -> None:
        """See ``Watcher``."""
        del done_frames, total_frames
        self._watcher.day_passing(self._date, self._number, at, snapshot)

    def said(self, fact: Fact) -> None:
        """See ``Watcher``."""

    def finished(self, result: DayResult) -> None:
        """See ``Watcher``."""


def _group_key(first_run_key: str, days: tuple[dt.date, ...]) -> str:
    """One name for the whole: settings, market, seed, strategies and the days."""
    what = "\n".join((first_run_key, *map(str, days)))
    return hashlib.sha256(what.encode()).hexdigest()


def _day_key(group_key: str, date: dt.date) -> str:
    return hashlib.sha256(f"{group_key}\n{date}".encode()).hexdigest()


def _artifacts(group: Path, artifacts: Path, *, complete: bool) -> dict[str, str]:
    report = {"report": str(group / "report.html")} if complete else {}
    return report | {
        "days": str(group / "summary.json"),
        "trades": str(group / "trades.csv"),
        "runs": str(group / "runs"),
        "state": str(artifacts / "checkpoints" / "paper_state_latest.json"),
    }


def _show(group: Path, artifacts: Path, last: dt.date) -> None:
    """Put the last day where people and programs look for the latest one."""
    for name in ("orders.csv", "fills.csv", "trades.csv"):
        shown = Path("journal") / str(last) / name
        if (group / shown).exists():
            copy_atomically(group / shown, artifacts / shown)
    state = Path("checkpoints") / "paper_state_latest.json"
    if (group / state).exists():
        copy_atomically(group / state, artifacts / state)
