"""Indicators that an author writes in plain Python: what they may do, and what happens if they fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kitestring.core.indicators import StreamingIndicator, batch, own, supertrend, vwap
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_loader import StrategyRefused, load_strategy
from kitestring.strategies import shipped


class Middle:
    """Mean of the closes of the last bars."""

    def __init__(self, bars: int) -> None:
        self.bars = bars
        self.closes: list[float] = []

    def push(self, open: float, high: float, low: float, close: float, volume: float) -> float:  # noqa: A002
        self.closes = [*self.closes, close][-self.bars :]
        return sum(self.closes) / len(self.closes)


class HighLow:
    outputs = ("high", "low")

    def __init__(self) -> None:
        self.new_day()

    def new_day(self) -> None:
        self.high, self.low = -math.inf, math.inf

    def push(self, open, high, low, close, volume):  # noqa: A002
        self.high, self.low = max(self.high, high), min(self.low, low)
        return self.high, self.low


def test_an_own_indicator_is_fed_every_bar_and_read_after_its_history():
    mean = StreamingIndicator(own(Middle, 3, history=2))
    for close in (10.0, 20.0):
        mean.push(0.0, 0.0, 0.0, close, 0.0)
        assert not mean.ready
        assert math.isnan(mean.value)
    mean.push(0.0, 0.0, 0.0, 60.0, 0.0)
    assert mean.ready
    assert mean.value == 30.0


def test_two_that_are_declared_alike_are_one():
    assert own(Middle, 3) == own(Middle, 3)
    assert own(Middle, 3) != own(Middle, 4)
    assert own(Middle, 3).minutes is None
    assert own(Middle, 3, minutes=15).minutes == 15


def test_one_with_several_values_names_them():
    spec = own(HighLow)
    assert spec.outputs == ("high", "low")
    day = StreamingIndicator(spec)
    day.push(1.0, 5.0, 0.5, 2.0, 0.0)
    day.push(1.0, 4.0, 0.2, 2.0, 0.0)
    assert day.values == (5.0, 0.2)


@pytest.mark.parametrize(
    ("push", "sentence"),
    [
        (lambda *_: None, "Odd.push fails: TypeError"),
        (lambda *_: 1 / 0, "Odd.push fails: ZeroDivisionError: division by zero"),
        (lambda *_: "up", "Odd.push fails: TypeError"),
    ],
)
def test_one_that_fails_is_refused_before_the_day(push, sentence):
    odd = type("Odd", (), {"push": push})
    with pytest.raises(ValueError, match=sentence):
        own(odd)


def test_one_that_answers_twice_differently_is_refused():
    calls = []

    class Odd:
        def push(self, *_):
            calls.append(1)
            return len(calls)

    with pytest.raises(ValueError, match=r"Odd\.push gives two answers for the same bars"):
        own(Odd)


def test_one_that_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match=r"Middle\(\) fails: .*missing 1 required"):
        own(Middle)


def test_one_with_the_wrong_number_of_values_is_refused():
    class Odd:
        outputs = ("a", "b")

        def push(self, *_):
            return (1.0,)

    with pytest.raises(ValueError, match="push returned 1 values, outputs names 2"):
        own(Odd)


# -- the house's own two ---------------------------------------------------------------------------


def test_the_vwap_of_three_bars_by_hand():
    average = StreamingIndicator(vwap())
    average.push(0.0, 12.0, 9.0, 12.0, 100.0)  # typical price 11
    assert average.value == 11.0
    average.push(0.0, 15.0, 12.0, 15.0, 300.0)  # typical price 14
    assert average.value == 13.25
    average.push(0.0, 99.0, 1.0, 50.0, 0.0)
    assert average.value == 13.25


def test_without_volume_there_is_no_vwap():
    average = StreamingIndicator(vwap())
    average.push(0.0, 12.0, 9.0, 12.0, 0.0)
    assert math.isnan(average.value)


def test_the_vwap_begins_anew_each_day():
    columns = {
        "open": np.array([1.0, 1.0, 1.0]),
        "high": np.array([12.0, 15.0, 30.0]),
        "low": np.array([9.0, 12.0, 30.0]),
        "close": np.array([12.0, 15.0, 30.0]),
        "volume": np.array([100.0, 300.0, 7.0]),
    }
    (one_day,) = batch(vwap(), columns)
    assert one_day[2] == (11 * 100 + 14 * 300 + 30 * 7) / 407
    (two_days,) = batch(vwap(), columns, np.array([0, 0, 1]))
    assert two_days.tolist() == [11.0, 13.25, 30.0]


def test_the_shipped_supertrend_line_is_talibs_bit_for_bit():
    strategy = load_strategy("supertrend", *shipped()["supertrend"])
    assert isinstance(strategy, StrategyDefinition)
    mine = strategy.indicators(strategy.params_type())["st"]
    rng = np.random.default_rng(4)
    close = 22_000 + np.cumsum(rng.normal(0, 12, 600))
    columns = {
        "open": close,
        "high": close + rng.integers(0, 300, 600) * 0.05,
        "low": close - rng.integers(0, 300, 600) * 0.05,
        "close": close,
        "volume": np.ones(600),
    }
    line, trend = batch(mine, columns)
    their_line, their_trend = batch(supertrend(10, 3.0), columns)
    assert np.array_equal(line[10:], their_line[10:])
    assert np.array_equal(trend[10:], their_trend[10:])
    assert {-1.0, 1.0} == set(trend[10:])


# -- what a file may say ---------------------------------------------------------------------------

FILE = '''"""Buys above its own average. Source: nobody. Parameters: none."""

import collections
import msgspec

from kitestring.core.indicators import own
from kitestring.domain.signals import buy, hold


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bars: int = 3


class State(msgspec.Struct, frozen=True):
    seen: int = 0


class Mean:
    __slots__ = ("closes",)

    def __init__(self, bars):
        self.closes = collections.deque(maxlen=bars)

    def push(self, open, high, low, close, volume):
        self.closes.append((open + close) / 2)
        return sum(self.closes) / len(self.closes)


def indicators(params):
    return {"mean": own(Mean, params.bars, history=params.bars)}


def decide(params, state, i):
    return state, buy("above") if i.close > i.mean else hold("below")
'''


def refused(source):
    answer = load_strategy("idea", source, "my/idea.py")
    assert isinstance(answer, StrategyRefused), "it was loaded"
    return [(why.line, why.rule) for why in answer.refusals]


def test_a_file_with_its_own_indicator_is_loaded():
    answer = load_strategy("idea", FILE, "my/idea.py")
    assert isinstance(answer, StrategyDefinition), answer.sentence
    (spec,) = answer.indicators(answer.params_type()).values()
    assert spec.lookback == 3


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("open('x')", "loaded"),  # Here `open` is the bar's price: calling it fails at the trial.
        ("print(close)", "name"),
        ("import time", "import"),
        ("Mean.count = 1", "memory"),
        ("close.real = 1", "memory"),
        ("global State", "memory"),
        ("while True: pass", "loop"),
        ("getattr(self, 'closes')", "name"),
    ],
)
def test_an_impure_indicator_is_refused_by_line(line, rule):
    source = FILE.replace(
        "        self.closes.append", f"        {line}\n        self.closes.append"
    )
    found = refused(source)
    assert found == [(31, "indicators")] if rule == "loaded" else (25, rule) in found


def test_an_indicator_made_by_the_strategy_itself_is_memory_outside_state():
    source = FILE.replace("def indicators", "MINE = Mean(3)\n\n\ndef indicators")
    assert refused(source) == [(29, "memory")]
    source = FILE.replace("    return state, buy", "    mine = Mean(3)\n    return state, buy")
    assert refused(source) == [(34, "memory")]


def test_a_class_that_is_no_indicator_may_not_change_itself():
    source = FILE.replace("def push(self, open", "def put(self, open").replace(
        '{"mean": own(Mean, params.bars, history=params.bars)}', "{}"
    )
    assert (22, "memory") in refused(source)
