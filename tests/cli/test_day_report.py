"""Which run ``kitestring report`` means, and what it says where there is none."""

import datetime as dt
import os

import pytest

from kitestring.cli.commands import house
from kitestring.cli.day_report import choose
from kitestring.cli.run_day import run_command
from kitestring.domain.errors import ConfigError
from kitestring.store.paths import open_run

FIRST, SECOND = dt.date(2026, 11, 19), dt.date(2026, 11, 20)


@pytest.fixture
def runs(tmp_path):
    made = []
    for age, (day, key) in enumerate(
        ((SECOND, "aaaa1111"), (FIRST, "bbbb2222"), (SECOND, "cccc3333"))
    ):
        run = open_run(tmp_path, mode="paper", date=day, run_key=key)
        run.journal.write_bytes(b"")
        os.utime(run.journal, (1_000_000 + age, 1_000_000 + age))
        made.append(run)
    return made


def test_the_latest_run_is_meant_when_nothing_is_said(tmp_path, runs):
    os.utime(runs[1].journal, (2_000_000, 2_000_000))
    assert choose(tmp_path, None, None) == runs[1]


def test_the_latest_run_of_a_day(tmp_path, runs):
    assert choose(tmp_path, None, SECOND) == runs[2]


def test_a_run_by_its_name_or_its_beginning_or_its_folder(tmp_path, runs):
    assert choose(tmp_path, "2026-11-20-paper-aaaa1111", None) == runs[0]
    assert choose(tmp_path, "2026-11-19", None) == runs[1]
    assert choose(tmp_path, str(runs[2].folder), None) == runs[2]


def test_a_beginning_of_several_runs_names_them(tmp_path, runs):
    with pytest.raises(ConfigError, match="begins several runs") as found:
        choose(tmp_path, "2026-11-20", None)
    assert "paper-aaaa1111, 2026-11-20-paper-cccc3333" in found.value.do


def test_what_is_not_there_is_said_with_what_is(tmp_path, runs):
    with pytest.raises(ConfigError, match="zzz is no run here") as found:
        choose(tmp_path, "zzz", None)
    assert "2026-11-19-paper-bbbb2222" in found.value.do
    with pytest.raises(ConfigError, match="no run of 2026-01-01") as found:
        choose(tmp_path, None, dt.date(2026, 1, 1))
    assert found.value.do == "there are: 2026-11-19, 2026-11-20"


def test_an_empty_folder_says_what_to_type(tmp_path, capsys):
    assert run_command(house, ["report", "--artifacts", str(tmp_path)]) == 2
    assert "trade a day first" in capsys.readouterr().err


def test_a_run_and_a_day_are_one_too_many(tmp_path, runs):
    typed = ["report", "2026-11-19", "--day", "2026-11-19", "--artifacts", str(tmp_path)]
    assert run_command(house, typed) == 2


def test_a_damaged_journal_is_said_and_nothing_is_written(tmp_path, runs, capsys):
    assert run_command(house, ["report", "2026-11-19", "--artifacts", str(tmp_path)]) == 4
    assert "damaged" in capsys.readouterr().err
    assert not runs[1].report.exists()


def test_many_days_need_a_finished_run(tmp_path, runs, capsys):
    typed = ["report", "--from", "2026-11-01", "--artifacts", str(tmp_path)]
    assert run_command(house, typed) == 2
    assert "no finished run between these dates" in capsys.readouterr().err
    assert run_command(house, [*typed, "--day", "2026-11-20"]) == 2
