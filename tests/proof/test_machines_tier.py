"""The tier of the state machines: its sizes, and that it reports what a machine has found."""

from __future__ import annotations

from kitestring.core.portfolio import Portfolio
from proof.state_machines import MACHINES, RUNS, TIER, live
from proof.tier import Scale


def test_a_proof_runs_each_machine_five_hundred_times():
    assert TIER.size[Scale.PROOF] * RUNS == 500 * len(MACHINES)
    assert TIER.size[Scale.SOAK] * RUNS == 20_000 * len(MACHINES)


def test_one_unit_of_each_machine_holds():
    done = live(1, TIER.size[Scale.TEST])
    assert done.broken == ()
    assert done.counts == {f"runs.{name}": RUNS for name in sorted(MACHINES)}


def test_a_mistake_in_the_house_is_reported_with_its_unit(monkeypatch):
    monkeypatch.setattr(Portfolio, "_reindex", lambda self, book: None)
    done = live(2, 1)
    (broken,) = done.broken
    assert broken.seed == 2
    assert broken.story.startswith("positions: ")
    assert broken.again == "python -m proof --tier state_machines --unit 2"
