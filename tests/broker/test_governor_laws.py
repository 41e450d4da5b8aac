"""Laws of the governor: no limit is ever passed, the reserve is for exits alone, and no exit starves.

Calls come in any order and number; answers come when they like; the broker counts each call at some
moment between its leaving and its answer. Each law is shown to catch a planted fault.
"""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kitestring.broker.governor import Call, Governor, Limits
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import MINUTE, NEVER, SECOND
from kitestring.domain.money import price
from kitestring.domain.orders import OrderIntent, OrdType, Product, Purpose, Side
from kitestring.domain.verdicts import Approved, CancelOrder, ModifyOrder, PlaceOrder

NOW = 1_795_149_000 * SECOND
SMALL = Limits(per_minute=20, kept_minute=4, per_day=12, kept_day=4, modifications_per_order=4)
WRITES = (Call.PLACE, Call.MODIFY, Call.CANCEL)

calls = st.lists(
    st.tuples(
        st.integers(0, 1_500_000),  # since the call before it
        st.sampled_from([*WRITES, Call.PLACE, Call.READ, Call.QUOTE, Call.HISTORICAL]),
        st.booleans(),  # an exit
        st.integers(1_000, 2_900_000),  # until its answer
        st.floats(0, 1),  # where between the two the broker counts it
    ),
    min_size=15,
    max_size=50,
)
bursts = st.lists(
    st.tuples(
        st.integers(0, 20_000),
        st.sampled_from([*WRITES, Call.READ]),
        st.booleans(),
        st.integers(1_000, 900_000),
        st.floats(0, 1),
    ),
    min_size=15,
    max_size=50,
)


def run(asked, limits, governor_of):
    """Live the calls through; every ticket that left, with when the broker counted it."""
    governor = governor_of(limits)
    at, left, answers = NOW, [], []
    todo = list(asked)
    due_ask = NOW
    waiting = {}
    turns = 0
    while todo or governor.waiting or answers:
        if todo:
            due_ask = max(due_ask, at)
        steps = [governor.next_due_at(at)]
        if todo:
            steps.append(at + todo[0][0])
        if answers:
            steps.append(min(answers)[0])
        at = max(min(steps), at)
        turns += 1
        assert turns < 5_000, "somebody may go and does not"
        assert at < NEVER, "somebody waits for ever"
        for answer in sorted(answers):
            if answer[0] <= at:
                answers.remove(answer)
                governor.answered(waiting.pop(answer[1]), answer[0])
        if todo and at >= steps[1]:
            _, call, exits, takes, where = todo.pop(0)
            ticket = governor.ask(call, at, exits=exits, order="it")
            waiting[ticket.number] = ticket
            ticket_terms[ticket.number] = (takes, where)
        for ticket in governor.released(at):
            if ticket.refused:
                waiting.pop(ticket.number)
                left.append((ticket, None))
                continue
            takes, where = ticket_terms[ticket.number]
            answers.append((at + takes, ticket.number))
            left.append((ticket, at + round(takes * where)))
    return left


ticket_terms = {}


