"""``kitestring rehearsal``: a short day from login to verdict, and what makes it say no."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kitestring.cli.commands import house
from kitestring.cli.rehearsal import Rehearsed, verdict_lines
from kitestring.sim.verdict import Fault, Figures, Finding, Verdict

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_short_day_is_traded_killed_taken_up_again_and_judged(tmp_path):
    folder = tmp_path / "day"
    ran = subprocess.run(
        [sys.executable, "-m", "kitestring", "rehearsal", "--until", "09:45",
         "--folder", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    said = ran.stdout
    assert ran.returncode == 0, said + ran.stderr
    assert said.count("Armed: typed “TRADE 4000000”.") == 2, "before the day, and after the crash"
    assert "kill -9" in said
    assert "stopped as asked, with Ctrl-C" in said
    assert "✓ by the exchange's own books" in said
    assert "✗" not in said
    for name in (
        "exchange/wire.jsonl",
        "engine.log",
        "rehearsal.yaml",
        "artifacts/live/arming.json",
    ):
        assert (folder / name).exists()
    log = (folder / "engine.log").read_text()
    assert "no money is real there" in log
    assert "Traceback" not in log


def rehearsed(**changes):
    told = {
        "verdict": Verdict(
            findings=(),
            figures=Figures(orders=4, fills=3, turnover=100, refused=0, intents_seen=5),
        ),
        "exit_code": 0,
        "plug_pulled": "10:00:00",
        "struck": {"no_answer": 1},
        "halted": "",
        "folder": Path("day"),
    }
    return Rehearsed(**(told | changes))


def of(findings=(), **figures):
    told = {"orders": 4, "fills": 3, "turnover": 100, "refused": 0, "intents_seen": 5} | figures
    return Verdict(findings=findings, figures=Figures(**told))


def test_a_good_rehearsal_says_so():
    assert rehearsed().holds
    assert verdict_lines(rehearsed(), before_end=False)[-1].startswith("✓")
    assert "flat at the end" in verdict_lines(rehearsed(), before_end=False)[-1]
    assert "flat at the end" not in verdict_lines(rehearsed(), before_end=True)[-1]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"verdict": of((Finding(Fault.TWICE, "K1 stands 2 times."),))},
        {"exit_code": 1},
        {"plug_pulled": ""},
        {"halted": "a loss"},
        {"verdict": of(fills=0)},
        {"verdict": of(intents_seen=3)},
    ],
)
def test_anything_that_is_off_spoils_it(spoiled):
    played = rehearsed(**spoiled)
    assert not played.holds
    lines = verdict_lines(played, before_end=False)
    assert lines[-1].startswith("✗")
    assert not any(line.startswith("✓") for line in lines)


def test_a_folder_with_something_in_it_is_not_written_into(tmp_path):
    (tmp_path / "mine").write_text("x")
    ran = CliRunner().invoke(house, ["rehearsal", "--folder", str(tmp_path)])
    assert ran.exit_code != 0
    assert "is not empty" in str(ran.exception)
