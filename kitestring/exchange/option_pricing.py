"""What an option is worth: Black's formula of 1976 on the future, with a smile and a term structure.

Premiums are not discounted, so that call minus put is exactly future minus strike, and no option is
worth less than what it would pay at once. Only addition, multiplication, division and square root are
used: those are the same to the last bit on every machine, which a library's ``exp`` is not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kitestring.exchange.seeded import Ints

Floats = NDArray[np.float64]

_LN2_HIGH: Final = 0.693147180369123816490
_LN2_LOW: Final = 1.90821492927058770002e-10
_YEAR_SECONDS: Final = 31_536_000.0
_DAY_YEARS: Final = 1.0 / 365.0
_ROOT_HALF: Final = 0.70710678118654752
_SKEW, _CURVE, _WINGS = -0.035, 0.022, 4.0
"""Implied volatility at z standard deviations: 1 + skew·z + curve·z², flat beyond the wings."""
_NORMAL: Final = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
"""Abramowitz and Stegun, 26.2.17: the normal distribution to 7.5e-8."""
_NORMAL_AT: Final = 0.2316419
_ROOT_TWO_PI: Final = 2.5066282746310002


def exp_minus(x: Floats) -> Floats:
    """e^−x for x ≥ 0; beyond 700 it is 0 for every purpose here."""
    x = np.minimum(x, 700.0)
    halvings = np.rint(x / _LN2_HIGH)
    rest = (x - halvings * _LN2_HIGH) - halvings * _LN2_LOW
    total = np.ones_like(rest)
    for power in range(11, 0, -1):
        total = 1.0 - total * rest / power
    return np.ldexp(total, -halvings.astype(np.int32))


def log(x: Floats) -> Floats:
    """The natural logarithm of a positive number, to about 1e-13."""
    part, power = np.frexp(x)
    small = part < _ROOT_HALF
    part = np.where(small, part * 2.0, part)
    powers = (power - small).astype(np.float64)
    s = (part - 1.0) / (part + 1.0)
    square = s * s
    total = np.zeros_like(s)
    for odd in range(15, 0, -2):
        total = total * square + 1.0 / odd
    return powers * _LN2_HIGH + (2.0 * s * total + powers * _LN2_LOW)


def tail(x: Floats) -> Floats:
    """The chance that a standard normal draw exceeds x ≥ 0."""
    t = 1.0 / (1.0 + _NORMAL_AT * x)
    total = np.zeros_like(x)
    for coefficient in reversed(_NORMAL):
        total = (total + coefficient) * t
    return total * exp_minus(x * x * 0.5) / _ROOT_TWO_PI


def normal(x: Floats) -> Floats:
    """The chance that a standard normal draw is below x."""
    beyond = tail(np.abs(x))
    return np.where(x > 0.0, 1.0 - beyond, beyond)


def volatility(at_the_money: Floats, distance: Floats, years: Floats) -> Floats:
    """Implied volatility of a strike. ``distance`` is the logarithm of strike over future.

    Near expiries lie a little above the thirty-day figure when quiet, far ones come back to it; a
    strike's distance is measured over a day at least, so that the smile does not tear on expiry day.
    """
    term = at_the_money * (0.97 + 0.03 * np.sqrt(30.0 / (years * 365.0 + 10.0)))
    z = distance / (term * np.sqrt(np.maximum(years, _DAY_YEARS)))
    z = np.minimum(np.maximum(z, -_WINGS), _WINGS)
    return term * (1.0 + (_SKEW + _CURVE * z) * z)


def option_value(
    future: Ints, strike: Ints, seconds_left: Ints, volatility_bp: Ints, *, call: NDArray[np.bool_]
) -> Ints:
    """Fair premium in price units, never below what exercising at once would pay.

    ``volatility_bp`` is the thirty-day volatility at the money, a year, in basis points. With no
    second left the premium is that payment exactly.
    """
    f, k = future.astype(np.float64), strike.astype(np.float64)
    years = np.maximum(seconds_left, 1) / _YEAR_SECONDS
    distance = -log(f / k)
    sd = volatility(volatility_bp / 10_000.0, distance, years) * np.sqrt(years)
    # The side out of the money is priced, the other follows from it: call − put = future − strike.
    away = np.abs(distance) / sd
    upper = k >= f
    near, far = normal(0.5 * sd - away), normal(-0.5 * sd - away)
    value = np.where(upper, f * near - k * far, k * near - f * far)
    # An option out of the money: a call when the strike is above, a put when below.
    outside = np.maximum(np.rint(value), 0.0).astype(np.int64)
    outside = np.where(seconds_left > 0, outside, 0)
    inside = np.abs(future - strike)
    return outside + np.where(call != upper, inside, 0)
