"""When contracts expire, what a lot is, and what Kite calls them."""

import datetime as dt

import pytest

from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import price
from kitestring.market.calendar import is_trading_day
from kitestring.market.contracts import (
    ContractRows,
    check_contracts,
    current_monthly_expiry,
    future_symbol,
    has_weekly_contracts,
    is_index,
    listed_monthly_expiry,
    listed_weekly_expiries,
    lot_size,
    monthly_expiry,
    option_symbol,
    weekly_expiries,
)
from kitestring.market.freeze import FreezeRows, check_freeze, freeze_qty
from kitestring.market.rows import parse_rows

CALL, PUT = InstrumentKind.CALL, InstrumentKind.PUT


def test_a_holiday_moves_the_november_expiry_to_the_monday_before():
    for name in ("NIFTY", "BANKNIFTY", "RELIANCE"):
        assert monthly_expiry(name, 2026, 11) == dt.date(2026, 11, 23)


@pytest.mark.parametrize(
    ("name", "year", "month", "expected"),
    [
        ("NIFTY", 2026, 12, dt.date(2026, 12, 29)),
        ("SENSEX", 2026, 11, dt.date(2026, 11, 26)),
        ("SENSEX", 2026, 12, dt.date(2026, 12, 31)),
        ("BANKEX", 2025, 12, dt.date(2025, 12, 24)),
        ("NIFTY", 2025, 9, dt.date(2025, 9, 30)),
        ("NIFTY", 2026, 3, dt.date(2026, 3, 30)),
        ("SENSEX", 2026, 5, dt.date(2026, 5, 27)),
    ],
)
def test_monthly_expiries(name, year, month, expected):
    assert monthly_expiry(name, year, month) == expected


def test_weekly_expiries_of_nifty_and_sensex_to_the_end_of_2026():
    first, last = dt.date(2026, 11, 22), dt.date(2026, 12, 31)
    assert weekly_expiries("NIFTY", first, last) == (
        dt.date(2026, 11, 23),
        dt.date(2026, 12, 1),
        dt.date(2026, 12, 8),
        dt.date(2026, 12, 15),
        dt.date(2026, 12, 22),
        dt.date(2026, 12, 29),
    )
    assert weekly_expiries("SENSEX", first, last) == (
        dt.date(2026, 11, 26),
        dt.date(2026, 12, 3),
        dt.date(2026, 12, 10),
        dt.date(2026, 12, 17),
        dt.date(2026, 12, 24),
        dt.date(2026, 12, 31),
    )


def test_a_weekly_expiry_moved_before_the_asked_days_still_counts_within_them():
    day = dt.date(2026, 11, 23)
    assert weekly_expiries("NIFTY", day, day) == (day,)
    tuesday = dt.date(2026, 11, 24)
    assert weekly_expiries("NIFTY", tuesday, tuesday) == ()


def test_muhurat_tuesday_is_no_expiry_day():
    assert is_trading_day(dt.date(2025, 10, 21))
    week = weekly_expiries("NIFTY", dt.date(2025, 10, 15), dt.date(2025, 10, 27))
    assert week == (dt.date(2025, 10, 20),)


def test_only_two_indices_have_weekly_contracts():
    assert has_weekly_contracts("NIFTY")
    assert has_weekly_contracts("SENSEX")
    assert not has_weekly_contracts("BANKNIFTY")
    assert not has_weekly_contracts("RELIANCE")
    assert weekly_expiries("BANKNIFTY", dt.date(2026, 11, 1), dt.date(2026, 11, 30)) == ()


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (dt.date(2026, 11, 20), dt.date(2026, 11, 23)),
        (dt.date(2026, 11, 23), dt.date(2026, 11, 23)),
        (dt.date(2026, 11, 25), dt.date(2026, 12, 29)),
        (dt.date(2025, 12, 31), dt.date(2026, 1, 27)),
    ],
)
def test_the_contract_current_on_a_day(day, expected):
    assert current_monthly_expiry("NIFTY", day) == expected


def test_expiries_beyond_the_rules_are_refused():
    with pytest.raises(CalendarUnknown):
        monthly_expiry("NIFTY", 2025, 8)
    with pytest.raises(CalendarUnknown):
        monthly_expiry("NIFTY", 2027, 1)
    with pytest.raises(CalendarUnknown):
        current_monthly_expiry("NIFTY", dt.date(2026, 12, 30))
    with pytest.raises(CalendarUnknown):
        weekly_expiries("NIFTY", dt.date(2026, 12, 1), dt.date(2027, 1, 31))


@pytest.mark.parametrize(
    ("name", "lot"),
    [
        ("NIFTY", 65),
        ("BANKNIFTY", 30),
        ("FINNIFTY", 60),
        ("MIDCPNIFTY", 120),
        ("NIFTYNXT50", 25),
        ("SENSEX", 20),
        ("BANKEX", 30),
    ],
)
def test_lots_today(name, lot):
    assert lot_size(name, dt.date(2026, 11, 20)) == lot


