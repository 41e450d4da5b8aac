"""An order without an answer, look by look: what may be believed of it, and what may not."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import msgspec
import pytest
from test_order_book_merge_laws import BEGAN, ORDER_ID, TAG, K, command, order_row, trade

from kitestring.broker.book_watch import BACKOFF_MAX_S, BookWatch
from kitestring.broker.governor import Governor
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure, StrangeRow
from kitestring.broker.kite_outcomes import Unknown
from kitestring.broker.kite_rows import Positions
from kitestring.broker.order_book_merge import ABSENT_AFTER_S, ABSENT_READS, OrderBookMerge
from kitestring.broker.order_doubts import BookRead
from kitestring.broker.order_traffic import OrderTraffic
from kitestring.broker.send_line import SendLine
from kitestring.domain.ids import OrderId
from kitestring.domain.orders import ExecType
from kitestring.engine.guard_hands import GuardHands
from kitestring.sim.virtual_loop import VirtualLoop
from kitestring.store.guard_journal import GuardJournal

OTHERS = msgspec.structs.replace(
    order_row(K.OPEN, 1), order_id=OrderId("77"), tag="somebody", tags=(), order_qty=3
)


def unanswered():
    merge = OrderBookMerge()
    order = merge.place(command(stop=False), 0.0)
    merge.placing(order, 0.0)
    merge.placed(order, Unknown(why="silence"), BEGAN, 1.0)
    return merge, order


def look(merge, s, *rows, trades=None):
    merge.read(BookRead(orders=rows, trades=trades, began_s=s, ended_s=s, at=BEGAN))


def told(merge):
    return [report.exec_type for report in merge.reports]


def moving(s):
    """Another app's order, changing from look to look: the book is alive."""
    return msgspec.structs.replace(OTHERS, order_at=BEGAN + int(s) * 1_000_000)


def test_two_minutes_without_enough_looks_prove_nothing():
    merge, order = unanswered()
    look(merge, 2.0, moving(2))
    look(merge, 400.0, moving(400))
    look(merge, 500.0, moving(500))
    assert not order.over
    assert ABSENT_READS > 3


def test_many_looks_before_two_minutes_prove_nothing():
    merge, order = unanswered()
    for s in range(2, int(ABSENT_AFTER_S), 5):
        look(merge, float(s), moving(s))
    assert not order.over
    look(merge, 1.0 + ABSENT_AFTER_S, moving(999))
    assert order.over
    assert told(merge) == [ExecType.UNKNOWN, ExecType.REJECTED]


def test_a_book_that_never_moves_proves_nothing_for_five_minutes():
    merge, order = unanswered()
    for s in range(2, 290, 5):
        look(merge, float(s), OTHERS)
    assert not order.over


def test_beside_an_order_without_a_tag_nothing_is_absent():
    merge, order = unanswered()
    untagged = msgspec.structs.replace(order_row(K.OPEN, 1), tag="", tags=(), order_qty=10)
    untagged = msgspec.structs.replace(untagged, order_id=OrderId("88"))
    for s in range(2, 400, 20):
        look(merge, float(s), moving(s), untagged)
    assert not order.over
    assert [note.kind for note in merge.notes] == ["order without tag"]
    assert "no tag" in merge.distrust(400.0)


@pytest.mark.parametrize(("tag", "tags"), [(TAG, ()), ("", (TAG,)), ("mktp", ("mktp", TAG))])
def test_a_row_that_carries_our_tag_anywhere_is_our_order(tag, tags):
    merge, order = unanswered()
    look(merge, 2.0, msgspec.structs.replace(order_row(K.OPEN, 1), tag=tag, tags=tags))
    assert order.order_id == ORDER_ID
    assert told(merge) == [ExecType.UNKNOWN, ExecType.NEW]


def test_a_row_that_cannot_be_read_may_be_anybodys_and_proves_no_absence():
    merge, order = unanswered()
    strange = StrangeRow(order_id="99", tag="", why="status is 'FLOATING'")
    for s in range(2, 600, 20):
        merge.read(
            BookRead(
                orders=(moving(s),), trades=None, began_s=s, ended_s=s, at=BEGAN, strange=(strange,)
            )
        )
    assert not order.over
    assert order.reads_without == 0


