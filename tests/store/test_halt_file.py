"""The HALT file: fails closed, its epoch only grows, and the guard's word outranks the operator's."""

import pytest

from kitestring.domain.errors import DiskFailed
from kitestring.store.halt_file import HaltedBy, HaltFile


def test_a_halt_stands_until_it_is_lifted_and_the_next_has_a_larger_epoch(tmp_path):
    halts = HaltFile(tmp_path)
    assert (halts.stands, halts.read(), halts.epoch) == (False, None, 0)
    first = halts.write(HaltedBy.OPERATOR, "going out", 1)
    assert (halts.stands, halts.read()) == (True, first)
    assert halts.lift() == first
    assert not halts.stands
    assert halts.lift() is None
    assert halts.write(HaltedBy.GUARD, "no heartbeat", 2).epoch == first.epoch + 1


def test_a_halt_of_the_guard_is_not_replaced_by_the_operators(tmp_path):
    halts = HaltFile(tmp_path)
    guard = halts.write(HaltedBy.GUARD, "no heartbeat", 1)
    assert halts.write(HaltedBy.OPERATOR, "me too", 2) == guard
    assert halts.write(HaltedBy.GUARD, "again", 3).epoch == guard.epoch + 1


@pytest.mark.parametrize("content", [b"", b"{", b"HALT", b'{"epoch": "x"}'])
def test_a_file_that_says_nothing_is_a_halt(tmp_path, content):
    halts = HaltFile(tmp_path)
    halts.path.parent.mkdir()
    halts.path.write_bytes(content)
    assert halts.stands
    assert "cannot be read" in halts.read().sentence
    assert halts.lift() is not None
    assert not halts.stands


def test_a_halt_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "live").write_text("in the way")
    with pytest.raises(DiskFailed, match="stop the engine"):
        HaltFile(tmp_path).write(HaltedBy.OPERATOR, "going out", 1)
