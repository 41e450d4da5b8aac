"""Each state machine in a small size, and each with mistakes planted in the house that it must find."""

from __future__ import annotations

import msgspec
import pytest

from kitestring.broker.governor import Governor
from kitestring.core import broker_view, order_manager, portfolio, reconciler
from kitestring.core.broker_view import BrokerView
from kitestring.core.order_manager import OrderManager
from kitestring.core.portfolio import Portfolio
from kitestring.engine import guard_decision
from kitestring.engine.guard_decision import Mine
from proof.state_machines import MACHINES, broken_by


@pytest.mark.parametrize("name", MACHINES)
def test_the_house_agrees_with_the_model(name):
    assert broken_by(MACHINES[name], 1, 30, 30) == ""


# ── the order table ─────────────────────────────────────────────────────────────────────────────


def trades_are_booked_each_time_they_are_told(patch):
    real = OrderManager.apply

    def apply(self, report):
        order = self.table.get(report.cl_ord_id)
        if order is not None:
            order.exec_ids.clear()
        return real(self, report)

    patch.setattr(OrderManager, "apply", apply)


def orders_end_before_their_last_trade(patch):
    patch.setattr(order_manager, "_ended", lambda order, after: after)


def a_finished_order_works_again(patch):
    rows = dict(order_manager.TRANSITIONS)
    for pair, after in rows.items():
        if pair[0] is after and after.terminal:
            rows[pair] = order_manager.RESTING
    patch.setattr(order_manager, "TRANSITIONS", rows)


def the_dead_may_trade(patch):
    rows = dict(order_manager.TRANSITIONS)
    rejected = order_manager.OrdStatus.REJECTED
    rows[rejected, order_manager.ExecType.TRADE] = rejected
    patch.setattr(order_manager, "TRANSITIONS", rows)


# ── positions ───────────────────────────────────────────────────────────────────────────────────


def every_fill_pays_for_the_whole_order(patch):
    def increment(self, instrument, order, before, after):
        return self._charge_book.order_charges(instrument, order.product, order.side, after)

    patch.setattr(Portfolio, "_increment", increment)


def what_is_held_is_not_indexed_anew(patch):
    patch.setattr(Portfolio, "_reindex", lambda self, book: None)


def the_multiplier_is_forgotten_where_a_position_turns(patch):
    real = Portfolio._open

    def open_(self, book, order, fill, qty, charges):
        turned = fill.qty > qty
        was, book.multiplier = book.multiplier, 1 if turned else book.multiplier
        real(self, book, order, fill, qty, charges)
        book.multiplier = was

    patch.setattr(Portfolio, "_open", open_)


def a_restart_loses_what_was_realised(patch):
    real = Portfolio.restore

    def restore(self, cells):
        real(self, cells)
        self.realised = portfolio.Money(0)

    patch.setattr(Portfolio, "restore", restore)


# ── the broker's books ──────────────────────────────────────────────────────────────────────────


def a_failed_read_is_an_empty_book(patch):
    real = BrokerView.hear
    patch.setattr(
        BrokerView,
        "hear",
        lambda self, snapshot: real(self, msgspec.structs.replace(snapshot, trusted=True)),
    )


def one_look_counts_twice(patch):
    real = BrokerView.hear

    def hear(self, snapshot):
        real(self, snapshot)
        real(self, msgspec.structs.replace(snapshot, read_at=snapshot.read_at + 1))

    patch.setattr(BrokerView, "hear", hear)


def trades_of_others_are_booked_at_every_look(patch):
    real = BrokerView._book

    def book(self, trade, qty, books):
        real(self, trade, qty, books)
        self.state.booked.clear()

    patch.setattr(BrokerView, "_book", book)


def the_broker_is_believed_to_hold_all_of_ours(patch):
    patch.setattr(BrokerView, "clip", lambda self, book, wants, at: wants)


def whatever_is_missing_will_be_told(patch):
    late = broker_view.Cause.LATE_FILL
    patch.setattr(broker_view, "explain", lambda *args, **more: reconciler.Explanation(late))


# ── call limits ─────────────────────────────────────────────────────────────────────────────────


