"""The guard's hands, request by request: what it sends, how often, how far through the market, and when it stops."""

from __future__ import annotations

import asyncio
import datetime as dt

import msgspec
import pytest
from test_guard_laws import GUARD_TAGS, NAMES, TAGS, row

from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_outcomes import Acked, NotSent, Refusal, Rejected, Unknown
from kitestring.broker.kite_rows import KiteStatus, Positions
from kitestring.broker.order_book_merge import ABSENT_AFTER_S, ABSENT_QUIET_AFTER_S, ABSENT_READS
from kitestring.domain.ids import is_guards
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.orders import Product, Side
from kitestring.engine.guard_decision import Reduce, Withdraw
from kitestring.engine.guard_hands import (
    CANCEL_AGAIN_S,
    FILL_WITHIN_S,
    REFUSED_WAIT_S,
    TRIES_MAX,
    GuardHands,
)
from kitestring.sim.virtual_loop import VirtualLoop
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.owned_file import Owned, OwnedBook

TEN = instant(dt.date(2026, 11, 20), dt.time(10, 0))
INFY = NAMES[0]
KEY = (INFY, "MIS")
NO = Rejected(error_type="InputException", message="no", refusal=Refusal.INPUT, status=400)


def owned(freeze=0):
    mine = OwnedBook(
        strategy="one", instrument=INFY, product=Product.MIS, net_qty=10, freeze_qty=freeze
    )
    return Owned(
        pid=1, born="x", run="r", run_key="laws", date="2026-11-20", commit=1, at=1, books=(mine,)
    )


class Client:
    def __init__(self, *answers):
        self.answers, self.placed, self.cancelled = list(answers), [], []
        self.book = ()

    def answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def place(self, fields, variety="regular"):
        self.placed.append(fields)
        return self.answer()

    async def cancel(self, order_id, variety, *, parent_order_id=""):
        self.cancelled.append((order_id, variety, parent_order_id))
        return self.answer()

    async def orders(self):
        if self.book is None:
            raise KiteReadFailed("/orders", ReadFailure.DOWN, "down.")
        return self.book

    async def positions(self):
        return Positions(net=(), day=())


ACK = Acked(order_id="77")


class Desk:
    """Hands, their client and their journal, on a clock that jumps."""

    def __init__(self, folder, *answers):
        self.client = Client(*(answers or (ACK,)))
        self.journal = GuardJournal(folder)
        self.loop = VirtualLoop()
        now = lambda: TEN + int(self.loop.time() * SECOND)  # noqa: E731
        self.hands = GuardHands(self.client, self.journal, now)
        self.began = self.loop.time()

    def do(self, work):
        return self.loop.run_until_complete(work)

    @property
    def passed(self):
        return self.loop.time() - self.began

    def wait(self, seconds):
        self.do(asyncio.sleep(seconds))

    def reduce(self, qty=10, freeze=0, side=Side.SELL):
        self.do(self.hands.reduce(Reduce(key=KEY, side=side, qty=qty), owned(freeze)))
        return len(self.client.placed)

    def shown(self, *rows):
        self.client.book = rows
        return self.do(self.hands.read())

    def unseen(self):
        async def ask():
            return [(each.side, each.qty) for each in self.hands.unseen()]

        return self.do(ask())

    def fresh(self):
        async def ask():
            return len(self.hands.fresh)

        return self.do(ask())


@pytest.fixture
def desk(tmp_path):
    made = []

    def make(*answers):
        made.append(Desk(tmp_path / str(len(made)), *answers))
        return made[-1]

    yield make
    for each in made:
        each.loop.close()


def test_an_order_is_a_protected_market_order_under_the_guards_tag(desk):
    one = desk()
    assert one.reduce() == 1
    (fields,) = one.client.placed
    assert is_guards(fields["tag"])
    assert fields["order_type"] == "MARKET"
    assert (fields["transaction_type"], fields["quantity"], fields["product"]) == (
        "SELL",
        "10",
        "MIS",
    )
    assert fields["market_protection"] == "1"
    assert one.hands.tags == {fields["tag"]}
    assert one.unseen() == [("SELL", 10)]


