"""How much of each module the watched tests reach, line by line and branch by branch.

Judged by ``tests/coverage.toml``: what a module has to reach may only grow. What runs in programs that a
test starts is not seen here, so a number is what is reached at the least.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from proof.mutants.reach import LINES
from proof.mutants.trial import ROOT

FLOORS: Final = ROOT / "tests" / "coverage.toml"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one file, or of all."""

    num_statements: int
    covered_lines: int
    num_branches: int
    covered_branches: int

    @property
    def lines(self) -> float:
        """Lines reached, in per cent."""
        return 100.0 * self.covered_lines / max(self.num_statements, 1)

    @property
    def branches(self) -> float:
        """Ways through the conditions taken, in per cent; all of none is all."""
        return 100.0 * self.covered_branches / self.num_branches if self.num_branches else 100.0


class _File(msgspec.Struct, kw_only=True):
    summary: Summary
    missing_lines: list[int] = []
    missing_branches: list[tuple[int, int]] = []


class Told(msgspec.Struct, kw_only=True):
    """What the coverage of a run says."""

    files: dict[str, _File]
    totals: Summary


class Floors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tests/coverage.toml``."""

    lines_of_all: float
    branches: dict[str, float]


def floors() -> Floors:
    """What has to be reached at the least."""
    return msgspec.convert(tomllib.loads(FLOORS.read_text(encoding="utf-8")), Floors)


def shortfalls(told: Told, wanted: Floors) -> list[str]:
    """Where less is reached than has to be."""
    found: list[str] = []
    for path, least in wanted.branches.items():
        file = told.files.get(path)
        if file is None:
            found.append(f"{path} is not reached at all, or not there any more")
        elif file.summary.branches < least:
            ways = ", ".join(f"{begin}→{end}" for begin, end in file.missing_branches[:8])
            found.append(f"{path}: {file.summary.branches:.1f} % of branches, not {least}: {ways}")
    if told.totals.lines < wanted.lines_of_all:
        found.append(f"all: {told.totals.lines:.1f} % of lines, not {wanted.lines_of_all}")
    return found


def told_by_the_last_run() -> Told:
    """Of the kept run."""
    from coverage import Coverage  # noqa: PLC0415 - only who hunts needs it

    lines = Coverage(data_file=str(LINES), branch=True, config_file=False)
    lines.load()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "told.json")
        lines.json_report(outfile=str(path), ignore_errors=True)
        told = msgspec.json.decode(path.read_bytes(), type=Told)
    inside = {
        str((ROOT / name).resolve().relative_to(ROOT)): file for name, file in told.files.items()
    }
    return Told(files=inside, totals=told.totals)


def main() -> int:
    """Print what is reached of the watched modules, and what falls short."""
    told, wanted = told_by_the_last_run(), floors()
    for path in wanted.branches:
        file = told.files.get(path)
        if file is not None:
            print(f"{path:45} {file.summary.lines:6.1f} % {file.summary.branches:6.1f} %")
    print(f"{'all of the house':45} {told.totals.lines:6.1f} %")
    missing = shortfalls(told, wanted)
    for each in missing:
        sys.stderr.write(f"{each}\n")
    return 1 if missing else 0
