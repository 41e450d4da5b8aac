"""docs/Exchange.md says what is so: its table of faults, its scripts, its snippets and its calls."""

import datetime as dt
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kitestring.cli.exchange_command import exchange
from kitestring.cli.exchange_settings import load_exchange_file
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.local_exchange import Switches
from kitestring.exchange.wire.fault_kinds import KINDS, Takes
from kitestring.exchange.wire.fault_script import parse_script
from kitestring.exchange.wire.feed_connection import FeedSettings

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "Exchange.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def yaml_of(kind):
    """A kind of fault with every parameter at its default, as one line of YAML."""
    words = [f"kind: {kind.name}", f"route: {kind.route}"]
    for param in kind.params:
        value = param.default
        if param.takes is Takes.YES:
            value = str(value).lower()
        elif param.takes is Takes.NAMES:
            value = "[" + (", ".join(value) or '"NSE:INFY"') + "]"
        elif param.takes is Takes.TEXT:
            value = f'"{value}"'
        elif isinstance(value, float):
            value = f"{value:g}"
        words.append(f"{param.name}: {value}")
    if kind.lasts:
        words.append("for: 30")
    return f"{{{', '.join(words)}}}"


def row_of(kind):
    params = "; ".join(
        f"`{param.name}`: {param.meaning}"
        + (f" ({', '.join(f'`{word}`' for word in param.words)})" if param.words else "")
        for param in kind.params
    )
    return (
        f"| `{kind.name}` | {kind.meaning}{'. ' + params if params else ''} | `{yaml_of(kind)}` |"
    )


def test_the_table_lists_exactly_the_faults_there_are():
    listed = re.findall(r"^\| `(\w+)` \| .* \| `\{kind: ", PAGE, re.MULTILINE)
    assert listed == list(KINDS)
    for kind in KINDS.values():
        assert row_of(kind) in PAGE.splitlines(), kind.name


def test_every_yaml_of_the_page_is_a_script():
    rows = re.findall(r"\| `(\{kind: .*\})` \|$", PAGE, re.MULTILINE)
    assert len(parse_script("faults:\n" + "".join(f"  - {row}\n" for row in rows)).faults) == len(
        KINDS
    )
    scripts = [text for text in blocks("yaml") if "kind:" in text]
    assert scripts
    for text in scripts:
        assert parse_script(text).faults


def test_every_switch_is_described():
    untold = [
        name
        for struct in (OrderSettings, Switches, FeedSettings, OpeningChoice)
        for name in struct.__struct_fields__
        if f"`{name}`" not in PAGE
    ]
    assert untold == []


def test_the_settings_of_the_page_are_settings(tmp_path):
    (text,) = [text for text in blocks("yaml") if "switches:" in text]
    path = tmp_path / "exchange.yaml"
    path.write_text(text, encoding="utf-8")
    file = load_exchange_file(path)
    assert (file.start, file.settings.seed) == (dt.time(9, 14, 55), 7)
    assert (file.settings.orders.order_id_digits, file.faults) == (19, "my-faults.yaml")


def test_every_option_of_the_command_is_described():
    shown = [option for option in exchange.params if not getattr(option, "hidden", False)]
    untold = [name for option in shown for name in option.opts if f"`{name}" not in PAGE]
    assert [name for name in untold if name.startswith("--")] == []


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page's own first command, on a free port, with the admin interface: address and token."""
    command = next(line for line in "".join(blocks("bash")).splitlines() if "--admin" in line)
    words = shlex.split(command)[1:]
    assert words[:3] == ["-m", "kitestring", "exchange"]
    words[words.index("--port") + 1 : words.index("--port") + 2] = ["0"]
    folder = tmp_path_factory.mktemp("served")
    running = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    said = []
    while not (said and said[-1].startswith("No money is real")):
        line = running.stdout.readline()
        assert line, said
        said.append(line)
    address = re.search(r"http://127\.0\.0\.1:\d+", "".join(said))[0]
    token = re.search(r"access_token\s+(\w+)", "".join(said))[1]
    yield address, token
    running.send_signal(signal.SIGINT)
    running.stdout.read()
    assert running.wait(30) == 130
    running.stdout.close()


def curl(line, address):
    """What a printed curl command would do, done here."""
    words = shlex.split(line.replace("http://127.0.0.1:8010", address))
    assert words.pop(0) == "curl"
    method, body, url = "", None, ""
    while words:
        word = words.pop(0)
        if word == "-s":
            continue
        if word == "-X":
            method = words.pop(0)
        elif word in {"-d", "--data-binary"}:
            body = words.pop(0).encode()
        else:
            assert word.startswith("http"), word
            url = word
    request = urllib.request.Request(url, data=body, method=method or ("POST" if body else "GET"))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def test_every_printed_call_of_the_admin_interface_works(served):
    address, _ = served
    lines = [line for line in "".join(blocks("bash")).splitlines() if line.startswith("curl")]
    assert len(lines) >= 12
    for line in lines:
        status, text = curl(line.partition("  # ")[0], address)
        assert status == 200, f"{line}\n{text}"
        if "/admin/ " not in f"{line} ":
            assert json.loads(text)["status"] == "success"


def test_the_python_of_the_page_runs(served):
    address, token = served
    texts = blocks("python")
    assert texts
    for text in texts:
        ran = subprocess.run(
            [sys.executable, "-c", text.replace("http://127.0.0.1:8010", address).replace("ws://127.0.0.1:8010", address.replace("http", "ws")).replace("ACCESS_TOKEN", token)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout
