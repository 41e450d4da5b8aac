"""The exchange looks into a sender's journal while the order waits: what it finds, and what it cannot."""

import sqlite3

from stage_rig import order, play

from kitestring.domain.ports import Commit
from kitestring.exchange.wire.journal_witness import holds_tag
from kitestring.exchange.wire.wire_ledger import JOURNAL_HEADER
from kitestring.store.journal import SqliteJournal, encode_cell

TAG = "KTEST000000000000001"


def step(inbox, **cells):
    packed = {name: encode_cell(text) for name, text in cells.items()}
    return Commit(
        inbox=inbox, at=inbox, feed_position=0, tape_offset=0, tape_hash="", facts=(), cells=packed
    )


def test_a_commit_of_a_running_journal_is_seen_and_one_to_come_is_not(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path, run_key="one")
    assert holds_tag(str(path), TAG) is False
    journal.commit(step(1, order=TAG))
    assert holds_tag(str(path), TAG) is True
    assert holds_tag(str(path), "KTEST000000000000002") is False
    journal.close()
    assert holds_tag(str(path), TAG) is True


def test_a_tag_cut_in_two_by_the_end_of_a_page_is_found(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path, run_key="one")
    tags = [f"KTEST{number:015d}" for number in range(1000)]
    journal.commit(step(1, orders="".join(tags)))
    raw = path.with_name(path.name + "-wal").read_bytes() + path.read_bytes()
    cut = [tag for tag in tags if tag.encode() not in raw]
    assert cut, "no tag was cut: the test must be made to cut one"
    for tag in cut:
        assert holds_tag(str(path), tag) is True
    journal.close()


def test_what_is_no_journal_is_no_evidence(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("nothing")
    assert holds_tag(str(text), TAG) is False
    assert holds_tag("journal.sqlite", TAG) is None
    assert holds_tag(str(tmp_path / "absent"), TAG) is None
    assert holds_tag(str(text), "") is None
    other = tmp_path / "other.sqlite"
    sqlite3.connect(other).close()
    other.write_bytes(b"")
    assert holds_tag(str(other), TAG) is False


def test_only_an_exchange_with_admin_looks(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path, run_key="one")
    journal.commit(step(1, order=TAG))

    async def talk(stage):
        for tag in (TAG, "KTEST000000000000002"):
            await stage.ask(
                "POST", "/orders/regular", data=order(tag=tag), headers={JOURNAL_HEADER: str(path)}
            )
        return [
            row.heard.intended
            for row in stage.stage.ledger.conversations(method="POST", path="/orders")
        ]

    assert play(talk, admin=True) == [True, False]
    assert play(talk) == [None, None]
    journal.close()
