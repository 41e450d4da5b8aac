"""Every damage is found; and a reader that believes what it reads is found, too."""

import json

import pytest

from kitestring.store.guard_journal import GuardLine
from kitestring.store.halt_file import Halt
from proof import damaged_files
from proof.damaged_files import KEPT, TIER, Kept, found_of, live
from proof.tier import Scale


def test_damages_are_found_and_nothing_damaged_is_believed():
    outcome = live(1, TIER.size[Scale.TEST])
    assert outcome.broken == ()
    assert outcome.counts["fault.flipped_bit"] == TIER.size[Scale.TEST]
    assert outcome.counts["refused"] > 20


def test_cuts_at_the_end_of_every_file_are_healed_or_refused():
    outcome = live(damaged_files.CUTS_FROM + 1, 240)
    assert outcome.broken == ()
    assert outcome.counts["fault.cut_file"] == 240


@pytest.mark.parametrize("place", range(len(KEPT)), ids=[kept.name for kept in KEPT])
def test_a_file_that_says_something_else_without_a_word_is_caught(place):
    """The judge itself: a reader that gives another answer."""
    kept, whole = KEPT[place], damaged_files._whole(place)
    believing = Kept(kept.name, kept.write, lambda folder: ["another truth"])
    content = whole.content[whole.file]
    found = found_of(believing, whole.content, whole.file, content[:-1], whole.says)
    assert found.how == "BELIEVED"


def test_a_halt_without_its_checksum_is_believed_and_caught(monkeypatch):
    from kitestring.store import halt_file

    def believes(content):
        return Halt(**json.loads(content.partition(b"\n")[0]))

    monkeypatch.setattr(halt_file, "_halt_of", believes)
    place = [kept.name for kept in KEPT].index("HALT")
    whole = damaged_files._whole(place)
    flipped = whole.content[whole.file].replace(b'"guard_epoch":2', b'"guard_epoch":0')
    assert found_of(KEPT[place], whole.content, whole.file, flipped, whole.says).how == "BELIEVED"


def test_a_guards_line_without_its_checksum_is_believed_and_caught(monkeypatch):
    import msgspec

    from kitestring.store import guard_journal

    monkeypatch.setattr(
        guard_journal, "_line_of", lambda raw: msgspec.json.decode(raw, type=GuardLine)
    )
    place = [kept.name for kept in KEPT].index("guard.jsonl")
    whole = damaged_files._whole(place)
    flipped = whole.content[whole.file].replace(b'"qty":7', b'"qty":6')
    assert found_of(KEPT[place], whole.content, whole.file, flipped, whole.says).how == "BELIEVED"
