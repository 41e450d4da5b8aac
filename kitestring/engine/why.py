"""Why a strategy did not trade, or where each of its ideas ended: from bar to signal to position.

The law: every number is counted from the journal's facts or from the strategy's own kept state; what
a second hearing adds (each bar's answer) is marked as agreeing with the journal or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from kitestring.core.settings import DaySettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_run import CELL_PREFIX
from kitestring.domain.bars import Bar
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.events import (
    Fact,
    HistoryLoaded,
    RunOpened,
    StrategyOff,
    StrategyReady,
)
from kitestring.domain.ids import StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.orders import OrderIntent, OrdStatus, Purpose
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Action, Signal
from kitestring.domain.verdicts import Approved, Blocked, HaltSession, Reduced
from kitestring.engine.second_hearing import Hearing, Said, agrees, furthest_hold, hear_again
from kitestring.engine.strategy_files import read_strategy
from kitestring.store.order_rows import OrderRow, OrderRows
from kitestring.store.run_reader import Recorded
from kitestring.store.tape_reader import TapeReader

F = TypeVar("F", StrategyReady, StrategyOff)


class _Kept(msgspec.Struct, array_like=True):
    """A strategy's cell, without knowing its own ``State``; fields as in ``StrategyRun``."""

    state: object
    decided_at: Instant = 0
    ready_at: Instant | None = None
    signals: int = 0
    last_signal: str = ""
    off: str = ""
    off_at: Instant = 0
    holds: dict[str, int] = {}


class Idea(msgspec.Struct, frozen=True, kw_only=True):
    """One signal and what became of it."""

    signal: Signal
    verdict: Approved | Reduced | Blocked | HaltSession | None
    orders: tuple[OrderRow, ...]

    @property
    def blocked(self) -> Blocked | HaltSession | None:
        """The refusal of risk, if it was one."""
        return self.verdict if isinstance(self.verdict, Blocked | HaltSession) else None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy's day, as far as it is recorded."""

    strategy: StrategyId
    settings: StrategySettings | None
    """``None`` where the run was recorded without its settings."""
    bars_before: int
    bars_today: int
    decided: int
    ready: StrategyReady | None
    off: StrategyOff | None
    signals: tuple[Signal, ...]
    ideas: tuple[Idea, ...]
    """Signals to BUY and to SELL; an EXIT asks nobody. Of their orders, the entries."""
    holds: tuple[tuple[str, int], ...]
    """Reasons of HOLD with their counts, the most frequent first."""
    refusals: tuple[Blocked, ...]
    rejected: tuple[OrderRow, ...]
    """Entries that the exchange refused."""
    fills: int
    trades: tuple[RoundTrip, ...]
    halts: tuple[HaltSession, ...]
    hearing: Hearing | None
    unheard: str
    """Why there is no second hearing, or how it differs from the first; empty otherwise."""
    nearest: Said | None
    path: str

    @property
    def blocked_step(self) -> tuple[str, str]:
        """The first step from bar to trade that not everything passed, and what stopped it there.

        A step that nothing at all passed comes before one that only some did not pass.
        """
        return _blocked_step(self)


def strategies_of(recorded: Recorded) -> tuple[str, ...]:
    """Every strategy that kept anything in a run, by name."""
    keys = {key for _, commit in recorded.commits for key in commit.cells}
    kept = {key.removeprefix(CELL_PREFIX) for key in keys if key.startswith(CELL_PREFIX)}
    settings = settings_of(recorded)
    if settings is not None:
        kept |= {row.name for row in settings.strategies}
    return tuple(sorted(kept))


