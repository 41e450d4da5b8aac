"""Chance that is the same on every machine: whoever knows the seed and the name knows every draw.

Draws are a function of (seed, name, place), computed with 64-bit integers only. No state, no
platform mathematics and no library generator is involved, so that a synthetic day is the same to
the byte on every computer, in every process and under every version of NumPy.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
"""A column of whole numbers."""

_BELL_SD: Final = 37_837
"""Standard deviation of the sum of four 16-bit draws: sqrt(4 · (65536² − 1) / 12)."""
_BELL_MEAN: Final = 4 * 65_535 // 2
_U64: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_FIELD: Final = np.uint64(0xFFFF)


def key(seed: int, *names: str) -> int:
    """The 64-bit key of one named stream of a seed."""
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Stream:
    """An endless row of draws for one name; columns are taken by place, in any order."""

    __slots__ = ("_key", "_place")

    def __init__(self, seed: int, *names: str) -> None:
        self._key = key(seed, *names)
        self._place = 0

    def raw_at(self, place: int, count: int) -> NDArray[np.uint64]:
        """``count`` 64-bit words from ``place`` on (SplitMix64 of the place: Steele et al., 2014)."""
        words = np.arange(count, dtype=np.uint64)
        words *= np.uint64(_GOLDEN)
        words += np.uint64((self._key + (place + 1) * _GOLDEN) & _U64)
        words ^= words >> np.uint64(30)
        words *= _MIX[0]
        words ^= words >> np.uint64(27)
        words *= _MIX[1]
        words ^= words >> np.uint64(31)
        return words

    def raw(self, count: int) -> NDArray[np.uint64]:
        """The next ``count`` words."""
        place = self._place
        self._place = place + count
        return self.raw_at(place, count)

    def bell(self, count: int, sd: int = 65_536) -> Ints:
        """The next bell-shaped draws with standard deviation ``sd``, never beyond 3.47 of it."""
        return bell_of(self.raw(count)) * sd // _BELL_SD

    def below(self, count: int, bound: int) -> Ints:
        """The next even draws from ``0`` to ``bound − 1``; ``bound`` is at most 2³²."""
        return ((self.raw(count) >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(
            np.int64
        )

    def skewed(self, count: int, median: int, log2_sd: int) -> Ints:
        """The next draws that are mostly small and sometimes large, as trade sizes are.

        Like a lognormal with the given median; ``log2_sd`` is its width in 1/65536 of a doubling.
        Powers of two are joined by straight lines, so that integers suffice.
        """
        power = self.bell(count, log2_sd)
        whole = power >> 16
        part = (power & 0xFFFF) + 65_536
        size = median * part
        grown: Ints = np.where(
            whole >= 0, size << np.maximum(whole, 0), size >> np.maximum(-whole, 0)
        )
        return grown >> 16

    def one_below(self, bound: int) -> int:
        """The next single even draw below ``bound``."""
        return int(self.below(1, bound)[0])

    def one_bell(self, sd: int) -> int:
        """The next single bell-shaped draw."""
        return int(self.bell(1, sd)[0])

    def one_between(self, low: int, high: int) -> int:
        """The next single even draw from ``low`` to ``high``, both included."""
        return low + self.one_below(high - low + 1)

    def one_sign(self) -> int:
        """Up (+1) or down (−1), evenly."""
        return 1 if self.one_below(2) else -1


def bell_of(words: NDArray[np.uint64]) -> Ints:
    """Bell-shaped whole numbers with standard deviation 37 837, one per word."""
    total = words & _FIELD
    total += (words >> np.uint64(16)) & _FIELD
    total += (words >> np.uint64(32)) & _FIELD
    total += words >> np.uint64(48)
    return total.astype(np.int64) - _BELL_MEAN


def bell_at(stream: Stream, place: int, count: int, sd: int) -> Ints:
    """Bell-shaped draws of a stream by place: the same place always gives the same draw."""
    return bell_of(stream.raw_at(place, count)) * sd // _BELL_SD
