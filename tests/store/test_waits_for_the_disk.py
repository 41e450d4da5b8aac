"""What must survive a power cut is waited for: the disk is asked before anybody acts on it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from kitestring.broker.secret_files import write_secret_file
from kitestring.domain.money import money
from kitestring.engine.arming import Armed, ArmingFile
from kitestring.store import journal_file
from kitestring.store.atomic_file import write_atomically
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.held_journal import HeldJournal
from kitestring.store.journal import SqliteJournal


@pytest.fixture
def synced(monkeypatch):
    """What stood in each file or folder when the disk was asked to keep it."""
    asked, places, real_sync, real_open = [], {}, os.fsync, os.open

    def opened(path, *more, **named):
        number = real_open(path, *more, **named)
        places[number] = Path(path)
        return number

    def fsync(number):
        place = places.get(number, Path("another way"))
        asked.append((place.name, place.read_bytes() if place.is_file() else b""))
        real_sync(number)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", fsync)
    return asked


def test_every_commit_of_the_journal_waits(tmp_path):
    journal = SqliteJournal(tmp_path / "run.journal", run_key="run")
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    journal.close()


def test_a_new_journal_is_whole_on_the_disk_before_it_has_its_name(tmp_path, synced, monkeypatch):
    named = []
    monkeypatch.setattr(journal_file, "sync_folder", lambda _: named.append(len(synced)))
    SqliteJournal(tmp_path / "run.journal", run_key="run").close()
    assert named == [1], "the file, then the folder with its name"


def test_a_journal_put_down_whole_is_on_the_disk_before_it_has_its_name(tmp_path, synced):
    HeldJournal(tmp_path / "run.journal", run_key="run").write()
    assert len(synced) == 1


def test_halt_is_on_the_disk_before_anybody_relies_on_it(tmp_path, synced):
    HaltFile(tmp_path).write(HaltedBy.GUARD, "no heartbeat", 1)
    (copy, copied), _, (name, content), folder = synced
    assert copy.startswith(".HALT.copy")
    assert name.startswith(".HALT.")
    assert "copy" not in name
    assert all(b"no heartbeat" in each for each in (copied, content))
    assert folder[0] == "live"


def test_the_guards_line_is_on_the_disk_before_its_order_leaves(tmp_path, monkeypatch):
    asked, real = [], os.fsync

    def fsync(number):
        asked.append((tmp_path / "guard.jsonl").read_bytes())
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    GuardJournal(tmp_path).append(GuardLine(at=1, kind="intent", sentence="reduce"))
    assert len(asked) == 1
    assert asked[0].endswith(b"\n")
    assert b"reduce" in asked[0]


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "fsync", lambda number: asked.append((tmp_path / "file").exists()))
    write_atomically(tmp_path / "file", b"content", durable=True)
    assert asked == [False, True], "the content, then the folder with its new name"
    asked.clear()
    write_atomically(tmp_path / "file", b"content")
    assert asked == []


def test_an_arming_is_kept_before_it_counts(tmp_path, monkeypatch):
    asked, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (asked.append(number), real(number)))
    ArmingFile(tmp_path).write(ARMED)
    assert len(asked) == 1


ARMED = Armed(
    date=dt.date(2026, 11, 20),
    account="AB1234",
    capital=money("100000"),
    config_hash="0" * 64,
    armed_at=1,
)


def test_what_only_the_owner_may_read_is_closed_from_the_first_moment(tmp_path, monkeypatch):
    modes = []
    open_mask = os.umask(0)
    try:
        ArmingFile(tmp_path / "a").write(ARMED)
        (tmp_path / "s").mkdir(mode=0o700)
        seen = os.open

        def opened(path, flags, mode=0o777, **more):
            number = seen(path, flags, mode, **more)
            if flags & os.O_CREAT:
                modes.append(os.fstat(number).st_mode & 0o777)
            return number

        monkeypatch.setattr(os, "open", opened)
        write_secret_file(tmp_path / "s" / "kite.env", {"KITE_API_KEY": "x"}, "secrets")
    finally:
        os.umask(open_mask)
    assert modes == [0o600]
    assert (tmp_path / "a" / "live" / "arming.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "s" / "kite.env").stat().st_mode & 0o777 == 0o600
