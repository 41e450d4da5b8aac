"""``docs/Proof.md``: what was tried, how often, and what broke; made from files only, never by hand.

``docs/proof.json`` gives the figures, ``proof/invariants.toml`` the promises and where each is
judged, ``tests/catalogue.toml`` the faults and the tests that inject them. The same files give the
same page, and a test compares it with the one that is kept.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from kitestring.store.atomic_file import write_atomically
from proof.mutants.hunt import Report
from proof.mutants.page import mutant_table
from proof.progress import duration
from proof.summary import Figures, Proof, Run, read_proof
from proof.tree import ROOT

INVARIANTS: Final = ROOT / "proof" / "invariants.toml"
CATALOGUE: Final = ROOT / "tests" / "catalogue.toml"

_HEAD: Final = """# Proof

What Kitestring promises is tried on invented days, with everything going wrong that goes wrong at a broker, and
judged by what the exchange wrote down, never by what the house believes. This page and `docs/proof.json` are
written by the program that tried it; nothing here was typed by a person.

Whoever doubts a figure lives it again:

    make proof                                   # all tiers, less than 45 minutes on two cores
    make soak                                    # a night or more; Ctrl-C, and the same command goes on
    python -m proof --list                       # what the tiers are
    python -m proof --tier same_seed --unit 7    # one unit, in this program, with its story

Units are numbered, and a number is the same unit on every machine. Every tier lives units 1 to its size. What the code
was is told by a hash over it (`proof/tree.py` says over which files) beside the commit.
"""
_EXAMPLE: Final = """## What a violation looks like

A unit that breaks a promise is told in a trader's words, kept in `artifacts/proof/broken/`, counted here, and ends the run
with exit code 1. A program that dies or hangs counts as well. This one was planted, by showing the judges an order
twice that was sent once:

    Day 7 broke a promise. s0 trades NSE:SBIN, s1 trades NSE:INFY, s2 trades NSE:SBIN; nothing was asked to go wrong; 0 plugs to pull.

      09:15:00  house: The day is open: Kite, simulated.
      09:15:00  operator: arm (Armed for ₹1,00,00,000.00 in the account KS0001 at 09:14:40; settings cccccccccccccccc.)
      09:17:01  house: s0 sends entry …K00000001: BUY 40 NSE:SBIN MARKET (script)
      09:17:01  exchange: s0 entry …K00000001 new
      09:17:01  exchange: s0 entry …K00000001 trade 40 at 786.15

    ✗ 09:17:01  I2 at most one: order …K00000001 was sent 2 times.

    See it again: kitestring simulate --seed 7

(Shortened.) Every judge has a mistake planted in the tests that it must find.
"""
_NO_RUN: Final = "No whole run has been written down yet; `make proof` does it.\n"


_MUTANTS: Final = """Tests that pass prove little unless they fail for a house that is broken. `make mutants` breaks the parts that the money
stands on, one small change at a time, and runs the tests that reach the change. Besides, each of the lines named in
`proof/mutants/safety_lines.toml` is taken away in the proof (`safety_lines`), and the test named for it must fail.
"""


class Invariant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A promise, and who judges it."""

    title: str
    promise: str
    judged: tuple[str, ...]
    """``path::function``, or a path."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes wrong at a broker, and the tests that make it go wrong."""

    title: str
    group: str
    required: str
    tests: tuple[str, ...] = ()
    why_not: str = ""


def read_invariants(path: Path = INVARIANTS) -> dict[str, Invariant]:
    """The promises by number."""
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), dict[str, Invariant])


def read_catalogue(path: Path = CATALOGUE) -> dict[int, Fault]:
    """The faults by number; none where there is no such file."""
    if not path.exists():
        return {}
    rows = tomllib.loads(path.read_text("utf-8"))["fault"]
    faults = msgspec.convert(rows, dict[int, Fault], strict=False)
    return dict(sorted(faults.items()))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
    return [*lines, ""]


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}".replace(",", " ")


