"""A run is found by what somebody calls it, wherever it lies."""

import datetime as dt
import os

import pytest

from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import Note
from kitestring.domain.money import money, price
from kitestring.domain.orders import Product, Side
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill
from kitestring.store.journal import SqliteJournal, encode_cell
from kitestring.store.paths import open_run
from kitestring.store.run_reader import chosen_run, every_run, read_run


def a_run(artifacts, key, day, written):
    run = open_run(artifacts, mode="paper", date=dt.date(2026, 11, day), run_key=key)
    SqliteJournal(run.journal, run_key=key).close()
    os.utime(run.journal, (written, written))
    return run


def test_the_run_written_last_is_the_latest_whatever_its_day(tmp_path):
    later = a_run(tmp_path, "a" * 8, 20, written=100)
    earlier = a_run(tmp_path, "b" * 8, 19, written=200)
    assert chosen_run(tmp_path) == earlier
    assert chosen_run(tmp_path, day="2026-11-20") == later
    assert chosen_run(tmp_path, run="aaaa") == later


def test_the_days_of_a_chain_are_runs_as_well(tmp_path):
    alone = a_run(tmp_path, "a" * 8, 20, written=100)
    chained = a_run(tmp_path / "groups" / "week", "c" * 8, 18, written=300)
    assert every_run(tmp_path) == [chained, alone]
    assert chosen_run(tmp_path) == chained


def test_a_whole_name_is_not_a_part_of_a_longer_one(tmp_path):
    first = a_run(tmp_path, "a" * 8, 20, written=100)
    again = open_run(
        tmp_path, mode="paper", date=first.date, run_key="a" * 8, fresh=True
    )  # its name goes on with -2
    assert chosen_run(tmp_path, run=first.folder.name) == first
    assert chosen_run(tmp_path, run=again.folder.name) == again
    with pytest.raises(ConfigError, match="2 runs are called like aaaa"):
        chosen_run(tmp_path, run="aaaa")


def test_a_run_stopped_before_it_began_holds_nothing(tmp_path):
    run = open_run(tmp_path, mode="paper", date=dt.date(2026, 11, 20), run_key="a" * 8)
    recorded = read_run(run)
    assert (recorded.commits, recorded.opened, recorded.sealed, recorded.at) == ((), None, None, 0)


def test_a_day_begins_with_what_lay_there_before_its_first_fill(tmp_path):
    """A carried position is left at the open: the fill is counted once, not in the beginning too."""
    opened = Note(at=100, kind="opened", sentence="The day is open.")
    sold = Fill(
        fill_id="1-1", cl_ord_id="K1", strategy="trend", instrument="NSE:ACME", side=Side.SELL,
        qty=5, px=price("100"), at=200, product=Product.CNC, decision_px=price("100"),
        slippage=money(0), charges=NO_CHARGES,
    )  # fmt: skip
    run = open_run(tmp_path, mode="paper", date=dt.date(2026, 11, 20), run_key="a" * 8)
    journal = SqliteJournal(run.journal, run_key="a" * 8)
    for number, (fact, held) in enumerate(((opened, 5), (sold, 0)), 1):
        journal.commit(
            Commit(
                inbox=number, at=fact.at, feed_position=0, tape_offset=0, tape_hash="",
                facts=(fact,), cells={"book/trend": encode_cell(held)},
            )
        )  # fmt: skip
    journal.close()
    assert read_run(run).opening_cells == {"book/trend": b"\x05"}
