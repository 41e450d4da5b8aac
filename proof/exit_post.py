"""Everything between the house and the exchange on an exit path: the real governor, and what goes wrong.

A request waits for its place among the limits, and then one of these happens to it: it is taken;
it is refused for certain (429, funds, ranges); it is lost and nobody knows; it is taken and its
answer is lost. What the exchange tells of an order is told late, in its order. As at Kite, an order that
never came is believed so after two minutes or five, a lost change after ten seconds.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Final

from kitestring.broker.governor import Call, Governor, Limits, Ticket
from kitestring.domain.events import BrokerPosition, BrokerSnapshot, OthersTrade
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import NEVER, SECOND, Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    OrdType,
    Product,
    Purpose,
    Side,
    TimeInForce,
)
from kitestring.domain.ports import Frame
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder
from kitestring.exchange.seeded import key
from kitestring.exchange.square_off import SQUARE_OFF
from proof.exit_plan import REFUSALS, ExitPlan
from proof.exit_watch import WatchedExchange

ANSWER_LOST_S: Final = 7
ABSENT_S: Final = (125, 125, 125, 305)
UNTOUCHED_S: Final = 12
_MS: Final = 1_000
_ANSWERS: Final = {
    PlaceOrder: ExecType.REJECTED,
    ModifyOrder: ExecType.REPLACE_REJECTED,
    CancelOrder: ExecType.CANCEL_REJECTED,
}
_ENDS_CHANGE: Final = frozenset(
    {
        ExecType.REPLACED,
        ExecType.REPLACE_REJECTED,
        ExecType.CANCEL_REJECTED,
        ExecType.CANCELED,
        ExecType.REJECTED,
    }
)


class Post:
    """A ``Broker``: the exchange as the house meets it."""

    def __init__(self, plan: ExitPlan, exchange: WatchedExchange) -> None:
        self.plan = plan
        self.exchange = exchange
        self.watch = exchange.matcher.watch
        self.counts: Counter[str] = Counter()
        self.exit_waits_ms: list[int] = []
        self.governor = Governor(
            Limits(per_second=plan.per_second, kept_second=1 if plan.per_second < 8 else 2)
        )
        self._waiting: dict[int, tuple[Ticket, Command]] = {}
        self._answers: list[tuple[Instant, int, Ticket]] = []
        self._due: list[tuple[Instant, int, ExecutionReport, str]] = []
        self._pushed = 0
        self._heard: set[str] = set()
        """Orders of which anything was told."""
        self._open: dict[str, int] = {}
        """Changes of an order that are not answered: their number."""
        self._told_at: dict[str, Instant] = {}
        self._drawn: Counter[str] = Counter()
        self._over: set[str] = set()
        self._governed_at: Instant = NEVER
        self.next_due_at: Instant = NEVER

    # ── the house asks ──────────────────────────────────────────────────────────────────────────

    def carry_out(self, command: Command, at: Instant) -> None:
        """A request joins the line."""
        match command:
            case PlaceOrder():
                self.watch.sent[command.cl_ord_id] = command.intent
                call, exits = Call.PLACE, command.intent.purpose is not Purpose.ENTRY
            case ModifyOrder():
                call, exits = Call.MODIFY, self._is_exit(command.cl_ord_id)
            case CancelOrder():
                call, exits = Call.CANCEL, True
        if not isinstance(command, PlaceOrder):
            self._open[command.cl_ord_id] = self._open.get(command.cl_ord_id, 0) + 1
        self.counts["orders"] += 1
        ticket = self.governor.ask(call, at, exits=exits, order=command.cl_ord_id)
        self._waiting[ticket.number] = (ticket, command)
        self._release(at)
        self._reckon()

    def _is_exit(self, tag: str) -> bool:
        return self.watch.sent[tag].purpose is not Purpose.ENTRY

    def _release(self, at: Instant) -> None:
        while self._answers and self._answers[0][0] <= at:
            answered_at, _, ticket = heapq.heappop(self._answers)
            self.governor.answered(ticket, answered_at)
        for ticket in self.governor.released(at):
            _, command = self._waiting.pop(ticket.number)
            if ticket.exits:
                self.exit_waits_ms.append((at - ticket.asked_at) // _MS)
            if ticket.refused:
                self.counts["refused by the governor"] += 1
                self._no(command, at, f"not sent: {ticket.refused}")
            else:
                self._leave(command, ticket, at)
        self._governed_at = self.governor.next_due_at(at) if self._waiting else NEVER
        if self._governed_at <= at:
            self._governed_at = at + _MS

    def _leave(self, command: Command, ticket: Ticket, at: Instant) -> None:
        tag, fate = command.cl_ord_id, self._fate(command, at)
        if self.watch.account:
            self.governor.book_holds(self.plan.orders_before)
        if fate:
            self.counts[f"fault.{fate}"] += 1
        answered_at = at + 60 * _MS
        match fate:
            case "throttled" | "storm":
                self._no(command, answered_at, "Too many requests")
            case "refused":
                self._no(command, answered_at, REFUSALS[self._draw(tag, "why") % len(REFUSALS)])
            case "lost":
                answered_at = at + ANSWER_LOST_S * SECOND
                self._nothing_came(command, answered_at)
            case "unanswered":
                answered_at = at + ANSWER_LOST_S * SECOND
                self.exchange.carry_out(command, at)
                self._unknown(command, answered_at)
            case "slow":
                answered_at = at + (500 + self._draw(tag, "slow") % 6_000) * _MS
                self.exchange.carry_out(command, at)
            case _:
                self.exchange.carry_out(command, at)
                if isinstance(command, PlaceOrder):
                    self._push(
                        answered_at, self._report(tag, ExecType.PENDING_NEW, answered_at), "first"
                    )
        self._pushed += 1
        heapq.heappush(self._answers, (answered_at, self._pushed, ticket))

    def _fate(self, command: Command, at: Instant) -> str:
        plan = self.plan
        if at >= plan.calm_at:
            return ""
        if any(begins <= at < ends for begins, ends in plan.storms):
            return "storm"
        drawn = self._draw(command.cl_ord_id, "fate") % 1_000
        if isinstance(command, PlaceOrder) and not self._is_exit(command.cl_ord_id):
            drawn *= 8  # A path without a position has no exit.
        rates = plan.rates
        for name, rate in (
            ("throttled", rates.throttled),
            ("refused", rates.refused),
            ("lost", rates.lost),
            ("unanswered", rates.unanswered),
            ("slow", rates.slow),
        ):
            if drawn < rate:
                return name
            drawn -= rate
        return ""

    def _draw(self, tag: str, name: str) -> int:
        self._drawn[name + tag] += 1
        return key(self.plan.seed, tag, name, str(self._drawn[name + tag]))

    # ── answers ─────────────────────────────────────────────────────────────────────────────────

    def _report(self, tag: str, kind: ExecType, at: Instant, text: str = "") -> ExecutionReport:
        return ExecutionReport(cl_ord_id=ClOrdId(tag), exec_type=kind, event_at=at, text=text)

    def _no(self, command: Command, at: Instant, text: str) -> None:
        report = self._report(command.cl_ord_id, _ANSWERS[type(command)], at, text)
        self._push(at, report, "" if isinstance(command, PlaceOrder) else "change")

    def _unknown(self, command: Command, at: Instant) -> None:
        first = "first" if isinstance(command, PlaceOrder) else "change"
        report = self._report(command.cl_ord_id, ExecType.UNKNOWN, at, "no answer came")
        self._push(at, report, first)

    def _nothing_came(self, command: Command, at: Instant) -> None:
        self._unknown(command, at)
        if isinstance(command, PlaceOrder):
            after_s = ABSENT_S[self._draw(command.cl_ord_id, "absent") % len(ABSENT_S)]
            text = f"never reached the broker: not in its order book over {after_s} s"
        else:
            after_s, text = UNTOUCHED_S, "no trace of the change"
        self._no(command, at + after_s * SECOND, text)

    def _push(self, at: Instant, report: ExecutionReport, only: str) -> None:
        """``only``: ``first``, told only where nothing was told; ``change``, while one is open."""
        self._pushed += 1
        heapq.heappush(self._due, (at, self._pushed, report, only))

    # ── the exchange speaks ─────────────────────────────────────────────────────────────────────

    def observe(self, position: int, frame: Frame) -> None:
        """The market moved."""
        self.exchange.observe(position, frame)
        self._reckon()

    def reports_until(self, until: Instant) -> list[tuple[Instant, ExecutionReport]]:
        """What is told by then."""
        self._live_until(until)
        told: list[tuple[Instant, ExecutionReport]] = []
        while self._due and self._due[0][0] <= until:
            at, _, report, only = heapq.heappop(self._due)
            if self._tells(report, only):
                told.append((at, report))
        self._reckon()
        return told

    def _tells(self, report: ExecutionReport, only: str) -> bool:
        tag, kind = report.cl_ord_id, report.exec_type
        if only == "first" and tag in self._heard:
            return False
        if only == "change" and (tag in self._over or not self._open.get(tag)):
            return False
        if kind is not ExecType.UNKNOWN:
            self._heard.add(tag)
            if kind in _ENDS_CHANGE:
                self._open.pop(tag, None)
        if kind in (ExecType.CANCELED, ExecType.REJECTED) or (
            kind is ExecType.TRADE and report.order_qty == report.cum_qty
        ):
            self._over.add(tag)
        return True

    def _live_until(self, until: Instant) -> None:
        while (at := min(self.exchange.next_due_at, self._governed_at)) <= until:
            if self._governed_at <= at:
                self._release(at)
            for told_at, report in self.exchange.reports_until(at):
                if report.cl_ord_id in self.watch.sent:
                    self._late(told_at, report)

    def _late(self, at: Instant, report: ExecutionReport) -> None:
        tag, rates = report.cl_ord_id, self.plan.rates
        told_at = at
        if at < self.plan.calm_at:
            told_at += rates.lag_ms * _MS
            if self._draw(tag, "late") % 1_000 < rates.late:
                self.counts["fault.told late"] += 1
                told_at += (self._draw(tag, "how late") % 8_000) * _MS
        told_at = max(told_at, self._told_at.get(tag, 0))
        self._told_at[tag] = told_at
        self._push(told_at, report, "")

    def _reckon(self) -> None:
        due = self._due[0][0] if self._due else NEVER
        self.next_due_at = min(due, self.exchange.next_due_at, self._governed_at)

    @property
    def quiet(self) -> bool:
        """Nothing is on its way, to either side."""
        return not self._due and not self._waiting and not self.exchange.matcher.requests

    # ── the books ───────────────────────────────────────────────────────────────────────────────

    def snapshot(self, at: Instant) -> BrokerSnapshot:
        """The books at this moment, with what others did; not to be believed while they are frozen."""
        plain = self.exchange.snapshot(at)
        plan = self.plan
        if any(begins <= at < ends for begins, ends in plan.frozen_books):
            self.counts["fault.books not believed"] += 1
            return BrokerSnapshot(
                at=at, orders=(), net_qty={}, trusted=False, why="the books have not moved"
            )
        instrument = plan.instrument
        others = tuple(
            OthersTrade(
                trade_id=trade.trade_id,
                order_id=trade.order_id,
                instrument=instrument.id,
                product=plan.product.value,
                side=Side.BUY if trade.sign > 0 else Side.SELL,
                qty=trade.qty,
                px=trade.px,
                at=trade.at,
                rms=trade.tag.startswith(SQUARE_OFF),
            )
            for trade in self.watch.trades
            if trade.tag not in self.watch.sent
        )
        key_ = f"{instrument.id}/{plan.product.value}"
        last = self.exchange.matcher.markets[instrument.id].last_px(at)
        position = BrokerPosition(
            instrument=instrument.id,
            product=plan.product.value,
            net_qty=plain.net_qty.get(key_, 0),
            overnight_qty=0,
            average_px=last,
            last_px=last,
        )
        return BrokerSnapshot(
            at=at,
            read_at=at,
            orders=plain.orders,
            net_qty=plain.net_qty,
            others=others,
            positions=(position,),
        )

    def by_hand(self, at: Instant, tag: str, side: Side, qty: int) -> None:
        """The account's owner sends an order from the phone."""
        self.exchange.matcher.place(
            at=at,
            tag=tag,
            instrument=self.plan.instrument.id,
            side=side,
            qty=qty,
            ord_type=OrdType.MARKET,
            product=Product(self.plan.product),
            validity=TimeInForce.IOC,
            price=Price(0),
            trigger_price=Price(0),
            protection_bp=0,
        )
        self.exchange.notice()
        self._reckon()
