"""Warm-up bars of a synthetic day are yesterday's synthetic ticks, and join today's open."""

import datetime as dt
from itertools import pairwise

import pytest

from kitestring.domain.bars import DAY_BAR, Bar, bar_fault
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, ist_clock, ist_date
from kitestring.exchange.synthetic_market import SyntheticFeed

FRIDAY, MONDAY = dt.date(2026, 11, 20), dt.date(2026, 11, 23)
FUTURE = InstrumentId("NFO:NIFTY26NOVFUT")
SHARE = InstrumentId("NSE:RELIANCE")


def bars_by_hand(day: dt.date, seed: int, name: InstrumentId, minutes: int) -> list[Bar]:
    """Bars made tick by tick, the slow way."""
    feed = SyntheticFeed(day, seed)
    session = feed.manifest.sessions[
        next(i.segment for i in feed.manifest.instruments if i.id == name)
    ]
    bars: list[Bar] = []
    traded = 0
    for frame in feed.frames():
        for tick in frame.ticks:
            if tick.instrument != name:
                continue
            length = minutes * MINUTE
            open_at = session.open_at + (tick.event_at - session.open_at) // length * length
            close_at = min(open_at + length, session.close_at)
            px = tick.last_px
            if bars and bars[-1].open_at == open_at:
                last = bars.pop()
                high, low = max(last.high, px), min(last.low, px)
                start, volume = last.open, last.volume + tick.cum_qty - traded
            else:
                start = high = low = px
                volume = tick.cum_qty - traded
            traded = tick.cum_qty
            bars.append(Bar(name, minutes, open_at, close_at, start, high, low, px, volume))
    return bars


@pytest.mark.parametrize("name", [FUTURE, SHARE, InstrumentId("NSE:NIFTY 50")])
@pytest.mark.parametrize("minutes", [1, 15, 60])
def test_mondays_history_is_fridays_ticks(name, minutes):
    friday = bars_by_hand(FRIDAY, 4, name, minutes)
    assert SyntheticFeed(MONDAY, 4).history(name, minutes, len(friday)) == friday


def test_history_joins_the_previous_close():
    feed = SyntheticFeed(MONDAY, 4)
    for instrument in feed.manifest.instruments:
        (last,) = feed.history(instrument.id, 1, 1)
        assert last.close == feed.manifest.previous_close[instrument.id]
        assert ist_date(last.close_at) == FRIDAY
    first = next(iter(feed.frames()))
    for tick in first.ticks:
        before = feed.manifest.previous_close[tick.instrument]
        assert abs(tick.last_px / before - 1) < 0.05


@pytest.mark.parametrize("minutes", [1, 3, 5, 10, 15, 30, 60, DAY_BAR])
def test_history_is_as_long_as_asked_in_order_and_sound(minutes):
    bars = SyntheticFeed(MONDAY, 1).history(FUTURE, minutes, 40)
    assert len(bars) == 40
    assert [bar_fault(bar) for bar in bars] == [None] * 40
    for before, after in pairwise(bars):
        assert before.close_at <= after.open_at
    assert {bar.minutes for bar in bars} == {minutes}


def test_bars_are_anchored_to_the_open_and_end_with_the_session():
    bars = SyntheticFeed(MONDAY, 1).history(FUTURE, 60, 7)
    assert [(ist_clock(bar.open_at)[:5], ist_clock(bar.close_at)[:5]) for bar in bars] == [
        ("09:15", "10:15"),
        ("10:15", "11:15"),
        ("11:15", "12:15"),
        ("12:15", "13:15"),
        ("13:15", "14:15"),
        ("14:15", "15:15"),
        ("15:15", "15:40"),
    ]


def test_a_day_bar_is_the_whole_session():
    (bar,) = SyntheticFeed(MONDAY, 1).history(SHARE, DAY_BAR, 1)
    assert (ist_clock(bar.open_at), ist_clock(bar.close_at)) == ("09:15:00", "15:15:00")


def test_a_holiday_has_no_bars():
    """Tuesday 10 November 2026 is a holiday, Sunday the 8th an evening session."""
    bars = SyntheticFeed(dt.date(2026, 11, 11), 1).history(FUTURE, DAY_BAR, 3)
    assert [ist_date(bar.open_at).day for bar in bars] == [6, 8, 9]


def test_history_of_a_stranger_is_empty():
    assert SyntheticFeed(MONDAY, 1).history(InstrumentId("NSE:ITC"), 1, 10) == ()
    assert SyntheticFeed(MONDAY, 1).history(FUTURE, 1, 0) == ()


def test_history_ends_where_the_calendar_begins():
    bars = SyntheticFeed(dt.date(2020, 1, 3), 1).history(SHARE, DAY_BAR, 30)
    assert [ist_date(bar.open_at) for bar in bars] == [dt.date(2020, 1, 1), dt.date(2020, 1, 2)]


def test_the_first_day_of_the_calendar_has_no_previous_close():
    assert SyntheticFeed(dt.date(2020, 1, 1), 1).manifest.previous_close == {}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_year_of_days_stays_near_its_level(seed):
    bars = SyntheticFeed(MONDAY, seed).history(InstrumentId("NSE:NIFTY 50"), DAY_BAR, 220)
    assert len(bars) == 220
    assert min(bar.low for bar in bars) > 20_000 * 10_000
    assert max(bar.high for bar in bars) < 30_000 * 10_000
