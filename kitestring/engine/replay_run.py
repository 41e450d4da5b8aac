"""A run decided again from its own folder: fresh core, recorded settings, today's strategy files.

The audit of a day that somebody asks for by name. Everything that made the day is taken from its
record; only the strategies are read from where they are now, and one that is no longer the text of
that day is named before anything is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import DayOpening, RunOpened
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.engine.day_record import bands_in
from kitestring.engine.replay import Replayed, replay
from kitestring.engine.strategy_files import read_strategy
from kitestring.exchange.margin import StatedMargins
from kitestring.market.charges import charges_of_name
from kitestring.store.run_reader import Recorded
from kitestring.store.tape_reader import TapeReader


class ReplayedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What came of deciding a run again."""

    run: str
    replayed: Replayed
    changed: tuple[str, ...] = ()
    """Strategies whose file is not what it was on the day."""
    running: bool = False
    """The day is still being traded: what was decided after its last whole copy is not in here."""


def replay_run(
    recorded: Recorded, read: Callable[[str], StrategyDefinition] = read_strategy
) -> ReplayedRun:
    """Decide a recorded run again. Raises ``ConfigError`` where its record does not allow it."""
    opened = recorded.opened
    if opened is None:
        raise ConfigError(
            f"{recorded.run} was stopped before its day was open; there is nothing to decide again.",
            do="python -m kitestring days lists the runs",
        )
    settings, sessions = _recorded_terms(opened, recorded.run)
    definitions = {name: read(name) for name in opened.strategy_hashes}
    changed = tuple(
        name
        for name, digest in sorted(opened.strategy_hashes.items())
        if definitions[name].source_hash != digest
    )
    tape = TapeReader(recorded.paths.tape)
    core = _fresh_core(recorded, opened, tape.manifest, settings, sessions, definitions)
    until = recorded.commits[-1][1].tape_offset
    records = tape.records(min(until, tape.end()))
    return ReplayedRun(
        run=recorded.run,
        replayed=replay(core, recorded.commits, records),
        changed=changed,
        running=recorded.running,
    )


def _recorded_terms(opened: RunOpened, run: str) -> tuple[DaySettings, dict[Segment, Session]]:
    if not opened.settings or not opened.sessions:
        raise ConfigError(
            f"{run} was recorded by version {opened.version or 'unknown'}, which did not keep the"
            " settings and sessions of the day in its journal.",
            do="replay days that this version has traded",
        )
    try:
        return (
            msgspec.msgpack.decode(opened.settings, type=DaySettings),
            msgspec.msgpack.decode(opened.sessions, type=dict[Segment, Session]),
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The settings that {run} was traded with cannot be read by this version: {error}.",
            do=f"replay it with version {opened.version}",
        ) from error


def _fresh_core(
    recorded: Recorded,
    opened: RunOpened,
    manifest: Manifest,
    settings: DaySettings,
    sessions: dict[Segment, Session],
    definitions: dict[str, StrategyDefinition],
) -> TradingCore:
    instruments: dict[str, Instrument] = {each.id: each for each in manifest.instruments}
    for fact in recorded.facts():
        if isinstance(fact, DayOpening):  # what is carried although the feed no longer knows it
            for position in fact.positions:
                instruments.setdefault(position.instrument.id, position.instrument)
    return TradingCore(
        settings,
        instruments=tuple(instruments.values()),
        sessions=sessions,
        definitions=definitions,
        charge_book=charges_of_name(opened.charges),
        margins=StatedMargins(),
        previous_close={
            each.id: manifest.previous_close[each.id]
            for each in manifest.instruments
            if each.id in manifest.previous_close
        },
        price_bands=bands_in(manifest),
    )


def sentence_of(done: ReplayedRun, folder: Path) -> list[str]:
    """What came of it, for a person: whether it is the same day, and where it first is not."""
    replayed = done.replayed
    lines = [
        f"{name} is no longer the file it was on that day; what it would say now is compared."
        for name in done.changed
    ]
    if done.running:
        lines.append("The day is still running; it is compared as far as it has come.")
    if replayed.difference is not None:
        agreed = (
            f"The first {replayed.commits:,} commits of {done.run} are decided again as they were."
        )
        return [*lines, agreed, f"Then they part at {replayed.difference.sentence}", str(folder)]
    lines.append(
        f"{done.run} is decided again bit for bit: {replayed.events:,} events, "
        f"{replayed.commits:,} commits, {replayed.facts:,} facts."
    )
    if replayed.cut_short:
        lines.append(f"Not to its end: {replayed.cut_short}.")
    return lines
