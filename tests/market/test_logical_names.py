"""Which contract a name means on a day, and when it rolls."""

import datetime as dt

import pytest

from kitestring.domain.errors import ConfigError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.market.logical_names import current_future, resolve


def listed(exchange, symbol, kind, name, expiry=None, *, stand_in=None):
    return Instrument(
        id=InstrumentId(f"{exchange}:{symbol}"),
        exchange=exchange,
        symbol=symbol,
        token=1,
        kind=kind,
        segment=Segment.FUTURES,
        name=name,
        lot_size=1,
        tick_size=price("0.05"),
        expiry=expiry,
        stand_in=stand_in,
    )


SPOT = listed("NSE", "NIFTY 50", InstrumentKind.INDEX, "NIFTY")
NOV = listed("NFO", "NIFTY26NOVFUT", InstrumentKind.FUTURE, "NIFTY", dt.date(2026, 11, 23))
DEC = listed("NFO", "NIFTY26DECFUT", InstrumentKind.FUTURE, "NIFTY", dt.date(2026, 12, 29))
TATA = listed("NSE", "TMPV", InstrumentKind.EQUITY, "TATAMOTORS")
INFY = listed("NSE", "INFY", InstrumentKind.EQUITY, "INFY")
INFY_FUT = listed("NFO", "INFY26DECFUT", InstrumentKind.FUTURE, "INFY", dt.date(2026, 12, 29))
ALL = (SPOT, DEC, NOV, TATA, INFY, INFY_FUT)

FRIDAY = dt.date(2026, 11, 20)
EXPIRY_DAY = dt.date(2026, 11, 23)


def test_before_expiry_day_the_nearest_contract_is_current():
    assert resolve("NIFTY", ALL, FRIDAY, engines="fno") is NOV


def test_on_expiry_day_the_next_month_is_current():
    assert resolve("NIFTY", ALL, EXPIRY_DAY, engines="fno") is DEC


def test_the_expiring_contract_stands_in_where_no_later_one_is_listed():
    assert resolve("NIFTY", (SPOT, NOV), EXPIRY_DAY, engines="fno") is NOV


def test_an_expired_contract_is_never_current():
    assert current_future("NIFTY", (SPOT, NOV), dt.date(2026, 11, 25)) is None


def test_a_stand_in_is_taken_only_without_a_real_contract():
    recorded = listed(
        "NSE", "NIFTY 50", InstrumentKind.FUTURE, "NIFTY", stand_in="index ticks for the future"
    )
    assert resolve("NIFTY", (recorded,), FRIDAY, engines="fno") is recorded
    assert resolve("NIFTY", (recorded, NOV), FRIDAY, engines="fno") is NOV


def test_a_share_answers_to_its_logical_name_and_to_its_symbol():
    assert resolve("TATAMOTORS", ALL, FRIDAY, engines="equity") is TATA
    assert resolve("TMPV", ALL, FRIDAY, engines="equity") is TATA


def test_engines_decide_between_a_share_and_its_future():
    assert resolve("INFY", ALL, FRIDAY, engines="equity") is INFY
    assert resolve("INFY", ALL, FRIDAY, engines="fno") is INFY_FUT
    assert resolve("INFY", ALL, FRIDAY, engines="all") is INFY_FUT
    assert resolve("TATAMOTORS", ALL, FRIDAY, engines="all") is TATA


def test_a_whole_id_is_taken_as_it_stands():
    assert resolve("NFO:NIFTY26NOVFUT", ALL, EXPIRY_DAY, engines="fno") is NOV


def test_an_index_cannot_be_bought():
    with pytest.raises(ConfigError, match="it cannot be bought"):
        resolve("NSE:NIFTY 50", ALL, FRIDAY, engines="all")


@pytest.mark.parametrize(
    ("name", "engines"), [("NIFTY", "equity"), ("TATAMOTORS", "fno"), ("ITC", "all")]
)
def test_a_name_nobody_answers_to_is_refused_with_the_names_there_are(name, engines):
    with pytest.raises(
        ConfigError, match=f"{name} is nothing that --engines {engines} can trade"
    ) as no:
        resolve(name, ALL, FRIDAY, engines=engines)
    assert "INFY, NIFTY, TATAMOTORS" in no.value.do
