"""The rules of every test: no network, no hidden skips, and the same examples each time in CI."""

from __future__ import annotations

import fnmatch
import os
import socket
import tomllib
from pathlib import Path

import pytest
from hypothesis import settings

ALLOWED_SKIPS = Path(__file__).parent / "allowed_skips.toml"

settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


class NetworkForbidden(BaseException):
    """A test reached for the network; not an ``Exception``, so that no test can swallow it."""


def _forbid_network() -> None:
    """Let sockets reach this machine only; look-ups of other names fail as well."""
    real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex
    real_sendto, real_lookup = socket.socket.sendto, socket.getaddrinfo

    def check(address: object) -> None:
        host = address[0] if isinstance(address, tuple) and address else address
        if isinstance(host, bytes):
            host = host.decode(errors="replace")
        if isinstance(address, tuple) and host not in {"127.0.0.1", "::1", "localhost", "", None}:
            raise NetworkForbidden(f"a test tried to reach {address!r}")

    def connect(self: socket.socket, address: object) -> None:
        check(address)
        return real_connect(self, address)

    def connect_ex(self: socket.socket, address: object) -> int:
        check(address)
        return real_connect_ex(self, address)

    def sendto(self: socket.socket, *args: object) -> int:
        check(args[-1])
        return real_sendto(self, *args)

    def getaddrinfo(host: object, *args: object, **kwargs: object) -> object:
        check((host,))
        return real_lookup(host, *args, **kwargs)

    socket.socket.connect = connect
    socket.socket.connect_ex = connect_ex
    socket.socket.sendto = sendto
    socket.getaddrinfo = getaddrinfo


_forbid_network()


class StrictSkips:
    """Fails the session for a skip that ``allowed_skips.toml`` does not list with its reason."""

    def __init__(self, allowed: list[dict[str, str]]) -> None:
        self._allowed = allowed
        self.unlisted: dict[str, str] = {}

    def _listed(self, nodeid: str, reason: str) -> bool:
        return any(
            fnmatch.fnmatchcase(nodeid, row["test"]) and reason == row["reason"]
            for row in self._allowed
        )

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        where = report.longrepr
        reason = str(where[2] if isinstance(where, tuple) else where).removeprefix("Skipped: ")
        if not self._listed(report.nodeid, reason):
            self.unlisted[report.nodeid] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unlisted and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unlisted:
            terminalreporter.section("skipped, and not in tests/allowed_skips.toml", red=True)
            for nodeid, reason in sorted(self.unlisted.items()):
                terminalreporter.line(f"{nodeid}: {reason}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden journals anew; read them before you commit them",
    )


def pytest_configure(config: pytest.Config) -> None:
    strict = os.environ.get("CI") or os.environ.get("KITESTRING_STRICT_SKIPS") == "1"
    if strict and not hasattr(config, "workerinput"):  # xdist workers report to their controller
        rows = tomllib.loads(ALLOWED_SKIPS.read_text(encoding="utf-8")).get("skip", [])
        config.pluginmanager.register(StrictSkips(rows), "strict-skips")
