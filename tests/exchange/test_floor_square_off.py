"""The broker's square-off: at its cut-off intraday orders go, intraday positions are closed, and it costs."""

import datetime as dt

import pytest
from floor_day import BIG, CNC, FUTURE, LIMIT, MIS, NRML, SHARE, FloorDay, contract

from kitestring.domain.instruments import InstrumentKind, Segment
from kitestring.domain.money import CHARGE_UNITS_PER_RUPEE, price
from kitestring.exchange.ledger import What, read_entries
from kitestring.exchange.rules import rules_of

QUOTES = {"bid": ("23999.50", 650), "ask": ("24000.50", 650)}
LONG = {(FUTURE.id, MIS): (130, price(24000)), (FUTURE.id, NRML): (65, price(24000))}


def origins(day):
    return {
        entry.tag: entry.origin
        for entry in read_entries(day.ledger.records)
        if entry.what is What.PLACE
    }


def net(day):
    return {key: each.net_qty for key, each in day.floor.account.positions.items() if each.net_qty}


def test_at_the_cut_off_orders_are_withdrawn_and_positions_closed_at_market():
    day = FloorDay(square_off=True, opening=LONG)
    day.tick("15:24:50", "24000", **QUOTES, of=FUTURE)
    day.buy("A", 65, LIMIT, price="23900", of=FUTURE, product=MIS)
    day.buy("B", 65, LIMIT, price="23900", of=FUTURE, product=NRML)
    assert sorted(day.told_after) == ["A NEW", "B NEW"]
    day.wait("15:25:02")
    assert sorted(day.told_after) == [
        "A CANCELED Withdrawn by the broker's square-off of intraday positions.",
        "square-off-3 NEW",
        "square-off-3 TRADE 130 @ 23999.50",
    ]
    assert net(day) == {(FUTURE.id, NRML): 65}
    assert origins(day) == {"A": "", "B": "", "square-off-3": "square-off"}
    # Rs 50 and 18 % GST, once
    assert day.floor.account.charges == 59 * CHARGE_UNITS_PER_RUPEE


def test_after_the_cut_off_no_intraday_position_is_opened():
    day = FloorDay(square_off=True)
    day.tick("15:25:10", "24000", **QUOTES, of=FUTURE)
    day.buy("A", 65, of=FUTURE, product=MIS)
    day.buy("B", 65, of=FUTURE, product=NRML)
    assert sorted(day.told) == [
        "A REJECTED Intraday (MIS) orders are blocked after the square-off time. Use NRML or CNC.",
        "B NEW",
        "B TRADE 65 @ 24000.50",
    ]


def test_on_paper_the_broker_leaves_positions_alone_unless_asked_to():
    day = FloorDay(opening=LONG)
    day.tick("15:24:50", "24000", **QUOTES, of=FUTURE)
    day.tick("15:25:10", "24000", **QUOTES, of=FUTURE)
    assert day.told == []
    assert net(day)[FUTURE.id, MIS] == 130


@pytest.mark.parametrize(
    ("held", "of", "slices"),
    [
        (3900, FUTURE, [1755, 1755, 390]),  # whole lots below the freeze quantity of 1 800
        (70_000, SHARE, [30_000, 30_000, 10_000]),
        (-65, FUTURE, [65]),
    ],
)
def test_a_large_position_takes_several_orders_and_each_is_charged(held, of, slices):
    day = FloorDay(square_off=True, opening={(of.id, MIS): (held, price(100))})
    day.tick("15:00:00", "100", ("99.95", 10**6), ("100", 10**6), of=of)
    day.wait("15:26")
    sent = [
        (entry.side, entry.qty)
        for entry in read_entries(day.ledger.records)
        if entry.what is What.PLACE
    ]
    assert sent == [("BUY" if held < 0 else "SELL", qty) for qty in slices]
    assert net(day) == {}
    assert day.floor.account.charges == 59 * len(slices) * CHARGE_UNITS_PER_RUPEE


