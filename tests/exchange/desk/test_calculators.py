"""Margins and charges of imagined orders: agree with the account, and refuse every malformed body."""

import json

import numpy as np
import pytest
from money_world import (
    BARE,
    CALL,
    CNC,
    FUTURE,
    GOLD,
    HEDGE,
    LISTING,
    MIS,
    NOW,
    NRML,
    RELIANCE,
    SBIN,
    UNCHARGED,
    Desk,
    fits,
)

from kitestring.domain.money import price
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.opening_account import OpeningChoice

CHARGES = {
    "transaction_tax": "number",
    "transaction_tax_type": "str",
    "exchange_turnover_charge": "number",
    "sebi_turnover_charge": "number",
    "brokerage": "number",
    "stamp_duty": "number",
    "gst": {"igst": "number", "cgst": "number", "sgst": "number", "total": "number"},
    "total": "number",
}
MARGIN = {
    "type": "str",
    "tradingsymbol": "str",
    "exchange": "str",
    "span": "number",
    "exposure": "number",
    "option_premium": "number",
    "additional": "number",
    "bo": "number",
    "cash": "number",
    "var": "number",
    "pnl": {"realised": "number", "unrealised": "number"},
    "leverage": "number",
    "charges": CHARGES,
    "total": "number",
}
NOTE = {
    "transaction_type": "str",
    "tradingsymbol": "str",
    "exchange": "str",
    "variety": "str",
    "product": "str",
    "order_type": "str",
    "quantity": "int",
    "price": "number",
    "charges": CHARGES,
}


def item(instrument, side, qty, product=NRML, px=None, **more):
    return {
        "exchange": instrument.exchange,
        "tradingsymbol": instrument.symbol,
        "transaction_type": side,
        "variety": "regular",
        "product": product.value,
        "order_type": "LIMIT" if px else "MARKET",
        "quantity": qty,
        "price": px or 0,
        "trigger_price": 0,
    } | more


def margin_of(desk, *items):
    return desk.calculators.order_margins(NOW, list(items))


def test_shares_cost_a_fifth_intraday_and_everything_for_delivery():
    rows = margin_of(
        Desk(BARE),
        item(SBIN, "BUY", 10, MIS, 950),
        item(SBIN, "SELL", 10, MIS, 950),
        item(SBIN, "BUY", 10, CNC, 950),
        item(SBIN, "BUY", 10, CNC),
    )
    assert all(fits(row, MARGIN) and set(row) == set(MARGIN) for row in rows)
    assert [(row["total"], row["var"], row["leverage"]) for row in rows] == [
        (1900, 1900, 5),
        (1900, 1900, 5),
        (9500, 9500, 1),
        (9480, 9480, 1),  # a market order at yesterday's close, as long as nothing has traded
    ]


def test_futures_are_itemised_and_gold_belongs_to_the_commodity_segment():
    rows = margin_of(
        Desk(BARE), item(FUTURE, "SELL", 65, MIS, 24720), item(GOLD, "BUY", 1, NRML, 120_000)
    )
    assert (rows[0]["span"], rows[0]["exposure"], rows[0]["total"]) == (149432.4, 32136, 181568.4)
    assert (rows[1]["type"], rows[1]["total"]) == ("commodity", 180_000)
    assert [row["charges"]["transaction_tax_type"] for row in rows] == ["stt", "ctt"]


def test_an_option_bought_costs_its_premium_and_one_sold_what_the_account_would_tie_up():
    desk = Desk(BARE)
    bought, sold = margin_of(desk, item(CALL, "BUY", 65, px=480), item(CALL, "SELL", 65, px=480))
    assert (bought["total"], bought["option_premium"]) == (31_200, 31_200)
    before = desk.account.available
    desk.account.reserve(desk.account.position(CALL, NRML), 65, price(480), buy=False)
    assert sold["total"] == int(before - desk.account.available) / 10_000 > 120_000


def test_an_order_that_closes_is_free_and_one_that_reverses_is_not():
    desk = Desk(OpeningChoice(with_holdings=False))
    closes, reverses = margin_of(
        desk, item(FUTURE, "SELL", 65, px=24720), item(FUTURE, "SELL", 195, px=24720)
    )
    assert closes["total"] == 0
    assert reverses["total"] == pytest.approx(2 * 65 * 24720 * 0.113 - 65 * 24621.1 * 0.113)


def test_asking_changes_nothing():
    desk = Desk()
    desk.trade(SBIN, MIS, 10, "950")
    before = desk.funds.margins(NOW), desk.portfolio.positions(NOW), len(desk.account.positions)
    margin_of(desk, item(CALL, "SELL", 65, px=480), item(SBIN, "SELL", 99, MIS, 950))
    desk.calculators.basket_margins(NOW, [item(FUTURE, "SELL", 65, px=24720)])
    after = desk.funds.margins(NOW), desk.portfolio.positions(NOW), len(desk.account.positions)
    assert after == before


