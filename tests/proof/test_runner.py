"""The runner of a proof loses nothing: not what broke, not what died or hung, not what was lived before a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from proof.batches import Batch, BatchFile
from proof.summary import read_proof
from proof.tier import Outcome

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


class House:
    """A folder in which made-up tiers are lived."""

    def __init__(self, folder):
        self.folder = folder
        self.docs = folder / "docs"

    def start(self, tiers, *words, **environment):
        return subprocess.Popen(
            [sys.executable, "-m", "proof", "--tiers", "made_up_tiers", "--docs", str(self.docs),
             "--folder", str(self.folder / "done"), "--workers", "2", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(HERE), "MADE_UP": str(self.folder),
                 "MADE_UP_TIERS": tiers, "CI": "", "TMPDIR": str(self.folder), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, tiers, *words, **environment):
        program = self.start(tiers, *words, **environment)
        out, err = program.communicate(timeout=100)
        return program.returncode, out, err

    @property
    def lived(self):
        path = self.folder / "lived"
        return path.read_text().splitlines() if path.exists() else []

    def batches(self, scale="proof"):
        path = self.folder / "done" / f"{scale}.jsonl"
        return [msgspec.json.decode(line, type=Batch) for line in path.read_bytes().splitlines()]

    def left(self):
        """Temporary folders that nobody cleared away."""
        return [path.name for path in self.folder.iterdir() if path.name.startswith("proof-")]


def test_everything_is_lived_once_counted_and_written_down(house):
    code, out, err = house.run("good beside")
    assert code == 0, err
    assert sorted(house.lived) == sorted(f"good {unit}" for unit in (1, 2, 3, 4) for _ in "ab")
    good, beside = read_proof(house.docs / "proof.json").runs["proof"].tiers
    assert (good.units, good.seeds, good.violations, good.lost) == (4, "1 to 4", 0, None)
    assert good.counts == {"orders": 4}
    assert good.faults == {"no_answer": 4}
    spread = good.spreads["naked_ms"]
    assert (spread.times, spread.p50, spread.p99, spread.worst) == (4, 2, 4, 4)
    assert beside.units == 4
    assert "0 violations, 0 lost, 0 doubled" in out
    assert "Nothing broke" in (house.docs / "Proof.md").read_text()
    assert len({batch.hash_seed for batch in house.batches()}) > 1
    assert house.left() == []


def test_what_is_lived_is_not_lived_again_and_other_code_does_not_count(house):
    house.run("good")
    code, out, _ = house.run("good")
    assert (code, len(house.lived)) == (0, 4)
    assert "2 batches of this code are lived already" in out
    path = house.folder / "done" / "proof.jsonl"
    first, second = path.read_bytes().splitlines()
    old = json.loads(first)
    old["tree"] = "another"
    path.write_bytes(json.dumps(old).encode() + b"\n" + second + b'\n{"tree":"tor')
    code, out, _ = house.run("good")
    assert code == 0
    assert "1 batches of other code are not counted" in out
    assert house.lived[4:] == [f"good {old['first']}", f"good {old['first'] + 1}"]
    code, out, _ = house.run("good", "--fresh")
    assert len(house.lived) == 10
    assert (house.folder / "done" / "proof-1.jsonl").exists()


def test_what_broke_is_told_kept_and_counted(house):
    code, _, err = house.run("bad")
    assert code == 1
    assert "Unit 3 lost an order." in err
    kept = (house.folder / "done" / "broken" / "bad-3.txt").read_text()
    assert "Unit 3 lost an order." in kept
    run = read_proof(house.docs / "proof.json").runs["proof"]
    assert (run.violations, run.lost) == (1, 1)
    page = (house.docs / "Proof.md").read_text()
    assert "**1 violations**" in page
    assert "Nothing broke" not in page
    assert "Unit 3 lost an order." in page
    assert house.run("bad")[0] == 1, "nor is it forgotten by the next start"


def test_a_program_that_dies_is_a_violation_with_its_units_and_the_run_goes_on(house):
    code, _, _ = house.run("dies good")
    assert code == 1
    stories = [broken.story for batch in house.batches() for broken in batch.outcome.broken]
    assert [story.splitlines()[0] for story in stories] == [
        "dies, units 1 to 2: The program that lived it died: signal SIGKILL. Its last words:",
        "dies, unit 2: The program that lived it died: signal SIGKILL. Its last words:",
    ]
    assert all("my last words" in story for story in stories)
    run = read_proof(house.docs / "proof.json").runs["proof"]
    assert [(each.units, each.violations) for each in run.tiers] == [(4, 2), (4, 0)]
    assert sum(line == "good 1" for line in house.lived) == 2, "its neighbour is lived after all"
    assert house.left() == []


def test_a_batch_that_hangs_is_ended_and_says_where(house):
    code, _, _ = house.run("hangs", "--limit", "3")
    assert code == 1
    stories = [broken.story for batch in house.batches() for broken in batch.outcome.broken]
    assert [story.splitlines()[0] for story in stories] == [
        "hangs, units 1 to 2: It still hung after 3 seconds, here:",
        "hangs, unit 2: It still hung after 3 seconds, here:",
    ]
    assert all("in hangs" in story for story in stories)
    assert len(house.lived) == 3
    assert house.left() == []


def test_an_error_and_a_lie_are_violations(house):
    assert house.run("raises liar")[0] == 1
    run = read_proof(house.docs / "proof.json").runs["proof"]
    raised, lied = run.tiers
    assert "this tier is wrong" in raised.broken[0].story
    assert lied.doubled == 1
    assert [each.story for each in lied.broken] == [
        "Asked for 2 units, it lived 1. (units 1 to 2)",
        "It counts 1 doubled and names no unit that broke. (units 1 to 2)",
    ]


def test_alone_is_alone(house):
    assert house.run("slow beside")[0] == 0
    assert "not alone" not in house.lived


def first_line(house, program):
    path = house.folder / "done" / "proof.jsonl"
    for _ in range(600):
        if path.exists() and path.read_bytes():
            return
        assert program.poll() is None
        time.sleep(0.05)
    raise AssertionError("no batch was finished")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_in_the_middle_it_goes_on_where_it_was(house, how):
    program = house.start("slow")
    first_line(house, program)
    program.send_signal(how)
    _, err = program.communicate(timeout=60)
    kept = len(house.batches())
    assert 1 <= kept < 8
    if how != signal.SIGKILL:
        assert program.returncode == 130
        assert "goes on where it stopped" in err
        assert "Traceback" not in err
        assert house.left() == []
    assert not (house.docs / "proof.json").exists()
    code, out, _ = house.run("slow")
    assert code == 0
    assert f"{kept} batches of this code are lived already" in out
    assert len(house.batches()) == 8
    assert {batch.first for batch in house.batches()} == set(range(1, 9))


def test_programs_do_not_outlive_their_runner(house):
    program = house.start("hangs")
    for _ in range(600):
        mine = [line for line in programs() if str(program.pid) == line.split()[1]]
        if mine:
            break
        time.sleep(0.05)
    program.kill()
    program.communicate(timeout=60)
    names = {line.split()[0] for line in mine}
    assert names
    for _ in range(200):
        if not names & {line.split()[0] for line in programs()}:
            return
        time.sleep(0.05)
    raise AssertionError("a program lives on")


def programs():
    told = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], check=False, capture_output=True, text=True
    )
    return [line for line in told.stdout.splitlines() if "proof.worker" in line]


def test_one_unit_is_told(house):
    code, out, _ = house.run("bad good", "--tier", "bad", "--unit", "3")
    assert (code, out.splitlines()[0]) == (1, "Unit 3 lost an order.")
    code, out, _ = house.run("bad good", "--tier", "bad", "--unit", "2")
    assert code == 0
    assert "bad, unit 2: nothing broke." in out
    code, _, err = house.run("bad good", "--tier", "none")
    assert code == 2
    assert "There are: bad, good." in err


def test_the_page_is_written_by_whole_runs_outside_ci_only(house):
    assert house.run("good bad", "--tier", "good")[0] == 0
    assert not house.docs.exists()
    assert house.run("good", CI="true")[0] == 0
    assert not house.docs.exists()
    _, out, _ = house.run("good", "--list")
    assert "good: good is good." in out
    assert "40 in a soak" in out


def test_half_done_batches_wait_in_pieces(tmp_path):
    from made_up_tiers import EVERY

    file = BatchFile(tmp_path / "f", "t")
    tier = msgspec.structs.replace(EVERY["good"], batch=3)

    def add(first, count, *, fell=False):
        file.add(Batch(tree="t", commit="", tier="good", first=first, count=count, hash_seed=0,
                       seconds=1, outcome=Outcome(units=count), fell=fell))  # fmt: skip

    assert list(file.waiting(tier, 7)) == [(1, 3), (4, 3), (7, 1)]
    add(4, 3, fell=True)
    assert list(file.waiting(tier, 7)) == [(1, 3), (4, 1), (5, 1), (6, 1), (7, 1)]
    add(5, 1, fell=True)
    add(1, 3)
    assert list(BatchFile(tmp_path / "f", "t").waiting(tier, 8)) == [(4, 1), (6, 1), (7, 2)]
