"""What is looked at after every single step: each stroke of the exchange's ledger, each commit of ours.

The cheap promises only; the first that breaks ends the day there, so that its story is short. Beside
them stands the clock of naked positions: how long each was open at the exchange with less than its
size in exits working there, although its strategy wanted a stop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from kitestring.core.trading_core import TradingCore
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.orders import Order, Purpose
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import PlaceOrder
from kitestring.exchange.ledger import LedgerEntry, MemoryLedger, What, read_entries
from kitestring.sim.evidence import Naked

_EXITS: Final = (Purpose.EXIT, Purpose.STOP)
_GRACE: Final = 2 * SECOND
"""What was on its way when a halt began may still arrive so long."""
_SLOW_GRACE: Final = 62 * SECOND
"""The same on a day whose lines or requests are slow."""
_Place = tuple[str, str]
"""A strategy and its instrument."""


class Working(msgspec.Struct, kw_only=True):
    """An order of ours at the exchange."""

    tag: str
    place: _Place
    purpose: Purpose
    sign: int
    qty: int
    filled: int = 0
    resting: bool = False
    over: bool = False


class StepWatch:
    """Hears every step. ``broke`` is done at the first that breaks a promise."""

    def __init__(self, core: Callable[[], TradingCore | None], *, slow: bool) -> None:
        self.found: list[tuple[str, Instant, str]] = []
        self.naked: list[Naked] = []
        self.steps = 0
        self.halted_at: Instant | None = None
        self.broke = asyncio.Event()
        self._core = core
        self.grace = _SLOW_GRACE if slow else _GRACE
        self._intents: dict[str, PlaceOrder] = {}
        self._orders: dict[str, Working] = {}
        self._tags: set[str] = set()
        self._net: dict[_Place, int] = defaultdict(int)
        self._booked: Counter[str] = Counter()
        self._cells: dict[str, tuple[int, bool]] = {}
        self._bare_since: dict[_Place, tuple[Instant, int]] = {}
        """Since when, and on which side."""
        self._wanted: set[_Place] = set()
        self._decode = msgspec.msgpack.Decoder(Order).decode

    # ── the exchange's strokes ───────────────────────────────────────────────────────────────

    def stroke(self, record: bytes) -> None:
        """The exchange has written a line."""
        self.steps += 1
        for entry in read_entries((record,)):
            if entry.what is What.PLACE:
                self._placed(entry)
            elif (order := self._orders.get(entry.tag)) is not None:
                self._moved(order, entry)
                self._look_bare(order.place, entry.at)

    def _placed(self, entry: LedgerEntry) -> None:
        tag = entry.journey
        command = self._intents.get(tag)
        if tag and tag in self._tags:
            self._break("I2 at most one", entry.at, f"the exchange has two orders of {tag}")
            return
        if not tag:
            return
        self._tags.add(tag)
        if command is None:
            self._break("I1 intent before send", entry.at, f"{tag} is at the exchange, on no disk")
            return
        intent = command.intent
        self._orders[entry.tag] = Working(
            tag=tag,
            place=(intent.strategy, intent.instrument),
            purpose=intent.purpose,
            sign=intent.side.sign,
            qty=entry.qty,
        )
        halted = self.halted_at
        if (
            halted is not None
            and intent.purpose is Purpose.ENTRY
            and entry.at > halted + self.grace
        ):
            self._break("I15 a halt holds", entry.at, f"the entry {tag} was sent after the halt")

    def _moved(self, order: Working, entry: LedgerEntry) -> None:
        if entry.what is What.NEW:
            order.resting = True
        elif entry.what is What.REPLACED:
            order.qty = entry.qty
        elif entry.what in (What.CANCELED, What.REJECTED):
            order.over = True
        elif entry.what is What.TRADE:
            before = self._net[order.place]
            after = self._net[order.place] = before + order.sign * entry.last_qty
            order.filled += entry.last_qty
            if order.filled > order.qty or order.over or order.filled != entry.filled_qty:
                self._break(
                    "I5 once over always over",
                    entry.at,
                    f"{order.filled} of {order.qty} of {order.tag} have traded",
                )
            order.over = order.filled >= order.qty
            if order.purpose in _EXITS and abs(after) != abs(before) - entry.last_qty:
                self._break(
                    "I11 exits only reduce",
                    entry.at,
                    f"the {order.purpose.lower()} {order.tag} of {order.place[0]} took"
                    f" {order.place[1]} from {before:+d} to {after:+d}",
                )

    # ── the house's commits ──────────────────────────────────────────────────────────────────

    def intends(self, commit: Commit) -> None:
        """A commit is about to be written: what it sends may arrive at once."""
        for fact in commit.facts:
            if isinstance(fact, PlaceOrder):
                self._intents[fact.cl_ord_id] = fact

    def committed(self, commit: Commit) -> None:
        """The house has written a commit."""
        self.steps += 1
        traded: Counter[str] = Counter()
        for order in self._orders.values():
            traded[order.tag] += order.filled
        for fact in commit.facts:
            if not isinstance(fact, Fill):
                continue
            place = (str(fact.strategy), str(fact.instrument))
            if fact.cl_ord_id not in self._intents:  # Of ours, by another's hand.
                self._net[place] += fact.side.sign * fact.qty
                self._look_bare(place, commit.at)
                continue
            self._booked[fact.cl_ord_id] += fact.qty
            if self._booked[fact.cl_ord_id] > traded[fact.cl_ord_id]:
                self._break(
                    "I6 filled once",
                    commit.at,
                    f"{self._booked[fact.cl_ord_id]} of {fact.cl_ord_id} are booked,"
                    f" {traded[fact.cl_ord_id]} have traded",
                )
        self._cells_grow(commit)
        core = self._core()
        if core is not None:
            for book in core.portfolio.books.values():
                if book.trade is not None and book.trade.stop_px is not None:
                    self._wanted.add((book.strategy, book.instrument))

    def _cells_grow(self, commit: Commit) -> None:
        for key, cell in commit.cells.items():
            if not key.startswith("order/") or cell is None:
                continue
            order = self._decode(cell)
            filled, over = self._cells.get(key, (0, False))
            if order.cum_qty < filled or (over and not order.status.terminal):
                self._break(
                    "I5 once over always over",
                    commit.at,
                    f"{order.cl_ord_id} had {filled} filled and has {order.cum_qty}, {order.status}",
                )
            self._cells[key] = (order.cum_qty, order.status.terminal)

    # ── naked positions ──────────────────────────────────────────────────────────────────────

    def _look_bare(self, place: _Place, at: Instant) -> None:
        net = self._net[place]
        covered = sum(
            order.qty - order.filled
            for order in self._orders.values()
            if order.place == place
            and order.purpose in _EXITS
            and order.resting
            and not order.over
            and order.sign * net < 0
        )
        bare = bool(net) and covered < abs(net)
        since, sign = self._bare_since.get(place, (at, 0))
        if sign and (not bare or sign * net < 0):  # Covered, flat, or another position altogether.
            del self._bare_since[place]
            if place in self._wanted:
                self.naked.append(
                    Naked(at=since, strategy=place[0], instrument=place[1], lasted=at - since)
                )
        if bare and place not in self._bare_since:
            self._bare_since[place] = (at, 1 if net > 0 else -1)
            self._wanted.discard(place)

    def _break(self, promise: str, at: Instant, sentence: str) -> None:
        self.found.append((promise, at, sentence))
        self.broke.set()


class WatchedLedger(MemoryLedger):
    """The exchange's ledger, each line of which is looked at as it is written."""

    __slots__ = ("_hear",)

    def __init__(self, hear: Callable[[bytes], None], records: Iterable[bytes] = ()) -> None:
        super().__init__(records)
        self._hear = hear

    def append(self, record: bytes) -> None:
        """Keep one line."""
        super().append(record)
        self._hear(record)
