import pytest
from paper_world import CALL, FUTURE, IOC, SHARE, World

from kitestring.domain.money import price, rupees_text
from kitestring.domain.orders import OrdType, Product
from kitestring.exchange.fill_models import INSTANT

LIMIT, SL, SL_M = OrdType.LIMIT, OrdType.SL, OrdType.SL_M
TIGHT = {"bid": ("23999.50", 130), "ask": ("24000.50", 130)}


def test_a_market_buy_takes_the_ask():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65)
    assert day.told == ["A NEW", "A TRADE 65 @ 24000.50"]


def test_a_market_sale_takes_the_bid():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 65)
    assert day.told == ["A NEW", "A TRADE 65 @ 23999.50"]


def test_an_order_is_matched_on_the_market_it_meets_when_it_arrives():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65)
    day.tick("10:00:00.010", "24010", bid=("24009.50", 130), ask=("24010.50", 130))
    assert day.told == ["A NEW", "A TRADE 65 @ 24010.50"]


def test_reports_travel_there_and_back_and_are_never_early():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65)
    assert day.told_at == [
        "10:00:00.244876 A NEW",
        "10:00:00.244876 A TRADE 65 @ 24000.50",
    ]


def test_more_than_stands_there_fills_in_part_and_the_rest_takes_the_next_quotes():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 1755)
    day.tick("10:00:01", "24000", bid=("24000", 65), ask=("24001", 65))
    day.tick("10:00:02", "24000", bid=("24000", 65), ask=("24002", 650))
    assert day.told == [
        "A NEW",
        "A TRADE 130 @ 24000.50",  # five levels of 24 lots, best first
        "A TRADE 195 @ 24000.60",
        "A TRADE 325 @ 24000.70",
        "A TRADE 585 @ 24000.90",
        "A TRADE 325 @ 24001.10",
        "A TRADE 65 @ 24001.00",  # the next tick's five
        "A TRADE 65 @ 24001.10",
        "A TRADE 65 @ 24001.20",
    ]


def test_the_rest_of_a_market_order_waits_at_its_protection_price():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 1755)
    day.tick("10:00:01", "24300", bid=("24290", 650), ask=("24300", 650))
    assert day.told[-1] == "A TRADE 325 @ 24001.10"
    row = day.broker.snapshot(day.now).orders[0]
    assert (row.status, row.order_qty, row.cum_qty) == ("PARTIALLY_FILLED", 1755, 1560)
    # 24 000 plus 0.5 % of protection, from when it was a market order
    assert day.reports[0][1].price == price("24120")


def test_two_orders_do_not_have_the_same_lots_of_one_quote():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65)
    day.buy("B", 130)
    day.tick("10:00:01", "24001", bid=("24000.50", 130), ask=("24001.50", 130))
    trades = [line for line in day.told if "TRADE" in line]
    # B travelled faster and had the 130 at the best price; A had to go one level further.
    assert trades == ["B TRADE 130 @ 24000.50", "A TRADE 65 @ 24000.60"]


def test_a_waiting_limit_is_not_filled_by_a_touch():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT, vol=1000)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("10:00:01", "23990", bid=("23989.50", 130), ask=("23990.50", 130), vol=1715)
    # Beyond the visible levels 715 stand before it, the size of the last of them.
    assert day.told == ["A NEW"]


def test_a_waiting_limit_fills_at_its_price_when_the_market_trades_through():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT, vol=1000)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("10:00:01", "23989.90", bid=("23990.10", 130), ask=("23990.50", 130), vol=2000)
    assert day.told == ["A NEW", "A TRADE 65 @ 23990.00"]


def test_a_waiting_limit_fills_at_its_price_when_the_other_side_comes_to_it():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 130, LIMIT, price="24010")
    day.tick("10:00:01", "24009", bid=("24012", 65), ask=("24013", 650))
    # 65 stand at 24 012 and as many at 24 011.90
    assert day.told == ["A NEW", "A TRADE 130 @ 24010.00"]


