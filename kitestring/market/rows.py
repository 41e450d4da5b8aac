"""The dated rows that ship with the house: India's hours, charges and limits, each with its source.

A row holds from its ``valid_from`` until the next row of its kind; before the first and after the
horizon the house refuses to guess. Files are read strictly: a wrong row is an error that names the
file and the key, never a value quietly left out.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Protocol, TypeVar

import msgspec

from kitestring.domain.errors import CalendarUnknown, ConfigError

T = TypeVar("T")


class Dated(Protocol):
    """Anything in force from a day on."""

    @property
    def valid_from(self) -> dt.date:
        """The first day the row holds."""
        ...


D = TypeVar("D", bound=Dated)


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every row says of itself: where it is from, and what of it nobody has confirmed."""

    source: str
    unconfirmed: str = ""


class DatedRow(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row in force from ``valid_from`` until the next of its kind."""

    valid_from: dt.date


def read_rows(file_name: str, layout: type[T]) -> T:
    """The packaged file ``data/<file_name>`` as ``layout``; raises ``ConfigError`` if it is wrong."""
    text = resources.files("kitestring.market").joinpath("data", file_name).read_text("utf-8")
    return parse_rows(file_name, text, layout)


def parse_rows(file_name: str, text: str, layout: type[T]) -> T:
    """TOML text as ``layout``; a wrong, missing or unknown key raises ``ConfigError`` naming it."""
    try:
        return msgspec.convert(tomllib.loads(text), layout)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise wrong_row(file_name, str(error)) from error


def wrong_row(file_name: str, fault: str) -> ConfigError:
    """The error for a fault in a packaged file."""
    return ConfigError(
        f"the market rows in market/data/{file_name} are wrong: {fault}",
        do="correct that row, or install kitestring again to get the shipped file back",
    )


def ascending(file_name: str, key: str, rows: Iterable[D]) -> tuple[D, ...]:
    """The rows, after checking that each is newer than the one before it; else ``ConfigError``."""
    checked: list[D] = []
    for row in rows:
        if checked and row.valid_from <= checked[-1].valid_from:
            raise wrong_row(
                file_name,
                f"{key}: valid_from {row.valid_from} does not come after {checked[-1].valid_from}",
            )
        checked.append(row)
    return tuple(checked)


def in_force(rows: Sequence[D], day: dt.date) -> D | None:
    """The newest row that holds on ``day``; ``None`` before the first one. Rows ascend."""
    found: D | None = None
    for row in rows:
        if row.valid_from > day:
            break
        found = row
    return found


def refuse_outside(what: str, day: dt.date, first: dt.date, last: dt.date, *, do: str) -> None:
    """Raise ``CalendarUnknown`` unless ``first <= day <= last``: beyond its rows the house is closed."""
    if not first <= day <= last:
        raise CalendarUnknown(f"{what} known from {first} to {last}, not for {day}", do=do)
