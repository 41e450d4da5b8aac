"""How a market day breathes: loud after the open, quiet at lunch, loud again into the close.

Shapes are tables of (place in the session in 1/1000, value in per cent of an ordinary moment),
joined by straight lines in whole numbers. They are stated, not fitted: the open about three times
as lively as midday, the last quarter of an hour about five times the midday volume (RELIANCE,
one-minute volumes of October–December 2025).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kitestring.exchange.seeded import Ints

Shape = tuple[tuple[int, int], ...]
"""Rows of (1/1000 of the session, per cent)."""

VOLATILITY: Final[Shape] = (
    (0, 240),
    (13, 190),
    (40, 150),
    (100, 120),
    (200, 95),
    (350, 75),
    (550, 70),
    (700, 80),
    (850, 100),
    (960, 125),
    (1000, 140),
)
VOLUME: Final[Shape] = (
    (0, 420),
    (13, 300),
    (40, 210),
    (100, 150),
    (200, 105),
    (350, 75),
    (550, 62),
    (700, 78),
    (850, 120),
    (960, 230),
    (1000, 330),
)


def joined(places: list[int], values: list[int], count: int) -> Ints:
    """Whole numbers at ``0 … count − 1`` on straight lines between the given points.

    ``places`` rise strictly and cover the range. Division rounds down, identically everywhere;
    NumPy's own interpolation works in floats, which may differ between processors.
    """
    column = np.empty(count, dtype=np.int64)
    for start, end, first, last in zip(places, places[1:], values, values[1:], strict=False):
        stop = min(end, count)
        if start < stop:
            steps = np.arange(stop - start, dtype=np.int64)
            column[start:stop] = first + (last - first) * steps // (end - start)
    if places[-1] < count:
        column[places[-1] :] = values[-1]
    return column


def over_session(shape: Shape, seconds: int) -> Ints:
    """A shape stretched over a session of that many seconds, one value per second."""
    places: list[int] = []
    values: list[int] = []
    for place, value in shape:
        at = place * seconds // 1000
        if not places or at > places[-1]:
            places.append(at)
            values.append(value)
    return joined(places, values, seconds)


def opening_width(seconds: int) -> Ints:
    """Spread in per cent of an ordinary one: three times at the open, ordinary after ten minutes."""
    return joined([0, 60, 240, 600, 601], [300, 240, 150, 100, 100], seconds)
