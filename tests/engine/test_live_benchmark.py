"""The benchmark of a live day runs: both programs, a restart, and what it prints can be read."""

import json
import subprocess
import sys


def test_a_day_is_taken_up_again_and_its_clocks_are_read(tmp_path):
    asked = ("--only", "start", "--positions", "2", "--quick", "40", "--folder", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.live", *asked],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    disk, started = map(json.loads, done.stdout.splitlines())
    assert disk["sync_ms"]["p50"] > 0
    assert (started["positions"], started["orders_in_book"]) == (2, 8)
    assert 0 < started["seconds"] < 60
    assert list(tmp_path.iterdir()) == [], "it clears away what it wrote"
