"""Disks without room, a disk that fails to sync: said, and survived."""

import errno
import os

import pytest

from kitestring.domain.errors import AnotherDayIsRunning, DiskFailed
from kitestring.engine.guard_hands import GuardHands
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.instance_lock import InstanceLock
from proof.full_disks import TIER, live, of_one
from proof.power_supply import CutJournal
from proof.tier import Scale

LINE = GuardLine(at=1, kind="intent", sentence="reduce", tag="G1", qty=7)


def test_a_full_disk_is_said_and_the_day_goes_on_with_room():
    outcome = live(1, TIER.size[Scale.TEST])
    assert outcome.broken == ()
    assert outcome.counts["fault.disk_full"] >= 2


def test_a_house_that_sends_although_its_disk_took_nothing_is_caught(monkeypatch):
    real = CutJournal.commit

    def shrugs(self, commit):
        try:
            return real(self, commit)
        except DiskFailed:
            return self.count + 1

    monkeypatch.setattr(CutJournal, "commit", shrugs)
    assert of_one(1).broken


def test_half_a_line_on_a_full_disk_is_no_intent_and_is_taken_back(tmp_path, monkeypatch):
    journal = GuardJournal(tmp_path)
    journal.append(LINE)
    before, real = journal.path.read_bytes(), os.write
    written = []

    def half(file, content):
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(True)
        return real(file, bytes(content)[: len(content) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(DiskFailed, match="No space left"):
        journal.append(LINE)
    assert journal.path.read_bytes() == before


def test_room_kept_aside_takes_the_guards_lines_when_the_disk_is_full(tmp_path, monkeypatch):
    journal = GuardJournal(tmp_path)
    journal.keep_room()
    real = os.write

    def full(file, content):
        if (tmp_path / "guard.room").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, content)

    monkeypatch.setattr(os, "write", full)
    journal.append(LINE)
    assert [line.qty for line in journal.lines()] == [7]


def test_a_guard_without_any_disk_goes_on_and_says_so_once(tmp_path, monkeypatch):
    def broken(file):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    hands = GuardHands(None, GuardJournal(tmp_path), lambda: 1)
    said = []
    hands.tell = said.append
    hands.keep(LINE)
    hands.keep(LINE)
    assert len(said) == 1
    assert "goes on without a record" in said[0]


def test_a_lock_holds_on_a_disk_that_has_no_room_for_its_name(tmp_path, monkeypatch):
    def full(file, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with (
        InstanceLock(tmp_path, started_at=1, name="guard"),
        pytest.raises(AnotherDayIsRunning),
    ):
        InstanceLock(tmp_path, started_at=1, name="guard").acquire()
