"""Reads the broker's books as often as the orders need it, one read at a time.

At once after a hint and after every request of ours, every few seconds while an order of ours works
or is unknown, twice a minute otherwise, ever more slowly while reads fail. A failed read changes
nothing and counts for nothing; that it failed is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from kitestring.broker.broker_books import SANDWICHES, Books, same_orders
from kitestring.broker.governor import Call
from kitestring.broker.kite_errors import KiteAnswerStrange, KiteReadFailed, StrangeRow
from kitestring.broker.kite_rows import OrderRow, Positions, TradeRow
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.order_doubts import BookRead
from kitestring.broker.order_traffic import loop_seconds
from kitestring.broker.others_trades import TRADE_OF_OTHERS, Bystander
from kitestring.broker.send_line import SendLine
from kitestring.domain.events import Note
from kitestring.domain.instants import Instant

WORKING_EVERY_S: Final = 2.5
IDLE_EVERY_S: Final = 30.0
AFTER_A_REQUEST_S: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Nothing is pushed when an order is merely placed, so the book is looked at after each request."""
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 8.0
BUDGET_SAID_PCT: Final = 60
"""Of the day's orders: used up so far, it is said."""
SILENT_AFTER_S: Final = 10.0
"""Failing for so long is worth a line in the day's story."""
_Read = TypeVar("_Read")


class BookReads(Protocol):
    """The reads of ``KiteClient`` that books are made of."""

    async def orders(self) -> tuple[OrderRow, ...]:
        """The order book."""
        ...

    async def trades(self) -> tuple[TradeRow, ...]:
        """The trade book."""
        ...

    async def positions(self) -> Positions:
        """Net quantities."""
        ...


