"""The desk that gets the house out: exits, withdrawn entries, square-off and what a halt does.

The core says *that* a position is to be left, the exits say *what* that takes (``exits.py``), and
here it is sent. Nothing here decides to enter, and nothing here asks risk for leave: an exit is
never blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, assert_never

from kitestring.core.broker_view import BrokerView
from kitestring.core.core_state import CoreState
from kitestring.core.exits import WITHDRAW_AFTER, Exits, Want
from kitestring.core.instrument_view import InstrumentView
from kitestring.core.order_manager import Applied, OrderManager
from kitestring.core.order_rules import judge
from kitestring.core.portfolio import Portfolio
from kitestring.core.risk_engine import RiskEngine
from kitestring.core.settings import DaySettings
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import NEVER, SECOND, Instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    ExitReason,
    Order,
    OrderIntent,
    OrdStatus,
    Product,
)
from kitestring.domain.positions import Book
from kitestring.domain.sessions import Session
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import (
    Approved,
    CancelOrder,
    Command,
    HaltPolicy,
    HaltSession,
    ModifyOrder,
)

ENTRY_PATIENCE: Final = 30 * SECOND
"""How long the remainder of a protected market entry may rest before it is withdrawn."""
RESTING: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
_UNCHANGED: Final = (ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED)


class Market(NamedTuple):
    """What is fixed for the day: settings, instruments with their sessions, and views of the market."""

    settings: DaySettings
    instruments: Mapping[InstrumentId, Instrument]
    sessions: Mapping[Segment, Session]
    views: Mapping[InstrumentId, InstrumentView]


class Ways(NamedTuple):
    """The desk's ways out of itself: the core's, which numbers, records and sends."""

    place: Callable[[Approved, Instant, Signal | None], None]
    send: Callable[[Command], None]
    wake: Callable[[Instant], None]
    schedule: Callable[[], None]
    note: Callable[[str, str], None]


class ExitDesk:
    """Sends what the exits want, and takes back entries that are over. ``state`` is the core's own."""

    __slots__ = (
        "_exits",
        "_market",
        "_note",
        "_orders",
        "_place",
        "_portfolio",
        "_risk",
        "_schedule",
        "_send",
        "_views",
        "_wake",
        "state",
        "view",
    )
    view: BrokerView
    """Put here by the core right after it is made: each of the two needs the other."""

    def __init__(
        self,
        market: Market,
        parts: tuple[OrderManager, Portfolio, Exits, RiskEngine],
        ways: Ways,
        state: CoreState,
    ) -> None:
        self.state = state
        self._market = market
        self._views = market.views
        self._orders, self._portfolio, self._exits, self._risk = parts
        self._place, self._send, self._wake, self._schedule, self._note = ways

    # ── getting out ─────────────────────────────────────────────────────────────────────────────

    def leave(self, book: Book, reason: ExitReason) -> None:
        """Decide to be flat, for a reason; a book without a position only takes its entries back."""
        if book.frozen and reason is not ExitReason.EXPIRY:
            return
        left_to = self.view.left_to(book)
        if left_to and book.net_qty:
            self._note(
                "unprotected position",
                f"{book.net_qty} {book.instrument} of {book.owner or book.strategy} should be left now "
                f"({reason.value}), and nothing is sent: {left_to} Beside it an exit of ours could sell "
                "twice. Withdraw it in Kite and close the position there; the house books what it finds.",
            )
            return
        trade = book.trade
        if trade is None:
            self.withdraw_entries(book, reason.value)
        elif trade.leaving is None:
            trade.leaving = reason
        self.settle(book)

    def settle(self, book: Book) -> None:
        """Send what lies between the plan of a book and what works for it."""
        trade = book.trade
        if book.frozen and trade is not None and trade.leaving is not ExitReason.EXPIRY:
            # Shown and counted: nothing is sent for it, whoever asks. An exit that is not ours to see
            # may stand for it.
            return
        view = self._views[book.instrument]
        at = self.state.now
        session = self._market.sessions[view.instrument.segment]
        # After the close nothing is sent: what lapses with the day is not sent anew.
        wants = self._exits.settle(book, view, at) if at < session.close_at else []
        # Whatever a caller decided about the trade (leaving, a signal that waits) ends here.
        if book.net_qty:
            self._portfolio.touch(book)
        if wants or self.view.state.confirmed:  # Also what rests already may be too large now.
            for want in self.view.clip(book, wants, self.state.now):
                self.want(want)
        exits = self._exits
        if exits.notes:
            for kind, sentence in exits.notes:
                self._note(kind, sentence)
            exits.notes.clear()
        if exits.wake_at < NEVER:
            self._wake(exits.wake_at)
            exits.wake_at = NEVER
            self._schedule()

    def want(self, want: Want) -> None:
        """Send one thing that was asked for, and count it against the day's budgets."""
        match want:
            case OrderIntent():
                self._send_exit(want)
            case ModifyOrder():
                self._orders.modifying(want)
                self._risk.order_sent(self.state.now, is_entry=False)
                self._send(want)
            case CancelOrder():
                self._orders.cancelling(want)
                # Whether Kite counts cancels in its budgets is not published; we do.
                self._risk.order_sent(self.state.now, is_entry=False)
                self._send(want)
            case _:
                assert_never(want)

    def _send_exit(self, intent: OrderIntent) -> None:
        """An exit goes out whatever our own rules think of it: they only say so beforehand."""
        at = self.state.now
        instrument = self._market.instruments[intent.instrument]
        denial = judge(intent, instrument, self._market.sessions[instrument.segment].phase_at(at))
        if denial is not None:
            self._note("exit doubted", f"{intent.strategy}: {denial.sentence} Sent all the same.")
        self._place(self._risk.approve_exit(intent, at), at, None)

    def learn(self, order: Order, book: Book, applied: Applied, report: ExecutionReport) -> None:
        """What a refusal, or the end of one, means for getting out of the position."""
        at, kind, sentence = self.state.now, report.exec_type, ""
        if not order.is_exit:
            if kind is ExecType.NEW or applied.fill is not None:
                self._risk.entry_taken(order.strategy)
            elif applied.finished and order.status is OrdStatus.REJECTED and not order.cum_qty:
                self._risk.entry_refused(order, at)
        if applied.finished and not order.is_exit:
            trade = book.trade
            refused = order.status in (OrdStatus.REJECTED, OrdStatus.CANCELED)
            stays = book.net_qty * order.side.sign < 0
            if applied.unasked and order.status is OrdStatus.CANCELED:
                self.view.withdrawn(order, book, report)
            if refused and stays and trade is not None and trade.leaving is None:
                # The reversal did not happen, but the strategy has left the old side.
                trade.leaving = ExitReason.REVERSAL
        elif applied.finished and order.status is OrdStatus.REJECTED:
            sentence = self._exits.rejected(book, order, at)
        elif applied.finished and order.status is OrdStatus.CANCELED and applied.unasked:
            if not self.view.withdrawn(order, book, report):
                sentence = self._exits.withdrawn(book, order, at)
        elif kind in _UNCHANGED and order.is_exit and not order.status.terminal:
            self._exits.unchanged(book, order, at)
        elif order.is_exit and (applied.fill is not None or kind is ExecType.REPLACED):
            self._exits.answered(book, traded=applied.fill is not None)
        if sentence:
            self._note("exit refused", sentence)

    def square_off(self, at: Instant) -> None:
        """From its square-off on, leave what must not stay: intraday positions, and what expires."""
        for segment, session in self._market.sessions.items():
            if at < session.square_off_at or segment.value in self.state.squared_off:
                continue
            self.state.squared_off.append(segment.value)
            left = 0
            expiring = 0
            for book in self.busy_books(frozen_too=True):
                instrument = self._market.instruments[book.instrument]
                if instrument.segment is not segment:
                    continue
                if book.product is Product.MIS and not book.frozen:
                    left += 1
                    self.leave(book, ExitReason.SQUARE_OFF)
                elif instrument.expiry == self._market.settings.date:
                    expiring += 1
                    self.leave(book, ExitReason.EXPIRY)
            if left:
                self._note("square-off", f"Squaring off {left} intraday book(s) of {segment}.")
            if expiring:
                self._note("expiry", f"Closing {expiring} book(s) of {segment} that expire today.")

    # ── entries that are over ───────────────────────────────────────────────────────────────────

    def withdraw_entries(self, book: Book, reason: str) -> None:
        """Take back what still rests of a book's entries."""
        for order in list(self._orders.working(book.strategy)):
            if not order.is_exit and order.status in RESTING:
                self.want(CancelOrder(cl_ord_id=order.cl_ord_id, at=self.state.now, reason=reason))

    def halted(self, halt: HaltSession) -> None:
        """Entries are over for today: withdraw those that work, then run the halt's policy."""
        for order in self._orders.entries_working():
            if order.status in RESTING:
                self.want(CancelOrder(cl_ord_id=order.cl_ord_id, at=self.state.now, reason="halt"))
        if halt.policy is HaltPolicy.FLATTEN:
            for book in list(self._portfolio.books.values()):
                if book.net_qty:
                    self.leave(book, ExitReason.HALT)

    def give_up_entries(self, book: Book, at: Instant) -> None:
        """An entry that still rests after ENTRY_PATIENCE is withdrawn: its signal is old by then."""
        for order in list(self._orders.working(book.strategy)):
            if order.is_exit or order.status not in RESTING:
                continue
            if at - order.created_at >= ENTRY_PATIENCE:
                self.want(CancelOrder(cl_ord_id=order.cl_ord_id, at=at, reason="entry went stale"))
            else:
                self._wake(order.created_at + ENTRY_PATIENCE)

    def late_entry(self, order: Order, told: ExecType | None) -> None:
        """An entry acknowledged after entries were over is withdrawn."""
        if order.is_exit or order.status not in RESTING:
            return
        squared_off = self.state.squared_off
        halted = self._risk.state.halted is not None or self.view.shut(order.instrument)
        over = halted or (
            bool(squared_off)
            and self._ends_today(order.instrument, order.product)
            and self._market.instruments[order.instrument].segment.value in squared_off
        )
        if not over:
            return
        if told is ExecType.CANCEL_REJECTED:
            self._wake(self.state.now + WITHDRAW_AFTER)  # Not at once again: see ``_on_timer``.
        else:
            self.want(
                CancelOrder(cl_ord_id=order.cl_ord_id, at=self.state.now, reason="entries over")
            )

    def late_leaving(self, book: Book) -> None:
        """A position that appears after its time is over (halted, squared off) is closed again."""
        trade = book.trade
        if trade is None or trade.leaving is not None or book.frozen:
            return
        halted, squared_off = self._risk.state.halted, self.state.squared_off
        if (
            squared_off
            and self._ends_today(book.instrument, book.product)
            and self._market.instruments[book.instrument].segment.value in squared_off
        ):
            mis = book.product is Product.MIS
            trade.leaving = ExitReason.SQUARE_OFF if mis else ExitReason.EXPIRY
        elif halted is not None and halted.policy is HaltPolicy.FLATTEN:
            trade.leaving = ExitReason.HALT
        elif self._risk.has_lost(book.strategy):
            trade.leaving = ExitReason.STRATEGY_LOSS

    def _ends_today(self, instrument: InstrumentId, product: Product) -> bool:
        """Whether a position must be flat by the close: intraday, or in a contract's last session."""
        return (
            product is Product.MIS
            or self._market.instruments[instrument].expiry == self._market.settings.date
        )

    def busy_books(self, *, frozen_too: bool = False) -> list[Book]:
        """Books with a position or an order; a frozen one only once it is being closed."""
        by_strategy = self._orders.by_strategy
        return [
            book
            for name, book in self._portfolio.books.items()
            if (book.net_qty and (frozen_too or not book.frozen)) or by_strategy.get(name)
        ]
