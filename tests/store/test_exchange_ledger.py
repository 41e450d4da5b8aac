import pytest

from kitestring.domain.errors import DiskFailed, StoreError
from kitestring.store.exchange_ledger import FileLedger


def test_lines_are_there_when_the_file_is_opened_again(tmp_path):
    path = tmp_path / "exchange.jsonl"
    with FileLedger(path) as ledger:
        assert ledger.records == []
        ledger.append(b'{"position":1}')
        ledger.append(b'{"position":2}')
        assert path.read_bytes() == b'{"position":1}\n{"position":2}\n'
    with FileLedger(path, durable=False) as again:
        assert again.records == [b'{"position":1}', b'{"position":2}']
        again.append(b'{"position":3}')
    assert path.read_bytes() == b'{"position":1}\n{"position":2}\n{"position":3}\n'


@pytest.mark.parametrize("half", [b"{", b'{"position":2', b'{"position":2}'])
def test_a_half_last_line_is_cut_off(tmp_path, half):
    path = tmp_path / "exchange.jsonl"
    path.write_bytes(b'{"position":1}\n' + half)
    with FileLedger(path) as ledger:
        assert ledger.records == [b'{"position":1}']
        ledger.append(b'{"position":3}')
    assert path.read_bytes() == b'{"position":1}\n{"position":3}\n'


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
