"""The order manager against a ledger: whatever is told, however often and in whatever order.

The ledger is the broker's truth: what each order traded. It says so in reports that are repeated,
shuffled, late, or preceded by "no answer". The table must never count a fill twice or one that did
not happen, never let a finished order work again, and know exactly the ledger's fills once all is told.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kitestring.core.cells import Dirty
from kitestring.core.order_manager import OrderManager
from kitestring.domain.ids import ClOrdId, ExecId, InstrumentId, OrderId, StrategyId
from kitestring.domain.money import Price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    Order,
    OrderIntent,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.verdicts import Approved, CancelOrder, ModifyOrder, PlaceOrder

_RESTING = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
PLACES = st.integers(0, 1 << 16)


class Real:
    """One order as the broker has it."""

    def __init__(self, tag: ClOrdId, qty: int) -> None:
        self.tag, self.qty = tag, qty
        self.arrived = self.over = self.unknown = False
        self.filled = self.value = self.trades = 0
        self.untold: list[ExecutionReport] = []
        self.told: list[ExecutionReport] = []
        self.change: ModifyOrder | CancelOrder | None = None
        self.ended: OrdStatus | None = None


class OrderTableMachine(RuleBasedStateMachine):
    """Rules are what the house asks for, what the broker does, and how it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.dirty: Dirty = {}
        self.manager = OrderManager(self.dirty)
        self.real: dict[ClOrdId, Real] = {}
        self.now = 1_000_000
        self.booked: dict[ClOrdId, int] = {}
        self.finished: dict[ClOrdId, OrdStatus] = {}
        self.surprises: list[str] = []

    # ── the house asks ──────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: len(self.real) < 8)
    @rule(qty=st.integers(1, 6), arrives=st.booleans(), unknown=st.booleans())
    def place(self, qty: int, arrives: bool, unknown: bool) -> None:
        tag = ClOrdId(f"K{len(self.real):03d}")
        intent = OrderIntent(
            strategy=StrategyId("one"),
            instrument=InstrumentId("NSE:ACME"),
            side=Side.BUY,
            order_qty=qty,
            ord_type=OrdType.LIMIT,
            product=Product.MIS,
            purpose=Purpose.ENTRY,
            reason="",
            decision_px=Price(10),
            decided_at=self.now,
            price=Price(10),
        )
        command = PlaceOrder(cl_ord_id=tag, approved=Approved(intent=intent, at=self.now))
        self.manager.placing(command, self.now, None)
        real = self.real[tag] = Real(tag, qty)
        real.arrived = arrives
        if unknown or not arrives:
            self._say(real, ExecType.UNKNOWN)
            real.unknown = True
        if arrives:
            self._say(real, ExecType.NEW, qty=real.qty)

    def _chosen(self, place: int) -> Real:
        return list(self.real.values())[place % len(self.real)]

    @precondition(lambda self: self.real)
    @rule(place=PLACES, qty=st.none() | st.integers(1, 8))
    def ask_for_a_change(self, place: int, qty: int | None) -> None:
        real = self._chosen(place)
        order = self.manager.table[real.tag]
        if order.status not in _RESTING or real.change is not None:
            return
        if qty is None:
            real.change = CancelOrder(cl_ord_id=real.tag, at=self.now)
            self.manager.cancelling(real.change)
        else:
            real.change = ModifyOrder(cl_ord_id=real.tag, at=self.now, order_qty=qty)
            self.manager.modifying(real.change)

    # ── the broker does ─────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.real)
    @rule(place=PLACES, qty=st.integers(1, 3), px=st.integers(1, 9))
    def trade(self, place: int, qty: int, px: int) -> None:
        real = self._chosen(place)
        qty = min(qty, real.qty - real.filled)
        if not real.arrived or real.over or not qty:
            return
        real.filled += qty
        real.value += qty * px
        real.trades += 1
        self._say(real, ExecType.TRADE, qty=real.qty, last=qty, px=px)
        if real.filled == real.qty:
            real.over, real.ended = True, OrdStatus.FILLED

    @precondition(lambda self: self.real)
    @rule(place=PLACES, grants=st.booleans(), answered=st.booleans())
    def answer_a_change(self, place: int, grants: bool, answered: bool) -> None:
        real = self._chosen(place)
        change, real.change = real.change, None
        if change is None:
            return
        if not answered:
            self._say(real, ExecType.UNKNOWN)
        cancels = isinstance(change, CancelOrder)
        qty = change.order_qty if isinstance(change, ModifyOrder) else None
        if real.over or not grants or (qty is not None and qty <= real.filled):
            self._say(real, ExecType.CANCEL_REJECTED if cancels else ExecType.REPLACE_REJECTED)
        elif cancels:
            real.over, real.ended = True, OrdStatus.CANCELED
            self._say(real, ExecType.CANCELED, qty=real.qty)
        else:
            assert qty is not None
            real.qty = qty
            self._say(real, ExecType.REPLACED, qty=qty)

    @precondition(lambda self: self.real)
    @rule(place=PLACES, rejects=st.booleans())
    def end_unasked(self, place: int, rejects: bool) -> None:
        real = self._chosen(place)
        if not real.arrived or real.over or (rejects and real.filled):
            return
        real.over = True
        real.ended = OrdStatus.REJECTED if rejects else OrdStatus.CANCELED
        self._say(real, ExecType.REJECTED if rejects else ExecType.CANCELED, qty=real.qty)

    @precondition(lambda self: self.real)
    @rule(place=PLACES)
    def absence_is_confirmed(self, place: int) -> None:
        real = self._chosen(place)
        if real.arrived or real.over:
            return
        real.over, real.ended = True, OrdStatus.REJECTED
        self._say(real, ExecType.REJECTED)

    # ── it is told ──────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: any(real.untold for real in self.real.values()))
    @rule(place=PLACES, ahead=st.integers(0, 3), again=st.booleans())
    def tell(self, place: int, ahead: int, again: bool) -> None:
        """The next report of an order, or one that overtakes those before it."""
        waiting = [real for real in self.real.values() if real.untold]
        real = waiting[place % len(waiting)]
        first = real.untold[0]
        ahead = ahead % len(real.untold)
        # Only trades and endings overtake: terms and answers come in their order.
        if ahead and real.untold[ahead].exec_type not in (
            ExecType.TRADE,
            ExecType.CANCELED,
        ):
            ahead = 0
        if first.exec_type is ExecType.UNKNOWN and ahead:
            real.untold.pop(0)  # An answer that came after all is all that is told.
            ahead -= 1
        report = real.untold.pop(ahead)
        self._hear(report)
        real.told.append(report)
        if again and report.exec_type is ExecType.TRADE:
            self._hear(report)

    @precondition(lambda self: any(real.told for real in self.real.values()))
    @rule(place=PLACES, which=PLACES)
    def repeat_a_trade(self, place: int, which: int) -> None:
        told = [real for real in self.real.values() if real.told]
        real = told[place % len(told)]
        trades = [each for each in real.told if each.exec_type is ExecType.TRADE]
        if trades:
            self._hear(trades[which % len(trades)])

    @precondition(lambda self: self.real)
    @rule(place=PLACES)
    def the_dead_trades(self, place: int) -> None:
        """An order that was settled as never arrived trades after all: said aloud, and not booked."""
        real = self._chosen(place)
        order = self.manager.table[real.tag]
        if real.arrived or not real.over or real.untold or not order.status.terminal:
            return
        self._say(real, ExecType.TRADE, qty=real.qty, last=1, px=1)
        applied = self.manager.apply(real.untold.pop())
        assert applied.surprise, f"{real.tag} was over and traded, and nobody is surprised"
        assert applied.fill is None

    @rule()
    def restart(self) -> None:
        """The table is taken up from its cells."""
        again = OrderManager({})
        again.restore(
            {
                f"order/{tag}": msgspec.msgpack.encode(order)
                for tag, order in self.manager.table.items()
            }
        )
        assert again.table == self.manager.table
        self.manager = again

    def _say(
        self, real: Real, kind: ExecType, *, qty: int | None = None, last: int = 0, px: int = 0
    ) -> None:
        self.now += 1
        trade = kind is ExecType.TRADE
        real.untold.append(
            ExecutionReport(
                cl_ord_id=real.tag,
                exec_type=kind,
                event_at=self.now,
                order_id=OrderId(f"B{real.tag}") if real.arrived else None,
                exec_id=ExecId(f"{real.tag}-{real.trades}") if trade else None,
                last_qty=last,
                last_px=Price(px),
                cum_qty=real.filled,
                order_qty=qty,
            )
        )

    def _hear(self, report: ExecutionReport) -> None:
        tag = report.cl_ord_id
        before = self.manager.table[tag].status
        applied = self.manager.apply(report)
        if applied.surprise:
            self.surprises.append(applied.surprise)
        if applied.fill is not None:
            self.booked[tag] = self.booked.get(tag, 0) + applied.fill.last_qty
        after = self.manager.table[tag].status
        if before.terminal:
            assert after is before, f"{tag} was {before} and is {after}"
        if before is OrdStatus.UNKNOWN and after is not OrdStatus.UNKNOWN:
            assert report.exec_type is not ExecType.UNKNOWN

    # ── what holds at every step ────────────────────────────────────────────────────────────────

    @invariant()
    def counts_are_those_of_the_ledger(self) -> None:
        for tag, real in self.real.items():
            order = self.manager.table[tag]
            assert 0 <= order.cum_qty <= real.filled, f"{tag}: {order.cum_qty} of {real.filled}"
            assert order.cum_qty == self.booked.get(tag, 0)
            assert len(set(order.exec_ids)) == len(order.exec_ids)
            assert order.leaves_qty >= 0
            if order.status is OrdStatus.CANCELED:
                assert order.cum_qty == real.filled, f"{tag} is over, and a trade of it is untold"
            assert (tag in self.manager.by_strategy.get(order.strategy, {})) is not (
                order.status.terminal
            )
            if not real.over and real.arrived:
                assert not order.status.terminal or real.unknown, f"{tag} works at the broker"

    def teardown(self) -> None:
        """Everything is told at last: the two books are one."""
        for real in self.real.values():
            while real.untold:
                self._hear(real.untold.pop(0))
            order: Order = self.manager.table[real.tag]
            assert order.cum_qty == real.filled, f"{real.tag}: {order.cum_qty} of {real.filled}"
            assert int(order.traded_value) == real.value
            if real.ended is not None:
                assert order.status is real.ended, f"{real.tag} is {order.status}: {real.ended}"
            elif real.arrived and real.change is None:
                assert order.status in _RESTING, f"{real.tag} rests, and is {order.status}"
                assert order.order_qty == real.qty


MACHINE: type[Any] = OrderTableMachine
