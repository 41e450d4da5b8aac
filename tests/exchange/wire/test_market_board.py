"""The board of the day against what a trader reads off the same ticks by hand."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticker_day import ALL, CLOSES, FUTURE, INFY, NIFTY, TCS, board, frame, listed, tick

from kitestring.domain.money import price
from kitestring.exchange.depth import visible_depth
from kitestring.exchange.market_board import rupees


def morning():
    """INFY opens at 1396, goes to 1421.75 and 1395.55, and stands at 1412.95."""
    made = board()
    made.apply(frame(0, tick(INFY, 0, 1396, 1_000, ("1395.95", 40), ("1396", 60))))
    made.apply(frame(1, tick(INFY, 1, "1421.75", 4_000, ("1421.7", 10), ("1421.8", 20))))
    made.apply(frame(2, tick(INFY, 2, "1395.55", 4_000, ("1395.5", 10), ("1395.6", 20))))
    made.apply(frame(9, tick(INFY, 9, "1412.95", 5_000, ("1412.9", 300), ("1412.95", 5_191))))
    return made


def test_a_quote_says_what_the_day_has_been():
    quote = morning().quote(INFY.id)
    assert quote["ohlc"] == {"open": 1396, "high": 1421.75, "low": 1395.55, "close": 1389.65}
    assert quote["last_price"] == 1412.95
    assert quote["net_change"] == 23.3
    assert quote["volume"] == 5_000
    # (1 000 × 1396 + 3 000 × 1421.75 + 1 000 × 1412.95) / 5 000
    assert quote["average_price"] == 1414.84
    assert quote["timestamp"] == quote["last_trade_time"] == "2026-11-20 09:15:09"
    assert 1 <= quote["last_quantity"] <= 1_000


def test_the_circuit_is_ten_per_cent_about_the_close_inside_the_tick():
    # Kite's own sample: previous close 1389.65, limits 1250.70 and 1528.60.
    assert board().circuit_limits(INFY.id) == (price("1250.70"), price("1528.60"))
    assert board().circuit_limits(NIFTY.id) is None


def test_a_trade_time_stays_while_only_quotes_move():
    made = morning()
    made.apply(frame(30, tick(INFY, 30, "1412.95", 5_000, ("1412.9", 1), ("1412.95", 2))))
    quote = made.quote(INFY.id)
    assert quote["timestamp"] == "2026-11-20 09:15:30"
    assert quote["last_trade_time"] == "2026-11-20 09:15:09"


def test_the_book_shown_is_the_book_that_is_matched():
    made = morning()
    last = tick(INFY, 9, "1412.95", 5_000, ("1412.9", 300), ("1412.95", 5_191))
    depth = visible_depth(INFY, last)
    shown = made.quote(INFY.id)["depth"]
    assert [(price(str(level["price"])), level["quantity"], level["orders"]) for level in shown["buy"]] == [tuple(level) for level in depth.bids]  # fmt: skip
    assert [(price(str(level["price"])), level["quantity"], level["orders"]) for level in shown["sell"]] == [tuple(level) for level in depth.asks]  # fmt: skip
    quote = made.quote(INFY.id)
    assert quote["buy_quantity"] >= sum(level.qty for level in depth.bids)
    assert quote["sell_quantity"] >= sum(level.qty for level in depth.asks)


def test_a_side_without_orders_shows_none():
    made = board()
    made.apply(frame(0, tick(INFY, 0, "1528.6", 10, ("1528.6", 90_000))))
    quote = made.quote(INFY.id)
    assert quote["sell_quantity"] == 0
    assert all(level == {"price": 0, "quantity": 0, "orders": 0} for level in quote["depth"]["sell"])  # fmt: skip
    assert quote["buy_quantity"] >= 90_000


def test_an_index_has_what_an_index_has():
    made = board()
    made.apply(frame(0, tick(NIFTY, 0, "24731.45"), tick(FUTURE, 0, "24800", 65)))
    assert made.quote(NIFTY.id) == {
        "instrument_token": 256265,
        "timestamp": "2026-11-20 09:15:00",
        "last_price": 24731.45,
        "net_change": 31.45,
        "ohlc": {"open": 24731.45, "high": 24731.45, "low": 24731.45, "close": 24700},
    }


def test_open_interest_has_its_own_high_and_low():
    made = board()
    for second, oi in enumerate((17_000_000, 17_020_000, 16_990_000, 0)):
        made.apply(frame(second, tick(FUTURE, second, 24800, 65 * second, oi=oi)))
    quote = made.quote(FUTURE.id)
    assert (quote["oi"], quote["oi_day_high"], quote["oi_day_low"]) == (
        16_990_000, 17_020_000, 16_990_000,
    )  # fmt: skip


def test_before_the_first_tick_there_is_yesterdays_close_and_nothing_else():
    quote = board().quote(TCS.id)
    assert quote["last_price"] == 3080
    assert quote["timestamp"] is None
    assert quote["ohlc"] == {"open": 0, "high": 0, "low": 0, "close": 3080}
    assert board().ltp(TCS.id) == {"instrument_token": 2953217, "last_price": 3080}


def test_what_is_not_listed_or_has_no_price_has_no_quote():
    unknown = listed("NSE:NEW", 77 << 8 | 1)
    made = board((*ALL, unknown))
    for asked in (made.quote, made.ohlc, made.ltp, made.last_px):
        assert asked(unknown.id) is None
        assert asked("NSE:NOTHING") is None


def test_ticks_without_a_price_or_of_strangers_are_left_out():
    made = board()
    stranger = listed("NSE:STRANGER", 99 << 8 | 1)
    rows = made.apply(frame(0, tick(INFY, 0, 0), tick(stranger, 0, 5), tick(TCS, 0, 3090, 5)))
    assert [made.instruments[row].id for row in rows] == [TCS.id]
    assert made.last_px(INFY.id) == CLOSES[INFY.id]


# Kite's samples quote.json, ohlc.json and ltp.json: which keys, and of which JSON type.
NUMBER, WHOLE, TEXT = (int, float), (int,), (str,)
QUOTE_KEYS = {
    "instrument_token": WHOLE, "timestamp": TEXT, "last_trade_time": TEXT, "last_price": NUMBER,
    "last_quantity": WHOLE, "buy_quantity": WHOLE, "sell_quantity": WHOLE, "volume": WHOLE,
    "average_price": NUMBER, "oi": WHOLE, "oi_day_high": WHOLE, "oi_day_low": WHOLE,
    "net_change": NUMBER, "lower_circuit_limit": NUMBER, "upper_circuit_limit": NUMBER,
    "ohlc": (dict,), "depth": (dict,),
}  # fmt: skip


def test_quotes_have_the_keys_and_types_of_kites_samples():
    made = morning()
    quote = json.loads(json.dumps(made.quote(INFY.id)))
    assert set(quote) == set(QUOTE_KEYS)
    for key, types in QUOTE_KEYS.items():
        assert type(quote[key]) in types, key
    assert set(made.ohlc(INFY.id)) == {"instrument_token", "last_price", "ohlc"}
    assert set(made.ltp(INFY.id)) == {"instrument_token", "last_price"}
    for side in ("buy", "sell"):
        assert len(quote["depth"][side]) == 5
        for level in quote["depth"][side]:
            assert set(level) == {"price", "quantity", "orders"}


def test_whole_rupees_have_no_point():
    assert (
        json.dumps([rupees(10_750_000), rupees(884_125), rupees(-5_000)]) == "[1075, 88.4125, -0.5]"
    )


# ── many at once ─────────────────────────────────────────────────────────────────────────────────

CROWD = [listed(f"NFO:C{n}", (5_000 + n) << 8 | 2, lot=25) for n in range(40)]
A_TICK = st.tuples(
    st.integers(0, 59),
    st.integers(0, 400),
    st.integers(0, 5_000),
    st.integers(0, 400),
    st.integers(0, 900),
    st.integers(0, 400),
    st.integers(0, 900),
    st.integers(0, 3) | st.integers(0, 10**7),
)


def ticks_of(drawn, second):
    return [
        tick(
            CROWD[who % 40], second, px, qty,
            (bid, bid_qty) if bid else None, (ask, ask_qty) if ask else None, oi,
        )
        for who, px, qty, bid, bid_qty, ask, ask_qty, oi in drawn
    ]  # fmt: skip


@given(st.lists(st.lists(A_TICK, min_size=13, max_size=60), min_size=1, max_size=5))
def test_a_large_frame_and_its_ticks_one_by_one_leave_the_same_board(frames):
    at_once, one_by_one = board(CROWD), board(CROWD)
    for second, drawn in enumerate(frames):
        ticks = ticks_of(drawn, second)
        rows = at_once.apply(frame(second, *ticks))
        touched = set()
        for each in ticks:
            touched.update(one_by_one.apply(frame(second, each)).tolist())
        assert [at_once.instruments[row].id for row in rows.tolist()] == sorted(
            (at_once.instruments[row].id for row in rows.tolist()), key=at_once.row_of
        )
        assert {at_once.instruments[row].id for row in rows.tolist()} == {
            one_by_one.instruments[row].id for row in touched
        }
    for instrument in CROWD:
        assert at_once.quote(instrument.id) == one_by_one.quote(instrument.id)


def test_a_board_grows_without_forgetting():
    many = [listed(f"NSE:M{n}", (20_000 + n) << 8 | 1) for n in range(9_000)]
    made = board(many)
    made.apply(frame(0, *(tick(each, 0, 100 + n % 50, n + 1) for n, each in enumerate(many))))
    made.apply(frame(1, *(tick(each, 1, 200, n + 2) for n, each in enumerate(many))))
    assert len(made) == 9_000
    for n in (0, 63, 64, 8_999):
        assert made.quote(many[n].id)["ohlc"]["open"] == 100 + n % 50
        assert made.last_px(many[n].id) == price(200)
    columns = made.columns(np.arange(9_000))
    assert columns.volume.tolist() == [n + 2 for n in range(9_000)]


@pytest.mark.parametrize("lot", [1, 65])
def test_the_last_trade_is_a_part_of_the_growth_in_whole_lots(lot):
    one = listed("NFO:L", 999 << 8 | 2, lot=lot)
    made = board((one,))
    volume = 0
    for second in range(200):
        grown = lot * (1 + second % 7)
        volume += grown
        made.apply(frame(second, tick(one, second, 100, volume)))
        last = made.quote(one.id)["last_quantity"]
        assert 0 < last <= grown
        assert last % lot == 0
