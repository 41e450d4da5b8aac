"""``kill -9`` of a live house, a real process beside a real exchange, at any moment; the exchange judges.

A unit is one death. A batch lives its deaths one after the other in one day: named moments between
intent, commit, send, reply, report and book, deaths while recovering, and blows from outside at any
wall-clock moment, some on a house that was frozen before. After every named death the files prove that
it died where it says. The exchange itself is not killed: it keeps no book from which it could go on.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from kitestring.cli.served_exchange import ServedExchange, environment
from kitestring.domain.errors import HouseError
from kitestring.domain.events import Fact, Reports
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder
from kitestring.exchange.wire.wire_ledger import Heard, Told, read_lines
from kitestring.sim.dice import Dice
from kitestring.sim.verdict import Fault, Verdict, judge
from kitestring.store.run_reader import chosen_run, read_run
from proof.tier import Broken, Outcome, Scale, Tier

_RIG: Final = Path(__file__).resolve().parents[1] / "tests" / "engine" / "live_to_kill.py"
"""Gives birth to houses and puts the named moments between their methods; the tests use it as well."""
KILLED: Final = 9
SETTINGS: Final = """\
account: {cash: 1 crore}
switches: {rate_limits: false}    # a day of many lives asks more than one
"""
QUICK, CALM, SLOWEST = 300.0, 60.0, 20.0
SLOW_S: Final = 3.0
"""A life usually takes one second; on a machine with other work the day is made slower instead."""
MOMENTS: Final = (
    "before intent", "after intent", "before carrying out", "after carrying out",
    "before order sent", "order sent", "order answered", "before merge", "after merge",
    "reports fetched", "before report", "after report", "before fill", "after fill",
    "before change intent", "after change intent", "before cancel sent", "cancel sent",
    "cancel answered", "before book", "after book", "before recovery", "after recovery",
    "broker resumed",
)  # fmt: skip


class Blow(msgspec.Struct, frozen=True, kw_only=True):
    """How one life ends."""

    moment: str = ""
    """Empty where the blow comes from outside."""
    passage: int = 1
    after_s: float = 0.0
    frozen_s: float = 0.0


def blow_of(unit: int) -> Blow:
    """The death of a number: mostly at a named moment, now and then from outside."""
    dice = Dice(unit, "kill")
    if unit % 6 == 0:
        frozen_s = dice.between(2, 12) / 10 if unit % 12 == 0 else 0.0
        return Blow(after_s=dice.between(1, 18) / 10, frozen_s=frozen_s)
    named = unit - unit // 6
    moment = MOMENTS[named * 7 % len(MOMENTS)]
    # A recovery is passed once in a life; the others come again and again.
    once = "recover" in moment or "resumed" in moment
    return Blow(moment=moment, passage=1 if once else dice.between(1, 2))


class _Nursery:
    """The program that gives birth to houses."""

    def __init__(self) -> None:
        env = environment()
        env["PYTHONPATH"] += f":{_RIG.parents[1]}"
        self._program = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, str(_RIG)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._into, self._out = self._program.stdin, self._program.stdout
        assert self._out.readline() == "ready\n"

    def live(self, life: dict[str, object], when_slow: Callable[[], None]) -> int:
        """One life; how it ended, as a process does. ``when_slow`` is called while it takes long."""
        self._into.write(json.dumps(life) + "\n")
        self._into.flush()
        while not select.select([self._out], [], [], SLOW_S)[0]:
            when_slow()
        return int(self._out.readline())

    def close(self) -> None:
        self._into.close()
        self._program.wait(10)
        self._out.close()


class Story:
    """One day of many lives."""

    def __init__(self, nursery: _Nursery, exchange: ServedExchange, folder: Path) -> None:
        self._nursery, self._exchange, self._folder = nursery, exchange, folder
        self._before, self._speed = exchange.books(), QUICK
        quote = exchange.answer_to("/quote?i=NSE:INFY")
        assert isinstance(quote, dict)
        self._close = str(quote["NSE:INFY"]["ohlc"]["close"])

    def dies(self, unit: int) -> str:
        """Live to the death of a number; why it was another one, or nothing."""
        blow = blow_of(unit)
        if not blow.moment:
            ended = self._lives(struck_after_s=blow.after_s, frozen_s=blow.frozen_s)
            return "" if ended == KILLED else f"it ended by itself ({ended}): {self._log()}"
        ended = self._lives(kill=(blow.moment, blow.passage))
        if ended != KILLED:
            return f"{blow.moment} {blow.passage} never came ({ended}): {self._log()}"
        return self._died_elsewhere(blow)

    def ends(self) -> Verdict:
        """The last life, which closes everything; and the judgement of the exchange."""
        self._exchange.pass_at(min(CALM, self._speed))
        if (ended := self._lives(flatten=True)) != 0:
            raise HouseError(f"The last life ended with {ended}: {self._log()}")
        wire = self._exchange.wire
        after = self._exchange.books()
        return judge(
            self._facts(), before=self._before, after=after, wire=read_lines(wire), sealed=False
        )

    def _lives(self, **how: object) -> int:
        life: dict[str, object] = {
            "root": self._exchange.rest,
            "token": self._exchange.token,
            "folder": str(self._folder),
            "wire": str(self._exchange.wire),
            "close": self._close,
        }
        return self._nursery.live(life | how, self._slow_down)

    def _slow_down(self) -> None:
        """A house that gets no processor sees gaps in its ticks, and does not enter."""
        if self._speed > SLOWEST:
            self._speed /= 2
            self._exchange.pass_at(self._speed)

    def _facts(self) -> list[Fact]:
        return list(read_run(chosen_run(self._folder / "artifacts")).facts())

    def _log(self) -> str:
        return (self._folder / "house.log").read_text(encoding="utf-8")[-600:]

    def _died_elsewhere(self, blow: Blow) -> str:
        """Why journal and wire do not bear out that this was the moment; empty if they do."""
        death = json.loads((self._folder / "deaths.jsonl").read_text().splitlines()[-1])
        if (death["moment"], death["count"]) != (blow.moment, blow.passage):
            return f"it died at {death['moment']} {death['count']} instead"
        fits = _fits(blow.moment, death, self._facts(), self._exchange.wire)
        return "" if fits else f"journal and wire do not show that it died {blow.moment}"


def _fits(moment: str, death: dict[str, list[str]], facts: Iterable[Fact], wire: Path) -> bool:
    facts, tags = list(facts), set(death.get("tags", ()))
    placed = {str(fact.cl_ord_id) for fact in facts if isinstance(fact, PlaceOrder)}
    changed = {str(fact.cl_ord_id) for fact in facts if isinstance(fact, CancelOrder | ModifyOrder)}
    reports = [each for fact in facts if isinstance(fact, Reports) for each in fact.reports]
    lines = read_lines(wire)
    posts = {
        line.n: line.params.get("tag")
        for line in lines
        if isinstance(line, Heard) and line.method == "POST"
    }
    sent = set(posts.values())
    answered = {posts.get(line.n) for line in lines if isinstance(line, Told)}
    fills, booked = set(death.get("fills", ())), {str(each.exec_id) for each in reports}
    match moment:
        case "before intent":
            return not tags & placed
        case "after intent" | "before order sent":
            return tags <= placed and not tags & sent
        case "before carrying out" | "after carrying out":
            return tags <= placed | changed
        case "order sent":
            return tags <= placed and tags <= sent
        case "order answered" | "before merge":
            told = {str(each.cl_ord_id) for each in reports}
            return tags <= placed and tags <= answered and not tags & told
        case "after change intent" | "cancel sent" | "cancel answered":
            return bool(changed)
        case "before fill":
            return not fills & booked
        case "after fill":
            return fills <= booked
        case _:
            return True


def live(first: int, count: int) -> Outcome:
    """See ``Tier``."""
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    nursery = _Nursery()
    try:
        with tempfile.TemporaryDirectory(prefix="kitestring-kills-") as made:
            folder = Path(made)
            with ServedExchange(
                folder / "exchange",
                settings=SETTINGS,
                at="09:14:50",
                speed=f"{QUICK:g}",
                seed=first,
            ) as exchange:
                story = Story(nursery, exchange, folder)
                for unit in range(first, first + count):
                    blow = blow_of(unit)
                    kind = "sigkill" if blow.moment else "sigkill_outside"
                    counts[f"fault.{kind}"] += 1
                    counts["fault.sigstop"] += bool(blow.frozen_s)
                    if why := story.dies(unit):
                        broken.append(_broken(unit, why))
                try:
                    verdict = story.ends()
                except HouseError as error:
                    broken.append(_broken(first, str(error)))
                else:
                    broken += _judged(first, count, verdict, counts)
    finally:
        nursery.close()
    return Outcome(units=count, counts=dict(counts), broken=tuple(broken))


def _judged(first: int, count: int, verdict: Verdict, counts: Counter[str]) -> list[Broken]:
    counts["orders"] = verdict.figures.orders
    counts["fills"] = verdict.figures.fills
    doubled, lost = (Fault.TWICE, Fault.RESENT), (Fault.NOT_IN_JOURNAL, Fault.FILLS)
    counts["doubled"] = sum(each.fault in doubled for each in verdict.findings)
    counts["lost"] = sum(each.fault in lost for each in verdict.findings)
    if not verdict.findings:
        return []
    said = " ".join(each.sentence for each in verdict.findings[:4])
    return [_broken(first, f"after the deaths {first} to {first + count - 1}: {said}", count)]


def _broken(unit: int, story: str, count: int = 1) -> Broken:
    again = f"python -m proof --tier {TIER.name} --unit {unit}"
    return Broken(seed=unit, story=f"death {unit} ({count} in its day): {story}", again=again)


TIER: Final = Tier(
    name="sigkills",
    unit="kills",
    claim="Kill a live house with SIGKILL at any moment, beside a real exchange: after the same"
    " start again nothing was sent twice, nothing forgotten, and the day ends flat.",
    size={Scale.TEST: 12, Scale.PROOF: 60, Scale.SOAK: 2_000},
    batch=20,
    live=live,
    alone=True,
)
