"""A core taken up again from its journal goes on as if nothing had happened."""

from __future__ import annotations

from house_day import ACME, HouseDay, clock, frame, scripted, sessions, tick

from kitestring.domain.events import MarketDataFault
from kitestring.domain.orders import Purpose
from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine.recovery import read_story, restore
from kitestring.engine.replay import replay

EARLY = sessions(close="10:30", square_off="09:35", cutoff="09:30")


def quotes(*rows):
    """``("09:15:55", "500.00")`` and so on, of ACME."""
    return [frame(tick(clock(at), ACME, px)) for at, px in rows]


def restored_at(day, when):
    """A fresh core restored to the last commit not later than an instant, and that commit."""
    kept = [row for row in day.journal.commits() if row[1].at <= clock(when)]
    journal = type(day.journal)(run_key="test")
    for _, commit in kept:
        journal.commit(commit)
    number, last = kept[-1]
    core = day.fresh_core()
    tape = [record for record in day.tape.records() if record[0] <= last.inbox]
    restore(core, journal, read_story(journal), tape)
    return core, number, last


def goes_on_alike(day, when):
    core, number, last = restored_at(day, when)
    later = day.journal.commits(after=number)
    done = replay(core, later, day.tape.records(), after=last.inbox)
    assert done.events == day.day.inbox
    return done.difference


def test_an_instrument_known_to_be_stale_is_not_told_stale_again_after_a_restart():
    rows = [("09:15:10", "500.00"), ("09:18:10", "500.00"), ("09:20:10", "500.00")]
    day = HouseDay([], quotes(*rows), instruments=(ACME,), timetable=EARLY).run()
    told = [(fact.fault, fact.at) for fact in day.said(MarketDataFault)]
    assert told[:3] == [
        ("stale", clock("09:17")),
        ("fresh", clock("09:19")),
        ("stale", clock("09:20")),
    ]
    assert goes_on_alike(day, "09:17") is None


def test_targets_hit_by_one_tick_are_left_in_the_same_order_after_a_restart():
    # b fills first and a later; both targets are hit at 09:19:30.
    rows = [
        (f"09:{15 + second // 60:02d}:{second % 60:02d}", "500.00") for second in range(5, 240, 5)
    ]
    rows += [("09:19:30", "520.00"), ("09:19:40", "520.00")]
    day = HouseDay(
        [
            scripted("a", ACME, "3 BUY target=510"),
            scripted("b", ACME, "2 BUY target=510"),
        ],
        quotes(*rows),
        instruments=(ACME,),
        timetable=EARLY,
    ).run()
    exits = [one.intent for one in day.said(PlaceOrder) if one.intent.purpose is Purpose.EXIT]
    assert [intent.strategy for intent in exits] == ["a", "b"]
    assert goes_on_alike(day, "09:18:59") is None