def laws(asked, limits, governor_of=Governor):
    left = run(asked, limits, governor_of)
    sent = [(ticket, counted) for ticket, counted in left if counted is not None]
    orders = [(ticket, counted) for ticket, counted in sent if ticket.call in WRITES]
    times = sorted(ticket.sent_at for ticket, _ in orders)

    def most(instants, within):
        return max(
            (sum(each <= other < each + within for other in instants) for each in instants),
            default=0,
        )

    # 1. No published limit is passed, wherever the broker counts.
    assert most(times, SECOND) <= limits.per_second
    assert most(times, MINUTE) <= limits.per_minute
    arrivals = [counted for _, counted in orders]
    assert most(arrivals, 1) <= 10_000
    by_second = [counted // SECOND for counted in arrivals]
    assert all(by_second.count(each) <= limits.broker_per_second for each in by_second)
    for call, per_second in ((Call.QUOTE, 1), (Call.HISTORICAL, 3)):
        seconds = [counted // SECOND for ticket, counted in sent if ticket.call is call]
        assert all(seconds.count(each) <= per_second for each in seconds)
    others = [
        counted // SECOND
        for ticket, counted in sent
        if ticket.call in (Call.READ, Call.MODIFY, Call.CANCEL)
    ]
    assert all(others.count(each) <= limits.others_per_second for each in others)
    placed = [ticket for ticket, _ in orders if ticket.call is Call.PLACE]
    assert len(placed) <= limits.per_day
    changed = [ticket for ticket, _ in orders if ticket.call is Call.MODIFY]
    assert len(changed) <= limits.modifications_per_order
    # 2. Entries never use what is kept: at the moment one leaves, the reserve is whole.
    for place, (ticket, _) in enumerate(orders):
        if ticket.exits:
            continue
        before = [each.sent_at for each, _ in orders[: place + 1]]
        since = [each for each in before if each > ticket.sent_at - SECOND]
        assert len(since) <= limits.per_second - limits.kept_second
        since = [each for each in before if each > ticket.sent_at - MINUTE]
        assert len(since) <= limits.per_minute - limits.kept_minute
        if ticket.call is Call.PLACE:
            assert placed.index(ticket) < limits.per_day - limits.kept_day
    # 3. No exit waits behind an entry, nor longer than the budgets themselves demand.
    for ticket, _ in orders:
        if not ticket.exits:
            overtaken = [
                each
                for each, _ in orders
                if each.exits
                and each.call is ticket.call is Call.PLACE
                and each.asked_at < ticket.sent_at < each.sent_at
            ]
            assert overtaken == []
    for ticket, counted in left:
        if ticket.exits and ticket.call is Call.PLACE and counted is None:
            assert len(placed) >= limits.per_day


@settings(max_examples=60)
@given(calls)
def test_no_limit_is_passed_and_the_reserve_is_for_exits(asked):
    laws(asked, SMALL)


@settings(max_examples=60)
@given(bursts)
def test_the_same_in_a_burst(asked):
    laws(asked, SMALL)
    laws(asked, Limits())


class KnowsNoReserve(Governor):
    def _free_at(self, lane, ticket, at):
        before, ticket.exits = ticket.exits, True
        try:
            return super()._free_at(lane, ticket, at)
        finally:
            ticket.exits = before


class KnowsNoReserveOfTheDay(Governor):
    def _refusal(self, ticket, at):
        before, ticket.exits = ticket.exits, True
        try:
            return super()._refusal(ticket, at)
        finally:
            ticket.exits = before


class BelievesInArrivalAtOnce(Governor):
    def _arrived_by(self, ticket):
        return ticket.sent_at


class CountsNoModifications(Governor):
    def _count(self, lane, ticket, at):
        super()._count(lane, ticket, at)
        self.modifications.clear()


@pytest.mark.parametrize(
    "broken",
    [KnowsNoReserve, KnowsNoReserveOfTheDay, CountsNoModifications],
)
def test_the_laws_catch_a_planted_fault(broken):
    @settings(max_examples=60, database=None, derandomize=True, report_multiple_bugs=False,
              phases=[Phase.generate])  # fmt: skip
    @given(bursts)
    def law(asked):
        laws(asked, SMALL, broken)

    with pytest.raises(AssertionError):
        law()


def test_sixteen_calls_that_crowd_into_one_second_of_the_broker_are_kept_apart():
    """Eight leave late in one second and are slow, eight early in the next and are quick."""
    asked = [(900_000 if n == 0 else 0, Call.PLACE, True, 1_020_000, 1.0) for n in range(8)]
    asked += [(1_001_000 if n == 0 else 0, Call.PLACE, True, 1_000, 0.5) for n in range(8)]
    laws(asked, Limits())
    with pytest.raises(AssertionError):
        laws(asked, Limits(), BelievesInArrivalAtOnce)


def test_an_exit_leaves_at_once_however_many_entries_wait():
    governor = Governor()
    entries = [governor.ask(Call.PLACE, NOW) for _ in range(50)]
    assert len(governor.released(NOW)) == 6
    out = governor.ask(Call.PLACE, NOW + 1, exits=True)
    cancel = governor.ask(Call.CANCEL, NOW + 2)
    assert governor.released(NOW + 2) == [out, cancel]
    third = governor.ask(Call.PLACE, NOW + 3, exits=True)
    assert governor.released(NOW + 3) == []
    for ticket in [*entries[:6], out, cancel]:
        governor.answered(ticket, NOW + 50_000)
    due = governor.next_due_at(NOW + 50_000)
    assert due == NOW + SECOND
    assert governor.released(due)[0] is third
    # Entries that had to wait too long are not sent at all.
    late = governor.released(NOW + 10 * SECOND)
    assert {ticket.refused[:16] for ticket in late} == {"the entry waited"}


def test_the_day_is_counted_on_after_a_restart_and_with_the_orders_of_others():
    def place(number, exits=False):
        intent = OrderIntent(
            strategy=StrategyId("one"), instrument=InstrumentId("NSE:INFY"), side=Side.BUY,
            order_qty=1, ord_type=OrdType.MARKET, product=Product.MIS,
            purpose=Purpose.EXIT if exits else Purpose.ENTRY, reason="",
            decision_px=price("1"), decided_at=NOW,
        )  # fmt: skip
        return PlaceOrder(cl_ord_id=f"K{number}", approved=Approved(intent=intent, at=NOW + number))

    governor = Governor(SMALL)
    governor.recount(
        [place(n) for n in range(7)]
        + [ModifyOrder(cl_ord_id="K1", at=NOW + 10)] * 4
        + [CancelOrder(cl_ord_id="K2", at=NOW + 11)]
    )
    assert governor.orders_today == 7
    assert governor.released(NOW + 20) == []
    governor.ask(Call.PLACE, NOW + 20, exits=True)
    assert governor.released(NOW + 20) == []  # Twelve have just left.
    at = NOW + 20 + 6 * SECOND
    assert [ticket.refused for ticket in governor.released(at)] == [""]
    governor.ask(Call.MODIFY, at, exits=True, order="K1")
    assert "4 times" in governor.released(at)[0].refused
    governor.book_holds(8)
    governor.ask(Call.PLACE, at)
    governor.ask(Call.PLACE, at, exits=True)
    told = governor.released(at)
    assert [bool(ticket.refused) for ticket in told] == [False, True]
    assert "kept for exits" in told[1].refused
