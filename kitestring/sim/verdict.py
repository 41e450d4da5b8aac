"""Whether a live day did what its record says, and nothing else: judged by the exchange's own books.

The engine's opinion of itself is no evidence here. Orders, trades, positions and holdings come from
the exchange, and so does the record of the wire; the run's journal is held against them. What is found
is told as sentences that name the order, and an empty list is the verdict everybody wants.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self

import msgspec

from kitestring.domain.events import DaySealed, Fact
from kitestring.domain.money import Money, price, show_rupees
from kitestring.domain.positions import Fill
from kitestring.exchange.wire.wire_ledger import Did, Heard, Line
from kitestring.store.order_rows import OrderRow, OrderRows

_OVER: Final = frozenset({"COMPLETE", "CANCELLED", "REJECTED"})


class Fault(StrEnum):
    """What may be wrong with a day."""

    TWICE = "an order twice"
    NOT_IN_JOURNAL = "an order the journal does not know"
    NOT_AT_EXCHANGE = "an order the exchange does not know"
    NOT_ON_DISK = "sent before it was on disk"
    RESENT = "sent a second time"
    FILLS = "fills differ"
    MONEY = "money differs"
    NOT_FLAT = "not flat"
    WORKING = "left working"
    FOREIGN = "a foreign position was touched"
    HOLDINGS = "a holding was touched"
    UNKNOWN = "an order nobody knows the end of"
    NOT_SEALED = "the day was not finished"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    fault: Fault
    sentence: str


class ToldOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the exchange's order book."""

    order_id: str
    status: str
    exchange: str
    tradingsymbol: str
    transaction_type: str
    quantity: int
    filled_quantity: int
    tag: str | None = None


class ToldTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A row of its trade book."""

    trade_id: str
    order_id: str
    exchange: str
    tradingsymbol: str
    product: str
    transaction_type: str
    quantity: int
    average_price: Decimal

    @property
    def value(self) -> int:
        """Quantity × price in units of money, without any multiplier."""
        return self.quantity * int(price(str(self.average_price)))

    @property
    def signed(self) -> int:
        """The quantity, below zero for a sale."""
        return self.quantity if self.transaction_type == "BUY" else -self.quantity


class ToldPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A net position."""

    exchange: str
    tradingsymbol: str
    product: str
    quantity: int
    overnight_quantity: int

    @property
    def key(self) -> str:
        """``NFO:NIFTY26NOVFUT MIS``."""
        return f"{self.exchange}:{self.tradingsymbol} {self.product}"


class ToldHolding(msgspec.Struct, frozen=True, kw_only=True):
    """Shares held, in the figures that an order could change."""

    exchange: str
    tradingsymbol: str
    quantity: int
    used_quantity: int
    t1_quantity: int
    collateral_quantity: int
    average_price: Decimal


class _Positions(msgspec.Struct):
    net: tuple[ToldPosition, ...]


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the exchange shows of an account at one moment."""

    orders: tuple[ToldOrder, ...] = ()
    trades: tuple[ToldTrade, ...] = ()
    positions: tuple[ToldPosition, ...] = ()
    holdings: tuple[ToldHolding, ...] = ()

    @classmethod
    def told(cls, orders: object, trades: object, positions: object, holdings: object) -> Self:
        """From the answers of the exchange's routes, as JSON."""
        whole = msgspec.convert(positions, _Positions)
        return cls(
            orders=msgspec.convert(orders, tuple[ToldOrder, ...]),
            trades=msgspec.convert(trades, tuple[ToldTrade, ...], strict=False),
            # What was opened and closed again today is no position any more.
            positions=tuple(row for row in whole.net if row.quantity or row.overnight_quantity),
            holdings=msgspec.convert(holdings, tuple[ToldHolding, ...], strict=False),
        )


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted on the way, for a person."""

    orders: int
    fills: int
    turnover: int
    refused: int
    intents_seen: int
    """Orders whose intent the exchange found on disk when the order came in."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; nothing found is good."""

    findings: tuple[Finding, ...]
    figures: Figures

    @property
    def holds(self) -> bool:
        """Whether nothing at all is wrong."""
        return not self.findings


