"""Tries the mutants of the modules that keep the money safe, goes on where it was broken off, and reports.

Each is tried with the tests that reach its line, the quickest first, up to the first that fails. The
sample is drawn by a seed and only ever grows: the first sixty of a file are among its first hundred.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from proof.mutants.operators import Mutant, mutants_of
from proof.mutants.reach import KEPT, reached_by, watched
from proof.mutants.trial import ROOT, End, Trial, Tried

MODULES: Final[dict[str, tuple[str, ...]]] = {
    "journal": ("store/journal", "store/journal_file", "store/records", "store/guard_journal"),
    "order manager": ("core/order_manager", "core/order_life"),
    "risk": ("core/risk_engine", "core/risk_limits", "core/risk_state"),
    "exits": ("core/exits", "core/exit_desk", "core/exit_goal", "core/exit_limits"),
    "reconciler": ("core/reconciler", "core/broker_view"),
    "governor": ("broker/governor",),
    "guard": (
        "engine/guard",
        "engine/guard_decision",
        "engine/guard_hands",
        "engine/guard_loss",
        "engine/guard_program",
        "engine/guard_story",
        "engine/guarding",
    ),
    "arming": ("engine/arming", "engine/arm_ahead"),
}
TABLES: Final = {"kitestring/core/order_life.py": "kitestring/core/order_manager.py"}
"""Files without a line that runs after the start, and the file whose tests look things up in them."""
GOAL: Final = 85.0
TESTS_MAX_S: Final = 60.0
"""So much testing, by its usual time, is one mutant worth; what is left out is the slowest."""
FILES_MAX: Final = 5
"""So many test files for a change outside of any function."""
_SLOW: Final = 3.0
_LEAST_S: Final = 20.0
RESULTS: Final = KEPT / "results.jsonl"
REPORT: Final = ROOT / "docs" / "mutants.json"
EQUIVALENT: Final = Path(__file__).with_name("equivalent.toml")


class ModuleScore(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the report."""

    module: str
    files: tuple[str, ...]
    mutants: int
    """How many there are."""
    tried: int
    killed: int
    """Noticed by a test; those that made it endless count among them."""
    survived: int
    unreached: int
    """Of the survivors: no test even reaches the line."""
    equivalent: int
    """Of those drawn: they change nothing that anybody could see, each for a reason that is given."""
    score: float
    """Killed of tried, in per cent."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A mutant that no test noticed, or that needs none."""

    key: str
    line: int
    why: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``docs/mutants.json``."""

    date: str
    commit: str
    seed: int
    per_file: int
    """Mutants drawn of one file at the most."""
    modules: tuple[ModuleScore, ...]
    survivors: tuple[Left, ...]
    equivalents: tuple[Left, ...]


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    """What the file was when it was tried."""
    tried: Tried


def drawn(path: str, seed: int, count: int) -> list[Mutant]:
    """The first so many of a file's mutants in an order that the seed makes."""
    mutants = mutants_of(path)
    mutants.sort(key=lambda each: hashlib.sha256(f"{seed} {each.key}".encode()).digest())
    return mutants[:count]


def equivalents() -> dict[str, str]:
    """Mutants that are none, by key, with the reason."""
    rows = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    return {row["key"]: row["reason"] for row in rows}


def tests_for(
    mutant: Mutant, reached: Mapping[int, Iterable[str]], seconds: Mapping[str, float]
) -> tuple[str, ...]:
    """The tests that reach it, the quickest first, as many as it is worth."""
    if not mutant.inside:
        # Each is tried in a program of its own, which reads the test files anew: few, and whole.
        files: Counter[str] = Counter()
        reaching = {test.partition("::")[0] for tests in reached.values() for test in tests}
        for test, taken in seconds.items():
            if test.partition("::")[0] in reaching:
                files[test.partition("::")[0]] += round(taken * 1000)
        return tuple(
            sorted(reaching & set(files), key=lambda each: (files[each], each))[:FILES_MAX]
        )
    names: set[str] = set()
    for line in mutant.lines:
        names.update(name for name in reached.get(line, ()) if name in seconds)
    chosen: list[str] = []
    spent = 0.0
    for name in sorted(names, key=lambda each: (seconds[each], each)):
        spent += seconds[name]
        if chosen and spent > TESTS_MAX_S:
            break
        chosen.append(name)
    return tuple(chosen)


def known() -> dict[str, _Known]:
    """What earlier runs have found, the last word on each."""
    if not RESULTS.exists():
        return {}
    rows = (msgspec.json.decode(line, type=_Known) for line in RESULTS.read_bytes().splitlines())
    return {row.tried.name: row for row in rows}