def test_a_spread_needs_its_margin_while_it_works_and_little_once_it_is_filled():
    desk = Desk(BARE)
    orders = [item(CALL, "SELL", 65, px=480), item(HEDGE, "BUY", 65, px=250)]
    basket = desk.calculators.basket_margins(NOW, orders, consider_positions=False)
    assert fits(basket, {"initial": MARGIN, "final": MARGIN, "charges": CHARGES})
    sold, bought = basket["orders"]
    assert basket["initial"]["total"] == sold["total"] + bought["total"]
    assert basket["final"]["total"] < basket["initial"]["total"] / 2
    assert basket["final"]["option_premium"] == (250 - 480) * 65
    assert basket["final"]["exposure"] == sold["exposure"]
    assert basket["charges"]["brokerage"] == 40
    assert basket["charges"]["total"] == pytest.approx(
        sold["charges"]["total"] + bought["charges"]["total"]
    )


def test_the_basket_ends_where_the_account_ends():
    desk = Desk(BARE)
    orders = [item(HEDGE, "BUY", 65, px=250), item(CALL, "SELL", 65, px=480)]
    final = desk.calculators.basket_margins(NOW, orders)["final"]["total"]
    desk.trade(HEDGE, NRML, 65, "250")
    desk.trade(CALL, NRML, -65, "480")
    assert int(desk.account.blocked) / 10_000 == final


def test_positions_are_considered_or_not():
    desk = Desk(OpeningChoice(with_holdings=False))
    orders = [item(FUTURE, "SELL", 65, px=24720)]
    beside = desk.calculators.basket_margins(NOW, orders)
    alone = desk.calculators.basket_margins(NOW, orders, consider_positions=False)
    assert (beside["initial"]["total"], beside["final"]["total"]) == (
        0,
        pytest.approx(-180841.9795),
    )
    assert alone["final"]["total"] == alone["initial"]["total"] == 181568.4


def test_compact_answers_tell_the_totals_only():
    desk = Desk(BARE)
    orders = [item(SBIN, "BUY", 10, MIS, 950)]
    row = {"type": "equity", "tradingsymbol": "SBIN", "exchange": "NSE", "total": 1900}
    assert desk.calculators.order_margins(NOW, orders, compact=True) == [row]
    basket = desk.calculators.basket_margins(NOW, orders, compact=True)
    assert basket["orders"] == [row]
    assert basket["final"]["total"] == 1900


def test_a_contract_note_of_today_to_the_last_digit():
    """NIFTY option, 65 at 120 and 121; intraday shares, 400 at 1 000 and 1 100: rates of Nov 2026."""
    desk = Desk(BARE)
    rows = desk.calculators.contract_note(
        NOW,
        [
            item(CALL, "BUY", 65, average_price=120, order_id="111"),
            item(CALL, "SELL", "65", average_price="121"),
            item(SBIN, "BUY", 400, MIS, average_price=1000.0),
            item(SBIN, "SELL", 400.0, MIS, average_price=1100),
        ],
    )
    assert all(fits(row, NOTE) and set(row) == set(NOTE) for row in rows)
    totals = [row["charges"]["total"] for row in rows]
    assert totals[0] + totals[1] == pytest.approx(65.8176, abs=1e-4)
    assert totals[2] + totals[3] == pytest.approx(200.621, abs=1e-3)
    sold = rows[1]["charges"]
    assert sold["transaction_tax"] == pytest.approx(0.0015 * 65 * 121)
    assert (sold["transaction_tax_type"], sold["brokerage"], sold["stamp_duty"]) == ("stt", 20, 0)
    assert sold["gst"] == {
        "igst": sold["gst"]["total"],
        "cgst": 0,
        "sgst": 0,
        "total": pytest.approx(0.18 * (20 + 65 * 121 * 0.0003552 + 65 * 121 * 0.000001), abs=2e-3),
    }
    assert (rows[1]["quantity"], rows[1]["price"]) == (65, 121)


def test_the_note_charges_what_the_account_books():
    desk = Desk(BARE)
    (row,) = desk.calculators.contract_note(
        NOW, [item(RELIANCE, "BUY", 7, CNC, average_price="1420.35")]
    )
    desk.trade(RELIANCE, CNC, 7, "1420.35")
    assert row["charges"]["total"] == int(desk.account.charges) / 10**10


