"""Exits cut to what the broker confirms: each kind of wish, against each room there is."""

import pytest
from exit_bench import TEN, Bench

from kitestring.core.exit_limits import cut, share_of
from kitestring.domain.money import price
from kitestring.domain.orders import (
    OrderIntent,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.positions import Book
from kitestring.domain.verdicts import CancelOrder, ModifyOrder


def wish(qty, purpose=Purpose.EXIT):
    return OrderIntent(
        strategy="one", instrument="NSE:ACME", side=Side.SELL, order_qty=qty,
        ord_type=OrdType.MARKET, product=Product.MIS, purpose=purpose, reason="test",
        decision_px=price("500"), decided_at=TEN,
    )  # fmt: skip


def change(qty=None, *, px=None, stop=None, kind=None):
    return ModifyOrder(
        cl_ord_id="K1", at=TEN, order_qty=qty, ord_type=kind,
        price=price(px) if px else None, stop_px=price(stop) if stop else None,
    )  # fmt: skip


def sent(bench, wants, limit, *, lot=1, resting_too=True):
    words = []
    for want in cut(wants, bench.book, limit, bench.orders, lot, TEN, resting_too=resting_too):
        match want:
            case OrderIntent():
                words.append(("new", want.order_qty))
            case ModifyOrder():
                words.append((want.cl_ord_id, want.order_qty))
            case CancelOrder():
                words.append((want.cl_ord_id, "cancelled"))
    return words


@pytest.mark.parametrize(
    ("limit", "lot", "expected"),
    [(10, 1, [("new", 10)]), (7, 1, [("new", 7)]), (7, 5, [("new", 5)]), (4, 5, []), (0, 1, [])],
)
def test_a_new_exit_is_as_large_as_the_room_in_whole_lots(limit, lot, expected):
    assert sent(Bench(), [wish(10)], limit, lot=lot) == expected


def test_two_new_exits_share_the_room_and_what_works_takes_its_part_first():
    assert sent(Bench(), [wish(4), wish(4)], 6) == [("new", 4), ("new", 2)]
    bench = Bench()
    bench.exit("K1", 5)
    assert sent(bench, [wish(4)], 6) == [("new", 1)]
    bench.entry("K2", 5, Side.BUY)
    assert sent(bench, [wish(4)], 6) == [("new", 1)], "an entry is no exit"


def test_a_new_stop_is_cut_only_once_two_looks_agree():
    stop = wish(10, Purpose.STOP)
    assert sent(Bench(), [stop], 6, resting_too=False) == [("new", 10)]
    assert sent(Bench(), [stop], 6) == [("new", 6)]


@pytest.mark.parametrize(
    ("asked", "limit", "expected"),
    [
        (change(10, px="495"), 10, [("K1", 10)]),
        (change(10, px="495"), 6, [("K1", 6)]),
        (change(10, px="495"), 0, [("K1", "cancelled")]),
        (change(10), 10, []),
        (change(12), 12, [("K1", 12)]),
        (change(12), 11, [("K1", 11)]),
        (change(12), 10, []),
        (change(8), 10, [("K1", 8)]),
        (change(px="495"), 10, [("K1", None)]),
        (change(stop="480"), 10, [("K1", None)]),
        (change(kind=OrdType.MARKET), 10, [("K1", None)]),
        (change(kind=OrdType.LIMIT), 10, []),
    ],
)
def test_a_change_of_an_exit_fits_into_the_room_beside_what_it_holds(asked, limit, expected):
    bench = Bench()
    bench.exit("K1", 10)
    assert sent(bench, [asked], limit) == expected


def test_what_has_filled_is_no_part_of_the_room():
    bench = Bench(6)
    bench.exit("K1", 10, filled=4)
    assert sent(bench, [change(10, px="495")], 6) == [("K1", 10)]
    assert sent(bench, [change(10, px="495")], 5) == [("K1", 9)]


def test_a_change_of_a_stop_waits_for_the_second_look():
    bench = Bench()
    bench.stop("K1", 10)
    assert sent(bench, [change(10, stop="491")], 6, resting_too=False) == [("K1", 10)]
    assert sent(bench, [change(12), wish(5)], 12, resting_too=False) == [("K1", 12)]
    assert sent(bench, [change(8), wish(5)], 12, resting_too=False) == [("K1", 8), ("new", 2)]


def test_what_rests_is_made_smaller_from_the_newest_on():
    bench = Bench()
    bench.stop("K1", 6)
    bench.stop("K2", 4)
    assert sent(bench, [], 7) == [("K2", 1)]
    assert sent(bench, [], 5) == [("K2", "cancelled"), ("K1", 5)]
    assert sent(bench, [], 0) == [("K2", "cancelled"), ("K1", "cancelled")]
    assert sent(bench, [], 10) == []
    assert sent(bench, [], 7, resting_too=False) == []


def test_an_exit_that_is_too_large_is_withdrawn_and_one_that_is_asked_about_is_left():
    bench = Bench()
    bench.exit("K1", 10)
    assert sent(bench, [], 7) == [("K1", "cancelled")]
    bench.orders.table["K1"].status = OrdStatus.PENDING_CANCEL
    assert sent(bench, [], 7) == []
    touched = Bench()
    touched.exit("K1", 10)
    withdrawn = CancelOrder(cl_ord_id="K1", at=TEN, reason="")
    assert sent(touched, [withdrawn], 7) == [("K1", "cancelled")]
    part = Bench(6)
    part.stop("K1", 10, filled=4)
    part.orders.table["K1"].triggered_at = None
    assert sent(part, [], 3) == [("K1", 7)]


def book(name, net, product=Product.MIS):
    return Book(strategy=name, instrument="NSE:ACME", product=product, net_qty=net)


@pytest.mark.parametrize(
    ("net", "shares"),
    [(20, (10, 10)), (15, (5, 10)), (8, (0, 8)), (0, (0, 0)), (-5, (0, 0)), (99, (10, 10))],
)
def test_what_is_missing_is_taken_from_the_first_books_of_the_day(net, shares):
    one, two = book("one", 10), book("two", 10)
    other = book("three", 10, Product.CNC)
    books = [one, other, two]
    assert (share_of(one, {}, books, net), share_of(two, {}, books, net)) == shares


def test_shares_of_a_short_position_and_of_what_is_still_to_be_told():
    one, two = book("one", -10), book("two", -10)
    assert share_of(one, {}, [one, two], -15) == 5
    assert share_of(one, {"two": -4}, [one, two], -12) == 8
    assert share_of(one, {"two": 4}, [one, two], -12) == 10
    assert share_of(one, {}, [two], -15) == 0
