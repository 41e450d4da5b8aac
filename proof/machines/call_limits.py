"""The governor against plain counting: every call that left, in sliding windows over the whole row.

The broker counts a call at some moment between its leaving and its answer; the model tries both ends.
Entries never touch what is kept for exits, an exit that may go goes before every entry, nobody waits
who could go, and a limit that is told as reached is reached.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kitestring.broker.governor import Call, Governor, Limits, Ticket
from kitestring.domain.instants import MINUTE, NEVER, SECOND, Instant

LIMITS = Limits(
    per_second=5,
    kept_second=2,
    broker_per_second=6,
    per_minute=18,
    kept_minute=5,
    per_day=30,
    kept_day=8,
    modifications_per_order=3,
    others_per_second=6,
    kept_others=3,
)
WRITES = (Call.PLACE, Call.MODIFY, Call.CANCEL)


class CallLimitsMachine(RuleBasedStateMachine):
    """Rules are calls that ask, answers, time, other apps, people who give up."""

    def __init__(self) -> None:
        super().__init__()
        self.governor = Governor(LIMITS)
        self.now: Instant = 1_795_149_000 * SECOND
        self.sent: list[Ticket] = []
        self.waits: list[Ticket] = []
        self.others = 0
        """Orders of today that the book shows beyond ours."""

    @rule(
        call=st.sampled_from([*WRITES, *WRITES, Call.PLACE, Call.READ, Call.QUOTE]),
        exits=st.booleans(),
        order=st.sampled_from("ab"),
    )
    def ask(self, call: Call, exits: bool, order: str) -> None:
        self.waits.append(self.governor.ask(call, self.now, exits=exits, order=order))
        self._release()

    @rule(burst=st.integers(2, 12), exits=st.booleans())
    def burst(self, burst: int, exits: bool) -> None:
        for _ in range(burst):
            self.waits.append(self.governor.ask(Call.PLACE, self.now, exits=exits))
        self._release()

    @rule(times=st.integers(2, 4), exits=st.booleans())
    def change_one_order_again(self, times: int, exits: bool) -> None:
        for _ in range(times):
            self.waits.append(self.governor.ask(Call.MODIFY, self.now, exits=exits, order="a"))
        self._release()

    @rule(us=st.integers(1, 400_000) | st.integers(1, 20 * SECOND))
    def pass_time(self, us: int) -> None:
        """Time goes on, and whoever drives the governor looks whenever it asked to be looked at."""
        until = self.now + us
        while (due := self.governor.next_due_at(self.now)) <= until:
            assert due > self.now or not self.waits, "somebody may go and does not"
            self.now = due
            self._release()
        self.now = until

    @precondition(lambda self: any(each.answered_at is None for each in self.sent))
    @rule(place=st.integers(0, 99))
    def answer(self, place: int) -> None:
        open_ = [each for each in self.sent if each.answered_at is None]
        self.governor.answered(open_[place % len(open_)], self.now)
        self._release()

    @precondition(lambda self: self.waits)
    @rule(place=st.integers(0, 99))
    def give_up(self, place: int) -> None:
        ticket = self.waits.pop(place % len(self.waits))
        assert self.governor.leave(ticket)
        assert not self.governor.leave(ticket)

    @rule(more=st.integers(1, 6))
    def another_app_orders(self, more: int) -> None:
        self.governor.book_holds(self.governor.orders_today + more)
        self.others += more

    def _release(self) -> None:
        today = self.governor.orders_today
        for ticket in self.governor.released(self.now):
            self.waits.remove(ticket)
            if ticket.refused:
                self._refused(ticket)
                continue
            assert ticket.sent_at == self.now
            if ticket.call is Call.PLACE:
                today += 1
                if not ticket.exits:
                    assert today <= LIMITS.per_day - LIMITS.kept_day, "an entry used the reserve"
                    assert self.now - ticket.asked_at <= LIMITS.entry_waits_max
            self.sent.append(ticket)
            self._within_the_limits(ticket)
        assert self.governor.orders_today == today

    def _refused(self, ticket: Ticket) -> None:
        if ticket.exits and ticket.call is Call.PLACE:
            assert self.governor.orders_today >= LIMITS.per_day, f"an exit: {ticket.refused}"
        if ticket.call is Call.MODIFY:
            changed = sum(
                each.call is Call.MODIFY and each.order == ticket.order for each in self.sent
            )
            assert changed == LIMITS.modifications_per_order
        assert ticket.call in (Call.PLACE, Call.MODIFY), f"{ticket.call} was refused"

    def _within_the_limits(self, ticket: Ticket) -> None:
        if ticket.call not in WRITES:
            return
        orders = [each for each in self.sent if each.call in WRITES]
        if ticket.call is Call.MODIFY:
            changed = sum(
                each.call is Call.MODIFY and each.order == ticket.order for each in orders
            )
            assert changed <= LIMITS.modifications_per_order, f"{changed} changes of one order"
        times = [each.sent_at for each in orders if each.sent_at is not None]
        kept = not ticket.exits
        second = sum(at > self.now - SECOND for at in times)
        assert second <= LIMITS.per_second - kept * LIMITS.kept_second
        minute = sum(at > self.now - MINUTE for at in times)
        assert minute <= LIMITS.per_minute - kept * LIMITS.kept_minute
        assert len([each for each in orders if each.call is Call.PLACE]) <= LIMITS.per_day
        # Wherever the broker counts: all that may still fall into this very second.
        near = sum(
            each.sent_at is not None and self._last_counted(each) > self.now - SECOND
            for each in orders
        )
        assert near <= LIMITS.broker_per_second - kept * LIMITS.kept_second

    def _last_counted(self, ticket: Ticket) -> Instant:
        assert ticket.sent_at is not None
        latest = ticket.sent_at + LIMITS.in_flight_max
        return latest if ticket.answered_at is None else min(latest, ticket.answered_at)

    @invariant()
    def an_exit_waits_for_a_limit_only(self) -> None:
        """Whoever waits waits for a reason: some window that counts him out is full right now."""
        assert self.governor.waiting == len(self.waits)
        for ticket in self.waits:
            if ticket.call is not Call.PLACE or not ticket.exits:
                continue
            times = [
                each.sent_at
                for each in self.sent
                if each.call in WRITES and each.sent_at is not None
            ]
            near = sum(
                self._last_counted(each) > self.now - SECOND
                for each in self.sent
                if each.call in WRITES
            )
            assert (
                sum(at > self.now - SECOND for at in times) >= LIMITS.per_second
                or sum(at > self.now - MINUTE for at in times) >= LIMITS.per_minute
                or near >= LIMITS.broker_per_second
            ), "an exit waits, and every window has room"
            assert self.governor.next_due_at(self.now) < NEVER


MACHINE: type[Any] = CallLimitsMachine
