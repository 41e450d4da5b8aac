"""A waiting limit and its queue: what stands before it, what moves it up, what makes it lose its place."""

import pytest
from paper_world import World

from kitestring.domain.orders import OrdType

LIMIT, SL = OrdType.LIMIT, OrdType.SL
# Five levels of bids: 23 999.50 × 130, .30 × 260, .20 × 520, .00 × 260, 23 998.80 × 715.
TIGHT = {"bid": ("23999.50", 130), "ask": ("24000.50", 130)}


def a_day(vol=1000):
    day = World()
    day.tick("10:00:00", "24000", **TIGHT, vol=vol)
    return day


def ahead(day, tag):
    return day.broker.matcher.orders[tag].ahead


@pytest.mark.parametrize(
    ("limit", "others"),
    [
        ("23999.60", 0),  # better than all of them
        ("23999.50", 130),
        ("23999.40", 0),  # a gap: nobody shows a price there
        ("23999.30", 260),
        ("23999.20", 520),
        ("23998.80", 715),
        ("23998.70", 715),  # beyond what is visible: as much as the last level
        ("23950", 715),
    ],
)
def test_a_buy_queues_behind_what_is_visible_at_its_price(limit, others):
    day = a_day()
    day.buy("A", 65, LIMIT, price=limit)
    assert day.told == ["A NEW"]
    assert ahead(day, "A") == others


def test_a_sale_queues_behind_what_is_offered_at_its_price():
    day = a_day()
    day.sell("A", 65, LIMIT, price="24000.50")
    day.sell("B", 65, LIMIT, price="24000.60")
    assert sorted(day.told) == ["A NEW", "B NEW"]
    assert (ahead(day, "A"), ahead(day, "B")) == (130, 195)


def test_what_trades_at_the_price_goes_to_those_before_it_first():
    day = a_day()
    day.buy("A", 195, LIMIT, price="23999.50")
    day.tick("10:00:01", "23999.50", **TIGHT, vol=1130)
    assert day.told == ["A NEW"]
    assert ahead(day, "A") == 0
    day.tick("10:00:02", "23999.50", **TIGHT, vol=1195)
    day.tick("10:00:03", "23999.50", **TIGHT, vol=1455)
    assert day.told[1:] == ["A TRADE 65 @ 23999.50", "A TRADE 130 @ 23999.50"]


def test_trading_at_a_better_price_moves_nobody_up():
    day = a_day()
    day.buy("A", 65, LIMIT, price="23999.50")
    day.tick("10:00:01", "24000", **TIGHT, vol=5000)
    assert day.told == ["A NEW"]
    assert ahead(day, "A") == 130


def test_trading_through_the_price_clears_what_was_before_it():
    day = a_day()
    day.buy("A", 130, LIMIT, price="23999.50")
    day.tick("10:00:01", "23999.40", **TIGHT, vol=1065)
    assert day.told == ["A NEW", "A TRADE 65 @ 23999.50"]
    assert ahead(day, "A") == 0


def test_our_orders_at_one_price_fill_in_their_order_and_share_nothing():
    day = a_day()
    day.buy("A", 65, LIMIT, price="23999.50")
    day.tick("10:00:01", "24000", **TIGHT, vol=1000)
    day.buy("B", 65, LIMIT, price="23999.50")
    day.tick("10:00:02", "24000", **TIGHT, vol=1000)
    day.tick("10:00:03", "23999.50", **TIGHT, vol=1195)  # 130 before them, then 65
    assert day.told == ["A NEW", "B NEW", "A TRADE 65 @ 23999.50"]
    assert ahead(day, "B") == 0
    day.tick("10:00:04", "23999.50", **TIGHT, vol=1260)
    assert day.told[3:] == ["B TRADE 65 @ 23999.50"]


def test_a_later_order_is_never_before_an_earlier_one_of_ours():
    day = a_day()
    day.buy("A", 65, LIMIT, price="23999.50")
    thin = {"bid": ("23999.50", 65), "ask": ("24000.50", 130)}
    day.tick("10:00:01", "24000", **thin, vol=1000)
    day.buy("B", 65, LIMIT, price="23999.50")
    day.tick("10:00:02", "24000", **thin, vol=1000)
    assert (ahead(day, "A"), ahead(day, "B")) == (130, 130)


@pytest.mark.parametrize(
    ("change", "then"),
    [
        ({"order_qty": 65}, 65),  # less keeps its place
        ({"order_qty": 195}, 130),  # more loses it
        ({"price": "23999.30"}, 260),
        ({"price": "23999.50"}, 65),  # nothing changed
    ],
)
def test_what_a_change_makes_of_the_place(change, then):
    day = a_day()
    day.buy("A", 130, LIMIT, price="23999.50")
    day.tick("10:00:01", "23999.50", **TIGHT, vol=1065)
    day.modify("A", **change)
    assert day.told == ["A NEW", "A REPLACED"]
    assert ahead(day, "A") == then


