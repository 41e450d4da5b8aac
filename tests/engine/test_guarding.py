"""The parts around the guard: who lives, who is ended, which books count, and what a price may cause."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import pytest

from kitestring.domain.ids import InstrumentId
from kitestring.domain.money import Money, Price, money, price
from kitestring.domain.orders import Product, Purpose, Side
from kitestring.engine import guarding, living_program
from kitestring.engine.fence import Fence
from kitestring.engine.guard_loss import LossWatch, result_at
from kitestring.engine.guarding import Guarding
from kitestring.engine.living_program import born, end, lives
from kitestring.engine.ownership import confirmed
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.owned_file import GUARD_BEATS, Heartbeat, Owned, OwnedBook, OwnedOrder

INFY = InstrumentId("NSE:INFY")
SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def program():
    started = []

    def start(text):
        made = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
        started.append(made)
        made.stdout.readline()
        return made

    yield start
    for made in started:
        made.kill()
        made.communicate()


# ── another program ─────────────────────────────────────────────────────────────────────────────


@linux
@pytest.mark.parametrize(("text", "code"), [(SLEEPS, -signal.SIGTERM), (DEAF, -signal.SIGKILL)])
def test_a_program_is_ended_kindly_and_if_it_must_be_by_force(program, text, code):
    made = program(text)
    since = born(made.pid)
    assert lives(made.pid, since)
    assert asyncio.run(end(made.pid, since, term_s=0.3)) == ""
    assert made.wait(2) == code


@linux
def test_a_frozen_program_is_not_asked_kindly_first(program):
    made = program(SLEEPS)
    os.kill(made.pid, signal.SIGSTOP)
    while not living_program._stopped(made.pid):
        time.sleep(0.01)
    began = time.monotonic()
    assert asyncio.run(end(made.pid, born(made.pid))) == ""
    assert time.monotonic() - began < 1.5
    assert made.wait(2) == -signal.SIGKILL


@linux
def test_a_number_that_belongs_to_somebody_else_now_is_left_alone(program):
    made = program(SLEEPS)
    assert asyncio.run(end(made.pid, "tick 1")) == ""
    assert made.poll() is None, "it is another program: the one that was meant is dead"
    assert asyncio.run(end(made.pid, "")) == "nobody knows when it started"
    assert asyncio.run(end(os.getpid(), born(os.getpid()))) == "it would be ourselves"
    assert made.poll() is None


# ── a guard beside the engine ───────────────────────────────────────────────────────────────────

BEATS = """
import sys, time
from pathlib import Path
from kitestring.store.owned_file import Heartbeat
heart = Heartbeat(Path(sys.argv[1]), "guard.heartbeat")
while True:
    heart.beat()
    time.sleep(0.05)
