"""The loop that numbers, tapes, steps, journals and carries out, in the order of time."""

from __future__ import annotations

from house_day import NIFTY, HouseDay, clock, frame, scripted, sessions, tick

from kitestring.domain.positions import RoundTrip
from kitestring.exchange.fill_models import MARKET


def every_ten_seconds(minutes, px="22000.00"):
    return [
        frame(tick(clock("09:15") + second * 1_000_000, NIFTY, px))
        for second in range(5, minutes * 60, 10)
    ]


def test_after_the_last_frame_answers_and_timers_come_in_the_order_of_time():
    # The feed ends at 09:18; the position is squared off at 09:30, on the way to the close.
    day = HouseDay(
        [scripted("one", NIFTY, "2 BUY stop=-50")],
        every_ten_seconds(3),
        instruments=(NIFTY,),
        timetable=sessions(close="10:00", square_off="09:30", cutoff="09:25"),
        fill_model=MARKET,
    ).run()
    instants = [commit.at for _, commit in day.journal.commits()]
    assert instants == sorted(instants)
    (trip,) = day.said(RoundTrip)
    booked_at = next(commit.at for _, commit in day.journal.commits() if trip in commit.facts)
    assert clock("09:30") < booked_at < clock("09:30:02")
