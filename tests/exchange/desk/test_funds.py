"""Funds of both segments: what is shown is what the next order may use."""

import pytest
from money_world import BARE, CALL, CNC, FUTURE, GOLD, MIS, NOW, NRML, RELIANCE, SBIN, Desk, fits

from kitestring.domain.money import Money, money, price
from kitestring.exchange.account import Account
from kitestring.exchange.desk.funds import Funds
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.margin import MarginRates

AVAILABLE = [
    "adhoc_margin",
    "cash",
    "opening_balance",
    "live_balance",
    "collateral",
    "intraday_payin",
]
UTILISED = [
    "debits",
    "exposure",
    "m2m_realised",
    "m2m_unrealised",
    "option_premium",
    "payout",
    "span",
    "holding_sales",
    "turnover",
    "liquid_collateral",
    "stock_collateral",
    "delivery",
]
SHAPE = {
    "enabled": "bool",
    "net": "number",
    "available": dict.fromkeys(AVAILABLE, "number"),
    "utilised": dict.fromkeys(UTILISED, "number"),
}


def test_both_segments_have_kites_fields():
    answer = Desk().funds.margins(NOW)
    assert list(answer) == ["equity", "commodity"]
    for row in answer.values():
        assert fits(row, SHAPE)
        assert set(row["utilised"]) == set(UTILISED)
        assert set(row["available"]) == set(AVAILABLE)


def test_the_account_opens_with_money_a_payment_collateral_and_a_margin_tied_up():
    desk = Desk()
    equity = desk.funds.segment(NOW, "equity")
    assert equity["available"] == {
        "adhoc_margin": 0,
        "cash": 1_000_000,
        "opening_balance": 1_000_000,
        "live_balance": equity["net"],
        "collateral": 98_560,
        "intraday_payin": 25_000,
    }
    # One lot of 65 at 24 621.10: 9.3 % and 2 %.
    assert equity["utilised"]["span"] == pytest.approx(148_834.55, abs=0.01)
    assert equity["utilised"]["exposure"] == pytest.approx(32_007.43, abs=0.01)
    assert equity["net"] == pytest.approx(1_123_560 - 180_841.98, abs=0.01)
    assert desk.funds.segment(NOW, "commodity")["net"] == 200_000


def test_items_add_up_after_trades_of_every_sort():
    desk = Desk()
    desk.trade(RELIANCE, MIS, 100, "1400")
    desk.trade(RELIANCE, MIS, -50, "1410")
    desk.trade(SBIN, CNC, -20, "950")
    desk.trade(SBIN, MIS, -5, "950")
    desk.trade(CALL, NRML, -65, "480")
    desk.trade(GOLD, NRML, 1, "120000")
    for name, purse in (("equity", desk.account.equity), ("commodity", desk.account.commodity)):
        row = desk.funds.segment(NOW, name)
        have, used = row["available"], row["utilised"]
        charged = -(-int(purse.charges) // 10**6) / 10_000
        assert row["net"] == have["live_balance"] == int(purse.available) / 10_000
        assert row["net"] == pytest.approx(
            have["cash"] + have["intraday_payin"] + have["collateral"] - used["debits"]
        )
        assert used["debits"] == pytest.approx(
            used["span"]
            + used["exposure"]
            + used["option_premium"]
            + used["delivery"]
            + used["turnover"]
            + used["payout"]
            - used["m2m_realised"]
            - used["holding_sales"]
            + charged
        )
    used = desk.funds.segment(NOW, "equity")["utilised"]
    assert (used["m2m_realised"], used["holding_sales"], used["option_premium"]) == (
        500,
        19_000,
        -31_200,
    )
    assert used["turnover"] == 14_950
    assert desk.funds.segment(NOW, "commodity")["utilised"]["span"] == 144_000


def test_what_net_says_can_be_used_to_the_last_unit_and_not_beyond():
    desk = Desk(BARE)
    position = desk.account.position(SBIN, CNC)
    assert desk.funds.segment(NOW, "equity")["net"] == 1_000_000
    assert desk.account.reserve(position, 1, money(1_000_000) + Money(1), buy=True) is not None
    assert desk.account.reserve(position, 1, money(1_000_000), buy=True) is None
    assert desk.funds.segment(NOW, "equity")["net"] == 0


def test_commodities_are_traded_with_their_own_money():
    desk = Desk(BARE)
    gold = desk.account.position(GOLD, NRML)
    assert "available margin is 200000.00" in desk.account.reserve(
        gold, 2, price(120_000), buy=True
    )
    assert desk.account.reserve(gold, 1, price(120_000), buy=True) is None
    assert desk.funds.segment(NOW, "equity")["utilised"]["debits"] == 0


def test_money_comes_and_goes():
    desk = Desk(BARE)
    desk.funds.pay_in("equity", money(-400_000))
    row = desk.funds.segment(NOW, "equity")
    assert (row["net"], row["utilised"]["payout"], row["available"]["intraday_payin"]) == (
        600_000,
        400_000,
        0,
    )
    desk.funds.pay_in("commodity", money(50_000))
    assert desk.funds.segment(NOW, "commodity")["available"]["intraday_payin"] == 50_000


def test_one_purse_for_everything_is_the_equity_one():
    desk = Desk(BARE)
    floor = desk.floor
    floor.account = Account(money(500), desk.account._book, MarginRates())
    answer = Funds(floor).margins(NOW)
    assert (answer["equity"]["net"], answer["commodity"]["net"]) == (500, 0)
    assert (answer["equity"]["enabled"], answer["commodity"]["enabled"]) == (True, False)


def test_no_other_segment():
    with pytest.raises(KiteError, match="segment"):
        Desk().funds.segment(NOW, "currency")


def test_a_future_held_at_the_opening_ties_up_what_it_would_cost_to_buy():
    desk = Desk()
    assert desk.account.positions[FUTURE.id, NRML].blocked == money("180841.9795")
