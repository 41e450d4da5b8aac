"""Paths that can be asked for anywhere: alone or in blocks, today or of another day."""

import datetime as dt
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.exchange import noise
from kitestring.exchange.listed_names import known_shares
from kitestring.exchange.market_paths import PathBook
from kitestring.market import calendar

FRIDAY = dt.date(2026, 11, 20)
EXPIRY = dt.date(2026, 12, 29)
NAMES = ("NIFTY", "SENSEX", "INFY", "LT", "CRUDEOIL", "USDINR", "AARDIAGRO (INVENTED)")
NINE, CLOSE = 9 * 3600, 55_700


def book(day=FRIDAY, seed=7, names=NAMES):
    made = PathBook(seed, day)
    for name in names:
        made.path(name, None)
        made.path(name, EXPIRY)
    return made


BOOK = book()
PATHS = 1 + 2 * len(NAMES)


@given(
    st.lists(st.integers(0, PATHS - 1), min_size=1, max_size=6),
    st.integers(NINE, 85_000),
    st.integers(1, 40),
)
def test_a_block_of_seconds_is_its_seconds(paths, first, count):
    wanted = np.array(paths)
    block = BOOK.over(first, count, wanted)
    rows, seconds = np.divmod(np.arange(len(paths) * count), count)
    alone = BOOK.at(wanted[rows], first + seconds)
    assert (alone == block.ravel()).all()


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**40),
    st.integers(1, 300),
    st.sampled_from([1, 5, 9, 15]),
)
def test_noise_over_places_is_noise_at_each(key, start, count, bits):
    keys = np.array([key], dtype=np.uint64)
    over = noise.noise_over(keys, np.array([start]), count, bits)[0]
    at = noise.noise_at(np.repeat(keys, count), start + np.arange(count), bits)
    assert (over == at).all()
    assert np.abs(over).max() <= noise.HALF


def test_a_path_does_not_depend_on_what_else_is_asked_for():
    alone = PathBook(7, FRIDAY)
    place = alone.path("LT", None)
    theirs = BOOK.path("LT", None)
    sods = np.arange(40_000, 41_000)
    assert (alone.at(np.full(1_000, place), sods) == BOOK.at(np.full(1_000, theirs), sods)).all()


@pytest.mark.parametrize(
    ("name", "least_bp", "most_bp"), [("LT", 60, 260), ("CRUDEOIL", 90, 420), ("USDINR", 8, 50)]
)
def test_days_are_as_wide_as_the_name_is_lively_and_follow_one_another(name, least_bp, most_bp):
    """Close to close over three months; and the gap of a night is less than the day's movement."""
    days = calendar.trading_days(dt.date(2026, 8, 17), FRIDAY)
    closes, opens = [], []
    for day in days:
        one = PathBook(7, day)
        place = one.path(name, None)
        first, last = one.at(np.array([place, place]), np.array([NINE + 900, CLOSE]))
        opens.append(int(first))
        closes.append(int(last))
    returns = np.diff(closes) / np.array(closes[:-1]) * 10_000
    gaps = (np.array(opens[1:]) / np.array(closes[:-1]) - 1) * 10_000
    assert least_bp < returns.std() < most_bp
    assert gaps.std() < 0.9 * returns.std()
    assert 0.6 < closes[-1] / closes[0] < 1.6


def test_fear_rises_when_the_market_falls():
    def change(name, kind):
        made = PathBook(7, FRIDAY, kind)
        place = made.path(name, None)
        first, last = made.at(np.array([place, place]), np.array([NINE + 900, CLOSE]))
        return int(last) / int(first) - 1

    assert change("NIFTY", "crash") < -0.02
    assert change("INDIA VIX", "crash") > 0.06


def test_small_contracts_follow_the_large_one():
    one = book(names=("GOLD", "GOLDM", "GOLDPETAL"))
    sods = np.arange(NINE, NINE + 50_000)
    gold, mini, petal = (
        one.at(np.full(50_000, one.path(name, None)), sods)
        for name in ("GOLD", "GOLDM", "GOLDPETAL")
    )
    assert (gold == mini).all()
    assert np.abs(gold / petal - 124_000 / 12_450).max() < 0.001


def test_two_interpreters_draw_the_same_paths():
    lines = (
        "import datetime as dt, hashlib, numpy as np;"
        "from kitestring.exchange.market_paths import PathBook;"
        "b = PathBook(7, dt.date(2026, 11, 20)); b.path('LT', dt.date(2026, 12, 29));"
        "b.path('NIFTY', dt.date(2026, 12, 1));"
        "print(hashlib.sha256(b.over(33000, 600, np.arange(3)).astype('<i8').tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", lines],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashing in ("1", "2")
    }
    assert len(digests) == 1


def test_names_have_lively_and_quiet_spells_and_now_and_then_news():
    """Forty shares through one day: quarters of an hour differ, and somebody jumps."""
    shares = PathBook(7, FRIDAY)
    names = [share.symbol for share in known_shares()[20:60]]
    paths = np.array([shares.path(name, None) for name in names])
    values = shares.over(NINE + 3_600, 16_200, paths).astype(float)
    looked = values[:, ::3]
    steps = np.diff(looked, axis=1) / looked[:, :-1]
    spells = steps[:, :5_100].reshape(len(names), 17, 300).std(axis=2)
    liveliness = spells.max(axis=1) / spells.min(axis=1)
    assert np.median(liveliness) > 1.6
    loudest = np.abs(steps).max(axis=1) / steps.std(axis=1)
    assert np.count_nonzero(loudest > 12) >= 3
    assert np.median(loudest) < 12
