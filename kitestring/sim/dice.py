"""Chance for whoever plans a day: one named row of draws of a seed, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from kitestring.exchange.seeded import key

_T = TypeVar("_T")


class Dice:
    """Draws one after the other; the name keeps one plan's part from moving when another grows."""

    def __init__(self, seed: int, name: str) -> None:
        self._seed = seed
        self._name = name
        self._drawn = 0

    def below(self, bound: int) -> int:
        """From 0 to ``bound − 1``."""
        self._drawn += 1
        return key(self._seed, self._name, str(self._drawn)) % bound

    def between(self, low: int, high: int) -> int:
        """From ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def one_in(self, count: int) -> bool:
        """True once in ``count`` draws."""
        return self.below(count) == 0

    def one_of(self, among: Sequence[_T]) -> _T:
        """Any one."""
        return among[self.below(len(among))]

    def some_of(self, among: Sequence[_T], count: int) -> list[_T]:
        """``count`` different ones, or all, in their order."""
        left = list(range(len(among)))
        while len(left) > count:
            left.pop(self.below(len(left)))
        return [among[place] for place in left]
