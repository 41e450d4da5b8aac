"""Every holiday by name and date, every special session, and the ends of what we know."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.market.calendar import (
    FIRST_DAY,
    LAST_DAY,
    CalendarRows,
    check_calendar,
    holiday,
    is_trading_day,
    next_trading_day,
    previous_trading_day,
    special_session,
    trading_days,
)
from kitestring.market.rows import parse_rows, read_rows

HOLIDAYS_2025 = [
    (2, 26),
    (3, 14),
    (3, 31),
    (4, 10),
    (4, 14),
    (4, 18),
    (5, 1),
    (8, 15),
    (8, 27),
    (10, 2),
    (10, 21),
    (10, 22),
    (11, 5),
    (12, 25),
]
HOLIDAYS_2026 = [
    (1, 15),
    (1, 26),
    (3, 3),
    (3, 26),
    (3, 31),
    (4, 3),
    (4, 14),
    (5, 1),
    (5, 28),
    (6, 26),
    (9, 14),
    (10, 2),
    (10, 20),
    (11, 10),
    (11, 24),
    (12, 25),
]


def year_of(year: int) -> list[dt.date]:
    days = (dt.date(year, 1, 1) + dt.timedelta(days=n) for n in range(366))
    return [day for day in days if day.year == year]


@pytest.mark.parametrize(("year", "expected"), [(2025, HOLIDAYS_2025), (2026, HOLIDAYS_2026)])
def test_the_published_holidays_of_a_year_and_no_others(year, expected):
    assert [(day.month, day.day) for day in year_of(year) if holiday(day)] == expected


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (dt.date(2020, 2, 21), "Mahashivratri"),
        (dt.date(2021, 7, 21), "Bakri Id"),
        (dt.date(2024, 1, 22), "Special holiday, Ram Mandir inauguration"),
        (dt.date(2024, 11, 20), "Maharashtra assembly elections"),
        (dt.date(2026, 1, 15), "Maharashtra municipal elections"),
        (dt.date(2026, 11, 24), "Guru Nanak Jayanti"),
        (dt.date(2026, 12, 25), "Christmas"),
    ],
)
def test_a_holiday_has_its_name(day, name):
    assert holiday(day) == name
    assert not is_trading_day(day)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_weekdays_of_2020_to_2026_agree_with_an_independent_calendar():
    exchange_calendars = pytest.importorskip("exchange_calendars")
    oracle = exchange_calendars.get_calendar("XBOM", start="2020-01-01", end="2026-12-31")
    theirs = {moment.date() for moment in oracle.sessions if moment.weekday() < 5}
    days = (dt.date(2020, 1, 1) + dt.timedelta(days=n) for n in range(2557))
    ours = {day for day in days if day.weekday() < 5 and holiday(day) is None}
    assert ours == theirs
    assert len(ours) == 1827 - 101


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (dt.date(2020, 2, 1), "Union Budget, Saturday"),
        (dt.date(2020, 11, 14), "Muhurat trading"),
        (dt.date(2021, 11, 4), "Muhurat trading"),
        (dt.date(2022, 10, 24), "Muhurat trading"),
        (dt.date(2023, 11, 12), "Muhurat trading, Sunday"),
        (dt.date(2024, 1, 20), "Full session on a Saturday, in place of Monday 22 January"),
        (dt.date(2024, 3, 2), "Saturday, switch to the disaster-recovery site"),
        (dt.date(2024, 5, 18), "Saturday, switch to the disaster-recovery site"),
        (dt.date(2024, 11, 1), "Muhurat trading"),
        (dt.date(2025, 2, 1), "Union Budget, Saturday"),
        (dt.date(2025, 10, 21), "Muhurat trading"),
        (dt.date(2026, 2, 1), "Union Budget, Sunday"),
        (dt.date(2026, 11, 8), "Muhurat trading, Sunday"),
    ],
)
def test_special_sessions_are_trading_days(day, name):
    special = special_session(day)
    assert special is not None
    assert special.name == name
    assert is_trading_day(day)


def test_muhurat_evening_trades_although_the_day_is_a_holiday():
    assert holiday(dt.date(2024, 11, 1)) == "Diwali Laxmi Pujan"
    assert is_trading_day(dt.date(2024, 11, 1))


def test_hours_of_the_coming_muhurat_are_marked_provisional():
    special = special_session(dt.date(2026, 11, 8))
    assert special is not None
    assert special.unconfirmed.startswith("the hours are provisional")


def test_weekends_and_saturday_mock_trading_are_no_trading_days():
    assert not is_trading_day(dt.date(2026, 11, 21))
    assert not is_trading_day(dt.date(2026, 11, 22))
    assert holiday(dt.date(2026, 11, 22)) is None


def test_the_trading_day_after_and_before_a_closed_stretch():
    assert next_trading_day(dt.date(2026, 11, 23)) == dt.date(2026, 11, 25)
    assert previous_trading_day(dt.date(2026, 11, 25)) == dt.date(2026, 11, 23)
    assert next_trading_day(dt.date(2026, 11, 6)) == dt.date(2026, 11, 8)
    assert next_trading_day(dt.date(2026, 11, 20)) == dt.date(2026, 11, 23)


def test_trading_days_of_a_week_with_a_holiday():
    assert trading_days(dt.date(2026, 11, 20), dt.date(2026, 11, 27)) == (
        dt.date(2026, 11, 20),
        dt.date(2026, 11, 23),
        dt.date(2026, 11, 25),
        dt.date(2026, 11, 26),
        dt.date(2026, 11, 27),
    )


@pytest.mark.parametrize("day", [dt.date(2019, 12, 31), dt.date(2027, 1, 1), dt.date(2027, 3, 1)])
def test_a_day_beyond_the_calendar_is_refused_not_guessed(day):
    for ask in (holiday, is_trading_day, special_session, next_trading_day, previous_trading_day):
        with pytest.raises(CalendarUnknown) as refusal:
            ask(day)
        assert str(day) in refusal.value.what
        assert "--date" in refusal.value.do


def test_the_last_known_day_has_no_known_next_day():
    with pytest.raises(CalendarUnknown):
        next_trading_day(LAST_DAY)
    with pytest.raises(CalendarUnknown):
        previous_trading_day(FIRST_DAY)
    with pytest.raises(CalendarUnknown):
        trading_days(dt.date(2026, 12, 30), dt.date(2027, 1, 4))


@given(st.dates(dt.date(2020, 1, 10), dt.date(2026, 12, 20)))
def test_next_and_previous_trading_day_are_inverse(day):
    following = next_trading_day(day)
    assert following > day
    assert is_trading_day(following)
    assert trading_days(day, following)[-1] == following
    before = previous_trading_day(following)
    assert before == (day if is_trading_day(day) else previous_trading_day(day))


def test_a_misspelt_key_names_the_file_and_the_key():
    text = "first_day = 2020-01-01\nlast_day = 2026-12-31\nspecials = []\nyears = [{ yaer = 2020 }]"
    with pytest.raises(ConfigError, match=r"calendar\.toml.*yaer.*years\[0\]"):
        parse_rows("calendar.toml", text, CalendarRows)


def test_a_holiday_on_a_weekend_or_in_the_wrong_year_is_a_wrong_row():
    rows = read_rows("calendar.toml", CalendarRows)
    for wrong in (dt.date(2020, 2, 22), dt.date(2021, 2, 22)):
        first = rows.years[0]
        moved = type(first)(
            year=2020,
            source="here",
            holidays=(type(first.holidays[0])(day=wrong, name="no holiday"),),
        )
        broken = CalendarRows(FIRST_DAY, LAST_DAY, (moved, *rows.years[1:]), rows.specials)
        with pytest.raises(ConfigError, match=str(wrong)):
            check_calendar(broken)


def test_every_row_names_its_source():
    rows = read_rows("calendar.toml", CalendarRows)
    assert all(row.source for row in (*rows.years, *rows.specials))
