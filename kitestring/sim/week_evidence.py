"""What is known of a simulated week afterwards: of each day both records, of each night what it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec

from kitestring.domain.events import DayOpening, DaySealed, Fact
from kitestring.domain.ids import is_ours
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.ports import Commit
from kitestring.domain.verdicts import PlaceOrder
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.exchange.overnight import Night
from kitestring.exchange.wire.faults import Strike
from kitestring.sim.evidence import Death, RealOrder, Sent
from kitestring.sim.week_plan import WeekDay, WeekPlan


class BookThen(msgspec.Struct, frozen=True, kw_only=True):
    """One book of the house at a moment."""

    strategy: str
    instrument: str
    product: str
    net: int
    stop_px: int | None
    leaving: bool
    kept_out: str
    """Why the house sends nothing for it: frozen, or left to a stop at the broker."""

    @property
    def key(self) -> str:
        """The broker's name of it."""
        return f"{self.instrument}/{self.product}"


class TriggerThen(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger that waits at the exchange."""

    number: int
    key: str
    side: int
    qty: int


class WeekLook(msgspec.Struct, frozen=True, kw_only=True):
    """House and exchange at one moment of a day."""

    label: str
    at: Instant
    alive: bool
    books: tuple[BookThen, ...]
    frozen: tuple[str, ...]
    """Keys that nothing explains."""
    account: Mapping[str, int]
    """What the account owns: positions, and shares of the demat account."""
    triggers: tuple[TriggerThen, ...]
    resting: tuple[tuple[str, str, int, int], ...]
    """Orders that work: tag or order id, key, side, quantity that waits."""
    halted: str = ""
    untrusted: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One journal of a day."""

    name: str
    commits: tuple[tuple[int, Commit], ...]
    head: str
    damage: str = ""
    replay: str = ""
    """Where its replay differs from it."""

    def facts(self) -> Iterator[tuple[Instant, Fact]]:
        """What it recorded, in order."""
        for _, commit in self.commits:
            for fact in commit.facts:
                yield commit.at, fact

    @property
    def sealed(self) -> DaySealed | None:
        """How it ended."""
        return next((f for _, f in self.facts() if isinstance(f, DaySealed)), None)

    @property
    def opening(self) -> DayOpening | None:
        """What it began with."""
        return next((f for _, f in self.facts() if isinstance(f, DayOpening)), None)


class DayOfWeek(msgspec.Struct, kw_only=True, dict=True):
    """One day's two records."""

    day: WeekDay
    listed: Mapping[str, Instrument]
    sent: list[Sent]
    ledger: list[LedgerEntry]
    rows: list[dict[str, object]]
    fired: dict[str, str]
    """Orders that triggers have sent: order id to the key of the position."""
    runs: tuple[Run, ...]
    looks: list[WeekLook]
    samples: list[WeekLook]
    deaths: list[Death]
    strikes: list[Strike]
    typed: list[Instant]
    starts: list[Instant]
    """When the house was started."""
    halts: list[tuple[Instant, str]]
    """HALT written and lifted: when, and by whom, or ``lifted``."""
    refused: list[str]
    """What the person was shown when the house would not start."""
    loosened: bool = False
    """The house started with looser settings than the day began with."""
    night: Night
    closes: Mapping[str, int]
    """The last prices."""
    sealed: bool
    events: int
    stopped_at: Instant | None = None
    """When the house was left for the rest of the day, by the person or by the machine."""

    def facts(self) -> Iterator[tuple[Instant, Fact]]:
        """What the house recorded today, in order."""
        for run in self.runs:
            yield from run.facts()

    @cached_property
    def placed(self) -> dict[str, PlaceOrder]:
        """The house's own orders of today by tag."""
        return {fact.cl_ord_id: fact for _, fact in self.facts() if isinstance(fact, PlaceOrder)}

    @cached_property
    def real(self) -> dict[str, RealOrder]:
        """Every order of today at the exchange, as it began. Owners: ours, stop, broker, person."""
        rows = {str(row["order_id"]): row for row in self.rows}
        found: dict[str, RealOrder] = {}
        for entry in self.ledger:
            if entry.what is not What.PLACE:
                continue
            row = rows.get(entry.tag, {})
            tag = str(row.get("tag") or "")
            command = self.placed.get(tag)
            owner = "ours" if is_ours(tag) else "guard" if tag else "person"
            if entry.tag in self.fired:
                owner = "stop"
            elif row.get("placed_by") == "RMS" or entry.origin:
                owner = "broker"
            found[entry.tag] = RealOrder(
                order_id=entry.tag,
                owner=owner,
                tag=tag,
                instrument=entry.instrument,
                product=entry.product,
                side=1 if entry.side == "BUY" else -1,
                qty=entry.qty,
                at=entry.at,
                seen_px=entry.seen_px,
                strategy=command.intent.strategy if command else "",
                purpose=str(command.intent.purpose) if command else "",
            )
        return found

    def trades(self) -> Iterator[tuple[LedgerEntry, RealOrder]]:
        """What traded today, in order."""
        for entry in self.ledger:
            if entry.what is What.TRADE and entry.tag in self.real:
                yield entry, self.real[entry.tag]

    def last(self, label: str) -> WeekLook | None:
        """The look of that name."""
        return next((look for look in reversed(self.looks) if look.label == label), None)


class WeekEvidence(msgspec.Struct, kw_only=True):
    """Everything a judge of a week may look at."""

    plan: WeekPlan
    days: list[DayOfWeek]
    foreign: Mapping[str, int]
    """What others brought into the account."""

    @property
    def orders(self) -> int:
        """Orders of the house at the exchange."""
        return sum(order.owner == "ours" for day in self.days for order in day.real.values())

    @property
    def fills(self) -> int:
        """Trades of the house's orders."""
        return sum(order.owner == "ours" for day in self.days for _, order in day.trades())
