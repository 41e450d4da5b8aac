"""Whoever decodes what others wrote catches everything that decoding may raise, not its first name only."""

import ast
from pathlib import Path

import msgspec
import pytest

from kitestring.domain.unreadable import UNREADABLE
from kitestring.store.guard_journal import FILE_NAME, GuardJournal, GuardLine
from kitestring.store.halt_file import HaltFile

HOUSE = Path(__file__).resolve().parent.parent.parent / "kitestring"
ALONE = {"DecodeError", "MsgspecError"}


def test_nobody_catches_a_decoders_own_error_alone():
    wrong = []
    for path in sorted(HOUSE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ExceptHandler) or node.type is None:
                continue
            named = {part.attr for part in ast.walk(node.type) if isinstance(part, ast.Attribute)}
            if named & ALONE:
                wrong.append(f"{path.relative_to(HOUSE)}:{node.lineno}")
    assert wrong == [], f"write `except UNREADABLE` there: {wrong}"


@pytest.mark.parametrize("content", [b'{"reason":"\xff"}', b'{"a":' * 100_000, b"", b"\x00" * 4096])
def test_a_halt_file_that_nobody_can_read_halts_all_the_same(tmp_path, content):
    halts = HaltFile(tmp_path)
    halts.path.parent.mkdir(parents=True)
    halts.path.write_bytes(content)
    halt = halts.read()
    assert halt is not None
    assert "cannot be read" in halt.reason
    assert (halts.epoch, halts.guard_epoch) == (0, 0)
    assert halts.lift() is not None


def test_a_guards_journal_keeps_what_can_be_read(tmp_path):
    path = tmp_path / FILE_NAME
    for at in (1, 2):
        GuardJournal(tmp_path).append(GuardLine(at=at, kind="note", sentence="s"))
    path.write_bytes(path.read_bytes().replace(b"note", b"no\xffe", 1))
    assert [line.at for line in GuardJournal(tmp_path).lines()] == [2]


def test_the_three_are_what_decoding_raises():
    for body in (b"{", b'"\xff"', b"[" * 200_000):
        with pytest.raises(UNREADABLE):
            msgspec.json.decode(body)
