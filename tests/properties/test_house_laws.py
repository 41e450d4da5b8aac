"""Laws of the whole house on random days, with a broker that does its worst within the protocol."""

from __future__ import annotations

import judges
from hypothesis import HealthCheck, given, settings
from random_days import MOODS, recipes

from kitestring.domain.events import Reports
from kitestring.domain.orders import ExecType
from kitestring.domain.verdicts import Approved, Reduced
from kitestring.engine.replay import replay

A_FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@A_FEW
@given(recipe=recipes())
def test_exits_and_stops_only_ever_shrink_a_position(recipe):
    judges.exits_only_shrink(recipe.build().run())


@A_FEW
@given(recipe=recipes())
def test_profit_and_charges_are_those_of_the_brokers_own_ledger(recipe):
    judges.results_are_exact(recipe.build().run())


@A_FEW
@given(recipe=recipes())
def test_replay_gives_the_same_day(recipe):
    day = recipe.build().run()
    done = replay(day.fresh_core(), day.journal.commits(), day.tape.records())
    assert done.difference is None
    assert done.events == day.day.inbox


@A_FEW
@given(recipe=recipes())
def test_the_same_seed_gives_the_same_journal_to_the_byte(recipe):
    first, second = recipe.build().run(), recipe.build().run()
    assert first.journal.head == second.journal.head
    assert judges.journal_bytes(first) == judges.journal_bytes(second)


@A_FEW
@given(recipe=recipes())
def test_nothing_leaves_the_house_before_it_is_in_the_journal(recipe):
    judges.nothing_left_before_it_was_journalled(recipe.build().run())


@A_FEW
@given(recipe=recipes())
def test_after_a_halt_exposure_never_grows(recipe):
    judges.no_exposure_after_a_halt(recipe.build().run())


class AtEveryCommit:
    """A follower that lets a judge look after each commit."""

    def __init__(self, look):
        self.look = look
        self.day = None

    def committed(self, number, commit):
        self.look(self.day, number, commit)

    def passing(self, at, frames):
        pass


def watched(recipe, look):
    follower = AtEveryCommit(look)
    day = recipe.build(follower=follower)
    follower.day = day
    return day.run()


@A_FEW
@given(recipe=recipes())
def test_whenever_nothing_is_under_way_working_orders_fit_the_books(recipe):
    def look(day, number, commit):
        if judges.quiet(day):
            judges.working_orders_fit_the_books(day.core, day.core.state.now)

    day = watched(recipe, look)
    assert judges.quiet(day)
    assert day.positions == {}
    assert day.working == []


@A_FEW
@given(recipe=recipes())
def test_no_accepted_entry_takes_the_worst_case_over_a_limit(recipe):
    def look(day, number, commit):
        if any(isinstance(fact, (Approved, Reduced)) for fact in commit.facts):
            judges.worst_case_within_limits(day.core, day.settings)

    watched(recipe, look)


@settings(A_FEW, max_examples=15)
@given(recipe=recipes())
def test_the_house_restored_from_any_commit_is_the_house_that_wrote_it_and_goes_on_alike(recipe):
    restored = []

    def look(day, number, commit):
        restored.append((number, commit.inbox, judges.restores(day, number)))

    day = watched(recipe, look)
    for number, inbox, core in restored[::5]:
        commits = day.journal.commits(after=number)
        assert replay(core, commits, day.tape.records(), after=inbox).difference is None


ANSWERS = (ExecType.REPLACED, ExecType.REPLACE_REJECTED, ExecType.CANCEL_REJECTED)
PATIENT = MOODS.map(lambda mood: mood._replace(refuses_changes=0, refuses_cancels=0, unknown=0))
"""Told twice, an answer to a change, or "no answer", could as well be about the next change."""


@settings(A_FEW, max_examples=15)
@given(recipe=recipes(PATIENT))
def test_reports_told_twice_change_nothing(recipe):
    def look(day, number, commit):
        for fact in commit.facts:
            if isinstance(fact, Reports) and not any(
                report.exec_type in ANSWERS for report in fact.reports
            ):
                judges.a_repetition_changes_nothing(judges.restores(day, number), fact)

    watched(recipe, look)
