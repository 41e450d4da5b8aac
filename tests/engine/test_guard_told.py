"""What a start finds of the guard, what a whole guard does from its lock to its end, and how it is started."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from types import SimpleNamespace

import pytest

from kitestring.broker.kite_session import TokenStore
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.domain.errors import AnotherDayIsRunning, HouseError
from kitestring.domain.instants import NEVER, instant
from kitestring.domain.money import money
from kitestring.engine import guard_program
from kitestring.engine.guard import GuardTerms, loss_text
from kitestring.engine.guard_program import GuardProgram, end_engine
from kitestring.engine.guard_story import (
    ACTS,
    WATCHES,
    guard_folder,
    guard_lines,
    guard_lives,
    refuse_beside_a_guard,
    standing_halt,
)
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.owned_file import Owned, OwnedFile

FRIDAY = dt.date(2026, 11, 20)
TEN = instant(FRIDAY, dt.time(10, 0))


def test_a_halt_is_told_with_what_the_guard_did_under_it(tmp_path):
    assert standing_halt(tmp_path) == ""
    assert guard_lines(tmp_path) == []
    halts, journal = HaltFile(tmp_path), GuardJournal(guard_folder(tmp_path))
    halts.write(HaltedBy.OPERATOR, "going out", TEN)
    assert standing_halt(tmp_path).endswith("written by the operator: going out.")
    assert guard_lines(tmp_path) == []
    halts.lift()
    halts.write(HaltedBy.GUARD, "no heartbeat", TEN)
    assert standing_halt(tmp_path).endswith("written by the guard: no heartbeat.")
    journal.append(GuardLine(at=TEN, kind="took over", sentence="Taken over."))
    assert standing_halt(tmp_path).endswith("no heartbeat.")
    for sentence in ("10 stay open.", "All is closed."):
        journal.append(GuardLine(at=TEN, kind="finished", sentence=sentence))
    assert standing_halt(tmp_path).endswith("no heartbeat. All is closed.")
    first, *lines = guard_lines(tmp_path)
    assert first.startswith("⚠️  The guard has taken over")
    assert [line.rpartition("  ")[2] for line in lines] == [
        "Taken over.", "10 stay open.", "All is closed.",
    ]  # fmt: skip


def test_a_guard_lives_as_long_as_it_holds_its_lock(tmp_path):
    assert not guard_lives(tmp_path)
    with InstanceLock(tmp_path, started_at=TEN, name=WATCHES):
        assert guard_lives(tmp_path)
        refuse_beside_a_guard(tmp_path)
    assert not guard_lives(tmp_path)
    with (
        InstanceLock(tmp_path, started_at=TEN, name=ACTS),
        pytest.raises(AnotherDayIsRunning, match="second hand") as refused,
    ):
        refuse_beside_a_guard(tmp_path)
    assert "halt --lift" in refused.value.do
    refuse_beside_a_guard(tmp_path)


def test_a_loss_in_words():
    assert loss_text(None) == "no loss is watched"
    assert loss_text(money(5000)) == "at a loss of ₹5,000.00"


# ── the whole program ───────────────────────────────────────────────────────────────────────────


def program(tmp_path, told, now=lambda: TEN):
    return GuardProgram(
        GuardTerms(artifacts=tmp_path / "a", tick_s=0.01),
        local_settings("http://127.0.0.1:9", api_key="kitestring"),
        tmp_path / "secrets",
        tmp_path / "journal",
        now=now,
        tell=told.append,
    )


def owned(**more):
    return Owned(
        pid=1, born="x", run="r", run_key="k", date=str(FRIDAY), commit=1, at=TEN, **more
    )  # fmt: skip


def test_nobody_logged_in_is_told_and_ends_it(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("KITE"):
            monkeypatch.delenv(name)
    told = []
    with pytest.raises(HouseError):
        asyncio.run(program(tmp_path, told).run())
    (only,) = told
    assert only.startswith("The guard has ended: ")
    assert not guard_lives(tmp_path / "a")


def test_it_watches_says_so_and_ends_with_the_day(tmp_path, monkeypatch):
    token = SimpleNamespace(api_key="kitestring", access_token=Secret("a-token-of-today"))
    monkeypatch.setattr(TokenStore, "token", lambda self, now: token)
    OwnedFile(tmp_path / "a").write(owned(ended=True))
    told = []
    assert asyncio.run(program(tmp_path, told).run()) == "the day has ended"
    (began,) = GuardJournal(tmp_path / "journal").lines()
    assert (began.kind, "no loss is watched" in began.sentence) == ("began", True)
    assert told == []
    OwnedFile(tmp_path / "a").write(owned())
    late = instant(FRIDAY, dt.time(23, 59))
    assert asyncio.run(program(tmp_path, told, lambda: late).run()) == "the markets have closed"


def test_two_guards_of_one_folder_are_one_too_many(tmp_path):
    (tmp_path / "a").mkdir()
    with (
        InstanceLock(tmp_path / "a", started_at=TEN, name=WATCHES),
        pytest.raises(HouseError, match="A guard watches"),
    ):
        asyncio.run(program(tmp_path, []).run())


def test_it_ends_a_minute_after_the_last_market_and_never_where_no_calendar_says():
    closes = guard_program._closes_at(TEN)
    assert instant(FRIDAY, dt.time(15, 31)) <= closes < instant(FRIDAY, dt.time(23, 59))
    assert guard_program._closes_at(instant(dt.date(2099, 1, 2), dt.time(10))) == NEVER


def test_it_never_ends_itself(tmp_path):
    mine = Owned(
        pid=os.getpid(), born="x", run="r", run_key="k", date=str(FRIDAY), commit=1, at=TEN
    )
    assert asyncio.run(end_engine(mine)) == "it would be ourselves"
