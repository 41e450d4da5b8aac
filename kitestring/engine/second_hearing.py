"""Asks a strategy again what it said on every bar of a recorded day, and why.

The day's journal holds the bars, the warm-up and the fills, but of most bars only how often a
reason was given. So the strategy hears them once more, in the same engine and with the same
positions, and each answer is kept with the numbers it was given on. That the second hearing is
true to the first is checked by whoever asks: signals and reasons must come to the same counts.

Where in the strategy's own text an answer was given is watched while it decides: the line, the
condition around that line, and the values of what the condition names.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Final

import msgspec

from kitestring.core.cells import Dirty
from kitestring.core.portfolio import CELL as BOOK_CELL
from kitestring.core.settings import StrategySettings
from kitestring.core.strategy import INPUT_FIELDS, Inputs, StrategyDefinition
from kitestring.core.strategy_engine import StrategyEngine
from kitestring.domain.bars import Bar
from kitestring.domain.events import Adjustment, Fact, HistoryLoaded
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.ports import Manifest
from kitestring.domain.positions import Book, Fill
from kitestring.domain.signals import Action, Decision, Signal

Number = int | float | str | bool

_SHOWN_MAX: Final = 8


class Place(msgspec.Struct, frozen=True):
    """Where in the strategy's text an answer was given."""

    lines: tuple[int, ...]
    """Line of the ``return`` in ``decide``, then in what it called, if that gave the answer."""
    condition: str = ""
    """The conditions that led to it, as written; empty where none stands around it."""
    values: dict[str, Number] = {}
    """What the condition names, and what it was on this bar."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a strategy on one closed bar."""

    bar: Bar
    action: Action
    reason: str
    position: int
    """1 long, −1 short, 0 flat, when it was asked."""
    inputs: dict[str, Number]
    """Everything it could read: prices of the bar, indicators, its minute of the day."""
    place: Place | None
    signal: bool
    """Whether the house made a signal of it."""


