"""One instrument's closed bars in one timeframe, and everything strategies read off them.

A bar is fed once, in order: one that closes no later than the last one fed is passed over. While a
strategy still waits for its history the bars fed so far are kept, so that older history arriving
late re-opens every indicator on all bars in their order; once nobody waits they are let go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, cast

from kitestring.core.indicators import IndicatorSpec, StreamingIndicator
from kitestring.core.own_indicators import OwnUpdate
from kitestring.core.strategy import Inputs
from kitestring.domain.bars import Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import DAY, IST_OFFSET, MINUTE, NEVER, Instant, ist_date
from kitestring.domain.money import UNITS_PER_RUPEE
from kitestring.domain.sessions import Session

_COLUMNS: Final = (("open", "o"), ("high", "h"), ("low", "l"), ("close", "c"), ("volume", "v"))
_SHOWN: Final = (*_COLUMNS, ("bars_today", "n"), ("minute", "m"), ("incomplete", "x"))
_LETTER: Final[Mapping[str, str]] = MappingProxyType(dict(_COLUMNS))


class _Fill(Protocol):
    """Writes one bar, and every indicator's value at it, into the inputs of all strategies."""

    def __call__(
        self,
        o: float,
        h: float,
        l: float,  # noqa: E741 - OHLCV
        c: float,
        v: float,
        n: int,
        m: int,
        x: bool,
        /,
    ) -> None: ...


