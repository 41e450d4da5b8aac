"""The command as it is typed: what it accepts, what it refuses in one sentence, how it exits."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kitestring.cli.commands import house
from kitestring.cli.config import Engines
from kitestring.cli.run_day import run_command, run_day
from kitestring.domain.charges import Charges
from kitestring.domain.errors import (
    CalendarUnknown,
    ConfigError,
    FeedError,
    HouseError,
    JournalDamaged,
)
from kitestring.domain.money import ChargeUnits, money
from kitestring.engine.watching import DayResult, DayStarted

ROOT = Path(__file__).resolve().parent.parent.parent
NOVEMBER_20 = dt.date(2026, 11, 20)

RESULT = DayResult(
    date=NOVEMBER_20,
    mode="paper",
    run="2026-11-20-paper-1a2b3c4d",
    feed="synthetic (seed 1)",
    fill_model="market",
    charges_name="Zerodha, rows of 2026-11-01",
    opening_equity=money(2_000_000),
    closing_equity=money("2001234.5"),
    orders=12,
    fills=14,
    trades=6,
    wins=4,
    losses=2,
    gross=money("1500"),
    charges=Charges(brokerage=ChargeUnits(2_000_000_000_000), gst=ChargeUnits(655_000_000_001)),
    net=money("1234.5"),
    refusals={"TOO_SMALL": 7},
)


class Asked:
    """Keeps what a day was asked to be, and answers as told."""

    def __init__(self, answer=RESULT):
        self.answer = answer
        self.request = None

    def __call__(self, request, watcher):
        self.request = request
        if isinstance(self.answer, BaseException):
            raise self.answer
        watcher.started(
            DayStarted(
                date=NOVEMBER_20, mode="paper", run="r", feed="synthetic (seed 1)",
                fill_model="market", charges_name="zerodha", capital=money(2_000_000),
                strategies=(), artifacts="artifacts",
            )
        )  # fmt: skip
        watcher.finished(self.answer)
        return self.answer


def run(*typed, day=None):
    return run_command(run_day, typed, run=Asked() if day is None else day)


def test_paper_on_the_synthetic_market_is_the_default():
    day = Asked()
    assert run(day=day) == 0
    assert day.request.feed == "synthetic"
    assert day.request.engines is Engines.ALL
    assert day.request.speed is None
    assert day.request.artifacts == Path("artifacts")
    assert day.request.file.name.endswith("configs/paper.yaml")


@pytest.mark.parametrize(
    ("typed", "engines"),
    [
        ("--engines fno", Engines.FNO),
        ("--mode paper --engines fno", Engines.FNO),
        ("--mode paper --engines equity", Engines.EQUITY),
        ("--engines all", Engines.ALL),
    ],
)
def test_the_seeds_commands_run_word_for_word(typed, engines):
    day = Asked()
    assert run(*typed.split(), day=day) == 0
    assert day.request.engines is engines


@pytest.mark.parametrize(
    "typed", ["--mode live --engines fno", "--login --mode live --engines fno"]
)
def test_live_without_its_capital_does_not_start_and_says_what_to_write(typed, capsys):
    day = Asked()
    assert run(*typed.split(), day=day) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "configs/live.yaml:" in said.err
    assert "live trading needs trading.live_capital" in said.err
    assert "live_capital: 2 lakh" in said.err
    assert day.request is None


def test_live_is_today_on_the_brokers_own_ticks(capsys):
    assert run("--mode", "live", "--feed", "synthetic") == 2
    assert "Live trades today on Kite's own ticks" in capsys.readouterr().err


def test_options_are_refused_in_one_sentence_that_says_what_works(capsys):
    assert run("--engines", "options") == 2
    assert capsys.readouterr().err.startswith("Options are not built yet: say --engines fno")


def test_a_live_settings_file_trades_only_when_paper_is_said(tmp_path, capsys):
    path = tmp_path / "live.yaml"
    path.write_text("trading:\n  mode: live\n")
    assert run("--config", str(path)) == 2
    assert f"{path}:1: live trading needs trading.live_capital" in capsys.readouterr().err
    assert run("--config", str(path), "--mode", "paper") == 0


def test_paper_needs_no_login_and_goes_on(capsys):
    assert run("--login") == 0
    assert "Paper needs no login" in capsys.readouterr().err


def test_engines_none_only_checks_the_settings(tmp_path, capsys):
    day = Asked()
    assert run("--engines", "none", day=day) == 0
    assert day.request is None
    assert "is in order" in capsys.readouterr().out
    path = tmp_path / "bad.yaml"
    path.write_text("risk:\n  max_daily_loss_pc: 1%\n")
    assert run("--engines", "none", "--config", str(path), day=day) == 2
    said = capsys.readouterr().err
    assert f"{path}:2: risk does not know max_daily_loss_pc; did you mean" in said
    assert "Traceback" not in said


def test_every_option_reaches_the_day(tmp_path):
    day = Asked()
    typed = (
        f"--feed tape --tape {tmp_path} --date 2021-04-13 --speed 60 --artifacts {tmp_path}/a "
        "--fresh --charges-as-of 2026-11-20"
    )
    assert run(*typed.split(), day=day) == 0
    asked = day.request
    assert (asked.feed, asked.tape, asked.date) == ("tape", tmp_path, dt.date(2021, 4, 13))
    assert (asked.speed, asked.artifacts, asked.fresh) == (60.0, tmp_path / "a", True)
    assert asked.charges_as_of == NOVEMBER_20
    assert run("--seed", "7", day=day) == 0
    assert (day.request.seed, day.request.speed) == (7, None)


def test_a_tape_alone_means_the_tape(tmp_path):
    day = Asked()
    assert run("--tape", str(tmp_path), day=day) == 0
    assert day.request.feed == "tape"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("--feed tape", "--feed tape needs --tape PATH"),
        ("--feed synthetic --tape x", "--tape goes with --feed tape"),
        ("--tape x --seed 3", "--seed is of the synthetic market"),
        ("--speed 0", "no speed"),
        ("--speed fast", "no speed"),
        ("--date 20.11.2026", "no date"),
        ("--charges-as-of yesterday", "no date"),
        ("--engines futures", "'fno'"),
        ("--mode demo", "'paper'"),
        ("--seed -1", "-1"),
        ("--sped max", "--speed"),
        ("now", "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_exits_2_and_says_why(typed, sentence, capsys):
    day = Asked()
    assert run(*typed.split(), day=day) == 2
    assert sentence in capsys.readouterr().err
    assert day.request is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HouseError("Something failed."), 1),
        (ConfigError("That is wrong."), 2),
        (FeedError("No such tape."), 3),
        (JournalDamaged("Line 3 does not verify.", do="Restore it."), 4),
        (CalendarUnknown("2035 is unknown."), 5),
    ],
)
def test_every_failure_has_its_exit_code_and_a_sentence_without_a_traceback(error, code, capsys):
    assert run(day=Asked(error)) == code
    said = capsys.readouterr().err
    assert error.what in said
    assert "Traceback" not in said
    if error.do:
        assert f"→ {error.do}" in said


def test_a_fault_of_our_own_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(day=Asked(ZeroDivisionError()))


def test_ctrl_c_exits_130_and_says_how_to_go_on(capsys):
    assert run(day=Asked(KeyboardInterrupt())) == 130
    assert "The same command goes on" in capsys.readouterr().err


def test_a_day_that_was_interrupted_cleanly_exits_130(capsys):
    stopped = msgspec.structs.replace(RESULT, interrupted=True)
    assert run(day=Asked(stopped)) == 130
    assert "Start the same command again" in capsys.readouterr().out


def test_json_is_one_object_on_stdout_and_everything_else_goes_to_stderr(capsys):
    assert run("--json") == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    summary = json.loads(said.out, parse_float=str)
    assert summary["date"] == "2026-11-20"
    assert summary["net"] == "1234.5"
    assert summary["charges"]["total"] == "265.5000000001"
    assert summary["refusals"] == {"TOO_SMALL": 7}
    assert "Friday 20 November 2026" in said.err


def test_the_help_documents_every_exit_code(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    for code in ("0    ", "1    ", "2    ", "3    ", "4    ", "5    ", "130  "):
        assert f"\n    {code}" in text
    for option in (
        "--config",
        "--mode",
        "--engines",
        "--login",
        "--feed",
        "--tape",
        "--date",
        "--speed",
        "--artifacts",
        "--seed",
        "--fresh",
        "--json",
        "--charges-as-of",
    ):
        assert option in text  # fmt: skip


def test_the_house_has_the_same_command_and_says_its_version(capsys):
    assert run_command(house, ["day", "--engines", "none"]) == 0
    assert run_command(house, ["run-day", "--engines", "none"]) == 0
    assert run_command(house, ["--version"]) == 0
    assert "kitestring, version" in capsys.readouterr().out
    assert run_command(house, ["fly"]) == 2


@pytest.mark.parametrize(
    "module", ["scripts.run_day --help", "kitestring --help", "kitestring tape check --help"]
)
def test_help_answers_without_loading_the_house(module):
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *module.split()],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "Usage" in ran.stdout
    for heavy in ("numpy", "ruamel.yaml", "rich", "aiohttp", "talib", "asyncio", "sqlite3"):
        assert heavy not in loaded


def test_a_terminal_without_the_rupee_sign_does_not_stop_the_day(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "scripts.run_day", "--engines", "none", "--json"],
        cwd=ROOT, capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
