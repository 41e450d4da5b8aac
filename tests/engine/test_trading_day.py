"""The loop that numbers, tapes, steps, journals and carries out, in the order of time."""

from __future__ import annotations

from house_day import NIFTY, HouseDay, clock, frame, scripted, sessions, tick
from unruly_broker import UnrulyBroker

from kitestring.domain.events import BrokerSnapshot, Discrepancy, Note
from kitestring.domain.orders import ExecType, ExecutionReport
from kitestring.domain.positions import RoundTrip
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import Blocked, PlaceOrder
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


def test_a_commit_says_so_when_the_frame_in_hand_is_not_yet_on_its_tape():
    # With instant fills the stop's trade is told while its frame is in hand.
    frames = [
        *every_ten_seconds(3),
        frame(tick(clock("09:18:05"), NIFTY, "21949.00")),
        frame(tick(clock("09:18:15"), NIFTY, "21960.00")),
    ]
    day = HouseDay(
        [scripted("one", NIFTY, "2 BUY stop=-50")],
        frames,
        instruments=(NIFTY,),
        timetable=sessions(close="10:00", square_off="09:30", cutoff="09:25"),
    ).run()
    (trip,) = day.said(RoundTrip)
    assert trip.exit_at == clock("09:18:05")
    taped = [inbox for inbox, event in day.tape.records() if isinstance(event, TickFrame)]
    for _, commit in day.journal.commits():
        # The frame in hand counts, and ``frame_left`` says how much of it is still to be taken.
        on_tape = sum(inbox <= commit.inbox for inbox in taped)
        assert commit.feed_position - (commit.frame_left > 0) == on_tape


def test_an_unknown_report_stops_entries_until_a_snapshot_explains_it():
    broker = UnrulyBroker({NIFTY.id: 65})
    for at in ("09:16:30", "09:16:30.5"):  # The second within a second of the first snapshot.
        unknown = ExecutionReport(
            cl_ord_id="somebody else's", exec_type=ExecType.NEW, event_at=clock(at)
        )
        broker._schedule(clock(at), unknown)
    day = HouseDay(
        [scripted("one", NIFTY, "2 BUY stop=-50; 4 BUY stop=-50")],
        every_ten_seconds(6),
        instruments=(NIFTY,),
        timetable=sessions(close="10:00", square_off="09:30", cutoff="09:25"),
        broker=broker,
    ).run()
    story = [
        fact.kind if isinstance(fact, Note) else type(fact).__name__
        for fact in day.said(Discrepancy, Note, BrokerSnapshot, Blocked, PlaceOrder)
    ]
    assert story[:10] == [
        "opened",
        "Discrepancy",
        "BrokerSnapshot",
        "explained",
        "Discrepancy",
        "Blocked",
        "BrokerSnapshot",
        "explained",
        "PlaceOrder",
        "PlaceOrder",
    ]
