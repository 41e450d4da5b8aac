"""From what was asked to a chain of paper days: which days, and the market of each of them."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from kitestring.cli.config import Engines
from kitestring.cli.day_report import write_days_report
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import ReadStrategy
from kitestring.cli.paper_day import SYNTHETIC_DATE, paper_plan
from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.events import DayOpening
from kitestring.engine.day_rows import DaysResult
from kitestring.engine.many_days import DaysPlan, DaysWatcher, ManyDays, PlanOf
from kitestring.engine.paper_engine import PaperPlan
from kitestring.engine.strategy_files import read_strategy
from kitestring.market import calendar
from kitestring.market.contracts import lot_size


def run_paper_days(request: DayRequest, watcher: DaysWatcher) -> DaysResult:
    """Trade the days, then write their one report: the summary is on the screen by then.

    Raises a ``HouseError`` for whatever keeps them from starting or going on; a report that cannot
    be written is said, and costs nothing else.
    """
    result = ManyDays(days_plan(request)).run(watcher)
    if "report" in result.artifacts:
        write_days_report(Path(result.artifacts["report"]).parent)
    return result


def days_plan(request: DayRequest, *, read: ReadStrategy = read_strategy) -> DaysPlan:
    """The plan of a chain of days, every choice made and checked."""
    once = lru_cache(read)  # the strategies of the first day are those of all days
    return _bars(request, once) if request.bars else _synthetic(request, once)


def _bars(request: DayRequest, read: ReadStrategy) -> DaysPlan:
    from kitestring.store.bar_library import BarLibrary  # noqa: PLC0415 - only this feed needs it

    def lot_of(name: str, day: dt.date) -> int | None:
        """The lot of an index's future: of the day, or of the day whose rates were asked for."""
        with suppress(CalendarUnknown):  # an index without a known lot has no stand-in
            return lot_size(name, request.charges_as_of or day)
        return None

    chosen: Literal["all", "fno", "equity"] = "all"
    if request.engines in {Engines.FNO, Engines.EQUITY}:
        chosen = "fno" if request.engines is Engines.FNO else "equity"
    library = BarLibrary(
        request.bars, engines=chosen, lot_of=lot_of, first=request.first, last=request.last
    )

    def plan_of(day: dt.date, opening: DayOpening | None) -> PaperPlan:
        return paper_plan(request, library.feed(day), opening, read=read)

    return _plan(request, library.days, plan_of, feed=library.name, notes=library.notes())


def _synthetic(request: DayRequest, read: ReadStrategy) -> DaysPlan:
    # The synthetic market is made with NumPy; only this feed pays for loading it.
    from kitestring.exchange.synthetic_market import SyntheticFeed  # noqa: PLC0415

    first = request.date or SYNTHETIC_DATE
    calendar.known(first)
    days = [first]
    while len(days) < request.days:
        days.append(calendar.next_trading_day(days[-1]))

    def plan_of(day: dt.date, opening: DayOpening | None) -> PaperPlan:
        one = msgspec.structs.replace(request, date=day)
        return paper_plan(one, SyntheticFeed(day, request.seed), opening, read=read)

    feed = SyntheticFeed(first, request.seed)
    manifest = feed.manifest
    return _plan(request, tuple(days), plan_of, feed=manifest.name, notes=manifest.notes)


def _plan(
    request: DayRequest,
    days: tuple[dt.date, ...],
    plan_of: PlanOf,
    *,
    feed: str,
    notes: tuple[str, ...],
) -> DaysPlan:
    return DaysPlan(
        days=days,
        plan_of=plan_of,
        artifacts=request.artifacts,
        feed=feed,
        notes=notes,
        fresh=request.fresh,
    )
