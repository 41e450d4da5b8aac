"""Packets against Kite's own samples, and against the official client's reading of random boards."""

import base64
import datetime as dt
import json
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticker_day import ALL, FUTURE, GOLD, INFY, NIFTY, OPEN_AT, TCS, USDINR, board, frame, tick

from kitestring.domain.instants import IST, SECOND
from kitestring.domain.money import price
from kitestring.exchange.depth import DepthColumns
from kitestring.exchange.market_board import PacketColumns
from kitestring.exchange.wire.kite_packets import (
    Mode,
    PacketBatch,
    decode,
    divisor,
    full_bodies,
    split,
)

# Two bodies published by Zerodha (kiteconnect-mocks: ticker_quote.packet and ticker_full.packet, with
# their JSON), in base64.
QUOTE_BODY = base64.b64decode("AAY6AQACZoMAAAABAAJlaQAR8bIAA+n/AAWANwACZPMAAmc8AAJhyQACZGw=")
FULL_BODY = base64.b64decode(
    "AAY6AQACZroAAAAHAAJlbQASMhcAA+m7AAWKAQACZPMAAmc8AAJhyQACZGxg4pR/AAAAAAAAAAAAAAAAYOKUfwAAAAUAAmacAAEAAAAA"
    "AIwAAmZ0AAIAAAAAAAIAAmZvAAEAAAAAANsAAmZqAAcAAAAAADIAAmZlAAEAAAAAAKwAAma6AAMAAAAAACwAAma/AAMAAAAAAS4AAmbJ"
    "AAMAAAAAAI0AAmbOAAIAAAAAAtQAAmbTAAUAAA=="
)
QUOTE_JSON = json.loads("""{
  "mode": "quote", "tradable": true, "instrument_token": 408065, "last_price": 1573.15,
  "last_quantity": 1, "average_price": 1570.33, "volume": 1175986, "buy_quantity": 256511,
  "sell_quantity": 360503, "ohlc": {"open": 1569.15, "high": 1575, "low": 1561.05, "close": 1567.8}
}""")
FULL_JSON = json.loads("""{
  "mode": "full", "tradable": true, "instrument_token": 408065, "last_price": 1573.7,
  "last_quantity": 7, "average_price": 1570.37, "volume": 1192471, "buy_quantity": 256443,
  "sell_quantity": 363009, "ohlc": {"open": 1569.15, "high": 1575, "low": 1561.05, "close": 1567.8},
  "last_trade_time": "2021-07-05T10:41:27+05:30", "oi": 0, "oi_day_high": 0, "oi_day_low": 0,
  "timestamp": "2021-07-05T10:41:27+05:30",
  "depth": {
    "buy": [
      {"price": 1573.4, "quantity": 5, "orders": 1}, {"price": 1573, "quantity": 140, "orders": 2},
      {"price": 1572.95, "quantity": 2, "orders": 1}, {"price": 1572.9, "quantity": 219, "orders": 7},
      {"price": 1572.85, "quantity": 50, "orders": 1}],
    "sell": [
      {"price": 1573.7, "quantity": 172, "orders": 3}, {"price": 1573.75, "quantity": 44, "orders": 3},
      {"price": 1573.85, "quantity": 302, "orders": 3}, {"price": 1573.9, "quantity": 141, "orders": 2},
      {"price": 1573.95, "quantity": 724, "orders": 5}]}
}""")


def units(rupees):
    return int(price(str(rupees)))


def epoch(text):
    return int(dt.datetime.fromisoformat(text).timestamp())


def columns_of(words):
    """Kite's JSON of a tick as what our packer takes."""
    ohlc = words["ohlc"]
    numbers = {
        "token": words["instrument_token"],
        "last_px": units(words["last_price"]),
        "last_qty": words["last_quantity"],
        "average_px": units(words["average_price"]),
        "volume": words["volume"],
        "buy_qty": words["buy_quantity"],
        "sell_qty": words["sell_quantity"],
        **{name: units(ohlc[name]) for name in ("open", "high", "low", "close")},
        "traded_at": epoch(words["last_trade_time"]) if "last_trade_time" in words else 0,
        "oi": words.get("oi", 0),
        "oi_high": words.get("oi_day_high", 0),
        "oi_low": words.get("oi_day_low", 0),
        "event_at": epoch(words["timestamp"]) if "timestamp" in words else 0,
    }
    return PacketColumns(**{name: np.array([number]) for name, number in numbers.items()})


def depth_of(words):
    levels = words["depth"]["buy"] + words["depth"]["sell"]
    return DepthColumns(
        px=np.array([[units(level["price"]) for level in levels]]),
        qty=np.array([[level["quantity"] for level in levels]]),
        orders=np.array([[level["orders"] for level in levels]]),
    )