def table(run: Run) -> str:
    """The figures as plain text, for a terminal or a log."""
    rows = [("tier", "lived", "of", "violations", "lost", "doubled", "of one core")]
    rows += [
        (
            each.name,
            f"{_number(each.units)} {each.unit}",
            _number(each.asked),
            _number(each.violations),
            _number(each.lost),
            _number(each.doubled),
            duration(each.seconds),
        )
        for each in run.tiers
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    end = (
        f"{run.violations} violations, {run.lost} lost, {run.doubled} doubled"
        f" ({run.scale}, commit {run.commit}, code {run.tree},"
        f" {duration(run.seconds)} of one core)"
    )
    if not run.whole:
        end += "; not everything was lived"
    return "\n".join([*lines, end])


def _verdict(run: Run) -> str:
    units = ", ".join(f"{_number(each.units)} {each.unit}" for each in run.tiers)
    if not run.violations:
        return f"Nothing broke: 0 violations, 0 orders lost, 0 doubled in {units}."
    return (
        f"**{_number(run.violations)} violations**, {_number(run.lost)} orders lost,"
        f" {_number(run.doubled)} doubled in {units}."
    )


def _run(run: Run) -> list[str]:
    machine = run.machine
    lines = [
        f"## The last {run.scale}: {run.date[:10]}, commit `{run.commit}`",
        "",
        _verdict(run),
        "",
        (
            f"Finished {run.date} in India; code `{run.tree}`; {machine.cores} cores,"
            f" Python {machine.python}, {machine.system}; {duration(run.seconds)} of one core in all."
        ),
        "",
    ]
    lines += _rows(
        (
            "tier",
            "what is claimed",
            "lived",
            "seeds",
            "violations",
            "lost",
            "doubled",
            "of one core",
        ),
        (
            (
                f"`{each.name}`",
                each.claim,
                f"{_number(each.units)} {each.unit}",
                each.seeds,
                _number(each.violations),
                _number(each.lost),
                _number(each.doubled),
                duration(each.seconds),
            )
            for each in run.tiers
        ),
    )
    lines += _counted(run.tiers)
    lines += _faults(run.tiers)
    lines += _spreads(run.tiers)
    lines += _stories(run)
    return lines


def _counted(tiers: Sequence[Figures]) -> list[str]:
    rows = [
        (f"`{each.name}`", ", ".join(f"{name} {_number(n)}" for name, n in each.counts.items()))
        for each in tiers
        if each.counts
    ]
    return ["### Counted on the way", "", *_rows(("tier", "counted"), rows)] if rows else []


def _faults(tiers: Sequence[Figures]) -> list[str]:
    kinds: dict[str, dict[str, int]] = {}
    for each in tiers:
        for kind, count in each.faults.items():
            kinds.setdefault(kind, {})[each.name] = count
    if not kinds:
        return []
    total = sum(sum(each.values()) for each in kinds.values())
    rows = (
        (
            kind.replace("_", " "),
            _number(sum(where.values())),
            ", ".join(f"{name} {_number(count)}" for name, count in where.items()),
        )
        for kind, where in sorted(kinds.items())
    )
    return [
        f"### {_number(total)} faults injected, by kind",
        "",
        *_rows(("fault", "times", "in"), rows),
    ]


def _spreads(tiers: Sequence[Figures]) -> list[str]:
    rows = [
        (f"`{each.name}`", name, *map(_number, (one.times, one.p50, one.p99, one.worst)))
        for each in tiers
        for name, one in each.spreads.items()
    ]
    if not rows:
        return []
    return [
        "### How long, and how much",
        "",
        "The name ends in the unit. Half of the values are at most p50, 99 of 100 at most p99.",
        "",
        *_rows(("tier", "measured", "times", "p50", "p99", "worst"), rows),
    ]


def _stories(run: Run) -> list[str]:
    if not run.violations:
        return []
    lines = ["### What broke", ""]
    for tier in run.tiers:
        for broken in tier.broken:
            lines += [f"`{tier.name}` {broken.seed}, again with `{broken.again}`:", ""]
            lines += [f"    {line}".rstrip() for line in broken.story.splitlines()]
            lines.append("")
        if tier.violations > len(tier.broken):
            lines += [f"`{tier.name}`: {tier.violations - len(tier.broken)} more.", ""]
    return lines


def _places(places: Sequence[str]) -> str:
    """``path``: the names in it."""
    files: dict[str, list[str]] = {}
    for place in places:
        path, _, name = place.partition("::")
        files.setdefault(path, []).append(name)
    return "; ".join(
        f"`{path}`" + (": " + ", ".join(f"`{name}`" for name in names) if any(names) else "")
        for path, names in files.items()
    )


def read_mutants(docs: Path) -> Report | None:
    """What ``make mutants`` wrote down last; nothing where it never ran."""
    path = docs / "mutants.json"
    return msgspec.json.decode(path.read_bytes(), type=Report) if path.exists() else None


def page(
    proof: Proof,
    invariants: dict[str, Invariant],
    catalogue: dict[int, Fault],
    mutants: Report | None = None,
) -> str:
    """The whole page."""
    lines = [*_HEAD.splitlines(), ""]
    runs = sorted(proof.runs.values(), key=lambda run: run.date, reverse=True)
    for run in runs:
        lines += _run(run)
    if not runs:
        lines += [*_NO_RUN.splitlines(), ""]
    lines += [*_EXAMPLE.splitlines(), ""]
    lines += [
        f"## The promises ({len(invariants)})",
        "",
        "The truth is the exchange's own ledger, book and wire, or the bytes on the disk.",
        "",
        *_rows(
            ("", "promise", "judged by"),
            (
                (number, f"**{each.title}.** {each.promise}", _places(each.judged))
                for number, each in invariants.items()
            ),
        ),
    ]
    if catalogue:
        lines += [
            f"## The faults ({len(catalogue)})",
            "",
            "What can go wrong at a broker, what must happen then, and the tests that make it happen.",
            "",
        ]
        for group in dict.fromkeys(each.group for each in catalogue.values()):
            lines += [f"### {group}", ""]
            lines += _rows(
                ("", "fault", "what must happen", "tested by"),
                (
                    (
                        str(number),
                        each.title,
                        each.required,
                        _places([f"tests/{test}" for test in each.tests])
                        if each.tests
                        else f"does not apply: {each.why_not}",
                    )
                    for number, each in catalogue.items()
                    if each.group == group
                ),
            )
    if mutants is not None:
        lines += ["## What the tests notice", "", *_MUTANTS.splitlines(), ""]
        lines += mutant_table(mutants)
    return "\n".join(lines).rstrip() + "\n"


def write_page(docs: Path) -> None:
    """Write the page beside the figures it is made of."""
    proof = read_proof(docs / "proof.json")
    text = page(proof, read_invariants(), read_catalogue(), read_mutants(docs))
    write_atomically(docs / "Proof.md", text.encode())
