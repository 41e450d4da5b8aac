from __future__ import annotations

import os
import shutil
import signal as signals
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_day import at, bar, commit, fill, place, report, round_trip, signal

from kitestring.domain.errors import (
    AnotherDayIsRunning,
    DiskFailed,
    JournalDamaged,
)
from kitestring.domain.events import DaySealed, Note
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType
from kitestring.domain.ports import Commit, Journal
from kitestring.store.journal import (
    MemoryJournal,
    SqliteJournal,
    encode_cell,
    is_sealed,
    verify,
)
from kitestring.store.records import CommitRecord, decode_commit, encode_commit

SEAL = DaySealed(
    at=at("15:30:00"),
    equity=1,
    realised=2,
    charges=3,
    net=4,
    orders=5,
    fills=6,
    trades=7,
    carried={},
)


def read(path: Path) -> tuple[list[Commit], dict[str, bytes]]:
    journal = SqliteJournal(path)
    try:
        return [one for _, one in journal.commits()], dict(journal.cells())
    finally:
        journal.close()


def written(path: Path, count: int, **options: int) -> SqliteJournal:
    journal = SqliteJournal(path, run_key="run", **options)
    for no in range(1, count + 1):
        assert journal.commit(commit(no)) == no
    return journal


def folded(count: int) -> dict[str, bytes]:
    """The cells after ``count`` commits of ``store_day.commit``, by hand."""
    cells: dict[str, bytes] = {}
    for no in range(1, count + 1):
        cells["clock"] = msgspec.msgpack.encode(no)
        cells[f"order/{no % 7}"] = msgspec.msgpack.encode(["NEW", no])
    return cells


def test_a_commit_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    whole = commit(
        1, bar(), signal(), place(), fill(), round_trip(), cells={"book": [1, 2], "gone": None}
    )
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.commit(whole)
    journal.close()
    assert read(tmp_path / "journal.sqlite") == ([whole], {"book": b"\x92\x01\x02"})


def test_the_record_read_back_has_the_fields_of_a_commit() -> None:
    assert CommitRecord.__struct_fields__ == Commit.__struct_fields__


FACTS = st.sampled_from(
    [
        bar(),
        signal(),
        place(),
        fill(),
        round_trip(),
        SEAL,
        report(ExecType.TRADE, "09:20:01", trade="T1", qty=25, px=price("22105.95"), cum=25),
        Note(at=at("09:15:00"), kind="started", sentence="₹ and ‘quotes’\n"),
    ]
)
CELLS = st.dictionaries(
    st.sampled_from(["book/a", "book/b", "order/1", "risk", "क"]),
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63),
        st.text("ab₹क", max_size=8),
        st.lists(st.integers(0, 9), min_size=1),
    ),
)


@given(
    st.builds(
        lambda no, facts, cells: commit(no, *facts, cells=cells),
        st.integers(1, 10**9),
        st.lists(FACTS, max_size=4),
        CELLS,
    )
)
def test_encoding_and_decoding_give_the_same_commit(one: Commit) -> None:
    assert decode_commit(encode_commit(one)) == one


@given(st.lists(CELLS, max_size=12))
def test_folded_cells_are_the_last_written_and_none_removes(days: list[dict[str, object]]) -> None:
    expected: dict[str, bytes] = {}
    journal = MemoryJournal()
    for no, cells in enumerate(days, 1):
        journal.commit(commit(no, cells=cells))
        for key, cell in cells.items():
            expected[key] = msgspec.msgpack.encode(cell)
    assert journal.cells() == {key: cell for key, cell in expected.items() if cell != b"\xc0"}


def test_both_journals_keep_the_same_chain_and_the_same_state(tmp_path: Path) -> None:
    on_disk = written(tmp_path / "journal.sqlite", 20)
    in_memory = MemoryJournal(run_key="run")
    for no in range(1, 21):
        in_memory.commit(commit(no))
    assert on_disk.head == in_memory.head
    assert on_disk.cells() == in_memory.cells() == folded(20)
    assert list(on_disk.commits(17)) == list(in_memory.commits(17))
    on_disk.close()
    both: tuple[Journal, Journal] = (on_disk, in_memory)
    assert len(both) == 2


def test_a_journal_in_memory_can_forget_and_still_go_on() -> None:
    whole, short = MemoryJournal(run_key="run"), MemoryJournal(run_key="run", keep=3)
    for no in range(1, 11):
        whole.commit(commit(no))
        short.commit(commit(no))
    assert short.head == whole.head
    assert short.cells() == folded(10)
    assert [no for no, _ in short.commits(7)] == [8, 9, 10]
    assert list(short.commits(10)) == []
    with pytest.raises(ValueError, match="commit 1 is forgotten"):
        list(short.commits())