def test_an_old_trade_beyond_the_limit_is_no_new_trade_through_it():
    day = World()
    day.tick("10:00:00", "23995", bid=("23999.50", 130), ask=("24000.50", 130), vol=1000)
    day.buy("A", 65, LIMIT, price="23999")
    day.tick("10:00:01", "23995", bid=("23999.50", 130), ask=("24000.50", 130), vol=1000)
    assert day.told == ["A NEW"]


def test_trading_through_fills_what_traded_at_most():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT, vol=10_000)
    day.buy("A", 1300, LIMIT, price="23990")
    day.tick("10:00:01", "23985", bid=("23990.10", 130), ask=("23991", 130), vol=11_000)
    assert day.told == ["A NEW", "A TRADE 975 @ 23990.00"]  # of 1 000, in lots of 65


def test_without_depth_a_stated_spread_is_paid():
    day = World()
    day.tick("10:00:00", "24000", vol=1000)
    day.buy("A", 65)
    assert day.told == ["A NEW", "A TRADE 65 @ 24002.40"]  # 1 bp


def test_without_depth_the_spread_is_three_times_as_wide_at_the_open():
    day = World()
    day.tick("09:16:00", "24000", vol=1000)
    day.sell("A", 65)
    assert day.told == ["A NEW", "A TRADE 65 @ 23992.80"]


def test_without_depth_no_more_than_a_quarter_of_the_volume_is_had_each_tick():
    day = World()
    day.tick("10:00:00", "24000", vol=100_000)
    day.tick("10:00:01", "24000", vol=100_800)
    day.buy("A", 390)
    day.tick("10:00:02", "24000", vol=101_600)
    assert day.told == ["A NEW", "A TRADE 195 @ 24002.40", "A TRADE 195 @ 24002.40"]


def test_an_absurd_spread_is_not_traded_with():
    day = World()
    day.tick("10:00:00", "380", bid=("301.15", 650), ask=("460", 650), of=CALL)
    day.buy("A", 65, LIMIT, price="460", instrument=CALL.id)
    assert day.told == ["A NEW"]


def test_a_lone_quote_far_from_the_last_price_is_not_traded_with():
    day = World()
    day.tick("10:00:00", "100", ask=("120", 650), of=CALL)
    day.buy("A", 65, LIMIT, price="130", instrument=CALL.id)
    assert day.told == ["A NEW"]


def test_nobody_buys_where_nobody_bids():
    day = World()
    day.tick("10:00:00", "24000", ask=("24000.50", 650))
    day.sell("A", 65)
    assert day.told == ["A NEW"]


def test_an_ioc_order_cancels_what_it_does_not_get():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 390, LIMIT, price="24000.60", time_in_force=IOC)
    assert day.told == [
        "A NEW",
        "A TRADE 130 @ 24000.50",
        "A TRADE 195 @ 24000.60",
        "A CANCELED The rest of an IOC order is cancelled.",
    ]


def test_a_stop_becomes_a_limit_when_its_trigger_trades():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 65, SL, stop_px="23980", price="23970")
    day.tick("10:00:01", "23980", bid=("23979", 65), ask=("23980", 65))
    assert day.told == ["A NEW", "A TRIGGERED", "A TRADE 65 @ 23979.00"]


def test_a_stop_that_is_gapped_rests_unfilled_until_the_market_comes_back():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 65, SL, stop_px="23980", price="23970")
    day.tick("10:00:01", "23900", bid=("23899", 65), ask=("23900", 65))
    assert day.told == ["A NEW", "A TRIGGERED"]
    day.tick("10:00:02", "23971", bid=("23970.50", 65), ask=("23971", 65))
    assert day.told == ["A NEW", "A TRIGGERED", "A TRADE 65 @ 23970.00"]


def test_a_stop_market_order_takes_the_quote_within_its_protection():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 65, SL_M, stop_px="23980")
    day.tick("10:00:01", "23970", bid=("23968", 65), ask=("23970", 65))
    assert day.told == ["A NEW", "A TRIGGERED", "A TRADE 65 @ 23968.00"]


