"""Days told as text: each ``*.tape`` must give its ``*.journal``, line by line.

The journals were read and reckoned by hand before they were accepted; ``--update-golden`` writes
them anew for the next reader.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_text import day_of, journal_of

from kitestring.engine.replay import replay

HERE = Path(__file__).parent
TAPES = sorted(HERE.glob("*.tape"))


@pytest.mark.parametrize("tape", TAPES, ids=lambda path: path.stem)
def test_the_tape_gives_the_journal_that_was_read_and_accepted(tape, request):
    day = day_of(tape.read_text(encoding="utf-8")).run()
    told = journal_of(day)
    accepted = tape.with_suffix(".journal")
    if request.config.getoption("--update-golden"):
        accepted.write_text(told, encoding="utf-8")
    assert told == accepted.read_text(encoding="utf-8")
    assert replay(day.fresh_core(), day.journal.commits(), day.tape.records()).difference is None
    assert day.positions == {}
    assert day.working == []