def test_recovery_reads_the_last_checkpoint_and_what_came_after(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 45, checkpoint_every=10).close()
    with sqlite3.connect(path) as db:
        kept = [no for (no,) in db.execute("SELECT no FROM checkpoints ORDER BY no")]
        # Proof that the checkpoint is read: an early commit is broken and recovery does not see it.
        db.execute("UPDATE commits SET body = x'00' WHERE no = 3")
    db.close()
    assert kept == [30, 40]
    journal = SqliteJournal(path)
    assert journal.cells() == folded(45)
    with pytest.raises(JournalDamaged, match="commit 3 does not match its hash"):
        list(journal.commits())
    journal.close()


def test_a_broken_checkpoint_is_passed_over_for_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 45, checkpoint_every=10).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE checkpoints SET body = x'80'")
    db.close()
    assert read(path)[1] == folded(45)


def test_checkpoints_grow_rarer_as_the_state_grows(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path, checkpoint_every=4)
    journal.commit(commit(1, cells={"large": "x" * 20_000}))
    for no in range(2, 40):
        journal.commit(commit(no, cells={"clock": no}))
    journal.close()
    with sqlite3.connect(path) as db:
        assert [no for (no,) in db.execute("SELECT no FROM checkpoints")] == [4]
    db.close()


def test_writing_goes_on_after_the_journal_was_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 12, checkpoint_every=5).close()
    journal = SqliteJournal(path, run_key="run", checkpoint_every=5)
    assert journal.count == 12
    for no in range(13, 31):
        journal.commit(commit(no))
    journal.close()
    assert read(path) == ([commit(no) for no in range(1, 31)], folded(30))
    assert verify(path).damage == ""


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE commits SET body = zeroblob(3) WHERE no = 4", "commit 4 does not match its hash"),
        ("UPDATE commits SET hash = zeroblob(32) WHERE no = 4", "commit 4 does not match its hash"),
        ("DELETE FROM commits WHERE no = 4", "commit 4 is missing"),
        ("DELETE FROM commits WHERE no = 6", "commit 6 is missing"),
        ("UPDATE commits SET schema = 99 WHERE no = 2", "commit 2 has schema 99"),
        ("UPDATE commits SET inbox = 5 WHERE no = 2", "commit 2 is filed under inbox 5"),
        ("UPDATE head SET no = 5", "commit 5 does not match the head"),
        ("DELETE FROM head", "does not say where its chain ends"),
        ("DELETE FROM meta", "does not name a run"),
        ("UPDATE meta SET value = 'another' WHERE key = 'run_key'", "commit 1 does not match"),
        ("DROP TABLE commits", "its tables are not those of a journal"),
    ],
)
def test_damage_is_named_and_refused(tmp_path: Path, statement: str, found: str) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 6).close()
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()
    with pytest.raises(JournalDamaged, match=found) as refusal:
        read(path)
    assert "journal verify" in refusal.value.do
    assert found in verify(path).damage


def test_a_verified_journal_says_how_long_it_is_and_whether_its_day_is_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = written(path, 3)
    before = journal.head
    journal.close()
    result = verify(path)
    assert (result.run_key, result.commits, result.head) == ("run", 3, before)
    assert (result.sealed, result.damage, result.damaged_commit) == (False, "", None)
    assert not is_sealed(path)
    journal = SqliteJournal(path)
    journal.commit(commit(4, SEAL))
    journal.close()
    assert verify(path).sealed
    assert is_sealed(path)


def test_verify_names_the_first_commit_that_does_not_verify(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 6).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE commits SET at = 0 WHERE no >= 4")
    db.close()
    result = verify(path)
    assert (result.commits, result.damaged_commit) == (3, 4)


def test_a_journal_belongs_to_one_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 1).close()
    with pytest.raises(JournalDamaged, match="written for run 'run', not 'other'"):
        SqliteJournal(path, run_key="other")


def test_an_emptied_file_is_damage_and_never_a_new_day(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"")
    with pytest.raises(JournalDamaged):
        SqliteJournal(path)
    path.unlink()
    (tmp_path / "journal.sqlite-wal").write_bytes(b"left over")
    with pytest.raises(JournalDamaged, match="the file it belongs to is gone"):
        SqliteJournal(path)


