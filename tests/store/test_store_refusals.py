"""What the small files of the live side say when the disk, or somebody's hand, has been at them."""

import hashlib
import sqlite3
from contextlib import closing

import pytest
from store_day import commit
from test_waits_for_the_disk import ARMED

from kitestring.domain.errors import DiskFailed, JournalDamaged
from kitestring.engine.arming import ArmingFile
from kitestring.store import journal_file
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.journal import SqliteJournal, verify
from kitestring.store.records import SCHEMA, first_link, read_record

LINE = GuardLine(at=1, kind="note", sentence="first")


def test_a_guards_journal_that_cannot_be_written_says_where_else_to_put_it(tmp_path):
    (tmp_path / "in the way").write_text("")
    with pytest.raises(DiskFailed, match="guard's journal") as failed:
        GuardJournal(tmp_path / "in the way").append(LINE)
    assert "--journal" in failed.value.do


def test_a_guards_journal_goes_on_behind_what_cannot_be_read(tmp_path):
    journal = GuardJournal(tmp_path / "a" / "b")
    assert list(journal.lines()) == []
    journal.append(LINE)
    with journal.path.open("ab") as file:
        file.write(b"not a line\n")
    journal.append(GuardLine(at=2, kind="note", sentence="second"))
    with journal.path.open("ab") as file:
        file.write(b'{"at":3')
    journal.append(GuardLine(at=4, kind="note", sentence="third"))
    assert [line.sentence for line in journal.lines()] == ["first", "second", "third"]
    assert journal.path.read_bytes().count(b"\n") == 5
    assert journal.path.stat().st_mode & 0o111 == 0
    first = next(journal.lines())
    assert (first.epoch, first.qty, first.tag, first.order_id) == (0, 0, "", "")


def test_an_arming_that_cannot_be_kept_is_said(tmp_path):
    (tmp_path / "live").write_text("in the way")
    with pytest.raises(DiskFailed, match="arming cannot be kept"):
        ArmingFile(tmp_path).write(ARMED)


def test_a_record_that_hashes_right_and_reads_wrong_is_damage():
    start, body = first_link("run"), b"\xc1 no message"
    digest = hashlib.sha256(start + body).digest()
    with pytest.raises(JournalDamaged, match="commit 1 cannot be read"):
        read_record("here", 1, start, (1, SCHEMA, 1, 1, body, digest))
    assert SCHEMA == 1


def changed(path, statement):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM commits WHERE no = 2", "UPDATE commits SET hash = 'text' WHERE no = 2"],
)
def test_a_walk_from_the_middle_needs_the_commit_before_it(tmp_path, statement):
    path = tmp_path / "run.journal"
    journal = SqliteJournal(path, run_key="run")
    for number in (1, 2, 3):
        journal.commit(commit(number))
    head = journal._head
    journal.close()
    changed(path, statement)
    db = journal_file.connect(path)
    with closing(db), pytest.raises(JournalDamaged, match="commit 2 is missing"):
        list(journal_file.walk(db, path, "run", (2, 3), head))


def test_a_journal_that_is_not_there_is_no_damaged_one(tmp_path):
    with pytest.raises(DiskFailed):
        verify(tmp_path / "nobody.journal")


def test_commits_read_back_count_towards_the_next_checkpoint(tmp_path):
    path = tmp_path / "run.journal"

    def checkpoints(journal):
        return [no for (no,) in journal._db.execute("SELECT no FROM checkpoints ORDER BY no")]

    journal = SqliteJournal(path, run_key="run", checkpoint_every=4)
    for number in (1, 2, 3):
        journal.commit(commit(number))
    journal.close()
    again = SqliteJournal(path, run_key="run", checkpoint_every=4)
    again.commit(commit(4))
    assert checkpoints(again) == []
    again.commit(commit(5))
    assert checkpoints(again) == [4]
    again.close()
