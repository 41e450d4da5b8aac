"""The tape keeps what reached the inbox, and knows what was torn and what was damaged."""

from __future__ import annotations

import datetime as dt
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.errors import DiskFailed, JournalDamaged
from kitestring.domain.events import TimerFired
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price
from kitestring.domain.ports import Manifest, Tape
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.store.tape import FileTape, MemoryTape
from kitestring.store.tape_reader import TapeReader

INFY = InstrumentId("NSE:INFY")
OPEN = 1_763_610_300_000_000

MANIFEST = Manifest(
    name="synthetic",
    date=dt.date(2025, 11, 20),
    instruments=(
        Instrument(
            id=INFY,
            exchange="NSE",
            symbol="INFY",
            token=7,
            kind=InstrumentKind.EQUITY,
            segment=Segment.EQUITY,
            name="INFY",
            lot_size=1,
            tick_size=Price(500),
        ),
    ),
    sessions={
        Segment.EQUITY: Session(
            date=dt.date(2025, 11, 20),
            segment=Segment.EQUITY,
            open_at=OPEN,
            close_at=OPEN + 1,
            entry_cutoff_at=OPEN,
            square_off_at=OPEN,
            phases=(Phase(PhaseKind.CONTINUOUS, OPEN, OPEN + 1),),
        )
    },
    digest="seed 1",
    previous_close={INFY: Price(15_000_000)},
)

FRAME = TickFrame(OPEN + 5, (Tick(INFY, OPEN, Price(15_001_500), 10, Price(15_001_000), 25),))
BARS = BarFrame(
    OPEN + 60_000_000,
    (Bar(INFY, 1, OPEN, OPEN + 60_000_000, Price(4), Price(5), Price(3), Price(4), 9),),
)


def write(path: Path) -> list[tuple[int, str]]:
    """A tape of three marks: two frames, then bars and a timer, then one frame."""
    tape: Tape = FileTape.begin(path, MANIFEST)
    marks = [tape.mark()]
    tape.append_frame(1, FRAME)
    tape.append_frame(2, FRAME)
    marks.append(tape.mark())
    tape.append_frame(3, BARS)
    tape.append_timer(4, OPEN + 60_000_000)
    marks.append(tape.mark())
    tape.append_frame(5, FRAME)
    marks.append(tape.mark())
    tape.close()
    return marks


RECORDS = [(1, FRAME), (2, FRAME), (3, BARS), (4, TimerFired(OPEN + 60_000_000)), (5, FRAME)]


def test_what_was_recorded_is_read_back_in_order(tmp_path: Path):
    write(tmp_path / "tape.bin")
    reader = TapeReader(tmp_path / "tape.bin")
    assert list(reader) == RECORDS
    assert reader.torn_at is None
    assert reader.manifest == MANIFEST


def test_a_tape_is_read_up_to_the_mark_a_commit_recorded(tmp_path: Path):
    marks = write(tmp_path / "tape.bin")
    reader = TapeReader(tmp_path / "tape.bin")
    assert [list(reader.records(offset)) for offset, _ in marks] == [
        [],
        RECORDS[:2],
        RECORDS[:4],
        RECORDS,
    ]
    assert [reader.digest(offset) for offset, _ in marks] == [digest for _, digest in marks]
    assert reader.end() == marks[-1][0] == (tmp_path / "tape.bin").stat().st_size


def test_marking_twice_without_news_writes_nothing(tmp_path: Path):
    tape = FileTape.begin(tmp_path / "tape.bin", MANIFEST)
    tape.append_timer(1, OPEN)
    first = tape.mark()
    assert tape.mark() == first
    assert (tmp_path / "tape.bin").stat().st_size == first[0]
    tape.close()


def test_frames_are_on_disk_at_the_mark_even_if_nobody_closes_the_tape(tmp_path: Path):
    tape = FileTape.begin(tmp_path / "tape.bin", MANIFEST)
    tape.append_frame(1, FRAME)
    tape.mark()
    assert list(TapeReader(tmp_path / "tape.bin")) == [(1, FRAME)]
    tape._file.close()


def test_a_tail_torn_at_any_byte_of_the_last_block_is_cut_and_the_rest_is_whole(tmp_path: Path):
    marks = write(tmp_path / "tape.bin")
    whole = (tmp_path / "tape.bin").read_bytes()
    before = marks[2][0]
    torn = tmp_path / "torn.bin"
    for length in range(before + 1, len(whole)):
        torn.write_bytes(whole[:length])
        reader = TapeReader(torn)
        assert list(reader) == RECORDS[:4]
        assert reader.torn_at == before
        torn.write_bytes(whole[:length] + bytes(len(whole) - length))
        assert list(TapeReader(torn))[:4] == RECORDS[:4]


def test_a_torn_tape_goes_on_after_its_last_mark_as_if_nothing_had_happened(tmp_path: Path):
    path = tmp_path / "tape.bin"
    marks = write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    tape = FileTape.resume(path, *marks[2])
    tape.append_frame(5, FRAME)
    assert tape.mark() == marks[3]
    tape.close()
    assert path.read_bytes() == whole


def test_a_tape_left_short_by_a_power_failure_goes_on_after_its_last_whole_block(tmp_path: Path):
    path = tmp_path / "tape.bin"
    marks = write(path)
    path.write_bytes(path.read_bytes()[: marks[2][0] - 1])
    with pytest.raises(JournalDamaged):
        FileTape.resume(path, *marks[3])
    tape = FileTape.reopen(path, TapeReader(path).end())
    tape.append_frame(5, FRAME)
    tape.close()
    assert list(TapeReader(path)) == [*RECORDS[:2], (5, FRAME)]