def crashed_copy(path: Path, folder: Path) -> Path:
    """The files as a power cut would leave them: main file and WAL, nothing tidied up."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name in ("journal.sqlite", "journal.sqlite-wal"):
        shutil.copyfile(path.with_name(name), folder / name)
    return folder / "journal.sqlite"


def test_a_wal_torn_at_any_byte_leaves_a_prefix_of_the_day(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.sqlite", 12, checkpoint_every=5)
    days = [commit(no) for no in range(1, 13)]
    wal_size = (tmp_path / "journal.sqlite-wal").stat().st_size
    longest = 0
    # Each frame's edge (a header of 32 bytes, then frames of 24 + 4096), and places in between.
    edges = [edge + by for edge in range(32, wal_size + 1, 4120) for by in (-1, 0, 1)]
    for size in sorted({*range(0, wal_size, 1499), *edges} - {wal_size + 1}):
        copy = crashed_copy(tmp_path / "journal.sqlite", tmp_path / "copy")
        os.truncate(copy.with_name("journal.sqlite-wal"), size)
        commits, cells = read(copy)
        assert commits == days[: len(commits)]
        assert cells == folded(len(commits))
        assert len(commits) >= longest
        longest = len(commits)
    assert longest == 12
    journal.close()


def test_flipped_bits_in_the_wal_leave_a_prefix_of_the_day(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.sqlite", 8)
    days = [commit(no) for no in range(1, 9)]
    wal = (tmp_path / "journal.sqlite-wal").read_bytes()
    for place_of_flip in range(0, len(wal), 613):
        copy = crashed_copy(tmp_path / "journal.sqlite", tmp_path / "copy")
        torn = bytearray(wal)
        torn[place_of_flip] ^= 1 << (place_of_flip % 8)
        copy.with_name("journal.sqlite-wal").write_bytes(torn)
        try:
            commits, cells = read(copy)
        except JournalDamaged:
            continue
        assert commits == days[: len(commits)]
        assert cells == folded(len(commits))
    journal.close()


def test_flipped_bits_in_the_file_are_damage_or_change_nothing(tmp_path: Path) -> None:
    written(tmp_path / "journal.sqlite", 12, checkpoint_every=5).close()
    days, state = [commit(no) for no in range(1, 13)], folded(12)
    whole = (tmp_path / "journal.sqlite").read_bytes()
    copy = tmp_path / "copy.sqlite"
    found = 0
    # Every byte of the file's header, then many places of every page.
    for place_of_flip in (*range(100), *range(100, len(whole), 61)):
        flipped = bytearray(whole)
        flipped[place_of_flip] ^= 1 << (place_of_flip % 8)
        for leftover in tmp_path.glob("copy.sqlite*"):
            leftover.unlink()
        copy.write_bytes(flipped)
        verdict = verify(copy)
        try:
            commits, cells = read(copy)
        except JournalDamaged:
            found += 1
            assert verdict.damage or place_of_flip < 100
            continue
        assert (commits, cells) == (days, state), place_of_flip
    assert found > 50


def test_flipped_headers_never_hide_commits_that_are_still_in_the_wal(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.sqlite", 6)
    days = [commit(no) for no in range(1, 7)]
    for place_of_flip in range(16, 100):
        for bit in (0, 1):
            copy = crashed_copy(tmp_path / "journal.sqlite", tmp_path / "copy")
            flipped = bytearray(copy.read_bytes())
            flipped[place_of_flip] ^= 1 << bit
            copy.write_bytes(flipped)
            try:
                commits, _ = read(copy)
            except JournalDamaged:
                continue
            assert commits == days, (place_of_flip, bit)
    journal.close()


def test_a_header_that_lost_its_wal_mode_hides_no_commit(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.sqlite", 6)
    copy = crashed_copy(tmp_path / "journal.sqlite", tmp_path / "copy")
    header = bytearray(copy.read_bytes())
    assert header[18:20] == b"\x02\x02"
    header[18:20] = b"\x01\x01"
    copy.write_bytes(header)
    assert read(copy)[0] == [commit(no) for no in range(1, 7)]
    journal.close()
    # Without its WAL mode the file would be written in another way from now on: refused.
    copy.with_name("journal.sqlite-wal").unlink(missing_ok=True)
    copy.write_bytes(header)
    with pytest.raises(JournalDamaged, match="its header is not that of a journal"):
        SqliteJournal(copy)


def test_a_cell_of_nothing_is_a_removed_cell_now_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    journal.commit(commit(1, cells={"halt": "yes", "clock": 1}))
    nothing = msgspec.structs.replace(commit(2), cells={"halt": encode_cell(None)})
    journal.commit(nothing)
    assert journal.cells() == {"clock": b"\x01"}
    journal.close()
    assert read(path)[1] == {"clock": b"\x01"}


def test_a_commit_that_failed_leaves_no_open_transaction(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.sqlite", 3)
    journal._db.execute("INSERT INTO commits VALUES(4, 1, 0, 0, x'00', x'00')")
    with pytest.raises(JournalDamaged, match="UNIQUE"):
        journal.commit(commit(4))
    assert not journal._db.in_transaction
    journal._db.execute("DELETE FROM commits WHERE no = 4")
    assert journal.commit(commit(4)) == 4
    journal.close()
    assert verify(tmp_path / "journal.sqlite").damage == ""


WRITER = """
import sys
from pathlib import Path
from kitestring.store.journal import SqliteJournal
from store_day import commit
journal = SqliteJournal(Path(sys.argv[1]), run_key="run", checkpoint_every=16)
no = journal.count
while True:
    no = journal.commit(commit(no + 1))
    sys.stdout.write(f"{no}\\n")
    sys.stdout.flush()
