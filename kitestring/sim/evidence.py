"""What is known of a simulated day afterwards: the exchange's record, the house's, and some moments.

The exchange's side is the truth: its ledger of every stroke, the rows of its order book, the record
of its wire. The house's side is its journal, read back from the disk. A moment is both at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec

from kitestring.domain.events import Fact
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import Instant
from kitestring.domain.ports import Commit
from kitestring.domain.verdicts import PlaceOrder
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.exchange.wire.faults import Strike
from kitestring.exchange.wire.wire_ledger import Line
from kitestring.sim.day_plan import DayPlan
from kitestring.sim.history import Card, History


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An order request that reached the exchange's door."""

    at: Instant
    method: str
    tag: str
    order_id: str
    durable: bool
    """Whether the intent was on disk by then; true of what is no new order."""
    status: int
    """What the exchange really answered, before any fault."""


class HouseOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the house had it at a moment."""

    tag: str
    status: str
    over: bool
    leaves: int
    filled: int
    is_exit: bool


class Instrumental(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy's position as the house had it at a moment."""

    strategy: str
    instrument: str
    net: int
    wants_stop: bool
    leaving: bool


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """House and exchange at one moment."""

    label: str
    at: Instant
    alive: bool
    books: tuple[Instrumental, ...]
    orders: tuple[HouseOrder, ...]
    account: Mapping[str, int]
    """The exchange's net quantities: ``EXCHANGE:SYMBOL/PRODUCT``."""
    realised: int = 0
    unrealised: int = 0
    charges: int = 0
    equity: int = 0
    marks: Mapping[str, int] = {}
    """The last prices the house values its positions at."""
    wants_snapshot: bool = False
    untrusted: str = ""
    """Why the house does not trust the broker's books, if it does not."""
    frozen: tuple[str, ...] = ()
    """Positions that the house has frozen, because nothing explains what the broker shows."""
    cells: Mapping[str, bytes] = {}


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one life of the house."""

    at: Instant
    why: str
    planned: bool


class RealOrder(msgspec.Struct, kw_only=True):
    """An order as it truly was at the exchange."""

    order_id: str
    owner: str
    """``ours``, ``person``, ``broker``."""
    tag: str
    instrument: str
    product: str
    side: int
    qty: int
    at: Instant
    seen_px: int
    strategy: str = ""
    purpose: str = ""
    filled: int = 0
    live: bool = True
    rejected: bool = False
    resting: bool = False


class Naked(msgspec.Struct, frozen=True, kw_only=True):
    """How long a position was open without the stop its strategy wanted."""

    at: Instant
    strategy: str
    instrument: str
    lasted: Instant


class Evidence(msgspec.Struct, kw_only=True, dict=True):
    """Everything a judge may look at."""

    plan: DayPlan
    sent: list[Sent]
    ledger: list[LedgerEntry]
    rows: list[dict[str, object]]
    """The exchange's order book at the end."""
    commits: list[tuple[int, Commit]]
    looks: list[Look]
    deaths: list[Death]
    strikes: list[Strike]
    halted_at: Instant | None
    restart_writes: int | None
    """Order requests of a house that was restarted although nothing had happened."""
    twice: tuple[dict[str, bytes], dict[str, bytes]] | None
    """The house's state recovered from its journal, two times."""
    journal_head: str
    foreign: Mapping[str, int]
    """What was in the account before the house came."""
    wire: list[Line] = []
    """The exchange's record of its wire."""
    records: list[bytes] = []
    """Its ledger, line by line, as it was written."""
    cards: tuple[Card, Card] = (Card(cash=0, realised=0, cost=0, net={}),) * 2
    """The account before the first order and after the last."""
    naked: tuple[Naked, ...] = ()
    steps: int = 0
    """How many were looked at while the day was lived."""
    stopped_by: tuple[tuple[str, Instant, str], ...] = ()
    """The promises that a step broke, at which the day was ended: promise, moment, sentence."""
    recovered_s: float | None = None
    """How long after the last fault the house was in order; ``None`` if it never was."""
    broke: str = ""
    """How the house ended, where it did not end as a day ends."""
    ended: bool = False
    market_events: int = 0

    @cached_property
    def history(self) -> History:
        """The day by the exchange alone."""
        return History(self.wire, self.records, *self.cards)

    def facts(self) -> Iterator[tuple[Instant, Fact]]:
        """What the house recorded, in order."""
        for _, commit in self.commits:
            for fact in commit.facts:
                yield commit.at, fact

    @cached_property
    def placed(self) -> dict[str, PlaceOrder]:
        """The house's own orders by tag."""
        return {fact.cl_ord_id: fact for _, fact in self.facts() if isinstance(fact, PlaceOrder)}

    @cached_property
    def real(self) -> dict[str, RealOrder]:
        """Every order the floor ever had, as it began."""
        rows = {str(row["order_id"]): row for row in self.rows}
        found: dict[str, RealOrder] = {}
        for entry in self.ledger:
            if entry.what is not What.PLACE:
                continue
            row = rows.get(entry.tag, {})
            tag = str(row.get("tag") or "")
            command = self.placed.get(ClOrdId(tag))
            owner = "ours" if tag else "person"
            if row.get("placed_by") == "RMS" or entry.origin:
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

    def strokes(self) -> Iterator[tuple[LedgerEntry, RealOrder]]:
        """The exchange's day once more, each order brought up to date before it is shown."""
        orders = {name: msgspec.structs.replace(order) for name, order in self.real.items()}
        for entry in self.ledger:
            order = orders.get(entry.tag)
            if order is None:
                continue
            match entry.what:
                case What.NEW:
                    order.resting = True
                case What.TRADE:
                    order.filled += entry.last_qty
                    order.live = order.filled < order.qty
                case What.REPLACED:
                    order.qty = entry.qty
                case What.CANCELED:
                    order.live = False
                case What.REJECTED:
                    order.live, order.rejected = False, True
                case _:
                    pass
            yield entry, order

    def trades(self, owner: str = "ours") -> Iterator[tuple[LedgerEntry, RealOrder]]:
        """What traded, in order."""
        for entry, order in self.strokes():
            if entry.what is What.TRADE and order.owner == owner:
                yield entry, order
