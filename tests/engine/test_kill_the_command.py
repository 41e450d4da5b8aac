"""The documented command itself, on the whole synthetic day, killed at whatever moment it happens."""

import json
import signal
import subprocess
import sys
import time

import pytest
from short_day import ENVIRONMENT, ROOT, House, judge, traded

LONGER_CALENDAR = (
    "choose a date from 2020-01-01 to 2026-12-31 with --date, or update kitestring: "
    "NSE publishes a year's holidays in the December before it"
)
SECONDS = (1.2, 0.9, 1.5, 1.1, 1.9)


class TheCommand(House):
    """``python -m scripts.run_day`` as everybody types it."""

    def command(self, *typed, **suffers):
        return [
            *(sys.executable, "-m", "scripts.run_day", "--artifacts", str(self.artifacts)),
            *("--json", *typed),
        ]


def test_the_command_killed_at_any_time_ends_as_if_it_had_not_been(fast_folder):
    undisturbed = TheCommand(fast_folder / "command undisturbed", None)
    expected = traded(undisturbed, undisturbed.finished())
    judge(undisturbed)
    house = TheCommand(fast_folder / "command killed", None)
    for seconds in SECONDS:
        # Fast, but not as fast as it goes: the day lasts a few seconds.
        day = subprocess.Popen(
            house.command("--speed", "12000"), cwd=ROOT, env=ENVIRONMENT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(seconds)
        day.send_signal(signal.SIGKILL)
        assert day.wait() in {-9, 0}
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == expected


@pytest.mark.parametrize(
    ("typed", "sentence", "do"),
    [
        (
            "--date 2026-01-26",
            "the market is closed on 2026-01-26 (Republic Day)",
            "the next trading day is 2026-01-27: pass it with --date",
        ),
        (
            "--date 2026-11-21",
            "the market is closed on 2026-11-21 (Saturday)",
            "the next trading day is 2026-11-23: pass it with --date",
        ),
        (
            "--date 2035-01-05",
            "Indian trading days are known from 2020-01-01 to 2026-12-31, not for 2035-01-05",
            LONGER_CALENDAR,
        ),
        (
            "--date 2021-04-13",
            "Charges are known from 2024-10-01 to 2026-12-31, not for 2021-04-13",
            "name the day whose rates to use, 2024-10-01 to 2026-12-31: --charges-as-of DATE",
        ),
    ],
)
def test_a_day_that_cannot_be_traded_exits_5_and_leaves_nothing_behind(
    tmp_path, typed, sentence, do
):
    house = TheCommand(tmp_path, None)
    ran = house.start(*typed.split())
    assert (ran.returncode, ran.stdout) == (5, "")
    assert ran.stderr == f"{sentence}\n  → {do}\n"
    assert not house.artifacts.exists()


def test_an_older_day_trades_with_the_charges_it_is_told(tmp_path):
    house = TheCommand(tmp_path, None)
    ran = house.start(*["--date", "2021-04-13", "--charges-as-of", "2026-11-20"])
    assert ran.returncode == 0, ran.stderr[-900:]
    summary = json.loads(ran.stdout)
    assert summary["date"] == "2021-04-13"
    assert "2026-11-20" in summary["charges_name"]
