"""A bug of our own in the middle of the day: rebuilt from the journal and reduce-only, then the end.

The judge is the exchange: an open position keeps its resting stop there, whatever happens to us.
"""

from collections import Counter

import msgspec
import pytest
from day_to_kill import Market
from short_day import House, facts, judge, net_positions

from kitestring.domain.events import Note
from kitestring.domain.orders import Purpose
from kitestring.domain.verdicts import HaltPolicy, HaltSession, PlaceOrder

SECONDS_WITH_ITS_STOP = 10_000_000


@pytest.fixture(scope="module")
def fault_at(fast_folder, market):
    """A frame at which a position has been open for ten seconds, with its stop at the exchange."""
    house = House(fast_folder / "before the fault", market)
    house.finished()
    ends = {}
    resting = []
    for entry in house.ledger():
        if entry["what"] == "NEW" and entry["order_type"] == "SL":
            resting.append((entry["tag"], entry["told_at"]))
        if entry["what"] in {"CANCEL", "MODIFY", "TRIGGERED"}:
            ends.setdefault(entry["tag"], entry["at"])
    at = next(
        told_at + SECONDS_WITH_ITS_STOP
        for tag, told_at in resting
        if ends.get(tag, told_at) > told_at + 2 * SECONDS_WITH_ITS_STOP
    )
    frames = msgspec.msgpack.decode(market.read_bytes(), type=Market).frames
    return next(frame.received_at for frame in frames if frame.received_at >= at)


def stops_resting(house):
    """Quantity that rests in stops at the exchange now, by side and instrument."""
    resting = {}
    placed = {}
    for entry in house.ledger():
        tag, what = entry.get("tag"), entry["what"]
        if what == "PLACE":
            placed[tag] = (entry["instrument"], entry["side"], entry["order_type"])
        elif (what == "NEW" and placed[tag][2] == "SL") or (what == "REPLACED" and tag in resting):
            resting[tag] = entry["qty"]
        elif what in {"CANCELED", "TRIGGERED", "REJECTED"}:
            resting.pop(tag, None)
    total = Counter()
    for tag, qty in resting.items():
        instrument, side, _ = placed[tag]
        total[instrument] += qty if side == "BUY" else -qty
    return dict(total)


def test_after_a_fault_the_house_is_rebuilt_and_only_reduces(house, fault_at):
    summary = house.finished(fault_at=(fault_at,))
    judge(house)
    assert "rebuilt from its journal" in summary["halted"]
    assert "ZeroDivisionError: a planted fault" in summary["halted"]
    commits = house.commits()
    (halt,) = facts(commits, HaltSession)
    assert (halt.code, halt.policy) == ("HOUSE_FAULT", HaltPolicy.KEEP_PROTECTED)
    placed_later = [
        fact
        for number, commit in commits
        if commit.at >= halt.at
        for fact in commit.facts
        if isinstance(fact, PlaceOrder)
    ]
    assert all(fact.intent.purpose is not Purpose.ENTRY for fact in placed_later)
    assert "resumed" in [note.kind for note in facts(commits, Note)]
    # A start of the finished day says so, too.
    assert house.finished()["halted"] == summary["halted"]


def test_a_fault_that_comes_again_ends_the_day_and_the_stop_stays_at_the_exchange(house, fault_at):
    ran = house.start(fault_at=(fault_at,), fault_always=True)
    assert ran.returncode == 1, ran.stderr[-900:]
    sentence, do = ran.stderr.strip().split("\n")[-2:]
    assert sentence.startswith("The house failed twice today")
    assert str(house.run) in sentence
    assert do.startswith("  → ")
    assert "Traceback" not in ran.stderr
    stops = stops_resting(house)
    held = net_positions(house)
    assert stops
    for instrument, qty in stops.items():
        assert held[instrument] == -qty
    # The planted fault is mended: the same command goes on, and still only reduces.
    summary = house.finished()
    judge(house)
    assert "rebuilt from its journal" in summary["halted"]


def test_a_kill_on_the_way_back_from_a_fault_changes_nothing(house, fault_at):
    assert house.start(fault_at=(fault_at,), fault_always=True).returncode == 1
    house.killed("after carrying out", 1)
    house.killed("frame", 200)
    summary = house.finished()
    judge(house)
    assert "rebuilt from its journal" in summary["halted"]
