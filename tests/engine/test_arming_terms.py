"""What an arming is good for: one account, one day, one amount, one content of the settings, one life."""

import datetime as dt

import msgspec
import pytest

from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.money import money
from kitestring.engine.arming import (
    ArmingFile,
    Standing,
    Terms,
    agrees,
    armed_by,
    armed_sentence,
    phrase,
    refusals,
    refuse,
    shown,
    standing,
)

TERMS = Terms(
    date=dt.date(2026, 11, 20),
    account="AB1234",
    account_name="A. Trader",
    capital=money(500_000),
    available=money(500_000),
    risk=RiskSettings(),
    strategies=("ema", "vwap"),
    open_positions=(),
    config_hash="c0ffee" * 10,
)


def terms(**more):
    return msgspec.structs.replace(TERMS, **more)


ARMED = armed_by(TERMS, 1_795_149_000_000_000)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, Standing.ARMED),
        ({"date": dt.date(2026, 11, 23)}, Standing.DAY_OVER),
        ({"account": "ZZ9999"}, Standing.OTHER_ACCOUNT),
        ({"config_hash": "1" * 60}, Standing.CHANGED),
        ({"capital": money(500_001)}, Standing.OTHER_CAPITAL),
    ],
)
def test_an_arming_is_good_for_exactly_what_was_shown(changed, verdict):
    assert standing(ARMED, terms(**changed)) is verdict


def test_none_and_one_that_a_dead_house_left_in_use_arm_nothing():
    assert standing(None, TERMS) is Standing.NEVER
    assert standing(msgspec.structs.replace(ARMED, in_use=True), TERMS) is Standing.CRASHED


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"halted": "HALT stands."}, "HALT stands; if that is over, type: kitestring halt --lift"),
        ({"capital": None}, "trading.live_capital is not set"),
        ({"available": None}, "funds could not be read"),
        ({"available": money(499_999)}, "more than the ₹4,99,999.00 that are free"),
        ({"risk": RiskSettings(max_daily_loss_pct=None)}, "nothing would end a bad day"),
        ({"without_stop": ("ema",)}, "ema may enter without a stop"),
    ],
)
def test_what_cannot_be_armed_is_refused_with_its_reason(changed, part):
    (only,) = refusals(terms(**changed))
    assert part in only
    with pytest.raises(ConfigError, match="not armed") as refused:
        refuse(terms(**changed))
    assert part in refused.value.what


def test_all_reasons_are_said_at_once_and_good_terms_have_none():
    assert len(refusals(terms(halted="x", capital=None, available=None))) == 3
    assert refusals(TERMS) == []
    refuse(TERMS)


def test_the_phrase_holds_the_rupees_and_spaces_do_not_matter():
    assert phrase(TERMS) == "TRADE 500000"
    for typed in ("TRADE 500000", "  TRADE   500000 "):
        assert agrees(TERMS, typed)
    for typed in ("", "TRADE", "TRADE 50000", "trade 500000", "TRADE 5000000", "TRADE 500000 x"):
        assert not agrees(TERMS, typed)


def test_the_person_is_shown_all_of_it():
    text = "\n".join(shown(terms(open_positions=("10 INFY",), available=None)))
    for part in (
        "AB1234 (A. Trader), 2026-11-20",
        "₹5,00,000.00, of not known free",
        "ema, vwap",
        "10 INFY",
        "leave_protected",
        "c0ffeec0ffeec0ff",
        "max_daily_loss",
    ):
        assert part in text
    bare = "\n".join(shown(terms(capital=None)))
    assert "NOT SET, of ₹5,00,000.00 free" in bare
    assert "open positions  none" in bare
    assert "limit  " not in bare


def test_the_record_is_read_back_and_one_that_is_none_arms_nothing(tmp_path):
    file = ArmingFile(tmp_path)
    assert file.read() is None
    file.write(ARMED)
    assert file.read() == ARMED
    file.path.write_text("{")
    assert file.read() is None
    file.clear()
    file.clear()
    assert not file.path.exists()
    assert "₹5,00,000.00 in the account AB1234 at 10:00:00; settings c0ffee" in armed_sentence(
        ARMED
    )
