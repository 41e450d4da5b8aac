"""The day's instruments, as a client downloads them."""

import datetime as dt

from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.instrument_master import instruments_on

FRIDAY = dt.date(2026, 11, 20)


def test_the_dump_has_kites_twelve_columns_and_spellings():
    rows = Listing(FRIDAY, instruments_on(FRIDAY)).csv("NSE").decode().splitlines()
    assert rows[0] == (
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
        "lot_size,instrument_type,segment,exchange"
    )
    assert "256265,1001,NIFTY 50,NIFTY,0,,0,0.05,1,EQ,INDICES,NSE" in rows


def test_a_future_is_found_by_name_and_by_token():
    listing = Listing(FRIDAY, instruments_on(FRIDAY))
    future = listing.find("NFO", "NIFTY26NOVFUT")
    assert future is not None
    assert future.expiry == dt.date(2026, 11, 23)  # Tuesday the 24th is a holiday
    assert listing.by_token[future.token] is future
    assert listing.find("NFO", "NIFTY26OCTFUT") is None