def test_a_tape_can_be_cut_at_a_mark(tmp_path: Path):
    path = tmp_path / "tape.bin"
    marks = write(path)
    TapeReader(path).truncate_to(marks[1][0])
    assert list(TapeReader(path)) == RECORDS[:2]


def test_every_flipped_byte_before_the_last_block_is_named_as_damage(tmp_path: Path):
    path = tmp_path / "tape.bin"
    marks = write(path)
    whole = path.read_bytes()
    for place in range(marks[2][0]):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        with pytest.raises(JournalDamaged) as raised:
            list(TapeReader(path))
        assert str(path) in str(raised.value)


def test_damage_names_the_file_and_the_offset_of_the_block(tmp_path: Path):
    path = tmp_path / "tape.bin"
    marks = write(path)
    whole = path.read_bytes()
    place = marks[1][0] + 20
    path.write_bytes(whole[:place] + b"?" + whole[place + 1 :])
    with pytest.raises(JournalDamaged, match=f"tape.bin is damaged at byte {marks[1][0]}"):
        list(TapeReader(path))


def test_a_tape_that_differs_from_the_journal_is_not_continued(tmp_path: Path):
    path = tmp_path / "tape.bin"
    marks = write(path)
    with pytest.raises(JournalDamaged, match="not what the journal recorded"):
        FileTape.resume(path, marks[1][0], marks[2][1])
    with pytest.raises(JournalDamaged, match="not what the journal recorded"):
        FileTape.resume(path, marks[3][0] + 1, marks[3][1])


def test_a_mark_the_tape_does_not_hold_is_damage(tmp_path: Path):
    path = tmp_path / "tape.bin"
    marks = write(path)
    with pytest.raises(JournalDamaged, match="no block ends at byte"):
        list(TapeReader(path).records(marks[3][0] + 40))


def test_an_existing_tape_is_never_overwritten(tmp_path: Path):
    write(tmp_path / "tape.bin")
    with pytest.raises(DiskFailed, match="cannot be begun"):
        FileTape.begin(tmp_path / "tape.bin", MANIFEST)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said_in_one_sentence_and_what_was_buffered_is_kept(tmp_path: Path):
    tape = FileTape.begin(tmp_path / "tape.bin", MANIFEST)
    good = tape._file
    with Path("/dev/full").open("r+b", buffering=0) as full:
        tape._file = full
        tape.append_frame(1, FRAME)
        with pytest.raises(DiskFailed, match="cannot be written"):
            tape.mark()
    tape._file = good
    tape.mark()
    tape.close()
    assert list(TapeReader(tmp_path / "tape.bin")) == [(1, FRAME)]


def test_something_else_is_not_taken_for_a_tape(tmp_path: Path):
    (tmp_path / "tape.bin").write_bytes(b"timestamp,ltp,volume\n" * 9)
    with pytest.raises(JournalDamaged, match="is not a tape of this house"):
        TapeReader(tmp_path / "tape.bin")


def test_a_tape_in_memory_hashes_as_the_file_does_and_stays_small(tmp_path: Path):
    file = FileTape.begin(tmp_path / "tape.bin", MANIFEST)
    memory = MemoryTape(MANIFEST, keep_bytes=50_000)
    for inbox in range(10_000):
        file.append_frame(inbox, FRAME)
        memory.append_frame(inbox, FRAME)
    assert memory.mark() == file.mark()
    file.close()
    assert sum(map(len, memory._kept)) <= 50_000
    assert memory.records()[-1] == (9_999, FRAME)


ticks = st.builds(
    Tick,
    st.sampled_from([INFY, InstrumentId("NFO:NIFTY26NOVFUT")]),
    st.integers(0, 1 << 52),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 31),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 31),
    st.integers(0, 1 << 31),
)
frames = st.one_of(
    st.builds(TickFrame, st.integers(0, 1 << 52), st.lists(ticks, max_size=4).map(tuple)),
    st.builds(TimerFired, st.integers(0, 1 << 52)),
)


@settings(max_examples=50)
@given(st.lists(st.tuples(frames, st.booleans()), max_size=30))
def test_what_is_taped_comes_back_whatever_the_marks(recorded):
    tape = MemoryTape(MANIFEST)
    for inbox, (frame, marked) in enumerate(recorded):
        if isinstance(frame, TimerFired):
            tape.append_timer(inbox, frame.due_at)
        else:
            tape.append_frame(inbox, frame)
        if marked:
            tape.mark()
    assert tape.records() == [(inbox, frame) for inbox, (frame, _) in enumerate(recorded)]


def test_the_first_block_of_a_tape_lies_where_the_layout_says(tmp_path: Path):
    marks = write(tmp_path / "tape.bin")
    whole = (tmp_path / "tape.bin").read_bytes()
    first = marks[0][0]
    assert whole[:10] == b"KITETAPE\x01\x00"
    length = int.from_bytes(whole[first : first + 4], "little")
    assert first + 12 + length == marks[1][0]
    assert zlib.crc32(whole[first + 12 : marks[1][0]]) == int.from_bytes(
        whole[first + 4 : first + 8], "little"
    )
