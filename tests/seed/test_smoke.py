"""The smoke test as a person runs it, and that it smokes when something burns."""

import subprocess
import sys
from pathlib import Path

import smoke_test_live

from kitestring.broker.kite_bridge import KiteBroker

ROOT = Path(__file__).resolve().parent.parent.parent


def test_it_passes_as_it_is_typed():
    ran = subprocess.run(
        [sys.executable, "tests/smoke_test_live.py"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "✗" not in ran.stdout
    for step in ("filled, the rest waits", "cancelled;", "reconciled:", "to the paisa"):
        assert step in ran.stdout
    assert ran.stderr == ""


def test_it_fails_where_the_broker_does_not_do_what_it_is_told(monkeypatch, capsys):
    monkeypatch.setattr(KiteBroker, "cancel_order", lambda self, command: None)
    monkeypatch.setattr(smoke_test_live, "WITHIN_S", 2.0)
    assert smoke_test_live.main() == 1
    assert "✗ the cancel was not told" in capsys.readouterr().out
