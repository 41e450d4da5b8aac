"""What a strategy's source may not contain, and how its author is told."""

from __future__ import annotations

import pytest

from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_loader import StrategyRefused, load_strategy

GOOD = '''"""Buys when the close is above its average. Source: nobody. Parameters: bars."""

from __future__ import annotations

import msgspec

from kitestring.core.indicators import IndicatorSpec, bbands, ema
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, hold


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bars: int = 3


class State(msgspec.Struct, frozen=True):
    seen: int = 0
    best: tuple[float, ...] = ()


NO = hold("below")


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    return {"mean": ema(params.bars), "band": bbands(20)}


def history(params: Params) -> int:
    return params.bars


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    if i.close > i.mean and i.close < i.band_upper:
        return State(seen=state.seen + 1), buy("above")
    return state, NO
'''


def refused(source: str) -> list[tuple[int, str]]:
    answer = load_strategy("idea", source, "my/idea.py")
    assert isinstance(answer, StrategyRefused), "it was loaded"
    return [(why.line, why.rule) for why in answer.refusals]


def with_line(line: str, *, inside: bool = True) -> str:
    """The good strategy with one line more, at the top of ``decide`` or of the module."""
    if inside:
        head, tail = GOOD.split("    if i.close > i.mean")
        return f"{head}    {line}\n    if i.close > i.mean{tail}"
    return GOOD.replace('NO = hold("below")', f'NO = hold("below")\n{line}')


INSIDE_LINE = 33
MODULE_LINE = 22


def test_a_plain_strategy_is_loaded_with_its_hash() -> None:
    answer = load_strategy("idea", GOOD, "my/idea.py")
    assert isinstance(answer, StrategyDefinition)
    assert answer.name == "idea"
    assert answer.idea.startswith("Buys when the close is above its average.")
    assert len(answer.source_hash) == 64
    assert set(answer.indicators(answer.params_type())) == {"mean", "band"}
    assert answer.history(answer.params_type()) == 3
    again = load_strategy("idea", GOOD + "\n# A comment changes the hash.\n", "my/idea.py")
    assert isinstance(again, StrategyDefinition)
    assert again.source_hash != answer.source_hash


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import time", "import"),
        ("import datetime as dt", "import"),
        ("from datetime import datetime", "import"),
        ("import random", "import"),
        ("import os.path", "import"),
        ("import numpy as np", "import"),
        ("from kitestring.store import journal", "import"),
        ("from . import other", "import"),
        ("from math import *", "import"),
        ("open('x')", "name"),
        ("print(i.close)", "name"),
        ("eval('1')", "name"),
        ("exec('1')", "name"),
        ("__import__('time')", "name"),
        ("globals()", "name"),
        ("getattr(i, 'close')", "name"),
        ("hash('x')", "name"),
        ("object.__setattr__(state, 'seen', 1)", "name"),
        ("().__class__", "name"),
        ("msgspec.structs.force_setattr(state, 'seen', 1)", "name"),
        ("global NO", "memory"),
        ("i.close = 5.0", "memory"),
        ("state.seen += 1", "memory"),
        ("decide.calls = 1", "memory"),
        ("remember = lambda x=[]: x", "memory"),
        ("yield 1", "memory"),
        ("while True: pass", "loop"),
        ("for x in {1, 2}: pass", "order"),
        ("y = [x for x in set((1, 2))]", "order"),
        ("x = i.close.shift(-1)", "look-ahead"),
        ("x = i.tomorrow", "inputs"),
        ("x = i.meen", "inputs"),
    ],
)
def test_what_would_not_replay_is_refused_by_line(line: str, rule: str) -> None:
    assert (INSIDE_LINE, rule) in refused(with_line(line))


@pytest.mark.parametrize(
    "line",
    ["SEEN = []", "SEEN: dict = {}", "SEEN = set()", "SEEN = ([], 1)", "SEEN = (x for x in (1,))"],
)
def test_memory_outside_state_is_refused(line: str) -> None:
    assert refused(with_line(line, inside=False)) == [(MODULE_LINE, "memory")]


def test_a_table_that_cannot_change_is_welcome() -> None:
    answer = load_strategy("x", with_line("STEPS = (1, 2, (3, 4))", inside=False), "x.py")
    assert isinstance(answer, StrategyDefinition)


def test_catching_everything_is_refused() -> None:
    line = "try:\n        x = 1\n    except Exception:\n        x = 2"
    assert refused(with_line(line)) == [(INSIDE_LINE + 2, "except")]


def test_a_misspelt_input_is_answered_with_the_nearest() -> None:
    answer = load_strategy("idea", with_line("x = i.clsoe"), "my/idea.py")
    assert isinstance(answer, StrategyRefused)
    assert answer.sentence == (
        "strategy idea is not loaded:\n"
        "my/idea.py:33: inputs: i.clsoe is neither a field of a closed bar nor one of its"
        " indicators; did you mean i.close?"
    )


def test_every_mistake_is_told_at_once() -> None:
    source = with_line("x = random.random()").replace(
        "import msgspec\n", "import msgspec\nimport time, random\n"
    )
    assert refused(source) == [(6, "import"), (6, "import")]
    source = with_line("print(1)").replace("import msgspec\n", "import msgspec\nimport time\n")
    assert refused(source) == [(6, "import"), (34, "name")]


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        (
            "def decide(params: Params, state: State, i: Inputs)",
            "def decide(i: Inputs)",
            32,
            "contract",
        ),
        ("class State(", "class Memory(", 1, "contract"),
        ("State(msgspec.Struct, frozen=True)", "State(msgspec.Struct)", 16, "contract"),
        ("forbid_unknown_fields=True", "forbid_unknown_fields=False", 12, "contract"),
        ("bars: int = 3", "bars: int", 12, "contract"),
        ("seen: int = 0", "seen: list[int] = msgspec.field(default_factory=list)", 16, "contract"),
        ("seen: int = 0", "seen: object = None", 16, "contract"),
        ('{"mean": ema(params.bars), ', '{"mean": ema(0), ', 25, "indicators"),
        ('{"mean": ema(params.bars), ', '{"close": ema(3), "mean": ema(3), ', 24, "indicators"),
        ('NO = hold("below")', "NO = 1 / 0", 21, "import"),
        ("NO = hold", "NO := hold", 21, "syntax"),
        (
            '"""Buys when the close is above its average. Source: nobody. Parameters: bars."""',
            "",
            1,
            "docstring",
        ),
    ],
)
def test_a_strategy_that_breaks_the_contract_is_told_where(
    old: str, new: str, line: int, rule: str
) -> None:
    assert old in GOOD
    assert (line, rule) in refused(GOOD.replace(old, new))
