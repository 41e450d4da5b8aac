"""Black's formula as the synthetic chain uses it: its laws, and its figures against a library's."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.exchange.option_pricing import exp_minus, log, option_value, tail, volatility

DAY = 86_400
RUPEE = 10_000


def premium(future, strike, seconds, vol_bp, *, call):
    """One premium in rupees."""
    columns = [np.array([value], dtype=np.int64) for value in (future, strike, seconds, vol_bp)]
    return int(option_value(*columns, call=np.array([call]))[0])


FUTURES = st.integers(100 * RUPEE, 90_000 * RUPEE)
SECONDS = st.integers(0, 5 * 365 * DAY)
VOLS = st.integers(400, 6_000)
MONEYNESS = st.integers(500, 2_000)
"""Strike over future, in per mille."""


@given(FUTURES, MONEYNESS, SECONDS, VOLS)
def test_call_less_put_is_future_less_strike_to_the_last_unit(future, moneyness, seconds, vol):
    strike = future * moneyness // 1000
    call = premium(future, strike, seconds, vol, call=True)
    put = premium(future, strike, seconds, vol, call=False)
    assert call - put == future - strike


@given(FUTURES, MONEYNESS, SECONDS, VOLS)
def test_a_premium_is_worth_exercise_at_least_and_the_underlying_at_most(
    future, moneyness, seconds, vol
):
    strike = future * moneyness // 1000
    call = premium(future, strike, seconds, vol, call=True)
    put = premium(future, strike, seconds, vol, call=False)
    assert max(future - strike, 0) <= call <= future
    assert max(strike - future, 0) <= put <= strike


@given(FUTURES, st.integers(600, 1_600), st.integers(1, 40), SECONDS, VOLS)
def test_calls_fall_and_puts_rise_with_the_strike(future, moneyness, step, seconds, vol):
    lower = future * moneyness // 1000
    upper = lower + future * step // 1000
    assert premium(future, lower, seconds, vol, call=True) >= premium(
        future, upper, seconds, vol, call=True
    )
    assert premium(future, lower, seconds, vol, call=False) <= premium(
        future, upper, seconds, vol, call=False
    )


@given(FUTURES, MONEYNESS, VOLS)
def test_with_no_second_left_an_option_is_what_it_pays(future, moneyness, vol):
    strike = future * moneyness // 1000
    assert premium(future, strike, 0, vol, call=True) == max(future - strike, 0)


@pytest.mark.parametrize("days", [1, 3, 30, 400])
@pytest.mark.parametrize("strike", [22_000, 23_500, 24_000, 24_150, 26_000])
@pytest.mark.parametrize("call", [True, False])
def test_premiums_are_blacks_formula(days, strike, call):
    """Against the formula with the library's own logarithm and error function."""
    future, vol = 24_000.0, 0.13
    years = days / 365
    distance = math.log(strike / future)
    term = vol * (0.97 + 0.03 * math.sqrt(30 / (days + 10)))
    z = max(min(distance / (term * math.sqrt(max(years, 1 / 365))), 4), -4)
    sd = term * (1 - 0.035 * z + 0.022 * z * z) * math.sqrt(years)

    def below(x):
        return (1 + math.erf(x / math.sqrt(2))) / 2

    up, down = -distance / sd + sd / 2, -distance / sd - sd / 2
    expected = future * below(up) - strike * below(down)
    if not call:
        expected = strike * below(-down) - future * below(-up)
    found = premium(24_000 * RUPEE, strike * RUPEE, days * DAY, 1_300, call=call)
    assert found / RUPEE == pytest.approx(expected, abs=0.005)


def test_the_elementary_functions():
    x = np.linspace(0.001, 40, 1_000)
    assert exp_minus(x) == pytest.approx(np.exp(-x), rel=1e-12)
    assert log(x) == pytest.approx(np.log(x), rel=1e-12, abs=1e-13)
    assert tail(np.array([0.0, 1.0, 2.0]))[:3] == pytest.approx(
        [0.5, 0.15865525, 0.02275013], abs=2e-7
    )


def test_low_strikes_imply_more_volatility_than_high_ones_and_both_wings_more_than_the_money():
    strikes = np.array([21_500, 23_000, 24_000, 25_000, 26_500])
    implied = volatility(np.full(5, 0.13), np.log(strikes / 24_000), np.full(5, 30 / 365))
    far_low, low, money, high, far_high = implied
    assert far_low > low > money > high
    assert far_low > far_high > money


def test_premiums_are_the_same_on_every_machine():
    """A grid of them, as one number: it changes only with the model."""
    future, strike, seconds = (
        grid.ravel()
        for grid in np.meshgrid(
            np.arange(240_000_000, 250_000_000, 700_003),
            np.arange(200_000_000, 300_000_000, 1_000_000),
            np.array([1, 60, 3_600, 86_400, 2_592_000, 100_000_000]),
        )
    )
    values = option_value(
        future, strike, seconds, np.full(len(future), 1_300), call=np.arange(len(future)) % 2 == 0
    )
    digest = hashlib.sha256(values.astype("<i8").tobytes()).hexdigest()
    assert (len(values), digest[:16]) == (9_000, "c1f483100db3a253")