def test_each_try_reaches_further_and_the_last_ones_as_far_as_the_broker_allows(desk):
    one = desk()
    for _ in range(6):
        one.reduce()
        one.wait(1)
    assert [fields["market_protection"] for fields in one.client.placed] == [
        "1", "2", "5", "-1", "-1", "-1",
    ]  # fmt: skip
    assert len({fields["tag"] for fields in one.client.placed}) == 6


def test_more_than_one_order_may_carry_is_sent_in_slices(desk):
    one = desk(*(Acked(order_id=str(number)) for number in range(5)))
    assert one.reduce(10, freeze=4) == 3
    assert [fields["quantity"] for fields in one.client.placed] == ["4", "4", "2"]


def test_a_refusal_ends_the_slices_and_waits_longer_each_time(desk):
    one = desk(NO)
    assert one.reduce(10, freeze=4) == 1
    assert one.reduce() == 1, "not at once"
    one.wait(REFUSED_WAIT_S - 0.01)
    assert one.reduce() == 1
    one.wait(0.02)
    assert one.reduce() == 2
    one.wait(REFUSED_WAIT_S)
    assert one.reduce() == 2
    one.wait(REFUSED_WAIT_S)
    assert one.reduce() == 3
    assert one.unseen() == []
    lines = [line.sentence for line in one.journal.lines() if line.kind == "outcome"]
    assert lines == ["not placed: no"] * 3


def test_after_ten_tries_a_person_must(desk):
    one = desk()
    for _ in range(TRIES_MAX):
        one.reduce()
        one.wait(1)
    assert one.reduce() == TRIES_MAX
    assert one.hands.stuck == {KEY: f"10 {INFY} could not be closed in 10 tries"}
    assert [line.sentence for line in one.journal.lines()][-1].endswith("a person must.")
    assert one.reduce() == TRIES_MAX


@pytest.mark.parametrize(
    ("outcome", "sentence", "certain"),
    [
        (ACK, "taken as 77", True),
        (NO, "not placed: no", False),
        (NotSent(why="no line"), "not placed: no line", False),
        (Unknown(why="silence"), "no answer (silence); it is looked for", False),
    ],
)
def test_what_came_of_it_is_on_record(desk, outcome, sentence, certain):
    one = desk(outcome)
    one.reduce()
    last = list(one.journal.lines())[-1]
    assert (last.kind, last.sentence, last.order_id) == (
        "outcome",
        sentence,
        "77" if certain else "",
    )
    assert one.unseen() == ([("SELL", 10)] if isinstance(outcome, Acked | Unknown) else [])


def test_an_order_without_an_answer_is_looked_for_and_given_up_late(desk):
    one = desk(Unknown(why="silence"))
    one.reduce()
    for _ in range(30):
        one.wait(10)
        assert one.unseen() == [("SELL", 10)] or one.passed >= 300
        assert one.shown() is not None
    one.wait(10)
    one.shown()
    assert one.unseen() == []
    assert "never showed it" in list(one.journal.lines())[-1].sentence


def test_a_book_that_moves_is_believed_after_two_minutes(desk):
    one = desk(Unknown(why="silence"))
    one.reduce()
    looks = 0
    while one.passed < ABSENT_AFTER_S - 15:
        looks += 1
        one.shown(row(INFY, Side.BUY, looks, order_id="5"))
        assert one.unseen() == [("SELL", 10)]
        one.wait(10)
    assert looks >= 2 * ABSENT_READS > 6
    one.wait(20)
    one.shown(row(INFY, Side.BUY, 99, order_id="5"))
    assert one.unseen() == []


def test_an_order_the_broker_took_is_waited_for_however_long(desk):
    one = desk()
    one.reduce()
    for number in range(60):
        one.wait(10)
        one.shown(row(INFY, Side.BUY, 1 + number, order_id="5"))
    assert one.unseen() == [("SELL", 10)]


