"""Pairs of faults on days of their own: all pairs are there, they meet, and a planted mistake is found."""

from itertools import combinations

from kitestring.broker import order_traffic
from kitestring.domain.orders import Purpose
from kitestring.sim.day_plan import CALM_S, at
from proof.fault_pairs import KINDS_OF_PAIRS, PAIRS, POWER_CUT, TIER, live, pair_of, plan_of_unit
from proof.tier import Scale


def test_every_pair_has_one_unit_and_the_first_units_are_a_fair_sample():
    assert sorted(map(sorted, PAIRS)) == sorted(map(sorted, combinations(KINDS_OF_PAIRS, 2)))
    assert len(KINDS_OF_PAIRS) == 42
    sample = {kind for number in range(1, TIER.size[Scale.PROOF] + 1) for kind in pair_of(number)}
    assert sample == set(KINDS_OF_PAIRS)
    assert pair_of(1) == pair_of(1 + len(PAIRS))


def test_a_unit_has_its_two_kinds_three_times_each_and_nothing_else_that_goes_wrong():
    for number in range(1, 60):
        plan, kinds = plan_of_unit(number), pair_of(number)
        planned = [fault.kind for fault in plan.faults] + [POWER_CUT] * len(plan.crashes)
        assert sorted(planned) == sorted(kinds * 3)
        assert bool(plan.lines) == ("upgrade_refused" in kinds)
        assert (plan.halt, plan.meddling) == (None, ())
        assert all(fault.when.until is not None for fault in plan.faults)
        assert all(at(each.from_s) < at(CALM_S) for each in plan.crashes)
        assert plan_of_unit(number) == plan


def test_the_house_keeps_its_promises_through_the_first_pairs():
    count = TIER.size[Scale.TEST]
    outcome = live(1, count)
    assert outcome.units == count
    assert [each.story for each in outcome.broken] == []
    assert outcome.counts["pairs_met"] >= count // 2, "they are made to meet"
    assert outcome.counts["orders"] > count
    assert sum(name.startswith("fault.") for name in outcome.counts) > count


def test_a_house_whose_exits_are_twice_too_large_breaks_its_pair(monkeypatch):
    place_fields = order_traffic.place_fields

    def doubled(command):
        fields = place_fields(command)
        if command.intent.purpose is Purpose.EXIT:
            fields = {**fields, "quantity": str(2 * int(fields["quantity"]))}
        return fields

    monkeypatch.setattr(order_traffic, "place_fields", doubled)
    (broken,) = live(2, 1).broken
    assert broken.seed == 2
    assert broken.again == "python -m proof --tier fault_pairs --unit 2"
    assert " and ".join(pair_of(2)) + " together" in broken.story
    assert "I11 exits only reduce" in broken.story


def test_a_world_that_breaks_is_a_broken_unit(monkeypatch):
    def breaks(plan):
        raise ZeroDivisionError(f"day {plan.seed}")

    monkeypatch.setattr("proof.fault_pairs.simulate", breaks)
    outcome = live(3, 2)
    assert [broken.seed for broken in outcome.broken] == [3, 4]
    assert outcome.units == 2
    assert "the world broke with ZeroDivisionError: day 1000003" in outcome.broken[0].story
