"""What clients send is read in all their spellings, and refused in Kite's words."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.money import price
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import KiteError


def test_the_noise_of_a_float_is_no_refusal():
    assert Form({"price": "0.30000000000000004"}).price("price") == price("0.3")


@pytest.mark.parametrize("spelling", ["True", "true", "1", "TRUE"])
def test_yes_is_read_in_every_spelling(spelling):
    assert Form({"consider_positions": spelling}).flag("consider_positions") is True


def test_a_repeated_path_parameter_counts_once():
    form = Form([("variety", "regular"), ("variety", "regular"), ("quantity", "65.0")])
    assert form.text("variety") == "regular"
    assert form.whole("quantity") == 65


@pytest.mark.parametrize("quantity", ["", "six", "1.5", "-1", "1e99", "١٢", "NaN", "9" * 400])
def test_what_is_no_quantity_is_an_input_exception(quantity):
    with pytest.raises(KiteError) as refusal:
        Form({"quantity": quantity}).whole("quantity")
    assert (refusal.value.status, refusal.value.error_type) == (400, "InputException")


@given(st.text(max_size=60))
def test_no_text_does_worse_than_be_refused(text):
    form = Form({"x": text})
    for read in (form.number, form.whole, form.price, form.flag):
        with contextlib.suppress(KiteError):
            read("x")


def test_a_number_keeps_its_digits():
    assert Form({"trigger_price": "22105.05"}).number("trigger_price") == Decimal("22105.05")
