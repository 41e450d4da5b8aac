"""What entries leave to exits: in a second, in a second of the broker's, in a minute, in a day."""

import datetime as dt

import pytest

from kitestring.broker.governor import Call, Governor, Limits
from kitestring.domain.instants import MINUTE, NEVER, SECOND, instant
from kitestring.domain.orders import OrderIntent, OrdType, Product, Purpose, Side
from kitestring.domain.verdicts import Approved, CancelOrder, ModifyOrder, PlaceOrder

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


@pytest.mark.parametrize(
    ("call", "most"), [(Call.QUOTE, 1), (Call.HISTORICAL, 3), (Call.READ, 4), (Call.CANCEL, 8)]
)
def test_each_kind_of_call_has_a_line_and_a_limit_of_its_own(call, most):
    governor = Governor()
    for _ in range(12):
        governor.ask(call, TEN, exits=call is Call.CANCEL)
    assert len(governor.released(TEN)) == most
    assert governor.waiting == 12 - most
    assert ask(governor, TEN, 6) == (0 if call is Call.CANCEL else 6)


def test_changes_find_room_beside_reads_and_reads_wait_for_changes():
    governor = Governor()
    for _ in range(4):
        governor.ask(Call.READ, TEN)
    assert len(governor.released(TEN)) == 4
    for number in range(8):
        governor.ask(Call.MODIFY, TEN, exits=True, order=f"K{number}")
    assert len(governor.released(TEN)) == 5, "nine of all other calls a second"
    other = Governor()
    for number in range(3):
        other.ask(Call.MODIFY, TEN, exits=True, order=f"K{number}")
    other.released(TEN)
    for _ in range(4):
        other.ask(Call.READ, TEN)
    assert len(other.released(TEN)) == 1


def test_where_all_is_kept_for_exits_an_entry_waits_until_it_is_too_old():
    for limits in (Limits(per_second=2), Limits(per_minute=80), Limits(kept_others=9)):
        governor = Governor(limits)
        call = Call.READ if limits.kept_others == 9 else Call.PLACE
        governor.ask(call, TEN)
        assert governor.released(TEN) == []
        assert ask(governor, TEN, 1, exits=True) == 1
        due = governor.next_due_at(TEN)
        assert due == (NEVER if call is Call.READ else TEN + 5 * SECOND + 1)
        assert [ticket.refused != "" for ticket in governor.released(TEN + 5 * SECOND + 1)] == (
            [] if call is Call.READ else [True]
        )


def test_it_says_when_to_look_again():
    governor = Governor(Limits(per_minute=2, kept_minute=1))
    assert governor.next_due_at(TEN) == NEVER
    assert ask(governor, TEN, 1) == 1
    entry = governor.ask(Call.PLACE, TEN)
    assert governor.next_due_at(TEN) == TEN + 5 * SECOND + 1, "when the entry is too old"
    governor.leave(entry)
    assert ask(governor, TEN, 1, exits=True) == 1
    governor.ask(Call.PLACE, TEN, exits=True)
    assert governor.next_due_at(TEN) == TEN + MINUTE, "an exit is never too old"


def test_after_a_restart_the_minute_and_the_changes_are_counted_on():
    governor = Governor(Limits(per_minute=3, kept_minute=0, in_flight_max=0))
    intent = OrderIntent(
        strategy="one", instrument="NSE:INFY", side=Side.BUY, order_qty=1, ord_type=OrdType.MARKET,
        product=Product.MIS, purpose=Purpose.ENTRY, reason="", decision_px=1, decided_at=TEN,
    )  # fmt: skip
    governor.recount(
        [
            PlaceOrder(cl_ord_id="K1", approved=Approved(intent=intent, at=TEN)),
            ModifyOrder(cl_ord_id="K1", at=TEN + 1),
            CancelOrder(cl_ord_id="K1", at=TEN + 2, reason=""),
        ]
    )
    assert (governor.orders_today, governor.modifications["K1"]) == (1, 1)
    later = TEN + 10 * SECOND
    assert ask(governor, later, 0) == 0
    governor.ask(Call.PLACE, later, exits=True)
    assert governor.released(later) == []
    assert governor.next_due_at(later) == TEN + MINUTE
    assert len(governor.released(TEN + MINUTE)) == 1
