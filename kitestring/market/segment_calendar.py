"""Which days and halves of days the currency and commodity markets trade, where shares differ.

Known for 2026 only. Exchanges list these holidays apart from the share market's: currency rests on
four more days, commodities trade the evening of most holidays. Another day is refused, not guessed.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.instruments import Segment
from kitestring.market.calendar import Window
from kitestring.market.rows import Row, read_rows, refuse_outside, wrong_row

_FILE: Final = "segment_calendar.toml"
_SATURDAY: Final = 5
_WHOLE_DAY: Final = Window(dt.time.min, dt.time.max)
_DO: Final = "choose a day of 2026, or leave instruments of this segment out"


class _Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    day: dt.date
    name: str
    window: Window


class SegmentYear(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One segment's exceptions, known from ``first_day`` to ``last_day``."""

    segment: Segment
    first_day: dt.date
    last_day: dt.date
    closed: tuple[dt.date, ...]
    morning_only: tuple[dt.date, ...] = ()
    evening_only: tuple[dt.date, ...] = ()
    hours: tuple[_Hours, ...] = ()
    morning_to: dt.time | None = None
    evening_from: dt.time | None = None


class SegmentRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of segment_calendar.toml."""

    segments: tuple[SegmentYear, ...]


def check_segments(rows: SegmentRows) -> MappingProxyType[Segment, SegmentYear]:
    """The rows by segment; raises ``ConfigError`` where one cannot be true."""
    found: dict[Segment, SegmentYear] = {}
    for row in rows.segments:
        named = [*row.closed, *row.morning_only, *row.evening_only]
        if row.segment in found:
            raise wrong_row(_FILE, f"segments: {row.segment} is repeated")
        for day in named:
            if named.count(day) > 1 or not row.first_day <= day <= row.last_day:
                raise wrong_row(_FILE, f"{row.segment}: {day} is repeated or beyond its days")
            if day.weekday() >= _SATURDAY:
                raise wrong_row(_FILE, f"{row.segment}: {day} is on a weekend and needs no row")
        if (row.morning_only and row.morning_to is None) or (
            row.evening_only and row.evening_from is None
        ):
            raise wrong_row(_FILE, f"{row.segment}: halves of days need the hour that parts them")
        found[row.segment] = row
    return MappingProxyType(found)


@lru_cache(maxsize=1)
def _rows() -> MappingProxyType[Segment, SegmentYear]:
    return check_segments(read_rows(_FILE, SegmentRows))


def has_own_calendar(segment: Segment) -> bool:
    """Whether a segment's days differ from the share market's."""
    return segment in _rows()


def trading_window(day: dt.date, segment: Segment) -> Window:
    """The part of the day on which a segment's timetable holds; the whole day, as a rule.

    Raises ``CalendarUnknown`` for a closed day, and for one whose hours nobody has published.
    """
    row = _rows()[segment]
    refuse_outside(f"Trading days of {segment} are", day, row.first_day, row.last_day, do=_DO)
    for special in row.hours:
        if special.day == day:
            return special.window
    if day.weekday() >= _SATURDAY or day in row.closed:
        raise CalendarUnknown(f"the {segment.lower()} market is closed on {day}", do=_DO)
    if day in row.morning_only:
        return Window(dt.time.min, row.morning_to or dt.time.max)
    if day in row.evening_only:
        return Window(row.evening_from or dt.time.min, dt.time.max)
    return _WHOLE_DAY


def is_listed(day: dt.date, segment: Segment) -> bool:
    """Whether a segment's calendar reaches a day at all, open or closed."""
    row = _rows()[segment]
    return row.first_day <= day <= row.last_day


def is_open(day: dt.date, segment: Segment) -> bool:
    """Whether a segment trades on a day, as far as its rows reach; ``False`` beyond them."""
    try:
        trading_window(day, segment)
    except CalendarUnknown:
        return False
    return True


def doubts(segment: Segment) -> tuple[str, str]:
    """Where a segment's calendar is from, and what of it nobody has confirmed."""
    row = _rows()[segment]
    return row.source, row.unconfirmed
