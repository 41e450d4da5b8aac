"""The line to the twin's own process: it never makes the live day wait, and never fails it."""

import asyncio
import io
import sys
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
from live_stage import DAY, at, on_stage
from test_live_run import CONFIG, kept_token, request_of
from twin_on_stage import TwinBeside

from kitestring.cli import live_run
from kitestring.cli.commands import house
from kitestring.cli.day_report import choose
from kitestring.cli.run_day import run_command, run_day
from kitestring.cli.twin_command import twin_beside
from kitestring.engine.arming import Armed, ArmingFile
from kitestring.engine.clocks import wall_seconds
from kitestring.engine.own_text import own_text
from kitestring.engine.paper_twin import PaperTwin, word_of
from kitestring.engine.twin_line import TwinLine, framed
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.fill_models import fill_model
from kitestring.store.paths import RunState, list_runs
from kitestring.store.run_reader import chosen_run, read_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The record of a live day, traded from a settings file with a strategy of the house."""
    artifacts = tmp_path_factory.mktemp("live")

    async def play(stage):
        secrets = artifacts / "secrets"
        secrets.mkdir(mode=0o700)
        request = request_of(CONFIG, artifacts)
        config = request.file.config
        ArmingFile(artifacts).write(
            Armed(
                date=DAY, account="KS0001", capital=config.trading.live_capital,
                config_hash=config.digest, armed_at=at("09:00"), build=own_text(),
            )
        )  # fmt: skip
        await live_run._trade(
            request, NobodyWatches(), lambda _: None, stage.clock, kept_token(stage, secrets),
            io.StringIO(""),
        )  # fmt: skip

    on_stage(play, artifacts, began="15:20:00", opens="15:20")
    (run,) = list_runs(artifacts)
    return read_run(run)


class Day:
    """What a live day is to its line: commits to follow, and an ear for notes."""

    def __init__(self, commits):
        self.commits, self.notes = commits, []
        self.core = SimpleNamespace(state=SimpleNamespace(now=at("15:25")))

    def follow(self, listener):
        for number, commit in self.commits:
            listener.committed(number, commit)

    def hear(self, note):
        self.notes.append(note)


def followed(line, recorded, *, within_s=60.0, stay_s=0.0, again=0):
    """The day's commits go through the line; what it heard, and what the line says of its end."""

    async def play():
        day = Day(recorded.commits)
        for _ in range(again + 1):
            async with line.attend(day, recorded.paths):
                await asyncio.sleep(stay_s)
        return day, await line.finish(within_s)

    return asyncio.run(play())


@pytest.mark.parametrize("again", [0, 1], ids=["once", "after a fault of the house"])
def test_a_process_of_its_own_trades_the_day_to_its_seal(recorded, again):
    artifacts = recorded.paths.artifacts
    line = TwinLine(partial(twin_beside, artifacts, "market", again + 1))
    day, why = followed(line, recorded, again=again)
    assert (day.notes, why) == ([], "")
    twins = [run for run in list_runs(artifacts) if run.mode == "twin"]
    assert [run.state() for run in twins] == [RunState.SEALED] * (again + 1)
    for run in twins:
        assert read_run(run).opened.beside == recorded.run
        assert read_run(run).sealed.at >= at("15:30")


def test_a_twin_that_breaks_is_a_note_and_the_day_goes_on(recorded):
    line = TwinLine(lambda _: (sys.executable, "-c", "raise SystemExit('its disk was full')"))
    day, why = followed(line, recorded, stay_s=1.0)
    assert "its disk was full" in why
    assert [note.sentence for note in day.notes] == [why]
    assert day.notes[0].kind == "live: twin"


def test_a_twin_that_cannot_start_is_a_note(recorded):
    day, why = followed(TwinLine(lambda _: ("/there/is/no/such/program",)), recorded)
    assert "could not be started" in why
    assert len(day.notes) == 1


def test_a_twin_that_hangs_is_ended_and_nobody_waited_for_it(recorded):
    line = TwinLine(lambda _: (sys.executable, "-c", "import time; time.sleep(600)"))
    commits = recorded.commits * 300
    began = wall_seconds()

    async def play():
        day = Day(commits)
        async with line.attend(day, recorded.paths):
            told_in = wall_seconds() - began
        return told_in, await line.finish(0.3)

    told_in, why = asyncio.run(play())
    assert told_in < 5.0, "the pipe was full, and the day waited"
    assert "was not done 0.3 s after" in why
    assert line._process.returncode is not None


