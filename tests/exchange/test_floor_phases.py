"""What may be sent in each phase of the day, and what the auctions make of what waits for them."""

import datetime as dt

import pytest
from floor_day import (
    BIG,
    CALL,
    CNC,
    FUTURE,
    LIMIT,
    NRML,
    SHARE,
    SL,
    STOCK_FUTURE,
    FloorDay,
    contract,
)

from kitestring.domain.instruments import InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.domain.orders import OrdType, TimeInForce

MARKET, IOC = OrdType.MARKET, TimeInForce.IOC
BEFORE, AFTER, DECEMBER = dt.date(2026, 7, 31), dt.date(2026, 8, 3), dt.date(2026, 12, 7)
LATER = dt.date(2026, 9, 7)
QUOTES = {"bid": ("999", 500), "ask": ("1000", 500)}
KINDS = {"M": MARKET, "L": LIMIT, "S": SL, "I": LIMIT}


def taken(day, at, of):
    """Which of market, limit, stop and IOC orders are taken at a time: ``ML`` and so on."""
    floor = FloorDay(day, closes={of.id: price(1000)})
    if at >= "09:15":
        floor.tick("09:15:01", "1000", **QUOTES, of=of, vol=1000)
    floor.wait(at)
    product = CNC if of.kind is InstrumentKind.EQUITY else NRML
    for tag, kind in KINDS.items():
        fields = {} if kind is MARKET else {"price": "995"}
        if kind is SL:
            fields = {"price": "1002", "stop": "1001"}
        if tag == "I":
            fields["validity"] = IOC
        floor.buy(tag, of.lot_size, kind, of=of, product=product, **fields)
    answers = floor.told
    return "".join(tag for tag in KINDS if f"{tag} NEW" in answers)


@pytest.mark.parametrize(
    ("day", "of", "at", "expected"),
    [
        # ── pre-open: before and since 7 Sep 2026 ──
        (BEFORE, SHARE, "08:59:58", ""),
        (BEFORE, SHARE, "09:06", "ML"),
        (LATER, SHARE, "09:04", "ML"),
        (LATER, SHARE, "09:06", "L"),
        (BEFORE, SHARE, "09:09", ""),
        (LATER, SHARE, "09:09", "L"),
        (LATER, SHARE, "09:11", ""),
        (LATER, CALL, "09:04", ""),  # options have none
        (LATER, FUTURE, "09:04", "ML"),
        # ── continuous ──
        (AFTER, SHARE, "09:16", "MLSI"),
        (AFTER, SHARE, "15:29", "MLSI"),
        (AFTER, SHARE, "15:31", ""),
        # ── shares with derivatives, either side of 3 Aug and 7 Dec ──
        (BEFORE, BIG, "15:16", "MLSI"),
        (BEFORE, BIG, "15:29", "MLSI"),
        (AFTER, BIG, "15:14", "MLSI"),
        (AFTER, BIG, "15:16", ""),
        (AFTER, BIG, "15:21", "ML"),
        (AFTER, BIG, "15:26", "L"),
        (AFTER, BIG, "15:31", ""),
        (AFTER, BIG, "15:36", ""),
        (DECEMBER, BIG, "15:29", "MLSI"),
        (DECEMBER, BIG, "15:30:20", ""),
        (DECEMBER, BIG, "15:32", "ML"),
        (DECEMBER, BIG, "15:37", "L"),
        (DECEMBER, BIG, "15:41", ""),
        # ── post-close ──
        (BEFORE, SHARE, "15:41", "M"),
        (AFTER, SHARE, "15:41", ""),
        (AFTER, SHARE, "15:51", "M"),
        (AFTER, SHARE, "16:00", ""),
        # ── derivatives ──
        (BEFORE, STOCK_FUTURE, "15:31", ""),
        (AFTER, STOCK_FUTURE, "15:39", "MLSI"),
        (AFTER, STOCK_FUTURE, "15:41", ""),
        (DECEMBER, STOCK_FUTURE, "15:44", "MLSI"),
        (DECEMBER, STOCK_FUTURE, "15:46", ""),
    ],
)
def test_which_orders_are_taken_when(day, of, at, expected):
    assert taken(day, at, of) == expected


