"""The calendar of a simulated day: every phase of a real one, with its hours folded into minutes.

The timetable is the exchange's own for the date, before and after the rules of 3 August 2026: pre-open,
continuous trading, the house's cut-offs, the closing auction, the derivatives' longer afternoon. A map
takes each time of day to a second of the simulated day: the opening and the afternoon keep the most,
the quiet middle of the day the least. Nothing but the map knows that an hour was shorter.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final

import msgspec

from kitestring.domain.instants import SECOND, Instant, instant
from kitestring.domain.instruments import Segment
from kitestring.domain.sessions import Session
from kitestring.market.sessions import sessions_for

DATE: Final = dt.date(2026, 11, 20)
DATES: Final = (DATE, dt.date(2026, 7, 15), dt.date(2026, 8, 19), dt.date(2026, 12, 9))
"""One day under each timetable of 2026: the latest, before the closing auction, after its first day, and with its
auction moved to the end."""
_OPEN: Final = dt.time(9, 15)
_FOLD: Final = (
    (dt.time(9, 0), -180),
    (_OPEN, 0),
    (dt.time(10, 0), 540),
    (dt.time(14, 0), 1_080),
    (dt.time(15, 0), 1_500),
    (dt.time(16, 0), 1_980),
)
"""Times of day, and the seconds after the opening to which they are folded."""
BEGINS_S: Final = -150
"""When the exchange's world begins: in the pre-open."""
QUIET_S: Final = (540, 1_080)
"""The quiet middle of the day, in which little ticks."""
CALM_S: Final = 1_260
"""Seconds after the opening: every fault is over, plugs stay in."""
WELL_S: Final = CALM_S + 50
"""By now, within a minute, the house must be in order again, without help; no bar closes here."""
FLAT_AFTER_S: Final = 60
"""So long after its square-off nothing of a segment may be open."""


def opens(date: dt.date = DATE) -> Instant:
    """The opening of a day."""
    return instant(date, _OPEN)


def at(seconds: float, date: dt.date = DATE) -> Instant:
    """An instant so many seconds after the opening."""
    return opens(date) + round(seconds * SECOND)


def folded(real: Instant, date: dt.date = DATE) -> Instant:
    """Where a real time of the day lies on the simulated one."""
    knots = [(instant(date, time), seconds) for time, seconds in _FOLD]
    place = sum(knot <= real for knot, _ in knots[1:-1])
    (start, start_s), (end, end_s) = knots[place], knots[place + 1]
    since = (real - start) * (end_s - start_s) * SECOND // (end - start)
    return at(start_s, date) + since


@lru_cache(maxsize=8)
def _timetable(date: dt.date) -> dict[Segment, Session]:
    return {segment: _folded_session(found) for segment, found in sessions_for(date).items()}


def timetable(date: dt.date = DATE) -> dict[Segment, Session]:
    """The short day's sessions, of the house and of the exchange alike."""
    return dict(_timetable(date))


def _folded_session(found: Session) -> Session:
    date = found.date
    return msgspec.structs.replace(
        found,
        open_at=folded(found.open_at, date),
        close_at=folded(found.close_at, date),
        entry_cutoff_at=folded(found.entry_cutoff_at, date),
        square_off_at=folded(found.square_off_at, date),
        phases=tuple(
            msgspec.structs.replace(
                phase, start_at=folded(phase.start_at, date), end_at=folded(phase.end_at, date)
            )
            for phase in found.phases
        ),
    )


def seconds_of(moment: Instant, date: dt.date = DATE) -> int:
    """Whole seconds after the opening."""
    return (moment - opens(date)) // SECOND


CUTOFF_S: Final = seconds_of(timetable()[Segment.EQUITY_WITH_DERIVATIVES].entry_cutoff_at)
SQUARE_OFF_S: Final = seconds_of(timetable()[Segment.EQUITY_WITH_DERIVATIVES].square_off_at)
CLOSE_S: Final = max(seconds_of(each.close_at) for each in timetable().values())
"""The first entry cut-off and square-off, and the last close, of ``DATE``."""


def closes_s(date: dt.date) -> int:
    """The day's last close, in seconds after the opening."""
    return max(seconds_of(each.close_at, date) for each in timetable(date).values())
