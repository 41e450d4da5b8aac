"""Chance from a seed: the same everywhere, and shaped as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.exchange.intraday_shape import VOLATILITY, VOLUME, joined, over_session
from kitestring.exchange.seeded import Stream, bell_at

GOLDEN, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


def splitmix(state: int) -> int:
    """SplitMix64 in plain Python, written apart from the code under test."""
    z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def test_the_words_of_a_stream_are_pinned():
    assert Stream(7, "a", "b").raw(3).tolist() == [
        10657988379002588761,
        8769829531702890165,
        138461193083979132,
    ]


def test_a_stream_is_splitmix_of_its_key():
    stream = Stream(7, "a", "b")
    words = stream.raw_at(0, 1000).tolist()
    assert words == [splitmix(stream._key + (place + 1) * GOLDEN & MASK) for place in range(1000)]


@given(st.integers(0, 10_000), st.integers(0, 200), st.integers(1, 200))
def test_a_draw_depends_on_its_place_alone(place, skip, count):
    stream = Stream(1, "x")
    whole = stream.raw_at(place, skip + count)
    assert stream.raw_at(place + skip, count).tolist() == whole[skip:].tolist()


def test_names_are_not_run_together():
    assert Stream(1, "ab", "c").raw(1)[0] != Stream(1, "a", "bc").raw(1)[0]


def test_a_bell_has_its_middle_and_its_width():
    draws = Stream(3, "bell").bell(200_000, 1_000_000)
    assert abs(float(draws.mean())) < 10_000
    assert 990_000 < float(draws.std()) < 1_010_000
    assert int(abs(draws).max()) < 3_470_000


def test_even_draws_stay_below_their_bound_and_reach_both_ends():
    draws = Stream(3, "even").below(10_000, 7)
    assert sorted(set(draws.tolist())) == [0, 1, 2, 3, 4, 5, 6]


def test_trade_sizes_are_mostly_small_and_sometimes_large():
    draws = Stream(3, "sizes").skewed(100_000, 150, 147_000)
    p5, p50, p95 = np.percentile(draws, [5, 50, 95])
    assert 145 <= p50 <= 155
    assert 1_800 < p95 < 2_200
    assert 8 < p5 < 14


def test_draws_by_place_repeat_whatever_was_drawn_before():
    stream = Stream(5, "level")
    stream.bell(17, 10)
    assert (
        bell_at(stream, 100, 4, 1000).tolist()
        == bell_at(Stream(5, "level"), 98, 6, 1000).tolist()[2:]
    )


def test_lines_between_points_are_whole_numbers():
    assert joined([0, 4, 6], [0, 10, -10], 8).tolist() == [0, 2, 5, 7, 10, 0, -10, -10]


@pytest.mark.parametrize("seconds", [60, 3600, 22_500, 23_400])
@pytest.mark.parametrize("shape", [VOLATILITY, VOLUME])
def test_the_open_is_at_least_three_times_midday(seconds, shape):
    column = over_session(shape, seconds)
    assert len(column) == seconds
    assert column[0] >= 3 * column[seconds // 2]
    assert column[-1] > column[seconds // 2]
