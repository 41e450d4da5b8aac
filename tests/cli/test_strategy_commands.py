"""The commands for authors: a new strategy, its sample day, and the list of all.

Where the synthetic market or the house was changed on purpose, read the difference and write anew:
``python -m kitestring check NAME > tests/cli/check/NAME.txt``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kitestring.cli.commands import house
from kitestring.cli.run_day import run_command
from kitestring.cli.strategy_list import strategy_lines
from kitestring.cli.strategy_template import write_strategy
from kitestring.domain.errors import ConfigError
from kitestring.strategies import shipped

GOLDEN = Path(__file__).parent / "check"
ROOT = Path(__file__).resolve().parent.parent.parent
README_STRATEGY = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def said(capsys, *words):
    code = run_command(house, words)
    out, err = capsys.readouterr()
    return code, out, err


# -- check ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_strategy_does_on_the_sample_day_what_is_written_here(name, capsys):
    code, out, _ = said(capsys, "check", name)
    assert code == 0
    assert out == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert re.search(r"^[1-9]\d* trades?, ", out, re.MULTILINE), "it never traded"


def test_a_new_strategy_is_in_order_and_trades_on_the_sample_day(tmp_path, capsys):
    path = write_strategy("first_idea", tmp_path)
    code, out, _ = said(capsys, "check", str(path))
    assert code == 0
    assert out == (GOLDEN / "first_idea.txt").read_text(encoding="utf-8")


def test_another_instrument_timeframe_and_parameter_can_be_asked_for(capsys):
    code, out, _ = said(
        capsys, "check", "ema_trend", "--on", "reliance", "--timeframe", "15m",
        "--param", "fast=5", "--param", "short=false", "--seed", "3",
    )  # fmt: skip
    assert code == 0
    assert "RELIANCE · 15m bars · Friday 20 November 2026 · synthetic (seed 3)" in out
    assert "SELL" not in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("check", "ema_tren"), "There is no strategy called ema_tren; did you mean ema_trend?"),
        (("check", "nowhere.py"), "There is no file nowhere.py."),
        (("check", "ema_trend", "--on", "GOLD"), "The synthetic market does not trade GOLD."),
        (("check", "ema_trend", "--on", "NIFTY index"), "does not trade NIFTY index."),
        (("check", "ema_trend", "--timeframe", "7m"), "There are no bars of 7m in one day"),
        (("check", "ema_trend", "--param", "fats=3"), "contains unknown field `fats`"),
        (("check", "ema_trend", "--param", "fast=50"), "fast (50) must be shorter than slow (21)"),
        (("check", "ema_trend", "--param", "fast"), "'fast' is not NAME=VALUE"),
        (("check", "ema_trend", "--date", "tomorrow"), "tomorrow is no date"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_sentence(words, sentence, capsys):
    code, out, err = said(capsys, *words)
    assert code == 2
    assert out == ""
    assert sentence in err


IDEA = '''"""Buys every bar."""

import msgspec

from kitestring.core.indicators import ema
from kitestring.domain.signals import buy, hold


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bars: int = 9


class State(msgspec.Struct, frozen=True):
    seen: int = 0


def indicators(params):
    return {"mean": ema(params.bars)}


def decide(params, state, i):
    LINE
    return state, hold("nothing")
'''


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("x = i.next_close", "22: inputs: i.next_close is neither a field of a closed bar"),
        ("x = i.mean.shift(-1)", "22: look-ahead: shift moves a series and can show the future"),
        ("import time; x = time.time()", "22: import: time reads a clock"),
        ("x = open('prices.csv')", "22: name: open reads or writes outside"),
        ("import random; x = random.random()", "22: import: random draws lots"),
        ("state.seen = 1", "22: memory: nothing given to a strategy is changed in place"),
    ],
)
def test_look_ahead_clock_files_and_chance_are_refused_with_their_line(
    line, sentence, tmp_path, capsys
):
    path = tmp_path / "idea.py"
    path.write_text(IDEA.replace("LINE", line))
    code, out, err = said(capsys, "check", str(path))
    assert code == 2
    assert out == ""
    assert f"{path}:{sentence}" in err


def test_a_strategy_that_fails_on_its_day_is_shown_with_its_line(tmp_path, capsys):
    path = tmp_path / "idea.py"
    path.write_text(IDEA.replace("LINE", "x = 1 / (i.minute - 60)"))
    code, out, _ = said(capsys, "check", str(path))
    assert code == 1
    assert "10:15  failed and was switched off: ZeroDivisionError: division by zero" in out
    assert "(line 22 of idea.py)" in out


def test_a_strategy_that_says_nothing_says_when_it_was_ready(tmp_path, capsys):
    path = tmp_path / "idea.py"
    path.write_text(IDEA.replace("LINE", "x = 1"))
    code, out, _ = said(capsys, "check", str(path))
    assert code == 0
    assert "No signal; it was ready at 09:20." in out
    assert "77  nothing" in out
    assert "0 trades, 0 won: gross ₹0.00" in out


# -- new -----------------------------------------------------------------------------------------


def test_what_exists_is_never_overwritten(tmp_path):
    path = write_strategy("idea", tmp_path)
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already and is left as it is"):
        write_strategy("idea", tmp_path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my idea", "'my idea' cannot name a strategy; my_idea would do."),
        ("Idea.py", "'Idea.py' cannot name a strategy; idea would do."),
        ("../idea", "'../idea' cannot name a strategy; idea would do."),
        ("class", "'class' cannot name a strategy."),
        ("", "'' cannot name a strategy."),
        ("9lives", "'9lives' cannot name a strategy."),
        ("ema_trend", "ema_trend is a shipped strategy, and yours would stand in its place."),
    ],
)
def test_a_name_that_will_not_do_is_refused(name, sentence, tmp_path):
    with pytest.raises(ConfigError) as caught:
        write_strategy(name, tmp_path)
    assert caught.value.what == sentence
    assert list(tmp_path.iterdir()) == []


# -- strategies ----------------------------------------------------------------------------------


CLOCK = "time reads a clock; use i.minute, the minutes since the session opened"


def test_shipped_and_own_strategies_are_listed_with_their_parameters(tmp_path):
    write_strategy("first_idea", tmp_path)
    (tmp_path / "ema_cross.py").write_text("import time\n")
    told = strategy_lines(tmp_path)
    assert told[:3] == [
        f"yours, in {tmp_path}:",
        "  ema_cross: refused",
        f"      {tmp_path}/ema_cross.py:1: import: {CLOCK}",
    ]
    assert told[3].startswith("  first_idea: Buys a rise that starts above the 15-minute trend")
    assert told[4:7] == ["      average=10, in_a_row=3, stop_atr=2.0", "", "shipped:"]
    assert told[7].startswith("  donchian_breakout: Buys a close above everything")
    assert "      fast=9, slow=21" in told
    (replaced,) = [line for line in told if "stands in its place" in line]
    assert replaced.startswith("  ema_cross: ")
    assert len([line for line in told if line.startswith("  ") and line[2] != " "]) == 9


def test_without_own_strategies_the_list_says_how_to_begin(tmp_path):
    assert strategy_lines(tmp_path)[1] == ("  none yet; begin with: python -m kitestring new NAME")


# -- the strategy on the front page ----------------------------------------------------------------


def test_the_strategy_in_the_readme_fits_in_25_lines_and_trades(tmp_path, capsys):
    (source,) = README_STRATEGY.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(source.splitlines()) < 25
    path = tmp_path / "readme.py"
    path.write_text(source, encoding="utf-8")
    code, out, err = said(capsys, "check", str(path))
    assert code == 0, err
    assert re.search(r"^[1-9]\d* trades?, ", out, re.MULTILINE)


def test_the_indicator_of_the_handbook_counts_as_it_says(tmp_path, capsys):
    page = (ROOT / "docs" / "Strategies.md").read_text(encoding="utf-8")
    (source,) = [block for block in README_STRATEGY.findall(page) if "class InARow" in block]
    head = IDEA[: IDEA.index("def indicators")].replace("import ema", "import own")
    decide = IDEA[IDEA.index("def decide") :].replace("LINE", "x = 1")
    path = tmp_path / "idea.py"
    path.write_text(f"{head}{source}\n\n{decide}".replace('hold("nothing")', 'hold(f"{i.row:g}")'))
    code, out, err = said(capsys, "check", str(path))
    assert code == 0, err
    reasons = {line.split()[1] for line in out.splitlines() if re.match(r" +\d+  ", line)}
    assert reasons <= {"-5", "-4", "-3", "-2", "-1", "0", "1", "2", "3", "4", "5"}
    assert {"-1", "1", "2"} <= reasons
