"""Kite's rows, read exactly: prices to the unit, ids as texts, times in India, unknown words aloud."""

import datetime as dt
import json
import random  # noqa: TID251  # drawn from a seed
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.broker import kite_market_rows, kite_rows
from kitestring.broker.kite_rows import KiteProduct, KiteStatus, RowStrange
from kitestring.broker.kite_wire import read_envelope
from kitestring.domain.instants import instant
from kitestring.domain.money import price, rounded_money, rounded_price
from kitestring.domain.orders import OrdType, Side

# Two rows of the official sample orders.json, with what else users have seen in them.
ORDER = {
    "placed_by": "XXXXXX", "order_id": "1953341975595868160", "exchange_order_id": "1300000000000001",
    "parent_order_id": None, "status": "CANCELLED", "status_message": None,
    "status_message_raw": None, "order_timestamp": "2026-11-20 12:54:52",
    "exchange_update_timestamp": "2026-11-20 12:54:53", "exchange_timestamp": None,
    "variety": "regular", "modified": False, "exchange": "NSE", "tradingsymbol": "M&M",
    "instrument_token": 519937, "order_type": "LIMIT", "transaction_type": "BUY",
    "validity": "DAY", "validity_ttl": 0, "product": "CNC", "quantity": 5, "disclosed_quantity": 0,
    "price": 1075, "trigger_price": 0.5999999999999659, "average_price": 99725.05000000002,
    "filled_quantity": 4.0, "pending_quantity": 1, "cancelled_quantity": 1,
    "market_protection": 0, "meta": {}, "tag": None, "tags": ["mktp", "mktp:2.00"],
    "guid": "XXXXX", "a_field_of_tomorrow": {"x": [1]},
}  # fmt: skip
TRADE = {
    "trade_id": "10000000", "order_id": "200000000000000", "exchange": "NSE",
    "tradingsymbol": "SBIN", "instrument_token": 779521, "product": "CNC", "average_price": 420.65,
    "quantity": 1, "exchange_order_id": "300000000000000", "transaction_type": "BUY",
    "fill_timestamp": "2026-11-20 09:16:39", "order_timestamp": "09:16:39",
    "exchange_timestamp": "2026-11-20 09:16:39",
}  # fmt: skip
POSITION = {
    "tradingsymbol": "LEADMINI17DECFUT", "exchange": "MCX", "instrument_token": 53496327,
    "product": "NRML", "quantity": -1, "overnight_quantity": 0, "multiplier": 1000,
    "average_price": 161.05, "close_price": 0, "last_price": 161.05, "value": -161050, "pnl": 0,
    "m2m": 0, "unrealised": 0, "realised": 0, "buy_quantity": 1, "buy_value": 161050,
    "sell_quantity": 0, "sell_value": 0, "day_buy_quantity": 1, "day_sell_quantity": 0,
}  # fmt: skip
HOLDING = {
    "tradingsymbol": "AARON", "exchange": "NSE", "isin": "INE721Z01010", "quantity": 1,
    "t1_quantity": 1, "average_price": 161, "last_price": 352.95, "close_price": 352.35,
}  # fmt: skip
MARGINS = {
    "equity": {
        "enabled": True, "net": 99725.05000000002,
        "available": {"cash": 245431.6, "live_balance": 99725.05000000002, "collateral": 0},
        "utilised": {"debits": 145706.55, "payout": -0.0},
    },
}  # fmt: skip


def text(row, **changes):
    return json.dumps(row | changes).encode()


def test_an_order():
    row = kite_rows.order_row(text(ORDER))
    assert row.order_id == "1953341975595868160"
    assert row.status is KiteStatus.CANCELLED
    assert row.instrument == "NSE:M&M"
    assert (row.side, row.ord_type, row.product) == (Side.BUY, OrdType.LIMIT, KiteProduct.CNC)
    assert (row.order_qty, row.cum_qty, row.pending_qty, row.cancelled_qty) == (5, 4, 1, 1)
    assert row.leaves_qty == 0
    assert (row.price, row.stop_px) == (price("1075"), price("0.6"))
    assert row.average_px == price("99725.05")
    assert (row.tag, row.tags) == ("", ("mktp", "mktp:2.00"))
    assert row.order_at == instant(dt.date(2026, 11, 20), dt.time(12, 54, 52))
    assert row.exchange_at is None


