"""The instrument list of the local exchange: its size, its names and the numbers it carries."""

import csv
import datetime as dt
import io
from collections import Counter
from functools import cache

import pytest

from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.instruments import InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.listed_universe import universe

FRIDAY = dt.date(2026, 11, 20)


@cache
def by_id(day=FRIDAY):
    return {one.id: one for one in universe(day)}


def test_the_list_has_a_real_days_size():
    listed = universe(FRIDAY)
    assert len(listed) > 100_000
    rows = Counter(one.exchange for one in listed)
    assert (
        min(rows[exchange] for exchange in ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX"))
        > 2_000
    )


def test_tokens_tell_instruments_apart_and_fit_a_signed_32_bit_number():
    listed = universe(FRIDAY)
    assert len({one.token for one in listed}) == len(listed) == len({one.id for one in listed})
    assert 0 < min(one.token for one in listed) < max(one.token for one in listed) < 2**31
    segments = {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "BFO": 5, "BCD": 6, "MCX": 7}
    for one in listed:
        expected = 9 if one.kind is InstrumentKind.INDEX else segments[one.exchange]
        assert one.token & 0xFF == expected, one


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("NSE:NIFTY 50", 256265),
        ("NSE:NIFTY BANK", 260105),
        ("NSE:INDIA VIX", 264969),
        ("NSE:NIFTY FIN SERVICE", 257801),
        ("BSE:SENSEX", 265),
        ("NSE:INFY", 408065),
        ("NSE:RELIANCE", 738561),
        ("NSE:ADANIPORTS", 3861249),
        ("NSE:M&M", 519937),
        ("NSE:BAJAJ-AUTO", 4267265),
        ("BSE:RELIANCE", 128083204),
    ],
)
def test_well_known_tokens_are_kites(name, token):
    assert by_id()[name].token == token


def test_the_paper_days_instruments_are_listed_unchanged():
    for one in instruments_on(FRIDAY):
        assert by_id()[one.id] == one


@pytest.mark.parametrize(
    ("name", "expiry"),
    [
        ("NFO:NIFTY26NOVFUT", dt.date(2026, 11, 23)),  # Tuesday the 24th is a holiday
        ("NFO:NIFTY26NOV24000CE", dt.date(2026, 11, 23)),
        ("NFO:NIFTY26D0124000PE", dt.date(2026, 12, 1)),
        ("NFO:NIFTY26DEC24000CE", dt.date(2026, 12, 29)),
        ("NFO:NIFTY27JANFUT", dt.date(2027, 1, 26)),  # beyond the calendar: the plain Tuesday
        ("NFO:NIFTY28DEC24000CE", dt.date(2028, 12, 26)),
        ("NFO:BANKNIFTY26NOV58000CE", dt.date(2026, 11, 23)),
        ("NFO:RELIANCE26NOV1420CE", dt.date(2026, 11, 23)),
        ("NFO:WIPRO26NOV242.5CE", dt.date(2026, 11, 23)),
        ("BFO:SENSEX26NOV80800CE", dt.date(2026, 11, 26)),
        ("BFO:SENSEX26D0380800PE", dt.date(2026, 12, 3)),
        ("BFO:BANKEX26DECFUT", dt.date(2026, 12, 31)),
        ("CDS:USDINR26NOVFUT", dt.date(2026, 11, 26)),  # two working days before Monday the 30th
        ("MCX:CRUDEOIL26DECFUT", dt.date(2026, 12, 18)),  # the 19th is a Saturday
    ],
)
def test_names_and_expiries(name, expiry):
    assert by_id()[name].expiry == expiry


def test_no_weekly_chain_but_those_of_nifty_and_sensex():
    weekly = {
        one.name
        for one in universe(FRIDAY)
        if one.exchange in ("NFO", "BFO")
        and one.strike is not None
        and one.expiry == {"NFO": dt.date(2026, 12, 1), "BFO": dt.date(2026, 12, 3)}[one.exchange]
    }
    assert weekly == {"NIFTY", "SENSEX"}


def test_lots_ticks_freeze_and_multipliers():
    listed = by_id()
    nifty = listed["NFO:NIFTY26D0124000CE"]
    assert (nifty.lot_size, nifty.freeze_qty, nifty.tick_size) == (65, 1800, price("0.05"))
    assert listed["NFO:MIDCPNIFTY26NOV13400CE"].lot_size == 120
    sensex = listed["BFO:SENSEX26NOVFUT"]
    assert (sensex.lot_size, sensex.freeze_qty) == (20, 0)  # nobody has confirmed its freeze
    dollar = listed["CDS:USDINR26NOVFUT"]
    assert (dollar.tick_size, dollar.multiplier) == (price("0.0025"), 1000)
    crude = listed["MCX:CRUDEOIL26DECFUT"]
    assert (crude.lot_size, crude.multiplier, crude.segment) == (1, 100, Segment.COMMODITY)
    assert listed["NFO:WIPRO26NOV245CE"].tick_size == price("0.01")  # its share costs below 250


def test_breadth_is_filled_with_shares_that_say_they_are_invented():
    shares = [one for one in universe(FRIDAY) if one.kind is InstrumentKind.EQUITY]
    invented = [one for one in shares if one.name.endswith("(INVENTED)")]
    assert len(invented) > 5_000
    assert {one.segment for one in invented} == {Segment.EQUITY}
    suffixes = Counter(one.symbol.partition("-")[2] for one in invented if one.exchange == "NSE")
    assert set(suffixes) == {"", "BE", "BZ", "SM", "ST"}
    assert all(one.token >> 8 >= 900_000 for one in invented)


def test_a_contract_keeps_its_token_for_all_its_life():
    earlier = by_id(dt.date(2026, 11, 16))
    same = set(earlier) & set(by_id())
    assert len(same) > 100_000
    assert all(earlier[name].token == by_id()[name].token for name in same)


@pytest.mark.parametrize(
    "day",
    [
        dt.date(2020, 1, 1),
        dt.date(2024, 3, 4),
        dt.date(2025, 9, 1),
        dt.date(2025, 12, 31),
        dt.date(2026, 1, 1),
        dt.date(2026, 8, 3),
        dt.date(2026, 12, 31),
    ],
)
def test_what_has_expired_is_not_listed_and_nothing_is_listed_twice(day):
    listed = universe(day)
    assert all(one.expiry is None or one.expiry >= day for one in listed)
    assert len({one.token for one in listed}) == len(listed) == len({one.id for one in listed})


def test_contracts_without_rows_are_not_listed():
    exchanges = {one.exchange for one in universe(dt.date(2024, 3, 4))}
    assert exchanges == {"NSE", "BSE"}
    with pytest.raises(CalendarUnknown):
        universe(dt.date(2027, 1, 4))


def test_the_dump_reads_back():
    listing = Listing(FRIDAY, universe(FRIDAY))
    rows = list(csv.DictReader(io.StringIO(listing.csv("MCX").decode())))
    assert {row["exchange"] for row in rows} == {"MCX"}
    (crude,) = [row for row in rows if row["tradingsymbol"] == "CRUDEOIL26DEC5600PE"]
    assert (crude["segment"], crude["strike"], crude["lot_size"]) == ("MCX-OPT", "5600", "1")
    assert len(listing.csv().splitlines()) == len(listing) + 1
