"""Files that were damaged between two starts, disks that fill up: refused, or mended, never guessed."""

import pytest
from short_day import facts, judge, traded

from kitestring.domain.events import Gap
from kitestring.domain.verdicts import PlaceOrder


def flip(path, place):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def refused(house, what):
    """The next start refuses with exit code 4 and says what to do, and nobody trades."""
    before = house.ledger_text()
    ran = house.start()
    assert ran.returncode == 4, (ran.returncode, ran.stderr[-900:])
    sentence, do = ran.stderr.strip().split("\n")
    assert what in sentence
    assert do.startswith("  → ")
    assert ran.stdout == ""
    assert house.ledger_text() == before


def stopped(house, frame=1200):
    """A day stopped cleanly in its middle, so that its journal is one file."""
    assert house.start(signals=(("SIGINT", frame),)).returncode == 130


@pytest.mark.parametrize("which", ["an early commit", "a late commit"])
def test_one_flipped_bit_in_the_journal_stops_the_start(house, which):
    stopped(house)
    path = house.run / "journal.sqlite"
    tags = [entry["tag"] for entry in house.ledger() if entry["what"] == "PLACE"]
    tag = tags[0 if which == "an early commit" else -1].encode()
    flip(path, path.read_bytes().index(tag) + 3)
    refused(house, "journal")
    # Another run is free to start.
    house.finished("--fresh")


def test_a_journal_cut_short_stops_the_start(house):
    stopped(house)
    path = house.run / "journal.sqlite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(house, "journal")


def test_a_journal_of_another_run_stops_the_start(house):
    stopped(house)
    mine = (house.run / "journal.sqlite").read_bytes()
    house.config.write_text(house.config.read_text().replace("0.02%", "0.03%"))
    first = house.run.name
    stopped(house_other := house)
    (other,) = [path for path in (house.artifacts / "runs").iterdir() if path.name != first]
    (other / "journal.sqlite").write_bytes(mine)
    ran = house_other.start()
    assert ran.returncode == 4
    assert "was written for run" in ran.stderr


def test_a_flipped_bit_on_the_tape_stops_the_start(house):
    stopped(house)
    path = house.run / "tape.bin"
    flip(path, path.stat().st_size // 2)
    refused(house, "tape")


def test_a_tape_that_lost_its_end_to_a_power_failure_is_a_gap_and_no_order_is_lost(house):
    stopped(house)
    path = house.run / "tape.bin"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    stopped_at = house.commits()[-1][1].at
    # Killed as soon as the gap is in the journal, and started again: it is there, and once.
    house.killed("after commit", 1)
    summary = house.finished()
    (gap,) = facts(house.commits(), Gap)
    assert gap.start_at < gap.end_at == stopped_at
    assert summary["halted"] is None
    judge(house)


def test_half_a_last_line_of_the_exchange_is_cut_off(house, whole):
    house.killed("after a ledger line", 40)
    path = house.run / "exchange_ledger.jsonl"
    with path.open("ab") as file:
        file.write(b'{"position":9')
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole


def test_a_damaged_line_in_the_middle_of_the_exchanges_ledger_stops_the_start(house):
    stopped(house)
    path = house.run / "exchange_ledger.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[7] = lines[7][:-9]
    path.write_bytes(b"\n".join(lines))
    refused(house, "Line 8 of the exchange's ledger")


def test_an_exchange_that_lost_its_ledger_stops_the_start(house):
    stopped(house)
    (house.run / "exchange_ledger.jsonl").unlink()
    refused(house, "has lost what the journal holds (order K")


def test_an_exchange_that_lost_a_fill_stops_the_start(house):
    stopped(house)
    path = house.run / "exchange_ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    last_trade = max(number for number, line in enumerate(lines) if b'"TRADE"' in line)
    path.write_bytes(b"".join(lines[:last_trade]))
    refused(house, "has lost what the journal holds (")


def test_lost_and_edited_tables_are_written_anew_from_the_journal(house, whole):
    stopped(house)
    (house.run / "orders.csv").unlink()
    (house.run / "fills.csv").write_text("somebody saved this from a spreadsheet\n")
    (house.run / "trades.csv").unlink()
    summary = house.finished()
    assert traded(house, summary) == whole


FULL = [
    ("before commit", 1),
    ("before commit of an order", 9),
    ("before a ledger line", 1),
    ("before a ledger line", 33),
    ("before a tape block", 44),
]


@pytest.mark.parametrize(("moment", "count"), FULL)
def test_a_full_disk_stops_the_day_and_room_lets_it_go_on(house, whole, moment, count):
    ran = house.start(disk_full=(moment, count))
    assert ran.returncode == 4, (ran.returncode, ran.stderr[-900:])
    assert "Traceback" not in ran.stderr
    sentence, do = ran.stderr.strip().split("\n")[-2:]
    assert "cannot be written" in sentence
    assert do.startswith("  → ")
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole


def test_while_the_disk_stays_full_no_start_risks_anything_new(house, whole):
    house.killed("after commit of an order", 8)
    for _ in range(2):
        assert house.start(disk_full=("before commit", 1)).returncode == 4
    placed = [entry["tag"] for entry in house.ledger() if entry["what"] == "PLACE"]
    committed = [fact.cl_ord_id for fact in facts(house.commits(), PlaceOrder)]
    # The committed order goes out; no other one was thought of.
    assert placed == committed
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole


def test_a_folder_that_takes_no_file_stops_the_start(house):
    (house.folder / "a file").write_text("where a folder should be")
    house.artifacts = house.folder / "a file" / "artifacts"
    ran = house.start()
    assert ran.returncode == 4, (ran.returncode, ran.stderr[-900:])
    assert f"The folder {house.artifacts} cannot be written" in ran.stderr
    assert "  → make it writable, or use another --artifacts folder" in ran.stderr


def test_a_run_whose_journal_cannot_be_opened_stops_the_start(house):
    stopped(house, frame=50)
    for left in house.run.glob("journal.sqlite*"):
        left.unlink()
    (house.run / "journal.sqlite").mkdir()
    refused(house, "journal")
