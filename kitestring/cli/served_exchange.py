"""A local exchange in a process of its own, and the hand of whoever rehearses there.

The same command a person would type, on a free port, until ``stop``. Its books are read over its own
REST with a session of its own, so that what is judged is what a broker would show.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlsplit

import msgspec

import kitestring
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.instants import Instant
from kitestring.sim.verdict import Books

ROOT: Final = Path(kitestring.__file__).resolve().parent.parent
API_KEY: Final = "kitestring"
API_SECRET: Final = "kitestring-secret"  # noqa: S105 - opens nothing but a rehearsal
_UP_WITHIN_S: Final = 60.0
_TOO_MANY: Final = 429
_PATIENCE_S: Final = 10.0
_TOKEN: Final = re.compile(r"access_token\s+(\S+)")
_REST: Final = re.compile(r"REST\s+(http://\S+)")


class DayState(msgspec.Struct, frozen=True, kw_only=True):
    """How the exchange's day stands, as ``/admin/state`` tells it."""

    time: str
    speed: float | str
    paused: bool
    orders: int
    working_orders: int
    positions: dict[str, int]
    strikes: int
    sockets: int

    @property
    def clock(self) -> str:
        """``10:31:07``."""
        return self.time[11:19]


class Face(msgspec.Struct, frozen=True):
    """The exchange's clock."""

    at: Instant
    speed: float | str


def environment(**more: str) -> dict[str, str]:
    """For a process of the house wherever it is started: it finds this very tree, and the app's key."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KITE_")}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "KITE_API_KEY": API_KEY,
        "KITE_API_SECRET": API_SECRET,
        **more,
    }


class ServedExchange:
    """A served exchange; a context manager. ``folder`` takes its settings, record and output."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: str = "",
        faults: str = "",
        at: str = "09:05",
        speed: str = "1",
        seed: int = 1,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.wire = folder / "wire.jsonl"
        self.output = folder / "exchange.log"
        self.rest = ""
        self.token = ""
        typed = ["--port", "0", "--admin", "--at", at, "--speed", speed, "--seed", str(seed)]
        typed += ["--wire-ledger", str(self.wire)]
        for name, text in (("config", settings), ("faults", faults)):
            if text:
                path = folder / f"exchange-{name}.yaml"
                path.write_text(text, encoding="utf-8")
                typed += [f"--{name}", str(path)]
        self._typed = typed
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve, and return once it answers. Raises ``ConfigError`` with what it said if it does not."""
        with self.output.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", "kitestring", "exchange", *self._typed],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                cwd=self.folder, env=environment(),
            )  # fmt: skip
        ends_at = time.monotonic() + _UP_WITHIN_S
        while time.monotonic() < ends_at and self._process.poll() is None:
            said = self.output.read_text(encoding="utf-8")
            if "No money is real here" in said:
                found, token = _REST.search(said), _TOKEN.search(said)
                assert found is not None
                assert token is not None
                self.rest, self.token = found[1], token[1]
                return
            time.sleep(0.02)
        said = self.output.read_text(encoding="utf-8").strip()
        self.stop()
        raise ConfigError(f"The local exchange did not start: {said}", do="see the lines above")

    def stop(self) -> None:
        """End it; its orders, positions and tokens are gone."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None

    # ── the hand behind the scenes ───────────────────────────────────────────────────────────

    def state(self) -> DayState:
        """How its day stands."""
        return msgspec.convert(self._admin("GET", "state"), DayState)

    def face(self) -> Face:
        """What time it is there."""
        return msgspec.convert(self._admin("GET", "time"), Face)

    def pass_at(self, speed: float) -> None:
        """From now on, so many of its seconds a second."""
        self._admin("POST", "time", {"action": "speed", "speed": f"{speed:g}"})

    def admin(self, name: str, **fields: object) -> object:
        """Any other act of the admin."""
        return self._admin("POST", name, fields)

    def faults(self) -> list[Mapping[str, object]]:
        """Its faults, and how often each has struck."""
        return msgspec.convert(self._admin("GET", "faults"), list[Mapping[str, object]])

    def books(self) -> Books:
        """All it shows of the account."""
        return Books.told(
            self.answer_to("/orders"),
            self.answer_to("/trades"),
            self.answer_to("/portfolio/positions"),
            self.answer_to("/portfolio/holdings"),
        )

    def redirect(self) -> str:
        """The address a browser ends at after the one click of the login page."""
        path = f"/connect/login?v=3&api_key={API_KEY}"
        status, headers, body = self._ask("POST", path, "")
        if 300 <= status < 400:
            return headers["Location"]
        found = re.search(r'id="request_token">([^<]+)<', body.decode())
        if found is None:
            raise HouseError(
                f"The exchange's login page gave no request token (HTTP {status}).",
                do=f"open {self.rest}{path} in a browser",
            )
        return found[1]

    def answer_to(self, path: str) -> object:
        """What it answers to a read, as a client of its own account sees it."""
        headers = {"Authorization": f"token {API_KEY}:{self.token}", "X-Kite-Version": "3"}
        status, _, body = self._ask("GET", path, None, headers)
        ends_at = time.monotonic() + _PATIENCE_S
        while status == _TOO_MANY and time.monotonic() < ends_at:
            time.sleep(0.2)  # its limits hold for us as well
            status, _, body = self._ask("GET", path, None, headers)
        if status != 200:
            raise HouseError(
                f"The exchange answered {path} with HTTP {status}.", do="start it anew"
            )
        return msgspec.json.decode(body)["data"]

    def _admin(self, method: str, name: str, fields: Mapping[str, object] | None = None) -> object:
        body = None if fields is None else msgspec.json.encode(fields).decode()
        status, _, answer = self._ask(method, f"/admin/{quote(name)}", body)
        if status != 200:
            raise HouseError(f"The exchange refused /admin/{name}: {answer.decode()}", do="see it")
        return msgspec.json.decode(answer)["data"]

    def _ask(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        where = urlsplit(self.rest)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except OSError as error:
            raise HouseError(
                f"The exchange does not answer ({error}).", do="see its log"
            ) from error
        finally:
            connection.close()