def test_our_packer_makes_kites_own_bytes():
    assert full_bodies(columns_of(FULL_JSON), depth_of(FULL_JSON)).tobytes() == FULL_BODY
    assert full_bodies(columns_of(QUOTE_JSON), None).tobytes()[:44] == QUOTE_BODY


def test_kites_own_bytes_read_as_kites_own_json():
    assert decode(QUOTE_BODY) == QUOTE_JSON
    read = decode(FULL_BODY)
    assert read.pop("timestamp") == epoch(FULL_JSON["timestamp"])
    assert read.pop("last_trade_time") == epoch(FULL_JSON["last_trade_time"])
    assert read == {
        name: value
        for name, value in FULL_JSON.items()
        if name not in {"timestamp", "last_trade_time"}
    }
    # ticker_ltp.json: the same instrument, its price alone
    assert decode(QUOTE_BODY[:8]) == {
        "mode": "ltp", "tradable": True, "instrument_token": 408065, "last_price": 1573.15,
    }  # fmt: skip


def a_moment():
    made = board()
    made.apply(
        frame(
            5,
            tick(INFY, 5, "1412.95", 5_000, ("1412.9", 300), ("1412.95", 5_191)),
            tick(TCS, 5, 3081, 90, ("3080.9", 3), ("3081.05", 4)),
            tick(NIFTY, 5, "24731.45"),
            tick(FUTURE, 5, "24800.1", 650, ("24800", 130), ("24800.2", 65), 17_000_000),
            tick(USDINR, 5, "88.4275", 40, ("88.425", 9), ("88.43", 11), 1_000),
            tick(GOLD, 5, 121_600, 3, ("121599", 1), ("121601", 2), 900),
        )
    )
    return made


def rows_of(made, *instruments):
    return np.array([made.row_of(each.id) for each in instruments])


def message(made, **modes):
    """The message of some instruments, by symbol, each in its mode."""
    rows = rows_of(made, *ALL)
    wanted = [modes.get(each.symbol.split()[0], Mode.OFF) for each in ALL]
    return PacketBatch(made, rows).message(np.array(wanted, dtype=np.uint8))


def test_lengths_are_those_of_the_documentation():
    made = a_moment()
    lengths = {
        (name, mode.name): [len(body) for body in split(message(made, **{name: mode}))]
        for name in ("INFY", "NIFTY")
        for mode in (Mode.LTP, Mode.QUOTE, Mode.FULL)
    }
    assert lengths == {
        ("INFY", "LTP"): [8], ("INFY", "QUOTE"): [44], ("INFY", "FULL"): [184],
        ("NIFTY", "LTP"): [8], ("NIFTY", "QUOTE"): [28], ("NIFTY", "FULL"): [32],
    }  # fmt: skip


def test_a_message_of_one_ltp_byte_for_byte():
    assert message(a_moment(), INFY=Mode.LTP) == bytes.fromhex("0001 0008 00063a01 000227ef")


def test_an_index_packet_has_high_low_open_close():
    made = board()
    for second, px in enumerate(("24700.05", "24750.1", "24650.15", "24731.45")):
        made.apply(frame(second, tick(NIFTY, second, px)))
    (body,) = split(message(made, NIFTY=Mode.FULL))
    assert struct.unpack(">8I", body) == (
        256265, 2473145, 2475010, 2465015, 2470005, 2470000, 3145, OPEN_AT // SECOND + 3,
    )  # fmt: skip


def test_an_index_below_its_close_has_its_change_modulo_2_to_the_32():
    made = board()
    made.apply(frame(0, tick(NIFTY, 0, "24699.50")))
    (body,) = split(message(made, NIFTY=Mode.QUOTE))
    assert struct.unpack(">7I", body)[6] == 2**32 - 50


def test_each_instrument_comes_in_its_own_mode_in_one_message():
    made = a_moment()
    sent = message(made, INFY=Mode.FULL, TCS=Mode.LTP, NIFTY=Mode.QUOTE, GOLD26NOVFUT=Mode.FULL)
    read = {words["instrument_token"]: words["mode"] for words in map(decode, split(sent))}
    assert read == {
        INFY.token: "full", TCS.token: "ltp", NIFTY.token: "quote", GOLD.token: "full",
    }  # fmt: skip
    assert int.from_bytes(sent[:2], "big") == 4


def test_nobody_listening_is_no_message():
    assert message(a_moment()) == b""


@pytest.mark.parametrize(
    ("instrument", "packed"),
    [(INFY, 141_295), (USDINR, 884_275_000), (GOLD, 1_216_000_000)],
    ids=["NSE in paise", "CDS in ten millionths", "NCO in ten thousandths"],
)
def test_prices_are_in_their_segments_parts(instrument, packed):
    made = a_moment()
    sent = PacketBatch(made, rows_of(made, instrument)).message(np.array([1], dtype=np.uint8))
    assert struct.unpack(">HHII", sent) == (1, 8, instrument.token, packed)


