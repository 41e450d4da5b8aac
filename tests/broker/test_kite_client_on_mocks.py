"""Zerodha's own samples through the client: every row of every book is read, none is strange."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from kite_rig import raw, scripted

from kitestring.broker import kite_rows
from kitestring.broker.kite_outcomes import Acked
from kitestring.domain.instants import HOUR
from kitestring.domain.money import rounded_money

HERE = Path(__file__).resolve()
MOCKS = next(
    (
        folder / "shared" / "kite-mocks"
        for folder in HERE.parents
        if (folder / "shared" / "kite-mocks").is_dir()
    ),
    HERE / "absent",
)
pytestmark = pytest.mark.skipif(not MOCKS.is_dir(), reason="shared data absent")


def sample(name):
    return (MOCKS / name).read_bytes()


def rows_of(name):
    return json.loads(sample(name), parse_float=Decimal)["data"]


def read(name, call, content_type="application/json"):
    """What the client makes of a sample."""

    async def answer(request, writer, number):
        writer.write(raw(sample(name), content_type=content_type))

    return scripted(answer, call)[0]


def test_the_order_book():
    rows = read("orders.json", lambda client: client.orders())
    assert len(rows) == len(rows_of("orders.json"))
    for ours, theirs in zip(rows, rows_of("orders.json"), strict=True):
        assert ours.order_id == theirs["order_id"]
        assert ours.status == theirs["status"]
        assert ours.cum_qty == theirs["filled_quantity"]
        assert ours.price == rounded_money(Decimal(theirs["price"]))


def test_the_history_of_an_order():
    states = [
        row.status for row in read("order_info.json", lambda client: client.order_history("1"))
    ]
    assert states == [row["status"] for row in rows_of("order_info.json")]


@pytest.mark.parametrize("name", ["trades.json", "order_trades.json"])
def test_trades(name):
    rows = read(name, lambda client: client.trades())
    assert [row.trade_id for row in rows] == [row["trade_id"] for row in rows_of(name)]
    assert all(row.px > 0 for row in rows)


def test_positions_keep_kites_own_identity():
    book = read("positions.json", lambda client: client.positions())
    for row in (*book.net, *book.day):
        assert row.value == row.sell_value - row.buy_value
        worth = row.value + row.net_qty * row.last_px * int(row.multiplier)
        assert abs(row.pnl - worth) <= 1
    assert book.net


def test_holdings_funds_and_profile():
    assert len(read("holdings.json", lambda client: client.holdings())) == len(
        rows_of("holdings.json")
    )
    funds = read("margins.json", lambda client: client.margins())
    assert funds.equity is not None
    assert funds.commodity is not None
    assert read("profile.json", lambda client: client.profile()).user_id


def test_quotes_and_candles():
    quotes = read("quote.json", lambda client: client.quote(["NSE:INFY"]))
    assert quotes["NSE:INFY"].last_px > 0
    assert len(quotes["NSE:INFY"].bids) == 5
    for name in ("historical_minute.json", "historical_oi.json"):
        candles = read(name, lambda client: client.historical(1, "minute", 0, HOUR))
        assert len(candles) == 6
    assert all(candle.oi > 0 for candle in candles)


def test_the_instrument_list():
    csv = read("instruments_nse.csv", lambda client: client.instruments("NSE"), "text/csv")
    assert csv == sample("instruments_nse.csv")


def test_what_orders_are_answered_with():
    assert isinstance(read("order_response.json", lambda client: client.place({})), Acked)
    for name, verb in (("order_modify.json", "modify"), ("order_cancel.json", "cancel")):
        order_id = rows_of(name)["order_id"]

        def call(client, verb=verb, order_id=order_id):
            if verb == "cancel":
                return client.cancel(order_id, "regular")
            return client.modify(order_id, "regular", {})

        assert read(name, call) == Acked(order_id=order_id)


def test_a_pushed_update_reads_as_an_order():
    row = kite_rows.order_row(sample("postback.json"))
    assert row.status.over
    assert row.cum_qty == row.order_qty
