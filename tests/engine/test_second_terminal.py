"""Three real programs: an exchange, a live day on a pseudo-terminal, and its owner at a second one."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from pathlib import Path

import pytest

from kitestring.cli.commands import house
from kitestring.cli.run_day import run_command

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = """\
trading:
  mode: live
  live_capital: 2 lakh
  logical_universe: [INFY]
kite: {{profile: local, api_root: "{root}", ws_root: "{socket}", clock: exchange}}
strategies:
  - {{strategy: ema_trend, instruments: [INFY], timeframe: 1m}}
"""
OURS = """
import fcntl, sys, termios
from pathlib import Path
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from kitestring.cli.config import Engines, Mode, load_config
from kitestring.cli.console import console_for
from kitestring.cli.day_request import DayRequest
from kitestring.cli.live_run import run_live_day

file = load_config(Path("live.yaml"), Mode.LIVE)
request = DayRequest(
    file=file, engines=Engines.EQUITY, feed="synthetic", artifacts=Path("artifacts")
)
console = console_for(sys.stdout, sys.stdin)
try:
    result = run_live_day(request, console, console.line)
finally:
    console.close()
sys.exit(130 if result.interrupted else 0)
"""


class Program:
    """A program on a pseudo-terminal of 100 by 40, as a person has it."""

    def __init__(self, folder, *command):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        self.program = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder, stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def press(self, keys):
        os.write(self.master, keys.encode())

    def until(self, words, within_s=60):
        """Read on until the words are shown; what was read since the last time."""
        self.text, deadline = "", time.monotonic() + within_s
        while words not in self.plain:
            assert time.monotonic() < deadline, (words, self.plain[-3000:])
            self._read(0.2)
        return self.plain

    @property
    def plain(self):
        """Without colours and moves."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text)

    def end(self):
        deadline = time.monotonic() + 60
        while self.program.poll() is None:
            assert time.monotonic() < deadline, self.text[-3000:]
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.program.returncode

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.text += os.read(self.master, 65_536).decode(errors="replace")
        return True

    def close(self):
        if self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        os.close(self.master)
        os.close(self.slave)


class Owner:
    """Somebody at a second terminal."""

    def __init__(self, folder, root, capsys, monkeypatch):
        self.folder, self.root, self.capsys = folder, root, capsys
        monkeypatch.chdir(folder)
        monkeypatch.setenv("KITE_API_KEY", "kitestring")
        monkeypatch.setenv("KITE_API_SECRET", "kitestring-secret")

    def types(self, *words):
        """A command of the house: its exit code, and what it said."""
        code = run_command(house, [str(word) for word in words])
        said = self.capsys.readouterr()
        return code, said.out + said.err

    def post(self, path):
        with urllib.request.urlopen(f"{self.root}{path}", data=b"", timeout=10) as answer:
            return answer.read().decode()

    def logs_in(self):
        page = self.post("/connect/login?v=3&api_key=kitestring")
        token = re.search(r'id="request_token">(\w+)<', page)[1]
        return self.types("login", "--config", "live.yaml", "--request-token", token)


@pytest.fixture
def exchange(tmp_path):
    command = ("-m", "kitestring", "exchange", "--port", "0", "--at", "10:00", "--admin")
    with contextlib.closing(Program(tmp_path, *command)) as served:
        served.until("one click")
        root = re.search(r"http://127\.0\.0\.1:\d+", served.plain)[0]
        (tmp_path / "secrets").mkdir(mode=0o700)
        config = CONFIG.format(root=root, socket=root.replace("http", "ws"))
        (tmp_path / "live.yaml").write_text(config)
        yield root


def test_a_live_day_obeys_its_owner_at_either_terminal(tmp_path, exchange, capsys, monkeypatch):
    owner = Owner(tmp_path, exchange, capsys, monkeypatch)
    assert owner.logs_in()[0] == 0
    with contextlib.closing(Program(tmp_path, "-c", OURS)) as day:
        day.until("type exactly: TRADE 200000")
        day.press("TRADE 200000\n")
        panel = day.until("h halt  f flatten  q stop, protected as it stands")
        day.until("ARMED · feed flowing")
        day.until("INFY ₹")
        assert "prices" in panel + day.plain

        code, said = owner.types("status")
        assert code == 0
        assert "running, armed" in said
        assert "feed flowing" in said
        assert "asked just now" in said
        assert [line for line in said.splitlines() if len(line) > 40] == []
        assert owner.types("reconcile") == (0, "The broker's books and ours agree.\n")

        owner.post("/admin/tokens/flush")
        day.until("REDUCE ONLY")
        day.until("Log in: python -m scripts.login_kite")
        assert owner.logs_in()[0] == 0
        day.until("ARMED · feed flowing")

        day.press("h")
        day.until("h again: HALT, no new entries any more today")
        day.press("x")
        day.until("h halt  f flatten")
        assert not (tmp_path / "artifacts" / "live" / "HALT").exists()
        began = time.monotonic()
        code, said = owner.types("halt", "--reason", "I go out")
        took = time.monotonic() - began
        assert code == 0
        assert "Entries are blocked: The operator said halt: I go out." in said
        assert re.search(r"Confirmed \d+ ms after the command", said)
        assert took < 5
        day.until("HALTED · feed flowing")

        day.press("f")
        day.until("f again: FLATTEN, close everything that is ours")
        day.press("f")
        day.until("operator: flatten, the key f")
        day.press("q")
        assert day.end() == 130
        assert "Traceback" not in day.text
        assert termios.tcgetattr(day.slave) == day.before

    code, said = owner.types("flatten")
    assert code == 1
    assert "No live day runs in artifacts." in said
    code, said = owner.types("halt")
    assert code == 0
    assert "Whatever starts there enters nothing" in said
    assert owner.types("halt", "--lift")[0] == 0
    assert "interrupted" in owner.types("status", "--mode", "live")[1]
