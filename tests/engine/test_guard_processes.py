"""Three real processes: an exchange, a live engine, its guard. The engine is frozen, or killed; the exchange judges."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from live_stage import DAY

from kitestring.broker.kite_session import KiteToken, TokenStore
from kitestring.broker.secret_text import Secret
from kitestring.domain.ids import is_guards, is_ours
from kitestring.domain.instants import instant
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.owned_file import GUARD_BEATS, Heartbeat, OwnedFile

import datetime as dt  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
QUICK, CALM = 60, 8
"""Exchange seconds a second: while a bar is waited for, and while somebody acts."""
PLACES = os.pathsep.join(map(str, (ROOT, HERE.parent, HERE)))
ENV = os.environ | {"PYTHONUNBUFFERED": "1", "KITE_API_KEY": "kitestring", "PYTHONPATH": PLACES}
CONFIG = """\
trading:
  mode: live
  live_capital: 2 lakh
  logical_universe: [INFY]
kite: {{profile: local, api_root: "{root}", write_timeout_s: 1, clock: exchange}}
strategies:
  - {{strategy: ema_trend, instruments: [INFY], timeframe: 1m}}
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and SIGSTOP")


class Street:
    """The served exchange, and what is true there."""

    def __init__(self, root, token):
        self.root, self.token = root, token

    def ask(self, path, body=None):
        request = urllib.request.Request(
            self.root + path, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token kitestring:{self.token}"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["data"]

    def pass_at(self, speed):
        self.ask("/admin/time", {"action": "speed", "speed": speed})

    def held(self):
        return self.ask("/admin/state")["positions"].get("NSE:INFY MIS", 0)

    def orders(self):
        return [row for row in self.ask("/orders") if row["tradingsymbol"] == "INFY"]

    def writes(self):
        return [
            row for row in self.ask("/admin/ledger?path=/orders&limit=5000")
            if row["heard"]["method"] != "GET"
        ]  # fmt: skip


@contextmanager
def street():
    command = [sys.executable, "-m", "kitestring", "exchange", "--port", "0", "--admin"]
    command += ["--speed", "1", "--at", "09:14:20"]
    with subprocess.Popen(
        command, cwd=ROOT, env=ENV, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        try:
            text = ""
            for line in program.stdout:
                text += line
                if "Ctrl-C" in line:
                    break
            found = {
                name: re.search(rf"^ *{name} +(\S+)", text, re.MULTILINE)[1]
                for name in ("REST", "access_token")
            }
            served = Street(found["REST"], found["access_token"])
            yield served
        finally:
            program.kill()
            program.communicate()


def house_of(folder):
    """A house that begins once its orders lie there."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "guarded_house.py"), str(folder / "orders.json")],
        cwd=ROOT, env=ENV, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


class Scene:
    def __init__(self, street, folder, script, *options):
        self.street, self.folder, self.artifacts = street, folder, folder / "artifacts"
        config, secrets = folder / "live.yaml", folder / "secrets"
        config.write_text(CONFIG.format(root=street.root))
        secrets.mkdir(mode=0o700)
        TokenStore(secrets, {"KITE_API_KEY": "kitestring"}).keep(
            KiteToken(
                api_key="kitestring", access_token=Secret(street.token),
                public_token=Secret("publicpublic"), user_id="KS0001",
                login_at=instant(DAY, dt.time(9, 0)),
            )
        )  # fmt: skip
        token = folder / "token"
        token.write_text(street.token)
        self.guard = ["--config", str(config), "--artifacts", str(self.artifacts),
            "--secrets", str(secrets), "--lost-after", "1.2", "--visible", "0.5", *options]  # fmt: skip
        orders = {"root": street.root, "token": str(token), "artifacts": str(self.artifacts),
            "script": script, "guard": self.guard}  # fmt: skip
        (folder / "orders.new").write_text(json.dumps(orders))
        (folder / "orders.new").replace(folder / "orders.json")
        self.programs = []

    def house(self):
        self.programs.append(house_of(self.folder))
        return self.programs[-1]

    def in_position(self):
        """A house and its guard that have met, then the market's time, then the first position."""
        (house,) = self.programs

        def died():
            return house.poll() is not None and house.stdout.read()

        beats = Heartbeat(self.artifacts, GUARD_BEATS)
        until(lambda: beats.read() > 0, 40.0, died)
        self.street.pass_at(QUICK)
        until(lambda: self.street.held() == 10, why=died)
        self.street.pass_at(CALM)
        return house

    @property
    def halt(self):
        return HaltFile(self.artifacts).read()

    def log(self):
        path = self.artifacts / "live" / "guard.log"
        return path.read_text() if path.exists() else ""

    def guard_ended(self):
        return "all is closed" in self.log() or "has lifted the halt" in self.log()

    def close(self):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
            program.communicate()
        holder = self.artifacts / ".guard.lock"
        if holder.exists() and not self.guard_ended():
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(holder.read_text().split()[1].rstrip(",")), signal.SIGKILL)


def until(true, within_s=60.0, why=""):
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, why() if callable(why) else why
        time.sleep(0.02)


@pytest.fixture
def scene(tmp_path, request):
    first = house_of(tmp_path)  # It wakes up while the exchange does.
    try:
        with street() as served:
            made = Scene(served, tmp_path, *request.param)
            made.programs.append(first)
            try:
                yield made
            finally:
                made.close()
    finally:
        if first.poll() is None:
            first.kill()
            first.communicate()


@pytest.mark.parametrize("scene", [("1 BUY; 12 EXIT",)], indirect=True)
def test_a_frozen_engine_is_ended_its_position_closed_and_nothing_flips(scene):
    house = scene.in_position()
    os.kill(house.pid, signal.SIGSTOP)
    until(lambda: scene.halt is not None, why=scene.log)
    assert scene.halt.by is HaltedBy.GUARD
    until(scene.guard_ended, why=scene.log)
    with suppress(ProcessLookupError):
        os.kill(house.pid, signal.SIGCONT)
    assert house.wait(5) == -signal.SIGKILL, "a frozen process hears nothing else"
    time.sleep(0.5)
    orders = scene.street.orders()
    assert scene.street.held() == 0
    assert [(row["transaction_type"], row["filled_quantity"]) for row in orders] == [
        ("BUY", 10), ("SELL", 10),
    ]  # fmt: skip
    assert [is_ours(orders[0]["tag"]), is_guards(orders[1]["tag"])] == [True, True]
    assert len(scene.street.writes()) == 2
    assert scene.street.token not in scene.log()


@pytest.mark.parametrize("scene", [("1 BUY stop=-60",)], indirect=True)
def test_a_killed_engine_leaves_its_stop_and_no_house_starts_beside_the_guard(scene):
    house = scene.in_position()
    until(lambda: "TRIGGER PENDING" in [row["status"] for row in scene.street.orders()])
    owned = OwnedFile(scene.artifacts).read()
    assert owned.pid == house.pid
    os.kill(house.pid, signal.SIGKILL)
    house.wait()
    until(lambda: "stays open under a stop for 10" in scene.log(), why=scene.log)
    second = scene.house()
    told, _ = second.communicate(timeout=20)
    assert second.returncode != 0
    assert "The guard has taken over here" in told
    HaltFile(scene.artifacts).lift()
    until(scene.guard_ended, why=scene.log)
    assert scene.street.held() == 10
    assert [row["status"] for row in scene.street.orders()] == ["COMPLETE", "TRIGGER PENDING"]
    assert len(scene.street.writes()) == 2, "entry and stop, both the engine's"


@pytest.mark.parametrize("scene", [("1 BUY; 2 EXIT",)], indirect=True)
def test_an_engine_frozen_with_its_exit_on_the_way_is_not_helped_twice(scene):
    """The exit is taken by the exchange, and its answer comes when the engine hears nothing any more."""
    script = f"faults:\n  - {{kind: late_arrival, nth: 2, route: POST /orders/*, seconds: {2.5}}}\n"
    scene.street.ask("/admin/faults", {"script": script})
    house = scene.in_position()
    scene.street.pass_at(QUICK)
    until(lambda: len(scene.street.writes()) == 2, why="the engine never sent its exit")
    os.kill(house.pid, signal.SIGSTOP)
    until(scene.guard_ended, why=scene.log)
    assert scene.street.held() == 0
    orders = scene.street.orders()
    assert [(row["transaction_type"], row["filled_quantity"]) for row in orders] == [
        ("BUY", 10), ("SELL", 10),
    ]  # fmt: skip
    assert all(is_ours(row["tag"]) for row in orders), "its own exit did it; the guard sent none"