@pytest.mark.parametrize(
    ("name", "of_index", "until"), [("NIFTY", True, "15:30"), ("BIG", False, "15:45")]
)
def test_index_contracts_stop_early_on_the_day_they_expire(name, of_index, until):
    expiring = contract(
        "NFO", "X", InstrumentKind.FUTURE, Segment.FUTURES, name=name, expiry=dt.date(2026, 12, 29)
    )
    day = FloorDay(dt.date(2026, 12, 29), instruments={expiring.id: expiring})
    assert day.floor.markets[expiring.id].close_at == day.clock(until)
    before = FloorDay(dt.date(2026, 12, 28), instruments={expiring.id: expiring})
    assert before.floor.markets[expiring.id].close_at == before.clock("15:45")
    assert of_index is (until == "15:30")


# ── the pre-open ─────────────────────────────────────────────────────────────────────────────


def test_the_pre_open_is_matched_at_the_first_price_of_continuous_trading():
    day = FloorDay(closes={SHARE.id: price(100)})
    day.wait("09:03")
    day.buy("A", 10, LIMIT, price="102")
    day.buy("B", 10, LIMIT, price="101")
    day.buy("C", 10, LIMIT, price="99")
    day.sell("D", 10, LIMIT, price="100.50", product=CNC)
    day.wait("09:14")
    assert sorted(day.told_after) == [
        "A NEW",
        "B NEW",
        "C NEW",
        "D REJECTED Insufficient holdings. Shares cannot be sold short for delivery.",
    ]
    day.tick("09:15:00.500", "101", ("100.95", 50), ("101.05", 50), vol=15)
    # 15 traded in the auction: A's better price has 10 of them, B the other 5.
    assert sorted(day.told_after) == ["A TRADE 10 @ 101.00", "B TRADE 5 @ 101.00"]
    day.tick("09:15:01.500", "100.90", ("100.85", 50), ("100.95", 50), vol=40)
    assert day.told_after == ["B TRADE 5 @ 101.00"]


def test_a_market_order_of_the_pre_open_cannot_be_changed_once_only_limits_are_entered():
    day = FloorDay(closes={SHARE.id: price(100)})
    day.wait("09:03")
    day.buy("A", 10)
    day.buy("B", 10, LIMIT, price="99")
    day.wait("09:06")
    day.cancel("A")
    day.cancel("B")
    frozen = "Orders cannot be changed in this phase of the session (pre-open, limit only)."
    assert sorted(day.told) == ["A CANCEL_REJECTED " + frozen, "A NEW", "B CANCELED", "B NEW"]


def test_without_yesterday_s_close_a_market_order_has_no_price_to_be_protected_from():
    day = FloorDay()
    day.wait("09:03")
    day.buy("A", 10)
    assert day.told == [
        "A REJECTED Market orders are blocked until the instrument has traded today. Use LIMIT."
    ]


# ── the closing auction ──────────────────────────────────────────────────────────────────────


def an_afternoon(day=AFTER, *, at="14:50"):
    """A share with derivatives that trades at 1 000, and 1 200 of it in the last quarter hour."""
    floor = FloorDay(day, opening={(BIG.id, CNC): (100, price(900))})
    floor.tick(at, "1000", **QUOTES, of=BIG, vol=10_000)
    return floor


def to_the_auction(floor):
    floor.tick("15:00:00", "1000", **QUOTES, of=BIG, vol=10_000)
    floor.tick("15:05:00", "1002", ("1001", 500), ("1003", 500), of=BIG, vol=10_600)
    floor.tick("15:10:00", "1004", ("1003", 500), ("1005", 500), of=BIG, vol=11_200)


def test_stops_and_disclosed_orders_die_where_the_auction_begins_and_limits_live_on():
    day = an_afternoon()
    day.sell("A", 10, SL, price="979", stop="980", of=BIG)
    day.buy("B", 100, LIMIT, price="985", of=BIG, disclosed_qty=20)
    day.buy("C", 10, LIMIT, price="990", of=BIG)
    day.wait("15:14:59")
    assert sorted(day.told_after) == ["A NEW", "B NEW", "C NEW"]
    day.wait("15:15:01")
    why = "CANCELED Stop and disclosed orders are cancelled when the closing auction begins."
    assert sorted(day.told_after) == [f"A {why}", f"B {why}"]
    day.wait("15:36")
    assert day.told == [
        "C CANCELED Not matched in the closing auction; the exchange has cancelled the order."
    ]