def test_the_nifty_lot_fell_after_the_december_2025_expiry():
    assert lot_size("NIFTY", dt.date(2025, 12, 30)) == 75
    assert lot_size("NIFTY", dt.date(2025, 12, 31)) == 65


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("RELIANCE", dt.date(2026, 11, 20)),
        ("NIFTY", dt.date(2024, 11, 19)),
        ("BANKNIFTY", dt.date(2025, 12, 30)),
        ("NIFTY", dt.date(2027, 1, 1)),
    ],
)
def test_a_lot_we_do_not_know_is_refused(name, day):
    with pytest.raises(CalendarUnknown, match=name) as refusal:
        lot_size(name, day)
    assert "instrument master" in refusal.value.do


def test_kite_s_names():
    assert future_symbol("NIFTY", dt.date(2026, 11, 23)) == "NIFTY26NOVFUT"
    assert option_symbol("NIFTY", dt.date(2026, 11, 23), price(24000), CALL) == "NIFTY26NOV24000CE"
    assert option_symbol("NIFTY", dt.date(2026, 12, 1), price(24050), PUT) == "NIFTY26D0124050PE"
    assert option_symbol("SENSEX", dt.date(2026, 9, 3), price(81000), CALL) == "SENSEX2690381000CE"
    assert option_symbol("ITC", dt.date(2026, 12, 29), price("412.5"), PUT) == "ITC26DEC412.5PE"
    with pytest.raises(ValueError, match="no option"):
        option_symbol("NIFTY", dt.date(2026, 12, 1), price(24000), InstrumentKind.FUTURE)


def test_which_names_are_indices():
    assert is_index("BANKEX")
    assert not is_index("RELIANCE")


@pytest.mark.parametrize(
    ("name", "qty"),
    [
        ("NIFTY", 1800),
        ("BANKNIFTY", 600),
        ("FINNIFTY", 1800),
        ("MIDCPNIFTY", 2800),
        ("NIFTYNXT50", 600),
    ],
)
def test_freeze_quantities_since_august_2026(name, qty):
    assert freeze_qty(name, dt.date(2026, 8, 3)) == qty
    assert freeze_qty(name, dt.date(2026, 12, 31)) == qty


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("NIFTY", dt.date(2026, 8, 2)),
        ("NIFTY", dt.date(2027, 1, 1)),
        ("SENSEX", dt.date(2026, 11, 20)),
    ],
)
def test_a_freeze_quantity_we_do_not_know_is_refused(name, day):
    with pytest.raises(CalendarUnknown):
        freeze_qty(name, day)


def test_wrong_contract_and_freeze_rows_are_refused():
    rule = """
    [[expiry_rules]]
    exchange = "NFO"
    valid_from = 2025-09-01
    weekday = "Tuesday"
    source = "here"
    """
    index = """
    [[indices]]
    name = "NIFTY"
    exchange = "NFO"
    weekly = true
    lots = [{ valid_from = 2025-01-01, lot = 75 }, { valid_from = 2024-01-01, lot = 65 }]
    source = "here"
    """
    with pytest.raises(ConfigError, match=r"contracts\.toml.*lots of NIFTY"):
        check_contracts(parse_rows("contracts.toml", rule + index, ContractRows))
    someday = rule.replace("Tuesday", "Someday") + "\n[[indices]]"
    with pytest.raises(ConfigError, match=r"contracts\.toml.*Someday"):
        parse_rows("contracts.toml", someday, ContractRows)
    freeze = '[[freeze]]\nvalid_from = 2026-08-03\nsource = "here"\nquantities = { NIFTY = 0 }'
    with pytest.raises(ConfigError, match=r"freeze\.toml"):
        check_freeze(parse_rows("freeze.toml", freeze, FreezeRows))


@pytest.mark.parametrize(
    ("exchange", "year", "month", "expected"),
    [
        ("NFO", 2026, 11, dt.date(2026, 11, 23)),  # known: moved before the holiday of the 24th
        ("BFO", 2026, 12, dt.date(2026, 12, 31)),
        ("NFO", 2027, 1, dt.date(2027, 1, 26)),  # listed under the plain weekday until it is known
        ("BFO", 2030, 6, dt.date(2030, 6, 27)),
    ],
)
def test_exchanges_list_far_contracts_under_the_plain_weekday(exchange, year, month, expected):
    assert listed_monthly_expiry(exchange, year, month) == expected


def test_the_next_weekly_expiries_as_listed():
    day = dt.date(2026, 11, 23)
    assert listed_weekly_expiries("NIFTY", day, 3) == (
        dt.date(2026, 11, 23),
        dt.date(2026, 12, 1),
        dt.date(2026, 12, 8),
    )
    assert listed_weekly_expiries("SENSEX", dt.date(2026, 12, 30), 2) == (
        dt.date(2026, 12, 31),
        dt.date(2027, 1, 7),
    )
    assert listed_weekly_expiries("BANKNIFTY", day, 3) == ()