def judge(
    facts: Sequence[Fact],
    *,
    before: Books,
    after: Books,
    wire: Iterable[Line],
    flat: bool = True,
    sealed: bool = True,
) -> Verdict:
    """Hold one day's journal against the exchange.

    ``flat``: nothing of ours may be open or working any more; ``sealed``: the day went to its end.
    """
    lines = list(wire)
    rows = OrderRows()
    rows.record(facts)
    ours = [order for order in after.orders if order.tag]
    findings = [
        *_identity(rows.rows, ours),
        *_wire(lines, rows.rows),
        *_fills(facts, ours, after.trades, () if flat else _open_at_the_end(rows.rows)),
        *_untouched(before, after, ours),
    ]
    if flat:
        findings += _over(rows.rows, ours, after.trades)
    if sealed:
        findings += _sealed(facts, ours, after.trades)
    traded = {order.order_id for order in ours}
    figures = Figures(
        orders=len(ours),
        fills=sum(isinstance(fact, Fill) for fact in facts),
        turnover=sum(trade.value for trade in after.trades if trade.order_id in traded),
        refused=sum(order.status == "REJECTED" for order in ours),
        intents_seen=sum(isinstance(each, Heard) and each.intended is True for each in lines),
    )
    return Verdict(findings=tuple(findings), figures=figures)


# ── each order once ──────────────────────────────────────────────────────────────────────────


def _identity(rows: dict[str, OrderRow], ours: Sequence[ToldOrder]) -> Iterable[Finding]:
    """Every order with a tag is in the journal once, and the journal invents none."""
    tags = Counter(order.tag or "" for order in ours)
    for tag, count in tags.items():
        if count > 1:
            yield Finding(Fault.TWICE, f"{tag} stands {count} times in the exchange's order book.")
        if tag not in rows:
            yield Finding(Fault.NOT_IN_JOURNAL, f"{tag} is at the exchange and not in the journal.")
    for tag, row in rows.items():
        if tag not in tags and (row.cum_qty or row.order_id):
            yield Finding(
                Fault.NOT_AT_EXCHANGE,
                f"{tag} is {row.status} with {row.cum_qty} filled in the journal, and the exchange"
                " has never had it.",
            )


def _wire(lines: Sequence[Line], rows: dict[str, OrderRow]) -> Iterable[Finding]:
    """No tag was sent twice, none before its intent was on disk; what took effect did so once."""
    sent: Counter[str] = Counter()
    tag_of: dict[int, str] = {}
    for line in lines:
        if isinstance(line, Heard) and line.method == "POST" and line.path.startswith("/orders/"):
            tag = line.params.get("tag", "")
            sent[tag] += 1
            tag_of[line.n] = tag
            if line.intended is False:
                yield Finding(
                    Fault.NOT_ON_DISK, f"{tag} came in at {line.ist} before its journal knew of it."
                )
            if tag not in rows:
                yield Finding(Fault.NOT_IN_JOURNAL, f"{tag or 'An order without a tag'} was sent.")
    for tag, count in sent.items():
        if tag and count > 1:
            yield Finding(Fault.RESENT, f"{tag} was sent {count} times.")
    effects: defaultdict[str, set[str]] = defaultdict(set)
    for line in lines:
        if isinstance(line, Did) and line.n in tag_of:
            effects[tag_of[line.n]] |= set(line.order_ids)
    for tag, order_ids in effects.items():
        if len(order_ids) > 1:
            yield Finding(Fault.TWICE, f"{tag} became {len(order_ids)} orders on the wire.")


# ── fills and money ──────────────────────────────────────────────────────────────────────────


def _open_at_the_end(rows: dict[str, OrderRow]) -> Collection[str]:
    """Orders the house left alive when it was stopped: they may trade after it has gone."""
    return [tag for tag, row in rows.items() if not row.status.terminal]