def test_a_twin_that_falls_too_far_behind_is_given_up(recorded, monkeypatch):
    monkeypatch.setattr("kitestring.engine.twin_line.BEHIND_MAX", 10_000)
    line = TwinLine(lambda _: (sys.executable, "-c", "import time; time.sleep(600)"))
    many = sum(len(framed(word_of(*each))) for each in recorded.commits)
    copies = 400_000 // many + 1

    async def play():
        day = Day(recorded.commits * copies)
        async with line.attend(day, recorded.paths):
            pass
        return day, await line.finish(0.1)

    day, why = asyncio.run(play())
    assert "too far behind" in why
    assert len(day.notes) == 1


def test_the_command_makes_a_finished_days_twin_and_its_page(recorded, capsys):
    artifacts = str(recorded.paths.artifacts)
    typed = ["twin", "--artifacts", artifacts, "--fill-model", "instant", "--seed", "9"]
    assert run_command(house, typed) == 0
    said = capsys.readouterr().out
    assert "net" in said
    assert "Side by side with the live day" in said
    page = (recorded.paths.artifacts / "live" / str(DAY) / "report.html").read_text()
    assert 'id="beside"' in page
    assert run_command(house, typed) == 0
    assert "is finished already" in capsys.readouterr().out


def test_the_twin_is_not_what_the_latest_day_means(recorded):
    chosen = chosen_run(recorded.paths.artifacts)
    assert chosen.mode == "live"
    assert choose(recorded.paths.artifacts, None, None).mode == "live"


def test_without_a_live_run_there_is_nothing_to_twin(tmp_path, capsys):
    assert run_command(house, ["twin", "--artifacts", str(tmp_path)]) == 2
    assert "(none yet)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--paper-twin"], "paper needs no twin"),
        (["--feed", "kite", "--date", "2026-11-20"], "today's market as it comes"),
        (["--feed", "kite", "--speed", "60"], "today's market as it comes"),
        (["--feed", "kite", "--seed", "3"], "today's market as it comes"),
        (["--feed", "kite", "--days", "2"], "today's market as it comes"),
        (["--feed", "kite", "--mode", "live"], "Live trades today on Kite's own ticks"),
    ],
)
def test_options_that_do_not_go_together_are_refused(typed, said, capsys):
    assert run_command(run_day, typed) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_live_day_with_a_twin_tells_it_and_waits_for_its_end(tmp_path, monkeypatch):
    lines = []

    class Line(TwinBeside):
        def __init__(self, command):
            super().__init__("market")
            self.command = command
            lines.append(self)

        @asynccontextmanager
        async def attend(self, day, paths):
            self.typed = self.command(paths)
            self.twin = PaperTwin(paths, fill_model("market"))
            async with super().attend(day, paths):
                yield self

        async def finish(self):
            assert self.twin.result is not None, "asked to finish before the live day was sealed"
            return "the twin said so"

    monkeypatch.setattr(live_run, "TwinLine", Line)
    said = []

    async def play(stage):
        secrets = tmp_path / "secrets"
        secrets.mkdir(mode=0o700)
        request = msgspec.structs.replace(request_of(CONFIG, tmp_path), paper_twin=True, seed=4)
        config = request.file.config
        ArmingFile(tmp_path).write(
            Armed(
                date=DAY, account="KS0001", capital=config.trading.live_capital,
                config_hash=config.digest, armed_at=at("09:00"), build=own_text(),
            )
        )  # fmt: skip
        return await live_run._trade(
            request, NobodyWatches(), said.append, stage.clock, kept_token(stage, secrets),
            io.StringIO(""),
        )  # fmt: skip

    live = on_stage(play, tmp_path, began="15:20:00", opens="15:20")
    (line,) = lines
    assert said[-1] == "the twin said so"
    assert line.typed[1:5] == ("-m", "kitestring", "twin", live.run)
    assert line.typed[-2:] == ("--seed", "4")
