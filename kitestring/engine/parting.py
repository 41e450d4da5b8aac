"""Two days event by event, down to the first one in which they part.

The law: everything a house decides and everything that becomes of it is an event, in order: closed
bars, signals, refusals, orders and their changes, fills, round trips, halts. What is only a name
(tags, numbers of trades) does not count, nor fractions of a second in the broker's stamps, which
Kite's have not, nor how the broker's words are cut into reports.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.instants import SECOND, Instant, ist_clock
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import (
    Blocked,
    CancelOrder,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)
from kitestring.store.run_reader import Recorded

_COMPARED: Final = (
    Bar,
    Signal,
    Reduced,
    Blocked,
    PlaceOrder,
    ModifyOrder,
    CancelOrder,
    Fill,
    RoundTrip,
    HaltSession,
)
_WHOLE_SECONDS: Final = frozenset({(Fill, "at"), (RoundTrip, "entry_at"), (RoundTrip, "exit_at")})


class Moment(NamedTuple):
    """One thing that a house said, without what is only a name: ``content`` is flat, field by field."""

    at: Instant
    kind: str
    content: dict[str, object]

    @property
    def name(self) -> str:
        """Which event, for a person."""
        of = self.content.get("order") or self.content.get("strategy")
        of = of or self.content.get("instrument", "")
        return f"{self.kind} {of} at {ist_clock(self.at)}"


class Parting(msgspec.Struct, frozen=True):
    """Where two days part: the number of the event, and what each of them says there."""

    number: int
    first: Moment | None
    second: Moment | None

    @property
    def sentence(self) -> str:
        """For a person: the event, and what differs in it."""
        one, two = self.first, self.second
        if one is None or two is None:
            which, moment = ("second", two) if one is None else ("first", one)
            assert moment is not None
            return f"Event {self.number:,} is only in the {which}: {moment.name}."
        if one.name != two.name:
            return f"Event {self.number:,}: first {one.name}, second {two.name}."
        differing = [
            f"{field} {one.content.get(field)} and {two.content.get(field)}"
            for field in dict.fromkeys((*one.content, *two.content))
            if one.content.get(field) != two.content.get(field)
        ]
        return f"Event {self.number:,}, {one.name}: {'; '.join(differing)}."


def moments(recorded: Recorded) -> Iterator[Moment]:
    """What a day decided and what became of it, in order."""
    orders: dict[str, str] = {}
    """Tags, which are names of the run, as the first, second, third order."""
    for _, commit in recorded.commits:
        for fact in commit.facts:
            if not isinstance(fact, _COMPARED):
                continue
            content = dict(_fields(fact))
            tag = content.pop("cl_ord_id", None)
            if isinstance(tag, str):
                content["order"] = orders.setdefault(tag, f"order {len(orders) + 1}")
            # A bar that decided nothing is journalled with the next commit, whenever that is.
            told_at = content.get("at", content.get("close_at", content.get("exit_at", commit.at)))
            assert isinstance(told_at, int)
            yield Moment(told_at, type(fact).__name__, content)


def first_parting(first: Iterable[Moment], second: Iterable[Moment]) -> Parting | None:
    """The first event in which two days differ; ``None`` if they agree to the end."""
    pairs = itertools.zip_longest(first, second)
    for number, (one, two) in enumerate(pairs, start=1):
        if one != two:
            return Parting(number, one, two)
    return None


def _fields(fact: msgspec.Struct, within: str = "") -> Iterator[tuple[str, object]]:
    """Every field by its name; instants of the broker in whole seconds, without its own numbers."""
    for name in fact.__struct_fields__:
        value = getattr(fact, name)
        if isinstance(value, msgspec.Struct):
            yield from _fields(value, f"{within}{name}.")
        elif name != "fill_id":
            if (type(fact), name) in _WHOLE_SECONDS:
                value = value // SECOND * SECOND
            yield f"{within}{name}", value
