"""The indicators a trader reads off a chart, fed one closed bar at a time.

Each is declared as a small value (``ema(9)``, ``atr(14)``, ``macd(12, 26, 9)``) and computed by
TA-Lib's streaming handles, whose every value is bit for bit what TA-Lib's batch function gives for
the same bar. A value is ``nan`` until enough bars are there. A handle opened again on exactly the
bars it has seen gives exactly the values it would have given; that is what makes a restart safe.

Recursive indicators (EMA, RSI, ATR, …) remember their first bar for a while, and OBV, AD, SAR and
SUPERTREND for ever: ``settle`` says how many bars beyond the first value one should load so that
the start no longer shows.

What is not here an author writes himself, in plain Python: ``own(MyIndicator, 14)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec
import numpy as np
import talib
from talib import InsufficientHistory, stream  # type: ignore[attr-defined]  # missing in its stubs
from talib.abstract import Function  # type: ignore[attr-defined]  # missing in its stubs

from kitestring.core.own_indicators import OwnIndicator, OwnUpdate, SessionVwap, checked_outputs
from kitestring.domain.bars import DAY_BAR
from kitestring.domain.ids import InstrumentId

Field = Literal["open", "high", "low", "close", "volume"]
"""A column of a bar; prices in rupees."""

_COLUMN: Final[Mapping[str, int]] = {"open": 0, "high": 1, "low": 2, "close": 3, "volume": 4}
_HLC: Final[tuple[Field, ...]] = ("high", "low", "close")
_BAR: Final[tuple[Field, ...]] = ("open", "high", "low", "close", "volume")
_LAST: Final = "LAST"
_OWN: Final = "OWN"
_SETTLE_X: Final = 5
"""Lookbacks after which a recursive indicator's seed weighs under 1 % (Wilder's, the slowest)."""
_RECURSIVE: Final = frozenset(
    (
        *("EMA", "DEMA", "TEMA", "KAMA", "RMA", "T3", "RSI", "CMO", "STOCHRSI", "MACD", "TRIX"),
        *("ATR", "NATR", "ADX", "PLUS_DI", "MINUS_DI", "KC", "SUPERTREND", "SAR", "ADOSC"),
    )
)

Number = int | float


class IndicatorSpec(msgspec.Struct, frozen=True):
    """One indicator, asked for: which TA-Lib function, on which columns, with which parameters.

    ``outputs`` is empty for an indicator of one value, else the names of its values in order: a
    strategy that calls it ``bb`` reads ``i.bb_upper``. ``lookback`` bars come before its first
    value. ``minutes`` and ``instrument`` of ``None`` mean the strategy's own.
    """

    fn: str
    inputs: tuple[Field, ...]
    params: tuple[tuple[str, Number], ...] = ()
    outputs: tuple[str, ...] = ()
    lookback: int = 0
    minutes: int | None = None
    instrument: InstrumentId | None = None
    optional: bool = False
    """The strategy can decide without it: it reads NaN until its first value."""
    kind: Callable[..., OwnIndicator] | None = None
    """The class of an indicator in plain Python; TA-Lib's have none."""
    settle_own: int = 0

    @property
    def settle(self) -> int:
        """Bars beyond the first value after which the value no longer shows where it began."""
        if self.kind is not None:
            return self.settle_own
        return _SETTLE_X * self.lookback if self.fn in _RECURSIVE else 0

    def on(self, instrument: InstrumentId) -> IndicatorSpec:
        """The same indicator read off another instrument's bars."""
        return msgspec.structs.replace(self, instrument=instrument)

    def if_known(self) -> IndicatorSpec:
        """The same indicator, not waited for: NaN until it has enough bars."""
        return msgspec.structs.replace(self, optional=True)


