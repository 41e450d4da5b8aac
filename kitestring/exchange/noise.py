"""Movement that can be asked for at any second without living through the seconds before it.

Values at evenly spaced knots are hashes of (name, knot); between two knots lies a straight line.
Such noises of many periods, each four times as long and twice as large, add up to a path that
wanders as prices do, near and far. Whole numbers only, as everywhere in ``seeded``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kitestring.exchange.seeded import Ints

Words = NDArray[np.uint64]
"""A column of 64-bit keys or draws."""

FAST: Final = (1, 3, 5, 7, 9)
"""Binary logarithms of periods within ten minutes: what the hour of the day makes loud or quiet."""
SLOW: Final = (11, 13, 15, 17, 19, 21, 23)
"""Half an hour to a year; a trading day is 2¹⁵ places of a path."""
HALF: Final = 1 << 15
"""Knots lie evenly between minus this and plus this."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_OCTAVE: Final = 0xD6E8FEB86659FD93
_U64: Final = (1 << 64) - 1
_S27, _S30, _S31, _S32, _S48 = (np.uint64(bits) for bits in (27, 30, 31, 32, 48))
_GROWN: Final = {1: 1752, 3: 3505, 5: 7009, 7: 14018, 9: 28037, 11: 56073, 13: 112147} | {
    15: 224293,
    17: 448587,
    19: 897174,
    21: 1794347,
    23: 3588694,
}
"""Half range of an octave in 1/1024 of a second's step: 1.21 × the root of its period, so that the
sum moves over any stretch by about the root of its length."""
_GROWN_BITS: Final = 10 + 15


def words_at(keys: Words, places: Ints) -> Words:
    """The draw of each key at each place (SplitMix64, as ``seeded.Stream``)."""
    words = places.astype(np.uint64)
    words = words + np.uint64(1)
    words *= _GOLDEN
    words = words + keys
    words ^= words >> _S30
    words *= _MIX[0]
    words ^= words >> _S27
    words *= _MIX[1]
    words ^= words >> _S31
    return words


def below(words: Words, bound: Ints | int) -> Ints:
    """Even draws from 0 to ``bound − 1`` out of the upper halves of words."""
    limit = np.asarray(bound, dtype=np.uint64)
    return ((words >> _S32) * limit >> _S32).astype(np.int64)


def even_at(keys: Words, places: Ints) -> Ints:
    """Knots: even draws between −``HALF`` and ``HALF``."""
    return (words_at(keys, places) >> _S48).astype(np.int64) - HALF


def octave(keys: Words, bits: int) -> Words:
    """The keys of the noise of period 2^bits."""
    return keys ^ np.uint64((bits + 1) * _OCTAVE & _U64)


def noise_at(keys: Words, at: Ints, bits: int) -> Ints:
    """Value noise of period 2^bits at each (key, place), between −``HALF`` and ``HALF``."""
    keys = octave(keys, bits)
    knot = at >> bits
    first = even_at(keys, knot)
    second = even_at(keys, knot + 1)
    return first + ((second - first) * (at & ((1 << bits) - 1)) >> bits)


def noise_over(keys: Words, start: Ints, count: int, bits: int) -> Ints:
    """The same at ``count`` places from each key's own start on: one row a key.

    Only the knots are hashed, of which there are few; the places between cost an addition each.
    """
    keys = octave(keys, bits)[:, None]
    at = start[:, None] + np.arange(count)
    first_knot = start >> bits
    knots = ((start + count - 1) >> bits) - first_knot + 2
    drawn = even_at(keys, first_knot[:, None] + np.arange(int(knots.max(initial=2))))
    place = (at >> bits) - first_knot[:, None]
    first = np.take_along_axis(drawn, place, axis=1)
    second = np.take_along_axis(drawn, place + 1, axis=1)
    return first + ((second - first) * (at & ((1 << bits) - 1)) >> bits)


def grown(noise: Ints, bits: int) -> Ints:
    """One octave in its size within a walk of a unit step a second, before ``settled``."""
    return noise * _GROWN[bits]


def settled(walk: Ints, step: Ints) -> Ints:
    """A sum of grown octaves as a path whose steps of one second are of the given size."""
    return walk * step >> _GROWN_BITS
