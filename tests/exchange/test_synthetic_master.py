"""What is listed on the synthetic exchange, day by day."""

import datetime as dt

import pytest

from kitestring.domain.instruments import InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.exchange.instrument_master import gaps_on, instruments_on


def test_the_list_of_a_friday_before_expiry():
    assert [i.id for i in instruments_on(dt.date(2026, 11, 20))] == [
        "NSE:NIFTY 50",
        "NSE:NIFTY BANK",
        "NFO:NIFTY26NOVFUT",
        "NFO:NIFTY26DECFUT",
        "NFO:BANKNIFTY26NOVFUT",
        "NFO:BANKNIFTY26DECFUT",
        "NSE:RELIANCE",
        "NSE:HDFCBANK",
        "NSE:ICICIBANK",
        "NSE:INFY",
        "NSE:TCS",
        "NSE:SBIN",
        "NSE:TMPV",
    ]


def test_contracts_carry_the_exchanges_numbers():
    listed = {i.symbol: i for i in instruments_on(dt.date(2026, 11, 20))}
    nifty, bank = listed["NIFTY26NOVFUT"], listed["BANKNIFTY26DECFUT"]
    assert (nifty.lot_size, nifty.tick_size, nifty.freeze_qty) == (65, price("0.10"), 1800)
    assert (bank.lot_size, bank.tick_size, bank.freeze_qty) == (30, price("0.20"), 600)
    # The Tuesday is a holiday, so November expires on the Monday.
    assert nifty.expiry == dt.date(2026, 11, 23)
    assert bank.expiry == dt.date(2026, 12, 29)


def test_shares_are_fno_underlyings_with_ticks_by_price():
    shares = {
        i.symbol: i.tick_size
        for i in instruments_on(dt.date(2026, 11, 20))
        if i.segment is Segment.EQUITY_WITH_DERIVATIVES
    }
    assert shares == {
        "RELIANCE": price("0.10"),
        "HDFCBANK": price("0.05"),
        "ICICIBANK": price("0.10"),
        "INFY": price("0.10"),
        "TCS": price("0.10"),
        "SBIN": price("0.05"),
        "TMPV": price("0.05"),
    }


def test_tokens_are_kites_and_tell_instruments_apart():
    listed = instruments_on(dt.date(2026, 11, 20))
    tokens = {i.symbol: i.token for i in listed}
    assert (tokens["NIFTY 50"], tokens["NIFTY BANK"]) == (256265, 260105)
    assert (tokens["INFY"], tokens["RELIANCE"]) == (408065, 738561)
    assert len(set(tokens.values())) == len(listed)
    assert {i.token & 0xFF for i in listed if i.kind is InstrumentKind.FUTURE} == {2}


def test_on_expiry_day_the_expiring_contract_is_still_listed():
    symbols = [
        i.symbol
        for i in instruments_on(dt.date(2026, 11, 23))
        if i.kind is InstrumentKind.FUTURE and i.name == "NIFTY"
    ]
    assert symbols == ["NIFTY26NOVFUT", "NIFTY26DECFUT"]


def test_the_day_after_expiry_it_is_gone():
    symbols = [
        i.symbol
        for i in instruments_on(dt.date(2026, 11, 25))
        if i.kind is InstrumentKind.FUTURE and i.name == "NIFTY"
    ]
    # January 2027 is beyond the calendar, so its expiry is not guessed.
    assert symbols == ["NIFTY26DECFUT"]


@pytest.mark.parametrize(
    ("day", "symbol"),
    [(dt.date(2025, 10, 23), "TATAMOTORS"), (dt.date(2025, 10, 24), "TMPV")],
)
def test_tata_motors_is_renamed_on_its_day(day, symbol):
    (share,) = [i for i in instruments_on(day) if i.name == "TATAMOTORS"]
    assert share.symbol == symbol
    assert share.token == 884737


def test_what_the_rows_do_not_know_is_left_out_and_said():
    assert gaps_on(dt.date(2026, 11, 20)) == ()
    before_freeze_rows = dt.date(2026, 5, 5)
    assert {i.freeze_qty for i in instruments_on(before_freeze_rows)} == {0}
    assert gaps_on(before_freeze_rows) == (
        "Freeze quantities are not known for 2026-05-05: no order is too large.",
    )
    before_lot_rows = dt.date(2024, 3, 4)
    assert all(i.kind is not InstrumentKind.FUTURE for i in instruments_on(before_lot_rows))
    assert gaps_on(before_lot_rows) == (
        "Some futures are missing: their lots or expiries are not known for 2024-03-04.",
    )