def entries_know_no_reserve(patch):
    real = Governor._free_at

    def free_at(self, lane, ticket, at):
        was, ticket.exits = ticket.exits, True
        try:
            return real(self, lane, ticket, at)
        finally:
            ticket.exits = was

    patch.setattr(Governor, "_free_at", free_at)


def entries_know_no_reserve_of_the_day(patch):
    real = Governor._refusal

    def refusal(self, ticket, at):
        was, ticket.exits = ticket.exits, True
        try:
            return real(self, ticket, at)
        finally:
            ticket.exits = was

    patch.setattr(Governor, "_refusal", refusal)


def a_call_is_counted_when_it_leaves_only(patch):
    patch.setattr(Governor, "_arrived_by", lambda self, ticket: ticket.sent_at)


def modifications_are_not_counted(patch):
    real = Governor._count

    def count(self, lane, ticket, at):
        real(self, lane, ticket, at)
        self.modifications.clear()

    patch.setattr(Governor, "_count", count)


def exits_are_refused_with_the_entries(patch):
    real = Governor._refusal

    def refusal(self, ticket, at):
        was, ticket.exits = ticket.exits, False
        try:
            return real(self, ticket, at)
        finally:
            ticket.exits = was

    patch.setattr(Governor, "_refusal", refusal)


# ── the guard ───────────────────────────────────────────────────────────────────────────────────


def what_is_not_seen_is_not_there(patch):
    real = guard_decision.decide
    patch.setattr(
        guard_decision,
        "decide",
        lambda books, mine, policy, unseen=(): real(books, mine, policy),
    )


def the_broker_is_not_asked_what_it_holds(patch):
    patch.setattr(guard_decision, "reducible", lambda owned, broker_net: owned)


def everything_in_the_account_is_ours(patch):
    patch.setattr(Mine, "holds", lambda self, row: True)


def stops_at_work_are_not_counted(patch):
    real = guard_decision.decide

    def decide(books, mine, policy, unseen=()):
        plan = real(books, mine, policy, unseen)
        more = tuple(
            guard_decision.Reduce(
                key=key,
                side=guard_decision.Side.SELL if have > 0 else guard_decision.Side.BUY,
                qty=abs(have),
            )
            for key, have in plan.open_qty.items()
        )
        return msgspec.structs.replace(plan, reduce=more)

    patch.setattr(guard_decision, "decide", decide)


def entries_of_a_dead_engine_stay(patch):
    real = guard_decision.decide

    def decide(books, mine, policy, unseen=()):
        plan = real(books, mine, policy, unseen)
        stay = tuple(each for each in plan.withdraw if each.why != "an entry")
        return msgspec.structs.replace(plan, withdraw=stay)

    patch.setattr(guard_decision, "decide", decide)


FAULTS = [
    ("order table", trades_are_booked_each_time_they_are_told),
    ("order table", orders_end_before_their_last_trade),
    ("order table", a_finished_order_works_again),
    ("order table", the_dead_may_trade),
    ("positions", every_fill_pays_for_the_whole_order),
    ("positions", what_is_held_is_not_indexed_anew),
    ("positions", the_multiplier_is_forgotten_where_a_position_turns),
    ("positions", a_restart_loses_what_was_realised),
    ("broker books", a_failed_read_is_an_empty_book),
    ("broker books", one_look_counts_twice),
    ("broker books", trades_of_others_are_booked_at_every_look),
    ("broker books", the_broker_is_believed_to_hold_all_of_ours),
    ("broker books", whatever_is_missing_will_be_told),
    ("call limits", entries_know_no_reserve),
    ("call limits", entries_know_no_reserve_of_the_day),
    ("call limits", a_call_is_counted_when_it_leaves_only),
    ("call limits", modifications_are_not_counted),
    ("call limits", exits_are_refused_with_the_entries),
    ("takeover", what_is_not_seen_is_not_there),
    ("takeover", the_broker_is_not_asked_what_it_holds),
    ("takeover", everything_in_the_account_is_ours),
    ("takeover", stops_at_work_are_not_counted),
    ("takeover", entries_of_a_dead_engine_stay),
]


@pytest.mark.parametrize(("name", "plant"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_mistake_is_found(name, plant, monkeypatch):
    plant(monkeypatch)
    machine = MACHINES[name]
    assert any(broken_by(machine, number, 60, 40, shortest=False) for number in range(1, 4))