def test_what_may_be_missing_may():
    needed = ("order_id", "status", "exchange", "tradingsymbol", "transaction_type", "order_type")
    needed += ("product", "quantity", "filled_quantity")
    row = kite_rows.order_row(text({name: ORDER[name] for name in needed}))
    assert row.price == 0
    for name in needed:
        with pytest.raises(RowStrange, match=name):
            kite_rows.order_row(text({key: ORDER[key] for key in needed if key != name}))


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("status", "OPEN-ISH"),
        ("status", "open"),
        ("transaction_type", "SHORT"),
        ("order_type", "BRACKET"),
        ("product", "PAPER"),
        ("status", None),
        ("quantity", 1.5),
        ("quantity", "five"),
        ("filled_quantity", 6),
        ("filled_quantity", -1),
        ("filled_quantity", 1e300),
        ("price", 1e300),
        ("order_id", 1953341975595868160),
        ("order_id", ""),
        ("order_id", "12 34"),
        ("order_timestamp", "yesterday"),
        ("order_timestamp", "2026-02-31 09:15:00"),
        ("order_timestamp", "2026-11-20 25:61:00"),
        ("exchange_timestamp", "2026-11-20T09:15:00+00:00"),
        ("exchange", "NSE:NSE"),
        ("tradingsymbol", ""),
        ("modified", "no"),
    ],
)
def test_a_word_that_decides_must_be_known(field, word):
    with pytest.raises(RowStrange):
        kite_rows.order_row(text(ORDER, **{field: word}))


def test_every_status_of_the_documentation_is_known():
    """As kite.trade/docs/connect/v3/orders lists them, with those of its sample history."""
    for word in (
        "PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "MODIFY VALIDATION PENDING",
        "MODIFY PENDING", "TRIGGER PENDING", "CANCEL PENDING", "AMO REQ RECEIVED", "OPEN",
        "COMPLETE", "CANCELLED", "REJECTED", "MODIFIED", "UPDATE", "CANCELLED AMO",
    ):  # fmt: skip
        row = kite_rows.order_row(text(ORDER, status=word))
        assert row.status.over == (word in {"COMPLETE", "CANCELLED", "REJECTED", "CANCELLED AMO"})


def test_a_date_of_year_one_is_none():
    row = kite_rows.order_row(text(ORDER, exchange_timestamp="0001-01-01 00:00:00"))
    assert row.exchange_at is None


def test_a_trade_a_position_a_holding_and_funds():
    trade = kite_rows.trade_row(text(TRADE))
    assert (trade.trade_id, trade.qty, trade.px) == ("10000000", 1, price("420.65"))
    assert trade.fill_at == instant(dt.date(2026, 11, 20), dt.time(9, 16, 39))
    position = kite_rows.position_row(text(POSITION))
    assert (position.net_qty, position.multiplier) == (-1, 1000)
    assert position.value == -161_050 * 10_000
    holding = kite_rows.holding_row(text(HOLDING))
    assert (holding.qty, holding.t1_qty, holding.last_px) == (1, 1, price("352.95"))
    funds = kite_rows.margins(text(MARGINS))
    assert funds.commodity is None
    assert funds.equity.net == price("99725.05")
    assert funds.equity.utilised["payout"] == 0


@pytest.mark.parametrize(
    ("reader", "row", "changes"),
    [
        (kite_rows.trade_row, TRADE, {"quantity": 0}),
        (kite_rows.trade_row, TRADE, {"average_price": 0}),
        (kite_rows.trade_row, TRADE, {"average_price": -1}),
        (kite_rows.trade_row, TRADE, {"transaction_type": "B"}),
        (kite_rows.trade_row, TRADE, {"trade_id": None}),
        (kite_rows.position_row, POSITION, {"quantity": None}),
        (kite_rows.position_row, POSITION, {"product": ""}),
        (kite_rows.position_row, POSITION, {"multiplier": 0}),
        (kite_rows.position_row, POSITION, {"pnl": "much"}),
        (kite_rows.holding_row, HOLDING, {"quantity": 0.5}),
        (kite_rows.margins, MARGINS, {"equity": None}),
        (kite_rows.margins, MARGINS, {"equity": {"enabled": True}}),
        (kite_rows.profile, {}, {}),
    ],
)
def test_what_is_none_is_not_taken_for_one(reader, row, changes):
    with pytest.raises(RowStrange):
        reader(text(row, **changes))


def test_candles():
    rows = [
        ["2026-11-20T09:15:00+0530", 1704.5, 1705, 1702.5, 1702.55, 2045, 1100],
        ["2026-11-20T09:16:00+0530", 1702, 1704.3, 1702, 1704, 2450],
    ]
    first, second = kite_market_rows.candles(json.dumps({"candles": rows}).encode())
    assert first.opened_at == instant(dt.date(2026, 11, 20), dt.time(9, 15))
    assert (first.low, first.oi, second.oi) == (price("1702.5"), 1100, 0)
    assert kite_market_rows.candles(b'{"candles":[]}') == ()


