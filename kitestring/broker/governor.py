"""How often the house may call Kite: every published limit kept, and a part of each held for exits.

Kite counts orders of the whole account on its own clock's seconds: ten a second, 400 a minute, 5 000
a day, 25 modifications an order; quotes one, history three, everything else ten calls a second
(kite.trade/docs/connect/v3/exceptions; Zerodha's support page on order rate limits). Whoever has used
up the day cannot even close a position, so entries stop well before.

Pure: time is given. A call waits in a line, exits before entries; whoever drives it asks which calls
are ``released`` and says when one was ``answered``. A call that is under way may be counted by the
broker at any moment between leaving and being answered, so both ends count.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from enum import Enum, StrEnum
from typing import Final

import msgspec

from kitestring.domain.instants import MINUTE, NEVER, SECOND, Instant
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder


class Call(StrEnum):
    """What a request to Kite counts as."""

    PLACE = "order"
    MODIFY = "modification"
    CANCEL = "cancel"
    QUOTE = "quote"
    HISTORICAL = "historical candles"
    READ = "read"


class Lane(Enum):
    """Calls that wait for each other."""

    ORDERS = "orders"
    QUOTE = "quote"
    HISTORICAL = "historical"
    READS = "reads"


LANES: Final = {
    Call.PLACE: Lane.ORDERS,
    Call.MODIFY: Lane.ORDERS,
    Call.CANCEL: Lane.ORDERS,
    Call.QUOTE: Lane.QUOTE,
    Call.HISTORICAL: Lane.HISTORICAL,
    Call.READ: Lane.READS,
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The published limits, and how much of them the house uses. ``kept``: for exits and cancels only.

    The guard, a process of its own, counts for itself: what the engine leaves free is its share.
    """

    per_second: int = 8
    kept_second: int = 2
    broker_per_second: int = 10
    """Never more than so many may reach the broker in one calendar second of its clock."""
    per_minute: int = 360
    kept_minute: int = 80
    per_day: int = 4_900
    kept_day: int = 1_000
    modifications_per_order: int = 25
    quote_per_second: int = 1
    historical_per_second: int = 3
    others_per_second: int = 9
    kept_others: int = 5
    """Of the other calls: modifications and cancels count among them, and find this much room."""
    entry_waits_max: Instant = 5 * SECOND
    """An entry that had to wait longer is not sent: its price is old."""
    in_flight_max: Instant = 3 * SECOND
    """An unanswered call is taken to have arrived by then."""


class Ticket(msgspec.Struct, eq=False):
    """One call in line, on its way, or answered."""

    number: int
    call: Call
    exits: bool
    """It shrinks a position or withdraws an order."""
    asked_at: Instant
    order: str
    sent_at: Instant | None = None
    answered_at: Instant | None = None
    refused: str = ""
    """Why it may not go at all; empty for every other."""


