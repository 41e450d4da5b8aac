"""Keeps every order of the house true to what the broker has said of it.

The only writer of ``Order``. A report moves an order along ``order_life.TRANSITIONS`` and nowhere
else; a trade is booked once, however often it is told; finished orders are remembered for a while
(late and repeated reports find them) and then forgotten, so that a long day costs no more than a
short one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from kitestring.core.cells import Dirty
from kitestring.core.order_life import RESTING, TRANSITIONS
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.ids import ClOrdId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.orders import ExecType, ExecutionReport, Order, OrdStatus, Purpose
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder

CELL: Final = "order/"
RESTS: Final = (OrdStatus.PENDING_NEW, OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
REMEMBERED_MAX: Final = 256
"""Finished orders kept for late reports."""

_DECODER = msgspec.msgpack.Decoder(Order)

# Python 3.11 finds a member of an enum in 80 ns, a name of the module in 10.
_TRADE: Final = ExecType.TRADE
_TRIGGERED: Final = ExecType.TRIGGERED
_REPLACED: Final = ExecType.REPLACED
_ANSWERS: Final = (ExecType.REPLACED, ExecType.REPLACE_REJECTED)
_UNDER_WAY: Final = (OrdStatus.PENDING_REPLACE, OrdStatus.PENDING_CANCEL, OrdStatus.UNKNOWN)


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What a report did: to which order, how much of it is a new fill, and whether it surprised us."""

    order: Order | None
    fill: ExecutionReport | None = None
    surprise: str = ""
    finished: bool = False
    unasked: bool = False
    """The broker withdrew an order that we had not asked it to withdraw."""


