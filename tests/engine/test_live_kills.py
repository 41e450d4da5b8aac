"""``kill -9`` of a live house between any two of intent, commit, send, reply, report and book.

Each story is one day at a served exchange: the house trades, dies at a named moment, is started again
by the same words, dies at the next one, and at last is stopped flat. After every death the files prove
that it died where it says; at the end the exchange's own books are the judge: no order twice, none
forgotten, the same fills for the same money, nothing left open.
"""

import json
import select
import subprocess
import sys
from pathlib import Path

import pytest

from kitestring.cli.served_exchange import ServedExchange, environment
from kitestring.domain.events import Reports
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder
from kitestring.exchange.wire.wire_ledger import Heard, Told, read_lines
from kitestring.sim.verdict import judge
from kitestring.store.run_reader import chosen_run, read_run

HERE = Path(__file__).resolve().parent
KILLED = 9
SETTINGS = """\
account: {cash: 1 crore}
switches: {rate_limits: false}    # a day of many lives asks more than one
"""
QUICK, CALM, SLOWEST = 300, 60, 20
SLOW_S = 3.0
"""A life usually takes one second; on a machine with other work the day is made slower instead."""


class Nursery:
    """The program that gives birth to houses."""

    def __init__(self):
        env = environment()
        env["PYTHONPATH"] += f":{HERE.parent}"
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "live_to_kill.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        assert self._process.stdout.readline() == "ready\n"

    def live(self, life, when_slow):
        """One life; how it ended, as a process does. ``when_slow`` is called while it takes long."""
        self._process.stdin.write(json.dumps(life) + "\n")
        self._process.stdin.flush()
        while not select.select([self._process.stdout], [], [], SLOW_S)[0]:
            when_slow()
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.close()


class Story:
    """One day of many lives."""

    def __init__(self, nursery, exchange, folder):
        self.nursery, self.exchange, self.folder = nursery, exchange, folder
        self.before, self.speed = exchange.books(), QUICK
        quote = exchange.answer_to("/quote?i=NSE:INFY")
        self.close = str(quote["NSE:INFY"]["ohlc"]["close"])

    def lives(self, kill=None):
        return self.nursery.live(
            {
                "root": self.exchange.rest,
                "token": self.exchange.token,
                "folder": str(self.folder),
                "wire": str(self.exchange.wire),
                "close": self.close,
                "kill": kill,
                "flatten": kill is None,
            },
            self.slow_down,
        )

    def slow_down(self):
        """A house that gets no processor sees gaps in its ticks, and does not enter."""
        if self.speed > SLOWEST:
            self.speed /= 2
            self.exchange.pass_at(self.speed)

    def facts(self):
        return list(read_run(chosen_run(self.folder / "artifacts")).facts())

    def last_death(self):
        return json.loads((self.folder / "deaths.jsonl").read_text().splitlines()[-1])

    def log(self):
        return (self.folder / "house.log").read_text()[-3000:]

    def died_where_it_says(self, moment, count):
        """Journal and wire show that this was the moment."""
        death = self.last_death()
        assert (death["moment"], death["count"]) == (moment, count)
        facts, tags = self.facts(), set(death.get("tags", ()))
        placed = {fact.cl_ord_id for fact in facts if isinstance(fact, PlaceOrder)}
        changed = {fact.cl_ord_id for fact in facts if isinstance(fact, CancelOrder | ModifyOrder)}
        reported = [
            report for fact in facts if isinstance(fact, Reports) for report in fact.reports
        ]
        lines = read_lines(self.exchange.wire)
        posts = {
            line.n: line.params.get("tag")
            for line in lines
            if isinstance(line, Heard) and line.method == "POST"
        }
        sent = set(posts.values())
        answered = {posts.get(line.n) for line in lines if isinstance(line, Told)}
        match moment:
            case "before intent":
                assert not tags & placed
            case "after intent" | "before order sent":
                assert tags <= placed
                assert not tags & sent
            case "before carrying out" | "after carrying out":
                assert tags <= placed | changed
            case "order sent":
                assert tags <= placed & sent
            case "order answered" | "before merge":
                assert tags <= placed & answered
                assert not tags & {report.cl_ord_id for report in reported}
            case "after change intent" | "cancel sent" | "cancel answered":
                assert changed
            case "before fill":
                assert not set(death["fills"]) & {report.exec_id for report in reported}
            case "after fill":
                assert set(death["fills"]) <= {report.exec_id for report in reported}


def kills(story):
    """The stories: every moment, in another order and at another passage each time."""
    moments = [
        "before intent", "after intent", "before carrying out", "after carrying out",
        "before order sent", "order sent", "order answered", "before merge", "after merge",
        "reports fetched", "before report", "after report", "before fill", "after fill",
        "before change intent", "after change intent", "before cancel sent", "cancel sent",
        "cancel answered", "before book", "after book", "before recovery", "after recovery",
        "broker resumed",
    ]  # fmt: skip
    strode = [moments[(5 * story + 7 * step) % len(moments)] for step in range(20)]
    return [
        # A recovery is passed once in a life; the others come again and again.
        (each, 1 if "recover" in each or "resumed" in each else 1 + (step + story) % 2)
        for step, each in enumerate(strode)
    ]


STORIES = [kills(story) for story in range(3)]


def test_the_stories_hold_sixty_deaths_and_every_moment():
    assert sum(map(len, STORIES)) >= 60
    assert len({moment for story in STORIES for moment, _ in story}) == 24


@pytest.mark.parametrize("number", range(len(STORIES)))
def test_a_live_house_killed_anywhere_sends_nothing_twice_and_forgets_nothing(
    number, nursery, tmp_path
):
    with ServedExchange(
        tmp_path / "exchange", settings=SETTINGS, at="09:14:50", speed=str(QUICK), seed=number + 1
    ) as exchange:
        story = Story(nursery, exchange, tmp_path)
        for moment, count in STORIES[number]:
            assert story.lives((moment, count)) == KILLED, f"{moment} {count}\n{story.log()}"
            story.died_where_it_says(moment, count)
        exchange.pass_at(min(CALM, story.speed))
        assert story.lives() == 0, story.log()
        after = exchange.books()
    verdict = judge(
        story.facts(),
        before=story.before,
        after=after,
        wire=read_lines(exchange.wire),
        sealed=False,
    )
    assert verdict.findings == ()
    assert verdict.figures.intents_seen == len(
        [
            line
            for line in read_lines(exchange.wire)
            if isinstance(line, Heard) and line.method == "POST" and "/orders/" in line.path
        ]
    )
    assert verdict.figures.fills > 10