def refusal(ask, body):
    with pytest.raises(KiteError) as refused:
        ask(NOW, body)
    assert (refused.value.status, refused.value.error_type) == (400, "InputException")
    return refused.value.message


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"exchange": "XYZ"}, "tradingsymbol"),
        ({"tradingsymbol": ""}, "tradingsymbol"),
        ({"tradingsymbol": "NIFTY 50"}, "tradingsymbol"),
        ({"transaction_type": "HOLD"}, "transaction_type"),
        ({"product": "NRML"}, "product"),
        ({"product": "MTF"}, "product"),
        ({"order_type": None}, "order_type"),
        ({"variety": "bo"}, "variety"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"quantity": 10**4400}, "quantity"),
        ({"quantity": [1]}, "quantity"),
        ({"quantity": float("nan")}, "quantity"),
        ({"price": 0}, "price"),
        ({"price": "1e99"}, "price"),
        ({"price": float("inf")}, "price"),
    ],
)
def test_a_wrong_field_is_named(more, names):
    body = [item(SBIN, "BUY", 1, MIS, 950) | more]
    assert f"`{names}`" in refusal(Desk(BARE).calculators.order_margins, body)


@pytest.mark.parametrize("body", [None, {}, [], "x", 7, [[]], [None], [{}], [{}] * 201])
def test_a_body_that_is_no_list_of_orders_is_refused(body):
    desk = Desk(BARE)
    for ask in (
        desk.calculators.order_margins,
        desk.calculators.basket_margins,
        desk.calculators.contract_note,
    ):
        refusal(ask, body)


def test_charges_nobody_knows_are_not_guessed():
    ask = Desk(BARE).calculators
    body = [item(UNCHARGED, "BUY", 1, px=50_000, average_price=50_000)]
    for question in (ask.order_margins, ask.basket_margins, ask.contract_note):
        assert "No charges are known for COTTON26DECFUT" in refusal(question, body)


def test_a_price_nobody_knows_is_asked_for():
    desk = Desk(BARE)
    unknown = LISTING.find("NFO", "BANKNIFTY26DECFUT")
    assert "`price`" in refusal(desk.calculators.order_margins, [item(unknown, "BUY", 1)])
    refusal(desk.calculators.contract_note, [item(GOLD, "BUY", 1, average_price=0)])


FIELDS = (*item(SBIN, "BUY", 1), "average_price", "order_id")
ODDITIES = (
    *(None, True, False, 0, -1, 1, 10**8, 10**15, 10**16, 10**4400, -(10**30)),
    *(0.0, -0.0, 0.1 + 0.2, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "é" * 5000,
        "१२",
        "1e3",
        "1e99",
        "0x1",
        "NaN",
        "-5",
        "1,000",
        "+7",
    ),
    *(
        "NSE",
        "NFO",
        "MCX",
        "SBIN",
        "NIFTY 50",
        "BUY",
        "MIS",
        "NRML",
        "CNC",
        "MTF",
        "SL",
        "SL-M",
        "MARKET",
    ),
    *([], {}, [1], {"a": 1}, [[]], (), b"x", {1: 2}),
)


def strange_bodies(count):
    """Bodies between true and absurd; the same ones every time."""
    draw = np.random.default_rng(11)

    def one(among):
        return among[int(draw.integers(len(among)))]

    def order():
        instrument = one((SBIN, CALL, HEDGE, FUTURE, GOLD))
        made = item(
            instrument,
            one(("BUY", "SELL")),
            int(draw.integers(1, 10**8)),
            one((MIS, CNC) if instrument is SBIN else (MIS, NRML)),
            float(draw.integers(1, 10**9)) / 100,
            average_price=float(draw.integers(1, 10**6)) / 20,
            order_type=one(("LIMIT", "MARKET", "SL", "SL-M")),
        )
        for _ in range(int(draw.integers(-2, 3))):
            made[one(FIELDS)] = one(ODDITIES)
        if draw.random() < 0.1:
            made.pop(one(FIELDS), None)
            made[7] = 8
        return made

    for _ in range(count):
        if draw.random() < 0.05:
            yield one(ODDITIES)
        else:
            yield [
                one(ODDITIES) if draw.random() < 0.05 else order()
                for _ in range(int(draw.integers(0, 5)))
            ]


def test_ten_thousand_bodies_are_answered_or_refused():
    """Each is put to one of the calculators in turn; an answer is JSON that Go can read."""
    desk = Desk()
    ask = desk.calculators
    questions = (ask.order_margins, ask.basket_margins, ask.contract_note)
    answered, refused = 0, set()
    for number, body in enumerate(strange_bodies(10_000)):
        try:
            answer = questions[number % 3](NOW, body)
        except KiteError as error:
            refused.add((error.status, error.error_type))
        else:
            json.dumps(answer, allow_nan=False)
            answered += 1
    assert refused == {(400, "InputException")}
    assert answered > 2_000
