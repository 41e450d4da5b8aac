"""Prices and rupees as whole numbers, so that no paisa is ever lost to a rounding error.

A ``Price`` and a ``Money`` are integers of 1/10 000 rupee; a ``ChargeUnits`` is an integer of
10⁻¹⁰ rupee, fine enough for every Indian charge rate to be exact. This is the one file that
converts and rounds. At run time all three are plain ``int`` (the hot path pays nothing); to the
type checker they are different things, and adding a price to an amount of money does not check.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

UNITS_PER_RUPEE: Final = 10_000
CHARGE_UNITS_PER_RUPEE: Final = 10**10
CHARGE_UNITS_PER_UNIT: Final = CHARGE_UNITS_PER_RUPEE // UNITS_PER_RUPEE

if TYPE_CHECKING:

    class Money:
        """An amount in units of 1/10 000 rupee; negative is a loss or a debit."""

        def __init__(self, units: int) -> None: ...
        def __add__(self, other: Money) -> Money: ...
        def __sub__(self, other: Money) -> Money: ...
        def __neg__(self) -> Money: ...
        def __abs__(self) -> Money: ...
        def __mul__(self, times: int) -> Money: ...
        def __rmul__(self, times: int) -> Money: ...
        def __floordiv__(self, by: int) -> Money: ...
        def __lt__(self, other: Money) -> bool: ...
        def __le__(self, other: Money) -> bool: ...
        def __gt__(self, other: Money) -> bool: ...
        def __ge__(self, other: Money) -> bool: ...
        def __int__(self) -> int: ...
        def __bool__(self) -> bool: ...
        def __hash__(self) -> int: ...

    class Price:
        """A price of one unit of an instrument, in units of 1/10 000 rupee."""

        def __init__(self, units: int) -> None: ...
        def __add__(self, other: Price) -> Price: ...
        def __sub__(self, other: Price) -> Price: ...
        def __neg__(self) -> Price: ...
        def __abs__(self) -> Price: ...
        def __mul__(self, quantity: int) -> Money: ...
        def __rmul__(self, quantity: int) -> Money: ...
        def __floordiv__(self, by: int) -> Price: ...
        def __truediv__(self, by: int) -> float: ...
        def __mod__(self, by: Price) -> Price: ...
        def __lt__(self, other: Price) -> bool: ...
        def __le__(self, other: Price) -> bool: ...
        def __gt__(self, other: Price) -> bool: ...
        def __ge__(self, other: Price) -> bool: ...
        def __int__(self) -> int: ...
        def __float__(self) -> float: ...
        def __bool__(self) -> bool: ...
        def __hash__(self) -> int: ...

    class ChargeUnits:
        """A charge in units of 10⁻¹⁰ rupee."""

        def __init__(self, units: int) -> None: ...
        def __add__(self, other: ChargeUnits) -> ChargeUnits: ...
        def __sub__(self, other: ChargeUnits) -> ChargeUnits: ...
        def __neg__(self) -> ChargeUnits: ...
        def __lt__(self, other: ChargeUnits) -> bool: ...
        def __le__(self, other: ChargeUnits) -> bool: ...
        def __gt__(self, other: ChargeUnits) -> bool: ...
        def __ge__(self, other: ChargeUnits) -> bool: ...
        def __int__(self) -> int: ...
        def __bool__(self) -> bool: ...
        def __hash__(self) -> int: ...

else:
    Money = Price = ChargeUnits = int

_DIGITS_MAX: Final = 15
"""Of rupees: ten thousand times the worth of every listed Indian company together."""
_RUPEES = re.compile(r"-?\d+(\.\d+)?")


def _units(rupees: str | int | Decimal, what: str) -> int:
    if isinstance(rupees, str):
        text = rupees.strip().replace(",", "").replace("_", "").removeprefix("₹")
        if not _RUPEES.fullmatch(text):
            raise ValueError(f"{rupees!r} is not {what} in rupees, such as 22105.50")
        rupees = Decimal(text)
    try:
        units = Decimal(rupees) * UNITS_PER_RUPEE
        whole = int(units)
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise ValueError(f"{rupees!r} is not {what} in rupees") from error
    if whole != units:
        raise ValueError(f"{rupees} is finer than 1/10 000 rupee, the smallest unit kept")
    return whole


def price(rupees: str | int | Decimal) -> Price:
    """A price from decimal rupees, exactly; raises ``ValueError`` where it would have to round."""
    return Price(_units(rupees, "a price"))


def money(rupees: str | int | Decimal) -> Money:
    """An amount from decimal rupees, exactly; raises ``ValueError`` where it would have to round."""
    return Money(_units(rupees, "an amount"))


def _rounded_units(rupees: Decimal, what: str) -> int:
    if not rupees.is_finite() or rupees.adjusted() >= _DIGITS_MAX:
        raise ValueError(f"{rupees} is not {what} in rupees")
    return int((rupees * UNITS_PER_RUPEE).to_integral_value(ROUND_HALF_EVEN))


def rounded_price(rupees: Decimal) -> Price:
    """The price nearest to what a broker computed in floating point, such as 99725.05000000002.

    Half goes to the even unit. Raises ``ValueError`` for what is no number, or no price on earth.
    """
    return Price(_rounded_units(rupees, "a price"))


def rounded_money(rupees: Decimal) -> Money:
    """The amount nearest to what a broker computed in floating point; as ``rounded_price``."""
    return Money(_rounded_units(rupees, "an amount"))


def share_of(amount: Money, times: float) -> Money:
    """``times`` × ``amount``, rounded down; ``times`` is read as its shortest decimal, so 0.02 is 2 %.

    Raises ``ValueError`` for a NaN or an infinity, which are shares of nothing.
    """
    factor = Decimal(repr(float(times)))
    if not factor.is_finite():
        raise ValueError(f"{times!r} is no multiple of an amount")
    numerator, denominator = factor.as_integer_ratio()
    return Money(int(amount) * numerator // denominator)


def nearest_price(rupees: float, tick_size: Price) -> Price:
    """The price on the tick nearest to an indicator's floating value; half goes to the even tick.

    ``rupees`` must be finite: a strategy's NaN is stopped before it comes here.
    """
    tick = int(tick_size)
    return Price(round(rupees * UNITS_PER_RUPEE / tick) * tick)


def on_tick_down(px: Price, tick_size: Price) -> Price:
    """The highest tick not above ``px``."""
    tick = int(tick_size)
    return Price(int(px) // tick * tick)


def on_tick_up(px: Price, tick_size: Price) -> Price:
    """The lowest tick not below ``px``."""
    tick = int(tick_size)
    return Price(-(-int(px) // tick) * tick)


def decimal_rupees(amount: Money | Price) -> Decimal:
    """Exact decimal rupees of a price or an amount."""
    return Decimal(int(amount)) / UNITS_PER_RUPEE


def charge_rupees(charge: ChargeUnits) -> Decimal:
    """Exact decimal rupees of a charge."""
    return Decimal(int(charge)) / CHARGE_UNITS_PER_RUPEE


def charge_as_money(charge: ChargeUnits) -> Money:
    """A charge rounded to 1/10 000 rupee, half away from zero: for limits and display only."""
    units, sign = int(charge), 1
    if units < 0:
        units, sign = -units, -1
    return Money(sign * ((units + CHARGE_UNITS_PER_UNIT // 2) // CHARGE_UNITS_PER_UNIT))


def average_px(traded_value: Money, qty: int) -> Price:
    """Average price of ``qty`` traded for ``traded_value``, half to the even unit: for show only."""
    whole, rest = divmod(int(traded_value), qty)
    half = 2 * rest - qty
    return Price(whole + (1 if half > 0 or (half == 0 and whole % 2) else 0))


def net_of(gross: Money, charge: ChargeUnits) -> ChargeUnits:
    """What is left of an amount after a charge, exactly, in the finer units of charges."""
    return ChargeUnits(int(gross) * CHARGE_UNITS_PER_UNIT - int(charge))


def rupees_text(amount: Money | Price) -> str:
    """Plain decimal rupees for a CSV cell: at least two places, no grouping, nothing rounded."""
    units = int(amount)
    sign = "-" if units < 0 else ""
    whole, rest = divmod(abs(units), UNITS_PER_RUPEE)
    places = f"{rest:04d}"
    return f"{sign}{whole}.{places[:2]}{places[2:].rstrip('0')}"


def charge_text(charge: ChargeUnits) -> str:
    """Plain decimal rupees of a charge for a CSV cell, unrounded, at least two places."""
    units = int(charge)
    sign = "-" if units < 0 else ""
    whole, rest = divmod(abs(units), CHARGE_UNITS_PER_RUPEE)
    places = f"{rest:010d}"
    return f"{sign}{whole}.{places[:2]}{places[2:].rstrip('0')}"


def show_rupees(amount: Money | Price, *, signed: bool = False) -> str:
    """Rupees as a person reads them in India: ``₹1,23,456.50``, to the paisa, half to even."""
    paise = (decimal_rupees(amount)).quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
    sign = "-" if paise < 0 else ("+" if signed and paise > 0 else "")
    whole, _, fraction = f"{abs(paise):.2f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups: list[str] = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return f"{sign}₹{','.join([*groups, tail])}.{fraction}"
