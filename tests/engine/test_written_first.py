"""Nothing leaves before it is written down: not the engine's commands, not the guard's requests."""

from __future__ import annotations

import datetime as dt

import pytest
from house_day import ACME, HouseDay, cells_of, frame, scripted, tick
from test_guard_laws import NAMES, TAGS, row
from unruly_broker import UnrulyBroker

from kitestring.broker.kite_outcomes import Acked
from kitestring.broker.session_health import SessionHealth
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.orders import Product, Side
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder
from kitestring.engine.guard_decision import Reduce, Withdraw
from kitestring.engine.guard_hands import GuardHands
from kitestring.sim.virtual_loop import VirtualLoop
from kitestring.store.guard_journal import GuardJournal
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.owned_file import Owned, OwnedBook

OPEN = instant(dt.date(2026, 11, 20), dt.time(9, 15))
FRAMES = [
    frame(tick(OPEN + (1 + number) * SECOND, ACME, "500.00" if number < 200 else "490.00"))
    for number in range(400)
]
COMMANDS = (PlaceOrder, ModifyOrder, CancelOrder)


class Full(Exception):
    """The disk takes no more."""


class Disk(MemoryJournal):
    """Refuses the first commit that has a command in it, where it is told to."""

    refuses = False

    def commit(self, commit):
        if self.refuses and any(isinstance(fact, COMMANDS) for fact in commit.facts):
            raise Full
        return super().commit(commit)


class Listens(UnrulyBroker):
    """Remembers of every command whether the journal had it."""

    def __init__(self, journal):
        super().__init__({ACME.id: 1})
        self.journal, self.sent = journal, []

    def carry_out(self, command, at):
        facts = [fact for _, commit in self.journal.commits() for fact in commit.facts]
        self.sent.append((command, command in facts))
        super().carry_out(command, at)


def a_day(refuses):
    journal = Disk(run_key="test")
    journal.refuses = refuses
    broker = Listens(journal)
    day = HouseDay(
        [scripted("one", ACME, "2 BUY stop=-5; 6 EXIT", lots=10)],
        FRAMES,
        instruments=(ACME,),
        journal=journal,
        broker=broker,
    )
    return day, broker.sent


def test_every_command_is_in_the_journal_as_it_is_carried_out():
    day, sent = a_day(refuses=False)
    day.run()
    assert len(sent) >= 3
    assert all(written for _, written in sent)


def test_a_command_that_cannot_be_written_down_does_not_leave():
    day, sent = a_day(refuses=True)
    with pytest.raises(Full):
        day.run()
    assert sent == []


def test_a_restarted_house_goes_on_with_tags_of_its_own():
    day, _ = a_day(refuses=False)
    day.run()
    tags = [order.cl_ord_id for order in day.core.orders.table.values()]
    again = day.fresh_core()
    again.restore(cells_of(day.core))
    assert len(tags) >= 2
    assert again._ids() not in tags


def test_a_dead_session_and_a_refused_address_hold_entries_back():
    health = SessionHealth()
    assert health.entries_stopped == ""
    health.refused("the token is wrong")
    assert "the token is wrong" in health.entries_stopped
    health.answered()
    assert health.entries_stopped == ""
    health.address = "IP not allowed"
    assert "IP not allowed" in health.entries_stopped


# ── the guard ───────────────────────────────────────────────────────────────────────────────────

INFY = NAMES[0]
OWNED = Owned(
    pid=1, born="x", run="live-1", run_key="laws", date="2026-11-20", commit=1, at=1,
    books=(OwnedBook(strategy="one", instrument=INFY, product=Product.MIS, net_qty=10),),
)  # fmt: skip


class Client:
    """Remembers what the guard's journal said at the moment a request left."""

    def __init__(self, journal):
        self.journal, self.seen = journal, []

    async def place(self, fields, variety="regular"):
        self.seen.append([line for line in self.journal.lines() if line.tag == fields["tag"]])
        return Acked(order_id="9")

    async def cancel(self, order_id, variety, *, parent_order_id=""):
        self.seen.append([line for line in self.journal.lines() if line.order_id == order_id])
        return Acked(order_id=order_id)


def hands_of(tmp_path):
    journal = GuardJournal(tmp_path)
    client = Client(journal)
    return GuardHands(client, journal, lambda: OPEN), client, journal


def lived(work):
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def test_the_guards_order_is_on_disk_before_it_leaves(tmp_path):
    hands, client, journal = hands_of(tmp_path)
    lived(hands.reduce(Reduce(key=(INFY, "MIS"), side=Side.SELL, qty=10), OWNED))
    ((intent,),) = client.seen
    assert (intent.kind, intent.side, intent.qty) == ("intent", "SELL", 10)
    assert [line.kind for line in journal.lines()] == ["intent", "outcome"]


def test_the_guards_withdrawal_is_on_disk_before_it_leaves(tmp_path):
    hands, client, journal = hands_of(tmp_path)
    resting = row(INFY, Side.SELL, 10, tag=TAGS[0], order_id="77")
    lived(hands.withdraw(Withdraw(row=resting, why="an entry")))
    ((intent,),) = client.seen
    assert intent.kind == "intent"
    assert "withdraw SELL 10" in intent.sentence
    assert [line.kind for line in journal.lines()] == ["intent", "outcome"]
