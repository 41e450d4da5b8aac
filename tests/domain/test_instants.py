"""Indian wall-clock time and UTC instants."""

import datetime as dt

import pytest

from kitestring.domain.instants import instant, instant_of, ist, ist_clock, ist_date, ist_text


def test_the_open_is_a_quarter_to_four_in_utc():
    at = instant(dt.date(2026, 11, 23), dt.time(9, 15))
    assert at == int(dt.datetime(2026, 11, 23, 3, 45, tzinfo=dt.UTC).timestamp()) * 1_000_000
    assert ist_clock(at) == "09:15:00"
    assert ist_text(at + 123_456) == "2026-11-23 09:15:00.123"
    assert ist(at).utcoffset() == dt.timedelta(hours=5, minutes=30)


def test_the_indian_date_turns_at_half_past_six_in_the_evening_utc():
    before = dt.datetime(2026, 11, 23, 18, 29, 59, tzinfo=dt.UTC)
    assert ist_date(instant_of(before)) == dt.date(2026, 11, 23)
    assert ist_date(instant_of(before + dt.timedelta(seconds=1))) == dt.date(2026, 11, 24)


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        instant_of(dt.datetime(2026, 11, 23, 9, 15))
