"""The three timetables of 2026 on both sides of each change, and the evenings and Sundays between."""

import datetime as dt
from datetime import time

import pytest

from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.instants import ist_clock
from kitestring.domain.instruments import Segment
from kitestring.domain.sessions import PhaseKind, Session
from kitestring.market.calendar import trading_days
from kitestring.market.rows import parse_rows
from kitestring.market.sessions import SessionRows, check_sessions, session, sessions_for

SHARES = Segment.EQUITY
FNO_SHARES = Segment.EQUITY_WITH_DERIVATIVES
FUTURES = Segment.FUTURES
OPTIONS = Segment.OPTIONS
INDEX = Segment.INDEX


def hours(found: Session) -> tuple[str, str, str, str]:
    """Open, close, last entry, square-off."""
    instants = (found.open_at, found.close_at, found.entry_cutoff_at, found.square_off_at)
    return tuple(ist_clock(at)[:5] for at in instants)


def phases(found: Session) -> list[str]:
    return [
        f"{ist_clock(phase.start_at)[:5]}-{ist_clock(phase.end_at)[:5]} {phase.kind}"
        for phase in found.phases
    ]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (  # the old day, Friday before the closing auction
            dt.date(2026, 7, 31),
            {
                SHARES: ("09:15", "15:30", "15:00", "15:15"),
                FNO_SHARES: ("09:15", "15:30", "14:55", "15:10"),
                FUTURES: ("09:15", "15:30", "15:05", "15:20"),
                OPTIONS: ("09:15", "15:30", "15:05", "15:20"),
                INDEX: ("09:15", "15:30", "15:05", "15:20"),
            },
        ),
        (
            dt.date(2026, 8, 3),
            {
                SHARES: ("09:15", "15:30", "15:00", "15:15"),
                FNO_SHARES: ("09:15", "15:15", "14:48", "15:03"),
                FUTURES: ("09:15", "15:40", "15:05", "15:20"),
                OPTIONS: ("09:15", "15:40", "15:05", "15:20"),
                INDEX: ("09:15", "15:30", "15:05", "15:20"),
            },
        ),
        (
            dt.date(2026, 12, 4),
            {
                SHARES: ("09:15", "15:30", "15:00", "15:15"),
                FNO_SHARES: ("09:15", "15:15", "14:48", "15:03"),
                FUTURES: ("09:15", "15:40", "15:05", "15:20"),
                OPTIONS: ("09:15", "15:40", "15:05", "15:20"),
                INDEX: ("09:15", "15:30", "15:05", "15:20"),
            },
        ),
        (
            dt.date(2026, 12, 7),
            {
                SHARES: ("09:15", "15:30", "15:00", "15:15"),
                FNO_SHARES: ("09:15", "15:30", "14:48", "15:03"),
                FUTURES: ("09:15", "15:45", "15:05", "15:20"),
                OPTIONS: ("09:15", "15:45", "15:05", "15:20"),
                INDEX: ("09:15", "15:30", "15:05", "15:20"),
            },
        ),
        (
            dt.date(2021, 4, 13),
            {
                SHARES: ("09:15", "15:30", "15:00", "15:15"),
                FNO_SHARES: ("09:15", "15:30", "14:55", "15:10"),
                FUTURES: ("09:15", "15:30", "15:05", "15:20"),
                OPTIONS: ("09:15", "15:30", "15:05", "15:20"),
                INDEX: ("09:15", "15:30", "15:05", "15:20"),
            },
        ),
    ],
)
def test_hours_and_cut_offs_by_segment(day, expected):
    assert {segment: hours(found) for segment, found in sessions_for(day).items()} == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (
            dt.date(2026, 7, 31),
            [
                "09:00-09:08 pre-open",
                "09:08-09:15 buffer",
                "09:15-15:30 continuous",
                "15:40-16:00 post-close",
            ],
        ),
        (
            dt.date(2026, 8, 3),
            [
                "09:00-09:08 pre-open",
                "09:08-09:15 buffer",
                "09:15-15:15 continuous",
                "15:15-15:20 closing auction, reference price",
                "15:20-15:25 closing auction",
                "15:25-15:30 closing auction, limit only",
                "15:30-15:35 closing auction, matching",
                "15:50-16:00 post-close",
            ],
        ),
        (
            dt.date(2026, 9, 7),
            [
                "09:00-09:05 pre-open",
                "09:05-09:10 pre-open, limit only",
                "09:10-09:15 buffer",
                "09:15-15:15 continuous",
                "15:15-15:20 closing auction, reference price",
                "15:20-15:25 closing auction",
                "15:25-15:30 closing auction, limit only",
                "15:30-15:35 closing auction, matching",
                "15:50-16:00 post-close",
            ],
        ),
        (
            dt.date(2026, 12, 7),
            [
                "09:00-09:05 pre-open",
                "09:05-09:10 pre-open, limit only",
                "09:10-09:15 buffer",
                "09:15-15:30 continuous",
                "15:30-15:31 closing auction, reference price",
                "15:31-15:36 closing auction",
                "15:36-15:40 closing auction, limit only",
                "15:50-16:00 post-close",
            ],
        ),
    ],
)
def test_phases_of_a_share_with_derivatives(day, expected):
    assert phases(session(day, FNO_SHARES)) == expected