def _spec(
    fn: str,
    inputs: tuple[Field, ...],
    params: tuple[tuple[str, Number], ...] = (),
    outputs: tuple[str, ...] = (),
    minutes: int | None = None,
) -> IndicatorSpec:
    for name, value in params:
        if not math.isfinite(value):
            raise ValueError(f"{fn}: {name} is {value}")
        if name.endswith("period") and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{fn}: {name} must be a whole number of bars, not {value}")
    lookback = int(Function(fn, **dict(params)).lookback)
    ramp = np.arange(1.0, lookback + 3.0)
    try:
        getattr(talib, fn)(*[ramp] * len(inputs), **dict(params))
    except Exception as error:
        # TA-Lib raises a bare Exception for a parameter outside its range; better here, where the
        # strategy is loaded, than in the middle of the day.
        asked = ", ".join(f"{name}={value}" for name, value in params)
        raise ValueError(f"{fn}: TA-Lib does not compute it with {asked}: {error}") from error
    return IndicatorSpec(fn, inputs, params, outputs, lookback, minutes)


def _period(
    fn: str, inputs: tuple[Field, ...], period: int, minutes: int | None, *outputs: str
) -> IndicatorSpec:
    return _spec(fn, inputs, (("timeperiod", period),), outputs, minutes)


# -- what the last closed bar said -------------------------------------------------------------


def last(of: Field, minutes: int | None = None) -> IndicatorSpec:
    """A column of the last closed bar of a timeframe: ``last("close", minutes=15)``."""
    return IndicatorSpec(_LAST, (of,), minutes=minutes)


def previous_day(of: Field) -> IndicatorSpec:
    """Yesterday's open, high, low, close or volume: the last closed bar of the day timeframe.

    Not waited for: a day without history would wait for ever. Until it is known it is NaN, which is
    neither above nor below anything: ask ``math.isnan(i.name)`` first.
    """
    return last(of, DAY_BAR).if_known()


def own(
    kind: Callable[..., OwnIndicator],
    *params: Number,
    history: int = 0,
    settle: int = 0,
    minutes: int | None = None,
) -> IndicatorSpec:
    """An indicator of your own: a class with ``push(open, high, low, close, volume)``.

    ``history`` bars come before its first value that counts; ``settle`` more are loaded where there
    are any, for one that remembers its first bars for a while. Raises ``ValueError`` where
    ``kind(*params)`` cannot be made or fed.
    """
    if history < 0 or settle < 0:
        raise ValueError(f"history ({history}) and settle ({settle}) are numbers of bars")
    outputs = checked_outputs(kind, params, history)
    named = tuple((str(place), value) for place, value in enumerate(params))
    return IndicatorSpec(_OWN, _BAR, named, outputs, history, minutes, kind=kind, settle_own=settle)


# -- averages and bands, on the price scale ------------------------------------------------------


