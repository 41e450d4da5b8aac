"""``kitestring flatten`` where no day answers: the wish is left for the guard, or nobody closes, and it is said."""

import pytest

from kitestring.cli.commands import house
from kitestring.cli.run_day import run_command
from kitestring.engine.clocks import wall_now
from kitestring.engine.guard_story import WATCHES
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.owned_file import Owned, OwnedFile


def typed(artifacts):
    return run_command(house, ["flatten", "--artifacts", str(artifacts), "--reason", "out"])


def a_day(artifacts, *, ended=False):
    OwnedFile(artifacts).write(
        Owned(
            pid=1, born="tick 1", run="r", run_key="k", date="2026-11-20", commit=1, at=1, books=(),
            orders=(), ended=ended,
        )
    )  # fmt: skip


def test_a_dead_day_is_left_to_its_guard(tmp_path, capsys):
    a_day(tmp_path)
    with InstanceLock(tmp_path, started_at=wall_now(), name=WATCHES):
        assert typed(tmp_path) == 0
    told = capsys.readouterr().out
    assert told.startswith("The live day has died. HALT is on disk and asks to flatten;")
    assert "The guard is there" in told
    halt = HaltFile(tmp_path).read()
    assert (halt.by, halt.flatten, halt.reason) == (HaltedBy.OPERATOR, True, "out")


def test_a_dead_day_without_a_guard_closes_nothing_and_says_so(tmp_path, capsys):
    a_day(tmp_path)
    assert typed(tmp_path) != 0
    told = capsys.readouterr()
    assert "NOBODY closes what is open" in told.err
    assert "close it at the broker now" in told.err
    assert HaltFile(tmp_path).read().flatten, "whoever starts next closes all"


@pytest.mark.parametrize("ended", [None, True])
def test_without_a_day_under_way_nothing_is_written(tmp_path, capsys, ended):
    if ended:
        a_day(tmp_path, ended=True)
    assert typed(tmp_path) == 1
    assert "No live day runs" in capsys.readouterr().err
    assert HaltFile(tmp_path).read() is None


def test_a_later_halt_does_not_take_the_wish_back_and_the_guards_own_takes_it_up(tmp_path):
    halts = HaltFile(tmp_path)
    halts.write(HaltedBy.OPERATOR, "out", 1, flatten=True)
    assert halts.write(HaltedBy.OPERATOR, "and no more", 2).flatten
    assert halts.write(HaltedBy.GUARD, "no heartbeat", 3).flatten
    halts.lift()
    guards = halts.write(HaltedBy.GUARD, "no heartbeat", 4)
    assert not guards.flatten
    asked = halts.write(HaltedBy.OPERATOR, "out", 5, flatten=True)
    assert (asked.by, asked.flatten, asked.epoch) == (HaltedBy.GUARD, True, guards.epoch)
    assert halts.read() == asked
