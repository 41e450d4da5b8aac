"""One instrument's closed bars in one timeframe, and everything strategies read off them.

A bar is fed once, in order: one that closes no later than the last one fed is passed over. While a
strategy still waits for its history the bars fed so far are kept, so that older history arriving
late re-opens every indicator on all bars in their order; once nobody waits they are let go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from kitestring.core.indicators import IndicatorSpec, StreamingIndicator
from kitestring.core.strategy import Inputs
from kitestring.domain.bars import Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import DAY, IST_OFFSET, MINUTE, Instant
from kitestring.domain.money import UNITS_PER_RUPEE
from kitestring.domain.sessions import Session

_ONE_CLOSE: Final = ("close",)
_ONE_HLC: Final = ("high", "low", "close")


class _Reading:
    """One indicator, and where its values go."""

    __slots__ = ("indicator", "inputs", "names")

    def __init__(self, inputs: Inputs, names: tuple[str, ...], spec: IndicatorSpec) -> None:
        self.inputs = inputs
        self.names = names
        self.indicator = StreamingIndicator(spec)

    def push(self, o: float, h: float, l: float, c: float, v: float) -> None:  # noqa: E741 - OHLCV
        indicator = self.indicator
        indicator.push(o, h, l, c, v)
        for name, value in zip(self.names, indicator.values, strict=True):
            setattr(self.inputs, name, value)


class BarFeed:
    """The bars of one (instrument, minutes); ``push`` is the hot path of the strategy engine."""

    __slots__ = (
        "_by_close",
        "_by_hlc",
        "_by_push",
        "_day_end",
        "_day_open",
        "_early",
        "_inputs",
        "_last_close",
        "_pending",
        "_readings",
        "_session",
        "bar",
        "instrument",
        "minutes",
        "seen",
        "settle",
        "today",
    )

    def __init__(self, instrument: InstrumentId, minutes: int, session: Session) -> None:
        self.instrument = instrument
        self.minutes = minutes
        self.settle = 0
        """Bars of history that would leave no trace of where the indicators began."""
        self._session = session
        self._inputs: tuple[Inputs, ...] = ()
        self._readings: list[_Reading] = []
        self._early: list[Bar] | None = []
        self._begin()

    def _begin(self) -> None:
        self.bar: Bar | None = None
        self.seen = 0
        self.today = 0
        self._last_close: Instant = 0
        self._day_open = self._session.open_at
        self._day_end = (self._day_open + IST_OFFSET) // DAY * DAY + DAY - IST_OFFSET
        self._sort()

    def _sort(self) -> None:
        """Put each indicator where it costs least: most read the close, or high, low and close."""
        self._pending: list[_Reading] = []
        by_close: list[tuple[Inputs, str, Callable[[float], float]]] = []
        by_hlc: list[tuple[Inputs, str, Callable[[float, float, float], float]]] = []
        by_push: list[_Reading] = []
        for reading in self._readings:
            indicator = reading.indicator
            update = indicator.update
            if update is None:
                self._pending.append(reading)
            elif indicator.spec.outputs:
                by_push.append(reading)
            elif indicator.spec.inputs == _ONE_CLOSE:
                by_close.append(
                    (reading.inputs, reading.names[0], cast("Callable[[float], float]", update))
                )
            elif indicator.spec.inputs == _ONE_HLC:
                plain = cast("Callable[[float, float, float], float]", update)
                by_hlc.append((reading.inputs, reading.names[0], plain))
            else:
                by_push.append(reading)
        self._by_close = tuple(by_close)
        self._by_hlc = tuple(by_hlc)
        self._by_push = tuple(by_push)

    @property
    def warm(self) -> bool:
        """Whether every indicator on this feed has a value."""
        return not self._pending

    def show(self, inputs: Inputs) -> None:
        """Write each bar's prices into ``inputs``."""
        self._inputs = (*self._inputs, inputs)

    def read(self, inputs: Inputs, names: tuple[str, ...], spec: IndicatorSpec) -> None:
        """Keep an indicator's values in ``inputs`` under ``names``."""
        self._readings.append(_Reading(inputs, names, spec))
        self.settle = max(self.settle, spec.lookback + 1 + spec.settle)
        for name in names:
            setattr(inputs, name, float("nan"))
        self._sort()

    def ready_for(self, inputs: Inputs) -> bool:
        """Whether everything ``inputs`` reads here has a value."""
        return all(reading.inputs is not inputs for reading in self._pending)

    def drop(self, inputs: Inputs) -> None:
        """Stop filling ``inputs``."""
        self._inputs = tuple(kept for kept in self._inputs if kept is not inputs)
        self._readings = [reading for reading in self._readings if reading.inputs is not inputs]
        self._sort()

    def let_go(self) -> None:
        """Nobody waits for older history any more: keep no bars."""
        self._early = None

    def warm_up(self, bars: Sequence[Bar]) -> None:
        """Take history, oldest first. Older than what was fed, it goes before it, while that can be."""
        early = self._early
        if early and bars[0].close_at <= self._last_close:
            together = {bar.close_at: bar for bar in (*bars, *early)}
            self._early = []
            for reading in self._readings:
                reading.indicator = StreamingIndicator(reading.indicator.spec)
            self._begin()
            bars = [together[close_at] for close_at in sorted(together)]
        for bar in bars:
            self.push(bar)

    def push(self, bar: Bar) -> bool:
        """Take one closed bar; whether it was new."""
        close_at = bar.close_at
        if close_at <= self._last_close:
            return False
        self._last_close = close_at
        self.bar = bar
        self.seen += 1
        open_at = bar.open_at
        if open_at >= self._day_open:
            if open_at >= self._day_end:
                self._next_day(open_at)
            self.today += 1
        # The exact integer price divided once is the double nearest to its rupees.
        o = bar.open / UNITS_PER_RUPEE
        h = bar.high / UNITS_PER_RUPEE
        l = bar.low / UNITS_PER_RUPEE  # noqa: E741 - OHLCV
        c = bar.close / UNITS_PER_RUPEE
        v = float(bar.volume)
        for inputs in self._inputs:
            inputs.open = o
            inputs.high = h
            inputs.low = l
            inputs.close = c
            inputs.volume = v
            inputs.incomplete = bar.incomplete
            inputs.bars_today = self.today
            inputs.minute = (close_at - self._day_open) // MINUTE
        for inputs, name, update in self._by_close:
            setattr(inputs, name, update(c))
        for inputs, name, update_hlc in self._by_hlc:
            setattr(inputs, name, update_hlc(h, l, c))
        for reading in self._by_push:
            reading.push(o, h, l, c, v)
        if self._pending:
            for reading in self._pending:
                reading.push(o, h, l, c, v)
            if any(reading.indicator.ready for reading in self._pending):
                self._sort()
        if self._early is not None:
            self._early.append(bar)
        return True

    def _next_day(self, open_at: Instant) -> None:
        days = (open_at - self._day_end) // DAY + 1
        self._day_open += days * DAY
        self._day_end += days * DAY
        self.today = 0
