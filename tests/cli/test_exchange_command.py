"""``kitestring exchange`` as it is typed: what it prints, refuses, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from kitestring.cli.commands import house
from kitestring.cli.run_day import run_command

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def started(*options):
    """The command in a program of its own, with what it printed before it waits."""
    command = [sys.executable, "-m", "kitestring", "exchange", "--port", "0", *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as program:
        try:
            lines = []
            for line in program.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            yield program, "".join(lines)
        finally:
            if program.poll() is None:
                program.kill()


def word_after(text, name):
    return re.search(rf"^ *{name} +(\S+)", text, re.MULTILINE)[1]


def asked(text, path):
    key, token = word_after(text, "api_key"), word_after(text, "access_token")
    request = urllib.request.Request(
        word_after(text, "REST") + path, headers={"Authorization": f"token {key}:{token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["data"]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_says_where_it_is_serves_and_stops_cleanly(signum, code):
    with started() as (program, text):
        assert asked(text, "/user/profile")["user_id"] == "KS0001"
        assert word_after(text, "WebSocket").startswith("ws://127.0.0.1:")
        assert "/connect/login?v=3&api_key=kitestring" in text
        program.send_signal(signum)
        out, err = program.communicate(timeout=20)
        assert program.returncode == code
        assert "Stopped." in out
        assert err == ""


def test_the_two_lines_of_python_it_prints_work_as_they_are():
    with started("--at", "09:20") as (_, text):
        lines = "\n".join(
            line.strip() for line in text.splitlines() if "import Kite" in line or "ltp" in line
        )
        ran = subprocess.run(
            [sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=60
        )
    assert "'instrument_token': 408065" in ran.stdout


def test_day_seed_and_clock_are_chosen():
    with started("--date", "2026-11-19", "--seed", "7", "--at", "10:00") as (_, text):
        assert "seed 7" in text
        assert "Thu 19 Nov 2026" in text
        assert "10:00:0" in text


def test_a_settings_file_makes_account_apps_and_switches(tmp_path):
    file = tmp_path / "exchange.yaml"
    file.write_text(
        "seed: 3\nstart: 09:30\naccount:\n  cash: 2 lakh\n  authorised: false\n"
        "person:\n  user_id: ZZ0001\n"
        "apps:\n  - api_key: mine\n    api_secret: hush\n"
        "switches:\n  rate_limits: false\n"
        "orders:\n  order_id_digits: 19\n"
    )
    with started("--config", str(file)) as (_, text):
        assert word_after(text, "api_key") == "mine"
        assert "seed 3" in text
        assert "09:30:0" in text
        assert asked(text, "/user/profile")["user_id"] == "ZZ0001"
        assert asked(text, "/user/margins/equity")["available"]["opening_balance"] == 200_000


def refused(capsys, *options):
    code = run_command(house, ["exchange", *options])
    return code, capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_another(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = refused(capsys, "--port", str(port))
    assert code == 2
    assert f"Port {port} is taken" in err
    assert f"--port, such as {port + 1}" in err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org"])
def test_only_this_machine_is_served(capsys, host):
    code, err = refused(capsys, "--host", host)
    assert code == 2
    assert "to this machine only" in err
    assert "asks for no password" in err


def test_a_holiday_names_the_next_trading_day(capsys):
    code, err = refused(capsys, "--date", "2026-11-24")
    assert code == 5
    assert "2026-11-25" in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--market", "tape"], "needs --tape PATH"),
        (["--market", "synthetic", "--tape", "x"], "--tape goes with --market tape"),
        (["--tape", "x", "--seed", "1"], "a tape has none"),
        (["--date", "yesterday"], "yesterday is no date"),
        (["--speed", "fast"], "'fast' is no speed"),
        (["--at", "9 o'clock"], "is no time of day"),
        (["--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
    ],
)
def test_a_slip_of_the_fingers_is_explained(capsys, options, sentence):
    code, err = refused(capsys, *options)
    assert code == 2
    assert sentence in err


def test_every_mistake_of_a_settings_file_is_named_with_its_line(capsys, tmp_path):
    file = tmp_path / "exchange.yaml"
    file.write_text(
        "sed: 3\nswitches:\n  rate_limit: true\n  fund_orders: maybe\n"
        "orders:\n  order_id_digits: 17\napps: []\n"
    )
    code, err = refused(capsys, "--config", str(file))
    assert code == 2
    for line, sentence in (
        (1, "seed"),
        (3, "rate_limits"),
        (4, "true or false"),
        (6, "15 or 19 or both"),
        (7, "at least one app"),
    ):
        assert any(f":{line}" in row and sentence in row for row in err.splitlines()), err


def test_the_help_loads_neither_server_nor_market():
    code = (
        "import sys\nfrom kitestring.cli.commands import house\n"
        "from kitestring.cli.run_day import run_command\n"
        "assert run_command(house, ['exchange', '--help']) == 0\n"
        "print([name for name in ('aiohttp', 'numpy', 'msgspec') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"
