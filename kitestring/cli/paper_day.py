"""From what was asked to a paper day that runs: chooses the market, the charges and the contracts."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from kitestring.cli.alert_settings import configured_channels
from kitestring.cli.config import Engines
from kitestring.cli.day_report import find, write_report
from kitestring.cli.day_request import DayRequest
from kitestring.cli.day_settings import ReadStrategy, day_settings
from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.events import DayOpening
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.ports import Feed
from kitestring.engine.paper_engine import PaperEngine, PaperPlan
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.watching import DayResult, Watcher
from kitestring.exchange.fill_models import fill_model
from kitestring.market import calendar
from kitestring.market.charges import configured_charges
from kitestring.market.contracts import lot_size
from kitestring.market.sessions import sessions_for

SYNTHETIC_DATE: Final = dt.date(2026, 11, 20)
"""The synthetic day traded when no date is given: pinned, so that it is the same day every year."""


def run_paper_day(request: DayRequest, watcher: Watcher) -> DayResult:
    """Trade the day, then write its report: the summary is on the screen by then.

    Raises a ``HouseError`` for whatever keeps the day from starting or going on; a report that
    cannot be written is said, and costs nothing else.
    """
    plan = msgspec.structs.replace(
        paper_plan(request), alerts=configured_channels(request.file.alerts)
    )
    result = PaperEngine(plan).run(watcher)
    write_report(find(request.artifacts, result.run))
    return result


def paper_plan(
    request: DayRequest,
    feed: Feed | None = None,
    opening: DayOpening | None = None,
    *,
    read: ReadStrategy | None = None,
) -> PaperPlan:
    """The plan of a paper day, every choice made and checked; ``opening`` is of the day before."""
    config = request.file.config
    feed = feed or _feed(request)
    manifest = feed.manifest
    book = configured_charges(config.paper.charges, request.charges_as_of or manifest.date)
    day = day_settings(
        request.file,
        manifest,
        engines=request.engines,
        identity=("paper", str(request.seed), book.name, str(request.charges_as_of)),
        read_strategy=read or read_strategy,
        carried={
            position.strategy: position.instrument.id
            for position in (opening.positions if opening is not None else ())
        },
    )
    return PaperPlan(
        settings=day.settings,
        feed=feed,
        sessions=day.sessions,
        notes=day.notes,
        definitions=day.strategies,
        charge_book=book,
        fill_model=fill_model(config.paper.fill_model),
        seed=request.seed,
        speed=request.speed,
        artifacts=request.artifacts,
        config_hash=config.digest,
        fresh=request.fresh,
        opening=opening,
        of_bars=bool(request.bars),
        held=bool(request.bars) and request.speed is None,
    )


def _feed(request: DayRequest) -> Feed:
    if request.tape is not None:
        feed = _recorded(request.tape, request.engines, request.charges_as_of)
        taped = feed.manifest.date
        if request.date not in {None, taped}:
            raise ConfigError(
                f"{request.tape} is a recording of {taped}, not of {request.date}.",
                do="Leave --date out: a tape knows its day.",
            )
        return feed
    # The synthetic market is made with NumPy; only this feed pays for loading it.
    from kitestring.exchange.synthetic_market import SyntheticFeed  # noqa: PLC0415

    day = request.date or SYNTHETIC_DATE
    calendar.known(day)
    return SyntheticFeed(day, request.seed)


def _recorded(path: Path, engines: Engines, as_of: dt.date | None) -> Feed:
    from kitestring.store.recordings import RecordedFeed, is_tape, tape_file  # noqa: PLC0415 - as above
    from kitestring.store.taped_feed import TapedFeed  # noqa: PLC0415 - as above

    if is_tape(path):
        return TapedFeed(tape_file(path))
    lots: dict[str, int] = {}

    def refine(instrument: Instrument, day: dt.date) -> Instrument:
        """Learn the lot of an index's future: of the day, or of the day whose rates were asked for."""
        if instrument.kind is InstrumentKind.INDEX:
            with suppress(CalendarUnknown):  # an index without a known lot has no stand-in
                lots[instrument.name] = lot_size(instrument.name, as_of or day)
        return instrument

    chosen: Literal["all", "fno", "equity"] = "all"
    if engines in {Engines.FNO, Engines.EQUITY}:
        chosen = "fno" if engines is Engines.FNO else "equity"
    return RecordedFeed(path, sessions_for, engines=chosen, lots=lots, refine=refine)
