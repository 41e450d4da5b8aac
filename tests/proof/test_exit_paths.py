"""Exits on random paths, in a test's size; and the mistakes of a house that the watch must see."""

from __future__ import annotations

import pytest

from kitestring.broker.governor import Governor
from kitestring.core import exits as exits_module
from kitestring.core.exit_desk import ExitDesk
from kitestring.core.exits import Exits
from kitestring.domain.orders import Purpose
from kitestring.domain.verdicts import ModifyOrder
from proof.exit_day import ExitPath
from proof.exit_paths import TIER, live
from proof.exit_plan import plan_path
from proof.exit_post import Post
from proof.tier import Scale, share_of

FEW = 120


def test_every_path_leads_out_or_says_by_name_why_not():
    """Faults and all, nine fills in ten are under their stop within five seconds."""
    done = live(1, TIER.size[Scale.TEST])
    assert done.broken == ()
    assert sum(done.spread["out_ms"].values()) > 50
    assert sum(done.spread["naked_ms"].values()) > 150
    assert share_of(done.spread["naked_ms"], 90) < 5_000
    assert sum(count for name, count in done.counts.items() if name.startswith("fault.")) > 50


def test_a_path_is_the_same_each_time():
    assert live(17, 4) == live(17, 4)


def test_stops_of_a_position_larger_than_one_order_are_moved_and_never_all_withdrawn(monkeypatch):
    """Path 456 once withdrew three stops at every trail, and stood bare until they were back."""
    asked = []
    real = Post.carry_out

    def carry_out(self, command, at):
        asked.append(command)
        real(self, command, at)

    monkeypatch.setattr(Post, "carry_out", carry_out)
    plan = plan_path(456)
    assert plan.lots * plan.instrument.lot_size > plan.instrument.freeze_qty
    ExitPath(plan).live()
    assert [each for each in asked if isinstance(each, ModifyOrder) and each.stop_px is not None]
    assert not [each for each in asked if getattr(each, "reason", "") == "stop is replaced"]


# ── planted ─────────────────────────────────────────────────────────────────────────────────────


def exits_are_twice_the_position(patch):
    real = Exits._market_exits
    patch.setattr(
        Exits,
        "_market_exits",
        lambda self, book, trade, qty, view, at: real(self, book, trade, 2 * qty, view, at),
    )


def exits_go_out_beside_the_stops(patch):
    real = Exits._leave

    def leave(self, book, trade, working, view, at):
        entries, exits = working
        without = [order for order in exits if order.purpose is not Purpose.STOP]
        return real(self, book, trade, (entries, without), view, at)

    patch.setattr(Exits, "_leave", leave)


def a_halt_stops_exits_too(patch):
    real = ExitDesk._send_exit

    def send_exit(self, intent):
        if self._risk.state.halted is None:
            real(self, intent)

    patch.setattr(ExitDesk, "_send_exit", send_exit)


def the_entries_budget_stops_exits(patch):
    real = Governor._refusal

    def refusal(self, ticket, at):
        was, ticket.exits = ticket.exits, False
        try:
            return real(self, ticket, at)
        finally:
            ticket.exits = was

    patch.setattr(Governor, "_refusal", refusal)


def nobody_is_told(patch):
    patch.setattr(exits_module, "stuck_sentence", lambda *_: "")
    patch.setattr(exits_module, "naked_sentence", lambda *_: "")


def exits_are_given_up_after_three_refusals(patch):
    real = Exits._leave

    def leave(self, book, trade, working, view, at):
        return [] if trade.exit_rejections > 2 else real(self, book, trade, working, view, at)

    patch.setattr(Exits, "_leave", leave)


FAULTS = [
    exits_are_twice_the_position,
    exits_go_out_beside_the_stops,
    a_halt_stops_exits_too,
    the_entries_budget_stops_exits,
    nobody_is_told,
    exits_are_given_up_after_three_refusals,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda each: each.__name__)
def test_a_planted_mistake_breaks_a_path(plant, monkeypatch):
    plant(monkeypatch)
    found = ()
    for first in range(1, 2_000, FEW):
        found = live(first, FEW).broken
        if found:
            break
    assert found
    assert found[0].again.endswith(f"--unit {found[0].seed}")


def test_without_stops_positions_stand_naked(monkeypatch):
    monkeypatch.setattr(Exits, "_protect", lambda self, *_: [])
    assert share_of(live(1, 40).spread["naked_ms"], 90) > 20_000
