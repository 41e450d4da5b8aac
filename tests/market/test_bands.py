"""Ticks by price and date, the exchange's limit-price ranges, and Zerodha's market protection."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import Price, price
from kitestring.market.bands import (
    BandRows,
    check_bands,
    limit_price_range,
    market_protection_bp,
    stop_limit_gap_max,
    tick_size_for,
)
from kitestring.market.rows import parse_rows

TODAY = dt.date(2026, 11, 20)
EQ, FUT, CALL, PUT = (
    InstrumentKind.EQUITY,
    InstrumentKind.FUTURE,
    InstrumentKind.CALL,
    InstrumentKind.PUT,
)


@pytest.mark.parametrize(
    ("px", "tick"),
    [
        ("249.99", "0.01"),
        ("250", "0.05"),
        ("1000", "0.05"),
        ("1000.05", "0.10"),
        ("5000", "0.10"),
        ("9999", "0.50"),
        ("10001", "1"),
        ("20000", "1"),
        ("20001", "5"),
    ],
)
def test_ticks_of_shares_and_stock_futures_today(px, tick):
    assert tick_size_for(EQ, price(px), TODAY) == price(tick)
    assert tick_size_for(FUT, price(px), TODAY) == price(tick)


@pytest.mark.parametrize(
    ("level", "tick"),
    [("15000", "0.05"), ("15000.05", "0.10"), ("30000", "0.10"), ("58030", "0.20")],
)
def test_ticks_of_index_futures_follow_the_index(level, tick):
    assert tick_size_for(FUT, price(level), TODAY, on_index=True) == price(tick)


@pytest.mark.parametrize(
    ("kind", "px", "day", "tick"),
    [
        (EQ, "100", dt.date(2021, 4, 13), "0.05"),
        (EQ, "100", dt.date(2024, 6, 9), "0.05"),
        (EQ, "100", dt.date(2024, 6, 10), "0.01"),
        (EQ, "3000", dt.date(2025, 4, 14), "0.05"),
        (EQ, "3000", dt.date(2025, 4, 15), "0.10"),
        (FUT, "100", dt.date(2024, 7, 7), "0.05"),
        (FUT, "100", dt.date(2024, 7, 8), "0.01"),
        (CALL, "100", dt.date(2025, 11, 2), "0.05"),
        (CALL, "100", dt.date(2025, 11, 3), "0.01"),
        (PUT, "250", dt.date(2025, 11, 3), "0.05"),
    ],
)
def test_ticks_change_with_their_circulars(kind, px, day, tick):
    assert tick_size_for(kind, price(px), day) == price(tick)


def test_index_options_tick_at_five_paise_whatever_the_index():
    assert tick_size_for(CALL, price(58000), TODAY, on_index=True) == price("0.05")


@pytest.mark.parametrize("day", [dt.date(2019, 12, 31), dt.date(2027, 1, 1)])
def test_bands_beyond_the_calendar_are_refused(day):
    with pytest.raises(CalendarUnknown):
        tick_size_for(EQ, price(100), day)
    with pytest.raises(CalendarUnknown):
        market_protection_bp(EQ, price(100), day)
    with pytest.raises(CalendarUnknown):
        limit_price_range("NFO", FUT, price(100), day)


@pytest.mark.parametrize(
    ("contract", "reference", "expected"),
    [
        (("NFO", CALL, True), "50", ("30", "70")),
        (("NFO", CALL, True), "12", ("0", "32")),
        (("NFO", PUT, True), "100", ("60", "140")),
        (("NFO", FUT, True), "24000", ("23520", "24480")),
        (("NFO", FUT, True), "9000", ("8800", "9200")),
        (("NFO", FUT, False), "1000", ("970", "1030")),
        (("NFO", FUT, False), "40", ("38.50", "41.50")),
        (("BFO", CALL, True), "200", ("120", "280")),
        (("BFO", FUT, True), "80000", ("78400", "81600")),
        (("BFO", FUT, False), "1000", ("970", "1030")),
    ],
)
def test_limit_price_ranges(contract, reference, expected):
    exchange, kind, on_index = contract
    found = limit_price_range(exchange, kind, price(reference), TODAY, on_index=on_index)
    assert found == tuple(price(bound) for bound in expected)


def test_where_no_range_is_known_none_is_enforced():
    assert limit_price_range("NSE", EQ, price(1000), TODAY) is None
    before = dt.date(2025, 11, 30)
    assert limit_price_range("BFO", CALL, price(200), before, on_index=True) is None
    assert limit_price_range("BFO", CALL, price(200), dt.date(2026, 7, 5)) is None


def test_bse_limits_the_gap_between_trigger_and_limit():
    day = dt.date(2026, 2, 9)
    assert stop_limit_gap_max("BFO", FUT, price(80000), day, on_index=True) == price(1600)
    assert stop_limit_gap_max("BFO", CALL, price(40), day, on_index=True) == price(10)
    assert stop_limit_gap_max("BFO", CALL, price(100), day, on_index=True) == price(20)
    assert stop_limit_gap_max("BFO", CALL, price(100), dt.date(2026, 2, 8), on_index=True) is None
    assert stop_limit_gap_max("NFO", CALL, price(100), day, on_index=True) is None


@pytest.mark.parametrize(
    ("kind", "px", "bp"),
    [
        (EQ, "99.99", 200),
        (EQ, "100", 100),
        (EQ, "500", 100),
        (EQ, "500.05", 50),
        (FUT, "24668", 50),
        (CALL, "9.95", 500),
        (CALL, "10", 300),
        (PUT, "99.95", 300),
        (PUT, "100", 200),
        (CALL, "500", 200),
        (CALL, "500.05", 100),
    ],
)
def test_automatic_market_protection(kind, px, bp):
    assert market_protection_bp(kind, price(px), TODAY) == bp
    if kind is not EQ:
        assert market_protection_bp(kind, price(px), TODAY, on_index=True) == bp


def test_an_index_has_no_market_protection():
    with pytest.raises(ConfigError, match="cannot be traded"):
        market_protection_bp(InstrumentKind.INDEX, price(24000), TODAY)


@given(
    st.sampled_from([EQ, FUT, CALL]),
    st.booleans(),
    st.integers(100, 10**9),
    st.dates(dt.date(2020, 1, 1), dt.date(2026, 12, 31)),
)
def test_every_price_of_every_day_has_a_tick(kind, on_index, px, day):
    tick = tick_size_for(kind, Price(px), day, on_index=on_index)
    assert tick in {price(t) for t in ("0.01", "0.05", "0.10", "0.20", "0.50", "1", "5")}


@pytest.mark.parametrize(
    "steps",
    [
        '[{ below = "250", tick = "0.01" }]',
        '[{ tick = "0.01" }, { tick = "0.05" }]',
        '[{ up_to = "500", tick = "0.01" }, { up_to = "250", tick = "0.02" }, { tick = "1" }]',
        '[{ tick = "0" }]',
        "[]",
        '[{ tick = "five" }]',
    ],
)
def test_wrong_steps_name_the_file_and_the_table(steps):
    text = f"""
    limit_price_protection = []
    stop_limit_gap = []
    market_protection = []
    [[ticks]]
    of = "EQUITY"
    valid_from = 2020-01-01
    source = "here"
    steps = {steps}
    """
    with pytest.raises(ConfigError, match=r"bands\.toml"):
        check_bands(parse_rows("bands.toml", text, BandRows))
