"""A broker that keeps to the protocol and makes the most of it, with a ledger of its own.

It fills in parts, answers late, tells things twice and in the wrong order, refuses orders, changes
and cancels, cancels unasked, and does not answer at once what became of an order. It never loses a
report and never lies: what it says happened is in its ``ledger``, which judges the house. Chance is
a hash of the seed and of what it names.
"""

from __future__ import annotations

import hashlib
import heapq
from typing import NamedTuple

import msgspec

from kitestring.domain.events import BrokerOrderRow, BrokerSnapshot
from kitestring.domain.instants import NEVER
from kitestring.domain.money import Price
from kitestring.domain.orders import ExecType, ExecutionReport, OrdStatus, OrdType, Purpose, Side
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder


def draw(seed: int, *name: object) -> int:
    """An even draw from 0 to 9 999."""
    text = f"{seed}|{'|'.join(map(str, name))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % 10_000


class Mood(NamedTuple):
    """Percentages; delays in milliseconds."""

    refuses: int = 0
    refuses_stops: int = 0
    refuses_changes: int = 0
    refuses_cancels: int = 0
    partial: int = 0
    cancels_unasked: int = 0
    unknown: int = 0
    repeats: int = 0
    shuffles: int = 0
    delay_ms: int = 200


CALM = Mood()


class LedgerFill(NamedTuple):
    at: int
    tag: str
    strategy: str
    purpose: Purpose
    side: Side
    qty: int
    px: int
    net_before: int
    """Of the strategy's position in the broker's own books."""
    net_after: int


class _Order(msgspec.Struct, kw_only=True):
    tag: str
    order_id: str
    strategy: str
    instrument: str
    product: str
    purpose: Purpose
    side: Side
    qty: int
    ord_type: OrdType
    price: int | None
    stop_px: int | None
    status: OrdStatus = OrdStatus.NEW
    waits: bool = False
    """A stop that has not been triggered."""
    filled: int = 0
    trades: int = 0
    said: int = 0

    @property
    def leaves(self) -> int:
        return self.qty - self.filled

    @property
    def live(self) -> bool:
        return not self.status.terminal


