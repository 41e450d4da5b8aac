"""The orders of the day as rows: facts of the journal in, one row per order at its latest state out.

The law: rows are folded from commands and reports alone, in order of creation; the same facts give
the same rows whether they are folded as the day goes or all at once afterwards. An entry that risk
blocked never became an order and has no row: it stands in the log of events.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kitestring.domain.events import Fact, Reports
from kitestring.domain.ids import ExecId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import ExecType, ExecutionReport, OrderIntent, OrdStatus, OrdType
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder


class OrderRow(msgspec.Struct, kw_only=True):
    """One order as the journal shows it; changed by ``OrderRows`` only."""

    cl_ord_id: str
    intent: OrderIntent
    placed_at: Instant
    updated_at: Instant
    order_qty: int
    ord_type: OrdType
    price: Price | None
    stop_px: Price | None
    status: OrdStatus = OrdStatus.PENDING_NEW
    order_id: str = ""
    cum_qty: int = 0
    traded_value: Money = Money(0)
    """Sum of last_qty × last_px, without the multiplier."""
    exec_ids: tuple[ExecId, ...] = ()
    reason: str = ""
    """Why it stands as it does, where that is not why it was sent: a rejection, a withdrawal."""


class OrderRows:
    """Folds facts into rows; ``changed`` names the orders touched since it was last cleared.

    New orders are named in order of creation.
    """

    def __init__(self) -> None:
        self.rows: dict[str, OrderRow] = {}
        self.changed: dict[str, None] = {}

    def record(self, facts: Iterable[Fact]) -> None:
        """Lay some facts over the rows."""
        for fact in facts:
            match fact:
                case Reports():
                    for report in fact.reports:
                        self._report(report)
                case PlaceOrder():
                    self._place(fact)
                case ModifyOrder():
                    row = self.rows.get(fact.cl_ord_id)
                    if row is not None and not row.status.terminal:
                        row.status = OrdStatus.PENDING_REPLACE
                        self._touch(row, fact.at)
                case CancelOrder():
                    row = self.rows.get(fact.cl_ord_id)
                    if row is not None and not row.status.terminal:
                        row.status = OrdStatus.PENDING_CANCEL
                        row.reason = fact.reason
                        self._touch(row, fact.at)
                case _:
                    pass

    def _touch(self, row: OrderRow, at: Instant) -> None:
        row.updated_at = max(row.updated_at, at)
        self.changed[row.cl_ord_id] = None

    def _place(self, command: PlaceOrder) -> None:
        intent, at = command.intent, command.approved.at
        self.rows[command.cl_ord_id] = OrderRow(
            cl_ord_id=command.cl_ord_id,
            intent=intent,
            placed_at=at,
            updated_at=at,
            order_qty=intent.order_qty,
            ord_type=intent.ord_type,
            price=intent.price,
            stop_px=intent.stop_px,
        )
        self.changed[command.cl_ord_id] = None

    def _report(self, report: ExecutionReport) -> None:
        row = self.rows.get(report.cl_ord_id)
        if row is None:
            return  # Somebody else's order in the same account.
        if report.order_id is not None:
            row.order_id = report.order_id
        if row.status is OrdStatus.UNKNOWN:
            row.reason = ""  # Whatever comes now is the answer that was missing.
        match report.exec_type:
            case ExecType.TRADE:
                self._trade(row, report)
            case _ if row.status.terminal:
                pass  # A report that comes late changes nothing any more, save a trade.
            case ExecType.PENDING_NEW:
                if row.status is OrdStatus.UNKNOWN:
                    row.status = OrdStatus.PENDING_NEW
            case ExecType.NEW | ExecType.TRIGGERED:
                # An order asked to change or to go keeps that state until it is answered.
                if row.status in (OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN):
                    row.status = _working(row)
            case ExecType.REPLACED:
                row.order_qty = row.order_qty if report.order_qty is None else report.order_qty
                row.price = row.price if report.price is None else report.price
                row.stop_px = row.stop_px if report.stop_px is None else report.stop_px
                row.status = _working(row)
            case ExecType.REPLACE_REJECTED | ExecType.CANCEL_REJECTED:
                row.status = _working(row)
                row.reason = report.text
            case ExecType.CANCELED:
                row.status = OrdStatus.CANCELED
                row.reason = row.reason or report.text
            case ExecType.REJECTED:
                row.status = OrdStatus.REJECTED
                row.reason = report.text
            case ExecType.UNKNOWN:
                row.status = OrdStatus.UNKNOWN
                row.reason = report.text
        self._touch(row, report.event_at)

    def _trade(self, row: OrderRow, report: ExecutionReport) -> None:
        if report.exec_id is not None:
            if report.exec_id in row.exec_ids:
                return  # The same trade told twice is one trade.
            row.exec_ids = (*row.exec_ids, report.exec_id)
        row.cum_qty += report.last_qty
        row.traded_value += report.last_px * report.last_qty
        if row.cum_qty >= row.order_qty:
            row.status, row.reason = OrdStatus.FILLED, ""
        elif not row.status.terminal and row.status not in (
            OrdStatus.PENDING_CANCEL,  # Fills outrun cancels.
            OrdStatus.PENDING_REPLACE,
        ):
            row.status = OrdStatus.PARTIALLY_FILLED


def _working(row: OrderRow) -> OrdStatus:
    """The working state that the filled quantity says."""
    if row.cum_qty >= row.order_qty:
        return OrdStatus.FILLED
    return OrdStatus.PARTIALLY_FILLED if row.cum_qty else OrdStatus.NEW
