"""Rupees in, rupees out, nothing lost on the way."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.money import (
    ChargeUnits,
    Money,
    Price,
    charge_as_money,
    charge_text,
    decimal_rupees,
    money,
    nearest_price,
    on_tick_down,
    on_tick_up,
    price,
    rupees_text,
    show_rupees,
)


def test_a_price_is_whole_ten_thousandths_of_a_rupee():
    assert price("22105.95") == 221_059_500
    assert price("₹1,234.5") == 12_345_000
    assert price(7) == 70_000
    assert price(Decimal("0.0001")) == 1


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1e5", "nan", "--1"])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(ValueError, match="rupees"):
        price(text)


def test_finer_than_the_smallest_unit_is_refused_not_rounded():
    with pytest.raises(ValueError, match="finer"):
        price("1.00001")


def test_rupees_are_grouped_as_indians_read_them():
    assert show_rupees(money("1234567.891")) == "₹12,34,567.89"
    assert show_rupees(money("-99999999.5")) == "-₹9,99,99,999.50"
    assert show_rupees(money(0)) == "₹0.00"
    assert show_rupees(money("12.3"), signed=True) == "+₹12.30"
    assert show_rupees(money("999")) == "₹999.00"
    assert show_rupees(money("1000")) == "₹1,000.00"


def test_csv_text_keeps_every_unit():
    assert rupees_text(Price(221_059_500)) == "22105.95"
    assert rupees_text(Money(-1)) == "-0.0001"
    assert rupees_text(Money(5_000)) == "0.50"
    assert charge_text(ChargeUnits(28_481_113_200)) == "2.84811132"


def test_indicator_values_land_on_the_tick():
    assert nearest_price(100.07, Price(500)) == price("100.05")
    assert nearest_price(100.08, Price(500)) == price("100.10")
    assert on_tick_down(price("100.07"), Price(500)) == price("100.05")
    assert on_tick_up(price("100.07"), Price(500)) == price("100.10")
    assert on_tick_up(price("100.10"), Price(500)) == price("100.10")


def test_charges_are_rounded_half_away_from_zero_for_display():
    assert charge_as_money(ChargeUnits(500_000)) == 1
    assert charge_as_money(ChargeUnits(499_999)) == 0
    assert charge_as_money(ChargeUnits(-500_000)) == -1


@given(st.integers(-(10**15), 10**15))
def test_text_and_units_are_the_same_thing(units):
    assert money(rupees_text(Money(units))) == units
    assert decimal_rupees(Money(units)) * 10_000 == units
