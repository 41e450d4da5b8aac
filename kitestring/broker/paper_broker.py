"""The paper broker: the house's own exchange, run in process, behind the same socket as a real one.

It translates, and nothing else: commands into the exchange's words, and what the exchange
announces into execution reports. Whatever it says can be found in the exchange's ledger, where it
was written first.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final, Unpack, assert_never

from kitestring.domain.events import BrokerOrderRow, BrokerSnapshot, Note
from kitestring.domain.ids import ClOrdId, ExecId, InstrumentId, OrderId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import ExecType, ExecutionReport, OrdStatus
from kitestring.domain.ports import Frame
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder
from kitestring.exchange.floor import FloorParts
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.exchange.matching import Matcher
from kitestring.exchange.order_book import Status
from kitestring.exchange.recovery import recover

_NO_PRICE: Final = Price(0)
_EXEC_TYPES: Final = MappingProxyType(
    {
        What.NEW: ExecType.NEW,
        What.REJECTED: ExecType.REJECTED,
        What.TRIGGERED: ExecType.TRIGGERED,
        What.TRADE: ExecType.TRADE,
        What.REPLACED: ExecType.REPLACED,
        What.REPLACE_REJECTED: ExecType.REPLACE_REJECTED,
        What.CANCELED: ExecType.CANCELED,
        What.CANCEL_REJECTED: ExecType.CANCEL_REJECTED,
    }
)


class PaperBroker:
    """A ``Broker`` whose exchange is ours. Built from the parts of an exchange (``FloorParts``)."""

    __slots__ = ("matcher", "next_due_at")

    def __init__(self, **parts: Unpack[FloorParts]) -> None:
        self.matcher = Matcher(**parts)
        self.next_due_at: Instant = self.matcher.next_due_at
        """When the next report will be ready (``NEVER`` if none is on its way).

        The matcher's, copied after every call that may change it: the day asks three times a frame.
        """

    @property
    def fill_model(self) -> str:
        """What the fills assume, in words, for every report."""
        return self.matcher.model.sentence

    @property
    def position(self) -> int:
        """The last feed position the exchange has seen; after ``recover``, its ledger's last."""
        return max(self.matcher.position, self.matcher.matched_to)

    def recover(self, records: Iterable[bytes], at: Instant, position: int = 0) -> None:
        """Rebuild the exchange from its ledger; see ``exchange.recovery`` for what is told again.

        ``at`` and ``position`` are the time and feed position of the last commit. Then: give
        ``observe`` the feed's frames again, from the first one to those received at ``at``; send
        the last commit's commands again, at ``at``; go on after ``position`` (a frame that was
        observed already changes nothing).
        """
        recover(self.matcher, records, at, position)
        self.next_due_at = self.matcher.next_due_at

    def carry_out(self, command: Command, at: Instant) -> None:
        """Send one command to the exchange. A command sent twice is carried out once."""
        match command:
            case PlaceOrder():
                intent = command.approved.intent
                self.matcher.place(
                    at=at,
                    tag=command.cl_ord_id,
                    instrument=intent.instrument,
                    side=intent.side,
                    qty=intent.order_qty,
                    ord_type=intent.ord_type,
                    product=intent.product,
                    validity=intent.time_in_force,
                    price=intent.price or _NO_PRICE,
                    trigger_price=intent.stop_px or _NO_PRICE,
                    protection_bp=intent.market_protection_bp or 0,
                )
            case ModifyOrder():
                self.matcher.modify(
                    at=at,
                    tag=command.cl_ord_id,
                    qty=command.order_qty or 0,
                    ord_type=command.ord_type,
                    price=command.price or _NO_PRICE,
                    trigger_price=command.stop_px or _NO_PRICE,
                    protection_bp=command.market_protection_bp,
                )
            case CancelOrder():
                self.matcher.cancel(at=at, tag=command.cl_ord_id)
            case _:
                assert_never(command)
        self.next_due_at = self.matcher.next_due_at

    def observe(self, position: int, frame: Frame) -> None:
        """The market moved; what waits is matched before anybody decides on the frame."""
        matcher = self.matcher
        matcher.observe(position, frame)
        self.next_due_at = matcher.next_due_at

    def reports_until(self, until: Instant) -> list[tuple[Instant, ExecutionReport]]:
        """Reports due at or before ``until``, in order of arrival; each is given once."""
        matcher = self.matcher
        if until < matcher.next_due_at:
            return []
        told = [(told_at, _report(entry)) for told_at, entry in matcher.announcements_until(until)]
        self.next_due_at = matcher.next_due_at
        return told

    def notes(self) -> list[Note]:
        """Nothing: whatever there is to say of this broker, its reports say."""
        return []

    async def refresh(self) -> str:
        """Nothing to wait for: its books are here, and can always be read."""
        return ""

    def snapshot(self, at: Instant) -> BrokerSnapshot:
        """Orders of today and net quantities as they were at ``at`` (now, or a moment ago).

        After a restart the exchange may be ahead of the house: what happened after ``at`` and is
        still to be told is left out, so that both speak of the same moment.
        """
        matcher = self.matcher
        later: dict[str, list[LedgerEntry]] = {}
        for entry in matcher.untold(at):
            later.setdefault(entry.tag, []).append(entry)
        rows: list[BrokerOrderRow] = []
        net_qty = {
            f"{symbol}/{product.value}": position.net_qty
            for (symbol, product), position in matcher.account.positions.items()
        }
        for tag, (order_id, symbol, state, qty, filled) in matcher.order_rows():
            status = _status(state, filled)
            for entry in reversed(later.get(tag, ())):
                filled -= entry.last_qty  # noqa: PLW2901 - the row is being wound back
                if entry.what is What.TRADE:
                    signed = entry.last_qty if entry.side == "BUY" else -entry.last_qty
                    net_qty[f"{entry.instrument}/{entry.product}"] -= signed
                if entry.what is What.NEW or entry.what is What.REJECTED:
                    status = OrdStatus.PENDING_NEW
                elif status.terminal:
                    status = _status(Status.OPEN, filled)
            rows.append(
                BrokerOrderRow(
                    cl_ord_id=tag,
                    order_id=order_id,
                    instrument=InstrumentId(symbol),
                    status=status.value,
                    order_qty=qty,
                    cum_qty=filled,
                )
            )
        return BrokerSnapshot(
            at=at,
            orders=tuple(rows),
            net_qty={key: net for key, net in net_qty.items() if net},
        )


