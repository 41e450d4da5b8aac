"""Indicators that an author writes in plain Python, kept honest and kept apart from the house.

An own indicator is a class whose object is made with its parameters and fed every closed bar::

    class Middle:
        def __init__(self, bars): ...
        def push(self, open, high, low, close, volume): return ...
        def new_day(self): ...        # optional: called before the first bar of each day

It may remember what it likes between bars, because it is rebuilt by feeding it the same bars again;
it must therefore compute from those bars and from nothing else. ``push`` returns a number, or as
many as the class names in ``outputs``. One that raises switches off the strategies that read it,
and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

Values = tuple[float, ...]

_PROBES: Final = 3
"""Bars beyond its history that a new indicator is tried on before the day."""


class OwnIndicator(Protocol):
    """What an own indicator can do; ``outputs`` and ``new_day`` may be left out."""

    def push(
        self,
        open: float,  # noqa: A002 - the columns' own names
        high: float,
        low: float,
        close: float,
        volume: float,
        /,
    ) -> float | Values:
        """The value at the close of this bar; prices in rupees."""
        ...


class OwnUpdate:
    """One own indicator at work: calls it, checks its answer, remembers the first failure."""

    __slots__ = ("_nothing", "_outputs", "_push", "fault", "new_day")

    def __init__(
        self, kind: Callable[..., OwnIndicator], arguments: Values, outputs: tuple[str, ...]
    ) -> None:
        made = kind(*arguments)
        self._push = made.push
        self._outputs = len(outputs)
        self._nothing: float | Values = (math.nan,) * len(outputs) if outputs else math.nan
        self.fault: Exception | None = None
        """What it raised first; it is not asked again."""
        begin: Callable[[], object] | None = getattr(made, "new_day", None)
        self.new_day = begin if begin is None else self._guarded(begin)

    def __call__(
        self,
        o: float,
        h: float,
        l: float,  # noqa: E741 - OHLCV
        c: float,
        v: float,
        /,
    ) -> float | Values:
        """The value at this bar; ``nan`` for ever after a failure."""
        if self.fault is None:
            try:
                value = self._push(o, h, l, c, v)
                if not self._outputs:
                    return value + 0.0  # type: ignore[operator]  # what is no number raises here
                values = tuple([one + 0.0 for one in value])  # type: ignore[union-attr]  # as above
                if len(values) == self._outputs:
                    return values
                self.fault = ValueError(
                    f"push returned {len(values)} values, outputs names {self._outputs}"
                )
            except Exception as error:  # noqa: BLE001 - an author's code may raise anything
                self.fault = error
        return self._nothing

    def _guarded(self, begin: Callable[[], object]) -> Callable[[], None]:
        def new_day() -> None:
            try:
                begin()
            except Exception as error:  # noqa: BLE001 - an author's code may raise anything
                self.fault = self.fault or error

        return new_day


def checked_outputs(
    kind: Callable[..., OwnIndicator], arguments: Values, history: int
) -> tuple[str, ...]:
    """The names of an own indicator's values, after trying it on a few rising bars.

    Raises ``ValueError`` where it cannot be made, fails, or answers twice differently.
    """
    name = getattr(kind, "__name__", str(kind))
    outputs = tuple(getattr(kind, "outputs", ()))
    twins = []
    for _ in range(2):
        try:
            one = OwnUpdate(kind, arguments, outputs)
        except Exception as error:
            raise ValueError(f"{name}({', '.join(map(str, arguments))}) fails: {error}") from error
        answers = []
        for bar in range(history + _PROBES):
            if bar == 0 and one.new_day is not None:
                one.new_day()
            answers.append(repr(one(100.0 + bar, 102.0 + bar, 99.0 + bar, 101.0 + bar, 10.0 + bar)))
        if one.fault is not None:
            why = f"{type(one.fault).__name__}: {one.fault}"
            raise ValueError(f"{name}.push fails: {why}") from one.fault
        twins.append(answers)
    if twins[0] != twins[1]:
        raise ValueError(f"{name}.push gives two answers for the same bars")
    return outputs


class SessionVwap:
    """Volume-weighted average price since the day's first bar; ``nan`` until something traded.

    Each bar counts with its typical price, a third of high + low + close, as charts do it.
    """

    __slots__ = ("_traded", "_value")

    def __init__(self) -> None:
        self.new_day()

    def new_day(self) -> None:
        """Begin again: yesterday's trades say nothing about today's average."""
        self._value = 0.0
        self._traded = 0.0

    def push(
        self,
        open: float,  # noqa: A002, ARG002 - every indicator gets the whole bar
        high: float,
        low: float,
        close: float,
        volume: float,
    ) -> float:
        """Add one bar."""
        self._value += (high + low + close) / 3 * volume
        self._traded += volume
        return self._value / self._traded if self._traded else math.nan
