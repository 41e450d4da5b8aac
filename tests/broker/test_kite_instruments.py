"""Finding what can be traded today: by name, by token, by what a contract means."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.instruments import made_up
from kitestring.broker.kite_instruments import instruments_from
from kitestring.domain.errors import InstrumentsRefused
from kitestring.domain.instruments import InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.listed_universe import universe

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
DAY = dt.date(2026, 11, 23)
NOV, DEC = dt.date(2026, 11, 24), dt.date(2026, 12, 29)
ROWS = """\
256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE
408065,1594,INFY,INFOSYS,0,,0,0.1,1,EQ,NSE,NSE
884737,3456,TMPV,TATA MOTORS PASS VEH,0,,0,0.05,1,EQ,NSE,NSE
5633,22,ACC,ACC,0,,0,0.5,1,EQ,NSE,NSE
128053508,500209,INFY,INFOSYS,0,,0,0.05,1,EQ,BSE,BSE
10240002,40000,NIFTY26NOVFUT,NIFTY,0,2026-11-24,0,0.1,65,FUT,NFO-FUT,NFO
10240258,40001,NIFTY26DECFUT,NIFTY,0,2026-12-29,0,0.1,65,FUT,NFO-FUT,NFO
10240514,40002,NIFTY26NOV24000CE,NIFTY,0,2026-11-24,24000,0.05,65,CE,NFO-OPT,NFO
10240770,40003,NIFTY26NOV24000PE,NIFTY,0,2026-11-24,24000,0.05,65,PE,NFO-OPT,NFO
10241026,40004,NIFTY26NOV23950CE,NIFTY,0,2026-11-24,23950,0.05,65,CE,NFO-OPT,NFO
10241282,40005,NIFTY26D0124000CE,NIFTY,0,2026-12-01,24000,0.05,65,CE,NFO-OPT,NFO
10241538,40006,INFY26NOVFUT,INFY,0,2026-11-24,0,0.1,400,FUT,NFO-FUT,NFO
10241794,40007,TMPV26NOVFUT,TATAMOTORS,0,2026-11-24,0,0.05,800,FUT,NFO-FUT,NFO
11520005,45000,SENSEX26NOVFUT,SENSEX,0,2026-11-26,0,0.05,20,FUT,BFO-FUT,BFO
11776003,46000,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1,FUT,CDS-FUT,CDS
11776006,46000,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1,FUT,BCD-FUT,BCD
12032007,47000,CRUDEOIL26DECFUT,CRUDEOIL,0,2026-12-18,0,1,1,FUT,MCX-FUT,MCX
"""


def listed(rows=ROWS, day=DAY, **settings):
    return instruments_from(f"{HEADER}\n{rows}".encode(), day, **settings)


def test_an_option_with_everything_that_is_known_of_it():
    option = listed().find("NFO:NIFTY26NOV24000CE")
    assert (option.exchange, option.symbol, option.name) == ("NFO", "NIFTY26NOV24000CE", "NIFTY")
    assert (option.kind, option.segment) == (InstrumentKind.CALL, Segment.OPTIONS)
    assert (option.expiry, option.strike) == (NOV, price("24000"))
    assert (option.lot_size, option.tick_size) == (65, price("0.05"))
    assert option.freeze_qty == 1800  # NSE/FAOP/75521, from 3 Aug 2026
    assert option.token == 10240514


def test_an_index_is_not_tradable_and_has_neither_volume_nor_depth():
    index = listed().of_token(256265)
    assert (index.id, index.kind, index.segment) == (
        "NSE:NIFTY 50",
        InstrumentKind.INDEX,
        Segment.INDEX,
    )
    assert not index.tradable
    assert not index.has_volume
    assert not index.has_depth


def test_which_shares_underlie_derivatives_is_read_from_the_list_itself():
    found = listed()
    segments = {name: found.find(name).segment for name in ("NSE:INFY", "NSE:TMPV", "NSE:ACC")}
    assert segments == {
        "NSE:INFY": Segment.EQUITY_WITH_DERIVATIVES,
        "NSE:TMPV": Segment.EQUITY_WITH_DERIVATIVES,  # its contracts still stand under TATAMOTORS
        "NSE:ACC": Segment.EQUITY,
    }
    assert found.find("BSE:INFY").segment is Segment.EQUITY  # nothing of it on BFO here


def test_what_is_not_listed_is_none():
    found = listed()
    assert found.find("NSE:NOSUCH") is None
    assert found.of_token(1) is None
    assert found.token_of("NSE:NOSUCH") is None
    assert found.chain("INFOSYS") is None
    assert found.contract("NIFTY", DEC, price("24000"), InstrumentKind.CALL) is None
    assert "NSE:NOSUCH" not in found


def test_a_contract_is_found_by_what_it_means():
    found = listed()
    assert found.contract("NIFTY", NOV).id == "NFO:NIFTY26NOVFUT"
    week = dt.date(2026, 12, 1)
    call = found.contract("NIFTY", week, price("24000"), InstrumentKind.CALL)
    assert call.id == "NFO:NIFTY26D0124000CE"  # a weekly name, which nobody had to build


def test_expiries_strikes_and_lots_of_a_name():
    chain = listed().chain("NIFTY")
    assert chain.expiries == (NOV, dt.date(2026, 12, 1), DEC)
    assert chain.expiries_of(InstrumentKind.FUTURE) == (NOV, DEC)
    assert chain.strikes(NOV) == [price("23950"), price("24000")]
    assert chain.strikes(NOV, InstrumentKind.PUT) == [price("24000")]
    assert listed().lot_size("NFO:INFY26NOVFUT") == 400
    assert listed().names("NFO") == ("INFY", "NIFTY", "TATAMOTORS")


def test_a_name_on_two_exchanges_must_say_which():
    found = listed(contract_sizes={("CDS", "USDINR"): 1000, ("BCD", "USDINR"): 1000})
    with pytest.raises(InstrumentsRefused, match="USDINR has contracts on BCD and CDS"):
        found.chain("USDINR")
    future = found.contract("USDINR", dt.date(2026, 11, 26), exchange="CDS")
    assert (future.id, future.multiplier, future.segment) == (
        "CDS:USDINR26NOVFUT",
        1000,
        Segment.CURRENCY,
    )


def test_a_contract_of_unknown_size_is_not_guessed():
    with pytest.raises(InstrumentsRefused, match="give the contract size of MCX CRUDEOIL"):
        listed().find("MCX:CRUDEOIL26DECFUT")
    known = listed(contract_sizes={("MCX", "CRUDEOIL"): 100})
    assert known.find("MCX:CRUDEOIL26DECFUT").multiplier == 100


def test_blank_names_are_read_from_the_symbols():
    """As in the documentation's own sample, in which derivatives carry no name."""
    rows = ROWS.replace(",NIFTY,0,2026", ",,0,2026").replace(",TATAMOTORS,", ",,")
    found = listed(rows)
    assert found.chain("NIFTY").expiries == (NOV, dt.date(2026, 12, 1), DEC)
    assert found.find("NFO:NIFTY26D0124000CE").name == "NIFTY"
    assert found.find("NSE:TMPV").segment is Segment.EQUITY_WITH_DERIVATIVES


