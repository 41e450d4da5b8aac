from paper_world import IOC, World

from kitestring.domain.orders import OrdType
from kitestring.exchange.fill_models import INSTANT

LIMIT, SL, SL_M = OrdType.LIMIT, OrdType.SL, OrdType.SL_M


def test_a_market_order_sent_at_the_close_fills_at_the_next_open():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.buy("A", 65)
    day.bar("10:01", "24007", "24020", "24000", "24015")
    assert day.told_at == [
        "10:01:00.000000 A NEW",
        "10:01:00.000000 A TRADE 65 @ 24007.00",
    ]


def test_a_stop_fills_at_its_price_inside_the_bar():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.sell("A", 65, SL_M, stop_px="23980")
    day.bar("10:01", "24000", "24010", "23970", "24005")
    assert day.told_at == [
        "10:01:00.000000 A NEW",
        "10:02:00.000000 A TRIGGERED",
        "10:02:00.000000 A TRADE 65 @ 23980.00",
    ]


def test_a_gapped_stop_fills_at_the_open():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.sell("A", 65, SL_M, stop_px="23980")
    day.bar("10:01", "23950", "23990", "23940", "23960")
    assert day.told_at == [
        "10:01:00.000000 A NEW",
        "10:01:00.000000 A TRIGGERED",
        "10:01:00.000000 A TRADE 65 @ 23950.00",
    ]


def test_a_stop_limit_gapped_beyond_its_limit_rests():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.sell("A", 65, SL, stop_px="23980", price="23970")
    day.bar("10:01", "23950", "23960", "23940", "23950")
    assert day.told == ["A NEW", "A TRIGGERED"]
    day.bar("10:02", "23950", "23971", "23940", "23950")
    assert day.told == ["A NEW", "A TRIGGERED", "A TRADE 65 @ 23970.00"]


def test_a_waiting_limit_fills_when_traded_through_not_when_touched():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.buy("A", 65, LIMIT, price="23980")
    day.bar("10:01", "24000", "24010", "23980", "24005")
    assert day.told == ["A NEW"]
    day.bar("10:02", "24000", "24010", "23979.90", "24005")
    assert day.told == ["A NEW", "A TRADE 65 @ 23980.00"]


def test_a_limit_already_good_at_the_open_fills_at_the_open():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.buy("A", 65, LIMIT, price="24006")
    day.bar("10:01", "24001", "24010", "23990", "24005")
    assert day.told == ["A NEW", "A TRADE 65 @ 24001.00"]


def test_stops_are_filled_before_limits_in_the_same_bar():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.sell("TARGET", 65, LIMIT, price="24050")
    day.sell("STOP", 65, SL_M, stop_px="23980")
    day.bar("10:01", "24000", "24060", "23970", "24005")
    assert day.told == [
        "TARGET NEW",
        "STOP NEW",
        "STOP TRIGGERED",
        "STOP TRADE 65 @ 23980.00",
        "TARGET TRADE 65 @ 24050.00",
    ]


def test_no_more_than_a_quarter_of_a_bars_volume_is_had():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005", vol=1000)
    day.buy("A", 650)
    day.bar("10:01", "24000", "24010", "23990", "24005", vol=1600)
    day.bar("10:02", "24002", "24010", "23990", "24005", vol=1600)
    assert day.told == ["A NEW", "A TRADE 390 @ 24000.00", "A TRADE 260 @ 24002.00"]


def test_an_ioc_order_has_one_open_only():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005", vol=1000)
    day.buy("A", 650, time_in_force=IOC)
    day.bar("10:01", "24000", "24010", "23990", "24005", vol=1600)
    assert day.told == [
        "A NEW",
        "A TRADE 390 @ 24000.00",
        "A CANCELED The rest of an IOC order is cancelled.",
    ]


def test_a_cancel_sent_at_the_close_is_there_before_the_next_bar():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.buy("A", 65, LIMIT, price="23980")
    day.bar("10:01", "24000", "24010", "23990", "24005")
    day.cancel("A")
    day.bar("10:02", "24000", "24010", "23900", "24005")
    assert day.told == ["A NEW", "A CANCELED"]


def test_a_limit_moved_through_the_market_fills_at_the_next_open():
    day = World()
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.buy("A", 65, LIMIT, price="23980")
    day.bar("10:01", "24000", "24010", "23990", "24005")
    day.modify("A", price="24100")
    day.bar("10:02", "24003", "24010", "23990", "24005")
    assert day.told == ["A NEW", "A REPLACED", "A TRADE 65 @ 24003.00"]


def test_instant_on_bars_fills_at_the_close_it_was_decided_on():
    day = World(INSTANT)
    day.bar("10:00", "24000", "24010", "23990", "24005")
    day.buy("A", 65)
    day.sell("B", 65, LIMIT, price="24020")
    day.bar("10:01", "24007", "24020", "24000", "24015")
    assert day.told_at == [
        "10:01:00.000000 A NEW",
        "10:01:00.000000 A TRADE 65 @ 24005.00",
        "10:01:00.000000 B NEW",
        "10:02:00.000000 B TRADE 65 @ 24020.00",
    ]
