"""What entries leave to exits: in a second, in a second of the broker's, in a minute, in a day."""

import datetime as dt

from kitestring.broker.governor import Call, Governor, Limits
from kitestring.domain.instants import MINUTE, SECOND, instant

TEN = instant(dt.date(2026, 11, 20), dt.time(10, 0))


def ask(governor, at, count, *, exits=False):
    for _ in range(count):
        governor.ask(Call.PLACE, at, exits=exits)
    gone = governor.released(at)
    return sum(not ticket.refused for ticket in gone)


def answered(governor, at):
    for ticket in governor._recent[next(iter(governor._recent))]:
        governor.answered(ticket, at)


def test_exits_leave_before_entries_that_came_first():
    governor = Governor()
    for number in range(4):
        governor.ask(Call.PLACE, TEN, exits=number == 3)
    assert [ticket.exits for ticket in governor.released(TEN)] == [True, False, False, False]


def test_of_eight_in_a_second_two_are_for_exits():
    governor = Governor()
    assert ask(governor, TEN, 20) == 6
    assert ask(governor, TEN, 20, exits=True) == 2
    assert governor.waiting == 32


def test_what_may_still_arrive_counts_in_the_brokers_next_second_too():
    governor = Governor()
    assert ask(governor, TEN, 6) == 6
    later = TEN + SECOND
    assert ask(governor, later, 10) == 2
    assert ask(governor, later, 10, exits=True) == 2
    assert governor.next_due_at(later) == TEN + SECOND + governor.limits.in_flight_max


def test_an_answer_ends_the_doubt():
    governor = Governor()
    assert ask(governor, TEN, 6) == 6
    answered(governor, TEN)
    assert ask(governor, TEN + SECOND - 1, 1) == 0
    assert governor.next_due_at(TEN) == TEN + SECOND
    assert ask(governor, TEN + SECOND, 9) == 6


def test_of_a_minute_a_part_is_for_exits():
    governor = Governor(Limits(per_minute=10, kept_minute=4, in_flight_max=0))
    assert ask(governor, TEN, 20) == 6
    assert ask(governor, TEN + 2 * SECOND, 0) == 0
    assert ask(governor, TEN + 2 * SECOND, 20, exits=True) == 4
    assert ask(governor, TEN + MINUTE - 1, 1, exits=True) == 0
    assert ask(governor, TEN + MINUTE, 0) == 6


def test_of_a_day_a_part_is_for_exits_and_the_last_is_refused():
    governor = Governor(Limits(per_day=5, kept_day=2))
    assert ask(governor, TEN, 4) == 3
    entry = governor.ask(Call.PLACE, TEN)
    governor.released(TEN)
    assert entry.refused == "3 of today's 5 orders are used up; the last 2 are kept for exits"
    assert ask(governor, TEN, 2, exits=True) == 2
    last = governor.ask(Call.PLACE, TEN, exits=True)
    governor.released(TEN)
    assert last.refused == "5 of today's 5 orders are used up"


def test_a_cancel_always_counts_as_an_exit_and_never_as_an_order():
    governor = Governor(Limits(per_day=1, kept_day=0))
    assert ask(governor, TEN, 1) == 1
    ticket = governor.ask(Call.CANCEL, TEN)
    assert governor.released(TEN) == [ticket]
    assert (ticket.exits, ticket.refused, governor.orders_today) == (True, "", 1)


def test_an_entry_that_waited_for_more_than_five_seconds_is_not_sent():
    for waited, why in (
        (5 * SECOND, ""),
        (5 * SECOND + 1, "the entry waited 5 s for a place among the orders a second"),
    ):
        governor = Governor(Limits(per_second=3, kept_second=2))
        first, second = (governor.ask(Call.PLACE, TEN) for _ in range(2))
        assert governor.released(TEN) == [first]
        assert governor.next_due_at(TEN) == TEN + SECOND
        assert governor.released(TEN + waited) == [second]
        assert second.refused == why


def test_a_modification_counts_for_its_own_order_only():
    governor = Governor(Limits(modifications_per_order=2))
    for at in (TEN, TEN + 10 * SECOND):
        governor.ask(Call.MODIFY, at, exits=True, order="K1")
        assert not governor.released(at)[0].refused
    at = TEN + 20 * SECOND
    third, other = (governor.ask(Call.MODIFY, at, exits=True, order=o) for o in ("K1", "K2"))
    governor.released(at)
    assert "modified 2 times" in third.refused
    assert other.refused == ""


def test_who_steps_out_of_the_line_is_not_sent():
    governor = Governor()
    ticket = governor.ask(Call.PLACE, TEN)
    assert governor.leave(ticket)
    assert not governor.leave(ticket)
    assert governor.released(TEN) == []


def test_the_orders_of_other_apps_use_up_the_day_as_well():
    governor = Governor(Limits(per_day=5, kept_day=2))
    governor.book_holds(3)
    governor.book_holds(1)
    assert governor.orders_today == 3
    assert ask(governor, TEN, 1) == 0
    assert ask(governor, TEN, 9, exits=True) == 2
