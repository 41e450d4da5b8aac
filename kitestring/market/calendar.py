"""Which days the Indian share market trades: weekdays less holidays, plus its special sessions.

One calendar serves NSE and BSE, shares and their derivatives. It is known from ``FIRST_DAY`` to
``LAST_DAY``; a date outside raises ``CalendarUnknown``, because a guessed trading day loses money.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.market.rows import Row, read_rows, refuse_outside, wrong_row

FIRST_DAY: Final = dt.date(2020, 1, 1)
LAST_DAY: Final = dt.date(2026, 12, 31)

_FILE: Final = "calendar.toml"
_SATURDAY: Final = 5
_ONE_DAY: Final = dt.timedelta(days=1)


class Window(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A stretch of an Indian day, ``[start, end)``."""

    start: dt.time
    end: dt.time


class SpecialSession(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A day with hours of its own (Muhurat), or a weekend day with the ordinary ones (Budget).

    ``ordinary`` days keep the day's usual timetable; the others trade in ``continuous`` only.
    """

    day: dt.date
    name: str
    ordinary: bool = False
    continuous: tuple[Window, ...] = ()
    pre_open: Window | None = None
    post_close: Window | None = None


class _Holiday(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    day: dt.date
    name: str


class _Year(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    year: int
    holidays: tuple[_Holiday, ...]


class CalendarRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of calendar.toml."""

    first_day: dt.date
    last_day: dt.date
    years: tuple[_Year, ...]
    specials: tuple[SpecialSession, ...]


class Calendar(msgspec.Struct, frozen=True):
    """The checked rows, looked up by day."""

    holidays: MappingProxyType[dt.date, str]
    specials: MappingProxyType[dt.date, SpecialSession]


def check_calendar(rows: CalendarRows) -> Calendar:
    """The rows as look-ups; raises ``ConfigError`` where a row cannot be true."""
    if (rows.first_day, rows.last_day) != (FIRST_DAY, LAST_DAY):
        raise wrong_row(_FILE, f"first_day and last_day must be {FIRST_DAY} and {LAST_DAY}")
    if [row.year for row in rows.years] != list(range(FIRST_DAY.year, LAST_DAY.year + 1)):
        raise wrong_row(
            _FILE, f"years must run from {FIRST_DAY.year} to {LAST_DAY.year}, each once"
        )
    holidays: dict[dt.date, str] = {}
    for year in rows.years:
        for row in year.holidays:
            if row.day.year != year.year or row.day.weekday() >= _SATURDAY or row.day in holidays:
                raise wrong_row(
                    _FILE, f"years.holidays: {row.day} is no new weekday of {year.year}"
                )
            holidays[row.day] = row.name
    specials: dict[dt.date, SpecialSession] = {}
    for special in rows.specials:
        if special.ordinary == bool(special.continuous):
            raise wrong_row(
                _FILE, f"specials: {special.day} needs ordinary or continuous, not both"
            )
        if special.day in specials or not FIRST_DAY <= special.day <= LAST_DAY:
            raise wrong_row(_FILE, f"specials: {special.day} is repeated or beyond the calendar")
        specials[special.day] = special
    return Calendar(MappingProxyType(holidays), MappingProxyType(specials))


@lru_cache(maxsize=1)
def _calendar() -> Calendar:
    return check_calendar(read_rows(_FILE, CalendarRows))


def known(day: dt.date) -> None:
    """Raise ``CalendarUnknown`` for a day beyond the calendar."""
    refuse_outside(
        "Indian trading days are",
        day,
        FIRST_DAY,
        LAST_DAY,
        do=f"choose a date from {FIRST_DAY} to {LAST_DAY} with --date, or update kitestring: "
        "NSE publishes a year's holidays in the December before it",
    )


def holiday(day: dt.date) -> str | None:
    """The name of the holiday on a weekday, ``None`` on all other days (weekends need no holiday).

    A holiday may still have a Muhurat session: see ``special_session`` and ``is_trading_day``.
    """
    known(day)
    return _calendar().holidays.get(day)


def special_session(day: dt.date) -> SpecialSession | None:
    """The special session of a day, if it has one."""
    known(day)
    return _calendar().specials.get(day)


def is_ordinary_weekday(day: dt.date) -> bool:
    """A weekday that is no holiday: the days on which contracts may expire."""
    return holiday(day) is None and day.weekday() < _SATURDAY


def is_trading_day(day: dt.date) -> bool:
    """Whether any session runs: ordinary weekdays, Muhurat evenings, Budget weekends."""
    return is_ordinary_weekday(day) or day in _calendar().specials


def next_trading_day(day: dt.date) -> dt.date:
    """The first trading day after ``day``; ``CalendarUnknown`` if it lies beyond the calendar."""
    known(day)
    following = day + _ONE_DAY
    while not is_trading_day(following):
        following += _ONE_DAY
    return following


def previous_trading_day(day: dt.date) -> dt.date:
    """The last trading day before ``day``; ``CalendarUnknown`` if it lies before the calendar."""
    known(day)
    earlier = day - _ONE_DAY
    while not is_trading_day(earlier):
        earlier -= _ONE_DAY
    return earlier


def trading_days(first: dt.date, last: dt.date) -> tuple[dt.date, ...]:
    """Every trading day from ``first`` to ``last``, both included."""
    known(first)
    known(last)
    days = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
    return tuple(day for day in days if is_trading_day(day))
