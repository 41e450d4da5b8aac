"""What the last live day left: its positions with their stops, its drawdown, its overnight stops.

A sealed day hands over its last record. One that was never sealed (the machine died, nobody came
back) is read to the end of its journal: what it owned there is taken over, loudly, because orders of
that day may have traded after its last line. Nothing is guessed: the broker's own count is laid
beside it before anything trades (``engine.carried``).

The money does not chain, the drawdown does: a live day begins with ``trading.live_capital``, and as
far below its peak as the last one ended. See docs/decisions/0018.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from kitestring.core.handover import hand_over
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.errors import HouseError, StoreError
from kitestring.domain.events import DayOpening, Fact, OvernightStop, RunOpened
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Money, show_rupees
from kitestring.domain.positions import CarriedPosition
from kitestring.domain.sessions import Session
from kitestring.engine.day_record import bands_in, closes_before
from kitestring.engine.live_recovery import taken_up
from kitestring.engine.recovery import read_story
from kitestring.exchange.margin import StatedMargins
from kitestring.market.charges import charges_of_name
from kitestring.store.journal import SqliteJournal, read_commits, sealed_by
from kitestring.store.paths import RunPaths, list_runs
from kitestring.store.tape_reader import TapeReader

ReadStrategy = Callable[[str], StrategyDefinition]


class DayBefore(msgspec.Struct, frozen=True, kw_only=True):
    """What the last live day of the folder left."""

    run: str
    opening: DayOpening
    """As it was handed over: with that day's equity and peak."""
    overnight: tuple[OvernightStop, ...] = ()
    """Stops it left at the broker, as far as its journal knows."""
    notes: tuple[str, ...] = ()
    """What a person must know of it."""


def day_before(artifacts: Path, today: dt.date, read: ReadStrategy) -> DayBefore | None:
    """The last live day before ``today`` that was opened, or ``None`` where there was none.

    Raises ``StoreError`` where its journal cannot be believed: then nobody knows what is owned.
    """
    runs = [run for run in list_runs(artifacts) if run.mode == "live" and run.date < today]
    for run in sorted(runs, key=lambda each: (each.date, _last_word(each)), reverse=True):
        found = _left_by(run, read)
        if found is not None:
            return found
    return None


def opening_of(before: DayBefore, capital: Money, today: dt.date) -> tuple[DayOpening, list[str]]:
    """What ``today`` begins with, and what is said of it."""
    left = before.opening
    below = max(int(left.peak_equity) - int(left.equity), 0)
    said = list(before.notes)
    if below:
        said.append(
            f"The account stands {show_rupees(Money(below))} below its highest, as {left.date} left it."
        )
    kept: list[CarriedPosition] = []
    for position in left.positions:
        expiry = position.instrument.expiry
        if expiry is not None and expiry < today:
            said.append(
                f"{position.net_qty} {position.instrument.symbol} of {position.strategy} expired on "
                f"{expiry}: the exchange has settled it, and it is not carried any further."
            )
        else:
            kept.append(position)
    opening = msgspec.structs.replace(
        left, equity=capital, peak_equity=Money(int(capital) + below), positions=tuple(kept)
    )
    return opening, said


def outstanding(facts: Iterable[Fact]) -> tuple[OvernightStop, ...]:
    """The overnight stops that stand, or may stand, after all that was written of them."""
    last: dict[tuple[str, str, str, int], OvernightStop] = {}
    for fact in facts:
        if isinstance(fact, OvernightStop):
            last[fact.strategy, fact.instrument, fact.product, fact.part] = fact
    return tuple(each for each in last.values() if each.step in {"asked", "stands", "unknown"})


def _last_word(run: RunPaths) -> int:
    """When a run's journal was last written to; 0 where there is none."""
    return run.journal.stat().st_mtime_ns if run.journal.exists() else 0


def _left_by(run: RunPaths, read: ReadStrategy) -> DayBefore | None:
    if not run.journal.exists():
        return None
    facts = [fact for _, commit in read_commits(run.journal) for fact in commit.facts]
    opened = next((fact for fact in facts if isinstance(fact, RunOpened)), None)
    if opened is None:
        return None
    name, stops = run.folder.name, outstanding(facts)
    sealed = sealed_by(run.journal)
    if sealed is None:
        return _unsealed(run, opened, stops, read)
    handover, head = sealed[0].handover, sealed[1]
    if handover is None:
        raise StoreError(
            f"{name} was sealed by a version that handed nothing over.",
            do=f"see what is open at the broker; then move {run.folder} away and start again",
        )
    return DayBefore(
        run=name, opening=msgspec.structs.replace(handover, head=head), overnight=stops
    )


def _unsealed(
    run: RunPaths, opened: RunOpened, stops: tuple[OvernightStop, ...], read: ReadStrategy
) -> DayBefore:
    """What a day owned that nobody finished, at the end of its journal and of its tape."""
    name = run.folder.name
    try:
        settings = msgspec.msgpack.decode(opened.settings, type=DaySettings)
        sessions = msgspec.msgpack.decode(opened.sessions, type=dict[Segment, Session])
        definitions = {each: read(each) for each in opened.strategy_hashes}
    except (msgspec.DecodeError, UnicodeDecodeError, HouseError) as error:
        raise StoreError(
            f"{name} was never finished, and what it owned cannot be read: {error}",
            do=f"put its strategies back as they were, or see what is open at the broker, close it "
            f"there, move {run.folder} away and start again",
        ) from error
    journal = SqliteJournal(run.journal, run_key=opened.run_key)
    try:
        story = read_story(journal)
        manifest = TapeReader(run.tape).manifest
        instruments: dict[str, Instrument] = {each.id: each for each in manifest.instruments}
        for position in story.opening.positions if story.opening is not None else ():
            instruments.setdefault(position.instrument.id, position.instrument)
        core = TradingCore(
            settings,
            instruments=tuple(instruments.values()),
            sessions=sessions,
            definitions=definitions,
            charge_book=charges_of_name(opened.charges),
            margins=StatedMargins(),
            previous_close=closes_before(manifest),
            price_bands=bands_in(manifest),
        )
        taken_up(core, journal, story, run, 0)
        opening = msgspec.structs.replace(hand_over(core), head=journal.head)
        working = list(core.orders.all_working())
    finally:
        journal.close()
    owned = ", ".join(
        f"{each.net_qty} {each.instrument.symbol} ({each.product}) of {each.strategy}"
        for each in opening.positions
    )
    said = [
        f"⚠️ {name} was never finished. At the end of its journal it owned: {owned or 'nothing'}."
    ]
    if working:
        said.append(
            f"{len(working)} order(s) of it were working then and have lapsed with their day, or "
            "traded after its last line: the broker's count decides."
        )
    return DayBefore(run=name, opening=opening, overnight=stops, notes=tuple(said))
