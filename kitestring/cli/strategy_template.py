"""``kitestring new``: writes a strategy that runs as it stands and explains itself line by line.

It never overwrites a file, and takes only names that a settings file can use.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Final

from kitestring.domain.errors import ConfigError
from kitestring.engine.strategy_files import MY, SHIPPED, strategy_names

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,39}")

_TEMPLATE: Final = '''"""Buys a rise that starts above the 15-minute trend, sells a fall that starts below it.

Idea: say here in a few sentences why this should earn money, and from whom.
Source: where you read it.
Parameters: ``average``, bars of the trend; ``in_a_row``, closes that must rise or fall one after
another; ``stop_atr``, distance of the stop in average true ranges.
"""

import math

import msgspec

from kitestring.core.indicators import atr, ema, own, previous_day
from kitestring.domain.signals import buy, exit_, hold, sell


# What can be set under `params:` in the settings file. Every field has a default.
class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    average: int = 10
    in_a_row: int = 3
    stop_atr: float = 2.0


# What it must remember from bar to bar: numbers, texts, tuples. It survives a restart.
class State(msgspec.Struct, frozen=True):
    trades: int = 0
    date: int = 0


# An indicator of your own: it is given every closed bar and answers with a number.
# It may change itself (self.…): after a restart it is given the same bars again.
class InARow:
    """How many closes have risen (above zero) or fallen (below zero) one after another."""

    def __init__(self):
        self.last = math.nan
        self.count = 0

    def push(self, open, high, low, close, volume):
        if close > self.last:
            self.count = max(self.count, 0) + 1
        elif close < self.last:
            self.count = min(self.count, 0) - 1
        self.last = close
        return self.count


# What it reads, by the names under which `decide` finds it. `minutes=` is another timeframe.
def indicators(params):
    return {
        "trend": ema(params.average, minutes=15),
        "range": atr(14),
        "row": own(InARow),
        "yesterday": previous_day("close"),  # not a number (NaN) on a day without history
    }


# Asked at the close of every bar; answers with what to remember and what to do.
# It sees bars that have closed, and no clock, file or chance: i.minute is minutes since the open.
# The house sizes the order, keeps the stop at the broker and closes everything before the close.
def decide(params, state, i):
    if state.date != i.date:
        state = State(date=i.date)
    if i.position > 0:
        return state, exit_("close below the trend") if i.close < i.trend else hold("long")
    if i.position < 0:
        return state, exit_("close above the trend") if i.close > i.trend else hold("short")
    if i.minute < 15 or i.minute > i.session_minutes - 60:
        return state, hold("too early or too late")
    if state.trades >= 3:
        return state, hold("enough for today")
    if not math.isnan(i.yesterday) and abs(i.close / i.yesterday - 1) > 0.03:
        return state, hold("too far from yesterday's close")
    risk = params.stop_atr * i.range
    more = State(trades=state.trades + 1, date=i.date)
    if i.row >= params.in_a_row and i.close > i.trend:
        return more, buy("rising above the trend", stop=i.close - risk, trail=2 * risk)
    if i.row <= -params.in_a_row and i.close < i.trend:
        return more, sell("falling below the trend", stop=i.close + risk, trail=2 * risk)
    return state, hold("no rise or fall long enough")
'''


def write_strategy(name: str, folder: Path = MY) -> Path:
    """Write ``folder/name.py`` and return its path. Raises ``ConfigError`` if that cannot be."""
    if _NAME.fullmatch(name) is None or keyword.iskeyword(name):
        near = re.sub(r"\W+", "_", name.removesuffix(".py").strip()).strip("_").lower()
        fits = _NAME.fullmatch(near) is not None and not keyword.iskeyword(near)
        hint = f"; {near} would do" if fits else ""
        raise ConfigError(
            f"{name!r} cannot name a strategy{hint}.",
            do="Use small letters, digits and underscores, a letter first, at least two.",
        )
    if name in strategy_names((SHIPPED,)):
        raise ConfigError(
            f"{name} is a shipped strategy, and yours would stand in its place.",
            do=f"Choose another name, such as my_{name}.",
        )
    path = folder / f"{name}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(_TEMPLATE)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists already and is left as it is.", do="Choose another name."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path
