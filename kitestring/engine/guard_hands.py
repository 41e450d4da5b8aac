"""The guard's own hands at the broker: it reads books, withdraws orders and reduces; it can do no more.

Every order has its intent on the disk before its first byte (if any disk takes it), is sent once, and
is looked for afterwards. Budgets are the guard's own, and small: the engine's leave room for them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from kitestring.broker.broker_books import SANDWICHES, same_orders
from kitestring.broker.governor import Call, Governor, Limits
from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_market_rows import Quote
from kitestring.broker.kite_outcomes import Acked, NotSent, Rejected, SendOutcome, Unknown
from kitestring.broker.kite_rows import OrderRow, Positions
from kitestring.broker.kite_wire import intent_fields
from kitestring.broker.order_book_merge import ABSENT_AFTER_S, ABSENT_QUIET_AFTER_S, ABSENT_READS
from kitestring.broker.order_stage import Stage, stage_of
from kitestring.broker.send_line import SendLine
from kitestring.domain.errors import DiskFailed
from kitestring.domain.ids import GUARDS, HOUSE, ClOrdIds, InstrumentId, OrderId
from kitestring.domain.instants import DAY, Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrderIntent, OrdType, Product, Purpose, Side
from kitestring.engine.guard_decision import Key, Reduce, Seen, Unseen, Withdraw
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.owned_file import Owned

LIMITS: Final = Limits(
    per_second=2,
    kept_second=0,
    broker_per_second=2,
    per_minute=40,
    kept_minute=0,
    per_day=5_000,
    kept_day=0,
    others_per_second=4,
    kept_others=2,
)
"""A fifth of what the account may send a second; the engine keeps to the rest."""
THROUGH_BP: Final = (100, 200, 500, None)
"""How far through the market an order may go, one try after the other; at last the broker's own band."""
FILL_WITHIN_S: Final = 3.0
"""What is then left of an order is withdrawn, and sent again with more room."""
TRIES_MAX: Final = 10
CANCEL_AGAIN_S: Final = 3.0
REFUSED_WAIT_S: Final = 3.0


class GuardClient(Protocol):
    """What of ``KiteClient`` the guard uses."""

    async def place(self, fields: Mapping[str, str], variety: str = ...) -> SendOutcome:
        """Send a new order, once."""
        ...

    async def cancel(
        self, order_id: OrderId, variety: str, *, parent_order_id: str = ...
    ) -> SendOutcome:
        """Ask for a withdrawal, once."""
        ...

    async def orders(self) -> tuple[OrderRow, ...]:
        """The order book."""
        ...

    async def positions(self) -> Positions:
        """Net quantities."""
        ...

    async def quote(self, instruments: Iterable[InstrumentId]) -> dict[InstrumentId, Quote]:
        """Last prices."""
        ...


class _Sent(msgspec.Struct):
    key: Key
    side: Side
    qty: int
    sent_s: float
    order_id: str = ""
    over: bool = False
    """It was seen to its end, or never left."""
    certain: bool = False
    """The broker took it: that its book does not show it means that the book is old."""
    seen: bool = False
    reads_without: int = 0
    alive: bool = False
    """The book has changed since."""


class _Absent(msgspec.Struct):
    """An order of the engine's that the book does not show."""

    since_s: float
    reads: int = 0
    counted: int = 0
    alive: bool = False


