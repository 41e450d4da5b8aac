"""What the house owns, in two copies written in turn: a torn one never counts, and nothing is lost twice."""

import pytest

from kitestring.domain.orders import Product, Purpose, Side
from kitestring.store.owned_file import Owned, OwnedFile, OwnedOrder


def owned(commit, orders=0):
    told = tuple(
        OwnedOrder(
            tag=f"K{number:019d}", instrument="NSE:INFY", product=Product.MIS, side=Side.BUY,
            purpose=Purpose.ENTRY, leaves_qty=1, cum_qty=0,
        )
        for number in range(orders)
    )  # fmt: skip
    return Owned(
        pid=7, born="then", run="r", run_key="k", date="d", commit=commit, at=1, orders=told
    )


def test_nothing_was_written(tmp_path):
    assert OwnedFile(tmp_path).read() is None


def test_the_last_state_is_read_however_long_the_ones_before_were(tmp_path):
    file, reader = OwnedFile(tmp_path), OwnedFile(tmp_path)
    for commit, orders in enumerate((3, 200, 0, 1, 50, 0, 0), 1):
        file.write(owned(commit, orders))
        assert reader.read() == owned(commit, orders)


def test_another_program_goes_on_where_the_last_one_stopped(tmp_path):
    for commit in (9, 8, 1):  # a new day counts its commits from the first
        file = OwnedFile(tmp_path)
        file.write(owned(commit))
        file.close()
        assert OwnedFile(tmp_path).read() == owned(commit)


@pytest.mark.parametrize("kept", [0, 1, 10, 40, 200, 5_000])
def test_a_copy_torn_anywhere_leaves_the_state_of_before(tmp_path, kept):
    file = OwnedFile(tmp_path)
    file.write(owned(1, 100))
    file.write(owned(2, 90))
    before = [path.read_bytes() for path in file.paths]
    file.write(owned(3, 80))
    (torn,) = [at for at, path in enumerate(file.paths) if path.read_bytes() != before[at]]
    path = file.paths[torn]
    path.write_bytes(path.read_bytes()[:kept] + before[torn][kept:])
    assert OwnedFile(tmp_path).read() == owned(2, 90)
    again = OwnedFile(tmp_path)
    again.write(owned(4, 70))  # over the torn one, not over the whole one
    assert again.read() == owned(4, 70)
    again.paths[torn].write_bytes(b"")
    assert again.read() == owned(2, 90)


def test_one_wrong_letter_is_seen(tmp_path):
    file = OwnedFile(tmp_path)
    file.write(owned(1))
    path = next(path for path in file.paths if path.exists())
    path.write_bytes(path.read_bytes().replace(b'"pid":7', b'"pid":8'))
    assert file.read() is None


def test_a_file_taken_away_is_made_again(tmp_path):
    file = OwnedFile(tmp_path)
    for commit in (1, 2):
        file.write(owned(commit))
    for path in file.paths:
        path.unlink()
    file.write(owned(3))
    assert OwnedFile(tmp_path).read() == owned(3)


def test_a_write_that_fails_leaves_the_newer_copy_alone(tmp_path):
    file = OwnedFile(tmp_path)
    file.write(owned(1))
    missing = next(path for path in file.paths if not path.exists())
    missing.mkdir()
    for _ in range(2):
        with pytest.raises(OSError):
            file.write(owned(2))
        assert file.read() == owned(1)
    missing.rmdir()
    file.write(owned(2))
    assert file.read() == owned(2)
