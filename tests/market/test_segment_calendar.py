"""Currency and commodities: their hours, and the days on which they differ from shares."""

import datetime as dt

import pytest

from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.instants import ist_clock
from kitestring.domain.instruments import Segment
from kitestring.market.rows import parse_rows
from kitestring.market.segment_calendar import SegmentRows, check_segments
from kitestring.market.sessions import SHARE_MARKET, all_sessions, session, sessions_for

CURRENCY, COMMODITY = Segment.CURRENCY, Segment.COMMODITY


def hours(day, segment):
    found = session(day, segment)
    return tuple(
        ist_clock(at)[:5]
        for at in (found.open_at, found.close_at, found.entry_cutoff_at, found.square_off_at)
    )


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (dt.date(2026, 3, 6), ("09:00", "23:55", "23:10", "23:25")),
        (dt.date(2026, 3, 9), ("09:00", "23:30", "22:45", "23:00")),
        (dt.date(2026, 10, 30), ("09:00", "23:30", "22:45", "23:00")),
        (dt.date(2026, 11, 2), ("09:00", "23:55", "23:10", "23:25")),
        (dt.date(2026, 1, 1), ("09:00", "17:00", "16:35", "16:50")),  # the morning of New Year
        (dt.date(2026, 2, 1), ("09:00", "17:00", "16:35", "16:50")),  # Budget on a Sunday
        (dt.date(2026, 11, 24), ("17:00", "23:55", "23:10", "23:25")),  # the evening of a holiday
    ],
)
def test_commodities_trade_into_the_night(day, expected):
    assert hours(day, COMMODITY) == expected


def test_currency_trades_from_nine_to_five():
    assert hours(dt.date(2026, 11, 20), CURRENCY) == ("09:00", "17:00", "16:25", "16:40")


@pytest.mark.parametrize(
    ("day", "segment"),
    [
        (dt.date(2026, 8, 26), CURRENCY),  # shares trade, nothing settles
        (dt.date(2026, 11, 24), CURRENCY),
        (dt.date(2026, 10, 2), COMMODITY),
        (dt.date(2026, 11, 21), COMMODITY),  # a Saturday
        (dt.date(2026, 11, 8), COMMODITY),  # Muhurat: nobody has published its hours
        (dt.date(2026, 11, 8), CURRENCY),
        (dt.date(2025, 11, 20), COMMODITY),  # the list of 2025 was not read
        (dt.date(2027, 1, 4), CURRENCY),
    ],
)
def test_a_day_without_known_hours_is_refused(day, segment):
    with pytest.raises(CalendarUnknown):
        session(day, segment)


def test_the_share_market_keeps_its_own_day():
    """A paper day ends with derivatives, not with crude oil at five to midnight."""
    assert set(sessions_for(dt.date(2026, 11, 20))) == set(SHARE_MARKET)
    assert set(all_sessions(dt.date(2026, 11, 20))) == set(Segment)
    assert set(all_sessions(dt.date(2026, 8, 26))) == set(Segment) - {CURRENCY}
    assert set(all_sessions(dt.date(2025, 11, 20))) == set(SHARE_MARKET)


def test_what_nobody_confirmed_is_said():
    note = session(dt.date(2026, 11, 20), COMMODITY).note
    assert "unconfirmed: MCX's own circular" in note
    assert "unconfirmed: the whole list" in note


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("closed = [2026-01-26, 2026-01-26]", "repeated"),
        ("closed = [2026-01-24]", "weekend"),
        ("closed = [2027-01-26]", "beyond"),
        ("closed = []\nevening_only = [2026-01-26]", "parts them"),
    ],
)
def test_a_row_that_cannot_be_true_is_named(rows, fault):
    text = (
        '[[segments]]\nsegment = "CURRENCY"\nfirst_day = 2026-01-01\nlast_day = 2026-12-31\n'
        f'source = "here"\n{rows}\n'
    )
    with pytest.raises(ConfigError, match=fault):
        check_segments(parse_rows("segment_calendar.toml", text, SegmentRows))
