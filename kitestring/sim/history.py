"""The day's history by the exchange alone: operations on its wire, and its ledger played once more.

Nothing of the house is asked or imported: neither its journal, nor its orders, nor its arithmetic. An
operation is a new order as the wire saw it: invoked, then *ok* (an order number was told), *fail* (the
exchange itself refused), or *info* (nobody can know from the answer). The ledger is read as JSON and
replayed here, by rules of this file only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from kitestring.domain.instants import Instant
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.wire_ledger import Did, Heard, Line, Told

_REFUSED = 400


class Ending(StrEnum):
    """What the sender can know of an operation."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A new order on the wire."""

    n: int
    at: Instant
    tag: str
    ending: Ending
    told: tuple[str, ...]
    """Order numbers that the sender was told."""
    did: tuple[str, ...]
    """Order numbers that the exchange really gave."""
    refused: bool
    """Whether the exchange itself refused, each time it was asked."""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The account at a moment, in whole units of money."""

    cash: int
    realised: int
    cost: int
    """Of everything held; below zero for what is short."""
    net: Mapping[str, int]
    """Net quantities: ``EXCHANGE:SYMBOL/PRODUCT``."""


def card_of(exchange: LocalExchange) -> Card:
    """The account as the exchange's floor keeps it."""
    account = exchange.floor.account
    return Card(
        cash=int(account.cash),
        realised=int(account.realised),
        cost=sum(int(each.open_cost) for each in account.positions.values()),
        net={
            f"{name}/{product}": each.net_qty for (name, product), each in account.positions.items()
        },
    )


class Ordered(msgspec.Struct, kw_only=True):
    """An order of the ledger while it is played once more."""

    order_id: str
    tag: str
    """What its sender called it; empty for an order of nobody's program."""
    at: Instant
    key: str
    instrument: str
    sign: int
    qty: int
    kind: str
    filled: int = 0
    over: str = ""
    """How it ended."""


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """One trade."""

    at: Instant
    order: Ordered
    trade_id: str
    qty: int
    px: int

    @property
    def signed(self) -> int:
        """Bought above zero, sold below."""
        return self.order.sign * self.qty


class History:
    """Wire and ledger of a day. ``mistakes`` are strokes no exchange may make, found while replaying."""

    def __init__(
        self, lines: Sequence[Line], records: Sequence[bytes], before: Card, after: Card
    ) -> None:
        self.before, self.after = before, after
        self.operations = list(_operations(lines))
        self.orders: dict[str, Ordered] = {}
        self.placed: list[Ordered] = []
        self.trades: list[Traded] = []
        self.mistakes: list[tuple[Instant, str]] = []
        for record in records:
            for entry in json.loads(record)["entries"]:
                self._play(entry)

    def _play(self, entry: Mapping[str, object]) -> None:
        what, tag, at = str(entry["what"]), str(entry.get("tag", "")), _whole(entry, "at")
        if what == "PLACE":
            made = Ordered(
                order_id=tag,
                tag=str(entry.get("journey", "")),
                at=at,
                key=f"{entry['instrument']}/{entry['product']}",
                instrument=str(entry["instrument"]),
                sign=1 if entry["side"] == "BUY" else -1,
                qty=_whole(entry, "qty"),
                kind=str(entry["order_type"]),
            )
            if tag in self.orders:
                self.mistakes.append((at, f"the number {tag} was given twice"))
            self.orders[tag] = made
            self.placed.append(made)
            return
        order = self.orders.get(tag)
        if order is None:
            if what == "TRADE":
                self.mistakes.append((at, f"a trade of {tag}, which nobody placed"))
            return
        match what:
            case "TRADE":
                self._trade(order, entry, at)
            case "REPLACED":
                order.qty = _whole(entry, "qty") or order.qty
                order.kind = str(entry.get("order_type", "")) or order.kind
            case "CANCELED" | "REJECTED":
                if order.over:
                    self.mistakes.append((at, f"{tag} was {order.over} and is {what} now"))
                order.over = what
            case "NEW" | "TRIGGERED" if order.over:
                self.mistakes.append((at, f"{tag} was {order.over} and lives again"))
            case _:
                pass

    def _trade(self, order: Ordered, entry: Mapping[str, object], at: Instant) -> None:
        qty, trade_id = _whole(entry, "last_qty"), str(entry.get("trade_id", ""))
        if order.over:
            self.mistakes.append((at, f"{order.order_id} was {order.over} and traded {qty}"))
        if any(each.trade_id == trade_id for each in self.trades if each.order is order):
            self.mistakes.append((at, f"the trade {trade_id} happened twice"))
        order.filled += qty
        if qty <= 0 or order.filled > order.qty or order.filled != _whole(entry, "filled_qty"):
            told = _whole(entry, "filled_qty")
            self.mistakes.append(
                (at, f"{order.order_id}: {order.filled} of {order.qty} traded, {told} are told")
            )
        if order.filled >= order.qty:
            order.over = "COMPLETE"
        self.trades.append(
            Traded(at=at, order=order, trade_id=trade_id, qty=qty, px=_whole(entry, "last_px"))
        )

    def moved(self) -> dict[str, int]:
        """By how much the trades moved each position."""
        found: dict[str, int] = defaultdict(int)
        for trade in self.trades:
            found[trade.order.key] += trade.signed
        return found

    def walks(self) -> Iterator[tuple[Traded, int, int]]:
        """Every trade of a program's order with the net before and after it.

        Only of positions in which nobody but programs traded: elsewhere the net by their trades is not
        what they hold.
        """
        others = {order.key for order in self.placed if not order.tag}
        net: dict[str, int] = defaultdict(int)
        for trade in self.trades:
            key = trade.order.key
            if key in others:
                continue
            before = net[key]
            net[key] += trade.signed
            yield trade, before, net[key]


def _whole(entry: Mapping[str, object], name: str) -> int:
    found = entry.get(name, 0)
    assert isinstance(found, int), name
    return found


def _operations(lines: Sequence[Line]) -> Iterator[Operation]:
    did: dict[int, list[Did]] = defaultdict(list)
    told: dict[int, Told] = {}
    for line in lines:
        if isinstance(line, Did):
            did[line.n].append(line)
        elif isinstance(line, Told):
            told[line.n] = line
    for line in lines:
        if not isinstance(line, Heard) or line.method != "POST":
            continue
        if not line.path.startswith("/orders/"):
            continue
        truths, answer = did.get(line.n, []), told.get(line.n)
        refused = bool(truths) and all(each.status >= _REFUSED for each in truths)
        if answer is not None and answer.order_ids and answer.status < _REFUSED and not answer.how:
            ending = Ending.OK
        elif refused and answer is not None and not answer.faults:
            ending = Ending.FAIL
        else:
            ending = Ending.INFO
        yield Operation(
            n=line.n,
            at=line.at,
            tag=line.params.get("tag", ""),
            ending=ending,
            told=answer.order_ids if answer is not None else (),
            did=tuple(name for each in truths for name in each.order_ids),
            refused=refused,
        )
