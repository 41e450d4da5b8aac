"""Turns what Kite shows of our orders into execution reports, each fact once, whatever came first.

Reports are made from rows of the order book and of the trade book; what the WebSocket says of an
order is a hint to read them, and proof that the order exists. Nothing here waits, sends or asks:
``place``/``change`` say what is being sent, ``placed``/``changed`` what came of it, ``read`` what the
books showed; ``reports`` and ``notes`` are then there to be taken.

A request without an answer stays unknown until a row shows what came of it. That an order never
reached the broker is believed only after several successful reads over two minutes, of a book that
is known to be alive (users have seen orders appear 82 s late: kite.trade forum, comment 41029).
Fills are never inferred from quantities: prices and ids come from trades.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from kitestring.broker.kite_outcomes import Acked, NotSent, Rejected, SendOutcome, Unknown
from kitestring.broker.kite_rows import OrderRow, TradeRow
from kitestring.broker.order_doubts import (
    BookRead,
    came_back,
    doubled,
    doubt,
    moved_around,
    unmoved,
    untagged_double,
)
from kitestring.broker.order_names import OrderNames
from kitestring.broker.order_stage import Stage, over_by_word, said_of, stage_of
from kitestring.broker.tracked_orders import Change, Sent, Tracked, taken_up, tracked, wanted
from kitestring.domain.events import Note
from kitestring.domain.ids import ClOrdId, ExecId, OrderId, is_ours
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import ExecType, ExecutionReport, Order
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder

ABSENT_READS: Final = 5
ABSENT_AFTER_S: Final = 120.0
ABSENT_QUIET_AFTER_S: Final = 300.0
"""Where the book has not moved around then: it may be frozen without our seeing it."""
UNTOUCHED_READS: Final = 3
UNTOUCHED_AFTER_S: Final = 10.0
"""So long may a change without an answer take to show before it is taken as not having happened."""
SHOWN_WITHIN_S: Final = 10.0
OLDER_READS_MAX: Final = 3
"""So many reads in a row with an earlier time are not taken for old copies any more."""
OWN_CANCELS_MAX: Final = 3
"""How often an order that nobody believes in is withdrawn before it is left to a person."""
TRUSTED_WITHIN_S: Final = 30.0
"""What the broker has acknowledged must show in its own book within so long, or it is not believed."""


class OrderBookMerge:
    """Every order of ours of today, and what has been told of it."""

    def __init__(self) -> None:
        self.orders: dict[str, Tracked] = {}
        self.reports: list[ExecutionReport] = []
        self.notes: list[Note] = []
        self.rows: Sequence[OrderRow] = ()
        """The book as last read."""
        self.odd: dict[str, str] = {}
        """What is unexplained now, by the order it is about: nothing new is risked meanwhile."""
        self._names = OrderNames(self.orders)
        self._tags: set[str] = set()
        self._withdrawals: Counter[str] = Counter()
        """How often the broker side itself has withdrawn an order that nobody believes in."""
        self._noted: set[tuple[str, str]] = set()
        self.strays: list[OrderRow] = []
        """Second orders under one of our tags."""
        self.on_record = False
        """Whether every note of a withdrawal of our own was taken: before that, none leaves."""
        self._seen: frozenset[str] = frozenset()
        self._before = frozenset[OrderRow]()
        self._before_began_s = self._alive_since_s = -1.0
        """The book has shown something newer than this."""

    # ── what we send, and what comes of it ───────────────────────────────────────────────────

    def place(self, command: PlaceOrder, s: float) -> Tracked:
        """An order is about to be sent."""
        order = tracked(command, s)
        self.orders[command.cl_ord_id] = order
        return order

    def change(self, command: ModifyOrder | CancelOrder) -> Change | None:
        """A change is about to be sent; ``None`` if we know of no such order."""
        order = self.orders.get(command.cl_ord_id)
        if order is None:
            return None
        change = Change(command)
        order.changes.append(change)
        return change

    def placing(self, order: Tracked, s: float) -> None:
        """The request leaves now."""
        order.sent, order.asked_s, order.seen_before = Sent.UNDER_WAY, s, self._seen

    def placed(self, order: Tracked, outcome: SendOutcome, at: Instant, s: float) -> None:
        """What came of placing an order."""
        order.answered_s = s
        if isinstance(outcome, Acked) and self._names.anothers(order, outcome.order_id):
            outcome = Unknown(why=f"the answer names {outcome.order_id}, which is another order")
        match outcome:
            case Acked():
                order.sent = Sent.ACKED
                self._names.give(order, outcome.order_id)
                if not order.told_anything and not order.changes:
                    self._tell(order, ExecType.PENDING_NEW, at)
            case Rejected():
                self._not_placed(order, outcome.message or outcome.error_type, at)
            case NotSent():
                self._not_placed(order, f"not sent: {outcome.why}", at)
            case Unknown() if order.order_id:
                order.sent = Sent.ACKED  # A row or an update has named it meanwhile.
                if not order.told_anything and not order.changes:
                    self._tell(order, ExecType.PENDING_NEW, at)
            case Unknown():
                order.sent = Sent.UNKNOWN
                self._tell(order, ExecType.UNKNOWN, at, text=outcome.why)
                order.told_anything = False

    def _not_placed(self, order: Tracked, why: str, at: Instant) -> None:
        if order.row is not None:
            self._note(
                order.cl_ord_id,
                "broker contradicts itself",
                f"The broker refused order {order.cl_ord_id} ({why}), and shows it in its book.",
                at,
            )
            order.sent = Sent.ACKED
            return
        order.sent = Sent.REFUSED
        order.over = order.believed_dead = True
        order.changes.clear()
        self._tell(order, ExecType.REJECTED, at, text=why)

    def changing(self, order: Tracked, change: Change) -> None:
        """The request for a change leaves now."""
        change.sent = Sent.UNDER_WAY
        row, command = order.row, change.command
        if row is not None:
            change.base_order_at = row.order_at or 0
            change.invisible = isinstance(command, ModifyOrder) and wanted(command, row)

    def changed(
        self, order: Tracked, change: Change, outcome: SendOutcome, at: Instant, s: float
    ) -> None:
        """What came of asking for a change; the book has the last word."""
        change.answered_s = s
        if change not in order.changes:
            return  # A row has shown its effect already, or the order is over.
        match outcome:
            case Acked():
                change.sent = Sent.ACKED
            case Rejected():
                change.sent, change.text = Sent.REFUSED, outcome.message or outcome.error_type
            case NotSent():
                self._refuse(order, change, f"not sent: {outcome.why}", at)
            case Unknown():
                change.sent = Sent.UNKNOWN
                if not change.of_our_own:
                    self._tell(order, ExecType.UNKNOWN, at, text=outcome.why)

    def take_up(
        self,
        orders: Iterable[Order],
        waiting: Iterable[ModifyOrder | CancelOrder],
        tags: Iterable[str],
        s: float,
    ) -> None:
        """After a restart: the journal's orders, and changes of which no answer is on record.

        Nothing is sent again. What may have left is unknown until the book shows what came of it.
        ``tags``: every tag of today that the journal knows, of orders long finished too.
        """
        self._tags.update(tags)
        for order in orders:
            mine = self.orders[order.cl_ord_id] = taken_up(order, s)
            if mine.order_id:
                self._names.give(mine, mine.order_id)
        for command in waiting:
            mine_or_none = self.orders.get(command.cl_ord_id)
            if mine_or_none is not None and not mine_or_none.over:
                sent = Sent.UNKNOWN if mine_or_none.order_id else Sent.WAITING
                mine_or_none.changes.append(Change(command, sent=sent, answered_s=s))

    def sendable(self) -> list[tuple[Tracked, Change]]:
        """Changes whose order has its id and that have not been sent yet."""
        return [
            (order, change)
            for order in self.orders.values()
            if order.order_id
            for change in order.changes
            if change.sent is Sent.WAITING and (self.on_record or not change.of_our_own)
        ]

    # ── hints ────────────────────────────────────────────────────────────────────────────────

    def hint(self, told: Mapping[str, object], s: float) -> None:
        """An order update of the WebSocket: remembered as a claim that the book has to bear out."""
        order_id, tag = str(told.get("order_id") or ""), told.get("tag")
        order = self._names.get(order_id)
        if order is None and isinstance(tag, str):
            order = self.orders.get(tag)
        if order is None or not order_id or order.order_id not in ("", order_id):
            return
        self._names.give(order, order_id)
        if order.sent is Sent.UNKNOWN:
            order.sent = Sent.ACKED  # It exists: only a broker who has it can speak of it.
            order.answered_s = s
        filled = told.get("filled_quantity")
        if isinstance(filled, int) and order.filled_max < filled <= order.qty:
            order.hinted_filled = max(order.hinted_filled, filled)
            order.hinted_s = order.hinted_s or s
        if over_by_word(told.get("status")) and not order.over:
            order.hinted_over = True
            order.hinted_s = order.hinted_s or s

    # ── the books ────────────────────────────────────────────────────────────────────────────

    def wants_trades(self, rows: Sequence[OrderRow]) -> bool:
        """Whether these rows count fills of ours that have not been told."""
        mine = ((row, self._names.of_row(row)) for row in rows)
        return any(order is not None and row.cum_qty > order.told_qty for row, order in mine)

    def read(self, book: BookRead) -> None:
        """Take in one successful read."""
        now = frozenset(book.orders)
        if self._before_began_s >= 0 and now != self._before:
            self._alive_since_s = self._before_began_s
        trades: dict[str, list[TradeRow]] = {}
        for trade in book.trades or ():
            trades.setdefault(trade.order_id, []).append(trade)
        shown: set[str] = set()
        for order in list(self._names.misnamed(book.orders)):
            self._misnamed(order, book)
        for row in book.orders:
            if (mine := self._names.of_row(row)) is not None:
                shown.add(mine.cl_ord_id)
                self._take_row(mine, row, trades.get(row.order_id, ()), book)
                if why := unmoved(mine, row, book.began_s):
                    self._note(f"{mine.cl_ord_id} {row.status}", "order pending", why, book.at)
            elif row.tag in self.orders:
                self._doubled(row, book.at)
            elif is_ours(row.tag) and row.tag not in self._tags:
                what = f"{row.status} {row.side} {row.order_qty} {row.instrument}"
                said = f"The broker shows {what} with our tag {row.tag}; the journal has none."
                self._note(row.order_id, "unknown order", said, book.at)
        unread = self._strange(book, shown)
        for order in list(self.orders.values()):
            if order.cl_ord_id not in shown and not unread:
                self._missing(order, book)
        self.rows = book.orders
        self._seen = self._seen | {row.order_id for row in book.orders}
        self._before, self._before_began_s = now, book.began_s

    def distrust(self, s: float) -> str:
        """Why the books of a read that began at ``s`` cannot be believed; empty if they can."""
        for order in self.orders.values():
            why = doubt(order, s, TRUSTED_WITHIN_S)
            if why:
                return why
        return next(iter(self.odd.values()), "")

    @property
    def unsettled(self) -> bool:
        """Something of ours works, or is unknown, or is still to be told."""
        return any(order.unsettled for order in self.orders.values())

    def _strange(self, book: BookRead, shown: set[str]) -> bool:
        """Say which orders of ours a row could not be read of; ``True``: one may be anybody's."""
        for row in book.strange:
            order = self._names.get(row.order_id) or self.orders.get(row.tag)
            if order is None:
                continue
            shown.add(order.cl_ord_id)
            if not order.order_id and row.order_id:
                self._names.give(order, row.order_id)
            self.odd[order.cl_ord_id] = (
                f"the broker's row of order {order.cl_ord_id} cannot be read: {row.why}"
            )
            self._note(order.cl_ord_id, "strange row", self.odd[order.cl_ord_id], book.at)
        return bool(book.strange)

    def _misnamed(self, order: Tracked, book: BookRead) -> None:
        """The id we were told is another order's: nothing is known of ours but its tag."""
        why = f"{order.order_id}, which we were told for order {order.cl_ord_id}, is another order"
        self._note(order.cl_ord_id, "wrong id", f"{why}.", book.at)
        self._names.take_back(order)
        if order.sent is Sent.ACKED:
            order.sent = Sent.UNKNOWN
            if not order.told_new and not order.over:
                self._tell(order, ExecType.UNKNOWN, book.at, text=why)
                order.told_anything = False

    # ── one order's row ──────────────────────────────────────────────────────────────────────

    def _doubled(self, row: OrderRow, at: Instant) -> None:
        """One request of ours has become two orders: the second is withdrawn, and everybody told."""
        if stage_of(row).stands and self._withdrawals[row.order_id] < OWN_CANCELS_MAX:
            self._withdraw_too(row.order_id, at)
            self.strays.append(row)
        self.odd[row.order_id] = (
            f"order {row.order_id} ({row.status}, {row.cum_qty} filled) repeats our {row.tag}"
        )
        if stage_of(row).over and not row.cum_qty:
            del self.odd[row.order_id]
        self._note(row.order_id, "order doubled", doubled(row), at)

    def owns(self, row: OrderRow) -> bool:
        """Whether an order is one of ours, even if the broker has lost its tag."""
        return self._names.of_row(row) is not None

    def tag_of(self, row: OrderRow) -> str:
        """The tag a row goes under: ours where the order is ours, even if the broker has lost it."""
        order = self._names.of_row(row)
        return order.cl_ord_id if order is not None else row.tag

    def _take_row(
        self, order: Tracked, row: OrderRow, trades: Sequence[TradeRow], book: BookRead
    ) -> None:
        stage, at = stage_of(row), book.at
        if not order.order_id:
            self._names.give(order, row.order_id)
        if order.sent in (Sent.UNKNOWN, Sent.REFUSED):
            order.sent = Sent.ACKED
        if order.believed_dead:
            self._back_from_the_dead(order, row, at)
        before = order.row
        if row.cum_qty < order.filled_max or (
            before is not None and stage_of(before).over and not stage.over
        ):
            return  # An older copy of the book than one we have seen.
        self.odd.pop(order.cl_ord_id, None)
        order.row, order.variety = row, row.variety
        order.filled_max = row.cum_qty
        order.reads_without = 0
        self._introduce(order, row, at)
        if not self._older(order, row):
            self._terms(order, row, at)
        self._trades(order, row, trades)
        if stage.over:
            self._end(order, row, at, book.ended_s)
        else:
            self._answers(order, row, book)
        if order.filled_max >= order.hinted_filled and (stage.over or not order.hinted_over):
            order.hinted_s = 0.0

    def _introduce(self, order: Tracked, row: OrderRow, at: Instant) -> None:
        """That it was received, that it works, and that its trigger has released it."""
        stage = stage_of(row)
        if stage is Stage.PENDING:
            if not order.told_anything and not order.changes and not order.over:
                self._tell(order, ExecType.PENDING_NEW, row.order_at or at)
            return
        rested = row.cum_qty > 0 or (stage is not Stage.REJECTED and row.exchange_order_id)
        if not order.told_new and rested and not order.over:
            order.told_new = True
            # The terms as they were asked for: a change since then is told after it.
            self._tell(order, ExecType.NEW, self._stamp(order, row, at), qty=order.qty)
        fired = stage is Stage.RESTING or row.cum_qty > 0
        if order.is_stop and fired and not order.told_trigger and not order.over:
            order.told_trigger = True
            self._tell(order, ExecType.TRIGGERED, self._stamp(order, row, at))

    def _older(self, order: Tracked, row: OrderRow) -> bool:
        """A copy from before the last change we have seen shows old terms.

        But times never rule alone: a broker whose clock was set back is believed after a few reads.
        """
        at = row.order_at or 0
        order.older_reads = order.older_reads + 1 if at < order.registered_at else 0
        if 0 < order.older_reads < OLDER_READS_MAX:
            return True
        order.registered_at, order.older_reads = at, 0
        return False

    def _terms(self, order: Tracked, row: OrderRow, at: Instant) -> None:
        """Tell changed terms, whoever has changed them."""
        settled = stage_of(row).stands or stage_of(row) in (Stage.COMPLETE, Stage.CANCELLED)
        if not settled or order.over or not order.told_new or not order.differs(row):
            return
        order.take_terms(row)
        self._tell_terms(order, row, at)

    def _tell_terms(self, order: Tracked, row: OrderRow, at: Instant) -> None:
        self._tell(
            order,
            ExecType.REPLACED,
            self._stamp(order, row, at),
            price=row.price or None,
            stop_px=row.stop_px or None,
            qty=row.order_qty,
        )
        for change in list(order.changes):
            command = change.command
            if isinstance(command, ModifyOrder):
                # Answered, or crossed by somebody else's change: the core knows the terms now.
                order.changes.remove(change)
                if wanted(command, row):
                    order.price = command.price or order.price
                    order.stop_px = command.stop_px or order.stop_px
                if command.ord_type is not None:
                    order.ord_type = command.ord_type

    def _trades(self, order: Tracked, row: OrderRow, trades: Sequence[TradeRow]) -> None:
        for trade in sorted(trades, key=lambda each: (each.fill_at or 0, each.trade_id)):
            if trade.trade_id in order.trade_ids:
                continue
            filled_at = trade.fill_at or trade.exchange_at or self._stamp(order, row, 0)
            if order.told_qty + trade.qty > order.qty and not order.over:
                # The trade book was read after the order book: a change of ours has come between.
                if order.told_qty + trade.qty > row.order_qty:
                    return  # Told with a row that shows it, or it were more than was ordered.
                order.qty, filled_at = row.order_qty, max(filled_at, order.terms_at)
            order.trade_ids.add(trade.trade_id)
            order.told_qty += trade.qty
            self._tell(order, ExecType.TRADE, filled_at, qty=order.qty, trade=trade)

    def _end(self, order: Tracked, row: OrderRow, at: Instant, s: float) -> None:
        """The order is over as soon as every trade that its row counts has been told."""
        if order.over and not order.believed_dead:
            return
        if order.told_qty < row.cum_qty:
            if order.untold_since_s < 0:
                order.untold_since_s = s
            elif s - order.untold_since_s > SHOWN_WITHIN_S:
                self.odd[order.cl_ord_id] = (
                    f"the order book counts {row.cum_qty} filled of order {order.cl_ord_id}, the"
                    f" trade book shows {order.told_qty}"
                )
                self._note(order.cl_ord_id, "trades missing", self.odd[order.cl_ord_id], at)
            return
        told_already, order.over, order.believed_dead = order.over, True, False
        order.changes.clear()
        order.untold_since_s = -1.0
        if told_already:
            return
        if stage_of(row) is Stage.CANCELLED:
            self._tell(
                order,
                ExecType.CANCELED,
                self._stamp(order, row, at),
                text=said_of(row),
                qty=row.order_qty,
            )
        elif stage_of(row) is Stage.REJECTED:
            self._tell(order, ExecType.REJECTED, self._stamp(order, row, at), text=said_of(row))

    # ── answers to changes ───────────────────────────────────────────────────────────────────

    def _answers(self, order: Tracked, row: OrderRow, book: BookRead) -> None:
        for change in list(order.changes):
            if change.sent in (Sent.WAITING, Sent.UNDER_WAY) or book.began_s < change.answered_s:
                continue
            if change.sent is Sent.REFUSED:
                self._refuse(order, change, change.text, book.at)
                continue
            if not stage_of(row).stands:
                continue
            command = change.command
            registered = (row.order_at or 0) > change.base_order_at > 0
            proven = registered or change.sent is Sent.ACKED or not change.invisible
            as_wanted = isinstance(command, ModifyOrder) and wanted(command, row)
            if as_wanted and proven and not said_of(row):
                self._tell_terms(order, row, book.at)
            elif registered or said_of(row):
                said = said_of(row) or "the order stands as it did"
                self._refuse(order, change, said, book.at)
            else:
                self._untouched(order, change, book)

    def _untouched(self, order: Tracked, change: Change, book: BookRead) -> None:
        """The book shows no trace of a change: taken as not having happened, after a while."""
        change.reads += 1
        waited_s = book.ended_s - change.answered_s
        if change.reads < UNTOUCHED_READS or waited_s < UNTOUCHED_AFTER_S:
            return
        if change.sent is Sent.ACKED and self._alive_since_s <= change.answered_s:
            return  # It was acknowledged; a book that shows nothing of it is not believed.
        what = "cancellation" if change.cancels else "modification"
        self._refuse(
            order,
            change,
            f"no trace of the {what} in {change.reads} reads over {waited_s:.0f} s",
            book.at,
        )

    def _refuse(self, order: Tracked, change: Change, text: str, at: Instant) -> None:
        order.changes.remove(change)
        if not change.of_our_own:
            kind = ExecType.CANCEL_REJECTED if change.cancels else ExecType.REPLACE_REJECTED
            self._tell(order, kind, at, text=text)

    # ── orders the book does not show ────────────────────────────────────────────────────────

    def _missing(self, order: Tracked, book: BookRead) -> None:
        if order.row is not None:
            if not order.over:
                self.odd[order.cl_ord_id] = (
                    f"order {order.cl_ord_id} has been in the order book and is not there any more"
                )
            return
        if order.over:
            return
        for change in [each for each in order.changes if each.sent is Sent.REFUSED]:
            self._refuse(order, change, change.text, book.at)
        if order.sent is Sent.ACKED:
            why = doubt(order, book.began_s, SHOWN_WITHIN_S)
            if why:
                self._note(order.cl_ord_id, "order not shown", f"{why}.", book.at)
        if order.sent is not Sent.UNKNOWN or book.began_s < order.answered_s:
            return
        order.reads_without += 1
        waited_s = book.ended_s - order.answered_s
        alive = moved_around(order, self._alive_since_s, book.orders)
        least_s = ABSENT_AFTER_S if alive else ABSENT_QUIET_AFTER_S
        if order.reads_without < ABSENT_READS or waited_s < least_s:
            return
        double = untagged_double(order, book.orders, self._names)
        if double:
            self._note(order.cl_ord_id, "order without tag", double, book.at)
            self.odd[order.cl_ord_id] = double
            return
        if self.distrust(book.began_s):
            return
        order.over = order.believed_dead = True
        order.changes.clear()
        self._tell(
            order,
            ExecType.REJECTED,
            book.at,
            text=f"never reached the broker: not in {order.reads_without} reads of its order book"
            f" over {waited_s:.0f} s",
        )

    def _back_from_the_dead(self, order: Tracked, row: OrderRow, at: Instant) -> None:
        """It was told as refused, and is there: withdraw what can be, and let nobody overlook it."""
        self._note(order.cl_ord_id, "order came back", came_back(order, row), at)
        tries = self._withdrawals[row.order_id]
        if stage_of(row).stands and not order.changes and tries < OWN_CANCELS_MAX:
            self._withdraw_too(row.order_id, at)
            cancel = CancelOrder(cl_ord_id=ClOrdId(order.cl_ord_id), at=at, reason="came back")
            order.changes.append(Change(cancel, of_our_own=True))

    def _withdraw_too(self, order_id: str, at: Instant) -> None:
        self._withdrawals[order_id] += 1
        self.on_record = False
        said = f"Order {order_id} is withdrawn, try {self._withdrawals[order_id]}."
        self._note(f"{order_id} {self._withdrawals[order_id]}", "own cancel", said, at)

    # ── telling ──────────────────────────────────────────────────────────────────────────────

    def _stamp(self, order: Tracked, row: OrderRow, at: Instant) -> Instant:
        """When the row came to be what it is; never before what was told of its terms already."""
        return max(row.exchange_update_at or row.order_at or at, order.terms_at)

    def _tell(
        self,
        order: Tracked,
        kind: ExecType,
        at: Instant,
        *,
        text: str = "",
        qty: int | None = None,
        price: Price | None = None,
        stop_px: Price | None = None,
        trade: TradeRow | None = None,
    ) -> None:
        order.told_anything = True
        if qty is not None:
            order.terms_at = max(order.terms_at, at)
        self.reports.append(
            ExecutionReport(
                cl_ord_id=ClOrdId(order.cl_ord_id),
                exec_type=kind,
                event_at=at,
                order_id=OrderId(order.order_id) if order.order_id else None,
                exec_id=ExecId(trade.trade_id) if trade is not None else None,
                last_qty=trade.qty if trade is not None else 0,
                last_px=trade.px if trade is not None else Price(0),
                cum_qty=order.told_qty,
                price=price,
                stop_px=stop_px,
                order_qty=qty,
                text=text,
            )
        )

    def _note(self, about: str, kind: str, sentence: str, at: Instant) -> None:
        """Say a thing once."""
        if (about, kind) not in self._noted:
            self._noted.add((about, kind))
            self.notes.append(Note(at=at, kind=kind, sentence=sentence))