"""


def test_a_guard_that_goes_is_said_started_again_and_no_entry_leaves_meanwhile(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(guarding, "LOOK_S", 0.02)
    monkeypatch.setattr(guarding, "GONE_AFTER_S", 0.5)
    monkeypatch.setattr(guarding, "AGAIN_S", 5.0)
    beside = Guarding(tmp_path, (sys.executable, "-c", BEATS, str(tmp_path)))
    notes = []
    day = SimpleNamespace(core=SimpleNamespace(state=SimpleNamespace(now=1)), hear=notes.append)

    async def present(wanted, within=20.0):
        async with asyncio.timeout(within):
            while bool(beside.unguarded()) is wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def play():
        assert beside.unguarded() == "the guard is not there; entries wait for it"
        async with beside.attend(day, None):
            await present(True)
            first = beside._program
            first.kill()
            await present(False)
            await present(True)
            assert beside._program is not first
            second = beside._program
        assert second.poll() is None, "it ends by itself, when the day has"
        second.kill()
        second.wait()
        first.wait()

    asyncio.run(play())
    assert [(note.kind, note.sentence) for note in notes] == [
        ("live: guard", "The guard is there."),
        ("live: guard gone", "The guard is GONE; entries wait until it is back."),
        ("live: guard", "The guard is there again."),
    ]


# ── the fence ───────────────────────────────────────────────────────────────────────────────────


def test_a_fence_falls_at_the_guards_word_and_stays_down_when_that_is_lifted(tmp_path):
    halts = HaltFile(tmp_path)
    halts.write(HaltedBy.GUARD, "yesterday", 1)
    halts.lift()
    fence, late = Fence(halts), Fence(halts)
    assert fence.look() == ""
    halts.write(HaltedBy.OPERATOR, "lunch", 2)
    assert fence.look() == "", "an operator's halt stops entries only"
    halts.write(HaltedBy.GUARD, "no heartbeat", 3)
    assert "no heartbeat" in fence.look()
    halts.lift()
    halts.write(HaltedBy.OPERATOR, "look first", 4)
    halts.lift()
    assert fence.look()
    assert late.look(), "it slept through all of that"
    assert Fence(halts).look() == "", "one that starts now may send"


# ── which books count ───────────────────────────────────────────────────────────────────────────


NOTHING = Money(0)


def book(net, strategy="one", fixed=NOTHING):
    return OwnedBook(
        strategy=strategy, instrument=INFY, product=Product.MIS, net_qty=net, fixed=fixed
    )


def owned(*books, commit=5, orders=()):
    return Owned(
        pid=1, born="tick 1", run="r", run_key="k", date="2026-11-20", commit=commit, at=1,
        books=books, orders=orders,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "journal", "net"), [(10, 10, 10), (10, 4, 4), (4, 10, 4), (10, -10, 0), (-3, -8, -3)]
)
def test_of_two_books_of_one_commit_the_smaller_counts(file, journal, net):
    (made,) = confirmed(owned(book(file)), owned(book(journal))).books
    assert made.net_qty == net


def test_a_file_older_than_the_journal_does_not_count_and_a_missing_journal_does_not_hurt():
    assert confirmed(owned(book(10), commit=4), owned(book(0))).books[0].net_qty == 0
    assert confirmed(owned(book(10)), None).books[0].net_qty == 10
    assert confirmed(owned(book(10)), owned()).books[0].net_qty == 0


def test_an_order_that_only_one_of_the_two_knows_may_still_trade():
    stop = OwnedOrder(
        tag="K", instrument=INFY, product=Product.MIS, side=Side.SELL, purpose=Purpose.STOP,
        leaves_qty=10, cum_qty=0,
    )  # fmt: skip
    assert confirmed(owned(book(10)), owned(book(10), orders=(stop,))).orders == (stop,)


# ── a loss ──────────────────────────────────────────────────────────────────────────────────────


class Prices:
    def __init__(self, quoted, shown):
        self.quoted, self.shown = quoted, shown

    async def quotes(self, names):
        return {name: price(self.quoted) if self.quoted else Price(0) for name in names}

    async def positions(self):
        row = SimpleNamespace(
            instrument=INFY, last_px=price(self.shown) if self.shown else Price(0)
        )
        return SimpleNamespace(net=(row,))


def looks(*prices):
    watch, mine = LossWatch(money("500")), owned(book(10, fixed=money("-15000")))

    async def each():
        return [bool(await watch.look(mine, one)) for one in prices]

    return asyncio.run(each())


def test_a_loss_counts_where_two_prices_show_it_twice():
    low, odd, old, none = Prices("1449", "1449"), Prices("1449", "1500"), Prices("1500", "1449"), Prices("0", "0")  # fmt: skip
    assert looks(low, low) == [False, True]
    assert looks(low, odd, low, low) == [False, False, False, True]
    assert looks(odd, odd, old, old, none, none) == [False] * 6
    assert looks(Prices("1450.05", "1450.05"), Prices("1450.05", "1450.05")) == [False, False]


def test_a_result_is_the_books_and_what_nobody_prices_has_none():
    mine = owned(book(10, fixed=money("-15000")), book(0, "two", fixed=money("-20")))
    assert result_at(mine, {INFY: price("1490")}) == money("-120")
    assert result_at(mine, {}) is None


# ── its own files ───────────────────────────────────────────────────────────────────────────────


def test_the_guards_journal_survives_a_line_cut_short(tmp_path):
    journal = GuardJournal(tmp_path / "elsewhere")
    journal.append(GuardLine(at=1, kind="took over", sentence="first", epoch=1))
    journal.append(GuardLine(at=2, kind="took over", sentence="second", epoch=2))
    journal.append(GuardLine(at=3, kind="intent", sentence="reduce", tag="G1"))
    with journal.path.open("ab") as file:
        file.write(b'{"at":4,"kind":"out')
    journal.append(GuardLine(at=5, kind="finished", sentence="done"))
    assert [line.sentence for line in journal.lines()] == ["first", "second", "reduce", "done"]
    assert [line.sentence for line in journal.last_deed()] == ["second", "reduce", "done"]


def test_a_heartbeat_goes_on_from_where_the_former_one_stopped(tmp_path):
    first = Heartbeat(tmp_path, GUARD_BEATS)
    assert first.read() == 0
    for _ in range(3):
        first.beat()
    first.close()
    second = Heartbeat(tmp_path, GUARD_BEATS)
    second.beat()
    assert second.read() == first.read() == 4
    second.path.write_bytes(b"rubbish")
    assert second.read() == 0
    second.close()


def test_a_halt_written_by_an_older_house_is_still_read(tmp_path):
    halts = HaltFile(tmp_path)
    halts.path.parent.mkdir(parents=True)
    halts.path.write_bytes(
        msgspec.json.encode({"epoch": 3, "at": 1, "by": "operator", "reason": "lunch"})
    )
    assert halts.write(HaltedBy.GUARD, "no heartbeat", 2).epoch == 4
    assert halts.guard_epoch == 4