def _status(state: Status, filled: int) -> OrdStatus:
    """Kite's word in the house's words."""
    match state:
        case Status.RECEIVED:
            return OrdStatus.PENDING_NEW
        case Status.OPEN | Status.TRIGGER_PENDING:
            return OrdStatus.PARTIALLY_FILLED if filled else OrdStatus.NEW
        case Status.COMPLETE:
            return OrdStatus.FILLED
        case Status.CANCELLED:
            return OrdStatus.CANCELED
        case Status.REJECTED:
            return OrdStatus.REJECTED


def _report(entry: LedgerEntry) -> ExecutionReport:
    """One announcement as an execution report."""
    return ExecutionReport(
        cl_ord_id=ClOrdId(entry.tag),
        exec_type=_EXEC_TYPES[entry.what],
        event_at=entry.at,
        order_id=OrderId(entry.order_id) if entry.order_id else None,
        exec_id=ExecId(entry.trade_id) if entry.trade_id else None,
        last_qty=entry.last_qty,
        last_px=Price(entry.last_px),
        cum_qty=entry.filled_qty,
        price=Price(entry.price) if entry.price else None,
        stop_px=Price(entry.trigger_price) if entry.trigger_price else None,
        order_qty=entry.qty or None,
        text=entry.text,
    )
