"""The words a settings file may use: amounts, percentages, times, names, and what each must look like.

A wrong word is noted with its line and the reading goes on with the default, so that one start of
the house names every mistake in the file. Nothing read beside a noted fault is ever traded on:
``raise_faults`` comes before anybody sees the configuration.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from kitestring.domain.errors import ConfigError
from kitestring.domain.money import Money, decimal_rupees, money, share_of, show_rupees
from kitestring.domain.yaml_lines import Mapping, Scalar, Sequence, Tree

_SECRETS = re.compile(r"secret|token|passw|totp|api_?key|(^|_)pin$|user_?id", re.IGNORECASE)
_NO_SECRETS = (
    "is a credential, and credentials never go into a settings file; put it into the environment "
    "or secrets/kite.env, and remove the line"
)
_AMOUNT = re.compile(
    r"(?:₹|rs\.?|inr)?\s*([\d,_]+(?:\.\d+)?)\s*(lakhs?|crores?|cr)?", re.IGNORECASE
)
_PERCENT = re.compile(r"([\d.]+)\s*%")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_FLAT = re.compile(r"flat\s+([\d.]+)\s*%", re.IGNORECASE)

Word = TypeVar("Word", bound=StrEnum)


class Words:
    """Reads values and remembers every fault and every line."""

    __slots__ = ("_faults", "_name", "_page", "lines")

    def __init__(self, name: str, page: str = "docs/Paper.md") -> None:
        self._name = name
        self._page = page
        self._faults: list[tuple[int, str]] = []
        self.lines: dict[str, int] = {}

    def fault(self, tree: Tree, path: str, sentence: str) -> None:
        """Note that what stands at ``path`` is wrong."""
        self._faults.append((tree.line, f"{path} {sentence}."))

    def raise_faults(self) -> None:
        """Raise one ``ConfigError`` that names every fault, in the order of the file."""
        faults = sorted(set(self._faults))
        if not faults:
            return
        do = f"Correct the file and start again; every key is described in {self._page}."
        if len(faults) == 1:
            line, sentence = faults[0]
            raise ConfigError(f"{self._name}:{line}: {sentence}", do=do)
        listed = "\n".join(f"  {self._name}:{line}: {sentence}" for line, sentence in faults)
        raise ConfigError(f"{len(faults)} settings in {self._name} are wrong:\n{listed}", do=do)

    def unknown(self, tree: Tree, path: str, word: str, known: Iterable[str]) -> None:
        """Note a word that is none of the known ones, with the nearest of them."""
        known = [str(name) for name in known]
        folded = {name.lower(): name for name in known}
        near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
        hint = f"did you mean {folded[near[0]]}?" if near else f"known: {', '.join(known)}"
        self._faults.append((tree.line, f"{path} does not know {word}; {hint}"))

    def section(self, tree: Tree | None, path: str, known: Iterable[str]) -> dict[str, Tree]:
        """The rows of a mapping whose keys must all be known; an absent or empty one has no rows."""
        if tree is None or (isinstance(tree, Scalar) and tree.value is None):
            return {}
        if not isinstance(tree, Mapping):
            self.fault(tree, path or "the file", "must be a section with `key: value` lines")
            return {}
        known = tuple(known)
        rows: dict[str, Tree] = {}
        for row in tree.rows:
            here = f"{path}.{row.key}" if path else row.key
            self.lines[here] = row.line
            if row.key in known:
                rows[row.key] = row.tree
            elif _is_secret(row.key):
                self.fault(Scalar(None, "", row.line), here, _NO_SECRETS)
            else:
                at = Scalar(None, "", row.line)
                self.unknown(at, path or "the file", row.key, known)
        return rows

    def word(self, tree: Tree | None, path: str) -> str | None:
        """One name; letters, digits and what file names are made of."""
        if tree is None:
            return None
        if isinstance(tree, Scalar) and isinstance(tree.value, str) and tree.value.strip():
            return tree.value.strip()
        self.fault(tree, path, "must be a name")
        return None

    def names(self, tree: Tree | None, path: str) -> tuple[str, ...]:
        """A list of names without repetition; a single name is a list of one."""
        if tree is None:
            return ()
        items = tree.items if isinstance(tree, Sequence) else (tree,)
        names = [name for item in items if (name := self.word(item, path)) is not None]
        if not items:
            self.fault(tree, path, "is empty")
        for number, name in enumerate(names):
            if name in names[:number]:
                self.fault(items[number], path, f"names {name} twice")
        return tuple(names)

    def choice(self, tree: Tree | None, path: str, words: type[Word], default: Word) -> Word:
        """One of the words of an enumeration, in any case."""
        if tree is None:
            return default
        written = tree.text if isinstance(tree, Scalar) else ""
        for word in words:
            if word.lower() == written.lower():
                return word
        self.unknown(tree, path, written or "a list or section", words)
        return default

    def one_of(self, tree: Tree | None, path: str, words: dict[str, int], default: int) -> int:
        """The number that stands for one of the words."""
        if tree is None:
            return default
        written = tree.text.lower() if isinstance(tree, Scalar) else "a list or section"
        if written in words:
            return words[written]
        self.fault(tree, path, f"must be one of {', '.join(words)}; it is {written}")
        return default

    def whole(self, tree: Tree | None, path: str, default: int, *, least: int) -> int:
        """A whole number, at least ``least``."""
        if tree is None:
            return default
        value = tree.value if isinstance(tree, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self.fault(tree, path, f"must be a whole number of at least {least}{_it_is(tree)}")
        return default

    def number(self, tree: Tree, path: str, default: float) -> float:
        """A finite number above zero."""
        value = tree.value if isinstance(tree, Scalar) else None
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
        if number > 0 and math.isfinite(number):
            return float(number)
        self.fault(tree, path, f"must be a number above zero{_it_is(tree)}")
        return default

    def fraction(self, tree: Tree, path: str, default: float, capital: Money) -> float:
        """A part of capital: ``0.02``, ``2%``, or an amount such as ``₹10,000``."""
        written = tree.text.strip() if isinstance(tree, Scalar) else ""
        value = tree.value if isinstance(tree, Scalar) else None
        part: float | None = None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            part = float(value)
            if 1 < part <= 100:
                self.fault(
                    tree,
                    path,
                    f"is a fraction of capital, and {written} would be {part * 100:g} %; "
                    f"write {written}% or {part / 100:g}",
                )
                return default
        elif (percent := _PERCENT.fullmatch(written)) and _is_number(percent[1]):
            part = float(percent[1]) / 100
        elif isinstance(value, str) and (amount := _amount(written)) is not None:
            part = float(decimal_rupees(amount) / decimal_rupees(capital))
        if part is not None and 0 < part <= 1:
            return part
        self.fault(
            tree,
            path,
            "must be a part of capital: a fraction (0.02), a percentage (2%) or rupees "
            f"(₹10,000), above zero and at most all of it{_it_is(tree)}",
        )
        return default

    def part(self, tree: Tree | None, path: str, capital: Money) -> Money | None:
        """Rupees of a limit, written as an amount (``₹4,000``, ``4000``) or as a part of capital."""
        if tree is None:
            return None
        value = tree.value if isinstance(tree, Scalar) else None
        written = tree.text.strip() if isinstance(tree, Scalar) else ""
        # A bare number up to 100 is meant as a part, as everywhere; nobody limits a loss to ₹2.
        bare = isinstance(value, (int, float)) and value <= 100
        amount = None if bare or written.endswith("%") else _amount(written)
        if amount is not None:
            if amount <= capital:
                return amount
            self.fault(tree, path, f"is more than all of {show_rupees(capital)}{_it_is(tree)}")
            return None
        part = self.fraction(tree, path, 1.0, capital)
        return share_of(capital, part)

    def yes(self, tree: Tree | None, path: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        if tree is None:
            return default
        if isinstance(tree, Scalar) and isinstance(tree.value, bool):
            return tree.value
        self.fault(tree, path, f"must be true or false{_it_is(tree)}")
        return default

    def rupees(self, tree: Tree | None, path: str) -> Money | None:
        """An amount above zero: ``500000``, ``₹5,00,000``, ``5 lakh``."""
        if tree is None:
            return None
        written = tree.text if isinstance(tree, Scalar) else ""
        amount = _amount(written)
        if amount is not None and amount > Money(0):
            return amount
        self.fault(tree, path, f"must be rupees above zero, such as 500000 or 5 lakh{_it_is(tree)}")
        return None

    def charges(self, tree: Tree | None, path: str) -> int | None:
        """``zerodha`` (``None``: the dated rates) or ``flat 0.03%`` (in millionths)."""
        written = tree.text.strip() if isinstance(tree, Scalar) else ""
        if tree is None or written.lower() == "zerodha":
            return None
        flat = _FLAT.fullmatch(written)
        if flat and _is_number(flat[1]):
            millionths = Decimal(flat[1]) * 10_000
            if millionths == int(millionths) and millionths < 100_000:
                return int(millionths)
        self.fault(
            tree,
            path,
            "must be `zerodha` or `flat 0.03%` (below 10 %, at most four decimals)" + _it_is(tree),
        )
        return None

    def time(self, tree: Tree | None, path: str) -> dt.time | None:
        """A time of day in India: ``15:10``."""
        if tree is None:
            return None
        clock = _CLOCK.fullmatch(tree.text.strip()) if isinstance(tree, Scalar) else None
        if clock:
            return dt.time(int(clock[1]), int(clock[2]), int(clock[3] or 0))
        self.fault(tree, path, f"must be a time of day in India, such as 15:10{_it_is(tree)}")
        return None

    def times(self, tree: Tree | None, path: str) -> tuple[dt.time | None, dt.time | None]:
        """Two times of day, the first before the second."""
        if tree is None:
            return None, None
        if not isinstance(tree, Sequence) or len(tree.items) != 2:
            self.fault(tree, path, "must be two times of day, such as [09:20, 15:00]")
            return None, None
        first, last = (self.time(item, path) for item in tree.items)
        if first is not None and last is not None and first >= last:
            self.fault(tree, path, f"ends at {last:%H:%M}, before it begins at {first:%H:%M}")
        return first, last

    def params(self, tree: Tree | None, path: str) -> dict[str, int | float | str | bool]:
        """A strategy's own parameters; their names are checked against the strategy later."""
        if tree is None or (isinstance(tree, Scalar) and tree.value is None):
            return {}
        if not isinstance(tree, Mapping):
            self.fault(tree, path, "must be a section with `name: value` lines")
            return {}
        params: dict[str, int | float | str | bool] = {}
        for row in tree.rows:
            self.lines[f"{path}.{row.key}"] = row.line
            if _is_secret(row.key):
                self.fault(Scalar(None, "", row.line), f"{path}.{row.key}", _NO_SECRETS)
            elif isinstance(row.tree, Scalar) and row.tree.value is not None:
                params[row.key] = row.tree.value
            else:
                self.fault(row.tree, f"{path}.{row.key}", "must be one number or word")
        return params


def _it_is(tree: Tree) -> str:
    if isinstance(tree, Scalar):
        return f"; it is {tree.text}" if tree.text else "; it is empty"
    return "; it is a list" if isinstance(tree, Sequence) else "; it is a section"


def _is_secret(key: str) -> bool:
    return _SECRETS.search(key) is not None


def _is_number(text: str) -> bool:
    return text.count(".") <= 1 and text.strip(".") != ""


def _amount(text: str) -> Money | None:
    written = _AMOUNT.fullmatch(text.strip())
    if written is None:
        return None
    digits = written[1].replace(",", "").replace("_", "")
    if not digits or digits.startswith("."):
        return None
    unit = (written[2] or "").lower()
    times = 100_000 if unit.startswith("lakh") else 10_000_000 if unit else 1
    try:
        return money(Decimal(digits) * times)
    except ValueError:
        return None
