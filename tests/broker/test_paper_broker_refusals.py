"""The refusals a real account gets, as the broker tells them."""

from paper_world import BSE_SHARE, CALL, EXPIRED, FUTURE, INDEX, SHARE, TwentyAnOrder, World

from kitestring.domain.money import price
from kitestring.domain.orders import OrdType, Product
from kitestring.exchange.fill_models import INSTANT

LIMIT, SL_M = OrdType.LIMIT, OrdType.SL_M
QUOTES = {"bid": ("23999.50", 650), "ask": ("24000.50", 650)}


def test_each_is_a_report_with_a_sentence():
    day = World()
    day.tick("10:00:00", "24000", **QUOTES)
    day.tick("10:00:00", "100", bid=("99.95", 650), ask=("100", 650), of=BSE_SHARE)
    day.tick("10:00:00", "100", bid=("99.95", 650), ask=("100", 650), of=CALL)
    day.buy("A", 65, instrument="NFO:NOSUCH")
    day.buy("B", 65, instrument=EXPIRED.id)
    day.buy("C", 1, instrument=INDEX.id)
    day.buy("D", 60)
    day.buy("E", 1820)
    day.buy("F", 65, LIMIT, price="25000")
    day.buy("G", 1, SL_M, stop_px="110", instrument=BSE_SHARE.id)
    day.buy("H", 65, SL_M, stop_px="110", instrument=CALL.id)
    day.buy("THIS-TAG-IS-TOO-LONG-", 65)
    day.sell("J", 1, instrument=BSE_SHARE.id, product=Product.CNC)
    gone = "The instrument you are placing an order for has either expired or does not exist."
    assert sorted(day.told) == [
        f"A REJECTED {gone} Please check the trading symbol.",
        f"B REJECTED {gone} NIFTY26OCTFUT expired on 2026-10-27.",
        "C REJECTED NIFTY 50 is an index and cannot be traded.",
        "D REJECTED Quantity should be in multiples of 65. You asked for 60.",
        (
            "E REJECTED Quantity 1820 is above the freeze quantity of 1800."
            " Place it in smaller orders."
        ),
        ("F REJECTED Price exceeds circuit limits. 25000.00 is outside 23520.00 - 24480.00."),
        "G REJECTED SL-M orders are not allowed on BSE. Use SL with a limit price.",
        "H REJECTED SL-M orders are blocked for options. Use SL with a limit price.",
        "J REJECTED Insufficient holdings. Shares cannot be sold short for delivery.",
        "THIS-TAG-IS-TOO-LONG- REJECTED Invalid `tag`. It may have at most 20 characters.",
    ]
    assert day.broker.snapshot(day.now + 999_000).net_qty == {}


def test_an_order_beyond_the_margin_is_refused():
    day = World(cash="177000")
    day.tick("10:00:00", "24000", **QUOTES)
    day.buy("A", 65)
    assert day.told == [
        (
            "A REJECTED Insufficient funds. Required margin is 177161.40 but available margin is"
            " 177000.00. Check the orderbook for open orders."
        )
    ]


def test_an_exit_needs_no_margin():
    day = World(cash="188200")
    day.tick("10:00:00", "24000", **QUOTES)
    day.buy("A", 65)
    day.tick("10:00:02", "23900", bid=("23899", 650), ask=("23900", 650))
    day.sell("B", 65)
    assert day.told == ["A NEW", "A TRADE 65 @ 24000.50", "B NEW", "B TRADE 65 @ 23899.00"]


def test_charges_lessen_what_can_be_traded_with():
    day = World(cash="1000", book=TwentyAnOrder())
    day.tick("10:00:00", "100", bid=("99.95", 99), ask=("100", 99), of=SHARE)
    day.buy("A", 1, LIMIT, price="100", instrument=SHARE.id, product=Product.CNC)
    assert day.told == ["A NEW", "A TRADE 1 @ 100.00"]
    day.tick("10:00:02", "100", bid=("99.95", 99), ask=("100", 99), of=SHARE)
    day.buy("B", 9, LIMIT, price="100", instrument=SHARE.id, product=Product.CNC)
    assert day.told[2:] == [
        (
            "B REJECTED Insufficient funds. Required margin is 900.00 but available margin is"
            " 880.00. Check the orderbook for open orders."
        )
    ]


def test_in_the_buffer_and_after_the_close_nothing_is_taken():
    day = World()
    day.tick("09:09:00", "24000", **QUOTES)
    day.buy("A", 65)
    day.tick("15:39:59.990", "24000", **QUOTES)
    day.buy("B", 65)
    assert day.told == [
        "A REJECTED Orders are not accepted in this phase of the session (buffer).",
        "B REJECTED Markets are closed right now. Your order cannot be placed.",
    ]


def test_after_the_square_off_time_intraday_positions_are_closed_only():
    day = World(opening={(FUTURE.id, Product.MIS): (65, price(24000))})
    day.tick("15:25:00", "24000", **QUOTES)
    day.buy("A", 65)
    day.sell("B", 65)
    day.buy("C", 65, product=Product.NRML)
    assert sorted(day.told) == [
        "A REJECTED Intraday (MIS) orders are blocked after the square-off time. Use NRML or CNC.",
        "B NEW",
        "B TRADE 65 @ 23999.50",
        "C NEW",
        "C TRADE 65 @ 24000.50",
    ]


def test_without_a_last_price_a_market_order_is_refused_and_a_limit_waits():
    day = World(INSTANT)
    day.tick("10:00:00", "100", of=SHARE)
    day.buy("A", 65)
    day.buy("B", 65, LIMIT, price="24000")
    assert day.told == [
        ("A REJECTED Market orders are blocked until the instrument has traded today. Use LIMIT."),
        "B NEW",
    ]


def test_carried_shares_may_be_sold_for_delivery():
    day = World(opening={(SHARE.id, Product.CNC): (10, price(90))})
    day.tick("10:00:00", "100", bid=("99.95", 99), ask=("100", 99), of=SHARE)
    day.sell("A", 10, instrument=SHARE.id, product=Product.CNC)
    assert day.told == ["A NEW", "A TRADE 10 @ 99.95"]
    assert day.broker.matcher.account.realised == 995_000
