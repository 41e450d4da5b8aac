"""Shares of the demat account: what is shown, what a sale uses up, who may sell."""

import pytest
from money_world import CNC, DAY, NOW, RELIANCE, SBIN, Desk, fits

from kitestring.domain.instants import SECOND
from kitestring.domain.money import Price, money, price
from kitestring.domain.orders import OrdType, Side, TimeInForce
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.order_book import Status

MTF = {
    "quantity": "int",
    "used_quantity": "int",
    "average_price": "number",
    "value": "number",
    "initial_margin": "number",
}
AUCTION_SHAPE = {
    "tradingsymbol": "str",
    "exchange": "str",
    "instrument_token": "int",
    "isin": "str",
    "product": "str",
    "price": "number",
    "quantity": "int",
    "t1_quantity": "int",
    "realised_quantity": "int",
    "authorised_quantity": "int",
    "authorised_date": "str",
    "opening_quantity": "int",
    "collateral_quantity": "int",
    "collateral_type": "str",
    "discrepancy": "bool",
    "average_price": "number",
    "last_price": "number",
    "close_price": "number",
    "pnl": "number",
    "day_change": "number",
    "day_change_percentage": "number",
}
SHAPE = AUCTION_SHAPE | {
    "used_quantity": "int",
    "authorisation": {},
    "short_quantity": "int",
    "mtf": MTF,
}


def rows_of(desk):
    return {row["tradingsymbol"]: row for row in desk.portfolio.holdings(NOW)}


def test_every_sort_of_share_is_there():
    rows = rows_of(Desk())
    assert list(rows) == ["RELIANCE", "INFY", "SBIN", "HDFCBANK", "TCS"]
    for row in rows.values():
        assert set(row) == set(SHAPE)
        assert fits(row, SHAPE)
        assert row["authorised_date"] == f"{DAY} 00:00:00"
    assert (rows["SBIN"]["quantity"], rows["SBIN"]["t1_quantity"]) == (60, 10)
    assert (rows["HDFCBANK"]["quantity"], rows["HDFCBANK"]["t1_quantity"]) == (0, 8)
    assert rows["TCS"]["collateral_quantity"] == 40
    assert rows["SBIN"]["isin"] == "INE062A01020"


def test_a_gain_is_counted_from_the_average_and_a_days_change_from_the_close():
    desk = Desk()
    desk.prices.last[RELIANCE.id] = price(1430)
    row = rows_of(desk)["RELIANCE"]
    assert (row["average_price"], row["close_price"]) == (1295.04, 1420)
    assert row["pnl"] == pytest.approx((1430 - 1295.04) * 20)
    assert row["day_change"] == 10
    assert row["day_change_percentage"] == pytest.approx(100 * 10 / 1420)


def test_a_sale_uses_settled_shares_first_and_its_money_at_once():
    desk = Desk()
    before = desk.account.available
    desk.trade(SBIN, CNC, -65, "950")
    row = rows_of(desk)["SBIN"]
    assert (row["quantity"], row["t1_quantity"], row["used_quantity"]) == (0, 5, 65)
    assert row["opening_quantity"] == 70
    charged = desk.account.charges
    assert money(61_750) - money(80) < desk.account.available - before < money(61_750)
    assert desk.row("net", SBIN, CNC)["quantity"] == -65
    desk.trade(SBIN, CNC, 65, "940")
    assert rows_of(desk)["SBIN"]["quantity"] == 60
    assert desk.account.realised == money(650)
    assert desk.account.charges > charged


def test_shares_are_sold_through_the_floor_but_no_more_than_there_are():
    desk = Desk()
    floor, orders = desk.floor, [("A", 60), ("B", 11), ("C", 10)]
    at = NOW
    floor.observe(1, TickFrame(at, (Tick(SBIN.id, at, price(950), 0),)))
    for tag, qty in orders:
        at += SECOND
        floor.place(
            at=at,
            tag=tag,
            instrument=SBIN.id,
            side=Side.SELL,
            qty=qty,
            ord_type=OrdType.LIMIT,
            product=CNC,
            validity=TimeInForce.DAY,
            price=price(945),
            trigger_price=Price(0),
            protection_bp=0,
        )
    floor.observe(2, TickFrame(at + SECOND, (Tick(SBIN.id, at + SECOND, price(950), 100_000),)))
    states = {tag: row[2] for tag, row in floor.order_rows()}
    assert states == {"A": Status.COMPLETE, "B": Status.REJECTED, "C": Status.COMPLETE}
    told = [entry.text for _, entry in floor.announcements_until(at + 9 * SECOND) if entry.text]
    assert told == ["Insufficient holdings. Shares cannot be sold short for delivery."]
    assert rows_of(desk)["SBIN"]["used_quantity"] == 70


