"""Every command and path that README and docs print works as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kitestring.cli.config import parse_config
from kitestring.core.settings import RiskSettings

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = {
    r"make (day|test)\b.*": "they make an environment of their own, from the network; CI runs them",
    r"make rehearsal\b.*": "minutes, in an environment of its own; tests/cli/test_rehearsal.py plays one",
    r"(make (proof|soak)|python -m proof)\b.*": "minutes or a night; tests/proof runs it short, CI runs it whole",
    r"make (check|fmt|bench|clean|lock|help)\b.*": "as above; that the target exists is checked here",
    r"bash \.ci/run": "it runs these tests",
    r"git clone .*": "it needs the network",
    r"python3 -m venv \.venv": "it needs the network to be of use",
    r"\.venv/bin/python .*": "the lines after it, run here with the Python of the tests",
    r"\. \.venv/bin/activate": "as above",
    r".*\bPATH\b.*": "a recording of the reader's own",
    r".*--tape \.\./shared/.*": "recorded days lie outside the project; the tests of tapes play them",
    r"python -m kitestring exchange .*": "serves until it is stopped; test_exchange_page.py runs it",
    r".*--feed kite --login": "waits for a login; test_live_paper.py trades the day",
    r"curl .*": "asks a served exchange; test_exchange_page.py asks it",
    r"python -m benchmarks\..*": "minutes; the benchmarks' own tests run them short",
}
"""Commands that are printed but not run here, and why."""
NOT_RUN_OF = {
    "README.md": {
        r"python -m kitestring morning": "waits for a login; test_live_page.py arms a day"
    },
    "Live.md": {
        r"python -m kitestring (morning|doctor|alerts test) .*": "needs a login; test_live_page.py types it",
        r"python -m kitestring (status|reconcile|resolve|halt|flatten)\b.*": "asks a live day; as above",
        r"python -m scripts\.run_day .* --paper-twin": "as above",
        r"python -m kitestring (report|days|journal verify)": "of that day; as above",
        r"(loginctl|systemctl|journalctl) .*": "asks the systemd of a server",
    },
}
"""The same of one page."""


def blocks():
    for page in PAGES:
        for number, block in enumerate(FENCE.findall(page.read_text(encoding="utf-8")), 1):
            lines = [line for line in block.splitlines() if line.strip() and line[0] != "#"]
            spared = NOT_RUN_OF.get(page.name, {})
            lines = [line for line in lines if not any(re.fullmatch(each, line) for each in spared)]
            if lines:
                yield pytest.param(lines, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.fixture
def clone(tmp_path):
    """A folder that looks like the clone, where a day may leave its artifacts."""
    for entry in ROOT.iterdir():
        if entry.name not in {
            "artifacts",
            ".venv",
            ".git",
            "my.yaml",
            "my",
            "live.yaml",
            "secrets",
        }:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "my").mkdir()
    shelf = tmp_path / ".bin"
    shelf.mkdir()
    for name in ("python", "python3"):
        (shelf / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (shelf / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("lines", list(blocks()))
def test_a_printed_command_runs(lines, clone):
    for line in lines:
        command, _, comment = (part.strip() for part in line.partition("  # "))
        if any(re.fullmatch(pattern, command) for pattern in NOT_RUN):
            continue
        expected = int(found[1]) if (found := re.search(r"exits (\d+)", comment)) else 0
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=clone,
            env={**os.environ, "PATH": f"{clone}/.bin:{os.environ['PATH']}", "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert ran.returncode == expected, f"{command}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
        assert "Traceback" not in ran.stderr


def test_every_reason_not_to_run_a_command_is_still_needed():
    commands = [
        line.partition("  # ")[0].strip()
        for page in PAGES
        for block in FENCE.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
    ]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {match[1] for command in commands if (match := re.match(r"make ([a-z]+)", command))}
    assert named <= targets


def test_every_path_named_in_the_docs_exists():
    tops = "|".join(re.escape(entry.name) for entry in ROOT.iterdir() if entry.is_dir())
    path = re.compile(rf"[`(]((?:{tops})/[\w./-]*|[A-Z][A-Za-z]*\.md|LICENSE)[`)#]")
    absent = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in path.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
        and not (page.parent / name).exists()
        and not name.startswith(("artifacts", "secrets"))
    ]
    assert absent == []


def test_every_limit_is_described():
    page = (ROOT / "docs" / "Paper.md").read_text(encoding="utf-8")
    untold = [
        name
        for name in RiskSettings.__struct_fields__
        if name not in page and f"`{name.removeprefix('max_orders')}`" not in page
    ]
    assert untold == []


def test_the_seeds_configuration_starts_a_paper_day():
    text = (
        'trading:\n  mode: "paper"\n  paper_capital: 500000\n  logical_universe:\n    - "NIFTY"\n'
    )
    assert parse_config(text, "seed.yaml").config.trading.logical_universe == ("NIFTY",)
