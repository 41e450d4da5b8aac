"""Positions as a Kite client reads them: identities, rows that stay, and conversions of product."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from money_world import (
    BARE,
    CNC,
    FUTURE,
    GOLD,
    MIS,
    NOW,
    NRML,
    RELIANCE,
    SBIN,
    Desk,
    fits,
)

from kitestring.domain.ids import InstrumentId
from kitestring.domain.money import Money, Price, money, price
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.opening_account import OpeningChoice

TEXTS = ("tradingsymbol", "exchange", "product")
WHOLE = [
    "instrument_token",
    "quantity",
    "overnight_quantity",
    "multiplier",
    "buy_quantity",
    "sell_quantity",
    "day_buy_quantity",
    "day_sell_quantity",
]
NUMBERS = [
    "average_price",
    "close_price",
    "last_price",
    "value",
    "pnl",
    "m2m",
    "unrealised",
    "realised",
    "buy_price",
    "buy_value",
    "buy_m2m",
    "sell_price",
    "sell_value",
    "sell_m2m",
    "day_buy_price",
    "day_buy_value",
    "day_sell_price",
    "day_sell_value",
]
SHAPE = dict.fromkeys(TEXTS, "str") | dict.fromkeys(WHOLE, "int") | dict.fromkeys(NUMBERS, "number")


def units(rupees):
    return round(rupees * 10_000)


def test_a_row_has_kites_29_fields():
    desk = Desk()
    desk.trade(RELIANCE, MIS, 10, "1400")
    answer = desk.portfolio.positions(NOW)
    assert len(SHAPE) == 29
    for row in (*answer["net"], *answer["day"]):
        assert set(row) == set(SHAPE)
        assert fits(row, SHAPE)


def test_a_carried_lot_gains_from_its_cost_in_pnl_and_from_the_close_in_m2m():
    desk = Desk(OpeningChoice(with_holdings=False))
    desk.prices.last[FUTURE.id] = price(24800)
    row = desk.row("net", FUTURE, NRML)
    assert (row["quantity"], row["overnight_quantity"], row["buy_quantity"]) == (65, 65, 65)
    assert (row["average_price"], row["close_price"]) == (24621.1, 24720)
    assert row["pnl"] == pytest.approx((24800 - 24621.1) * 65)
    assert row["m2m"] == 80 * 65
    assert desk.row("day", FUTURE, NRML) is None
    desk.trade(FUTURE, NRML, -65, "24810")
    row = desk.row("net", FUTURE, NRML)
    assert (row["quantity"], row["average_price"], row["m2m"]) == (0, 0, 90 * 65)
    day = desk.row("day", FUTURE, NRML)
    assert (day["quantity"], day["overnight_quantity"], day["average_price"]) == (-65, 0, 24810)
    assert day["close_price"] == 24720


def test_a_multiplier_is_in_values_and_not_in_prices():
    desk = Desk(BARE)
    desk.trade(GOLD, NRML, 1, "120000")
    desk.prices.last[GOLD.id] = price(120050)
    row = desk.row("net", GOLD, NRML)
    assert (row["multiplier"], row["buy_price"], row["average_price"]) == (10, 120000, 120000)
    assert (row["value"], row["buy_value"], row["pnl"]) == (-1_200_000, 1_200_000, 500)
    assert row["close_price"] == 0


def test_what_was_closed_stays_and_each_product_has_its_row():
    desk = Desk(BARE)
    desk.trade(SBIN, MIS, 10, "950")
    desk.trade(SBIN, CNC, 5, "951")
    desk.trade(SBIN, MIS, -10, "953")
    assert desk.row("net", SBIN, MIS)["pnl"] == 30
    assert desk.row("net", SBIN, MIS)["quantity"] == 0
    assert desk.row("net", SBIN, CNC)["quantity"] == 5


def test_the_average_is_that_of_what_is_still_held():
    desk = Desk(BARE)
    desk.trade(SBIN, MIS, 2, "100")
    desk.trade(SBIN, MIS, -2, "110")
    desk.trade(SBIN, MIS, 2, "120")
    row = desk.row("net", SBIN, MIS)
    assert (row["average_price"], row["buy_price"], row["pnl"]) == (120, 110, 20)


def test_an_order_that_never_traded_makes_no_row():
    desk = Desk(BARE)
    position = desk.account.position(SBIN, MIS)
    desk.account.reserve(position, 1, price(900), buy=True)
    assert desk.portfolio.positions(NOW) == {"net": [], "day": []}


trades = st.lists(
    st.tuples(
        st.sampled_from([FUTURE, GOLD]),
        st.sampled_from([MIS, NRML]),
        st.integers(-9, 9),
        st.integers(1, 10**6),
    ),
    max_size=25,
)


@given(trades, st.integers(-5, 5), st.integers(1, 10**6), st.integers(1, 10**6))
def test_kites_identities_hold(rows, carried, carried_px, last):
    desk = Desk(
        OpeningChoice(
            cash=money(10**11), commodity_cash=money(10**11), carried="", with_holdings=False
        )
    )
    if carried:
        desk.account.carry({GOLD.id: GOLD}, {(GOLD.id, NRML): (carried, Price(carried_px))})
    for instrument, product, qty, px in rows:
        if qty:
            desk.trade(instrument, product, qty, px)
    desk.prices.last[GOLD.id] = Price(last)
    answer = desk.portfolio.positions(NOW)
    for row in (*answer["net"], *answer["day"]):
        worth = row["quantity"] * units(row["last_price"]) * row["multiplier"]
        m2m = units(row["sell_m2m"]) - units(row["buy_m2m"])
        assert units(row["value"]) == units(row["sell_value"]) - units(row["buy_value"])
        assert units(row["pnl"]) == units(row["value"]) + worth == units(row["unrealised"])
        assert units(row["m2m"]) == m2m + worth
        assert row["quantity"] == row["buy_quantity"] - row["sell_quantity"]
        assert row["realised"] == 0
        if row["quantity"] == 0:
            assert row["average_price"] == 0
        if row["overnight_quantity"] == 0:
            assert row["m2m"] == row["pnl"]
        close = units(row["close_price"]) * row["multiplier"] * row["overnight_quantity"]
        assert units(row["buy_m2m"]) == units(row["day_buy_value"]) + max(close, 0)
        assert units(row["sell_m2m"]) == units(row["day_sell_value"]) + max(-close, 0)
    keys = [(row["exchange"], row["tradingsymbol"], row["product"]) for row in answer["net"]]
    assert len(keys) == len(set(keys))
    held = {key: each.net_qty for key, each in desk.account.positions.items()}
    for row in answer["net"]:
        instrument = InstrumentId(f"{row['exchange']}:{row['tradingsymbol']}")
        assert row["quantity"] == held[instrument, row["product"]]


def test_an_intraday_position_is_kept_by_converting_it_and_then_costs_its_whole_value():
    desk = Desk(BARE)
    desk.trade(RELIANCE, MIS, 100, "1400")
    assert desk.account.blocked == money(28_000)
    assert desk.convert(RELIANCE, MIS, CNC, 60) is True
    assert desk.account.blocked == money(95_200)  # a fifth of 40 shares, all of 60
    left, moved = desk.row("net", RELIANCE, MIS), desk.row("net", RELIANCE, CNC)
    assert (left["quantity"], moved["quantity"], moved["average_price"]) == (40, 60, 1400)


def test_a_conversion_without_the_money_changes_nothing():
    desk = Desk(
        OpeningChoice(with_holdings=False, carried="", cash=money(50_000), paid_in=Money(0))
    )
    desk.trade(RELIANCE, MIS, 100, "1400")
    before = desk.portfolio.positions(NOW), desk.account.available
    assert desk.convert(RELIANCE, MIS, CNC, 100) == "MarginException"
    assert (desk.portfolio.positions(NOW), desk.account.available) == before


def test_only_what_is_there_can_be_converted():
    desk = Desk()
    desk.trade(RELIANCE, MIS, -5, "1400")
    assert desk.convert(RELIANCE, MIS, CNC, 5) == "OrderException"
    assert desk.convert(RELIANCE, MIS, CNC, 6, side="SELL") == "OrderException"
    assert desk.convert(SBIN, MIS, CNC, 1) == "OrderException"
    assert desk.convert(RELIANCE, MIS, NRML, 5, side="SELL") == "InputException"
    assert desk.convert(RELIANCE, MIS, MIS, 5, side="SELL") == "InputException"
    assert desk.convert(FUTURE, NRML, MIS, 65) == "OrderException"
    assert desk.convert(FUTURE, NRML, MIS, 65, position_type="overnight") is True
    assert desk.row("net", FUTURE, NRML) is None
    assert desk.row("net", FUTURE, MIS)["overnight_quantity"] == 65
    with pytest.raises(KiteError, match="exchange"):
        desk.portfolio.convert(NOW, Form({}))


def test_a_part_of_what_was_carried_moves_at_its_own_cost():
    desk = Desk(BARE)
    desk.account.carry({GOLD.id: GOLD}, {(GOLD.id, NRML): (2, price(100))})
    assert desk.convert(GOLD, NRML, MIS, 1, position_type="overnight") is True
    for product in (NRML, MIS):
        row = desk.row("net", GOLD, product)
        assert (row["overnight_quantity"], row["buy_value"], row["average_price"]) == (1, 1000, 100)


def test_a_refused_conversion_realises_nothing():
    desk = Desk(BARE)
    bought = desk.trade(SBIN, CNC, 10, "900")
    desk.account.reserve(bought, 10, price(950), buy=False)
    desk.trade(SBIN, MIS, -5, "940")
    before = desk.portfolio.positions(NOW), desk.funds.margins(NOW)
    assert desk.convert(SBIN, MIS, CNC, 5, side="SELL") == "HoldingException"
    assert (desk.portfolio.positions(NOW), desk.funds.margins(NOW)) == before
    desk.account.release(bought, 10, buy=False)
    assert desk.convert(SBIN, MIS, CNC, 5, side="SELL") is True
    assert desk.account.realised == money(200)
    assert desk.row("net", SBIN, CNC)["quantity"] == 5


def test_a_short_becomes_delivery_only_as_far_as_shares_are_held():
    desk = Desk()
    desk.trade(RELIANCE, MIS, -25, "1400")
    assert desk.convert(RELIANCE, MIS, CNC, 25, side="SELL") == "HoldingException"
    assert desk.convert(RELIANCE, MIS, CNC, 20, side="SELL") is True
    assert desk.held.rows(NOW)[0]["used_quantity"] == 20


@given(
    st.lists(
        st.tuples(st.sampled_from([MIS, NRML]), st.integers(-9, 9), st.integers(1, 10**6)),
        max_size=8,
    ),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(1, 9)), max_size=8),
    st.integers(-5, 5),
)
def test_conversions_move_no_money(rows, moves, carried):
    desk = Desk(
        OpeningChoice(
            cash=money(10**11), commodity_cash=money(10**11), carried="", with_holdings=False
        )
    )
    if carried:
        desk.account.carry({GOLD.id: GOLD}, {(GOLD.id, NRML): (carried, price(100))})
    for product, qty, px in rows:
        if qty:
            desk.trade(GOLD, product, qty, px)
    desk.prices.last[GOLD.id] = price(50)

    def state():
        net = desk.portfolio.positions(NOW)["net"]
        cost = sum(int(each.open_cost) for each in desk.account.positions.values())
        return (
            sum(units(row["pnl"]) for row in net),
            sum(units(row["m2m"]) for row in net),
            sum(row["quantity"] for row in net),
            desk.account.realised - Money(cost),
        )

    before = state()
    for forth, overnight, buy, qty in moves:
        old, new = (NRML, MIS) if forth else (MIS, NRML)
        side, kind = ("BUY" if buy else "SELL"), ("overnight" if overnight else "day")
        desk.convert(GOLD, old, new, qty, side=side, position_type=kind)
        for (_, product), each in desk.account.positions.items():
            assert each.net_qty == each.carried_qty + each.bought_qty - each.sold_qty
            row = desk.row("net", GOLD, product)
            assert row is None or row["quantity"] == each.net_qty
    assert state() == before