def test_an_order_is_known_by_its_tag_or_by_its_number_until_its_end(desk):
    one = desk()
    one.reduce()
    (tag,) = one.hands.tags
    one.shown(row(INFY, Side.SELL, 10, order_id="77"))
    assert one.unseen() == []
    one.shown(row(INFY, Side.SELL, 10, cum=10, tag=tag, status=KiteStatus.COMPLETE, order_id="77"))
    last = list(one.journal.lines())[-1]
    assert (last.tag, last.sentence) == (tag, "COMPLETE, 10 of 10 filled")
    count = len(list(one.journal.lines()))
    one.shown(row(INFY, Side.SELL, 10, cum=10, tag=tag, status=KiteStatus.COMPLETE, order_id="77"))
    assert len(list(one.journal.lines())) == count


def test_a_late_rejection_waits_like_a_refusal(desk):
    one = desk()
    one.reduce()
    (tag,) = one.hands.tags
    one.shown(row(INFY, Side.SELL, 10, tag=tag, status=KiteStatus.REJECTED, order_id="77"))
    assert one.reduce() == 1
    one.wait(REFUSED_WAIT_S + 0.01)
    assert one.reduce() == 2


def test_an_order_is_fresh_for_three_seconds(desk):
    one = desk()
    one.reduce()
    assert one.fresh() == 1
    one.wait(FILL_WITHIN_S - 0.01)
    assert one.fresh() == 1
    one.wait(0.02)
    assert one.fresh() == 0


def test_a_withdrawal_is_asked_for_once_and_again_only_after_a_while(desk):
    one = desk()
    resting = msgspec.structs.replace(
        row(INFY, Side.SELL, 10, tag=TAGS[0], order_id="5"), parent_order_id="4"
    )
    ask = Withdraw(row=resting, why="an entry")
    for _ in range(2):
        one.do(one.hands.withdraw(ask))
    one.wait(CANCEL_AGAIN_S - 0.01)
    one.do(one.hands.withdraw(ask))
    assert one.client.cancelled == [("5", "regular", "4")]
    one.wait(0.02)
    one.do(one.hands.withdraw(ask))
    assert len(one.client.cancelled) == 2


def test_books_that_cannot_be_read_are_none(desk):
    one = desk()
    one.client.book = None
    assert one.do(one.hands.read()) is None
    assert "down" in one.hands.failed
    assert one.shown() is not None
    assert one.hands.failed == ""


def test_an_order_of_the_engines_that_does_not_show_is_waited_for(desk):
    one = desk()

    def gone(*, certain=False):
        async def ask():
            return one.hands.never_came("K1", certain=certain)

        return one.do(ask())

    while one.passed < ABSENT_QUIET_AFTER_S - 15:
        one.shown()
        assert not gone()
        one.wait(10)
    one.wait(30)
    one.shown()
    assert gone()
    assert not gone(certain=True)


def test_many_looks_in_one_read_are_one(desk):
    one = desk()

    async def ask():
        return one.hands.never_came("K1", certain=False)

    one.shown()
    for _ in range(20):
        one.do(ask())
    one.wait(400)
    assert not one.do(ask())


def test_the_next_guard_takes_up_what_the_last_one_sent(desk):
    one = desk()
    sent = {"instrument": INFY, "product": "MIS", "side": "SELL"}
    one.do(asyncio.sleep(0))
    lines = [
        GuardLine(at=1, kind="took over", sentence="x"),
        GuardLine(at=2, kind="intent", sentence="reduce", tag=GUARD_TAGS[0], qty=4, **sent),
        GuardLine(at=3, kind="outcome", sentence="taken as 9", tag=GUARD_TAGS[0], order_id="9"),
        GuardLine(at=4, kind="intent", sentence="reduce", tag=GUARD_TAGS[1], qty=5, **sent),
        GuardLine(at=5, kind="outcome", sentence="not placed: no", tag=GUARD_TAGS[1]),
        GuardLine(at=6, kind="intent", sentence="reduce", tag=GUARD_TAGS[2], qty=6, **sent),
        GuardLine(at=7, kind="intent", sentence="withdraw", order_id="3"),
    ]

    async def take_up():
        one.hands.take_up(lines)

    one.do(take_up())
    assert one.hands.tags == set(GUARD_TAGS[:3])
    assert one.unseen() == [("SELL", 4), ("SELL", 6)]
    for line in lines:
        one.journal.append(line)
    one.reduce()
    assert len(one.hands.tags) == 4, "its tags go on where the last one's ended"
