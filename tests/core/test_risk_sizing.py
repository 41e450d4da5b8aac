"""How much to trade: rupees at risk, whole lots, and the refusals in rupees."""

from __future__ import annotations

import msgspec
import pytest
from risk_desk import NIFTY, SHARE, TEN, engine, request, standing, strategy

from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.money import money
from kitestring.domain.orders import OrdType, Product, Purpose, Side
from kitestring.domain.verdicts import Approved, Blocked, Reduced


def qty_of(verdict):
    assert isinstance(verdict, Approved), verdict
    return verdict.intent.order_qty


def refusal(verdict):
    assert isinstance(verdict, Blocked), verdict
    return verdict.code, verdict.sentence


def test_a_share_ten_rupees_from_its_stop_is_bought_250_times_for_a_risk_of_2500():
    verdict = engine().check_entry(request(), standing())
    assert isinstance(verdict, Approved)
    order = verdict.intent
    assert (order.side, order.order_qty, order.closes_qty) == (Side.BUY, 250, 0)
    assert (order.ord_type, order.purpose, order.product) == (
        OrdType.MARKET,
        Purpose.ENTRY,
        Product.MIS,
    )
    assert (order.decision_px, order.signal_id, order.reason) == (
        10_000_000,
        "s1",
        "fast above slow",
    )


def test_a_short_is_sized_from_the_stop_above_it():
    verdict = engine().check_entry(request(side=Side.SELL, stop="1010"), standing())
    assert qty_of(verdict) == 250


def test_lots_are_rounded_down_never_up():
    # 2,500 / 13 a lot of 65: 38.46 points is one lot, 19.23 two, 19.24 one.
    two = engine().check_entry(request(instrument=NIFTY, px="25000", stop="24980.80"), standing())
    one = engine().check_entry(request(instrument=NIFTY, px="25000", stop="24980.70"), standing())
    assert (qty_of(two), qty_of(one)) == (130, 65)


def test_one_lot_too_large_for_the_risk_is_refused_in_rupees():
    verdict = engine().check_entry(request(instrument=NIFTY, px="25000", stop="24950"), standing())
    assert refusal(verdict) == ("TOO_SMALL", "one lot risks ₹3,250, your limit is ₹2,500")


def test_the_spread_of_the_quote_counts_as_slippage_of_the_stop():
    # ₹9.50 to the stop and 50 paise of spread risk ₹10 a share.
    verdict = engine().check_entry(request(stop="990.50", bid="999.75", ask="1000.25"), standing())
    assert qty_of(verdict) == 250


def test_a_strategy_with_its_own_capital_is_sized_from_it():
    settings = strategy(capital=money(400_000))
    assert qty_of(engine().check_entry(request(settings=settings), standing())) == 100


def test_a_strategy_cannot_size_from_more_than_the_account():
    settings = strategy(capital=money(9_000_000))
    assert qty_of(engine().check_entry(request(settings=settings), standing())) == 250


def test_no_stop_and_no_lots_cannot_be_sized():
    code, sentence = refusal(engine().check_entry(request(stop=None), standing()))
    assert code == "NO_STOP"
    assert sentence.startswith("ema gave no stop")


def test_fixed_lots_need_no_stop():
    verdict = engine().check_entry(request(stop=None, lots=40), standing())
    assert qty_of(verdict) == 40


def test_fixed_lots_with_a_stop_are_cut_to_the_risk_of_one_trade():
    verdict = engine().check_entry(request(lots=251), standing())
    assert isinstance(verdict, Reduced)
    assert (verdict.code, verdict.asked_qty, verdict.approved.intent.order_qty) == (
        "PER_TRADE_RISK",
        251,
        250,
    )
    assert verdict.sentence == "251 lots would risk ₹2,510, your limit is ₹2,500; 250 fit."
    assert qty_of(engine().check_entry(request(lots=250), standing())) == 250


def test_fixed_lots_of_which_not_one_fits_are_refused():
    verdict = engine().check_entry(
        request(instrument=NIFTY, px="25000", stop="24950", lots=1), standing()
    )
    assert refusal(verdict)[0] == "TOO_SMALL"


@pytest.mark.parametrize(
    ("side", "stop"), [(Side.BUY, "1000"), (Side.BUY, "1010"), (Side.SELL, "990")]
)
def test_a_stop_on_the_wrong_side_is_refused(side, stop):
    verdict = engine().check_entry(request(side=side, stop=stop), standing())
    assert refusal(verdict)[0] == "STOP_SIDE"


def test_a_reversal_closes_first_and_then_opens_the_new_quantity():
    verdict = engine().check_entry(request(closes=120), standing(open_positions=1))
    assert isinstance(verdict, Approved)
    assert (verdict.intent.order_qty, verdict.intent.closes_qty) == (370, 120)


def test_the_multiplier_is_part_of_the_risk():
    tenfold = msgspec.structs.replace(SHARE, multiplier=10)
    assert qty_of(engine().check_entry(request(instrument=tenfold), standing())) == 25


def test_a_quantity_above_the_freeze_is_one_intent_of_at_most_ten_slices():
    frozen = msgspec.structs.replace(NIFTY, freeze_qty=1800)
    open_handed = RiskSettings(
        max_gross_exposure_x=1e6,
        max_net_exposure_x=1e6,
        max_symbol_exposure_x=1e6,
        max_orders_per_second=100,
    )
    # The largest slice is 27 lots of 65 = 1,755; ten of them are 17,550 = 270 lots.
    fits = engine(open_handed).check_entry(
        request(instrument=frozen, stop=None, lots=270), standing()
    )
    assert qty_of(fits) == 17_550
    cut = engine(open_handed).check_entry(
        request(instrument=frozen, stop=None, lots=271), standing()
    )
    assert isinstance(cut, Reduced)
    assert (cut.code, cut.approved.intent.order_qty, cut.asked_qty) == ("FREEZE", 17_550, 17_615)


def test_slices_are_bound_by_the_orders_entries_may_still_send():
    open_handed = RiskSettings(
        max_gross_exposure_x=1e6, max_net_exposure_x=1e6, max_symbol_exposure_x=1e6
    )
    # Eight a second leave six to entries: 6 × 1,755.
    cut = engine(open_handed).check_entry(
        request(instrument=NIFTY, stop=None, lots=200), standing()
    )
    assert isinstance(cut, Reduced)
    assert (cut.code, cut.approved.intent.order_qty) == ("FREEZE", 10_530)


def test_slices_leave_room_for_orders_already_sent_and_for_what_is_closed_first():
    open_handed = RiskSettings(
        max_gross_exposure_x=1e6, max_net_exposure_x=1e6, max_symbol_exposure_x=1e6
    )
    desk = engine(open_handed)
    desk.order_sent(TEN, is_entry=False)
    desk.order_sent(TEN, is_entry=True)
    # Four of the six are left: 4 × 1,755 = 7,020, of which 1,300 close first.
    cut = desk.check_entry(request(instrument=NIFTY, stop=None, lots=200, closes=1300), standing())
    assert isinstance(cut, Reduced)
    assert (cut.code, cut.approved.intent.order_qty, cut.approved.intent.closes_qty) == (
        "FREEZE",
        7_020,
        1_300,
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"capital": 0}, "ema has a capital of ₹0.00"),
        ({"lots": 0}, "ema has 0 fixed lots"),
        ({"lots": -3}, "ema has -3 fixed lots"),
    ],
)
def test_a_strategy_that_cannot_be_sized_stops_the_start(changes, words):
    with pytest.raises(ConfigError, match=words):
        engine().admit(strategy(**changes))