def test_pledged_shares_cannot_be_sold_but_count_as_money():
    desk = Desk()
    tcs = next(each for each in desk.opening.holdings if each.collateral_quantity)
    position = desk.account.positions[tcs.instrument, CNC]
    assert desk.account.grows(position, 16, buy=False)
    assert not desk.account.grows(position, 15, buy=False)
    # 40 pledged shares at 3 080, less a fifth.
    assert desk.account.equity.collateral == money(98_560)


def test_without_a_power_of_attorney_a_sale_needs_the_days_authorisation():
    desk = Desk(OpeningChoice(authorised=False))
    with pytest.raises(KiteError) as refused:
        desk.held.demand_authorised(SBIN.id, 1)
    assert (refused.value.status, refused.value.error_type) == (428, "HoldingException")
    asked = desk.portfolio.authorise(
        NOW, Form([("isin", "INE062A01020"), ("quantity", "50.000000")])
    )
    assert set(asked) == {"request_id"}
    assert len(asked["request_id"]) == 32
    with pytest.raises(KiteError):
        desk.held.demand_authorised(SBIN.id, 1)
    desk.held.confirm(asked["request_id"])
    desk.held.demand_authorised(SBIN.id, 50)
    assert rows_of(desk)["SBIN"]["authorised_quantity"] == 50
    desk.trade(SBIN, CNC, -30, "950")
    desk.held.demand_authorised(SBIN.id, 20)
    with pytest.raises(KiteError):
        desk.held.demand_authorised(SBIN.id, 21)
    # Shares bought today and sold again today never lay in the demat account.
    desk.trade(RELIANCE, CNC, 5, "1420")
    desk.held.demand_authorised(RELIANCE.id, 5)


def test_everything_may_be_authorised_at_once():
    desk = Desk(OpeningChoice(authorised=False))
    first, second = (desk.portfolio.authorise(NOW, Form({})) for _ in range(2))
    assert first != second
    desk.held.confirm(first["request_id"])
    assert [row["authorised_quantity"] for row in desk.held.rows(NOW)] == [20, 45, 70, 8, 15]


@pytest.mark.parametrize(
    "pairs",
    [
        [("isin", "INE000000000")],
        [("isin", "INE062A01020"), ("quantity", "71")],
        [("isin", "INE062A01020"), ("quantity", "0")],
        [("isin", "INE062A01020"), ("quantity", "1"), ("quantity", "2")],
    ],
)
def test_an_authorisation_of_what_is_not_held_is_refused(pairs):
    with pytest.raises(KiteError) as refused:
        Desk().portfolio.authorise(NOW, Form(pairs))
    assert refused.value.error_type == "InputException"


def test_the_summary_adds_up():
    desk = Desk()
    desk.prices.last[RELIANCE.id] = price(1430)
    rows, summary = desk.portfolio.holdings(NOW), desk.portfolio.holdings_summary(NOW)
    owned = [row["quantity"] + row["t1_quantity"] + row["collateral_quantity"] for row in rows]
    worth = sum(n * row["last_price"] for n, row in zip(owned, rows, strict=True))
    paid = sum(n * row["average_price"] for n, row in zip(owned, rows, strict=True))
    assert summary == {
        "total_pnl": pytest.approx(sum(row["pnl"] for row in rows)),
        "total_pnl_percent": pytest.approx((worth - paid) / paid * 100),
        "today_pnl": pytest.approx(10 * 20),
        "today_pnl_percent": pytest.approx(200 / (worth - 200) * 100),
        "invested_amount": pytest.approx(paid),
        "current_value": pytest.approx(worth),
    }


def test_slim_rows_and_auctions():
    desk = Desk()
    assert desk.portfolio.holdings_compact(NOW)[2] == {
        "exchange": "NSE",
        "tradingsymbol": "SBIN",
        "instrument_token": SBIN.token,
        "t1_quantity": 10,
        "quantity": 60,
    }
    (row,) = desk.portfolio.auctions(NOW)
    assert row["auction_number"] == "7"
    assert set(row) == {*AUCTION_SHAPE, "auction_number"}
    assert fits(row, AUCTION_SHAPE)