class OrderManager:
    """All orders of the day that can still matter."""

    __slots__ = ("_dirty", "_finished", "by_strategy", "placed", "table")

    def __init__(self, dirty: Dirty) -> None:
        self.table: dict[ClOrdId, Order] = {}
        self.by_strategy: dict[StrategyId, dict[ClOrdId, Order]] = {}
        """Orders that can still fill, by the strategy that owns them."""
        self.placed = 0
        self._finished: deque[ClOrdId] = deque()
        self._dirty = dirty

    def working(self, strategy: StrategyId) -> Iterable[Order]:
        """Orders of a strategy that can still fill, oldest first."""
        return self.by_strategy.get(strategy, {}).values()

    def all_working(self) -> Iterable[Order]:
        """Every order that can still fill."""
        for orders in self.by_strategy.values():
            yield from orders.values()

    def placing(self, command: PlaceOrder, at: Instant, plan: Signal | None) -> Order:
        """Take an order into the table as it is sent."""
        intent = command.intent
        if command.cl_ord_id in self.table:
            raise InvariantBroken(f"order {command.cl_ord_id} was issued twice")
        order = Order(
            cl_ord_id=command.cl_ord_id,
            strategy=intent.strategy,
            instrument=intent.instrument,
            side=intent.side,
            order_qty=intent.order_qty,
            ord_type=intent.ord_type,
            product=intent.product,
            purpose=intent.purpose,
            reason=intent.reason,
            decision_px=intent.decision_px,
            created_at=at,
            updated_at=at,
            status=OrdStatus.PENDING_NEW,
            price=intent.price,
            stop_px=intent.stop_px,
            time_in_force=intent.time_in_force,
            signal_id=intent.signal_id,
            closes_qty=intent.closes_qty,
            plan=plan,
        )
        self._keep(order)
        self.placed += 1
        return order

    def modifying(self, command: ModifyOrder) -> None:
        """Mark an order as being changed."""
        order = self.table[command.cl_ord_id]
        if order.status not in (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED):
            raise InvariantBroken(f"order {order.cl_ord_id} is {order.status} and cannot change")
        order.status = OrdStatus.PENDING_REPLACE
        order.asked_qty = command.order_qty or 0
        order.modifications += 1
        order.updated_at = command.at
        self._dirty[CELL + order.cl_ord_id] = order

    def cancelling(self, command: CancelOrder) -> None:
        """Mark an order as being withdrawn."""
        order = self.table[command.cl_ord_id]
        if order.status.terminal:
            raise InvariantBroken(f"order {order.cl_ord_id} is over and cannot be cancelled")
        order.status = OrdStatus.PENDING_CANCEL
        order.updated_at = command.at
        self._dirty[CELL + order.cl_ord_id] = order

    def apply(self, report: ExecutionReport) -> Applied:
        """Move an order along the table; what it means for the position is the caller's."""
        order = self.table.get(report.cl_ord_id)
        if order is None:
            return Applied(None, surprise=f"report for an order we do not know: {report.cl_ord_id}")
        status, exec_type = order.status, report.exec_type
        is_trade = exec_type is _TRADE
        if is_trade and report.exec_id in order.exec_ids:
            return Applied(order)
        after = TRANSITIONS.get((status, exec_type))
        if after is None:
            return Applied(order, surprise=f"{exec_type} for an order that is {status}")
        order_qty = order.order_qty
        newest = report.order_qty is not None and report.event_at >= order.terms_at
        if newest:
            assert report.order_qty is not None
            # Any report may be the first to tell of a change: a fill overtakes the answer to it.
            order_qty = report.order_qty
        if is_trade:
            if report.exec_id is None or report.last_qty <= 0 or int(report.last_px) <= 0:
                return Applied(order, surprise="a trade without id, quantity or price")
            if order.cum_qty + report.last_qty > order_qty:
                return Applied(order, surprise="more filled than was ordered")
        elif order_qty < order.cum_qty:
            return Applied(order, surprise="changed to less than has filled")
        order.updated_at = max(order.updated_at, report.event_at)
        if report.order_id is not None:
            order.order_id = report.order_id
        if report.text:
            order.text = report.text
        order.told_qty = max(order.told_qty, report.cum_qty)
        fill = None
        if is_trade:
            assert report.exec_id is not None
            order.exec_ids.append(report.exec_id)
            order.cum_qty += report.last_qty
            order.traded_value = order.traded_value + report.last_px * report.last_qty
            fill = report
        elif exec_type is _TRIGGERED:
            order.triggered_at = report.event_at
        elif exec_type is _REPLACED and report.event_at >= order.terms_at:
            _take_over(order, report)
        changed = order_qty != order.order_qty
        if newest:
            order.order_qty = order_qty
            order.terms_at = report.event_at
        unasked = after is OrdStatus.CANCELED and status in RESTS
        was_over = status.terminal
        whole = order.cum_qty == order.order_qty
        if whole and not was_over and (is_trade or changed or exec_type is _REPLACED):
            after = OrdStatus.FILLED
        elif after is RESTING and order.cum_qty:
            after = OrdStatus.PARTIALLY_FILLED
        if not was_over:
            after = _ended(order, after)
        order.status = after
        if order.asked_qty and (exec_type in _ANSWERS or after not in _UNDER_WAY):
            order.asked_qty = 0
        finished = not was_over and after.terminal
        if finished:
            self._finish(order)
        else:
            self._dirty[CELL + order.cl_ord_id] = order
        surprise = ""
        if report.cum_qty > order.cum_qty:
            surprise = f"the broker counts {report.cum_qty} filled, we were told {order.cum_qty}"
        return Applied(order, fill, surprise, finished, unasked)

    def restore(self, cells: Mapping[str, bytes]) -> None:
        """Take up the orders of a recovered journal."""
        orders = [_DECODER.decode(raw) for key, raw in cells.items() if key.startswith(CELL)]
        for order in sorted(orders, key=_by_id):
            self.table[order.cl_ord_id] = order
            if not order.status.terminal:
                self.by_strategy.setdefault(order.strategy, {})[order.cl_ord_id] = order
        # Forgotten in the order in which they finished, as they would have been without a restart.
        over = (order for order in orders if order.status.terminal)
        self._finished.extend(
            order.cl_ord_id for order in sorted(over, key=lambda it: (it.updated_at, it.cl_ord_id))
        )

    def _keep(self, order: Order) -> None:
        self.table[order.cl_ord_id] = order
        self.by_strategy.setdefault(order.strategy, {})[order.cl_ord_id] = order
        self._dirty[CELL + order.cl_ord_id] = order

    def _finish(self, order: Order) -> None:
        del self.by_strategy[order.strategy][order.cl_ord_id]
        self._dirty[CELL + order.cl_ord_id] = order
        self._finished.append(order.cl_ord_id)
        if len(self._finished) > REMEMBERED_MAX:
            forgotten = self._finished.popleft()
            del self.table[forgotten]
            self._dirty[CELL + forgotten] = None

    def entries_working(self) -> list[Order]:
        """Working orders that could still grow a position, oldest first."""
        entries = (order for order in self.all_working() if order.purpose is Purpose.ENTRY)
        return sorted(entries, key=_by_id)


def _by_id(order: Order) -> ClOrdId:
    """Ids are issued in rising order, which a restart cannot change."""
    return order.cl_ord_id


def _ended(order: Order, after: OrdStatus) -> OrdStatus:
    """An order that is over has no trade left to tell.

    Kite's updates are not ordered: a cancellation that counts more than we were told may overtake
    the trade it counts. Until that is told the order is not over, or an exit sent in its place
    would be larger than the position.
    """
    if after.terminal and after is not OrdStatus.FILLED and order.told_qty > order.cum_qty:
        order.ends_as = after
        return OrdStatus.PENDING_CANCEL
    if order.ends_as is not None:
        if order.told_qty > order.cum_qty and after is not OrdStatus.FILLED:
            return OrdStatus.PENDING_CANCEL
        if after is not OrdStatus.FILLED:
            after = order.ends_as
        order.ends_as = None
    return after


def _take_over(order: Order, report: ExecutionReport) -> None:
    if report.price is not None:
        order.price = report.price
    if report.stop_px is not None:
        order.stop_px = report.stop_px
        if order.purpose is Purpose.STOP:
            # A trailed stop is a new decision: its slippage is measured from where it stands now.
            order.decision_px = report.stop_px
