"""Runs trials: the tests are collected once, and every change is tried in a copy of that program.

    python -m proof.mutants session TRIALS.json RESULTS.jsonl [--jobs 2]

A copy (``fork``) costs some milliseconds, a new start some seconds; only a change outside of any
function needs the latter. What is known is written at once, one line a trial: a run that was broken
off has lost nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest

from proof.mutants.trial import ROOT, End, Trial, Tried, put, start_with

_ANEW: Final = 77
"""A copy says by this that the change needs a new start."""
_NONSENSE: Final = 78
"""And by this that it is no Python."""
_LOOK_S: Final = 0.01
_OPTIONS: Final = ("-n", "0", "-s", "-q", "-p", "no:cacheprovider", "-p", "no:terminalreporter")
START_S: Final = 60.0
"""What a program that starts anew may take before its first test."""


class _Failures:
    """The first test that failed."""

    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test, or what it stands on, failed."""
        if report.failed and not self.first:
            self.first = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file cannot even be read."""
        if report.failed and not self.first:
            self.first = report.nodeid


class _Copy(msgspec.Struct):
    trial: Trial
    pid: int
    folder: Path
    begun: float


class Session:
    """The plugin that tries instead of testing."""

    def __init__(self, trials: Sequence[Trial], results: Path, jobs: int) -> None:
        self._waiting = list(reversed(trials))
        self._count = len(trials)
        self._results = results
        self._jobs = jobs
        self._copies: list[_Copy] = []
        self._items: dict[str, list[pytest.Item]] = {}
        self._failures = _Failures()
        self._done = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Once all tests are collected."""
        session.config.pluginmanager.register(self._failures)
        for item in session.items:
            self._items.setdefault(item.nodeid, []).append(item)
            # A test with many cases, or a whole file, may be named as one.
            for shorter in {item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]}:
                if shorter != item.nodeid:
                    self._items.setdefault(shorter, []).append(item)
        try:
            while self._waiting or self._copies:
                while self._waiting and len(self._copies) < self._jobs:
                    self._begin(self._waiting.pop(), session)
                self._look()
                time.sleep(_LOOK_S)
        finally:
            for copy in self._copies:
                _end(copy.pid)
                shutil.rmtree(copy.folder, ignore_errors=True)
        return True

    def _begin(self, trial: Trial, session: pytest.Session) -> None:
        unknown = [test for test in trial.tests if test not in self._items]
        if unknown or not trial.tests:
            end = End.BROKEN if unknown else End.UNREACHED
            self._say(Tried(name=trial.name, end=end, by=", ".join(unknown)))
            return
        folder = Path(tempfile.mkdtemp(prefix="mutant-"))
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = self._live(trial, session, folder)
            finally:
                os._exit(code)
        self._copies.append(_Copy(trial, pid, folder, time.monotonic()))

    def _live(self, trial: Trial, session: pytest.Session, folder: Path) -> int:
        """In the copy: make the change, run the tests up to the first that fails."""
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = str(folder)
        try:
            if trial.change is not None and not put(trial.change):
                return _ANEW
        except SyntaxError:
            return _NONSENSE
        items = [item for test in trial.tests for item in self._items[test]]
        for place, item in enumerate(items):
            after = items[place + 1] if place + 1 < len(items) else None
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._failures.first:
                (folder / "by").write_text(self._failures.first, encoding="utf-8")
                return 1
        return 0

    def _look(self) -> None:
        for copy in list(self._copies):
            pid, status = os.waitpid(copy.pid, os.WNOHANG)
            taken = time.monotonic() - copy.begun
            trial = copy.trial
            if pid == 0:
                if taken <= trial.within_s:
                    continue
                _end(copy.pid)
                tried = Tried(name=trial.name, end=End.TIMEOUT, seconds=round(taken, 3))
            else:
                code = os.waitstatus_to_exitcode(status)
                if code == _ANEW:
                    tried = tried_anew(trial)
                else:
                    said = folder_says(copy.folder)
                    # A copy that died without a word (a crash of the interpreter) was noticed, too.
                    end = {0: End.SURVIVED, _NONSENSE: End.BROKEN}.get(code, End.KILLED)
                    tried = Tried(name=trial.name, end=end, by=said, seconds=round(taken, 3))
            self._copies.remove(copy)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(copy.pid, signal.SIGKILL)  # Whatever its tests have left behind.
            shutil.rmtree(copy.folder, ignore_errors=True)
            self._say(tried)

    def _say(self, tried: Tried) -> None:
        self._done += 1
        with self._results.open("ab") as file:
            file.write(msgspec.json.encode(tried) + b"\n")
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{self._done}/{self._count} {tried.end:9} {tried.name[:90]:90}")
            sys.stderr.flush()


def folder_says(folder: Path) -> str:
    """Which test noticed it, as a copy has written down."""
    try:
        return (folder / "by").read_text(encoding="utf-8")
    except OSError:
        return ""


def _end(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def tried_anew(trial: Trial) -> Tried:
    """One trial in a program of its own."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    begun = time.monotonic()
    (folder / "trial").write_bytes(msgspec.json.encode(trial))
    environment = {**os.environ, "TMPDIR": str(folder), "PYTEST_DEBUG_TEMPROOT": str(folder)}
    program = subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "proof.mutants", "anew", str(folder)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = program.wait(trial.within_s + START_S)
        end = End.SURVIVED if code == 0 else End.KILLED
    except subprocess.TimeoutExpired:
        end = End.TIMEOUT
    finally:
        _end(program.pid)
        said = folder_says(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return Tried(name=trial.name, end=end, by=said, seconds=round(time.monotonic() - begun, 3))


def anew(folder: Path) -> int:
    """In the program of its own."""
    trial = msgspec.json.decode((folder / "trial").read_bytes(), type=Trial)
    if trial.change is not None:
        start_with(trial.change)
    failures = _Failures()
    code = pytest.main(["-x", *_OPTIONS, *trial.tests], plugins=[failures])
    if failures.first:
        (folder / "by").write_text(failures.first, encoding="utf-8")
    return int(code)


def run(trials: Path, results: Path, jobs: int) -> int:
    """Try what stands in a file of trials."""
    todo = msgspec.json.decode(trials.read_bytes(), type=tuple[Trial, ...])
    files = sorted({test.partition("::")[0] for trial in todo for test in trial.tests})
    plugin = Session(todo, results, jobs)
    if not files:
        files = ["--collect-only", "proof"]
    code = pytest.main([*_OPTIONS, *files], plugins=[plugin])
    return 0 if code in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else int(code)


def tried(trials: Sequence[Trial], *, jobs: int = 1) -> list[Tried]:
    """Try them in a program of their own; for callers that are no pytest themselves."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        asked, results = Path(place, "trials"), Path(place, "results")
        asked.write_bytes(msgspec.json.encode(trials))
        results.touch()
        command = [sys.executable, "-m", "proof.mutants", "session", str(asked), str(results)]
        environment = {**os.environ, "CI": "1", "PYTHONPATH": str(ROOT)}
        for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
            environment.pop(name, None)
        ran = subprocess.run(  # noqa: S603 - this very program
            [*command, "--jobs", str(jobs)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = results.read_bytes().splitlines()
    found = [msgspec.json.decode(line, type=Tried) for line in lines]
    if len(found) < len(trials):
        said = (ran.stdout + ran.stderr)[-600:]
        raise RuntimeError(f"{len(found)} of {len(trials)} trials were tried: {said}")
    return found