def test_the_day_before_each_change_still_has_the_old_phases():
    same = [(dt.date(2026, 8, 3), dt.date(2026, 9, 4)), (dt.date(2026, 9, 7), dt.date(2026, 12, 4))]
    for first, last in same:
        assert phases(session(first, FNO_SHARES)) == phases(session(last, FNO_SHARES))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (dt.date(2026, 7, 31), "15:40-16:00 post-close"),
        (dt.date(2026, 8, 3), "15:50-16:00 post-close"),
        (dt.date(2026, 12, 7), "15:50-16:00 post-close"),
    ],
)
def test_a_share_without_derivatives_has_no_closing_auction(day, expected):
    found = phases(session(day, SHARES))
    assert found[-2:] == ["09:15-15:30 continuous", expected]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (dt.date(2025, 12, 5), ["09:15-15:30 continuous"]),
        (
            dt.date(2025, 12, 8),
            ["09:00-09:08 pre-open", "09:08-09:15 buffer", "09:15-15:30 continuous"],
        ),
        (
            dt.date(2026, 9, 4),
            ["09:00-09:08 pre-open", "09:08-09:15 buffer", "09:15-15:40 continuous"],
        ),
        (
            dt.date(2026, 9, 7),
            [
                "09:00-09:05 pre-open",
                "09:05-09:10 pre-open, limit only",
                "09:10-09:15 buffer",
                "09:15-15:40 continuous",
            ],
        ),
    ],
)
def test_futures_have_a_pre_open_since_december_2025(day, expected):
    assert phases(session(day, FUTURES)) == expected


def test_options_have_no_pre_open():
    assert phases(session(dt.date(2026, 11, 23), OPTIONS)) == ["09:15-15:40 continuous"]


def test_phase_at_an_instant_of_the_closing_auction():
    found = session(dt.date(2026, 11, 23), FNO_SHARES)
    assert found.phase_at(found.close_at - 1) is PhaseKind.CONTINUOUS
    assert found.phase_at(found.close_at) is PhaseKind.AUCTION_REFERENCE
    assert found.phase_at(found.close_at + 25 * 60_000_000) is PhaseKind.CLOSED


@pytest.mark.parametrize("segment", [FUTURES, OPTIONS])
def test_expiring_index_contracts_stop_at_half_past_three_from_7_december(segment):
    assert hours(session(dt.date(2026, 12, 29), segment, expires_today=True)) == (
        "09:15",
        "15:30",
        "15:05",
        "15:20",
    )
    before = session(dt.date(2026, 12, 1), segment, expires_today=True)
    assert hours(before)[1] == "15:40"


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (dt.date(2020, 11, 14), ("18:15", "19:15", "18:50", "19:05")),
        (dt.date(2021, 11, 4), ("18:15", "19:15", "18:50", "19:05")),
        (dt.date(2022, 10, 24), ("18:15", "19:15", "18:50", "19:05")),
        (dt.date(2023, 11, 12), ("18:15", "19:15", "18:50", "19:05")),
        (dt.date(2024, 11, 1), ("18:00", "19:00", "18:35", "18:50")),
        (dt.date(2025, 10, 21), ("13:45", "14:45", "14:20", "14:35")),
        (dt.date(2026, 11, 8), ("18:15", "19:15", "18:50", "19:05")),
    ],
)
def test_muhurat_hours_are_the_same_for_every_segment(day, expected):
    assert {hours(found) for found in sessions_for(day).values()} == {expected}


def test_unconfirmed_hours_say_so_in_the_note():
    found = session(dt.date(2026, 11, 8), FUTURES)
    assert "Muhurat" in found.note
    assert "unconfirmed: the hours are provisional" in found.note


