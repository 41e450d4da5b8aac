"""The commands of docs/Live.md at a live day, typed as printed: only the exchange is a local one."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kitestring.cli.rehearsal import log_in
from kitestring.cli.rehearsal_script import EXCHANGE
from kitestring.cli.served_exchange import ServedExchange, environment
from kitestring.cli.typed_day import TypedDay

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "Live.md").read_text(encoding="utf-8")
BLOCKS = [
    [line for line in block.splitlines() if line.strip()]
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
]
KITE = "\nkite:\n  profile: local\n  api_root: {root}\n  clock: exchange\n"


def block_with(words):
    (found,) = [block for block in BLOCKS if any(words in line for line in block)]
    return found


def options(command):
    """What is typed after the program and its mode."""
    return command.partition("--mode live ")[2].split()


class Reader:
    """Somebody with the page in one hand, in a folder like the clone."""

    def __init__(self, folder):
        self.folder = folder
        shelf = folder / ".bin"
        shelf.mkdir()
        (shelf / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (shelf / "python").chmod(0o755)
        self.environment = environment(PATH=f"{shelf}:{os.environ['PATH']}")

    def types(self, line):
        """A line of the page: what it said; its exit code must be the one that is printed there."""
        command, _, comment = line.partition("  # ")
        expected = int(found[1]) if (found := re.search(r"exits (\d+)", comment)) else 0
        ran = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        said = ran.stdout + ran.stderr
        assert ran.returncode == expected, f"{command}\n{said[-2000:]}"
        assert "Traceback" not in said
        return said

    def settings(self, root):
        """The settings as the page has them copied, with an amount, at the local exchange."""
        text = (self.folder / "live.yaml").read_text(encoding="utf-8")
        named = re.sub(r"# (live_capital: [\w ]+?) {2,}#", r"\1  #", text)
        assert named != text
        (self.folder / "live.yaml").write_text(named + KITE.format(root=root))


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs" / "live.yaml", tmp_path / "configs")
    return Reader(tmp_path)


def typed_until_it_ends(program):
    """Somebody who types the phrase when asked; the exit code."""
    late = time.monotonic() + 60
    while program.ended is None and time.monotonic() < late:
        program.answer()
        time.sleep(0.05)
    return program.ended


def test_a_morning_a_day_and_its_second_terminal_go_as_the_page_says(tmp_path, reader):
    reader.types(next(line for line in block_with("configs/live.yaml") if line.startswith("cp ")))
    for line in block_with("mkdir"):
        reader.types(line)
    with ServedExchange(tmp_path / "exchange", settings=EXCHANGE, at="10:00") as exchange:
        reader.settings(exchange.rest)
        (tmp_path / "rehearsal.yaml").write_text((tmp_path / "live.yaml").read_text())
        log_in(exchange, tmp_path)
        doctor, *more = block_with("kitestring doctor")
        assert "by the exchange's own clock" in reader.types(doctor)
        for line in more:
            reader.types(line)

        (morning,) = block_with("kitestring morning")
        program = morning.removeprefix("python ").split()
        armed = TypedDay(tmp_path, (), program=program)
        try:
            assert typed_until_it_ends(armed) == 0, armed.said
            assert "The day may start" in armed.said
            assert "type exactly:\n  TRADE 300000" in armed.said, "in one piece"
        finally:
            armed.close()

        (command,) = block_with("--paper-twin")
        day = TypedDay(tmp_path, options(command))
        try:
            assert day.until_trading() == "", "it was armed, and asks nothing more"
            late = time.monotonic() + 60
            while "The guard is there." not in day.said and time.monotonic() < late:
                time.sleep(0.1)
            said = [reader.types(line) for line in block_with("kitestring status")]
            assert "running, armed" in said[0]
            assert said[0].endswith("asked just now\n")
            assert "agree" in said[1]
            assert "is not frozen: there is nothing to resolve" in said[2]
            assert "Entries are blocked: The operator said halt: I want to look at this" in said[3]
            assert "Lifted: HALT stands" in said[4]
            assert "Nothing of ours is open; entries are over for today." in said[5]
            os.kill(day.pid, 2)
            assert day.wait(30) == 130
            assert "operator: flatten, enough for today" in day.said
        finally:
            day.close()
        for line in block_with("kitestring journal verify"):
            reader.types(line)


def test_every_sentence_that_the_page_quotes_is_one_of_the_house():
    """Quoted words of at least four, with … for what changes, stand in the code as they are quoted."""
    code = " ".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "kitestring").rglob("*.py"))
    )
    joined = re.sub(r'"\s+f?"', "", code)
    squeezed = re.sub(r"\W", "", re.sub(r"\{[^{}]*\}", "", joined))
    runbook = PAGE[PAGE.index("## The bad day") : PAGE.index("## On a server")]
    strange = []
    for quoted in re.findall(r'"([^"]+)"', runbook):
        pieces = re.split(r"…|: |\. |\d[\d:,.]*|₹|artifacts", quoted)
        strange += [
            piece
            for piece in pieces
            if len(piece.split()) >= 4 and re.sub(r"\W", "", piece) not in squeezed
        ]
    assert strange == []
