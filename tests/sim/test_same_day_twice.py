"""One seed is one day: the same journal to the bit."""

import msgspec
import pytest
from click.testing import CliRunner

from kitestring.cli import simulated_days
from kitestring.cli.commands import house
from kitestring.cli.simulated_days import DayFile, LivedDay
from kitestring.sim.day_plan import plan_of
from kitestring.sim.day_story import story
from kitestring.sim.invariants import PROMISES, broken
from kitestring.sim.simulated_day import simulate

A_ROUGH_DAY = 12
"""With a crash, network faults and faults of the exchange."""


def test_the_same_seed_is_the_same_journal_in_one_program():
    """Programs with other hash seeds are compared by the tier ``same_seed`` of the proof."""
    first, second = (simulate(plan_of(A_ROUGH_DAY)).journal_head for _ in "ab")
    assert first == second != ""


@pytest.fixture
def lived(monkeypatch):
    """Days that cost nothing; day 3 breaks something, day 5 is never lived to its end."""
    seen = []

    def live(seed):
        if seed == 5 and 5 not in seen:
            seen.append(5)
            raise KeyboardInterrupt
        seen.append(seed)
        return LivedDay(
            seed=seed, broken=int(seed == 3), journal="ab", market_events=1, orders=1, faults={},
            crashes=0, lines=("the story",),
        )  # fmt: skip

    monkeypatch.setattr(simulated_days, "lived", live)
    return seen


def test_a_run_goes_on_where_it_was_stopped(lived, tmp_path):
    done = tmp_path / "done.jsonl"
    asked = ["simulate", "--days", "6", "--done", str(done)]
    stopped = CliRunner().invoke(house, asked)
    assert stopped.exit_code == 130
    assert lived == [1, 2, 3, 4, 5]
    with done.open("ab") as file:
        file.write(b'{"seed": 5, "bro')
    again = CliRunner().invoke(house, asked)
    assert lived == [1, 2, 3, 4, 5, 5, 6]
    assert "4 of 6 days are done already" in again.stdout
    assert [msgspec.json.decode(line)["seed"] for line in done.read_bytes().splitlines()] == [
        1, 2, 3, 4, 5, 6,
    ]  # fmt: skip
    assert DayFile(done).holds(6)


def test_a_broken_day_is_told_and_named(lived):
    del lived
    told = CliRunner().invoke(house, ["simulate", "--from", "2", "--days", "3"])
    assert told.exit_code == 1
    assert "the story" in told.stdout
    assert "3 days: 1 broke a promise." in told.stdout


def test_a_story_says_what_happened_and_how_to_see_it_again():
    day = simulate(plan_of(22))
    sent = [*day.sent, next(each for each in day.sent if each.method == "POST")]
    day = msgspec.structs.replace(day, sent=sent)
    lines = story(day, broken(day))
    assert lines[0].startswith("Day 22 broke a promise.")
    assert any("I2 at most one" in line for line in lines)
    assert any("sends entry" in line for line in lines)
    assert lines[-1] == "See it again: kitestring simulate --seed 22"
    assert all(promise.judge.__doc__ for promise in PROMISES)
