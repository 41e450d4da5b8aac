"""What is worth waking a trader for: from the facts of the journal to alerts in words.

A pure fold: the same commits give the same alerts, so that a day taken up again knows what it has
told already. Nothing here sends anything (``alert_post.py`` does), and nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.events import (
    DaySealed,
    Discrepancy,
    Fact,
    MarketDataFault,
    Note,
    OperatorCommand,
    OperatorWord,
    Reports,
)
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import SECOND, Instant, ist_clock
from kitestring.domain.money import Money, show_rupees
from kitestring.domain.orders import ExecType
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import HaltSession


class AlertKind(StrEnum):
    """What may be told; the words of the settings file."""

    LOGIN_DUE = "login due"
    ARMED = "armed"
    ALIVE = "alive"
    FILL = "fill"
    HALT = "halt"
    FEED_SILENT = "feed silent"
    UNKNOWN_ORDER = "unknown order"
    EXIT_STUCK = "exit stuck"
    UNPROTECTED_POSITION = "unprotected position"
    GUARD_ACTED = "guard acted"
    NOT_OURS = "touched by others"
    FROZEN = "frozen"
    DAY_SUMMARY = "day summary"


NOTED: Final = MappingProxyType(
    {
        "login due": AlertKind.LOGIN_DUE,
        "armed": AlertKind.ARMED,
        "silence": AlertKind.FEED_SILENT,
        "feed silent": AlertKind.FEED_SILENT,
        "unknown order": AlertKind.UNKNOWN_ORDER,
        "order pending": AlertKind.UNKNOWN_ORDER,
        "order without tag": AlertKind.UNKNOWN_ORDER,
        "VIEW_UNTRUSTED": AlertKind.UNKNOWN_ORDER,
        "exit refused": AlertKind.EXIT_STUCK,
        "exit stuck": AlertKind.EXIT_STUCK,
        "not flat": AlertKind.EXIT_STUCK,
        "unprotected position": AlertKind.UNPROTECTED_POSITION,
        "guard acted": AlertKind.GUARD_ACTED,
        "guard gone": AlertKind.GUARD_ACTED,
        "trade of others": AlertKind.NOT_OURS,
        "closed by others": AlertKind.NOT_OURS,
        "overnight stop": AlertKind.FILL,
        "cancelled by hand": AlertKind.NOT_OURS,
        "frozen": AlertKind.FROZEN,
        "resolved": AlertKind.FROZEN,
        "resolve": AlertKind.FROZEN,
    }
)
"""Notes that are alerts, by the last part of their kind: ``live: silence`` is a ``silence``."""

WINDOW: Final = 60 * SECOND
"""Market time within which alerts of one kind are told as one."""
LINES_MAX: Final = 6
"""Alerts of one kind told in full; of the rest there is a count."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell. ``number`` is the commit it comes from: no alert is told twice."""

    kind: AlertKind
    number: int
    at: Instant
    text: str
    count: int = 1
    """How many alerts were merged into this one."""


class AlertRules:
    """Turns commits into alerts. ``alive_at``: when to say that the house is up, once a day.

    ``begins_at``: a live house that is up before the open begins with that very instant; commits of
    it say nothing of what time it is.
    """

    def __init__(self, alive_at: Instant, begins_at: Instant = 0) -> None:
        self._alive_at = alive_at
        self._begins_at = begins_at
        self._alive = False
        self._unanswered: set[str] = set()

    def hear(self, number: int, commit: Commit) -> list[Alert]:
        """The alerts of one commit."""
        told = [] if commit.at == self._begins_at else self.passing(number, commit.at)
        told += [
            Alert(kind=kind, number=number, at=at, text=text)
            for fact in commit.facts
            for kind, at, text in self._of(fact, commit.at)
        ]
        return told

    def passing(self, number: int, at: Instant) -> list[Alert]:
        """Market time goes on: the house says once that it is alive."""
        if self._alive or at < self._alive_at:
            return []
        self._alive = True
        text = f"Alive at {ist_clock(at)[:5]}."
        return [Alert(kind=AlertKind.ALIVE, number=number, at=at, text=text)]

    def _of(self, fact: Fact, at: Instant) -> Iterable[tuple[AlertKind, Instant, str]]:
        match fact:
            case Fill():
                yield AlertKind.FILL, fact.at, _fill(fact)
            case HaltSession():
                yield AlertKind.HALT, fact.at, f"{fact.sentence} Positions: {fact.policy}."
            case MarketDataFault(fault="stale"):
                yield AlertKind.FEED_SILENT, fact.at, fact.sentence
            case Discrepancy():
                text = (
                    f"{fact.what}: ours {fact.ours}, the broker's {fact.theirs}. No new entries "
                    "there until it is explained."
                )
                yield AlertKind.UNKNOWN_ORDER, fact.at, text
            case Reports():
                for report in fact.reports:
                    name = report.cl_ord_id
                    if report.exec_type is ExecType.UNKNOWN and name not in self._unanswered:
                        self._unanswered.add(name)
                        text = (
                            f"Order {name} was sent and not answered; it is looked up, never sent "
                            "again."
                        )
                        yield AlertKind.UNKNOWN_ORDER, report.event_at, text
            case Note() if (kind := NOTED.get(fact.kind.rpartition(":")[2].strip())) is not None:
                yield kind, fact.at, fact.sentence
            case OperatorCommand(word=OperatorWord.ARM):
                yield AlertKind.ARMED, fact.at, fact.reason
            case DaySealed():
                yield AlertKind.DAY_SUMMARY, at, _summary(fact)
            case _:
                pass