def test_divisors():
    assert [divisor(segment) for segment in (1, 2, 3, 4, 5, 6, 7, 9, 12)] == [
        100, 100, 10_000_000, 100, 100, 10_000, 100, 100, 10_000,
    ]  # fmt: skip


def test_a_volume_beyond_32_bits_wraps():
    made = board()
    made.apply(frame(0, tick(INFY, 0, 1400, 2**32 + 7)))
    (body,) = split(message(made, INFY=Mode.QUOTE))
    assert decode(body)["volume"] == 7


@pytest.mark.parametrize(
    "wrong", [b"\x00\x01\x00\x08\x00", b"\x00\x00\x01", b"\x00\x01\x00\x02ab\x00"]
)
def test_a_message_cut_or_too_long_is_refused(wrong):
    with pytest.raises((ValueError, struct.error)):
        list(split(wrong))


def test_a_packet_of_another_length_is_refused():
    with pytest.raises(ValueError, match="45 bytes"):
        decode(QUOTE_BODY + b"\0")
    with pytest.raises(ValueError, match="44 bytes"):
        decode(NIFTY.token.to_bytes(4, "big") + bytes(40))


# ── the official client reads what we pack ───────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def official():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kiteconnect import KiteTicker
    return KiteTicker("key", "token", root="ws://127.0.0.1:1")


WAY = {  # rupees per drawn unit, so that every drawn price is on its segment's parts
    INFY.id: 500, TCS.id: 500, NIFTY.id: 500, FUTURE.id: 1_000, USDINR.id: 25, GOLD.id: 10_000,
}  # fmt: skip
A_MOVE = st.tuples(
    st.sampled_from(ALL),
    st.integers(1, 40_000),
    st.integers(0, 10**6),
    st.integers(0, 40_000),
    st.integers(1, 10**6),
    st.integers(0, 40_000),
    st.integers(1, 10**6),
    st.integers(0, 10**8),
)


def moves(drawn):
    made = board()
    for second, (who, px, qty, bid, bid_qty, ask, ask_qty, oi) in enumerate(drawn):
        unit = WAY[who.id]
        each = tick(who, second, 1, qty if who.has_volume else 0, oi=oi)
        each = type(each)(
            each.instrument, each.event_at, px * unit, each.cum_qty,
            bid * unit, bid_qty if bid else 0, ask * unit, ask_qty if ask else 0, oi,
        )  # fmt: skip
        made.apply(frame(second, each))
    return made


def local(at):
    """How the official client shows an epoch: naive, in the zone of the machine."""
    return dt.datetime.fromtimestamp(at)  # noqa: DTZ006


@given(
    st.lists(A_MOVE, min_size=1, max_size=20),
    st.lists(st.sampled_from([Mode.LTP, Mode.QUOTE, Mode.FULL]), min_size=6, max_size=6),
)
def test_the_official_client_reads_the_board_out_of_our_packets(official, drawn, modes):
    made = moves(drawn)
    rows = rows_of(made, *ALL)
    sent = PacketBatch(made, rows).message(np.array(modes, dtype=np.uint8))
    read = {each["instrument_token"]: each for each in official._parse_binary(sent)}
    assert len(read) == len(ALL)
    for instrument, mode in zip(ALL, modes, strict=True):
        theirs, quote = read[instrument.token], made.quote(instrument.id)
        assert theirs["mode"] == mode.name.lower()
        assert theirs["tradable"] is (instrument is not NIFTY)
        assert theirs["last_price"] == quote["last_price"]
        if mode is Mode.LTP:
            assert len(theirs) == 4
            continue
        assert theirs["ohlc"] == quote["ohlc"]
        if instrument is not NIFTY:
            assert theirs["last_traded_quantity"] == quote["last_quantity"]
            assert theirs["volume_traded"] == quote["volume"]
            assert theirs["total_buy_quantity"] == quote["buy_quantity"]
            assert theirs["total_sell_quantity"] == quote["sell_quantity"]
            parts = divisor(instrument.token)
            assert (
                abs(theirs["average_traded_price"] - quote["average_price"]) <= 0.5 / parts + 1e-9
            )
        if mode is Mode.FULL:
            seen_at = quote["timestamp"]
            at = 0 if seen_at is None else epoch(seen_at + "+05:30")
            assert theirs["exchange_timestamp"] == local(at)
            if instrument is not NIFTY:
                assert (theirs["oi"], theirs["oi_day_high"], theirs["oi_day_low"]) == (
                    quote["oi"], quote["oi_day_high"], quote["oi_day_low"],
                )  # fmt: skip
                assert theirs["depth"] == quote["depth"]


def test_moments_are_those_of_the_day():
    (body,) = split(message(a_moment(), INFY=Mode.FULL))
    at = dt.datetime.fromtimestamp(decode(body)["timestamp"], IST)
    assert at.isoformat() == "2026-11-20T09:15:05+05:30"
