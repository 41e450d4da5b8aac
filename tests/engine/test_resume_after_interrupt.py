"""Ctrl-C, SIGTERM, a second start, a finished day, a changed setting: which run goes on, and which not."""

import hashlib
import json
import subprocess
import time

import pytest
from short_day import ENVIRONMENT, ROOT, House, judge, traded


def contents(folder):
    """Every file of a folder, by its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("signal", "frame"), [("SIGINT", 1), ("SIGINT", 1000), ("SIGTERM", 1000), ("SIGTERM", 2390)]
)
def test_a_day_asked_to_stop_ends_clean_and_the_same_command_goes_on(house, whole, signal, frame):
    ran = house.start(signals=((signal, frame),))
    assert ran.returncode == 130, ran.stderr[-900:]
    stopped = json.loads(ran.stdout)
    assert stopped["interrupted"]
    assert "Start the same command again to go on from here." in ran.stderr
    assert "Traceback" not in ran.stderr
    # What was traded so far is on the tables, and nothing of the journal waits in a side file.
    fills = [entry for entry in house.ledger() if entry["what"] == "TRADE"]
    assert len(house.table("fills.csv")) == stopped["fills"] <= len(fills)
    assert house.commits()[-1][1].facts[-1].kind == "interrupted"
    summary = house.finished()
    assert summary["resumed"]
    judge(house)
    assert traded(house, summary) == whole


def test_ctrl_c_pressed_twice_stops_at_once_and_the_same_command_goes_on(house, whole):
    ran = house.start(signals=(("SIGINT", 700), ("SIGINT", 701)))
    assert ran.returncode == 130, ran.stderr[-900:]
    assert "The same command goes on from here." in ran.stderr
    assert "Traceback" not in ran.stderr
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole


def test_a_day_stopped_killed_and_stopped_again_ends_as_if_it_had_not_been(house, whole):
    assert house.start(signals=(("SIGINT", 500),)).returncode == 130
    house.killed("after carrying out", 7)
    assert house.start(signals=(("SIGTERM", 1500),)).returncode == 130
    house.killed("in a ledger line", 3)
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole


def test_a_second_house_in_the_same_folder_is_refused_and_told_whose_it_is(house):
    first = subprocess.Popen(
        house.command("--speed", "1"), cwd=ROOT, env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        lock = house.artifacts / ".paper.lock"
        while not (lock.exists() and lock.read_text().endswith("\n")):
            assert first.poll() is None
            time.sleep(0.01)
        before = house.ledger_text() if (house.artifacts / "runs").exists() else ""
        second = House(house.folder / "second", house.market)
        second.artifacts = house.artifacts
        ran = second.start()
        assert ran.returncode == 4
        what, do = ran.stderr.strip().split("\n")
        assert f"process {first.pid}," in what
        assert do.startswith("  → ")
        assert not before
    finally:
        first.kill()
        first.wait()
    # Whoever held it is dead: the folder is free.
    house.finished()
    judge(house)


def test_a_finished_day_prints_its_report_again_and_changes_nothing(house, whole):
    first = house.finished()
    before = contents(house.artifacts)
    ran = house.start()
    assert ran.returncode == 0
    again = json.loads(ran.stdout, parse_float=str)
    assert again["already_finished"]
    assert "Add --fresh to trade it again as a new run; nothing is deleted." in ran.stderr
    assert traded(house, again) == traded(house, first) == whole
    after = contents(house.artifacts)
    assert {name for name in before if before[name] != after.get(name)} <= {".paper.lock"}
    assert set(after) == set(before)


def runs(house):
    return sorted(path.name for path in (house.artifacts / "runs").iterdir())


def test_a_fresh_start_is_another_run_and_deletes_nothing(house):
    house.killed("after commit of an order", 5)
    (first,) = runs(house)
    before = contents(house.run)
    summary = house.finished("--fresh")
    assert runs(house) == [first, f"{first}-2"]
    assert summary["run"] == f"{first}-2"
    assert contents(house.artifacts / "runs" / first) == before
    # Without --fresh the latest attempt is meant, and that one is over.
    assert house.finished()["already_finished"]


def test_another_setting_is_another_run(house):
    house.killed("frame", 100)
    (first,) = runs(house)
    before = contents(house.run)
    text = house.config.read_text()
    house.config.write_text(text.replace("max_open_positions: 12", "max_open_positions: 11"))
    house.finished()
    assert len(runs(house)) == 2
    assert contents(house.artifacts / "runs" / first) == before
    # A remark is no setting.
    house.config.write_text("# the first run again\n" + text)
    assert house.finished()["run"] == first


def test_another_text_of_a_strategy_is_another_run(house):
    my = house.folder / "my"
    my.mkdir()
    shipped = (ROOT / "kitestring" / "strategies" / "ema_cross.py").read_text(encoding="utf-8")
    house.killed("frame", 100, my=str(my))
    (first,) = runs(house)
    (my / "ema_cross.py").write_text(shipped + "\nSLOWER = 1\n", encoding="utf-8")
    second = house.finished(my=str(my))["run"]
    assert runs(house) == sorted([first, second])
    (my / "ema_cross.py").unlink()
    assert house.finished(my=str(my))["run"] == first