def test_a_smaller_order_stays_before_the_one_behind_it():
    day = a_day()
    day.buy("A", 130, LIMIT, price="23999.50")
    day.tick("10:00:01", "24000", **TIGHT, vol=1000)
    day.buy("B", 65, LIMIT, price="23999.50")
    day.tick("10:00:02", "24000", **TIGHT, vol=1000)
    day.modify("A", order_qty=65)
    day.tick("10:00:03", "24000", **TIGHT, vol=1000)
    day.tick("10:00:04", "23999.50", **TIGHT, vol=1195)
    assert day.told[3:] == ["A TRADE 65 @ 23999.50"]


def test_a_released_stop_queues_where_it_comes_to_rest():
    day = a_day()
    day.sell("A", 65, SL, stop_px="23980", price="23970")
    quotes = {"bid": ("23960", 65), "ask": ("23970", 195)}
    day.tick("10:00:01", "23965", **quotes, vol=1065)
    assert day.told == ["A NEW", "A TRIGGERED"]
    assert ahead(day, "A") == 195


def test_an_order_that_came_before_any_depth_joins_when_it_is_shown():
    day = World()
    day.tick("10:00:00", "24000", vol=1000)
    day.buy("A", 65, LIMIT, price="23999.50")
    day.tick("10:00:01", "24000", vol=1000)
    assert ahead(day, "A") == -1
    day.tick("10:00:02", "23999.50", **TIGHT, vol=2000)
    assert day.told == ["A NEW"]
    assert ahead(day, "A") == 130


def test_without_depth_a_touched_price_fills_nothing():
    day = World()
    day.tick("10:00:00", "24000", vol=1000)
    day.buy("A", 65, LIMIT, price="23990")
    day.tick("10:00:01", "24000", vol=1000)
    day.tick("10:00:02", "23990", vol=9000)
    assert day.told == ["A NEW"]
    day.tick("10:00:03", "23989.90", vol=9400)
    assert day.told == ["A NEW", "A TRADE 65 @ 23990.00"]


def test_two_large_orders_do_not_have_the_same_levels():
    day = a_day()  # offers: 130, 195, 325, 585, 325
    day.buy("A", 650, LIMIT, price="24010")
    day.buy("B", 1300, LIMIT, price="24010")
    trades = [line.split(" ", 2)[2] for line in day.told if "TRADE" in line]
    # B was the faster one; of the last level it left 260.
    assert trades == [
        "130 @ 24000.50",
        "195 @ 24000.60",
        "325 @ 24000.70",
        "585 @ 24000.90",
        "65 @ 24001.10",
        "260 @ 24001.10",
    ]


def test_the_places_in_a_queue_survive_a_crash():
    wide = {"bid": ("23999.50", 260), "ask": ("24000.50", 130)}
    frames = [
        ("10:00:00", "24000", TIGHT, 1000),
        ("10:00:01", "24000", wide, 1000),
        ("10:00:02", "23999.50", wide, 1065),
        ("10:00:03", "23999.50", wide, 1195),
        ("10:00:04", "23999.50", wide, 1260),
        ("10:00:05", "23999.50", wide, 1390),
    ]

    def lived(day, until=6):
        for number, (at, px, quotes, vol) in enumerate(frames[:until], 1):
            day.tick(at, px, **quotes, vol=vol)
            if number == 1:
                day.buy("A", 65, LIMIT, price="23999.50")
            if number == 2:
                day.buy("B", 65, LIMIT, price="23999.50")
            if number == 4:
                day.buy("C", 65, LIMIT, price="23900")  # the ledger goes on after the last trade

    whole = World()
    lived(whole, 5)
    assert whole.told == ["A NEW", "B NEW", "A TRADE 65 @ 23999.50", "C NEW"]
    # 65, then 130 less the 65 that A had of them, then 65
    assert ahead(whole, "B") == 260 - 65 - 65 - 65
    for dies_after in range(1, 6):
        first, again = World(), World()
        lived(first, dies_after)
        assert first.told
        again.broker.recover(first.ledger.records, first.now, dies_after)
        again.ledger.records.extend(first.ledger.records)
        for number, (at, px, quotes, vol) in enumerate(frames, 1):
            again.tick(at, px, **quotes, vol=vol)
            if number == 1:
                again.buy("A", 65, LIMIT, price="23999.50")
            if number == 2:
                again.buy("B", 65, LIMIT, price="23999.50")
            if number == 4:
                again.buy("C", 65, LIMIT, price="23900")
            if number == 5:
                assert ahead(again, "B") == 65, dies_after
        assert again.told[-1] == "B TRADE 65 @ 23999.50", dies_after
