"""Tier ``safety_lines``: without any one of the lines the money stands on, the test named for it fails.

A unit is a row of ``mutants/safety_lines.toml``: the line is taken away in a copy of the test program
and its test run. Before that the tests of the batch run on the whole house: one that fails there
notices nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proof.mutants.lines import Row, change_of, rows
from proof.mutants.session import tried
from proof.mutants.trial import End, Trial, Tried
from proof.tier import Broken, Outcome, Scale, Tier

NAME: Final = "safety_lines"
WITHIN_S: Final = 120.0
_WHOLE: Final = "the whole house"


def live(first: int, count: int) -> Outcome:
    """Take away the lines of rows ``first`` … ``first + count - 1``, from 1 on, over and over."""
    listed = rows()
    places = [(unit, listed[(unit - 1) % len(listed)]) for unit in range(first, first + count)]
    return lived(places)


def lived(places: Sequence[tuple[int, Row]]) -> Outcome:
    """What came of these rows, each under its unit's number."""
    broken: list[Broken] = []
    trials: list[Trial] = []
    tests = tuple(dict.fromkeys(row.test for _, row in places))
    within_s = WITHIN_S * len(tests)
    trials.append(Trial(name=_WHOLE, change=None, tests=tests, within_s=within_s))
    for unit, row in places:
        try:
            change = change_of(row)
        except ValueError as error:
            broken.append(_broken(unit, str(error)))
            continue
        trial = Trial(name=str(unit), change=change, tests=(row.test,), within_s=WITHIN_S)
        trials.append(trial)
    found = {each.name: each for each in tried(trials)}
    whole = found[_WHOLE]
    if whole.end is not End.SURVIVED:
        said = f"nothing was taken away, and {whole.by or 'a test'} fails ({whole.end})"
        return Outcome(units=len(places), broken=(_broken(places[0][0], said),))
    noticed = 0
    for unit, row in places:
        ended = found.get(str(unit))
        if ended is None:
            continue
        if ended.end in (End.KILLED, End.TIMEOUT):
            noticed += 1
        else:
            broken.append(_broken(unit, _story(row, ended)))
    return Outcome(
        units=len(places),
        counts={"fault.line_taken_away": len(trials) - 1, "noticed": noticed},
        broken=tuple(broken),
    )


def _story(row: Row, ended: Tried) -> str:
    line = " ".join(row.line.split())
    return (
        f"{row.promise}: without `{line}` in {row.file} the test {row.test} still passes"
        f"{f' ({ended.end}: {ended.by})' if ended.end is not End.SURVIVED else ''}"
    )


def _broken(unit: int, story: str) -> Broken:
    again = f"python -m proof --tier {NAME} --unit {unit}"
    return Broken(seed=unit, story=story, again=again)


TIER: Final = Tier(
    name=NAME,
    unit="lines",
    claim="Take away any one of the lines that keep the money safe, and a test named for it fails.",
    size={Scale.TEST: 4, Scale.PROOF: len(rows()), Scale.SOAK: len(rows())},
    batch=24,
    live=live,
)