def test_a_released_stop_outside_the_price_range_is_rejected():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 65, SL, stop_px="23980", price="23970")
    day.tick("10:00:01", "23400", bid=("23399", 65), ask=("23400", 65))
    assert day.told == [
        "A NEW",
        "A REJECTED Price exceeds circuit limits. 23970.00 is outside 22932.00 - 23868.00.",
    ]


def test_what_waits_at_the_close_lapses():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("15:40:00", "23900", bid=("23899", 65), ask=("23900", 65))
    assert day.told == ["A NEW", "A CANCELED The session is over; the order has lapsed."]


def test_instant_fills_a_market_order_at_the_last_price_at_once():
    day = World(INSTANT)
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 1300)
    assert day.told_at == ["10:00:00.000000 A NEW", "10:00:00.000000 A TRADE 1300 @ 24000.00"]


def test_instant_fills_a_marketable_limit_at_its_own_price():
    day = World(INSTANT)
    day.tick("10:00:00", "24000")
    day.buy("A", 65, LIMIT, price="24005")
    day.buy("B", 65, LIMIT, price="23995")
    assert day.told == ["A NEW", "A TRADE 65 @ 24005.00", "B NEW"]
    day.tick("10:00:01", "23995")
    assert day.told[3:] == ["B TRADE 65 @ 23995.00"]


def test_instant_triggers_stops_on_the_last_price():
    day = World(INSTANT)
    day.tick("10:00:00", "24000")
    day.sell("A", 65, SL_M, stop_px="23980")
    day.tick("10:00:01", "23970")
    assert day.told == ["A NEW", "A TRIGGERED", "A TRADE 65 @ 23970.00"]


def test_the_same_tag_is_the_same_order():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65)
    day.buy("A", 65)
    assert day.told == ["A NEW", "A TRADE 65 @ 24000.50"]
    day.buy("A", 65)
    assert len(day.told) == 2
    assert day.broker.snapshot(day.now).net_qty == {f"{FUTURE.id}/MIS": 65}


def test_a_waiting_order_is_cancelled():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("10:00:02", "24000", **TIGHT)
    day.cancel("A")
    assert day.told == ["A NEW", "A CANCELED"]


def test_a_cancel_that_loses_the_race_is_refused():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65)
    day.cancel("A")
    assert day.told == [
        "A NEW",
        "A TRADE 65 @ 24000.50",
        "A CANCEL_REJECTED Order cannot be cancelled as it is being processed or complete.",
    ]


def test_a_cancel_of_nothing_is_refused():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.cancel("A")
    assert day.told == [
        "A CANCEL_REJECTED The order cannot be cancelled because it does not exist."
    ]


def test_a_limit_is_moved_to_the_market_and_fills_there():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("10:00:02", "24000", **TIGHT)
    day.modify("A", price="24002")
    assert day.told == ["A NEW", "A REPLACED", "A TRADE 65 @ 24000.50"]


def test_a_limit_becomes_a_market_order():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 65, LIMIT, price="24100")
    day.tick("10:00:02", "24000", **TIGHT)
    day.modify("A", ord_type=OrdType.MARKET)
    assert day.told == ["A NEW", "A REPLACED", "A TRADE 65 @ 23999.50"]


def test_a_stop_is_trailed():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.sell("A", 65, SL_M, stop_px="23900")
    day.tick("10:00:02", "24100", bid=("24099", 65), ask=("24101", 65))
    day.modify("A", stop_px="24050")
    day.tick("10:00:04", "24050", bid=("24049", 65), ask=("24051", 65))
    assert day.told == ["A NEW", "A REPLACED", "A TRIGGERED", "A TRADE 65 @ 24049.00"]


