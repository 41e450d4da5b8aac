"""Power cuts all over one day lose nothing; and the judge sees a house that sends before it writes."""

import time

import pytest

from kitestring.broker.order_traffic import OrderTraffic
from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine import clocks, live_engine
from proof.crash_points import TIER, commits_of, cuts_of, died_elsewhere, live, of_one
from proof.crash_stage import Died, lived, reference_day
from proof.power_supply import MOMENTS, Cut, CutJournal, Moment
from proof.tier import Scale


def test_power_cuts_all_over_a_day_lose_and_double_nothing():
    outcome = live(1, TIER.size[Scale.TEST])
    assert outcome.broken == ()
    assert outcome.units == TIER.size[Scale.TEST]
    assert outcome.counts["lost"] == outcome.counts["doubled"] == 0


def test_a_proof_cuts_every_commit_of_the_day_at_every_moment():
    tried = {cuts_of(unit)[1][0] for unit in range(1, TIER.size[Scale.PROOF] + 1)}
    assert {(cut.commit, cut.moment) for cut in tried} == {
        (commit, moment) for commit in range(1, commits_of(1) + 1) for moment in MOMENTS
    }
    assert commits_of(1) >= 50


class Machine:
    """The machine's time for the house, as quick or as slow as wanted."""

    def __init__(self, each_look_s):
        self._each_look_s, self._now = each_look_s, 0.0

    def __getattr__(self, name):
        return getattr(time, name)

    def perf_counter(self):
        self._now += self._each_look_s
        return self._now


@pytest.mark.parametrize("moment", [Moment.BEFORE_FSYNC, Moment.AFTER_SEND])
def test_a_cut_finds_the_same_files_on_a_busy_machine(moment, monkeypatch):
    def left(each_look_s):
        monkeypatch.setattr(clocks, "time", Machine(each_look_s))
        stages = []
        lived(reference_day(1), [Cut(commit=40, moment=moment)], change=stages.append)
        (stage,) = stages
        files = stage.supply._left
        assert any(path.name == "journal.sqlite" for path in files)
        return {
            str(path.relative_to(stage.artifacts)): len(content)
            for path, content in files.items()
            if not path.name.endswith(".lock")  # It names the program and when it began.
        }

    assert left(0.0) == left(2.0)


def found(outcome):
    return outcome.broken[0].story if outcome.broken else ""


def test_a_house_that_sends_again_after_a_restart_is_caught(monkeypatch):
    real = live_engine.taken_up

    def sends_again(core, journal, story, paths, now):
        gap = real(core, journal, story, paths, now)
        waiting = [each for each in core.orders.table.values() if not each.status.terminal]
        placed = [
            fact
            for _, commit in journal.commits()
            for fact in commit.facts
            if isinstance(fact, PlaceOrder)
        ]
        again.extend(p for p in placed if p.cl_ord_id in {each.cl_ord_id for each in waiting})
        return gap

    again = []
    start = live_engine.LiveEngine._tell_arming

    def tell(self, day, armed, attempt):
        for command in again:
            day._live_broker.carry_out(command, 0)
        again.clear()
        start(self, day, armed, attempt)

    monkeypatch.setattr(live_engine, "taken_up", sends_again)
    monkeypatch.setattr(live_engine.LiveEngine, "_tell_arming", tell)
    caught = [found(of_one(unit)) for unit in range(2, 30, 4)]
    assert any("doubled" in story for story in caught), caught


def test_a_house_that_sends_before_its_commit_is_caught(monkeypatch):
    real = CutJournal.commit

    def forgets(self, commit):
        facts = tuple(fact for fact in commit.facts if not isinstance(fact, PlaceOrder))
        return real(
            self,
            type(commit)(
                **{**{f: getattr(commit, f) for f in commit.__struct_fields__}, "facts": facts}
            ),
        )

    monkeypatch.setattr(CutJournal, "commit", forgets)
    assert "before it was on disk" in found(of_one(1))


def test_an_order_that_a_dying_house_forgot_is_caught(monkeypatch):
    """The restarted house is not told what the journal says was sent."""
    monkeypatch.setattr(OrderTraffic, "take", lambda self, command: None)
    assert found(of_one(3))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_death_elsewhere_than_planned_is_said(moment):
    wrong = {Moment.BEFORE_WRITE: 9, Moment.BEFORE_FSYNC: 7, Moment.AFTER_FSYNC: 8}.get(moment, 8)
    died = Died(
        cut=Cut(commit=9, moment=moment), at=9, on_disk=wrong, damage="", heard=False, commands=0
    )
    assert "commit 9" in died_elsewhere(died)