class GuardHands:
    """One takeover's reads and writes."""

    def __init__(
        self, client: GuardClient, journal: GuardJournal, now: Callable[[], Instant]
    ) -> None:
        self.client = client
        self.failed = ""
        """Why the last read failed; empty after one that did not."""
        self.stuck: dict[Key, str] = {}
        """What is not tried any more, and why: a person must."""
        self.tell: Callable[[str], None] = lambda _: None
        """Reaches a person."""
        self._journal = journal
        self._unkept = False
        self._now = now
        self._line = SendLine(Governor(LIMITS), now)
        self._sent: dict[str, _Sent] = {}
        self._ids: ClOrdIds | None = None
        self._tries: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}
        self._asked: dict[str, float] = {}
        self._engines: dict[str, _Absent] = {}
        self._reads = 0
        self._changed = False
        self._rows: frozenset[OrderRow] = frozenset()

    # ── what it has sent ─────────────────────────────────────────────────────────────────────

    def take_up(self, lines: Sequence[GuardLine]) -> None:
        """What the journal says was sent in this takeover already, by a guard that died over it."""
        for line in lines:
            if line.kind == "intent" and line.tag:
                key = (InstrumentId(line.instrument), line.product)
                self._sent[line.tag] = _Sent(key, Side(line.side), line.qty, _loop_s())
            elif line.kind == "outcome" and line.tag in self._sent:
                sent = self._sent[line.tag]
                sent.certain, sent.order_id = bool(line.order_id), line.order_id
                sent.over = line.sentence.startswith("not placed")

    @property
    def tags(self) -> frozenset[str]:
        """Of every order it has sent since it took over."""
        return frozenset(self._sent)

    @property
    def fresh(self) -> frozenset[str]:
        """Of those that may still have their time to fill."""
        since = _loop_s() - FILL_WITHIN_S
        return frozenset(tag for tag, sent in self._sent.items() if sent.sent_s > since)

    def unseen(self) -> list[Unseen]:
        """Orders of its own that may exist beside the book."""
        return [
            Unseen(key=sent.key, side=sent.side, qty=sent.qty)
            for sent in self._sent.values()
            if not sent.over and not sent.seen
        ]

    def never_came(self, tag: str, *, certain: bool) -> bool:
        """Whether an order of the engine's that the book does not show can be taken as not existing.

        Asked with every read that does not show it; one that the broker took is waited for.
        """
        sent = self._engines.setdefault(tag, _Absent(_loop_s()))
        if sent.counted != self._reads:
            sent.counted = self._reads
            sent.reads += 1
        sent.alive = sent.alive or self._changed
        least_s = ABSENT_AFTER_S if sent.alive else ABSENT_QUIET_AFTER_S
        waited_s = _loop_s() - sent.since_s
        return not certain and sent.reads >= ABSENT_READS and waited_s >= least_s

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def read(self) -> Seen | None:
        """Orders, positions and orders again; ``None`` where they could not be read, or kept moving."""
        try:
            for _ in range(SANDWICHES):
                before = await self._ask_orders()
                async with self._line.turn(Call.READ, exits=True):
                    positions = await self.client.positions()
                after = await self._ask_orders()
                if same_orders(before, after):
                    self.failed = ""
                    self._look(after)
                    return Seen(after, positions.net)
        except KiteReadFailed as error:
            self.failed = error.what
            return None
        self.failed = "the order book kept changing"
        return None

    async def orders(self) -> tuple[OrderRow, ...]:
        """The order book alone. Raises ``KiteReadFailed``."""
        return await self._ask_orders()

    async def quotes(self, names: Iterable[InstrumentId]) -> dict[InstrumentId, Price]:
        """Last prices of what is quoted. Raises ``KiteReadFailed``."""
        async with self._line.turn(Call.QUOTE):
            found = await self.client.quote(names)
        return {name: quote.last_px for name, quote in found.items()}

    async def positions(self) -> Positions:
        """Positions alone. Raises ``KiteReadFailed``."""
        async with self._line.turn(Call.READ):
            return await self.client.positions()

    async def _ask_orders(self) -> tuple[OrderRow, ...]:
        async with self._line.turn(Call.READ, exits=True):
            return await self.client.orders()

    def _look(self, rows: Sequence[OrderRow]) -> None:
        """What became of its own orders."""
        self._reads += 1
        now = frozenset(rows)
        self._changed = changed = self._reads > 1 and now != self._rows
        self._rows = now
        self._line.governor.book_holds(len(rows))
        by_tag = {row.tag: row for row in rows if row.tag}
        by_id = {row.order_id: row for row in rows}
        here = _loop_s()
        for tag, sent in self._sent.items():
            if sent.over:
                continue
            row = by_tag.get(tag) or (by_id.get(OrderId(sent.order_id)) if sent.order_id else None)
            if row is None:
                sent.alive = sent.alive or changed
                sent.reads_without += 1
                least_s = ABSENT_AFTER_S if sent.alive else ABSENT_QUIET_AFTER_S
                waited_s = here - sent.sent_s
                if not sent.certain and sent.reads_without >= ABSENT_READS and waited_s >= least_s:
                    sent.over = True
                    self._note(tag, sent, "not placed: the order book never showed it")
                continue
            sent.seen = True
            sent.order_id = row.order_id
            if row.status.over:
                sent.over = True
                self._note(tag, sent, f"{row.status}, {row.cum_qty} of {row.order_qty} filled")
                if stage_of(row) is Stage.REJECTED:
                    self._refused(sent.key)

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    async def withdraw(self, asked: Withdraw) -> None:
        """Cancel an order of ours; asked again only after a while."""
        row, here = asked.row, _loop_s()
        if here < self._asked.get(row.order_id, 0.0):
            return
        self._asked[row.order_id] = here + CANCEL_AGAIN_S
        what = f"{row.side} {row.leaves_qty} {row.instrument} ({row.order_id}): {asked.why}"
        self._append("intent", f"withdraw {what}", order_id=row.order_id)
        async with self._line.turn(Call.CANCEL, exits=True, order=row.order_id) as ticket:
            outcome: SendOutcome = NotSent(why=ticket.refused)
            if not ticket.refused:
                outcome = await self.client.cancel(
                    row.order_id, row.variety, parent_order_id=row.parent_order_id
                )
        self._append("outcome", _said(outcome), order_id=row.order_id)

    async def reduce(self, asked: Reduce, owned: Owned) -> None:
        """Send an order against a position, in slices where one may not be so large."""
        key, here = asked.key, _loop_s()
        if key in self.stuck or here < self._not_before.get(key, 0.0):
            return
        tries = self._tries.get(key, 0)
        if tries >= TRIES_MAX:
            self.stuck[key] = f"{asked.qty} {key[0]} could not be closed in {tries} tries"
            self._append("note", f"{self.stuck[key]}; a person must.")
            return
        self._tries[key] = tries + 1
        through = THROUGH_BP[min(tries, len(THROUGH_BP) - 1)]
        largest = min(
            (b.freeze_qty for b in owned.books if b.instrument == key[0] and b.freeze_qty),
            default=asked.qty,
        )
        left = asked.qty
        while left > 0:
            qty = min(left, largest)
            left -= qty
            await self._place(asked, qty, through, owned)
            if key in self._not_before and _loop_s() < self._not_before[key]:
                return

    async def _place(self, asked: Reduce, qty: int, through: int | None, owned: Owned) -> None:
        instrument, product = asked.key
        tag = self._next_tag(owned)
        intent = OrderIntent(
            strategy=HOUSE,
            instrument=instrument,
            side=asked.side,
            order_qty=qty,
            ord_type=OrdType.MARKET,
            product=Product(product),
            purpose=Purpose.EXIT,
            reason="guard",
            decision_px=Price(0),
            decided_at=self._now(),
            market_protection_bp=through,
        )
        room = "the broker's own band" if through is None else f"{through / 100:g} %"
        self._append(
            "intent",
            f"reduce: {asked.side} {qty} {instrument} ({product}) at market, within {room}",
            tag=tag,
            instrument=instrument,
            product=product,
            side=asked.side.value,
            qty=qty,
        )
        sent = self._sent[tag] = _Sent(asked.key, asked.side, qty, _loop_s())
        async with self._line.turn(Call.PLACE, exits=True, order=tag) as ticket:
            outcome: SendOutcome = NotSent(why=ticket.refused)
            if not ticket.refused:
                outcome = await self.client.place(intent_fields(intent) | {"tag": tag})
        sent.sent_s = _loop_s()
        if isinstance(outcome, Acked):
            sent.order_id, sent.certain = outcome.order_id, True
        elif isinstance(outcome, Rejected | NotSent):
            sent.over = True
            self._refused(asked.key)
        self._append("outcome", _said(outcome), tag=tag, order_id=sent.order_id)

    def _refused(self, key: Key) -> None:
        """Not again at once: each refusal costs a part of the account's budget."""
        tries = self._tries.get(key, 1)
        self._not_before[key] = _loop_s() + REFUSED_WAIT_S * tries

    def _next_tag(self, owned: Owned) -> str:
        if self._ids is None:
            # Counted from the time of day: a record that was damaged, or that a full disk did not
            # take, must never make a second guard use a tag again.
            issued = self._now() // 1000 % (DAY // 1000)
            day = dt.date.fromisoformat(owned.date)
            self._ids = ClOrdIds(owned.run_key, day, issued, letter=GUARDS)
        return self._ids()

    def _note(self, tag: str, sent: _Sent, sentence: str) -> None:
        self._append("outcome", sentence, tag=tag, order_id=sent.order_id)

    def _append(self, kind: str, sentence: str, **more: str | int) -> None:
        told = {"at": self._now(), "kind": kind, "sentence": sentence} | more
        self.keep(msgspec.convert(told, GuardLine))

    def keep(self, line: GuardLine) -> None:
        """Put a line on record; where no disk takes it, act all the same, and say so once.

        Whoever only cancels and reduces does less harm without a record than by standing still.
        """
        try:
            self._journal.append(line)
        except DiskFailed as error:
            if not self._unkept:
                self._unkept = True
                self.tell(f"{error.what} The guard goes on without a record: {error.do}")


def _said(outcome: SendOutcome) -> str:
    match outcome:
        case Acked():
            return f"taken as {outcome.order_id}"
        case Rejected():
            return f"not placed: {outcome.message or outcome.error_type}"
        case NotSent():
            return f"not placed: {outcome.why}"
        case Unknown():
            return f"no answer ({outcome.why}); it is looked for"


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
