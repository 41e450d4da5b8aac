"""``kill -9`` at every kind of moment, then the same command again: nothing twice, nothing lost.

Each test first proves from the files that the house died where it says, then starts the day again
(often to be killed once more) and holds the end against the exchange's ledger and against the day
that nobody disturbed.
"""

import json

import pytest
from short_day import House, facts, judge, last_commit, tape_end, traded

from kitestring.domain.events import DaySealed
from kitestring.domain.verdicts import PlaceOrder


def died_where_it_says(house, death):
    """The journal, the ledger and the tape show that this was the moment."""
    commits = house.commits()
    number, last = last_commit(house)
    moment = death["moment"]
    if moment.startswith("before commit"):
        assert number == death["number"] - 1
        intended = {fact.cl_ord_id for fact in facts(commits, PlaceOrder)}
        assert not intended & set(death["places"])
    elif moment.startswith("after commit"):
        assert number == death["number"]
        placed = [fact.cl_ord_id for fact in last.facts if isinstance(fact, PlaceOrder)]
        assert placed == death["places"]
        # Committed, and not yet carried out.
        assert not {entry["tag"] for entry in house.ledger() if "tag" in entry} & set(placed)
    elif moment.endswith("carrying out"):
        assert number == death["commits"]
        # Carried out right after its commit, the last one; only a recovery hands over older ones.
        told = last.facts
        if death["at"] != last.at:
            told = [
                fact for _, commit in commits if commit.at == death["at"] for fact in commit.facts
            ]
        assert death["tag"] in {
            fact.cl_ord_id for fact in told if type(fact).__name__ == death["command"]
        }
        what = death["command"].removesuffix("Order").upper()
        heard = [e for e in house.ledger() if e["what"] == what and e["tag"] == death["tag"]]
        if moment == "after carrying out":
            assert heard
        elif what == "PLACE":
            assert not heard
    elif moment == "before a ledger line":
        assert death["line"] not in house.ledger_text()
    elif moment == "in a ledger line":
        text = house.ledger_text()
        torn = text.rpartition("\n")[2]
        assert torn
        assert death["line"].startswith(torn)
        assert torn != death["line"]
    elif moment == "after a ledger line":
        assert house.ledger_text().endswith(death["line"] + "\n")
    elif moment == "after a tape block":
        assert tape_end(house) == death["offset"]
        assert last is None or last.tape_offset < death["offset"]
    elif moment == "in a tape block":
        size = (house.run / "tape.bin").stat().st_size
        assert last is None or last.tape_offset < size
        assert tape_end(house) < size
    elif moment == "after the seal":
        assert any(isinstance(fact, DaySealed) for fact in last.facts)
    elif moment == "history":
        assert number == 0
    else:
        assert moment in {"frame", "before restoring", "after restoring"} or "file" in moment


def killed(house, moment, count, **suffers):
    death = house.killed(moment, count, **suffers)
    died_where_it_says(house, death)
    return death


ONE_DEATH = [
    ("history", 2),
    ("before commit", 1),
    ("after commit", 1),
    ("after commit of an order", 1),
    ("before commit of an order", 20),
    ("after commit of an order", 33),
    ("before carrying out", 41),
    ("after carrying out", 60),
    ("in a ledger line", 2),
    ("after a ledger line", 75),
    ("after a tape block", 30),
    ("in a tape block", 43),
    ("frame", 1),
    ("after the seal", 1),
]


@pytest.mark.parametrize(("moment", "count"), ONE_DEATH)
def test_a_day_killed_once_ends_as_if_it_had_not_been(house, whole, moment, count):
    killed(house, moment, count)
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole


MANY_DEATHS = {
    "while it recovers": [
        ("after commit of an order", 6),
        ("before restoring", 1),
        ("after restoring", 1),
        ("before carrying out", 1),
        ("after carrying out", 1),
        ("after commit", 1),
        ("before commit", 1),
    ],
    "at every line of the exchange": [("in a ledger line", count) for count in (3, 9, 14, 25, 8)],
    "between intent and order, again and again": [
        ("after commit of an order", count) for count in (2, 1, 6, 1, 1, 11)
    ],
    "with a torn tape each time": [("in a tape block", count) for count in (2, 1, 12, 25, 7)],
    "wherever it happens": [
        ("frame", 700),
        ("before commit", 12),
        ("after a ledger line", 6),
        ("after a tape block", 1),
        ("before a ledger line", 1),
        ("frame", 333),
        ("after carrying out", 17),
    ],
}


@pytest.mark.parametrize("story", MANY_DEATHS)
def test_a_day_killed_many_times_ends_as_if_it_had_not_been(house, whole, story):
    for moment, count in MANY_DEATHS[story]:
        killed(house, moment, count)
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole


HALTING = [("before carrying out", 16), ("frame", 3), ("after commit", 1)]


def test_a_day_killed_near_its_loss_limit_is_halted_at_the_same_moment(house, fast_folder):
    undisturbed = House(fast_folder / "halted undisturbed", house.market, daily_loss="0.1%")
    expected = undisturbed.finished()
    assert expected["halted"].startswith("the day has lost ")
    house = House(house.folder, house.market, daily_loss="0.1%")
    for moment, count in HALTING:
        killed(house, moment, count)
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == traded(undisturbed, expected)


@pytest.mark.parametrize(
    ("moment", "count"),
    [
        ("in run.json", 1),
        ("in orders.csv", 2),
        ("after orders.csv", 1),
        ("in the state file", 2),
        ("after the state file", 3),
    ],
)
def test_a_kill_while_files_for_people_are_written_leaves_no_half_file(house, whole, moment, count):
    death = house.killed(moment, count, rewrite_always=True)
    shown = house.artifacts / "checkpoints" / "paper_state_latest.json"
    if shown.exists():
        json.loads(shown.read_text())
    assert death["moment"] == moment
    summary = house.finished()
    judge(house)
    assert traded(house, summary) == whole
