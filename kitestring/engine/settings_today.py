"""A live day keeps the settings it began with: until tomorrow its limits may only be made tighter.

Whoever starts the house again in the middle of a bad day must not be able to raise the loss limit
that has just been reached. What is tighter is taken and noted; anything else is refused by name. The
day stays the same run, so that what it owns is never forgotten for a changed word in the file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.domain.errors import ConfigError, JournalDamaged
from kitestring.domain.events import RunOpened
from kitestring.domain.instants import ist_clock
from kitestring.domain.instruments import Segment
from kitestring.domain.money import show_rupees
from kitestring.domain.sessions import Session
from kitestring.domain.verdicts import PlaceOrder
from kitestring.store.journal import read_commits, sealed_by
from kitestring.store.paths import RunPaths, list_runs

Looser = Callable[[object, object], bool]
_LESS: Final = frozenset({"duplicate_window_s"})
"""Limits of risk where the larger number is the tighter one."""
_DEMANDS: Final = frozenset({"wait_minutes", "fresh_signal", "stop_required"})
"""What a strategy is held to: more of it is tighter."""
_FIXED: Final = ("strategy", "source", "instrument", "minutes", "params", "product")


class SettingsToday(msgspec.Struct, frozen=True, kw_only=True):
    """What the rest of the day is traded with."""

    settings: DaySettings
    sessions: Mapping[Segment, Session]
    tightened: tuple[str, ...] = ()
    """What is tighter than at the day's beginning, in words."""


def settings_today(
    artifacts: Path,
    wanted: DaySettings,
    sessions: Mapping[Segment, Session],
    definitions: Mapping[str, StrategyDefinition],
    *,
    fresh: bool = False,
) -> SettingsToday:
    """The settings of today's run where one was begun. Raises ``ConfigError`` for anything looser."""
    begun = _begun(artifacts, wanted.date)
    if begun is None:
        return SettingsToday(settings=wanted, sessions=sessions)
    run, opened, traded = begun
    if fresh and traded:
        raise ConfigError(
            f"{run.folder.name} has sent orders today; --fresh would forget what it owns.",
            do="start without --fresh: the day is taken up again",
        )
    if fresh or opened.run_key == wanted.run_key:
        return SettingsToday(settings=wanted, sessions=sessions)
    try:
        began = msgspec.msgpack.decode(opened.settings, type=DaySettings)
        timetable = msgspec.msgpack.decode(opened.sessions, type=dict[Segment, Session])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalDamaged(
            f"The settings that {run.folder.name} began with cannot be read: {error}.",
            do="start the version of the house that began the day",
        ) from error
    looser: list[str] = []
    tighter: list[str] = []
    if began.capital != wanted.capital:
        change = f"{show_rupees(began.capital)} to {show_rupees(wanted.capital)}"
        looser.append(f"trading.live_capital would change from {change}")
    for name, digest in opened.strategy_hashes.items():
        definition = definitions.get(name)
        if definition is None or definition.source_hash != digest:
            looser.append(f"the strategy {name} is another one")
    _compare_risk(began.risk, wanted.risk, looser, tighter)
    _compare_strategies(began, wanted, looser, tighter)
    _compare_sessions(timetable, sessions, looser, tighter)
    if looser:
        raise ConfigError(
            f"The live day {wanted.date} has begun, and its settings may only be made tighter until "
            f"tomorrow: {'; '.join(looser)}.",
            do="take that back in the settings file and start again; looser settings hold from "
            "the next day on",
        )
    settings = msgspec.structs.replace(wanted, run_key=opened.run_key)
    return SettingsToday(settings=settings, sessions=sessions, tightened=tuple(tighter))


def _begun(artifacts: Path, today: dt.date) -> tuple[RunPaths, RunOpened, bool] | None:
    """The unsealed live run of today that wrote last, its first record, and whether it sent orders."""
    runs = [
        run
        for run in list_runs(artifacts)
        if run.mode == "live" and run.date == today and run.journal.exists()
    ]
    for run in sorted(runs, key=lambda each: each.journal.stat().st_mtime_ns, reverse=True):
        facts = [fact for _, commit in read_commits(run.journal) for fact in commit.facts]
        opened = next((fact for fact in facts if isinstance(fact, RunOpened)), None)
        if opened is not None and sealed_by(run.journal) is None:
            return run, opened, any(isinstance(fact, PlaceOrder) for fact in facts)
    return None


def _compare_risk(
    was: RiskSettings, now: RiskSettings, looser: list[str], tighter: list[str]
) -> None:
    for name in RiskSettings.__struct_fields__:
        old, new = getattr(was, name), getattr(now, name)
        if name == "cooldown_minutes":  # 0 is the rest of the day
            worse = (new or 1e9) < (old or 1e9)
        else:
            worse = _looser(old, new, more=name in _LESS)
        _tell(f"risk.{name}", old, new, worse, looser, tighter)


def _compare_strategies(
    was: DaySettings, now: DaySettings, looser: list[str], tighter: list[str]
) -> None:
    before = {row.name: row for row in was.strategies}
    after = {row.name: row for row in now.strategies}
    looser.extend(f"{name} was not there this morning" for name in after if name not in before)
    looser.extend(
        f"{name} is missing (halt the house, or give it `lots` that fit)"
        for name in before
        if name not in after
    )
    for name in [each for each in before if each in after]:
        _compare_strategy(name, before[name], after[name], looser, tighter)


def _compare_strategy(
    name: str, was: StrategySettings, now: StrategySettings, looser: list[str], tighter: list[str]
) -> None:
    for field in StrategySettings.__struct_fields__:
        old, new = getattr(was, field), getattr(now, field)
        if field in _FIXED:
            worse = old != new
        elif field == "lots":
            worse = old != new and (old is None or new is None or new > old)
        elif field in _DEMANDS:
            worse = new < old
        elif field == "entry_from":
            worse = old is not None and (new is None or new < old)
        elif field == "name":
            continue
        else:
            worse = _looser(old, new, more=False)
        _tell(f"{name}: {field}", old, new, worse, looser, tighter)


def _compare_sessions(
    was: Mapping[Segment, Session],
    now: Mapping[Segment, Session],
    looser: list[str],
    tighter: list[str],
) -> None:
    for segment, session in now.items():
        began = was.get(segment)
        if began is None:
            looser.append(f"{segment} was not traded this morning")
            continue
        for name in ("entry_cutoff_at", "square_off_at"):
            old, new = getattr(began, name), getattr(session, name)
            what = f"{segment} {name.removesuffix('_at').replace('_', ' ')}"
            _tell(what, ist_clock(old), ist_clock(new), new > old, looser, tighter)


def _looser(old: object, new: object, *, more: bool) -> bool:
    """Whether a limit lets more through than before; ``None`` is no limit at all."""
    if old is None or new is None:
        return old is not None
    assert isinstance(old, int | float | dt.time)
    return (new < old) if more else (new > old)  # type: ignore[operator]  # of one kind


def _tell(
    what: str, old: object, new: object, worse: bool, looser: list[str], tighter: list[str]
) -> None:
    if old == new:
        return
    if worse:
        looser.append(f"{what} would go from {_word(old)} to {_word(new)}")
    else:
        tighter.append(f"{what} from {_word(old)} to {_word(new)}")


def _word(value: object) -> str:
    return "off" if value is None else str(value)
