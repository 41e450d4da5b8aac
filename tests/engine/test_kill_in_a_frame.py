"""A frame with a timer in its middle is stepped in parts; the house may die between any two of them.

What the exchange has seen, what the tape holds and what the core has taken are then three different
things, and the day must still go on as if nothing had happened.
"""

import pytest
from short_day import House, judge, traded

STORIES = {
    "between two parts of a frame": [("in a tape block", 32), ("after commit", 18)],
    "after a part that traded": [
        ("in a ledger line", 42),
        ("before a ledger line", 51),
        ("after commit of an order", 7),
        ("in a ledger line", 2),
    ],
    "before the part after the timer": [("in a ledger line", 19), ("before commit", 27)],
    "while fills come in several parts and the stop follows them": [
        ("in a ledger line", 41),
        ("in a tape block", 5),
        ("in a tape block", 1),
        ("in a ledger line", 17),
        ("after a ledger line", 15),
    ],
    "between an order and the next": [("before carrying out", 31)],
}


_WHOLE = {}


def _whole(fast_folder, market, fill_model):
    """The undisturbed day on this market, traded once per worker."""
    if fill_model not in _WHOLE:
        house = House(fast_folder / f"undisturbed-slow-{fill_model}", market, fill_model=fill_model)
        _WHOLE[fill_model] = traded(house, house.finished())
    return _WHOLE[fill_model]


@pytest.mark.parametrize(
    ("story", "fill_model"),
    [*((story, "market") for story in STORIES), ("between an order and the next", "instant")],
)
def test_a_day_killed_inside_a_frame_ends_as_if_it_had_not_been(
    house, fast_folder, slow_market, story, fill_model
):
    house = House(house.folder, slow_market, fill_model=fill_model)
    for moment, count in STORIES[story]:
        ran = house.start(kill=(moment, count))
        assert ran.returncode == -9, ran.stderr[-900:]
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == _whole(fast_folder, slow_market, fill_model)