class BarFeed:
    """The bars of one (instrument, minutes); ``push`` is the hot path of the strategy engine."""

    __slots__ = (
        "_before",
        "_day_end",
        "_day_open",
        "_early",
        "_fill",
        "_indicators",
        "_last_close",
        "_own",
        "_own_day_end",
        "_readers",
        "_session",
        "_shown",
        "bar",
        "instrument",
        "minutes",
        "settle",
        "today",
    )

    bar: Bar
    """The last bar fed; unset before the first."""

    def __init__(self, instrument: InstrumentId, minutes: int, session: Session) -> None:
        self.instrument = instrument
        self.minutes = minutes
        self.settle = 0
        """Bars of history that would leave no trace of where the indicators began."""
        self._session = session
        self._shown: list[Inputs] = []
        self._readers: list[tuple[Inputs, tuple[str, ...], IndicatorSpec]] = []
        self._indicators: dict[IndicatorSpec, StreamingIndicator] = {}
        self._own: dict[IndicatorSpec, OwnUpdate] = {}
        self._early: list[Bar] | None = []
        self._begin()

    def _begin(self) -> None:
        self.today = 0
        self._before = 0
        self._last_close: Instant = 0
        self._day_open = self._session.open_at
        self._day_end = (self._day_open + IST_OFFSET) // DAY * DAY + DAY - IST_OFFSET
        self._indicators = {spec: StreamingIndicator(spec) for spec in self._indicators}
        self._find_own()
        self._fill: _Fill = self._fill_slowly
        for inputs in self._shown:
            inputs.date = _date_number(self._day_open)

    def _find_own(self) -> None:
        """The indicators in plain Python; where there are none, no day ends for them."""
        owns = ((spec, at.own) for spec, at in self._indicators.items())
        self._own = {spec: own for spec, own in owns if own is not None}
        self._own_day_end: Instant = 0 if self._own else NEVER

    def fault_for(self, inputs: Inputs) -> Exception | None:
        """What an indicator in plain Python that ``inputs`` reads has raised, if it did."""
        for reader, _, spec in self._readers:
            if reader is inputs and spec in self._own and self._own[spec].fault is not None:
                return self._own[spec].fault
        return None

    @property
    def seen(self) -> int:
        """Bars fed so far, history included."""
        return self._before + self.today

    def show(self, inputs: Inputs) -> None:
        """Write each bar's prices into ``inputs``."""
        self._shown.append(inputs)
        inputs.date = _date_number(self._day_open)
        self._fill = self._fill_slowly

    def read(self, inputs: Inputs, names: tuple[str, ...], spec: IndicatorSpec) -> None:
        """Keep an indicator's values in ``inputs`` under ``names``; equal ones are computed once."""
        self._readers.append((inputs, names, spec))
        self._indicators.setdefault(spec, StreamingIndicator(spec))
        self._find_own()
        self.settle = max(self.settle, spec.lookback + 1 + spec.settle)
        for name in names:
            setattr(inputs, name, float("nan"))
        self._fill = self._fill_slowly

    def drop(self, inputs: Inputs) -> None:
        """Stop filling ``inputs``."""
        self._shown = [kept for kept in self._shown if kept is not inputs]
        self._readers = [reader for reader in self._readers if reader[0] is not inputs]
        wanted = {spec for _, _, spec in self._readers}
        self._indicators = {spec: at for spec, at in self._indicators.items() if spec in wanted}
        self._own = {spec: own for spec, own in self._own.items() if spec in wanted}
        self._fill = self._fill_slowly

    def ready_for(self, inputs: Inputs) -> bool:
        """Whether everything ``inputs`` reads here has a value."""
        return all(
            spec.optional or self._indicators[spec].ready
            for reader, _, spec in self._readers
            if reader is inputs
        )

    def let_go(self) -> None:
        """Nobody waits for older history any more: keep no bars."""
        self._early = None

    def warm_up(self, bars: Sequence[Bar]) -> None:
        """Take history, oldest first. Older than what was fed, it goes before it, while that can be."""
        early = self._early
        if early and bars[0].close_at <= self._last_close:
            together = {bar.close_at: bar for bar in (*bars, *early)}
            self._early = []
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
        open_at = bar.open_at
        if self._day_open <= open_at < self._day_end:
            self.today += 1
        elif open_at < self._day_open:
            self._before += 1
        else:
            self._next_day(open_at)
        if open_at >= self._own_day_end:
            self._own_day(open_at)
        # An exact integer price divided once is the double nearest to its rupees.
        self._fill(
            bar.open / UNITS_PER_RUPEE,
            bar.high / UNITS_PER_RUPEE,
            bar.low / UNITS_PER_RUPEE,
            bar.close / UNITS_PER_RUPEE,
            float(bar.volume),
            self.today,
            (close_at - self._day_open) // MINUTE,
            bar.incomplete,
        )
        if self._early is not None:
            self._early.append(bar)
        return True

    def _next_day(self, open_at: Instant) -> None:
        days = (open_at - self._day_end) // DAY + 1
        self._day_open += days * DAY
        self._day_end += days * DAY
        self._before += self.today
        self.today = 1
        for inputs in self._shown:
            inputs.date = _date_number(open_at)

    def _own_day(self, open_at: Instant) -> None:
        """Tell indicators in plain Python that a day begins; history's days are days too."""
        self._own_day_end = (open_at + IST_OFFSET) // DAY * DAY + DAY - IST_OFFSET
        for own in self._own.values():
            if own.new_day is not None:
                own.new_day()

    def _fill_slowly(
        self,
        o: float,
        h: float,
        l: float,  # noqa: E741 - OHLCV
        c: float,
        v: float,
        n: int,
        m: int,
        x: bool,
        /,
    ) -> None:
        """Fill while indicators still wait for bars, until a straight line of code can do it."""
        for inputs in self._shown:
            inputs.open, inputs.high, inputs.low, inputs.close, inputs.volume = o, h, l, c, v
            inputs.bars_today, inputs.minute, inputs.incomplete = n, m, x
        for indicator in self._indicators.values():
            indicator.push(o, h, l, c, v)
        for inputs, names, spec in self._readers:
            for name, value in zip(names, self._indicators[spec].values, strict=True):
                setattr(inputs, name, value)
        if all(indicator.ready for indicator in self._indicators.values()):
            self._fill = self._straight_line()

    def _straight_line(self) -> _Fill:
        """The same as one function of assignments: ``i0.slow = u1(c)``, a third of the time."""
        lines = ["def fill(o, h, l, c, v, n, m, x, /):", " pass"]
        known: dict[str, object] = {}
        places: dict[int, str] = {}
        for inputs in (*self._shown, *(reader[0] for reader in self._readers)):
            place = places.setdefault(id(inputs), f"i{len(places)}")
            known[place] = inputs
        for inputs in self._shown:
            place = places[id(inputs)]
            lines.extend(f" {place}.{name} = {letter}" for name, letter in _SHOWN)
        for number, (spec, indicator) in enumerate(self._indicators.items()):
            known[f"u{number}"] = indicator.update
            to = "".join(
                ", ".join(f"{places[id(inputs)]}.{name}" for name in names) + " = "
                for inputs, names, wanted in self._readers
                if wanted == spec
            )
            columns = ", ".join(_LETTER[column] for column in spec.inputs)
            lines.append(f" {to}u{number}({columns})")
        # Names were checked to be identifiers when the strategy was loaded; nothing else goes in.
        exec("\n".join(lines), known)  # noqa: S102 - as dataclasses do, for the same reason
        return cast("_Fill", known["fill"])


def _date_number(at: Instant) -> int:
    day = ist_date(at)
    return (day.year * 100 + day.month) * 100 + day.day
