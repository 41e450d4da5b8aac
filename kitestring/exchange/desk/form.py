"""Reading what a client sent: each parameter by name, of one kind, refused in Kite's words.

Clients spell freely: the official ones repeat path parameters in the body, write booleans as
``True`` or ``true`` and floats with their noise (``0.30000000000000004``). All of that is read;
what cannot be read is an ``InputException`` and never anything worse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from kitestring.domain.money import UNITS_PER_RUPEE, Price
from kitestring.exchange.desk.kite_error import input_error

_NUMBER: Final = re.compile(r"[+-]?(\d{1,15}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?", re.ASCII)
_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no", ""})
_TEXT_MAX: Final = 4_000
_UNITS_MAX: Final = 10**13
"""A thousand million rupees: above it a price is a slip."""


class Form:
    """The parameters of one request, by name; of a repeated one the first counts for ``text``."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, str]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        """Whether the parameter was sent and is not empty."""
        return bool(self._values.get(name, [""])[0])

    def many(self, name: str) -> list[str]:
        """Every value of a repeated parameter, in order."""
        return list(self._values.get(name, ()))

    def text(self, name: str, default: str | None = None, *, at_most: int = _TEXT_MAX) -> str:
        """A text; ``default`` where it is absent or empty, ``None`` says that it is required."""
        value = self._values.get(name, [""])[0]
        if not value:
            if default is None:
                raise input_error(f"Missing or empty field `{name}`.")
            return default
        if len(value) > at_most:
            raise input_error(f"Invalid `{name}`: more than {at_most} characters.")
        return value

    def choice(self, name: str, among: Iterable[str], default: str | None = None) -> str:
        """One word out of some."""
        value = self.text(name, default)
        if value not in set(among):
            raise input_error(f"Invalid `{name}`.")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Yes or no, in any of the clients' spellings."""
        if name not in self:
            return default
        value = self.text(name).lower()
        if value not in _TRUE | _FALSE:
            raise input_error(f"Invalid `{name}`: true or false is expected.")
        return value in _TRUE

    def number(self, name: str, default: Decimal | None = None) -> Decimal:
        """A finite decimal number."""
        if default is not None and name not in self:
            return default
        value = self.text(name).strip()
        if not _NUMBER.fullmatch(value):
            raise input_error(f"Invalid `{name}`: a number is expected.")
        return Decimal(value)

    def whole(
        self, name: str, default: int | None = None, *, at_least: int = 0, at_most: int = 10**10
    ) -> int:
        """A whole number within bounds; ``10.0`` is ten."""
        number = self.number(name, None if default is None else Decimal(default))
        if number != number.to_integral_value() or not at_least <= number <= at_most:
            raise input_error(f"Invalid `{name}`: a whole number from {at_least} is expected.")
        return int(number)

    def price(self, name: str, default: Price | None = None) -> Price:
        """A price of zero or more, to the nearest 1/10 000 rupee: floats arrive with their noise."""
        if default is not None and name not in self:
            return default
        units = self.number(name) * UNITS_PER_RUPEE
        if not 0 <= units <= _UNITS_MAX:
            raise input_error(f"Invalid `{name}`.")
        return Price(round(units))
