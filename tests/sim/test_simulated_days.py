"""Fifty days that never were: whatever goes wrong on them, the house keeps its promises.

A day that fails prints its story; ``kitestring simulate --seed N`` lives it again.
"""

import pytest

from kitestring.sim.day_plan import plan_of
from kitestring.sim.day_story import story
from kitestring.sim.invariants import broken
from kitestring.sim.simulated_day import simulate

A_TEST = 5
"""Days of one test, so that several workers share them."""


@pytest.mark.parametrize("first", range(1, 51, A_TEST))
def test_a_simulated_day_keeps_every_promise(first):
    stories = []
    orders = 0
    for seed in range(first, first + A_TEST):
        day = simulate(plan_of(seed))
        orders += len(day.placed)
        found = broken(day)
        if found:
            stories.append("\n".join(story(day, found)))
    assert not stories, "\n\n".join(stories)
    assert orders, "five days without an order prove nothing"