def sma(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Simple moving average."""
    return _period("SMA", (of,), period, minutes)


def ema(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Exponential moving average."""
    return _period("EMA", (of,), period, minutes)


def wma(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Linearly weighted moving average."""
    return _period("WMA", (of,), period, minutes)


def rma(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Wilder's moving average, the one inside RSI and ATR."""
    return _period("RMA", (of,), period, minutes)


def hma(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Hull moving average."""
    return _period("HMA", (of,), period, minutes)


def dema(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Double exponential moving average."""
    return _period("DEMA", (of,), period, minutes)


def tema(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Triple exponential moving average."""
    return _period("TEMA", (of,), period, minutes)


def kama(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Kaufman's adaptive moving average."""
    return _period("KAMA", (of,), period, minutes)


def linearreg(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """End point of the least-squares line through the last bars."""
    return _period("LINEARREG", (of,), period, minutes)


def linearreg_slope(period: int, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Slope of the least-squares line, in rupees per bar."""
    return _period("LINEARREG_SLOPE", (of,), period, minutes)


def highest(period: int, of: Field = "high", minutes: int | None = None) -> IndicatorSpec:
    """Highest value of the last bars, this one included (TA-Lib's MAX)."""
    return _period("MAX", (of,), period, minutes)


def lowest(period: int, of: Field = "low", minutes: int | None = None) -> IndicatorSpec:
    """Lowest value of the last bars, this one included (TA-Lib's MIN)."""
    return _period("MIN", (of,), period, minutes)


def midprice(period: int, minutes: int | None = None) -> IndicatorSpec:
    """Middle of the highest high and the lowest low."""
    return _period("MIDPRICE", ("high", "low"), period, minutes)


def bbands(
    period: int = 20,
    up: float = 2.0,
    down: float = 2.0,
    of: Field = "close",
    minutes: int | None = None,
) -> IndicatorSpec:
    """Bollinger bands; values ``upper``, ``middle``, ``lower``."""
    params = (("timeperiod", period), ("nbdevup", up), ("nbdevdn", down))
    return _spec("BBANDS", (of,), params, ("upper", "middle", "lower"), minutes)


def keltner(
    period: int = 20, atr_period: int = 10, width: float = 2.0, minutes: int | None = None
) -> IndicatorSpec:
    """Keltner channel; values ``upper``, ``middle``, ``lower``."""
    params = (("timeperiod", period), ("atrperiod", atr_period), ("nbdev", width))
    return _spec("KC", _HLC, params, ("upper", "middle", "lower"), minutes)


def donchian(period: int = 20, minutes: int | None = None) -> IndicatorSpec:
    """Donchian channel; values ``upper``, ``middle``, ``lower``, this bar included."""
    return _period("DONCHIAN", ("high", "low"), period, minutes, "upper", "middle", "lower")


def supertrend(
    period: int = 10, multiplier: float = 3.0, minutes: int | None = None
) -> IndicatorSpec:
    """SuperTrend; values ``line`` and ``trend`` (1 up, −1 down)."""
    params = (("timeperiod", period), ("multiplier", multiplier))
    return _spec("SUPERTREND", _HLC, params, ("line", "trend"), minutes)


def sar(
    acceleration: float = 0.02, maximum: float = 0.2, minutes: int | None = None
) -> IndicatorSpec:
    """Parabolic stop-and-reverse."""
    params = (("acceleration", acceleration), ("maximum", maximum))
    return _spec("SAR", ("high", "low"), params, (), minutes)


# -- momentum --------------------------------------------------------------------------------------


def rsi(period: int = 14, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Wilder's relative strength index, 0 to 100."""
    return _period("RSI", (of,), period, minutes)


def macd(
    fast: int = 12,
    slow: int = 26,
    signal: int = 9,
    of: Field = "close",
    minutes: int | None = None,
) -> IndicatorSpec:
    """Moving average convergence divergence; values ``line``, ``signal``, ``hist``."""
    params = (("fastperiod", fast), ("slowperiod", slow), ("signalperiod", signal))
    return _spec("MACD", (of,), params, ("line", "signal", "hist"), minutes)


def stoch(
    fast_k: int = 5, slow_k: int = 3, slow_d: int = 3, minutes: int | None = None
) -> IndicatorSpec:
    """Slow stochastic; values ``k`` and ``d``, 0 to 100."""
    params = (("fastk_period", fast_k), ("slowk_period", slow_k), ("slowd_period", slow_d))
    return _spec("STOCH", _HLC, params, ("k", "d"), minutes)


def stochrsi(
    period: int = 14,
    fast_k: int = 5,
    fast_d: int = 3,
    of: Field = "close",
    minutes: int | None = None,
) -> IndicatorSpec:
    """Stochastic of the RSI; values ``k`` and ``d``, 0 to 100."""
    params = (("timeperiod", period), ("fastk_period", fast_k), ("fastd_period", fast_d))
    return _spec("STOCHRSI", (of,), params, ("k", "d"), minutes)


def cci(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Commodity channel index."""
    return _period("CCI", _HLC, period, minutes)


def mom(period: int = 10, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Momentum: the change over so many bars, in rupees."""
    return _period("MOM", (of,), period, minutes)


def roc(period: int = 10, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Rate of change over so many bars, in per cent."""
    return _period("ROC", (of,), period, minutes)


def cmo(period: int = 14, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Chande's momentum oscillator, −100 to 100."""
    return _period("CMO", (of,), period, minutes)


def willr(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Williams' %R, −100 to 0."""
    return _period("WILLR", _HLC, period, minutes)


def trix(period: int = 30, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """One-bar rate of change of a triple-smoothed EMA, in per cent."""
    return _period("TRIX", (of,), period, minutes)


def adx(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Average directional movement index: how strong a trend is, 0 to 100."""
    return _period("ADX", _HLC, period, minutes)


def plus_di(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Plus directional indicator, 0 to 100."""
    return _period("PLUS_DI", _HLC, period, minutes)


def minus_di(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Minus directional indicator, 0 to 100."""
    return _period("MINUS_DI", _HLC, period, minutes)


def aroon(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Aroon; values ``down`` and ``up``, 0 to 100."""
    return _period("AROON", ("high", "low"), period, minutes, "down", "up")


# -- how far prices move -----------------------------------------------------------------------------


def atr(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Wilder's average true range, in rupees."""
    return _period("ATR", _HLC, period, minutes)


def natr(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Average true range in per cent of the close."""
    return _period("NATR", _HLC, period, minutes)


def trange(minutes: int | None = None) -> IndicatorSpec:
    """True range of the bar, in rupees."""
    return _spec("TRANGE", _HLC, (), (), minutes)


def stddev(period: int = 20, of: Field = "close", minutes: int | None = None) -> IndicatorSpec:
    """Standard deviation (population)."""
    return _period("STDDEV", (of,), period, minutes)


# -- volume; worthless on an index, which has none ------------------------------------------------


def obv(minutes: int | None = None) -> IndicatorSpec:
    """On-balance volume; its level depends on the first bar loaded, its changes do not."""
    return _spec("OBV", ("close", "volume"), (), (), minutes)


def ad(minutes: int | None = None) -> IndicatorSpec:
    """Chaikin's accumulation/distribution line; its level depends on the first bar loaded."""
    return _spec("AD", ("high", "low", "close", "volume"), (), (), minutes)


def adosc(fast: int = 3, slow: int = 10, minutes: int | None = None) -> IndicatorSpec:
    """Chaikin's accumulation/distribution oscillator."""
    params = (("fastperiod", fast), ("slowperiod", slow))
    return _spec("ADOSC", ("high", "low", "close", "volume"), params, (), minutes)


def vwap(minutes: int | None = None) -> IndicatorSpec:
    """Volume-weighted average price since the day's first bar; NaN until something traded."""
    return own(SessionVwap, minutes=minutes)


def mfi(period: int = 14, minutes: int | None = None) -> IndicatorSpec:
    """Money flow index, 0 to 100."""
    return _period("MFI", ("high", "low", "close", "volume"), period, minutes)


CATALOGUE: Final[Mapping[str, Callable[..., IndicatorSpec]]] = {
    declare.__name__: declare
    for declare in (
        *(sma, ema, wma, rma, hma, dema, tema, kama, linearreg, linearreg_slope, highest, lowest),
        *(midprice, bbands, keltner, donchian, supertrend, sar, rsi, macd, stoch, stochrsi, cci),
        *(mom, roc, cmo, willr, trix, adx, plus_di, minus_di, aroon, atr, natr, trange, stddev),
        *(obv, ad, adosc, mfi),
    )
}
"""Every TA-Lib indicator of the house by name; each has a test that streaming equals batch."""


class StreamingIndicator:
    """An indicator on its way through the day: one ``push`` per closed bar.

    ``update`` is the open handle's own method (taking the columns of ``spec.inputs``) or ``None``
    while bars are still missing; the engine calls it directly once it is there.
    """

    __slots__ = ("_columns", "_held", "_seen", "own", "spec", "update", "values")

    def __init__(self, spec: IndicatorSpec) -> None:
        self.spec = spec
        self.update: Callable[..., float | tuple[float, ...]] | None = None
        self.values: tuple[float, ...] = (math.nan,) * max(1, len(spec.outputs))
        self._columns = tuple(_COLUMN[name] for name in spec.inputs)
        self._held: list[list[float]] = [[] for _ in self._columns]
        if spec.fn == _LAST:
            self._held.clear()
        self._seen = 0
        self.own: OwnUpdate | None = None
        """The indicator in plain Python, where it is one."""
        if spec.kind is not None:
            self.own = OwnUpdate(spec.kind, tuple(value for _, value in spec.params), spec.outputs)

    @property
    def value(self) -> float:
        """The first (or only) value; ``nan`` until enough bars are there."""
        return self.values[0]

    @property
    def ready(self) -> bool:
        """Whether there is a value."""
        return self.update is not None

    def push(self, o: float, h: float, l: float, c: float, v: float) -> None:  # noqa: E741 - OHLCV
        """Take one closed bar, oldest first."""
        bar = (o, h, l, c, v)
        if self.update is not None:
            answer = self.update(*[bar[column] for column in self._columns])
            self.values = answer if isinstance(answer, tuple) else (answer,)
        elif self.spec.fn == _LAST:
            self.update = _same
            self.values = (bar[self._columns[0]],)
        elif self.own is not None:
            answer = self.own(o, h, l, c, v)
            self._seen += 1
            if self._seen > self.spec.lookback:
                self.update = self.own
                self.values = answer if isinstance(answer, tuple) else (answer,)
        else:
            for held, column in zip(self._held, self._columns, strict=True):
                held.append(bar[column])
            if len(self._held[0]) > self.spec.lookback:
                self._open()

    def _open(self) -> None:
        history = [np.array(held, dtype=np.float64) for held in self._held]
        try:
            handle = getattr(stream, self.spec.fn)(*history, **dict(self.spec.params))
        except InsufficientHistory:
            return  # Some functions seed longer than their lookback says: wait for the next bar.
        self.update = handle.update
        answer = handle.value
        self.values = answer if isinstance(answer, tuple) else (answer,)
        self._held.clear()


def _same(value: float) -> float:
    return value


def batch(
    spec: IndicatorSpec, columns: Mapping[str, np.ndarray], days: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """The indicator over whole arrays at once (rupees, ``float64``), one array per output.

    ``days`` numbers the day of each bar, for indicators that begin anew each day; without it all
    bars are of one.
    """
    inputs = [columns[name] for name in spec.inputs]
    if spec.fn == _LAST:
        return (inputs[0],)
    if spec.kind is not None:
        return _own_batch(spec, inputs, days)
    answer = getattr(talib, spec.fn)(*inputs, **dict(spec.params))
    return tuple(answer) if isinstance(answer, (tuple, list)) else (answer,)


def _own_batch(
    spec: IndicatorSpec, inputs: list[np.ndarray], days: np.ndarray | None
) -> tuple[np.ndarray, ...]:
    """Plain Python knows no arrays: its batch is the same class over all bars."""
    streaming = StreamingIndicator(spec)
    assert streaming.own is not None
    answers: list[tuple[float, ...]] = []
    today = None
    bars = zip(*(column.tolist() for column in inputs), strict=True)
    for bar, day in zip(bars, [0] * len(inputs[0]) if days is None else days, strict=True):
        if day != today and streaming.own.new_day is not None:
            streaming.own.new_day()
        today = day
        streaming.push(*bar)
        answers.append(streaming.values)
    if streaming.own.fault is not None:
        raise streaming.own.fault
    return tuple(np.array(answers, dtype=np.float64).reshape(len(answers), -1).T)
