"""Protection, validity in minutes and disclosed quantity: what an order may ask for besides its price."""

import datetime as dt

import pytest
from floor_day import BIG, CALL, FUTURE, LIMIT, NRML, SHARE, SL_M, FloorDay

from kitestring.domain.money import price
from kitestring.domain.orders import OrdType, TimeInForce
from kitestring.exchange.order_book import UNPROTECTED

MARKET, DAY = OrdType.MARKET, TimeInForce.DAY
MARCH, APRIL = dt.date(2026, 3, 30), dt.date(2026, 4, 1)
NONE_SENT = (
    "Market orders without market protection are not allowed via API."
    " Please set market protection or use a Limit order."
)
TIGHT = {"bid": ("23999.50", 65), "ask": ("24000.50", 65)}


def a_day(date=APRIL, **parts):
    day = FloorDay(date, **parts)
    day.tick("10:00:00", "24000", **TIGHT, of=FUTURE, vol=1000)
    return day


# ── market protection, either side of 1 Apr 2026 ─────────────────────────────────────────────


@pytest.mark.parametrize("kind", [MARKET, SL_M])
def test_without_protection_market_orders_are_refused_since_april_2026(kind):
    fields = {"stop": "24010"} if kind is SL_M else {}
    for date, expected in ((MARCH, "A NEW"), (APRIL, f"A REJECTED {NONE_SENT}")):
        day = a_day(date)
        day.buy("A", 65, kind, of=FUTURE, product=NRML, protection_bp=UNPROTECTED, **fields)
        assert day.told[0] == expected


@pytest.mark.parametrize(
    ("date", "protection", "limit"),
    [
        (APRIL, 0, "24120"),  # -1 at Kite: the band of an index future, 0.5 %
        (APRIL, 100, "24240"),
        (APRIL, 1, "24002.40"),
        (MARCH, UNPROTECTED, "24480"),  # as far as limits are taken: 2 %
    ],
)
def test_a_market_order_becomes_a_limit_that_may_rest(date, protection, limit):
    day = a_day(date)
    day.buy("A", 1755, of=FUTURE, product=NRML, protection_bp=protection)
    day.tick("10:00:02", "24600", ("24590", 65), ("24600", 65), of=FUTURE, vol=1000)
    assert day.told
    assert (order := day.floor.orders["A"]).limit_px == price(limit)
    assert 0 < order.filled < 1755


def test_a_limit_needs_protection_only_to_become_a_market_order():
    day = a_day()
    day.buy("A", 65, LIMIT, price="23900", of=FUTURE, product=NRML, protection_bp=UNPROTECTED)
    day.wait("10:00:02")
    day.modify("A", ord_type=MARKET)
    day.wait("10:00:04")
    day.modify("A", ord_type=MARKET, protection_bp=0)
    assert day.told == [
        "A NEW",
        f"A REPLACE_REJECTED {NONE_SENT}",
        "A REPLACED",
        "A TRADE 65 @ 24000.50",
    ]


def test_a_changed_protection_moves_the_limit_of_a_market_order():
    day = a_day()
    day.buy("A", 1755, of=FUTURE, product=NRML, protection_bp=1)
    day.wait("10:00:02")
    day.modify("A", protection_bp=10)
    day.wait("10:00:04")
    assert day.floor.orders["A"].limit_px == price("24024")


# ── validity in minutes ──────────────────────────────────────────────────────────────────────


def lapsed(day, tag="A"):
    return [line for line in day.told if line.startswith(f"{tag} CANCELED")]


def test_an_order_lapses_after_its_minutes():
    day = a_day()
    day.buy("A", 65, LIMIT, price="23900", of=FUTURE, product=NRML, ttl_minutes=5)
    day.buy("B", 65, LIMIT, price="23900", of=FUTURE, product=NRML)
    day.wait("10:04:59")
    assert lapsed(day) == []
    day.wait("10:05:02")
    assert lapsed(day) == ["A CANCELED The order's validity of 5 minutes is over."]
    assert lapsed(day, "B") == []
    assert set(day.floor.orders) == {"B"}


@pytest.mark.parametrize(
    ("change", "gone_at"),
    [
        ({"ttl_minutes": 10}, "10:13:02"),
        ({"ttl_minutes": 1}, "10:04:02"),
        ({"validity": DAY}, "15:30:01"),
        ({"qty": 130}, "10:05:02"),  # other changes leave it alone
    ],
)
def test_a_changed_validity_counts_from_the_change(change, gone_at):
    day = a_day()
    day.buy("A", 65, LIMIT, price="23900", of=FUTURE, product=NRML, ttl_minutes=5)
    day.wait("10:03:00")
    day.modify("A", **change)
    day._listen(day.clock(gone_at) - 2_000_000)
    assert "A" in day.floor.orders
    day.wait(gone_at)
    assert "A" not in day.floor.orders


