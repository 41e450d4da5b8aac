"""The lines the money stands on: each is where its row says, and without it the named test fails.

All rows are tried by the proof; here a few, others every day of the year.
"""

import time

import msgspec
import pytest

from proof import safety_lines
from proof.mutants.lines import change_of, rows, stands
from proof.mutants.trial import ROOT
from proof.tier import Scale

ROW = next(row for row in rows() if row.promise == "an arming is for one account")


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.promise)
def test_a_row_still_matches_its_line_and_its_test_is_there(row):
    compile(change_of(row).changed(), row.file, "exec")
    assert stands(row), f"{row.test} is not there any more"
    assert row.line != row.instead


def test_there_are_enough_of_them_and_each_says_something_else():
    assert len(rows()) >= 100
    assert len({row.promise for row in rows()}) == len(rows())
    assert len({row.file for row in rows()}) >= 30


def test_a_few_of_them_are_taken_away_really():
    size = safety_lines.TIER.size[Scale.TEST]
    # Of tests that take no time; the proof tries the others too.
    quick = [(unit, row) for unit, row in enumerate(rows(), 1) if "/core/" in row.test]
    begin = time.gmtime().tm_yday * size % len(quick)
    chosen = [quick[(begin + each) % len(quick)] for each in range(size)]
    outcome = safety_lines.lived(chosen)
    assert [each.story for each in outcome.broken] == []
    assert outcome.units == outcome.counts["noticed"] == size


def test_a_line_that_no_test_misses_is_told_and_one_that_moved_away_too():
    """The planted faults: a test that looks elsewhere, a line that is not there, a test that fails anyway."""
    elsewhere = msgspec.structs.replace(
        ROW,
        test="tests/engine/test_arming_terms.py::test_the_phrase_holds_the_rupees_and_spaces_do_not_matter",
    )
    gone = msgspec.structs.replace(ROW, line="    if armed.account == 'anybody':")
    outcome = safety_lines.lived([(1, ROW), (2, elsewhere), (3, gone)])
    assert [each.seed for each in outcome.broken] == [3, 2]
    assert "stands 0 times" in outcome.broken[0].story
    assert "still passes" in outcome.broken[1].story
    assert outcome.broken[1].again == "python -m proof --tier safety_lines --unit 2"
    assert outcome.counts["noticed"] == 1


def test_units_come_round_and_every_row_is_in_a_proof():
    assert safety_lines.TIER.size[Scale.PROOF] == len(rows())
    assert (ROOT / ROW.file).exists()
