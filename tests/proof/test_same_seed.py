"""The tier that lives each day in two programs sees every difference between them."""

from pathlib import Path

import pytest

from proof import same_seed
from proof.same_seed import Lived, difference
from proof.tier import Scale

LEAKY = Path(__file__).with_name("leaky_day.py")
A_BUSY_DAY = 7
"""Three strategies enter in one step of it."""


def test_days_are_the_same_in_two_programs():
    came = same_seed.TIER.live(11, same_seed.TIER.size[Scale.TEST])
    assert came.units == same_seed.TIER.size[Scale.TEST] == 2
    assert came.broken == ()
    assert came.counts["orders"] > 0
    assert came.counts["journal commits"] > 100


def test_an_order_taken_from_a_set_is_found(monkeypatch):
    monkeypatch.setattr(same_seed, "PROGRAM", (str(LEAKY),))
    monkeypatch.setenv("PYTHONPATH", str(LEAKY.parent.parent.parent))
    came = same_seed.live(A_BUSY_DAY, 1)
    assert [each.seed for each in came.broken] == [A_BUSY_DAY]
    assert came.broken[0].story.startswith("Day 7 is two days: ")
    assert "differs from entry" in came.broken[0].story
    assert came.broken[0].again == "python -m proof --tier same_seed --unit 7"


def test_a_program_that_ends_badly_says_its_last_words(monkeypatch):
    monkeypatch.setattr(same_seed, "PROGRAM", ("-c", "raise SystemExit('no such day')"))
    with pytest.raises(RuntimeError, match="no such day"):
        same_seed.live(1, 2)


def lived(*steps, ledger=(), journal="ab"):
    records = {"the journal": steps, "the ledger": tuple(ledger)}
    return Lived(seed=1, journal=journal, orders=0, records=records)


def test_the_first_difference_is_named():
    a, b, c = ("1", "Note"), ("2", "PlaceOrder"), ("3", "Fill")
    assert difference(lived(a, b), lived(a, b)) == ""
    assert difference(lived(a, b), lived(a, c)) == (
        "the journal differs from entry 2 on (of 2 and 2): PlaceOrder; and Fill"
    )
    assert difference(lived(a, b), lived(a)) == (
        "the journal differs from entry 2 on (of 2 and 1): PlaceOrder; and the end"
    )
    assert difference(lived(a, ledger=[b]), lived(a, ledger=[b, c])) == (
        "the ledger differs from entry 2 on (of 1 and 2): the end; and Fill"
    )
    assert "hash chains" in difference(lived(a), lived(a, journal="cd"))


def test_the_other_hash_seed_is_another_one_for_each_day_and_never_the_first():
    drawn = {same_seed.other_hash_seed(seed) for seed in range(1, 200)}
    assert len(drawn) == 199
    assert min(drawn) >= 1
    assert max(drawn) < 2**32