def test_what_finds_no_buyer_stays_with_the_account_and_its_order_goes_on():
    day = FloorDay(square_off=True, opening={(FUTURE.id, MIS): (1300, price(24000))})
    day.tick("15:24:50", "24000", ("23999.50", 65), ("24000.50", 65), of=FUTURE)
    day.wait("15:26")
    left = net(day)[FUTURE.id, MIS]
    assert 0 < left < 1300
    day.tick("15:26:05", "24000", ("23999.50", 6500), ("24000.50", 65), of=FUTURE)
    assert net(day) == {}


@pytest.mark.parametrize(
    ("date", "of", "at"),
    [
        (dt.date(2026, 7, 31), SHARE, "15:20"),
        (dt.date(2026, 7, 31), BIG, "15:20"),
        (dt.date(2026, 7, 31), FUTURE, "15:25"),
        (dt.date(2026, 8, 3), SHARE, "15:20"),
        (dt.date(2026, 8, 3), BIG, "15:12"),
        (dt.date(2026, 8, 3), FUTURE, "15:25"),
        (dt.date(2026, 12, 4), BIG, "15:12"),
        (dt.date(2026, 12, 7), BIG, "15:20"),
        (dt.date(2026, 12, 7), FUTURE, "15:25"),
    ],
)
def test_when_each_segment_is_squared_off(date, of, at):
    day = FloorDay(date, square_off=True, opening={(of.id, MIS): (65, price(100))})
    day.tick("15:05:00", "100", ("99.95", 1000), ("100", 1000), of=of)
    due = day.clock(at)
    day._listen(due - 1)
    assert net(day) == {(of.id, MIS): 65}
    day.wait(at)
    assert net(day) == {}


def test_the_cut_off_can_be_chosen():
    rules = rules_of(dt.date(2026, 11, 20))
    chosen = {Segment.FUTURES: 60 * 60_000_000}
    day = FloorDay(
        square_off=True,
        opening=LONG,
        rules=rules.__class__(day=rules.day, square_off_us=chosen),
    )
    day.tick("14:00:00", "24000", **QUOTES, of=FUTURE)
    day.wait("14:40")
    assert net(day) == {(FUTURE.id, NRML): 65}


def test_a_square_off_is_the_same_after_a_crash_anywhere():
    def lived(day, until=None):
        frames = [
            ("15:20:00", ("23999.50", 65)),
            ("15:24:59", ("23999.50", 65)),
            ("15:25:00.500", ("23999.50", 65)),
            ("15:25:02", ("23999.40", 65)),
            ("15:25:04", ("23999.30", 65_000)),
        ]
        for number, (at, bid) in enumerate(frames, 1):
            if until is not None and number > until:
                return
            day.tick(at, "24000", bid, ("24000.50", 65), of=FUTURE)
            if number == 1:
                day.buy("A", 65, LIMIT, price="23900", of=FUTURE, product=MIS)

    parts = {"square_off": True, "own_clock": False}
    # More than five levels of three ticks, so that the broker's orders work while the day dies.
    parts["opening"] = {(FUTURE.id, MIS): (5200, price(24000))}
    whole = FloorDay(**parts)
    lived(whole)
    assert net(whole) == {}
    for dies_after in range(1, 5):
        first = FloorDay(**parts)
        lived(first, dies_after)
        again = FloorDay(records=first.ledger.records, at=first.now, position=dies_after, **parts)
        lived(again)
        assert again.ledger.records == whole.ledger.records, dies_after
        for name in ("cash", "realised", "charges", "blocked"):
            mine, true = again.floor.account, whole.floor.account
            assert getattr(mine, name) == getattr(true, name), (name, dies_after)


def test_delivery_and_other_segments_are_left_alone():
    other = contract("NSE", "OTHER", InstrumentKind.EQUITY, Segment.EQUITY)
    day = FloorDay(
        square_off=True,
        instruments={other.id: other, BIG.id: BIG},
        opening={(other.id, MIS): (5, price(100)), (BIG.id, CNC): (5, price(100))},
    )
    day.tick("15:10:00", "100", ("99.95", 50), ("100", 50), of=other)
    day.tick("15:10:00", "100", ("99.95", 50), ("100", 50), of=BIG)
    day.wait("15:13")
    assert net(day) == {(other.id, MIS): 5, (BIG.id, CNC): 5}
