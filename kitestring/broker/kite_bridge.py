"""The real broker: commands out to Zerodha Kite, and what became of them back, each fact once.

``carry_out`` is called after the commit; it starts the sending and returns. What is heard is kept
until the day fetches it (``reports_until``, ``notes``); ``woken`` is called when there is something.
The clock is the wall's, or in a rehearsal the exchange's; deadlines are the loop's own time. How soon
its books must show something is a matter of the exchange's time (``seconds``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from kitestring.broker.book_watch import AFTER_A_REQUEST_S, BookWatch
from kitestring.broker.broker_books import snapshot_of
from kitestring.broker.governor import Call, Governor
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_rows import OrderRow, PositionRow, Profile
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.order_traffic import OrderTraffic, loop_seconds
from kitestring.broker.send_line import SendLine
from kitestring.domain.errors import NotLoggedIn
from kitestring.domain.events import BrokerSnapshot, Note
from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.orders import ExecutionReport, Order
from kitestring.domain.ports import Frame
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder

CLOSING_S: Final = 12.0
"""Longer than a request may take: what is on its way at the end is waited for."""


class Ticker(Protocol):
    """What ``KiteTicker`` offers here."""

    async def run(self) -> None:
        """Bring ticks until cancelled."""
        ...


class KiteBroker:
    """A ``Broker`` at Kite. ``start`` it in a running loop, and ``close`` it.

    ``entries_stopped`` is asked just before an entry leaves, however long it waited for its turn: a
    reason keeps it here. ``fenced`` is asked before every request that changes something, exits too: a
    reason means that somebody else sends now, and this house never again. ``journal`` is told to our own exchange only, which judges by it.
    """

    def __init__(
        self,
        client: KiteClient,
        *,
        now: Callable[[], Instant],
        governor: Governor | None = None,
        woken: Callable[[], None] = lambda: None,
        entries_stopped: Callable[[], str] = lambda: "",
        fenced: Callable[[], str] = lambda: "",
        journal: str = "",
        seconds: Callable[[], float] = loop_seconds,
    ) -> None:
        self._seconds = seconds
        self.merge = OrderBookMerge()
        self.line = SendLine(governor or Governor(), now)
        self.watch = BookWatch(
            client, self.merge, self.line, now=now, told=self._told, seconds=seconds
        )
        self.traffic = OrderTraffic(
            client,
            self.merge,
            self.line,
            now=now,
            told=self._answered,
            entries_stopped=entries_stopped,
            fenced=fenced,
            journal=journal,
            seconds=seconds,
        )
        self._client = client
        self._now = now
        self._woken = woken
        self._heard: deque[tuple[Instant, ExecutionReport]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._ticks: asyncio.Task[None] | None = None

    # ── its life ─────────────────────────────────────────────────────────────────────────────

    def resume(
        self,
        orders: Iterable[Order],
        waiting: Iterable[ModifyOrder | CancelOrder] = (),
        sent: Iterable[Command] = (),
    ) -> None:
        """After a restart: the journal's orders, its unanswered changes, and all it sent today.

        Nothing is sent again; the budgets of the day are counted on. Call it before ``start``.
        """
        commands = list(sent)
        tags = [command.cl_ord_id for command in commands if isinstance(command, PlaceOrder)]
        self.merge.take_up(orders, waiting, tags, self._seconds())
        self.line.governor.recount(commands)

    def start(self) -> None:
        """Begin to read the books."""
        task = asyncio.get_running_loop().create_task(self.watch.run())
        task.add_done_callback(self._watch_ended)
        self._tasks.append(task)

    async def close(self) -> None:
        """Wait for what is on its way, then read no more. Cancels and closes nothing at Kite."""
        await self.traffic.finish(CLOSING_S)
        await self.stop_ticks()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        self._told()

    # ── the socket of the engine ─────────────────────────────────────────────────────────────

    @property
    def next_due_at(self) -> Instant:
        """When the next report was heard; ``NEVER`` if none waits to be fetched."""
        return self._heard[0][0] if self._heard else NEVER

    def carry_out(self, command: Command, at: Instant) -> None:
        """Start sending one committed command."""
        del at
        self.traffic.take(command)

    def observe(self, position: int, frame: Frame) -> None:
        """The market's frames are no news to the real broker."""

    def reports_until(self, until: Instant) -> list[tuple[Instant, ExecutionReport]]:
        """Reports heard at or before ``until``, in order of arrival; each is given once."""
        told: list[tuple[Instant, ExecutionReport]] = []
        while self._heard and self._heard[0][0] <= until:
            told.append(self._heard.popleft())
        return told

    def notes(self) -> list[Note]:
        """What a person should read and no report can say; each is given once.

        Whoever takes them puts them on record at once: what they announce leaves after that.
        """
        notes, self.merge.notes = self.merge.notes, []
        if not self.merge.on_record:
            with suppress(RuntimeError):  # Without a loop nothing leaves anyway.
                asyncio.get_running_loop().call_soon(self._recorded)
        return notes

    def _recorded(self) -> None:
        if not self.merge.notes:
            self.merge.on_record = True
            self.traffic.send_changes()

    def snapshot(self, at: Instant) -> BrokerSnapshot:
        """The books as last read whole by ``refresh``; fetch the reports before comparing."""
        watch = self.watch
        return snapshot_of(
            watch.books, self.merge, at, distrust=watch.distrust, failed=watch.failed
        )

    async def refresh(self) -> str:
        """Read the books whole for the next ``snapshot``; why that failed, or nothing."""
        return await self.watch.refresh()

    def hint(self, update: Mapping[str, object] | None = None) -> None:
        """An order update, or half of one, or the link is up again: read the book at once."""
        if update is not None:
            self.merge.hint(update, self._seconds())
            self.traffic.send_changes()
        self.watch.look()

    @property
    def distrust(self) -> str:
        """Why the broker's view is not believed now; empty if it is."""
        return self.watch.distrust

    # ── the names of old ─────────────────────────────────────────────────────────────────────

    async def ensure_logged_in(self) -> Profile:
        """Whose account it is; raises ``NotLoggedIn`` where the session is dead."""
        try:
            async with self.line.turn(Call.READ):
                return await self._client.profile()
        except KiteReadFailed as error:
            if error.cause is ReadFailure.TOKEN:
                raise NotLoggedIn(error.what, do=error.do) from error
            raise

    def place_order(self, command: PlaceOrder) -> None:
        """Send an approved, journalled order; what comes of it is told as reports."""
        self.traffic.take(command)

    def modify_order(self, command: ModifyOrder) -> None:
        """Send a journalled change."""
        self.traffic.take(command)

    def cancel_order(self, command: CancelOrder) -> None:
        """Send a journalled cancellation."""
        self.traffic.take(command)

    async def fetch_positions(self) -> tuple[PositionRow, ...]:
        """Net positions of the account; a failed read raises and is never an empty list."""
        async with self.line.turn(Call.READ):
            return (await self._client.positions()).net

    async def fetch_open_orders(self) -> tuple[OrderRow, ...]:
        """Orders of the account that can still trade; a failed read raises."""
        async with self.line.turn(Call.READ):
            return tuple(row for row in await self._client.orders() if not row.status.over)

    def subscribe_ticks(self, ticker: Ticker) -> None:
        """Let a ticker run until ``stop_ticks``; its order hints belong into ``hint``."""
        assert self._ticks is None, "one ticker at a time"
        self._ticks = asyncio.get_running_loop().create_task(ticker.run())

    async def stop_ticks(self) -> None:
        """End the ticker."""
        ticks, self._ticks = self._ticks, None
        if ticks is not None:
            ticks.cancel()
            with suppress(asyncio.CancelledError):
                await ticks

    # ── what was heard ───────────────────────────────────────────────────────────────────────

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        """Without its reader the broker is blind: said loudly, and nothing it shows is believed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            why = f"reading the broker's books broke ({type(error).__name__}: {error})"
            self.watch.distrust = self.watch.failed = why
            self.merge.notes.append(Note(at=self._now(), kind="fault", sentence=f"{why}."))
            self._told()

    def _answered(self) -> None:
        """A request of ours has been answered, or will not be: see what the book makes of it."""
        self.watch.look(*AFTER_A_REQUEST_S)
        self._told()

    def _told(self) -> None:
        self.traffic.send_changes()
        reports, self.merge.reports = self.merge.reports, []
        if reports:
            at = max(self._now(), self._heard[-1][0] if self._heard else 0)
            self._heard.extend((at, report) for report in reports)
        if reports or self.merge.notes:
            self._woken()