class BookWatch:
    """The one reader of the broker's books. ``told`` is called when there is news to fetch."""

    def __init__(
        self,
        client: BookReads,
        merge: OrderBookMerge,
        line: SendLine,
        *,
        now: Callable[[], Instant],
        told: Callable[[], None],
        seconds: Callable[[], float] = loop_seconds,
    ) -> None:
        self._seconds = seconds
        """The exchange's, by which its books are believed; when to read is a matter of ours."""
        self.books: Books | None = None
        """Orders and positions as last read whole."""
        self.failed = ""
        """Why the last attempt to read them whole failed; empty after one that did not."""
        self.failure: KiteReadFailed | None = None
        """Why the last read of the order book failed; ``None`` after one that did not."""
        self.distrust = ""
        self._client = client
        self._merge = merge
        self._line = line
        self._now = now
        self._told = told
        self._reading = asyncio.Lock()
        self._stirred = asyncio.Event()
        self._looks: list[float] = []
        self._ended_s = -IDLE_EVERY_S
        self._failing_since_s = 0.0
        self._failures = 0
        self._silent = False
        self._bystander = Bystander()
        self._budget_said = False

    def look(self, *after_s: float) -> None:
        """Read the book so many seconds from now; at once without any."""
        here = loop_seconds()
        self._looks += [here + each for each in after_s or (0.0,)]
        self._stirred.set()

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self._until_due()
            async with self._reading:
                await self._read_book()

    async def refresh(self) -> str:
        """Read orders, trades, positions and orders again; why that failed, or nothing."""
        async with self._reading:
            try:
                self.failed = await self._sandwich()
            except KiteReadFailed as error:
                self.failed = error.what
        return self.failed

    async def _sandwich(self) -> str:
        for _ in range(SANDWICHES):
            before = await self._ask(Call.READ, self._client.orders)
            trades = await self._ask(Call.READ, self._client.trades)
            positions = await self._ask(Call.READ, self._client.positions)
            after = await self._read_book()
            if after is None:
                return self.failure.what if self.failure is not None else "a row cannot be read"
            if same_orders(before, after):
                self.books = Books(after, trades, positions.net, self._now())
                return ""
        return f"orders kept changing between {SANDWICHES} pairs of reads"

    async def _until_due(self) -> None:
        while True:
            self._stirred.clear()
            here = loop_seconds()
            every = WORKING_EVERY_S if self._merge.unsettled else IDLE_EVERY_S
            due = min([self._ended_s + every, *self._looks])
            if self._failures:
                wait_s = min(BACKOFF_FIRST_S * 2.0 ** (self._failures - 1), BACKOFF_MAX_S)
                due = max(due, self._ended_s + wait_s)
            if due <= here:
                self._looks = [look for look in self._looks if look > here]
                return
            try:
                async with asyncio.timeout(due - here):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    async def _read_book(self) -> tuple[OrderRow, ...] | None:
        """One read into the merge; ``None`` if it failed, or could be read in part only."""
        began_s = self._seconds()
        strange: tuple[StrangeRow, ...] = ()
        try:
            async with self._line.turn(Call.READ):
                began_s = self._seconds()
                rows = await self._client.orders()
        except KiteAnswerStrange as error:
            if not error.strange:
                self._unread(error)
                return None
            rows, strange = _rows_of(error), error.strange
            self.failure = error
        except KiteReadFailed as error:
            self._unread(error)
            return None
        trades = await self._trades() if self._merge.wants_trades(rows) else None
        self._take(rows, trades, strange, began_s)
        return None if strange else rows

    async def _trades(self) -> tuple[TradeRow, ...] | None:
        try:
            return await self._ask(Call.READ, self._client.trades)
        except KiteAnswerStrange as error:
            return tuple(row for row in error.rows if isinstance(row, TradeRow))
        except KiteReadFailed:
            return None  # Told when they can be read; until then the order is not over.

    async def _ask(self, call: Call, read: Callable[[], Awaitable[_Read]]) -> _Read:
        async with self._line.turn(call):
            return await read()

    def _take(
        self,
        rows: tuple[OrderRow, ...],
        trades: tuple[TradeRow, ...] | None,
        strange: tuple[StrangeRow, ...],
        began_s: float,
    ) -> None:
        merge, at = self._merge, self._now()
        self._ended_s = loop_seconds()
        self._failures = 0
        if not strange:
            self.failure = None
        if self._silent:
            self._silent = False
            silent_s = self._ended_s - self._failing_since_s
            self._note(
                "books read again", f"The order book can be read again after {silent_s:.0f} s."
            )
        merge.read(
            BookRead(
                orders=rows,
                trades=trades,
                began_s=began_s,
                ended_s=self._seconds(),
                at=at,
                strange=strange,
            )
        )
        self._line.governor.book_holds(len(rows))
        self._count_orders()
        if not strange and (beside := self._bystander.look(rows, merge)):
            self._note(TRADE_OF_OTHERS, beside)
        if trades is None and merge.wants_trades(rows):
            self.look(0.5)
        self._weigh(merge.distrust(began_s))
        self._told()

    def _count_orders(self) -> None:
        """Say once that most of the day's orders are used up, while there are still enough for exits."""
        governor = self._line.governor
        limits, sent = governor.limits, governor.orders_today
        if self._budget_said or sent * 100 < limits.per_day * BUDGET_SAID_PCT:
            return
        self._budget_said = True
        self._note(
            "order budget",
            f"{sent} of today's {limits.per_day} orders of the account are used up; entries end at "
            f"{limits.per_day - limits.kept_day}, the rest is kept for exits.",
        )

    def _weigh(self, why: str) -> None:
        """Say once that the books are not believed, and once that they are again."""
        if why and not self.distrust:
            self._note("VIEW_UNTRUSTED", f"The broker's books are not believed: {why}.")
        elif self.distrust and not why:
            self._note("view trusted", f"The broker's books are believed again ({self.distrust}).")
        self.distrust = why

    def _unread(self, error: KiteReadFailed) -> None:
        self.failure = error
        self._ended_s = loop_seconds()
        if not self._failures:
            self._failing_since_s = self._ended_s
        self._failures += 1
        if not self._silent and self._ended_s - self._failing_since_s >= SILENT_AFTER_S:
            self._silent = True
            self._note("books unread", f"{error.what} Tried {self._failures} times.")
            self._told()

    def _note(self, kind: str, sentence: str) -> None:
        self._merge.notes.append(Note(at=self._now(), kind=kind, sentence=sentence))


def _rows_of(error: KiteAnswerStrange) -> tuple[OrderRow, ...]:
    return tuple(row for row in error.rows if isinstance(row, OrderRow))
