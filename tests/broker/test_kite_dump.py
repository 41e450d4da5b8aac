"""Kite's list of instruments as it comes: any order of columns, damaged rows, anything at all."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.broker.kite_dump import COLUMNS, read_dump
from kitestring.domain.errors import HouseError, InstrumentsRefused

HEADER = ",".join(COLUMNS)
INFY = "408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE"
NIFTY = "256265,1001,NIFTY 50,NIFTY 50,0.0,,0.0,0.0,0,EQ,INDICES,NSE"
PUT = "13693186,53489,ADANIPORTS17DEC492.5PE,,80.65,2017-12-28,492.5,0.05,2500,PE,NFO-OPT,NFO"
USDINR = "275459,1076,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1,FUT,CDS-FUT,CDS"


def dump(*rows, header=HEADER):
    return "\n".join((header, *rows, "")).encode()


def plenty(count):
    return [f"{n * 256 + 1},{n},S{n},SHARE {n},0,,0,0.05,1,EQ,NSE,NSE" for n in range(1, count + 1)]


def test_prices_are_exact_whole_units():
    read = read_dump(dump(INFY, NIFTY, PUT, USDINR))
    assert read.ids == [
        "NSE:INFY",
        "NSE:NIFTY 50",
        "NFO:ADANIPORTS17DEC492.5PE",
        "CDS:USDINR26NOVFUT",
    ]
    assert read.token.tolist() == [408065, 256265, 13693186, 275459]
    assert read.strike.tolist() == [0, 0, 4_925_000, 0]
    assert read.tick_size.tolist() == [500, 0, 500, 25]
    assert read.lot_size.tolist() == [1, 0, 2500, 1]
    assert read.kind.tolist() == [1, 0, 4, 2]
    assert read.notes == ()


def test_the_order_of_columns_is_the_headers_and_unknown_ones_are_noted():
    fields = dict(zip(COLUMNS, INFY.split(","), strict=True)) | {"isin": "INE009A01021"}
    names = sorted(fields)
    read = read_dump(
        dump(",".join(fields[name] for name in names), header=",".join(names)),
    )
    assert (read.ids, read.tick_size.tolist()) == (["NSE:INFY"], [500])
    assert read.notes == ("columns not known here, ignored: isin",)


@pytest.mark.parametrize("wrap", [gzip.compress, lambda b: b"\xef\xbb\xbf" + b])
def test_gzip_and_a_byte_order_mark_are_understood(wrap):
    assert read_dump(wrap(dump(INFY))).ids == ["NSE:INFY"]


def test_names_with_commas_and_quotes_are_text():
    row = '408065,1594,M&M,"MAHINDRA, ""M&M""",0,,0,0.05,1,EQ,NSE,NSE'
    assert read_dump(dump(row)).names.words == ('MAHINDRA, "M&M"',)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE", "11 fields instead of 12"),
        (INFY.replace("408065", "4o8065"), "instrument_token: '4o8065' is not a whole number"),
        (INFY.replace("408065", "9" * 30), "is too large"),
        (INFY.replace("0.05", "0.00001"), "finer than 1/10 000 rupee"),
        (INFY.replace("0.05", "nan"), "tick_size: 'nan' is not a price"),
        (INFY.replace("0.05", "-0.05"), "is no price of an instrument"),
        (INFY.replace(",0.05,", ",0,"), "no tick_size"),
        (INFY.replace(",1,EQ", ",0,EQ"), "no lot_size"),
        (INFY.replace("1594", "1595"), "instrument_token is not exchange_token × 256"),
        (INFY.replace("408065", "408066"), "instrument_token is not exchange_token × 256"),
        (PUT.replace("2017-12-28", "28-12-2017"), "expiry"),
        (PUT.replace("2017-12-28", ""), "a contract without expiry"),
        (PUT.replace(",492.5,", ",0.0,"), "an option without strike"),
        (INFY.replace(",INFY,", ",,"), "no tradingsymbol"),
        ("257,1,OTHER,X,0,,0,0.05,1,EQ,NSE,NSE", "token repeated"),
        ("408065,1594,S1,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE", "tradingsymbol repeated"),
    ],
)
def test_a_wrong_row_is_left_out_and_named_with_its_line(row, why):
    rows = plenty(6)
    read = read_dump(dump(*rows[:3], row, *rows[3:]))
    assert len(read) == 6
    assert len(read.notes) == 1
    assert read.notes[0].startswith("line 5 left out: ")
    assert why in read.notes[0]


def test_a_file_with_many_wrong_rows_is_refused_as_damaged():
    rows = plenty(1000)
    for place in range(0, 60, 10):
        rows[place] = rows[place].replace("EQ,NSE,NSE", "EQ,NSE")
    with pytest.raises(InstrumentsRefused, match=r"damaged: 6 of 1000 rows") as caught:
        read_dump(dump(*rows))
    assert "line 2 left out: 11 fields instead of 12" in str(caught.value)
    assert "line 52 left out" in str(caught.value)


def test_markets_not_known_here_are_left_out_and_noted_not_counted_as_damage():
    rows = [*plenty(3), *[f"{n},{n},G{n},X,0,,0,0.01,1,EQ,GLOBAL,GLOBAL" for n in range(1, 50)]]
    read = read_dump(dump(*rows))
    assert len(read) == 3
    assert read.notes == (
        "rows of markets or kinds not known here, left out: 49 × EQ GLOBAL GLOBAL",
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"<html>502 Bad Gateway</html>", "does not begin with its columns"),
        (dump(), "holds no instrument"),
        (dump(INFY, header=HEADER.replace("strike", "isin")), "strike should stand in line 1"),
        (b"\xff\xfe\x00", "is not text"),
        (gzip.compress(dump(*plenty(500)))[:-40], "cut off"),
        (dump('408065,1594,"INFY'), "is not CSV"),
    ],
)
def test_what_is_no_list_is_refused_with_what_is_wrong(content, why):
    with pytest.raises(InstrumentsRefused, match=why):
        read_dump(content)


CELLS = st.one_of(
    st.sampled_from(
        [*INFY.split(","), *PUT.split(","), "INDICES", "NFO-FUT", "FUT", "-1", "1e9", "٣", "٣.٥"]
    ),
    st.text(max_size=12),
    st.integers().map(str),
)


@given(
    st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=200).map(lambda junk: dump(INFY) + junk),
        st.lists(st.lists(CELLS, min_size=10, max_size=13).map(",".join), max_size=8).map(
            lambda rows: dump(INFY, PUT, *rows).decode().encode("utf-8", "surrogatepass")
        ),
        st.lists(CELLS, max_size=14).map(lambda names: dump(INFY, header=",".join(names))),
    )
)
def test_no_input_ends_in_anything_but_columns_or_the_houses_error(content):
    try:
        read = read_dump(content)
    except HouseError:
        return
    assert len(read) >= 1
    assert len(set(read.ids)) == len(set(read.token.tolist())) == len(read)
    assert np.all(read.token < 1 << 32)


@given(st.integers(0, 10**9), st.sampled_from(["", "0", "00"]))
def test_a_strike_keeps_every_digit(units, zeros):
    text = f"{units // 10_000}.{units % 10_000:04d}{zeros}"
    row = PUT.replace(",492.5,", f",{text},")
    read = read_dump(dump(INFY, row))
    assert read.strike.tolist() == ([0, units] if units else [0])