"""


def start_writer(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".", str(Path(__file__).parent)])},
    )


def stop(writer: subprocess.Popen[str]) -> tuple[str, str]:
    writer.kill()
    return writer.communicate()


def test_a_killed_writer_loses_nothing_it_was_told_is_durable(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    acknowledged = 0
    for lines_until_killed in (1, 7, 40, 90):
        writer = start_writer(path)
        assert writer.stdout is not None
        for _ in range(lines_until_killed):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signals.SIGKILL)
        rest, _ = writer.communicate()
        whole_lines = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        acknowledged = int(whole_lines[-1]) if whole_lines else acknowledged
        commits, cells = read(path)
        assert len(commits) - acknowledged in (0, 1)
        assert commits == [commit(no) for no in range(1, len(commits) + 1)]
        assert cells == folded(len(commits))


def test_a_second_program_is_refused_while_the_day_is_running(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    writer = start_writer(path)
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(AnotherDayIsRunning, match="in use by another program"):
        SqliteJournal(path)
    with pytest.raises(AnotherDayIsRunning):
        verify(path)
    stop(writer)
    assert verify(path).damage == ""


def test_a_full_disk_is_said_and_the_journal_stands_where_it_stood(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = written(path, 3)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    large = commit(4, cells={"large": "x" * 50_000})
    with pytest.raises(DiskFailed, match="No new risk"):
        journal.commit(large)
    assert journal.count == 3
    assert journal.cells() == folded(3)
    journal._db.execute("PRAGMA max_page_count = 1000000")
    assert journal.commit(large) == 4
    journal.close()
    assert read(path)[0] == [commit(1), commit(2), commit(3), large]


@pytest.fixture
def tiny_disk(tmp_path: Path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount here")
def test_a_disk_that_really_is_full_stops_new_risk_and_keeps_what_is_there(tiny_disk: Path) -> None:
    path = tiny_disk / "journal.sqlite"
    journal = SqliteJournal(path)
    done = 0

    def until_full() -> None:
        nonlocal done
        for no in range(1, 1000):
            done = journal.commit(commit(no))

    with pytest.raises(DiskFailed, match="full"):
        until_full()
    assert 0 < done < 100
    assert journal.count == done
    journal.close()
    result = verify(path)
    assert (result.commits, result.damage) == (done, "")


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount here")
def test_a_disk_that_went_read_only_is_found_at_the_start(tiny_disk: Path) -> None:
    written(tiny_disk / "journal.sqlite", 2).close()
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(DiskFailed):
        SqliteJournal(tiny_disk / "journal.sqlite")
    with pytest.raises(DiskFailed):
        SqliteJournal(tiny_disk / "new" / "journal.sqlite")
    assert verify(tiny_disk / "journal.sqlite").commits == 2


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write into any folder"
)
def test_a_read_only_folder_is_found_at_the_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DiskFailed):
            SqliteJournal(tmp_path / "journal.sqlite")
    finally:
        tmp_path.chmod(0o700)


def test_the_commit_latency_of_this_disk_is_measured(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    assert journal.measure_commit_ms() > 0.0
    assert journal.count == 0
    journal.close()
    assert MemoryJournal().measure_commit_ms() == 0.0


def test_a_cell_is_the_encoded_state() -> None:
    assert bytes(encode_cell(bar())) == msgspec.msgpack.encode(bar())