@pytest.mark.parametrize("day", [dt.date(2024, 3, 2), dt.date(2024, 5, 18)])
def test_two_short_saturday_sessions_are_one_session_with_a_gap(day):
    found = session(day, FUTURES)
    assert phases(found) == ["09:15-10:00 continuous", "11:30-12:30 continuous"]
    assert hours(found) == ("09:15", "12:30", "12:05", "12:20")
    assert found.phase_at(found.open_at + 60 * 60_000_000) is PhaseKind.CLOSED
    minutes = sum(phase.end_at - phase.start_at for phase in found.phases) // 60_000_000
    assert minutes == 105


@pytest.mark.parametrize(
    "day", [dt.date(2020, 2, 1), dt.date(2024, 1, 20), dt.date(2025, 2, 1), dt.date(2026, 2, 1)]
)
def test_budget_weekends_keep_the_ordinary_hours(day):
    found = session(day, SHARES)
    assert hours(found) == ("09:15", "15:30", "15:00", "15:15")
    assert found.note


def test_the_outage_of_february_2021_reopened_until_five():
    found = session(dt.date(2021, 2, 24), FUTURES)
    assert phases(found) == ["09:15-11:40 continuous", "15:45-17:00 continuous"]


def test_a_closed_day_has_no_session_and_names_the_next_one():
    with pytest.raises(CalendarUnknown) as refusal:
        session(dt.date(2026, 11, 24), FUTURES)
    assert refusal.value.what == "the market is closed on 2026-11-24 (Guru Nanak Jayanti)"
    assert "2026-11-25" in refusal.value.do
    with pytest.raises(CalendarUnknown, match="Saturday"):
        session(dt.date(2026, 11, 21), FUTURES)


@pytest.mark.parametrize("day", [dt.date(2019, 12, 31), dt.date(2027, 1, 4)])
def test_a_day_beyond_the_calendar_has_no_session(day):
    with pytest.raises(CalendarUnknown, match="2026-12-31"):
        sessions_for(day)


def test_own_cut_offs_replace_the_house_s():
    chosen = {FUTURES: (time(14, 0), time(15, 30))}
    found = sessions_for(dt.date(2026, 11, 23), chosen)
    assert hours(found[FUTURES]) == ("09:15", "15:40", "14:00", "15:30")
    assert hours(found[OPTIONS]) == ("09:15", "15:40", "15:05", "15:20")


@pytest.mark.parametrize(
    "chosen",
    [
        (time(9, 15), time(15, 0)),
        (time(15, 0), time(15, 16)),
        (time(15, 10), time(15, 5)),
        (time(8, 0), time(8, 30)),
    ],
)
def test_cut_offs_outside_the_session_are_refused(chosen):
    with pytest.raises(ConfigError, match="do not lie inside its session"):
        session(dt.date(2026, 11, 23), FNO_SHARES, overrides={FNO_SHARES: chosen})


def test_every_session_of_seven_years_is_well_formed():
    for day in trading_days(dt.date(2020, 1, 1), dt.date(2026, 12, 31)):
        for segment, found in sessions_for(day).items():
            assert found.date == day
            assert found.segment is segment
            assert found.source
            assert found.open_at < found.entry_cutoff_at < found.square_off_at < found.close_at
            assert found.phase_at(found.open_at) is PhaseKind.CONTINUOUS
            assert found.phase_at(found.close_at - 1) is PhaseKind.CONTINUOUS
            assert found.phase_at(found.entry_cutoff_at) is PhaseKind.CONTINUOUS
            for earlier, later in zip(found.phases, found.phases[1:], strict=False):
                assert earlier.end_at <= later.start_at


def test_phases_out_of_order_are_a_wrong_row():
    text = """
    entry_before_square_off_minutes = 15
    special_square_off_before_close_minutes = 10
    [[timetables]]
    segments = ["EQUITY", "EQUITY_FNO", "FUTURES", "OPTIONS", "INDEX", "CURRENCY", "COMMODITY"]
    valid_from = 2020-01-01
    source = "here"
    phases = [["continuous", 09:15:00, 15:30:00], ["post-close", 15:20:00, 16:00:00]]
    [[square_offs]]
    segments = ["EQUITY", "EQUITY_FNO", "FUTURES", "OPTIONS", "INDEX", "CURRENCY", "COMMODITY"]
    valid_from = 2020-01-01
    at = 15:10:00
    """
    with pytest.raises(ConfigError, match=r"sessions\.toml.*post-close"):
        check_sessions(parse_rows("sessions.toml", text, SessionRows))
