"""What an order may be on a day and in a phase, as the exchanges and Kite wrote it."""

import datetime as dt

import pytest

from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.orders import OrdType
from kitestring.domain.sessions import PhaseKind
from kitestring.market.order_rule_rows import (
    OrderRuleRows,
    check_order_rules,
    ioc_accepted,
    order_rules,
    order_types_accepted,
    square_off,
)
from kitestring.market.rows import parse_rows, read_rows

EQ, FUT, CALL = InstrumentKind.EQUITY, InstrumentKind.FUTURE, InstrumentKind.CALL


@pytest.mark.parametrize(
    ("day", "needed"), [(dt.date(2026, 3, 31), False), (dt.date(2026, 4, 1), True)]
)
def test_market_orders_need_protection_since_april_2026(day, needed):
    assert order_rules(day).market_protection_required is needed


@pytest.mark.parametrize(
    ("day", "exchange", "kind", "allowed"),
    [
        (dt.date(2021, 9, 26), "NFO", CALL, True),
        (dt.date(2021, 9, 27), "NFO", CALL, False),
        (dt.date(2026, 11, 20), "NFO", CALL, False),
        (dt.date(2026, 11, 20), "NFO", FUT, True),
        (dt.date(2026, 11, 20), "NSE", EQ, True),
        (dt.date(2023, 10, 8), "BSE", EQ, True),
        (dt.date(2023, 10, 9), "BSE", EQ, False),
        (dt.date(2026, 11, 20), "BFO", FUT, False),
    ],
)
def test_where_stop_market_orders_exist(day, exchange, kind, allowed):
    assert order_rules(day).stop_market_allowed(exchange, kind) is allowed


def test_kite_s_counts_today():
    rules = order_rules(dt.date(2026, 11, 20))
    assert rules.orders_per_second_max == 10
    assert rules.orders_per_minute_max == 400
    assert rules.orders_per_day_max == 5000
    assert rules.tag_length_max == 20
    assert rules.slices_max == 10
    assert rules.modifications_per_order_max == 25
    assert rules.ioc_refused_exchanges == {"MCX"}


@pytest.mark.parametrize("day", [dt.date(2019, 12, 31), dt.date(2027, 1, 1)])
def test_rules_beyond_the_rows_are_refused(day):
    with pytest.raises(CalendarUnknown):
        order_rules(day)


@pytest.mark.parametrize(
    ("phase", "accepted"),
    [
        (PhaseKind.CLOSED, set()),
        (PhaseKind.PRE_OPEN, {"MARKET", "LIMIT"}),
        (PhaseKind.PRE_OPEN_LIMIT_ONLY, {"LIMIT"}),
        (PhaseKind.BUFFER, set()),
        (PhaseKind.CONTINUOUS, {"MARKET", "LIMIT", "SL", "SL-M"}),
        (PhaseKind.AUCTION_REFERENCE, set()),
        (PhaseKind.AUCTION, {"MARKET", "LIMIT"}),
        (PhaseKind.AUCTION_LIMIT_ONLY, {"LIMIT"}),
        (PhaseKind.AUCTION_MATCH, set()),
        (PhaseKind.POST_CLOSE, {"MARKET"}),
    ],
)
def test_what_each_phase_accepts(phase, accepted):
    assert order_types_accepted(phase) == {OrdType(word) for word in accepted}
    assert ioc_accepted(phase) is (phase is PhaseKind.CONTINUOUS)


def test_a_phase_without_a_rule_is_a_wrong_row():
    rows = read_rows("order_rules.toml", OrderRuleRows)
    with pytest.raises(ConfigError, match=r"order_rules\.toml.*phases"):
        check_order_rules(OrderRuleRows(rows.rules, rows.phases[1:], rows.broker_square_offs))


def test_square_offs_need_a_row_for_the_segments_nobody_names():
    rows = read_rows("order_rules.toml", OrderRuleRows)
    with pytest.raises(ConfigError, match=r"order_rules\.toml.*broker_square_offs"):
        check_order_rules(OrderRuleRows(rows.rules, rows.phases, rows.broker_square_offs[:-1]))


@pytest.mark.parametrize(
    ("segment", "day", "minutes"),
    [
        ("EQUITY", dt.date(2026, 11, 20), 10),
        ("EQUITY_FNO", dt.date(2026, 8, 2), 10),
        ("EQUITY_FNO", dt.date(2026, 8, 3), 3),
        ("EQUITY_FNO", dt.date(2026, 12, 6), 3),
        ("EQUITY_FNO", dt.date(2026, 12, 7), 10),
        ("FUTURES", dt.date(2026, 8, 2), 5),
        ("FUTURES", dt.date(2026, 8, 3), 15),
        ("OPTIONS", dt.date(2026, 12, 7), 20),
        ("CURRENCY", dt.date(2026, 12, 7), 15),
        ("COMMODITY", dt.date(2026, 12, 7), 25),
    ],
)
def test_when_the_broker_squares_off(segment, day, minutes):
    found = square_off(day, segment)
    assert (found.before_close_minutes, found.charge) == (minutes, 50)


def test_a_file_that_is_no_toml_is_named():
    with pytest.raises(ConfigError, match=r"order_rules\.toml"):
        parse_rows("order_rules.toml", "rules = [", OrderRuleRows)
