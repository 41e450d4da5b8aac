"""What a caller of the admin interface asks for, read strictly: unknown and wrong words are named."""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Self

import msgspec

from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Segment
from kitestring.domain.sessions import Session
from kitestring.domain.unreadable import UNREADABLE

_DO = "The admin interface is described in docs/Exchange.md."


class Asked:
    """The fields of one request, each read once."""

    def __init__(self, fields: Mapping[str, object], text: str = "", inside: str = "") -> None:
        self._fields = fields
        self._text = text
        self._inside = inside
        self._read: set[str] = set()

    @classmethod
    def of(cls, query: Mapping[str, str], body: bytes) -> Self:
        """Query and body together; a body that is no JSON object is a text (a fault script)."""
        text = body.decode("utf-8", errors="replace")
        if not text.lstrip().startswith("{"):
            return cls(query, text)
        try:
            fields = msgspec.json.decode(body, type=dict[str, object])
        except UNREADABLE as error:
            raise ConfigError(f"The body is no JSON object: {error}.", do=_DO) from error
        return cls({**query, **fields})

    @property
    def said(self) -> str:
        """Everything that was asked, for the record."""
        return msgspec.json.encode(self._fields).decode() if self._fields else ""

    def has(self, name: str) -> bool:
        """Whether a field was sent."""
        return name in self._fields

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._wrong(name, "a text", value)
        return str(value)

    def one_of(self, name: str, words: Iterable[str]) -> str:
        """One word of some."""
        word, words = self.text(name), tuple(words)
        if word in words:
            return word
        near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(words)}."
        raise ConfigError(f"{self._inside}{name} does not know {word}.", do=hint)

    def number(self, name: str, default: float | None = None, *, least: float = -1e12) -> float:
        """A finite number; one in a query is written as text."""
        value = self._value(name, default)
        try:
            number = math.nan if isinstance(value, bool) else float(str(value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < least:
            raise self._wrong(name, f"a number of at least {least:g}", value)
        return number

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        number = self.number(name, None if default is None else float(default))
        if number != int(number):
            raise self._wrong(name, "a whole number", number)
        return int(number)

    def yes(self, name: str) -> bool:
        """True or false; false where it is absent."""
        value = self._value(name, False)
        if value in (True, "true", "1"):
            return True
        if value in (False, "false", "0"):
            return False
        raise self._wrong(name, "true or false", value)

    def names(self, name: str) -> tuple[str, ...]:
        """A list of names; none where it is absent."""
        value = self._value(name, [])
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise self._wrong(name, "a list of names", value)

    def section(self, name: str) -> Asked:
        """Fields inside a field."""
        value = self._value(name, None)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return Asked(value, inside=f"{name}.")

    def rest(self) -> dict[str, str]:
        """All fields not read yet, as the parameters of an order."""
        rest = {name: value for name, value in self._fields.items() if name not in self._read}
        self._read |= set(rest)
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in rest.items()
        }

    def script(self) -> str:
        """A fault script: the body itself, or its field ``script``."""
        return self.text("script") if self.has("script") else self._text

    def know(self, names: Iterable[str] | None) -> None:
        """Refuse what is called none of these; ``None`` knows everything."""
        if names is None:
            return
        names = tuple(names)
        for name in self._fields:
            if name not in names:
                raise ConfigError(
                    f"Nothing here is called {self._inside}{name}.",
                    do=f"Known: {', '.join(names) or 'nothing'}.",
                )

    def _value(self, name: str, default: object) -> object:
        self._read.add(name)
        value = self._fields.get(name, default)
        if value is None:
            raise ConfigError(f"{self._inside}{name} is missing.", do=_DO)
        return value

    def _wrong(self, name: str, expected: str, value: object) -> ConfigError:
        return ConfigError(f"{self._inside}{name} must be {expected}; it is {value!r}.", do=_DO)


def time_of_day(text: str, name: str) -> dt.time:
    """A time of day in India: ``10:15`` or ``10:15:30``."""
    try:
        return dt.time.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{name} must be a time of day such as 10:15; it is {text}.") from None


def phase_start(sessions: Mapping[Segment, Session], phase: str, segment: str = "") -> Instant:
    """When a phase of the day begins: the first of that name, of the named segment or of any."""
    if segment and segment not in {each.value for each in sessions}:
        known = ", ".join(each.value for each in sessions)
        raise ConfigError(f"There is no segment {segment} today.", do=f"Known: {known}.")
    phases = [
        each
        for name, session in sessions.items()
        if not segment or name.value == segment
        for each in session.phases
    ]
    starts = [each.start_at for each in phases if each.kind.value == phase]
    if starts:
        return min(starts)
    words = tuple(dict.fromkeys(each.kind.value for each in phases))
    raise ConfigError(f"There is no phase {phase} today.", do=f"Known: {'; '.join(words)}.")
