"""What a strategy is: typed parameters, a small memory, and one pure function that decides.

A strategy is one file with

* a docstring: the idea, where it comes from, what its parameters mean;
* ``class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True)``, every
  field with a default;
* ``class State(msgspec.Struct, frozen=True)``, every field with a default: what it must remember
  from bar to bar, and nothing else, because this is what survives a restart;
* ``indicators(params) -> dict[str, IndicatorSpec]``: what it reads, by the names it reads it under;
* ``history(params) -> int``, if it needs closed bars beyond what its indicators need;
* ``decide(params, state, i) -> tuple[State, Decision]``.

``decide`` sees bars that have closed and nothing else: no clock, no files, no chance, no future.
The house owns sizing, stops, targets, trails, square-off and re-entry limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from kitestring.core.indicators import IndicatorSpec
from kitestring.domain.signals import Decision


class Inputs:
    """What a strategy reads at the close of a bar; one object per strategy, filled anew each bar.

    Prices are rupees. Besides the fields below it carries one attribute per indicator, under the
    name the strategy gave it (``i.fast``; ``i.bb_upper`` where an indicator has several values).
    Never keep it: copy numbers out of it.
    """

    __slots__ = (
        "bars_today",
        "close",
        "date",
        "high",
        "incomplete",
        "low",
        "minute",
        "open",
        "position",
        "session_minutes",
        "volume",
    )

    open: float
    high: float
    low: float
    close: float
    volume: float
    incomplete: bool
    """Ticks of this bar are known to be missing; the house takes no entry on it."""
    position: int
    """1 long, −1 short, 0 flat, in the instrument this strategy trades."""
    minute: int
    """Minutes since the session opened, at this bar's close: 1 at 09:16."""
    date: int
    """Today's date, as 20261120."""
    bars_today: int
    """Bars of the strategy's timeframe closed today, this one included."""
    session_minutes: int
    """Length of today's session in minutes (375 from 09:15 to 15:30)."""

    def __init__(self) -> None:
        self.open = self.high = self.low = self.close = self.volume = math.nan
        self.incomplete = False
        self.position = self.minute = self.date = self.bars_today = self.session_minutes = 0

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> float: ...


INPUT_FIELDS = frozenset(Inputs.__slots__)


def value_names(name: str, spec: IndicatorSpec) -> tuple[str, ...]:
    """The attributes an indicator fills: ``fast``, or ``bb_upper``, ``bb_middle``, ``bb_lower``."""
    return tuple(f"{name}_{output}" for output in spec.outputs) or (name,)


def inputs_class(indicators: Mapping[str, IndicatorSpec]) -> type[Inputs]:
    """An ``Inputs`` with a slot for every value of these indicators.

    Raises ``ValueError`` for a name that is no identifier or stands for two things.
    """
    slots: list[str] = []
    for name, spec in indicators.items():
        for value_name in value_names(name, spec):
            if not value_name.isidentifier() or value_name.startswith("_"):
                raise ValueError(f"an indicator cannot be called {name!r}")
            if value_name in INPUT_FIELDS or value_name in slots:
                raise ValueError(f"i.{value_name} would mean two things; rename indicator {name!r}")
            slots.append(value_name)
    return type("Inputs", (Inputs,), {"__slots__": tuple(slots)})


Decide = Callable[[msgspec.Struct, msgspec.Struct, Inputs], tuple[msgspec.Struct, Decision]]


class StrategyDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy file that was read, checked and understood."""

    name: str
    path: str
    source_hash: str
    """SHA-256 of the source text, in hex; part of what identifies a run."""
    idea: str
    """The docstring."""
    params_type: type[msgspec.Struct]
    state_type: type[msgspec.Struct]
    indicators: Callable[[msgspec.Struct], Mapping[str, IndicatorSpec]]
    history: Callable[[msgspec.Struct], int]
    decide: Decide