def settings_of(recorded: Recorded) -> DaySettings | None:
    """The settings a run was traded with, if it kept them."""
    opened = recorded.opened
    if opened is None or not opened.settings:
        return None
    try:
        return msgspec.msgpack.decode(opened.settings, type=DaySettings)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def why(recorded: Recorded, strategy: str) -> Why:
    """Everything recorded of one strategy. Raises ``ConfigError`` if the run has no such strategy."""
    name = StrategyId(_named(strategy, strategies_of(recorded), recorded.run))
    facts = tuple(recorded.facts())
    settings = settings_of(recorded)
    row = None
    if settings is not None:
        row = next((one for one in settings.strategies if one.name == name), None)
    kept = _kept(recorded, name)
    hearing, unheard, path = _heard(recorded, facts, row, kept)
    ideas = tuple(_ideas(facts, name))
    signals = tuple(fact for fact in facts if isinstance(fact, Signal) and fact.strategy == name)
    rows = _rows(facts, name)
    before, today = (
        _bars(facts, row)
        if hearing is None
        else (
            hearing.bars_before,
            hearing.bars_today,
        )
    )
    return Why(
        strategy=name,
        settings=row,
        bars_before=before,
        bars_today=today,
        decided=kept.signals + sum(kept.holds.values()),
        ready=_last(facts, StrategyReady, name),
        off=_last(facts, StrategyOff, name),
        signals=signals,
        ideas=ideas,
        holds=tuple(sorted(kept.holds.items(), key=lambda one: (-one[1], one[0]))),
        refusals=tuple(
            fact for fact in facts if isinstance(fact, Blocked) and fact.strategy == name
        ),
        rejected=tuple(
            one
            for one in rows
            if one.status is OrdStatus.REJECTED and one.intent.purpose is Purpose.ENTRY
        ),
        fills=sum(isinstance(fact, Fill) and fact.strategy == name for fact in facts),
        trades=tuple(
            fact for fact in facts if isinstance(fact, RoundTrip) and fact.strategy == name
        ),
        halts=tuple(fact for fact in facts if isinstance(fact, HaltSession)),
        hearing=hearing,
        unheard=unheard,
        nearest=furthest_hold(hearing.said) if hearing is not None else None,
        path=path,
    )


def said_at(hearing: Hearing, at: Instant) -> Said | None:
    """The answer on the last bar that closed at or before an instant."""
    found = [one for one in hearing.said if one.bar.close_at <= at]
    return found[-1] if found else None


def _named(asked: str, names: Sequence[str], run: str) -> str:
    if asked in names:
        return asked
    near = [name for name in names if asked.lower() in name.lower()]
    if len(near) == 1:
        return near[0]
    if near:
        raise ConfigError(
            f"{asked} runs {len(near)} times in {run}: {', '.join(near)}.",
            do=f"say which one: python -m kitestring why {near[0]}",
        )
    there = ", ".join(names) or "none that has decided anything yet"
    raise ConfigError(f"There is no strategy {asked} in {run}.", do=f"it has: {there}")


def _kept(recorded: Recorded, name: str) -> _Kept:
    """The strategy's cell as it was written last."""
    for _, commit in reversed(recorded.commits):
        raw = commit.cells.get(f"{CELL_PREFIX}{name}")
        if raw is not None:
            return msgspec.msgpack.decode(raw, type=_Kept)
    return _Kept(None)


def _heard(
    recorded: Recorded, facts: Sequence[Fact], row: StrategySettings | None, kept: _Kept
) -> tuple[Hearing | None, str, str]:
    if row is None:
        return None, "this run did not keep its settings, so no bar can be looked at again", ""
    definition = _definition(recorded.opened, row)
    if isinstance(definition, str):
        return None, definition, ""
    try:
        manifest = TapeReader(recorded.paths.tape).manifest
        hearing = hear_again(facts, row, definition, manifest, recorded.opening_cells)
    except HouseError as error:
        return None, f"no bar can be looked at again: {error.what}", definition.path
    if not agrees(hearing, kept.holds, kept.signals):
        return (
            hearing,
            "asked again, it does not answer as it did then: the answers by bar below may differ",
            definition.path,
        )
    return hearing, "", definition.path


def _definition(opened: RunOpened | None, row: StrategySettings) -> StrategyDefinition | str:
    """The strategy as it was that day, or why there is none."""
    try:
        definition = read_strategy(row.strategy)
    except ConfigError as error:
        return f"no bar can be looked at again: {error.what}"
    if opened is not None and opened.strategy_hashes.get(row.strategy) != definition.source_hash:
        return (
            f"{Path(definition.path).name} was changed since this day, so no bar is looked at again"
        )
    return definition


