"""Every indicator of the catalogue, streamed bar by bar, is TA-Lib's batch answer bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from talib import stream

from kitestring.core import indicators as ind
from kitestring.core.indicators import CATALOGUE, IndicatorSpec, StreamingIndicator, batch

BARS = 400

ASKED = {
    "sma": [(1,), (20,)],
    "ema": [(9,), (21,), (50,)],
    "wma": [(10,)],
    "rma": [(14,)],
    "hma": [(20,)],
    "dema": [(10,)],
    "tema": [(10,)],
    "kama": [(10,)],
    "linearreg": [(14,)],
    "linearreg_slope": [(14,)],
    "highest": [(20,), (5, "close")],
    "lowest": [(20,), (5, "close")],
    "midprice": [(14,)],
    "bbands": [(), (10, 1.5, 2.5)],
    "keltner": [(), (10, 20, 1.5)],
    "donchian": [(), (55,)],
    "supertrend": [(), (7, 2.0)],
    "sar": [(), (0.03, 0.3)],
    "rsi": [(), (2,)],
    "macd": [(), (5, 35, 5)],
    "stoch": [(), (14, 3, 3)],
    "stochrsi": [(), (10, 5, 3)],
    "cci": [(), (20,)],
    "mom": [(), (1,)],
    "roc": [(), (5,)],
    "cmo": [()],
    "willr": [()],
    "trix": [(15,)],
    "adx": [(), (7,)],
    "plus_di": [()],
    "minus_di": [()],
    "aroon": [(), (25,)],
    "atr": [(), (5,)],
    "natr": [()],
    "trange": [()],
    "stddev": [(), (5,)],
    "obv": [()],
    "ad": [()],
    "adosc": [(), (5, 20)],
    "mfi": [()],
}
CASES = [(name, args) for name, many in ASKED.items() for args in many]


def walk(seed: int) -> dict[str, np.ndarray]:
    """A day-like random walk on a 0.05 tick, with a dead flat stretch and bars without volume."""
    rng = np.random.default_rng(seed)
    close = np.round((22_000 + np.cumsum(rng.normal(0, 6, BARS))) / 0.05) * 0.05
    close[150:190] = close[150]
    open_ = np.concatenate([close[:1], close[:-1]])
    up, down = rng.integers(0, 80, BARS) * 0.05, rng.integers(0, 80, BARS) * 0.05
    up[152:190] = down[152:190] = 0.0
    volume = rng.integers(0, 5_000, BARS).astype(np.float64)
    volume[rng.random(BARS) < 0.1] = 0.0
    volume[150:190] = 0.0
    return {
        "open": open_,
        "high": np.maximum(open_, close) + up,
        "low": np.minimum(open_, close) - down,
        "close": close,
        "volume": volume,
    }


def rows(columns: dict[str, np.ndarray]) -> list[tuple[float, ...]]:
    names = ("open", "high", "low", "close", "volume")
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


def bits(values: tuple[float, ...]) -> bytes:
    return np.array(values, dtype=np.float64).tobytes()


def spec_of(name: str, args: tuple[object, ...]) -> IndicatorSpec:
    return CATALOGUE[name](*args)


def test_every_indicator_of_the_catalogue_is_asked_for_here() -> None:
    assert set(ASKED) == set(CATALOGUE)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("name", "args"), CASES)
def test_streaming_equals_batch_bit_for_bit(name: str, args: tuple[object, ...], seed: int) -> None:
    columns = walk(seed)
    spec = spec_of(name, args)
    arrays = batch(spec, columns)
    assert len(arrays) == max(1, len(spec.outputs))
    streaming = StreamingIndicator(spec)
    first = None
    for place, bar in enumerate(rows(columns)):
        streaming.push(*bar)
        if streaming.ready:
            first = place if first is None else first
            expected = tuple(float(array[place]) for array in arrays)
            assert bits(streaming.values) == bits(expected), f"bar {place}"
        else:
            assert math.isnan(streaming.value)
    assert first is not None
    assert first >= spec.lookback
    # Batch has its first value on the very same bar (SUPERTREND's line tells, not its trend).
    assert math.isnan(arrays[0][first - 1]) if first else True


@pytest.mark.parametrize(("name", "args"), CASES)
def test_a_handle_opened_on_the_bars_so_far_goes_on_as_if_it_had_streamed_them(
    name: str, args: tuple[object, ...]
) -> None:
    columns = walk(7)
    spec = spec_of(name, args)
    whole = StreamingIndicator(spec)
    seen = [(whole.push(*bar), whole.values)[1] for bar in rows(columns)]
    for cut in (130, 170, 333):
        history = [columns[column][:cut].copy() for column in spec.inputs]
        handle = getattr(stream, spec.fn)(*history, **dict(spec.params))
        for place in range(cut, BARS):
            answer = handle.update(*(float(columns[column][place]) for column in spec.inputs))
            values = answer if isinstance(answer, tuple) else (answer,)
            assert bits(values) == bits(seen[place])


def test_a_nine_bar_average_appears_with_the_ninth_bar() -> None:
    nine = StreamingIndicator(ind.sma(9))
    for close in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        nine.push(0.0, 0.0, 0.0, close, 0.0)
        assert math.isnan(nine.value)
    nine.push(0.0, 0.0, 0.0, 9.0, 0.0)
    assert nine.value == 5.0


def test_yesterday_is_the_last_closed_day_bar() -> None:
    high = ind.previous_day("high")
    assert high.minutes == 0
    yesterday = StreamingIndicator(high)
    assert math.isnan(yesterday.value)
    yesterday.push(1.0, 4.0, 0.5, 2.0, 10.0)
    assert yesterday.value == 4.0
    yesterday.push(2.0, 3.0, 1.5, 2.5, 10.0)
    assert yesterday.value == 3.0


def test_an_average_that_remembers_its_seed_asks_for_more_history() -> None:
    assert ind.ema(21).lookback == 20
    assert ind.ema(21).settle == 100
    assert ind.sma(21).settle == 0


def test_a_period_that_is_no_number_of_bars_is_refused() -> None:
    with pytest.raises(ValueError, match="EMA: timeperiod must be a whole number of bars, not 0"):
        ind.ema(0)
    with pytest.raises(ValueError, match=r"not 2\.5"):
        ind.rsi(2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nbdevup is nan"):
        ind.bbands(20, math.nan)
    with pytest.raises(ValueError, match="MAX: TA-Lib does not compute it with timeperiod=1"):
        ind.highest(1)