def test_validity_in_minutes_survives_a_crash():
    def lived(day, until=5):
        for number in range(1, until + 1):
            day.tick(f"10:0{number}:00", "24000", **TIGHT, of=FUTURE, vol=1000)
            if number == 1:
                day.buy("A", 65, LIMIT, price="23900", of=FUTURE, product=NRML, ttl_minutes=1)
                day.buy("B", 65, LIMIT, price="23900", of=FUTURE, product=NRML, ttl_minutes=3)
            if number == 2:
                day.modify("B", ttl_minutes=2)

    whole = FloorDay(own_clock=False)
    lived(whole)
    assert [line for line in whole.told if "CANCELED" in line] == [
        "A CANCELED The order's validity of 1 minutes is over.",
        "B CANCELED The order's validity of 2 minutes is over.",
    ]
    for dies_after in range(1, 5):
        first = FloorDay(own_clock=False)
        lived(first, dies_after)
        again = FloorDay(
            own_clock=False, records=first.ledger.records, at=first.now, position=dies_after
        )
        lived(again)
        assert again.ledger.records == whole.ledger.records, dies_after


# ── disclosed quantity ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("disclosed", "answer"),
    [
        (10, "A NEW"),
        (100, "A NEW"),
        (
            9,
            "A REJECTED Disclosed quantity should be at least 10 % of the quantity and not above it.",
        ),
        (
            101,
            "A REJECTED Disclosed quantity should be at least 10 % of the quantity and not above it.",
        ),
    ],
)
def test_a_disclosed_quantity_is_a_tenth_to_the_whole(disclosed, answer):
    day = FloorDay()
    day.tick("10:00:00", "100", ("99.95", 50), ("100", 50))
    day.buy("A", 100, LIMIT, price="99", disclosed_qty=disclosed)
    assert day.told == [answer]


def test_only_shares_are_disclosed_in_part():
    day = a_day()
    day.buy("A", 65, LIMIT, price="23900", of=FUTURE, product=NRML, disclosed_qty=65)
    assert day.told == ["A REJECTED Disclosed quantity is allowed for equity only."]


# ── what is dated and what is not: both sides of the three days ──────────────────────────────


@pytest.mark.parametrize(
    "date",
    [
        dt.date(2026, 3, 30),
        dt.date(2026, 4, 1),
        dt.date(2026, 7, 31),
        dt.date(2026, 8, 3),
        dt.date(2026, 12, 4),
        dt.date(2026, 12, 7),
    ],
)
def test_lot_tick_freeze_bands_and_stops_are_judged_alike_on_every_side_of_2026_s_changes(date):
    day = FloorDay(date)
    day.tick("10:00:00", "24000", **TIGHT, of=FUTURE, vol=1000)
    day.tick("10:00:00", "100", ("99.95", 650), ("100", 650), of=CALL)
    day.tick("10:00:00", "1000", ("999.95", 650), ("1000", 650), of=BIG)
    day.tick("10:00:00", "1000", ("999.95", 650), ("1000", 650), of=SHARE)
    of_future = {"of": FUTURE, "product": NRML}
    day.buy("lot", 60, LIMIT, price="24000", **of_future)
    day.buy("freeze", 1820, LIMIT, price="24000", **of_future)
    day.buy("tick", 65, LIMIT, price="24000.05", **of_future)
    day.buy("lpp", 65, LIMIT, price="24480.10", **of_future)
    day.buy("option", 65, LIMIT, price="140.05", of=CALL, product=NRML)
    day.buy("slm", 65, SL_M, stop="120", of=CALL, product=NRML)
    day.buy("band10", 1, LIMIT, price="1100.05", of=BIG)
    day.buy("band20", 1, LIMIT, price="1200.05", of=SHARE)
    day.buy("T" * 21, 1, LIMIT, price="1000", of=SHARE)
    assert sorted(day.told) == [
        f"{'T' * 21} REJECTED Invalid `tag`. It may have at most 20 characters.",
        "band10 REJECTED Price exceeds circuit limits. 1100.05 is outside 900.00 - 1100.00.",
        "band20 REJECTED Price exceeds circuit limits. 1200.05 is outside 800.00 - 1200.00.",
        "freeze REJECTED Quantity 1820 is above the freeze quantity of 1800."
        " Place it in smaller orders.",
        "lot REJECTED Quantity should be in multiples of 65. You asked for 60.",
        "lpp REJECTED Price exceeds circuit limits. 24480.10 is outside 23520.00 - 24480.00.",
        "option REJECTED Price exceeds circuit limits. 140.05 is outside 60.00 - 140.00.",
        "slm REJECTED SL-M orders are blocked for options. Use SL with a limit price.",
        "tick REJECTED Tick size for this instrument is 0.10. Check the price.",
    ]
