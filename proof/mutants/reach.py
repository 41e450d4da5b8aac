"""Which tests reach which line of the house, and how long each takes: one run of the tests, watched.

    python -m proof.mutants.reach tests/core tests/store …

The run is kept under ``.mutants`` and adds to the one before: mutants pick their tests from it,
coverage is judged by it. Tests that start programs of their own are watched only as far as they run in this one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

if TYPE_CHECKING:
    import coverage

ROOT: Final = Path(__file__).resolve().parent.parent.parent
KEPT: Final = ROOT / ".mutants"
LINES: Final = KEPT / "reach.coverage"
TESTS: Final = KEPT / "tests.json"


class Ran(msgspec.Struct, frozen=True, array_like=True):
    """One test of the run."""

    seconds: float
    passed: bool


class Watch:
    """Names the running test to the coverage, and times it."""

    def __init__(self, lines: coverage.Coverage) -> None:
        self.ran: dict[str, Ran] = {}
        self._lines = lines
        self._failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One test."""
        self._lines.switch_context(item.nodeid)
        begun = time.perf_counter()
        try:
            return (yield)
        finally:
            taken = time.perf_counter() - begun
            self._lines.switch_context("")
            self.ran[item.nodeid] = Ran(round(taken, 4), item.nodeid not in self._failed)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails or is skipped when nothing is broken says nothing about mutants."""
        if not report.passed:
            self._failed.add(report.nodeid)


def reached_by(path: str) -> dict[int, list[str]]:
    """The tests that reach each line of a file of the checkout."""
    from coverage import CoverageData  # noqa: PLC0415 - only who hunts needs it

    lines = CoverageData(str(LINES))
    lines.read()
    return {
        line: [test for test in tests if test]
        for line, tests in lines.contexts_by_lineno(str(ROOT / path)).items()
    }


def watched() -> dict[str, Ran]:
    """Every test of the kept run; empty where there is none."""
    if not TESTS.exists():
        return {}
    return msgspec.json.decode(TESTS.read_bytes(), type=dict[str, Ran])


def main(arguments: list[str]) -> int:
    """Run the tests named, and keep what they reach."""
    from coverage import Coverage  # noqa: PLC0415 - only who hunts needs it

    KEPT.mkdir(exist_ok=True)
    lines = Coverage(
        data_file=str(LINES), branch=True, source=[str(ROOT / "kitestring")], config_file=False
    )
    watch = Watch(lines)
    watch.ran = watched()
    if watch.ran:
        lines.load()  # What is run again is learnt anew, the rest is still true.
    lines.start()
    try:
        code = pytest.main(["-n", "0", "-p", "no:cacheprovider", *arguments], plugins=[watch])
    finally:
        lines.stop()
        lines.save()
        TESTS.write_bytes(msgspec.json.encode(watch.ran))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
