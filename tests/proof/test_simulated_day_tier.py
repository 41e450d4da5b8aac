"""The tier of simulated days counts what happened, and says so when the house is sabotaged."""

import msgspec
import pytest

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_outcomes import Acked
from kitestring.exchange.wire.faults import Fault
from kitestring.sim.day_plan import plan_of
from kitestring.sim.fewest_faults import fewest, parts, without
from kitestring.sim.invariants import broken
from kitestring.sim.simulated_day import simulate
from proof import simulated_days
from proof.simulated_days import TIER
from proof.tier import Scale

ROUGH = 12
"""A day with crashes, faults and many orders."""


@pytest.fixture
def sends_again(monkeypatch):
    place = KiteClient.place

    async def again(self, fields, variety="regular", **more):
        outcome = await place(self, fields, variety, **more)
        return outcome if isinstance(outcome, Acked) else await place(self, fields, variety, **more)

    monkeypatch.setattr(KiteClient, "place", again)


def timed_out(plan):
    fault = Fault(kind="timed_out_400", route="POST /orders/*")
    return msgspec.structs.replace(plan, faults=(*plan.faults, fault))


def test_a_good_day_is_counted_whole():
    outcome = TIER.live(ROUGH, 1)
    assert outcome.broken == ()
    assert outcome.units == 1
    assert outcome.counts["orders"] > 5
    assert outcome.counts["fills"] > 5
    assert outcome.counts["crashes"] >= 1
    assert outcome.counts["lost"] == outcome.counts["doubled"] == 0
    assert any(name.startswith("fault.") for name in outcome.counts)
    assert sum(outcome.spread["recovered_ms"].values()) == 1
    assert sum(outcome.spread["naked_ms"].values()) > 1
    assert TIER.size[Scale.PROOF] == 250


def test_a_sabotaged_house_is_told(sends_again, monkeypatch):
    monkeypatch.setattr(simulated_days, "plan_of", lambda seed: timed_out(plan_of(seed)))
    outcome = TIER.live(22, 1)
    assert outcome.counts["doubled"] >= 1
    assert "I2 at most one" in outcome.broken[0].story
    assert outcome.broken[0].again == "python -m proof --tier simulated_days --unit 22"


def test_only_the_faults_that_matter_are_told(sends_again):
    beside = (Fault(kind="update_doubled", route="ws"),)
    plan = msgspec.structs.replace(plan_of(22), hand=(), meddling=(), faults=beside)
    plan = timed_out(plan)
    found = broken(simulate(plan))
    assert found
    least = fewest(plan, found)
    assert "fault:update_doubled" in least.without
    assert parts(without(plan, least.without)) == ["fault:timed_out_400"]
