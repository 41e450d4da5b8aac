"""Orders on their way to Kite: each request once, in its turn, and its outcome kept for the merge.

A command becomes a task that waits for the governor, sends, and writes down what came of it. Nothing
is ever sent again; what is unknown is settled by reading (``order_book_merge``). A change waits until
its order has an id; an order that was withdrawn before it left does not leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, Protocol

import msgspec

from kitestring.broker.governor import Call
from kitestring.broker.kite_outcomes import NotSent, Refusal, Rejected, SendOutcome, Unknown
from kitestring.broker.kite_rows import OrderRow
from kitestring.broker.kite_wire import modify_fields, place_fields
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.send_line import SendLine
from kitestring.broker.tracked_orders import Change, Sent, Tracked
from kitestring.domain.events import Note
from kitestring.domain.ids import ClOrdId, OrderId
from kitestring.domain.instants import Instant
from kitestring.domain.orders import ExecType, ExecutionReport, OrdType
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder

_WORTH_SAYING: Final = (
    Refusal.TOKEN,
    Refusal.ADDRESS,
    Refusal.PERMISSION,
    Refusal.THROTTLED,
)
"""Refusals that are not about the order: somebody has to know."""


class OrderWrites(Protocol):
    """The writes of ``KiteClient``."""

    async def place(
        self, fields: Mapping[str, str], variety: str = ..., *, journal: str = ...
    ) -> SendOutcome:
        """Send a new order, once."""
        ...

    async def modify(
        self, order_id: OrderId, variety: str, fields: Mapping[str, str], *, journal: str = ...
    ) -> SendOutcome:
        """Ask for a change, once."""
        ...

    async def cancel(
        self, order_id: OrderId, variety: str, *, parent_order_id: str = ..., journal: str = ...
    ) -> SendOutcome:
        """Ask for a withdrawal, once."""
        ...


class OrderTraffic:
    """Everything of ours that is on its way out. ``told`` is called when there is news to fetch."""

    def __init__(
        self,
        client: OrderWrites,
        merge: OrderBookMerge,
        line: SendLine,
        *,
        now: Callable[[], Instant],
        told: Callable[[], None],
        entries_stopped: Callable[[], str],
        fenced: Callable[[], str] = lambda: "",
        journal: str = "",
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self._seconds = seconds or loop_seconds
        self.under_way: set[asyncio.Task[None]] = set()
        self._client = client
        self._merge = merge
        self._line = line
        self._now = now
        self._told = told
        self._entries_stopped = entries_stopped
        self._fenced = fenced
        self._journal = journal

    def take(self, command: Command) -> None:
        """Begin to carry out one command; returns at once."""
        merge = self._merge
        if isinstance(command, PlaceOrder):
            order = merge.place(command, self._seconds())
            self._begin(self._place(order, command))
            return
        order_or_none = merge.orders.get(command.cl_ord_id)
        if order_or_none is None:
            self._refuse_unknown(command)
            return
        merge.change(command)
        self.send_changes()

    def send_changes(self) -> None:
        """Send every change that has found its order's id, and withdraw what nobody asked for."""
        for order, change in self._merge.sendable():
            change.sent = Sent.UNDER_WAY
            self._begin(self._change(order, change))
        if not self._merge.on_record:
            return
        strays, self._merge.strays = self._merge.strays, []
        for row in strays:
            self._begin(self._withdraw(row))

    async def finish(self, within_s: float) -> None:
        """Wait for what is on its way; what is late stays unknown, and the journal knows of it."""
        if self.under_way:
            _, late = await asyncio.wait(self.under_way, timeout=within_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    # ── one request each ─────────────────────────────────────────────────────────────────────

    async def _place(self, order: Tracked, command: PlaceOrder) -> None:
        turn = self._line.turn(Call.PLACE, exits=order.exits, order=order.cl_ord_id)
        async with turn as ticket:
            why = ticket.refused or self._not_now(order)
            if why:
                outcome: SendOutcome = NotSent(why=why)
            else:
                fields = place_fields(command)
                self._merge.placing(order, self._seconds())
                outcome = await self._outcome(self._client.place(fields, journal=self._journal))
        self._merge.placed(order, outcome, self._now(), self._seconds())
        self._heard(outcome)

    def _not_now(self, order: Tracked) -> str:
        """Why an order that has waited for its turn must not leave any more."""
        fenced = self._fenced()
        if fenced:
            return fenced
        if any(change.cancels for change in order.changes):
            return "withdrawn before it left"
        return "" if order.exits else self._entries_stopped()

    async def _change(self, order: Tracked, change: Change) -> None:
        call = Call.CANCEL if change.cancels else Call.MODIFY
        turn = self._line.turn(call, exits=order.exits or change.cancels, order=order.cl_ord_id)
        async with turn as ticket:
            if change not in order.changes:
                return  # The order is over: there is nothing left to change.
            why = ticket.refused or self._fenced()
            if why:
                outcome: SendOutcome = NotSent(why=why)
            else:
                asked = self._asked(order, change)
                self._merge.changing(order, change)
                outcome = await self._outcome(asked)
        self._merge.changed(order, change, outcome, self._now(), self._seconds())
        self._heard(outcome)

    def _asked(self, order: Tracked, change: Change) -> Awaitable[SendOutcome]:
        command, order_id = change.command, OrderId(order.order_id)
        if isinstance(command, CancelOrder):
            return self._client.cancel(order_id, order.variety, journal=self._journal)
        if command.order_qty == order.qty:
            # Whether a quantity means the whole order or its rest is documented nowhere.
            command = msgspec.structs.replace(command, order_qty=None)
        kind = order.ord_type
        if command.price is not None and kind is OrdType.MARKET:
            kind = OrdType.LIMIT  # The book has made it one.
        fields = modify_fields(command, kind, command.market_protection_bp or order.protection_bp)
        return self._client.modify(order_id, order.variety, fields, journal=self._journal)

    async def _withdraw(self, row: OrderRow) -> None:
        """A second order under one of our tags."""
        async with self._line.turn(Call.CANCEL, exits=True, order=row.order_id) as ticket:
            if not ticket.refused and not self._fenced():
                await self._outcome(self._client.cancel(row.order_id, row.variety))
        self._told()

    async def _outcome(self, sending: Awaitable[SendOutcome]) -> SendOutcome:
        try:
            return await sending
        except Exception as error:  # noqa: BLE001
            # Whatever broke in here, the request may have left: nobody may send it again.
            kind = type(error).__name__
            self._note("fault", f"Sending an order broke inside the house ({kind}).")
            return Unknown(why=f"the sending broke inside the house ({kind})")

    def _heard(self, outcome: SendOutcome) -> None:
        if isinstance(outcome, Rejected) and outcome.refusal in _WORTH_SAYING:
            self._note(f"refused: {outcome.refusal}", outcome.message)
        self.send_changes()
        self._told()

    def _refuse_unknown(self, command: ModifyOrder | CancelOrder) -> None:
        cancels = isinstance(command, CancelOrder)
        kind = ExecType.CANCEL_REJECTED if cancels else ExecType.REPLACE_REJECTED
        self._merge.reports.append(
            ExecutionReport(
                cl_ord_id=ClOrdId(command.cl_ord_id),
                exec_type=kind,
                event_at=self._now(),
                text="not sent: no such order has been sent today",
            )
        )
        self._told()

    def _note(self, kind: str, sentence: str) -> None:
        self._merge.notes.append(Note(at=self._now(), kind=kind, sentence=sentence))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that broke puts a fact where the day finds it."""
        self.under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note(
                "fault",
                f"An order task broke ({type(error).__name__}: {error}); its order is unknown.",
            )
            self._told()


def loop_seconds() -> float:
    """The running loop's time: on a real day the exchange's seconds are as long as ours."""
    return asyncio.get_running_loop().time()