@pytest.mark.parametrize(("date", "ends"), [(AFTER, "15:35"), (DECEMBER, "15:40")])
def test_the_auction_trades_at_the_reference_price_where_nothing_is_told_of_it(date, ends):
    day = an_afternoon(date)
    to_the_auction(day)
    entry = "15:21" if date == AFTER else "15:32"
    if date == DECEMBER:  # its quarter of an hour is 15:15 to 15:30
        day.tick("15:15:01", "1000", **QUOTES, of=BIG, vol=11_200)
        day.tick("15:20:00", "1002", ("1001", 500), ("1003", 500), of=BIG, vol=11_800)
        day.tick("15:25:00", "1004", ("1003", 500), ("1005", 500), of=BIG, vol=12_400)
    day.wait(entry)
    day.buy("A", 200, LIMIT, price="1010", of=BIG)
    day.buy("B", 200, LIMIT, price="1005", of=BIG)
    day.sell("C", 10, LIMIT, price="1004", of=BIG)
    day.wait(ends)
    left = "CANCELED Not matched in the closing auction; the exchange has cancelled the order."
    # 600 at 1 002 and 600 at 1 004 make 1 003; a quarter of 1 200 can be had.
    assert sorted(line for line in day.told if "NEW" not in line) == [
        "A TRADE 200 @ 1003.00",
        f"B {left}",
        "B TRADE 100 @ 1003.00",
        f"C {left}",
    ]


def test_the_auction_trades_at_the_price_the_feed_tells():
    day = an_afternoon()
    to_the_auction(day)
    day.wait("15:21")
    day.buy("A", 200, LIMIT, price="1010", of=BIG)
    day.tick("15:31", "1007.50", of=BIG, vol=11_350)
    day.wait("15:35")
    assert [line for line in day.told if "TRADE" in line] == ["A TRADE 150 @ 1007.50"]


@pytest.mark.parametrize(("limit", "passes"), [("1033.05", True), ("1033.10", False)])
def test_a_limit_of_the_auction_lies_within_3_percent_of_the_reference(limit, passes):
    day = an_afternoon()
    to_the_auction(day)
    day.wait("15:21")
    day.buy("A", 1, LIMIT, price=limit, of=BIG)
    outside = f"A REJECTED Price exceeds circuit limits. {limit} is outside 972.91 - 1033.09."
    assert day.told == (["A NEW"] if passes else [outside])


def test_market_orders_of_the_auction_are_frozen_once_only_limits_are_entered():
    day = an_afternoon()
    to_the_auction(day)
    day.wait("15:21")
    day.buy("A", 10, of=BIG)
    day.buy("B", 10, LIMIT, price="1000", of=BIG)
    day.wait("15:26")
    day.cancel("A")
    day.modify("A", qty=5)
    day.modify("B", price="1001")
    assert sorted(day.told) == [
        "A CANCEL_REJECTED Orders cannot be changed in this phase of the session"
        " (closing auction, limit only).",
        "A NEW",
        "A REPLACE_REJECTED Orders cannot be changed in this phase of the session"
        " (closing auction, limit only).",
        "B NEW",
        "B REPLACED",
    ]


def test_after_the_close_the_closing_price_is_traded():
    day = FloorDay(AFTER)
    day.tick("14:59:59", "100", vol=1000)
    day.tick("15:10:00", "101", vol=2000)
    day.tick("15:20:00", "102", vol=3000)
    day.wait("15:51")
    day.buy("A", 600)
    day.wait("16:01")
    assert day.told == [
        "A NEW",
        "A TRADE 500 @ 101.50",
        "A CANCELED The session is over; the order has lapsed.",
    ]


def test_an_auction_is_the_same_after_a_crash_anywhere():
    def lived(day, until=None):
        frames = [
            ("14:50:00", "1000", 10_000),
            ("15:05:00", "1002", 10_600),
            ("15:10:00", "1004", 11_200),
            ("15:20:30", "1004", 11_200),
            ("15:30:30", "1006", 11_250),
            ("15:35:30", "1006", 11_250),
        ]
        for number, (at, px, vol) in enumerate(frames, 1):
            if until is not None and number > until:
                return
            day.tick(at, px, **QUOTES, of=BIG, vol=vol)
            if number == 1:
                day.sell("A", 10, SL, price="979", stop="980", of=BIG)
                day.buy("B", 60, LIMIT, price="990", of=BIG)
            if number == 4:
                day.buy("C", 60, LIMIT, price="1020", of=BIG)
        day.wait("16:01")

    own = {"own_clock": False, "opening": {(BIG.id, CNC): (100, price(900))}}
    whole = FloorDay(AFTER, **own)
    lived(whole)
    assert "C TRADE 50 @ 1006.00" in whole.told
    for dies_after in range(1, 6):
        first = FloorDay(AFTER, **own)
        lived(first, dies_after)
        again = FloorDay(
            AFTER, records=first.ledger.records, at=first.now, position=dies_after, **own
        )
        lived(again)
        assert again.ledger.records == whole.ledger.records, dies_after
