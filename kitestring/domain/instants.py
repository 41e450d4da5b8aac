"""Moments in time as whole microseconds since 1970 in UTC; shown to people in Indian time.

India keeps one offset (UTC+05:30) and no summer time, so the conversion is plain arithmetic and
the core needs no clock and no time-zone database.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
IST_OFFSET: Final = 5 * HOUR + 30 * MINUTE
IST: Final = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
NEVER: Final[Instant] = 1 << 62
"""Later than every instant: the due time of nothing."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def instant(day: dt.date, time_of_day: dt.time) -> Instant:
    """The instant of an Indian wall-clock time on an Indian date."""
    since_epoch = (day - _EPOCH.date()).days * DAY
    in_day = ((time_of_day.hour * 60 + time_of_day.minute) * 60 + time_of_day.second) * SECOND
    return since_epoch + in_day + time_of_day.microsecond - IST_OFFSET


def instant_of(moment: dt.datetime) -> Instant:
    """The instant of an aware datetime; a naive one is a bug and raises ``ValueError``."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} names no time zone")
    delta = moment - _EPOCH
    return delta.days * DAY + delta.seconds * SECOND + delta.microseconds


def ist(at: Instant) -> dt.datetime:
    """The aware Indian datetime of an instant."""
    return (_EPOCH + dt.timedelta(microseconds=at)).astimezone(IST)


def ist_date(at: Instant) -> dt.date:
    """The Indian calendar date of an instant."""
    return ist(at).date()


def ist_clock(at: Instant) -> str:
    """``HH:MM:SS`` in India, as the console shows it."""
    seconds = (at + IST_OFFSET) // SECOND % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def ist_text(at: Instant) -> str:
    """``YYYY-MM-DD HH:MM:SS.mmm`` in India, as the CSV files show it."""
    moment = ist(at)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
