from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from store_day import at

from kitestring.domain.errors import AnotherDayIsRunning
from kitestring.store.instance_lock import InstanceLock

HOLDER = """
import sys, time
from pathlib import Path
from kitestring.store.instance_lock import InstanceLock
with InstanceLock(Path(sys.argv[1]), started_at=1795405500000000):
    print("held", flush=True)
    time.sleep(60)
"""


def stop(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


def test_a_second_house_in_the_folder_is_refused_and_told_who_holds_it(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    request.addfinalizer(lambda: stop(holder))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    lock = InstanceLock(tmp_path, started_at=at("09:00:00"))
    with pytest.raises(AnotherDayIsRunning) as refusal:
        lock.acquire()
    assert f"process {holder.pid}, since 2026-11-23 09:15:00.000" in refusal.value.what
    # A kill leaves the file behind, but not the lock.
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert lock.path.exists()
    with lock:
        assert lock.path.read_text() == f"process {os.getpid()}, since 2026-11-23 09:00:00.000\n"


def test_the_lock_can_be_taken_again_after_it_was_given_back(tmp_path: Path) -> None:
    first = InstanceLock(tmp_path, started_at=at("09:00:00"))
    second = InstanceLock(tmp_path, started_at=at("09:01:00"))
    with first, pytest.raises(AnotherDayIsRunning):
        second.acquire()
    with second:
        pass


def test_days_of_another_name_run_side_by_side(tmp_path: Path) -> None:
    with (
        InstanceLock(tmp_path, started_at=at("09:00:00"), name="paper"),
        InstanceLock(tmp_path, started_at=at("09:00:00"), name="live"),
    ):
        pass