def test_a_book_that_counts_less_than_before_is_an_old_one():
    merge, order = unanswered()
    look(merge, 2.0, order_row(K.OPEN, 1, filled=6))
    look(merge, 3.0, order_row(K.CANCELLED, 2, filled=4))
    assert (order.row.cum_qty, order.filled_max, order.over) == (6, 6, False)
    assert ExecType.CANCELED not in told(merge)


def test_a_trade_is_told_once_however_often_it_is_read():
    merge, _ = unanswered()
    for s in (2.0, 3.0, 4.0):
        look(merge, s, order_row(K.OPEN, 1, filled=4), trades=[trade(1, 4, 1)])
    assert told(merge) == [ExecType.UNKNOWN, ExecType.NEW, ExecType.TRADE]
    assert merge.reports[-1].cum_qty == 4


# ── with a loop ─────────────────────────────────────────────────────────────────────────────────


def lived(work):
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()


class Breaks:
    async def place(self, fields, variety="regular", *, journal=""):
        raise ZeroDivisionError


def test_an_order_whose_sending_breaks_in_the_house_is_unknown_and_looked_for():
    async def day():
        merge = OrderBookMerge()
        line = SendLine(Governor(), lambda: BEGAN)
        traffic = OrderTraffic(
            Breaks(), merge, line, now=lambda: BEGAN, told=lambda: None,
            entries_stopped=lambda: "",
        )  # fmt: skip
        traffic.take(command(stop=False))
        await asyncio.sleep(1)
        return merge

    merge = lived(day)
    assert told(merge) == [ExecType.UNKNOWN]
    assert [note.kind for note in merge.notes] == ["fault"]
    assert merge.unsettled


class Books:
    """Order books one after the other; the last one stays. ``None`` cannot be read."""

    def __init__(self, *books):
        self.books, self.asked_s = list(books), []

    async def orders(self):
        self.asked_s.append(asyncio.get_running_loop().time())
        rows = self.books.pop(0) if len(self.books) > 1 else self.books[0]
        if rows is None:
            raise KiteReadFailed("/orders", ReadFailure.DOWN, "down.")
        return rows

    async def trades(self):
        return ()

    async def positions(self):
        return Positions(net=(), day=())


def watch_of(books):
    now = lambda: BEGAN + int(asyncio.get_running_loop().time() * 1e6)  # noqa: E731
    line = SendLine(Governor(), now)
    return BookWatch(books, OrderBookMerge(), line, now=now, told=lambda: None)


def test_books_whose_orders_move_between_two_looks_do_not_belong_together():
    async def read(*books):
        watch = watch_of(Books(*books))
        return await watch.refresh(), watch.books

    one, two = (moving(1),), (moving(2),)
    why, books = lived(lambda: read(one, two, one, two, one, two, one))
    assert "kept changing" in why
    assert books is None
    why, books = lived(lambda: read(one, two, two))
    assert why == ""
    assert books.orders == two


def test_the_guard_acts_on_no_books_that_move_under_its_eyes(tmp_path):
    async def read(*books):
        now = lambda: BEGAN + int(asyncio.get_running_loop().time() * 1e6)  # noqa: E731
        hands = GuardHands(Books(*books), GuardJournal(tmp_path), now)
        return await hands.read(), hands.failed

    one, two = (moving(1),), (moving(2),)
    assert lived(lambda: read(one, two, one, two, one, two, one)) == (
        None,
        "the order book kept changing",
    )
    seen, failed = lived(lambda: read(one, two, two))
    assert (seen.orders, failed) == (two, "")


def test_books_that_cannot_be_read_are_asked_for_ever_more_slowly():
    async def day():
        books = Books(None)
        watch = watch_of(books)
        watch.look(*(each / 10 for each in range(1000)))
        reading = asyncio.get_running_loop().create_task(watch.run())
        await asyncio.sleep(60)
        reading.cancel()
        return books.asked_s, watch

    asked_s, watch = lived(day)
    waits = [after - before for before, after in pairwise(asked_s)]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.5)
    assert waits[-1] == pytest.approx(BACKOFF_MAX_S)
    assert watch.books is None