class Governor:
    """The counters and the waiting line of one account."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.orders_today = 0
        self.modifications: Counter[str] = Counter()
        self._numbers = 0
        self._lines: dict[Lane, list[Ticket]] = {lane: [] for lane in Lane}
        self._minute: deque[Instant] = deque(maxlen=self.limits.per_minute)
        """When the last orders, changes and cancels left, oldest first."""
        self._recent: dict[Lane, list[Ticket]] = {lane: [] for lane in Lane}

    # ── the line ─────────────────────────────────────────────────────────────────────────────

    def ask(self, call: Call, at: Instant, *, exits: bool = False, order: str = "") -> Ticket:
        """Join the line. ``order``: whose modification it is."""
        self._numbers += 1
        ticket = Ticket(self._numbers, call, exits or call is Call.CANCEL, at, order)
        self._lines[LANES[call]].append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> bool:
        """Step out of the line; ``False`` if it has been released already."""
        line = self._lines[LANES[ticket.call]]
        if ticket not in line:
            return False
        line.remove(ticket)
        return True

    def released(self, at: Instant) -> list[Ticket]:
        """The calls that go now, in this order, and those that may never go (``refused``)."""
        self._forget(at)
        gone: list[Ticket] = []
        for lane, line in self._lines.items():
            must_wait: set[tuple[Call, bool]] = set()
            for ticket in sorted(line, key=_exits_first):
                ticket.refused = self._refusal(ticket, at)
                if not ticket.refused:
                    sort = (ticket.call, ticket.exits)
                    if sort in must_wait or self._free_at(lane, ticket, at) > at:
                        must_wait.add(sort)
                        continue
                    self._count(lane, ticket, at)
                line.remove(ticket)
                gone.append(ticket)
        return gone

    def next_due_at(self, at: Instant) -> Instant:
        """When ``released`` may have more; ``NEVER`` while nobody waits."""
        due = NEVER
        for lane, line in self._lines.items():
            looked: set[tuple[Call, bool]] = set()
            for ticket in line:
                if (ticket.call, ticket.exits) not in looked:
                    looked.add((ticket.call, ticket.exits))
                    due = min(due, self._free_at(lane, ticket, at))
                if self._stales(ticket):
                    due = min(due, ticket.asked_at + self.limits.entry_waits_max + 1)
        return due

    def answered(self, ticket: Ticket, at: Instant) -> None:
        """The broker's answer is here, or the wait for it is over."""
        ticket.answered_at = at

    @property
    def waiting(self) -> int:
        """How many calls stand in line."""
        return sum(len(line) for line in self._lines.values())

    def book_holds(self, orders: int) -> None:
        """The order book of the whole account holds so many: other apps' and the phone's count, too."""
        self.orders_today = max(self.orders_today, orders)

    # ── after a restart ──────────────────────────────────────────────────────────────────────

    def recount(self, commands: Iterable[Command]) -> None:
        """Count what the journal says was sent today, whether or not it left: the safer reading."""
        sent: list[Instant] = []
        for command in commands:
            match command:
                case PlaceOrder():
                    self.orders_today += 1
                    sent.append(command.approved.at)
                case ModifyOrder():
                    self.modifications[command.cl_ord_id] += 1
                    sent.append(command.at)
                case CancelOrder():
                    sent.append(command.at)
        for at in sorted(sent)[-self.limits.per_minute :]:
            self._minute.append(at)
            ticket = Ticket(0, Call.PLACE, exits=False, asked_at=at, order="", sent_at=at)
            self._recent[Lane.ORDERS].append(ticket)

    # ── the limits ───────────────────────────────────────────────────────────────────────────

    def _refusal(self, ticket: Ticket, at: Instant) -> str:
        limits = self.limits
        if ticket.call is Call.PLACE:
            most = limits.per_day - (0 if ticket.exits else limits.kept_day)
            if self.orders_today >= most:
                kept = "" if ticket.exits else f"; the last {limits.kept_day} are kept for exits"
                return f"{self.orders_today} of today's {limits.per_day} orders are used up{kept}"
        if (
            ticket.call is Call.MODIFY
            and self.modifications[ticket.order] >= limits.modifications_per_order
        ):
            return (
                f"the order was modified {limits.modifications_per_order} times, the most Kite"
                " allows; cancel it and place another"
            )
        if self._stales(ticket) and at - ticket.asked_at > limits.entry_waits_max:
            waited_s = (at - ticket.asked_at) / SECOND
            return f"the entry waited {waited_s:.0f} s for a place among the orders a second"
        return ""

    def _stales(self, ticket: Ticket) -> bool:
        return ticket.call is Call.PLACE and not ticket.exits

    def _free_at(self, lane: Lane, ticket: Ticket, at: Instant) -> Instant:
        """When every counter has room for this call, as far as is known now."""
        limits = self.limits
        recent = self._recent[lane]
        if lane is Lane.QUOTE:
            return _room_at(self._ends(recent), limits.quote_per_second, at)
        if lane is Lane.HISTORICAL:
            return _room_at(self._ends(recent), limits.historical_per_second, at)
        changes = [each for each in self._recent[Lane.ORDERS] if each.call is not Call.PLACE]
        others = self._ends([*self._recent[Lane.READS], *changes])
        if lane is Lane.READS:
            return _room_at(others, limits.others_per_second - limits.kept_others, at)
        kept = not ticket.exits
        left = [each.sent_at + SECOND for each in recent if each.sent_at is not None]
        free = max(
            _room_at(left, limits.per_second - kept * limits.kept_second, at),
            _room_at(self._ends(recent), limits.broker_per_second - kept * limits.kept_second, at),
            _room_at(
                [sent_at + MINUTE for sent_at in self._minute],
                limits.per_minute - kept * limits.kept_minute,
                at,
            ),
        )
        if ticket.call is not Call.PLACE:
            free = max(free, _room_at(others, limits.others_per_second, at))
        return free

    def _ends(self, tickets: Sequence[Ticket]) -> list[Instant]:
        """Until when each may share a calendar second of the broker's with a call that leaves now."""
        return [self._arrived_by(ticket) + SECOND for ticket in tickets]

    def _arrived_by(self, ticket: Ticket) -> Instant:
        assert ticket.sent_at is not None
        latest = ticket.sent_at + self.limits.in_flight_max
        return latest if ticket.answered_at is None else min(ticket.answered_at, latest)

    def _count(self, lane: Lane, ticket: Ticket, at: Instant) -> None:
        ticket.sent_at = at
        self._recent[lane].append(ticket)
        if lane is not Lane.ORDERS:
            return
        self._minute.append(at)
        if ticket.call is Call.PLACE:
            self.orders_today += 1
        elif ticket.call is Call.MODIFY:
            self.modifications[ticket.order] += 1

    def _forget(self, at: Instant) -> None:
        for lane, recent in self._recent.items():
            self._recent[lane] = [each for each in recent if self._arrived_by(each) + SECOND > at]


def _exits_first(ticket: Ticket) -> tuple[bool, int]:
    return (not ticket.exits, ticket.number)


def _room_at(ends: Sequence[Instant], most: int, at: Instant) -> Instant:
    """When fewer than ``most`` of these still count. Each counts until its end."""
    if most <= 0:
        return NEVER  # All of it is kept for exits.
    counting = sorted(end for end in ends if end > at)
    if len(counting) < most:
        return at
    return counting[len(counting) - most]