def _bars(facts: Iterable[Fact], row: StrategySettings | None) -> tuple[int, int]:
    before = today = 0
    for fact in facts:
        if row is None:
            break
        match fact:
            case Bar() if (fact.instrument, fact.minutes) == (row.source, row.minutes):
                today += 1
            case HistoryLoaded() if (fact.instrument, fact.minutes) == (row.source, row.minutes):
                before += len(fact.bars)
            case _:
                pass
    return before, today


def _last(facts: Iterable[Fact], kind: type[F], name: str) -> F | None:
    found: F | None = None
    for fact in facts:
        if isinstance(fact, kind) and fact.strategy == name:
            found = fact
    return found


def _rows(facts: Iterable[Fact], name: str) -> list[OrderRow]:
    rows = OrderRows()
    rows.record(facts)
    return [row for row in rows.rows.values() if row.intent.strategy == name]


def _ideas(facts: Sequence[Fact], name: str) -> list[Idea]:
    """Signals to enter, in order, each with the last verdict on it and its orders."""
    verdicts: dict[str, Approved | Reduced | Blocked | HaltSession] = {}
    before: Fact | None = None
    for fact in facts:
        match fact:
            case Approved():
                _judge(verdicts, fact.intent, fact, name)
            case Reduced():
                _judge(verdicts, fact.approved.intent, fact, name)
            case Blocked() if fact.strategy == name and fact.signal_id is not None:
                verdicts[fact.signal_id] = fact
            case HaltSession() if isinstance(before, Signal) and before.strategy == name:
                # Asked for an entry, risk ended the day instead: that was the answer to it.
                verdicts[before.signal_id] = fact
            case _:
                pass
        before = fact
    rows = _rows(facts, name)
    return [
        Idea(
            signal=fact,
            verdict=verdicts.get(fact.signal_id),
            orders=tuple(
                row
                for row in rows
                if row.intent.signal_id == fact.signal_id and row.intent.purpose is Purpose.ENTRY
            ),
        )
        for fact in facts
        if isinstance(fact, Signal)
        and fact.strategy == name
        and fact.action in (Action.BUY, Action.SELL)
    ]


def _judge(
    verdicts: dict[str, Approved | Reduced | Blocked | HaltSession],
    intent: OrderIntent,
    verdict: Approved | Reduced,
    name: str,
) -> None:
    if intent.strategy == name and intent.signal_id is not None:
        verdicts[intent.signal_id] = verdict


def _blocked_step(day: Why) -> tuple[str, str]:
    ideas = day.ideas
    ordered = [idea for idea in ideas if idea.orders]
    filled = [idea for idea in ordered if any(row.cum_qty for row in idea.orders)]
    if day.off is not None and not filled:
        return "switched off", day.off.error
    if not day.bars_today and not day.decided:
        return "no bar", "no bar of its timeframe closed"
    if day.ready is None and not day.decided:
        needed = f" of the {day.hearing.needed} it needs" if day.hearing is not None else ""
        seen = day.bars_before + day.bars_today
        return "not ready", f"it was shown {seen} bars{needed}"
    if not ideas:
        if not day.holds:
            return "no signal", "it was asked nothing yet"
        reason, count = day.holds[0]
        return "no signal", f"{reason} ({count} of {day.decided} bars)"
    refused = [idea for idea in ideas if idea.blocked is not None]
    dropped = [idea for idea in ideas if idea.verdict is None and not idea.orders]
    unfilled = [idea for idea in ordered if idea not in filled]
    for everything in (True, False):
        if refused and (not ordered or not everything):
            verdict = refused[0].blocked
            assert verdict is not None
            return "signal → refused by risk", f"{verdict.code}: {verdict.sentence}"
        if unfilled and (not filled or not everything):
            row = unfilled[0].orders[0]
            if row.status is OrdStatus.REJECTED:
                return "order → rejected by exchange", row.reason or "it gave no reason"
            return f"order → {row.status}", row.reason or "nothing was traded on it"
        if dropped and not everything:
            return "signal → no verdict", "it waited for the position to be closed first"
    return "", ""
