import zlib

import pytest

from kitestring.domain.errors import DiskFailed, StoreError
from kitestring.store.exchange_ledger import FileLedger

ONE, TWO, THREE = (b'{"position":%d}' % number for number in (1, 2, 3))


def lines_of(*records):
    """As they stand in a file, each with its checksum."""
    check, lines = 0, b""
    for record in records:
        check = zlib.crc32(record, check)
        lines += record[:-1] + b',"check":"%08x"}\n' % check
    return lines


def test_lines_are_there_when_the_file_is_opened_again(tmp_path):
    path = tmp_path / "exchange.jsonl"
    with FileLedger(path) as ledger:
        assert ledger.records == []
        ledger.append(ONE)
        ledger.append(TWO)
        assert path.read_bytes() == lines_of(ONE, TWO)
    with FileLedger(path, durable=False) as again:
        assert again.records == [ONE, TWO]
        again.append(THREE)
    assert path.read_bytes() == lines_of(ONE, TWO, THREE)


@pytest.mark.parametrize("half", [b"{", b'{"position":2', b'{"position":2}'])
def test_a_half_last_line_is_cut_off(tmp_path, half):
    path = tmp_path / "exchange.jsonl"
    path.write_bytes(lines_of(ONE) + half)
    with FileLedger(path) as ledger:
        assert ledger.records == [ONE]
        ledger.append(THREE)
    assert path.read_bytes() == lines_of(ONE, THREE)


@pytest.mark.parametrize(
    "content",
    [
        lines_of(ONE, TWO, THREE).replace(b'"position":2', b'"position":7'),
        lines_of(ONE) + lines_of(ONE, TWO, THREE).split(b"\n", 2)[2],
    ],
)
def test_a_line_that_was_changed_or_taken_out_is_found(tmp_path, content):
    path = tmp_path / "exchange.jsonl"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"Line 2 of the exchange's ledger .* does not verify"):
        FileLedger(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", [b'{"position":1\n{"position":2}\n', b"\n\n", b"\x00\x00\n"])
def test_any_other_damage_is_refused_and_left_as_it_is(tmp_path, damage):
    path = tmp_path / "exchange.jsonl"
    path.write_bytes(damage)
    with pytest.raises(StoreError, match="Line 1 of the exchange's ledger"):
        FileLedger(path)
    assert path.read_bytes() == damage


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DiskFailed, match="cannot be opened"):
        FileLedger(tmp_path / "nowhere" / "exchange.jsonl")


def test_a_line_that_cannot_be_written_is_said(tmp_path):
    ledger = FileLedger(tmp_path / "exchange.jsonl")
    ledger.close()
    with pytest.raises(DiskFailed, match="cannot be written"):
        ledger.append(b"{}")