@pytest.mark.parametrize(
    "rows",
    [
        [["2026-11-20T09:15:00", 1, 1, 1, 1, 1]],
        [["2026-11-20T09:15:00+0530", 1, 1, 1, 1]],
        [["2026-11-20T09:15:00+0530", 2, 1, 1, 1, 1]],
        [["2026-11-20T09:15:00+0530", 1, 2, 1.5, 1, 1]],
        [["2026-11-20T09:15:00+0530", 1, 1, 1, None, 1]],
        [["2026-11-20T09:15:00+0530", 1, 1, 1, 1, 0.5]],
        [["2026-11-20T09:15:00+0530", 1, 1, 1, 1, 1]] * 2,
        None,
    ],
)
def test_candles_that_are_none(rows):
    with pytest.raises(RowStrange):
        kite_market_rows.candles(json.dumps({"candles": rows}).encode())


@given(st.integers(-(10**15), 10**15))
def test_a_price_as_a_float_shows_it_comes_back_to_the_unit(units):
    """What a broker adds up in floating point is off by less than half a unit."""
    written = json.dumps(units / 10_000)
    assert rounded_money(Decimal(written)) == units


def test_half_a_unit_goes_to_the_even_one():
    assert rounded_price(Decimal("1.00005")) == 10_000
    assert rounded_price(Decimal("1.00015")) == 10_002
    for absurd in ("NaN", "Infinity", "1e15", "1e999999999"):
        with pytest.raises(ValueError):
            rounded_price(Decimal(absurd))


READERS = (
    kite_rows.order_row, kite_rows.trade_row, kite_rows.position_row, kite_rows.holding_row,
    kite_rows.margins, kite_rows.profile, kite_market_rows.quotes, kite_market_rows.candles,
)  # fmt: skip
QUOTE = {
    "NSE:INFY": {
        "instrument_token": 408065, "timestamp": "2026-11-20 12:52:08", "last_price": 1412.95,
        "volume": 7360198, "ohlc": {"open": 1396, "high": 1421.75, "low": 1395.55, "close": 1389.65},
        "depth": {"buy": [{"price": 0, "quantity": 5191, "orders": 13}], "sell": []},
    }
}  # fmt: skip
CANDLES = {"candles": [["2026-11-20T09:15:00+0530", 1704.5, 1705, 1702.5, 1702.55, 2045, 1]]}
SEEDS = [text(row) for row in (ORDER, TRADE, POSITION, HOLDING, MARGINS, QUOTE, CANDLES)]
ODD = [
    b"null", b"true", b"-0", b"1e999", b"1e-999", b"0.1", b"[]", b"{}", b'""', b'"\\ud800"',
    b"99999999999999999999999", b"\xff", b"\x00", b'"\\u0000"', b"NaN", b'"COMPLETE"', b"-1",
]  # fmt: skip


def damaged(chance):
    """A body of Kite's, cut, stirred or with something odd in it."""
    body = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(5):
            case 0:
                del body[at : at + chance.randint(1, 8)]
            case 1:
                body[at:at] = chance.choice(ODD)
            case 2:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                del body[at:]
            case 4:
                colon = body.find(b": ", at)
                end = body.find(b",", colon + 2)
                if colon >= 0 and end >= 0:
                    body[colon + 2 : end] = chance.choice(ODD)
        if not body:
            break
    return bytes(body)


def test_ten_thousand_bodies_are_read_or_refused_and_nothing_else():
    """A reader gives a row or raises ``RowStrange``; whole rows keep the law of quantities."""
    chance = random.Random(20261120)
    began, read = time.perf_counter(), 0
    for _ in range(10_000):
        body = damaged(chance)
        read_envelope(body)
        for reader in READERS:
            try:
                row = reader(body)
            except RowStrange:
                continue
            read += 1
            if isinstance(row, kite_rows.OrderRow):
                assert 0 <= row.cum_qty <= row.order_qty
                assert isinstance(row.price, int)
            if isinstance(row, kite_rows.TradeRow):
                assert row.qty > 0
                assert row.px > 0
    assert 500 < read < 40_000
    assert time.perf_counter() - began < 60


def test_fields_that_nobody_knows_change_nothing():
    """Kite adds fields overnight: what is known of a row is read as before."""
    new = {"settlement": {"how": ["T+0"]}, "algo_id": None, "average": 1e30}
    assert kite_rows.order_row(text(ORDER, **new)) == kite_rows.order_row(text(ORDER))
    assert kite_rows.trade_row(text(TRADE, **new)) == kite_rows.trade_row(text(TRADE))
    assert kite_rows.position_row(text(POSITION, **new)) == kite_rows.position_row(text(POSITION))
    assert kite_rows.margins(text(MARGINS, **new)) == kite_rows.margins(text(MARGINS))
