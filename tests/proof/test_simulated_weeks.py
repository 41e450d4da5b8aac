"""Weeks that never were: what is carried over nights, holidays and expiries is never lost.

A week that fails prints its story; ``kitestring simulate --week N`` lives it again.
"""

import pytest

from kitestring.sim.simulated_week import simulate_week
from kitestring.sim.week_judges import broken_week
from kitestring.sim.week_plan import week_of
from kitestring.sim.week_story import week_story
from proof.simulated_weeks import TIER
from proof.tier import Scale

BROKE_ONCE = (7, 11, 25, 35, 83)
"""A carried position refused under HALT; shares of the demat account; a trigger that stayed unknown; a
stop sent by a restarted house over what the guard had closed; a person who left before the machine died."""


@pytest.mark.parametrize("first", range(1, TIER.size[Scale.TEST] + 1, TIER.batch))
def test_simulated_weeks_keep_every_promise(first):
    outcome = TIER.live(first, TIER.batch)
    assert not outcome.broken, "\n\n".join(each.story for each in outcome.broken)
    assert outcome.counts["orders"], "weeks without an order prove nothing"
    assert outcome.counts["carried"], "weeks in which nothing is carried prove nothing"


@pytest.mark.parametrize("seed", BROKE_ONCE)
def test_a_week_that_once_broke_a_promise_keeps_them_now(seed):
    week = simulate_week(week_of(seed), replays=True)
    found = broken_week(week)
    assert not found, "\n".join(week_story(week, found))


def test_the_same_week_twice_is_the_same_week():
    one, other = (simulate_week(week_of(3)) for _ in range(2))
    heads = [[run.head for run in day.runs] for day in one.days]
    assert heads == [[run.head for run in day.runs] for day in other.days]
    assert any(heads)
