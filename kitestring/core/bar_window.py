"""The last closed bars of one instrument and timeframe, as a strategy looks back over them.

Memory is bounded: the oldest bar leaves when a new one comes. Columns are float rupees in NumPy
arrays that are *views* into one buffer, never copies; nothing is written to them until somebody
reads, because most strategies read streaming indicators and no window at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from kitestring.domain.bars import Bar
from kitestring.domain.instants import NEVER
from kitestring.domain.money import UNITS_PER_RUPEE

Column = npt.NDArray[np.float64]

_COLUMNS: Final = 5


class BarWindow:
    """Up to ``capacity`` closed bars, oldest first; history from before the session included.

    A column is valid until the next bar closes; whoever wants to keep one copies it.
    """

    __slots__ = ("_bars", "_buffer", "_end", "_newest", "append", "capacity")

    def __init__(self, capacity: int) -> None:
        assert capacity > 0
        self.capacity = capacity
        self._bars: deque[Bar] = deque(maxlen=capacity)
        self.append: Callable[[Bar], None] = self._bars.append
        """Add the bar that has just closed; the deque's own method, since nothing else is to be done."""
        self._newest: Bar | None = None
        """The newest bar whose numbers are in the buffer."""
        self._end = 0
        self._buffer: npt.NDArray[np.float64] | None = None

    def load(self, bars: Iterable[Bar]) -> None:
        """Put warm-up bars before the bars already here; those that would overlap them are left out."""
        here = list(self._bars)
        first_at = here[0].open_at if here else NEVER
        self._bars.clear()
        self._bars.extend(bar for bar in bars if bar.close_at <= first_at)
        self._bars.extend(here)
        self._newest = None

    def __len__(self) -> int:
        return len(self._bars)

    def __iter__(self) -> Iterator[Bar]:
        return iter(self._bars)

    @property
    def last(self) -> Bar | None:
        """The bar that closed last, ``None`` before the first."""
        return self._bars[-1] if self._bars else None

    @property
    def open(self) -> Column:
        """Opening prices in rupees, oldest first."""
        return self._column(0)

    @property
    def high(self) -> Column:
        """Highest prices in rupees, oldest first."""
        return self._column(1)

    @property
    def low(self) -> Column:
        """Lowest prices in rupees, oldest first."""
        return self._column(2)

    @property
    def close(self) -> Column:
        """Closing prices in rupees, oldest first."""
        return self._column(3)

    @property
    def volume(self) -> Column:
        """Traded quantities in units of the instrument, oldest first."""
        return self._column(4)

    def _column(self, index: int) -> Column:
        if self._buffer is None:
            self._buffer = np.empty((_COLUMNS, 2 * self.capacity), dtype=np.float64)
        if self._bars and self._bars[-1] is not self._newest:
            self._write(self._buffer)
        column: Column = self._buffer[index, self._end - len(self._bars) : self._end]
        column.flags.writeable = False
        return column

    def _write(self, buffer: npt.NDArray[np.float64]) -> None:
        """Bring the buffer up to date: the new bars only, or all of them where it is full."""
        bars = self._bars
        fresh = 1
        while fresh < len(bars) and bars[-1 - fresh] is not self._newest:
            fresh += 1
        if fresh == len(bars) or self._end + fresh > 2 * self.capacity:
            # The double buffer is used up (once in ``capacity`` bars): start again at its front.
            fresh, self._end = len(bars), 0
        opens, highs, lows, closes, volumes = buffer
        at = self._end
        for place in range(-fresh, 0):
            bar = bars[place]
            opens[at] = int(bar.open) / UNITS_PER_RUPEE
            highs[at] = int(bar.high) / UNITS_PER_RUPEE
            lows[at] = int(bar.low) / UNITS_PER_RUPEE
            closes[at] = int(bar.close) / UNITS_PER_RUPEE
            volumes[at] = bar.volume
            at += 1
        self._end = at
        self._newest = bars[-1]