@pytest.mark.parametrize("refused", [False, True])
def test_a_refused_change_leaves_the_margin_of_every_order_as_it_was(refused):
    day = World()
    day.tick("10:00:00", "24000", **TIGHT, vol=1000)
    day.buy("A", 65, LIMIT, price="23990")
    day.buy("B", 130, LIMIT, price="23600")
    day.tick("10:00:02", "24000", **TIGHT, vol=1000)
    if refused:
        day.modify("A", price="23990.05")
    day.cancel("A")
    assert day.told[-1] == "A CANCELED"
    # What is left works at the average of both, 23 730: 11.3 % of 130 × 23 730, rounded up.
    assert rupees_text(day.broker.matcher.account.blocked) == "348593.70"


def test_a_bad_change_leaves_the_order_as_it_was():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT, vol=1000)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("10:00:02", "24000", **TIGHT, vol=1000)
    day.modify("A", price="23990.05")
    day.tick("10:00:04", "23989", bid=("23990.50", 65), ask=("23991", 65), vol=2000)
    assert day.told == [
        "A NEW",
        "A REPLACE_REJECTED Tick size for this instrument is 0.10. Check the price.",
        "A TRADE 65 @ 23990.00",
    ]


def test_an_order_cannot_shrink_below_what_has_traded():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 195, LIMIT, price="24000.50")
    day.tick("10:00:01", "24020", bid=("24019", 65), ask=("24020", 65))
    day.modify("A", order_qty=130)
    assert day.told[2] == ("A REPLACE_REJECTED Quantity cannot be reduced to 130: 130 have traded.")


def test_the_twenty_sixth_change_is_refused():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 65, LIMIT, price="23900")
    for second in range(1, 27):
        day.tick(f"10:01:{second:02d}", "24000", **TIGHT)
        day.modify("A", price=f"{23900 + second}")
    assert day.told[:26] == ["A NEW"] + ["A REPLACED"] * 25
    assert day.told[26:] == ["A REPLACE_REJECTED An order can be modified at most 25 times."]


def test_a_snapshot_shows_orders_and_net_positions():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.tick("10:00:00", "500", bid=("499.95", 100), ask=("500", 100), of=SHARE)
    day.buy("A", 65)
    day.sell("B", 10, instrument=SHARE.id)
    day.buy("C", 65, LIMIT, price="23900", product=Product.NRML)
    day.buy("D", 60)
    assert len(day.told) == 6
    seen = day.broker.snapshot(day.now + 999_000)
    assert seen.net_qty == {f"{FUTURE.id}/MIS": 65, f"{SHARE.id}/MIS": -10}
    rows = {row.cl_ord_id: (row.status, row.cum_qty) for row in seen.orders}
    assert rows == {
        "A": ("FILLED", 65),
        "B": ("FILLED", 10),
        "C": ("NEW", 0),
        "D": ("REJECTED", 0),
    }


def test_a_snapshot_of_a_moment_ago_knows_nothing_of_what_came_later():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    sent = day.now
    day.buy("A", 65)
    day.tick("10:00:00.150", "24000", **TIGHT)
    seen = day.broker.snapshot(sent)
    assert [(row.status, row.cum_qty) for row in seen.orders] == [("PENDING_NEW", 0)]
    assert seen.net_qty == {}


def test_two_waiting_limits_share_what_came_through():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT, vol=1000)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("10:00:02", "24000", **TIGHT, vol=1000)
    day.buy("B", 65, LIMIT, price="23991")
    day.tick("10:00:04", "23989", bid=("23988", 65), ask=("23991.50", 65), vol=1065)
    assert day.told == ["A NEW", "B NEW", "B TRADE 65 @ 23991.00"]  # the better price first


def test_the_rest_of_a_market_order_that_the_market_left_waits_at_its_own_price():
    day = World()
    day.tick("10:00:00", "24000", **TIGHT)
    day.buy("A", 1755)
    day.tick("10:00:01", "24200", bid=("24199", 650), ask=("24200", 650))
    day.tick("10:00:02", "24110", bid=("24109", 650), ask=("24110", 650))
    assert day.told[-2:] == ["A TRADE 325 @ 24001.10", "A TRADE 195 @ 24120.00"]