def _fills(
    facts: Iterable[Fact],
    ours: Sequence[ToldOrder],
    trades: Iterable[ToldTrade],
    left: Collection[str],
) -> Iterable[Finding]:
    """Order by order: the same quantity for the same money, and no fill booked twice.

    Of an order that was ``left`` alive the journal may know less than the exchange, never more.
    """
    tag_of = {order.order_id: order.tag or "" for order in ours}
    theirs: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for trade in trades:
        if trade.order_id in tag_of:
            told = theirs[tag_of[trade.order_id]]
            told[0] += trade.signed
            told[1] += trade.value
    booked: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    seen: Counter[str] = Counter()
    for fact in facts:
        if isinstance(fact, Fill):
            seen[fact.fill_id] += 1
            row = booked[fact.cl_ord_id]
            row[0] += fact.side.sign * fact.qty
            row[1] += fact.qty * int(fact.px)
    for fill_id, count in seen.items():
        if count > 1:
            yield Finding(Fault.FILLS, f"Fill {fill_id} was booked {count} times.")
    for tag in sorted({*theirs, *booked}):
        their_qty, their_value = theirs[tag]
        our_qty, our_value = booked[tag]
        if tag in left and abs(our_qty) < abs(their_qty):
            continue
        if their_qty != our_qty:
            yield Finding(
                Fault.FILLS, f"{tag}: {their_qty:+d} traded, {our_qty:+d} in the journal."
            )
        elif their_value != our_value:
            yield Finding(
                Fault.MONEY,
                f"{tag}: {show_rupees(Money(their_value))} traded, {show_rupees(Money(our_value))} in the journal.",
            )


def _sealed(
    facts: Iterable[Fact], ours: Sequence[ToldOrder], trades: Iterable[ToldTrade]
) -> Iterable[Finding]:
    """The day is sealed, and its result before charges is that of the exchange's trades."""
    sealed = [fact for fact in facts if isinstance(fact, DaySealed)]
    if len(sealed) != 1:
        yield Finding(Fault.NOT_SEALED, f"The journal holds {len(sealed)} ends of the day.")
        return
    mine = {order.order_id for order in ours}
    result = -sum(
        trade.value if trade.signed > 0 else -trade.value
        for trade in trades
        if trade.order_id in mine
    )
    if result != sealed[0].realised and not sealed[0].carried:
        yield Finding(
            Fault.MONEY,
            f"The exchange's trades come to {show_rupees(Money(result))}, the journal's day to"
            f" {show_rupees(Money(sealed[0].realised))}.",
        )


# ── what must not be touched, and what must be over ──────────────────────────────────────────


def _untouched(before: Books, after: Books, ours: Sequence[ToldOrder]) -> Iterable[Finding]:
    """Positions are what they were plus exactly our trades; holdings are what they were."""
    mine = {order.order_id for order in ours}
    moved: Counter[str] = Counter()
    for trade in after.trades:
        if trade.order_id in mine:
            moved[f"{trade.exchange}:{trade.tradingsymbol} {trade.product}"] += trade.signed
    was = {position.key: position.quantity for position in before.positions}
    now = {position.key: position.quantity for position in after.positions}
    for key in sorted({*was, *now, *moved}):
        expected = was.get(key, 0) + moved[key]
        if now.get(key, 0) != expected:
            yield Finding(
                Fault.FOREIGN,
                f"{key}: {was.get(key, 0):+d} before, {moved[key]:+d} of ours, and now"
                f" {now.get(key, 0):+d}.",
            )
    held = {(each.exchange, each.tradingsymbol): each for each in before.holdings}
    holds = {(each.exchange, each.tradingsymbol): each for each in after.holdings}
    for name in sorted({*held, *holds}):
        if held.get(name) != holds.get(name):
            yield Finding(
                Fault.HOLDINGS, f"{':'.join(name)}: {held.get(name)} became {holds.get(name)}."
            )


def _over(
    rows: dict[str, OrderRow], ours: Sequence[ToldOrder], trades: Iterable[ToldTrade]
) -> Iterable[Finding]:
    """Nothing of ours is open, works, or has an end that nobody knows."""
    mine = {order.order_id for order in ours}
    net: Counter[str] = Counter()
    for trade in trades:
        if trade.order_id in mine:
            net[f"{trade.exchange}:{trade.tradingsymbol} {trade.product}"] += trade.signed
    for key, left in net.items():
        if left:
            yield Finding(Fault.NOT_FLAT, f"{key}: {left:+d} of ours are still open.")
    for order in ours:
        if order.status not in _OVER:
            yield Finding(Fault.WORKING, f"{order.tag} is {order.status} at the exchange.")
    for tag, row in rows.items():
        if not row.status.terminal:
            yield Finding(Fault.UNKNOWN, f"{tag} is {row.status} in the journal.")