def test_yesterdays_list_gives_itself_away():
    with pytest.raises(InstrumentsRefused, match=r"not of 2026-11-25: 6 of its 12 contracts"):
        listed(day=dt.date(2026, 11, 25))
    assert len(listed(day=NOV)) == 17  # they trade until their last day is over


def test_the_exchanges_own_list_reads_back_as_it_was():
    """Every instrument of the local exchange's day, from its dump: equal to the last field."""
    instruments = universe(DAY)
    sizes = {
        (one.exchange, one.name): one.multiplier
        for one in instruments
        if one.exchange in ("CDS", "BCD", "MCX")
    }
    found = instruments_from(Listing(DAY, instruments).csv(), DAY, contract_sizes=sizes)
    assert found.notes == ()
    assert len(found) == len(instruments) > 100_000
    assert [one.id for one in instruments if found.find(one.id) != one] == []
    assert [one.id for one in instruments if found.id_of_token(one.token) != one.id] == []


def test_a_hundred_thousand_rows_are_read_whole():
    found = instruments_from(made_up(120_000), DAY)
    assert len(found) == 120_000
    assert found.counts() == {"NFO": 117_499, "NSE": 2_501}
    assert found.notes == ()


def test_the_benchmark_prints_its_line():
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.instruments", "--rows", "20000"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    line = json.loads(ran.stdout)
    assert line["rows"] == 20_000
    assert line["read_ms_best"] > 0