class UnrulyBroker:
    """A ``Broker``. ``calm_from`` is the feed position from which it behaves."""

    def __init__(self, lots, *, seed=0, mood=CALM, calm_from=1 << 60):
        self.ledger: list[LedgerFill] = []
        self.commands: list[tuple[int, object]] = []
        self.orders: dict[str, _Order] = {}
        self.net: dict[str, int] = {}
        self._lots = lots
        self._seed = seed
        self._wild = mood
        self._calm_from = calm_from
        self._position = 0
        self._now = 0
        self._last: dict[str, int] = {}
        self._due: list[tuple[int, int, ExecutionReport]] = []
        self._told = 0
        self._order_told_at: dict[str, int] = {}

    @property
    def _mood(self) -> Mood:
        return CALM if self._position >= self._calm_from else self._wild

    @property
    def next_due_at(self):
        return self._due[0][0] if self._due else NEVER

    def _chance(self, percent, *name) -> bool:
        return percent > 0 and draw(self._seed, *name) < percent * 100

    def carry_out(self, command, at):
        self._now = max(self._now, at)
        self.commands.append((at, command))
        match command:
            case PlaceOrder():
                self._place(command)
            case ModifyOrder():
                self._modify(command)
            case CancelOrder():
                self._cancel(command)

    def _place(self, command):
        tag, intent = command.cl_ord_id, command.intent
        if tag in self.orders:
            return
        order = self.orders[tag] = _Order(
            tag=tag,
            order_id=f"B{len(self.orders) + 1:06d}",
            strategy=intent.strategy,
            instrument=intent.instrument,
            product=intent.product.value,
            purpose=intent.purpose,
            side=intent.side,
            qty=intent.order_qty,
            ord_type=intent.ord_type,
            price=None if intent.price is None else int(intent.price),
            stop_px=None if intent.stop_px is None else int(intent.stop_px),
            waits=intent.ord_type is OrdType.SL,
        )
        mood = self._mood
        if self._chance(mood.unknown, tag, "unknown"):
            self._tell(order, ExecType.UNKNOWN)
        stop = intent.purpose is Purpose.STOP
        if self._chance(mood.refuses_stops if stop else mood.refuses, tag, "refuse"):
            order.status = OrdStatus.REJECTED
            self._tell(order, ExecType.REJECTED, text="the broker's risk desk says no")
            return
        self._tell(order, ExecType.NEW)
        if not order.waits:
            self._match(order)
            if order.live and self._chance(mood.cancels_unasked, tag, "cancel"):
                order.status = OrdStatus.CANCELED
                self._tell(order, ExecType.CANCELED, text="cancelled by the exchange")

    def _modify(self, command):
        order = self.orders[command.cl_ord_id]
        if not order.live or self._chance(
            self._mood.refuses_changes, order.tag, "modify", order.said
        ):
            self._tell(order, ExecType.REPLACE_REJECTED, text="not changed")
            return
        if command.order_qty is not None:
            if command.order_qty <= order.filled:
                self._tell(order, ExecType.REPLACE_REJECTED, text="already filled that far")
                return
            order.qty = command.order_qty
        if command.ord_type is not None:
            order.ord_type = command.ord_type
        if command.price is not None:
            order.price = int(command.price)
        if command.stop_px is not None:
            order.stop_px = int(command.stop_px)
        self._tell(order, ExecType.REPLACED)
        if not order.waits:
            self._match(order)

    def _cancel(self, command):
        order = self.orders[command.cl_ord_id]
        if not order.live or self._chance(
            self._mood.refuses_cancels, order.tag, "cancel", order.said
        ):
            self._tell(order, ExecType.CANCEL_REJECTED, text="not cancelled")
            return
        order.status = OrdStatus.CANCELED
        self._tell(order, ExecType.CANCELED)

    def observe(self, position, frame):
        self._position = position
        self._now = max(self._now, frame.received_at)
        for tick in frame.ticks:
            px = self._last[tick.instrument] = int(tick.last_px)
            for order in list(self.orders.values()):
                if order.instrument != tick.instrument or not order.live:
                    continue
                if order.waits:
                    if (order.side is Side.SELL and px > order.stop_px) or (
                        order.side is Side.BUY and px < order.stop_px
                    ):
                        continue
                    order.waits = False
                    self._tell(order, ExecType.TRIGGERED)
                    if self._chance(self._mood.refuses_stops, order.tag, "release"):
                        order.status = OrdStatus.REJECTED
                        self._tell(order, ExecType.REJECTED, text="its limit is out of range")
                        continue
                self._match(order)

    def _match(self, order):
        px = self._last.get(order.instrument)
        if px is None or not order.live:
            return
        if order.price is not None and (
            px > order.price if order.side is Side.BUY else px < order.price
        ):
            return
        lot = self._lots[order.instrument]
        qty = order.leaves
        if self._chance(self._mood.partial, order.tag, "part", order.said, self._position):
            parts = qty // lot
            qty = draw(self._seed, order.tag, "size", order.said) % (parts + 1) * lot
        # Two pieces at once, now and then, so that one may overtake the other.
        pieces = [qty]
        if qty >= 2 * lot and self._chance(self._mood.partial, order.tag, "two", order.said):
            pieces = [lot, qty - lot]
        for piece in pieces:
            if piece:
                self._fill(order, piece, px)

    def _fill(self, order, qty, px):
        signed = qty * order.side.sign
        before = self.net.get(order.strategy, 0)
        self.net[order.strategy] = before + signed
        self.ledger.append(
            LedgerFill(
                self._now,
                order.tag,
                order.strategy,
                order.purpose,
                order.side,
                qty,
                px,
                before,
                before + signed,
            )
        )
        order.filled += qty
        order.trades += 1
        if order.leaves == 0:
            order.status = OrdStatus.FILLED
        self._tell(order, ExecType.TRADE, qty=qty, px=px)

    def _tell(self, order, exec_type, *, qty=0, px=0, text=""):
        order.said += 1
        trade = exec_type is ExecType.TRADE
        report = ExecutionReport(
            cl_ord_id=order.tag,
            exec_type=exec_type,
            event_at=self._now,
            order_id=order.order_id,
            exec_id=f"{order.order_id}-{order.trades}" if trade else None,
            last_qty=qty,
            last_px=Price(px),
            cum_qty=order.filled,
            price=None if order.price is None else Price(order.price),
            stop_px=None if order.stop_px is None else Price(order.stop_px),
            order_qty=order.qty,
            text=text,
        )
        mood = self._mood
        delay = mood.delay_ms * draw(self._seed, order.tag, "delay", order.said) // 10
        told_at = self._now + delay
        if not self._chance(mood.shuffles, order.tag, "shuffle", order.said):
            # In order, after everything told of this order so far.
            told_at = max(told_at, self._order_told_at.get(order.tag, 0))
            self._order_told_at[order.tag] = told_at
        self._schedule(told_at, report)
        if self._chance(mood.repeats, order.tag, "again", order.said):
            self._schedule(told_at + delay, report)

    def _schedule(self, told_at, report):
        self._told += 1
        heapq.heappush(self._due, (told_at, self._told, report))

    def reports_until(self, until):
        self._now = max(self._now, min(until, NEVER))
        told = []
        while self._due and self._due[0][0] <= until:
            told_at, _, report = heapq.heappop(self._due)
            told.append((told_at, report))
        return told

    def snapshot(self, at):
        net: dict[str, int] = {}
        for order in self.orders.values():
            key = f"{order.instrument}/{order.product}"
            net[key] = net.get(key, 0) + order.filled * order.side.sign
        return BrokerSnapshot(
            at=at,
            orders=tuple(
                BrokerOrderRow(
                    cl_ord_id=order.tag,
                    order_id=order.order_id,
                    instrument=order.instrument,
                    status=order.status.value,
                    order_qty=order.qty,
                    cum_qty=order.filled,
                )
                for order in self.orders.values()
            ),
            net_qty={key: qty for key, qty in net.items() if qty},
        )
