"""A few minutes of a long day of real programs, and what would have to be noticed of a whole one."""

import pytest

from proof.long_day import Sample, grown, live_for, slower, ways_ms


def samples(*pairs):
    return [Sample(rss_mb, files) for rss_mb, files in pairs]


def test_three_real_programs_trade_for_some_minutes_and_agree():
    day = live_for(4, instruments=60, speed=20.0)
    assert day.found == []
    assert day.orders >= 30
    assert day.ticks > 500
    assert all(each.rss_mb > 10 and each.files > 3 for each in day.samples["guard"])


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ((104.0, 30), ""),
        ((115.0, 30), "The engine grew from 100 to 115 MB."),
        ((100.0, 40), "The engine had 30 files open, and 40 in the end."),
    ],
)
def test_growth_is_told_from_a_warm_up(late, said):
    day = samples(*[(60.0, 12)] * 4, *[(100.0, 30)] * 12, *[late] * 4)
    assert " ".join(grown("engine", day)) == said


def test_orders_of_one_commit_are_timed_from_its_frame():
    left = [(1.0, 1.001), (2.0, 2.002)]
    ways = ways_ms(left, [1.003, 1.004, 2.005])
    assert [round(each, 6) for each in ways] == [3.0, 4.0, 5.0]


def test_orders_that_leave_later_in_the_end_are_noticed():
    assert slower([3.0] * 40 + [4.0] * 10) == []
    assert slower([3.0] * 40 + [90.0] * 10) == [
        "Half of the orders took 3.0 ms early on, and 90.0 ms in the end."
    ]
    assert "nothing was measured" in slower([3.0])[0]
