"""Real kills in one day, at a spread of moments; and a house that sends twice after one is caught."""

import pytest

from kitestring.exchange.wire.wire_ledger import Heard
from kitestring.sim import verdict as judging
from proof import sigkills
from proof.sigkills import MOMENTS, TIER, blow_of, live
from proof.tier import Scale


def test_a_proof_kills_at_every_named_moment_and_from_outside():
    blows = [blow_of(unit) for unit in range(1, TIER.size[Scale.PROOF] + 1)]
    assert {blow.moment for blow in blows} >= set(MOMENTS)
    assert any(blow.frozen_s for blow in blows)
    assert sum(not blow.moment for blow in blows) >= 10


def test_a_live_house_killed_anywhere_sends_nothing_twice_and_forgets_nothing(monkeypatch):
    wires = []
    real = sigkills.judge

    def judge(facts, **given):
        wires.append((facts, given))
        return real(facts, **given)

    monkeypatch.setattr(sigkills, "judge", judge)
    outcome = live(1, TIER.size[Scale.TEST])
    assert outcome.broken == ()
    assert outcome.counts["fills"] > 3
    assert sum(outcome.counts[f"fault.{kind}"] for kind in ("sigkill", "sigkill_outside")) == 12
    # The same day, told with one order request twice.
    facts, given = wires[0]
    posts = [each for each in given["wire"] if isinstance(each, Heard) and each.method == "POST"]
    order = next(each for each in posts if each.path.startswith("/orders/"))
    assert any(
        finding.fault is judging.Fault.RESENT
        for finding in real(facts, **given | {"wire": [*given["wire"], order]}).findings
    )


@pytest.mark.parametrize("moment", ["after intent", "order sent", "after fill"])
def test_a_death_that_the_files_do_not_bear_out_is_said(moment, tmp_path):
    wire = tmp_path / "wire.jsonl"
    wire.write_text("")
    death = {"tags": ["K1"], "fills": ["1"]}
    assert not sigkills._fits(moment, death, [], wire)