def source_of(path: str) -> str:
    """A fingerprint of a file of the checkout."""
    return hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:16]


def files_of(only: Sequence[str] = ()) -> list[str]:
    """Every file of the modules, or of those whose name contains one of these words."""
    named = [f"kitestring/{name}.py" for names in MODULES.values() for name in names]
    return [path for path in named if not only or any(word in path for word in only)]


def hunt(*, seed: int, per_file: int, jobs: int, only: Sequence[str], again: bool) -> int:
    """Try what is still to be tried. Ctrl-C loses nothing."""
    ran = watched()
    if not ran:
        sys.stderr.write("first: python -m proof.mutants reach (once, and after new tests)\n")
        return 2
    seconds = {name: each.seconds for name, each in ran.items() if each.passed}
    have, spared = known(), equivalents()
    for path in files_of(only):
        trials: list[Trial] = []
        reached, source = reached_by(TABLES.get(path, path)), source_of(path)
        for mutant in drawn(path, seed, per_file):
            before = have.get(mutant.key)
            if mutant.key in spared:
                continue
            if before is not None and before.source == source:
                survived = before.tried.end in (End.SURVIVED, End.UNREACHED, End.BROKEN)
                if not (again and survived):
                    continue
            tests = tests_for(mutant, reached, seconds)
            usual_s = sum(seconds.get(test, TESTS_MAX_S) for test in tests)
            trials.append(
                Trial(
                    name=mutant.key,
                    change=mutant.change,
                    tests=tests,
                    within_s=_LEAST_S + _SLOW * usual_s,
                )
            )
        if trials:
            sys.stderr.write(f"{path}: {len(trials)} mutants\n")
            code = _try(trials, source, jobs)
            if code:
                return code
    return 0


def _try(trials: Sequence[Trial], source: str, jobs: int) -> int:
    """In a program of its own: this one has the unchanged house in it."""
    asked, results = (KEPT / f"{name}-{os.getpid()}" for name in ("trials", "found"))
    asked.write_bytes(msgspec.json.encode(trials))
    results.write_bytes(b"")
    command = [sys.executable, "-m", "proof.mutants", "session", str(asked), str(results)]
    environment = {**os.environ, "CI": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    code = 130
    try:
        code = subprocess.run(  # noqa: S603 - this very program
            [*command, "--jobs", str(jobs)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode
    except KeyboardInterrupt:
        sys.stderr.write("\nBroken off; the same command goes on where it stopped.\n")
    asked.unlink()
    with RESULTS.open("ab") as file:
        for line in results.read_bytes().splitlines():
            tried = msgspec.json.decode(line, type=Tried)
            file.write(msgspec.json.encode(_Known(source=source, tried=tried)) + b"\n")
    results.unlink()
    return code


def report(*, seed: int, per_file: int) -> Report:
    """What is known of the sample, as it stands."""
    have, spared = known(), equivalents()
    rows: list[ModuleScore] = []
    survivors: list[Left] = []
    left_out: list[Left] = []
    for module, names in MODULES.items():
        counts: Counter[str] = Counter()
        for path in (f"kitestring/{name}.py" for name in names):
            source = source_of(path)
            counts["all"] += len(mutants_of(path))
            for mutant in drawn(path, seed, per_file):
                if mutant.key in spared:
                    counts["equivalent"] += 1
                    why = spared[mutant.key]
                    left_out.append(Left(key=mutant.key, line=mutant.line, why=why))
                    continue
                found = have.get(mutant.key)
                if found is None or found.source != source or found.tried.end is End.BROKEN:
                    continue
                counts["tried"] += 1
                end = found.tried.end
                counts["killed"] += end in (End.KILLED, End.TIMEOUT)
                if end in (End.SURVIVED, End.UNREACHED):
                    counts["survived"] += 1
                    counts["unreached"] += end is End.UNREACHED
                    survivors.append(Left(key=mutant.key, line=mutant.line, why=end.value))
        rows.append(
            ModuleScore(
                module=module,
                files=tuple(f"kitestring/{name}.py" for name in names),
                mutants=counts["all"],
                tried=counts["tried"],
                killed=counts["killed"],
                survived=counts["survived"],
                unreached=counts["unreached"],
                equivalent=counts["equivalent"],
                score=round(100.0 * counts["killed"] / max(counts["tried"], 1), 1),
            )
        )
    return Report(
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        commit=_commit(),
        seed=seed,
        per_file=per_file,
        modules=tuple(rows),
        survivors=tuple(survivors),
        equivalents=tuple(left_out),
    )


def _commit() -> str:
    asked = ("git", "describe", "--always", "--dirty")
    try:
        said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()