class Hearing(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's whole day."""

    said: tuple[Said, ...]
    bars_today: int
    """Bars of its timeframe that closed today."""
    bars_before: int
    """Warm-up bars of its timeframe."""
    needed: int
    """Bars it asked to see before its first decision."""
    seen: tuple[tuple[Instant, int], ...]
    """Close of each bar of today, and how many bars it had been shown by then."""
    signals: int
    holds: dict[str, int]


def hear_again(
    facts: Sequence[Fact],
    settings: StrategySettings,
    definition: StrategyDefinition,
    manifest: Manifest,
    opening: Mapping[str, bytes],
) -> Hearing:
    """Every answer of one strategy, from the facts of its day in their order.

    ``opening`` are the cells the day began with: what was carried from the day before.
    Levels of stops and targets are not carried over to another traded instrument here: the
    journal's own signals say them.
    """
    listener = _Listener(definition)
    row = msgspec.structs.replace(settings, strategy=settings.name)
    heard = msgspec.structs.replace(definition, name=settings.name, decide=listener.decide)
    dirty: Dirty = {}
    engine = StrategyEngine(
        (row,),
        {settings.name: heard},
        {instrument.id: instrument for instrument in manifest.instruments},
        manifest.sessions,
        dirty,
    )
    last: dict[InstrumentId, Price] = {}
    position: dict[StrategyId, int] = {settings.name: 0}
    engine.restore(opening)
    for key, blob in opening.items():
        if key.startswith(BOOK_CELL):
            book = msgspec.msgpack.decode(blob, type=Book)
            if book.strategy == settings.name:
                position[settings.name] = book.net_qty
    said: list[Said] = []
    seen: list[tuple[Instant, int]] = []
    main = (settings.source, settings.minutes)

    def reference(instrument: InstrumentId) -> Price:
        return last.get(instrument, last[settings.source])

    for kind, group in itertools.groupby(facts, type):
        if kind is Bar:
            for together in _by_close(group):
                for bar in together:
                    last[bar.instrument] = bar.close
                spoken = engine.decide(together, together[0].close_at, position, reference)
                signalled = any(isinstance(one, Signal) for one in spoken)
                ours = [bar for bar in together if (bar.instrument, bar.minutes) == main]
                seen += [(bar.close_at, engine.status()[0].bars_seen) for bar in ours]
                said += [listener.said(bar, signal=signalled) for bar in ours if listener.heard]
                listener.heard = False
        elif kind is HistoryLoaded:
            for loaded in group:
                assert isinstance(loaded, HistoryLoaded)
                engine.warm(loaded.bars)
        elif kind is Fill:
            for fill in group:
                assert isinstance(fill, Fill)
                if fill.strategy == settings.name:
                    position[settings.name] += fill.qty * fill.side.sign
        elif kind is Adjustment:
            for fact in group:
                assert isinstance(fact, Adjustment)
                if fact.strategy == settings.name:
                    position[settings.name] += fact.qty
    status = engine.status()[0]
    return Hearing(
        said=tuple(said),
        bars_today=len(seen),
        bars_before=status.bars_seen - len(seen),
        needed=engine.bars_needed(settings.name),
        seen=tuple(seen),
        signals=status.signals,
        holds=status.holds,
    )


def furthest_hold(said: Sequence[Said]) -> Said | None:
    """The HOLD, while flat, that was given furthest down the strategy's text; the latest of equals.

    A strategy asks its conditions from top to bottom, so the bar that got furthest down passed the
    most of them before it held. It says nothing of how near the last one was.
    """
    held = [one for one in said if one.action is Action.HOLD and not one.position and one.place]
    if not held:
        return None
    return max(held, key=lambda one: (one.place.lines if one.place else (), one.bar.close_at))


class _Listener:
    """Stands between engine and strategy; keeps the last answer and what it was given on."""

    def __init__(self, definition: StrategyDefinition) -> None:
        self._definition = definition
        self.heard = False
        self._inputs: dict[str, Number] = {}
        self._decision: Decision | None = None
        self._place: Place | None = None
        self._position = 0

    def decide(
        self, params: msgspec.Struct, state: msgspec.Struct, inputs: Inputs
    ) -> tuple[msgspec.Struct, Decision]:
        """Decide as the strategy does, and remember why."""
        self._inputs = {name: getattr(inputs, name) for name in _names_of(inputs)}
        self._position = inputs.position
        path = self._definition.path
        answers: list[_Return] = []

        def watch(frame: FrameType, event: str, _argument: object) -> None:
            if event == "return" and frame.f_code.co_filename == path:
                answers.append(_return_of(frame))

        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            state, decision = self._definition.decide(params, state, inputs)
        finally:
            sys.setprofile(before)
        self._decision = decision
        self._place = _place(path, answers)
        self.heard = True
        return state, decision

    def said(self, bar: Bar, *, signal: bool) -> Said:
        """The answer just heard, as one on this bar."""
        decision = self._decision
        assert decision is not None
        return Said(
            bar=bar,
            action=decision.action,
            reason=decision.reason,
            position=self._position,
            inputs=self._inputs,
            place=self._place,
            signal=signal,
        )


class _Return(msgspec.Struct, frozen=True):
    """A function of the strategy's file coming back: where, to which line, with what in hand."""

    line: int
    called_from: int
    names: dict[str, object]


def _return_of(frame: FrameType) -> _Return:
    caller = frame.f_back
    return _Return(frame.f_lineno, caller.f_lineno if caller is not None else 0, _copied(frame))


def _copied(frame: FrameType) -> dict[str, object]:
    """The locals that stay as they are: ``Inputs`` is filled anew on the next bar."""
    return {
        name: {field: getattr(value, field) for field in _names_of(value)}
        if isinstance(value, Inputs)
        else value
        for name, value in frame.f_locals.items()
    }


def _place(path: str, answers: list[_Return]) -> Place | None:
    """The line of the answer in ``decide`` (it comes back last), and in what it called for it."""
    if not answers:
        return None
    inner = last = answers[-1]
    lines = [last.line]
    if len(answers) > 1 and answers[-2].called_from == last.line:
        inner = answers[-2]
        lines.append(inner.line)
    tests = _conditions(path).get(inner.line, ())
    values: dict[str, Number] = {}
    for node in (node for _, test in tests for node in ast.walk(test)):
        value = _value(node, inner.names)
        if value is not None and len(values) < _SHOWN_MAX:
            values[ast.unparse(node).removeprefix("i.")] = value
    return Place(tuple(lines), " and ".join(shown for shown, _ in tests), values)


def _value(node: ast.AST, names: dict[str, object]) -> Number | None:
    """What a name, or an attribute of one, stood for."""
    found: object = None
    if isinstance(node, ast.Name):
        found = names.get(node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        holder = names.get(node.value.id)
        found = (
            holder.get(node.attr) if isinstance(holder, dict) else getattr(holder, node.attr, None)
        )
    return found if isinstance(found, int | float | str | bool) else None


_Tests = tuple[tuple[str, ast.expr], ...]


@lru_cache(maxsize=16)
def _conditions(path: str) -> MappingProxyType[int, _Tests]:
    """For each line, the conditions of the ``if`` and ``elif`` that lead to it, outermost first."""
    found: dict[int, _Tests] = {}
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return MappingProxyType(found)
    for node in ast.walk(tree):  # breadth first: what lies deeper comes later
        if isinstance(node, ast.If):
            shown = ast.unparse(node.test)
            for line in _lines(node.body):
                found[line] = (*found.get(line, ()), (shown, node.test))
            # An `elif` says enough by its own condition.
            if not (len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)):
                for line in _lines(node.orelse):
                    found[line] = (*found.get(line, ()), (f"not ({shown})", node.test))
    return MappingProxyType(found)


def _lines(body: Sequence[ast.stmt]) -> Iterator[int]:
    for statement in body:
        yield from range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def _names_of(inputs: Inputs) -> tuple[str, ...]:
    own = type(inputs).__slots__
    return (*sorted(INPUT_FIELDS), *(own if own is not Inputs.__slots__ else ()))


def _by_close(bars: Iterator[Fact]) -> list[list[Bar]]:
    together: dict[Instant, list[Bar]] = {}
    for bar in bars:
        assert isinstance(bar, Bar)
        together.setdefault(bar.close_at, []).append(bar)
    return list(together.values())


def agrees(hearing: Hearing, holds: dict[str, int], signals: int) -> bool:
    """Whether the second hearing came to the counts that the journal kept of the first."""
    return hearing.signals == signals and Counter(hearing.holds) == Counter(holds)