class AlertMerger:
    """Holds alerts back so that a burst is one alert.

    Fills are told at the end of their minute. Anything else is told at once, and what follows of
    the same kind within the minute is told as one at its end.
    """

    def __init__(self) -> None:
        self._ends: dict[AlertKind, Instant] = {}
        self._held: dict[AlertKind, list[Alert]] = {}

    def take(self, alerts: Iterable[Alert], at: Instant) -> list[Alert]:
        """Add alerts at market time ``at``; what is to be told now."""
        due = self.due(at)
        at_once: dict[AlertKind, list[Alert]] = {}
        for alert in alerts:
            kind = alert.kind
            if kind in self._ends:
                self._held.setdefault(kind, []).append(alert)
            elif kind is AlertKind.FILL:
                self._ends[kind] = at + WINDOW
                self._held[kind] = [alert]
            else:
                at_once.setdefault(kind, []).append(alert)
        for kind, group in at_once.items():
            self._ends[kind] = at + WINDOW
            due.append(merged(group))
        return due

    def due(self, at: Instant) -> list[Alert]:
        """What was held back long enough by ``at``."""
        over = [kind for kind, end in self._ends.items() if end <= at]
        due: list[Alert] = []
        for kind in over:
            del self._ends[kind]
            group = self._held.pop(kind, None)
            if group:
                due.append(merged(group))
                if kind is not AlertKind.FILL:  # told just now: what follows waits again
                    self._ends[kind] = at + WINDOW
        return due

    def rest(self) -> list[Alert]:
        """Everything still held back: nothing waits past the end of a day."""
        rest = [merged(group) for group in self._held.values()]
        self._held.clear()
        self._ends.clear()
        return rest


def merged(alerts: list[Alert]) -> Alert:
    """Several alerts of one kind as one; its number is the last one's."""
    if len(alerts) == 1:
        return alerts[0]
    count = sum(alert.count for alert in alerts)
    shown = [alert.text for alert in alerts[:LINES_MAX]]
    left = count - sum(alert.count for alert in alerts[:LINES_MAX])
    if left:
        shown.append(f"and {left} more")
    return Alert(
        kind=alerts[0].kind,
        number=max(alert.number for alert in alerts),
        at=alerts[-1].at,
        text="\n".join(shown),
        count=count,
    )


def _fill(fill: Fill) -> str:
    return (
        f"{fill.side} {fill.qty} {symbol_of(fill.instrument)} at {show_rupees(fill.px)}, "
        f"{fill.strategy}, {ist_clock(fill.at)}."
    )


def _summary(sealed: DaySealed) -> str:
    text = (
        f"Net {show_rupees(Money(sealed.net), signed=True)} after charges of "
        f"{show_rupees(Money(sealed.charges))}; {sealed.trades} round trips, {sealed.fills} fills, "
        f"{sealed.orders} orders."
    )
    if sealed.carried:
        text += f" Carried overnight: {len(sealed.carried)}."
    return text


def one_of_each(at: Instant) -> list[Alert]:
    """An alert of every kind, marked as a test: for whoever sets the channels up."""
    return [
        Alert(kind=kind, number=0, at=at, text="A test: nothing has happened.")
        for kind in AlertKind
    ]
