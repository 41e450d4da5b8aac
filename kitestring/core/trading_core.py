"""The centre of the house: one event in, the orders it calls for out.

``step(inbox, event) -> commands`` is synchronous and owns all state. It reads no clock, touches no
disk and no network and draws no chance: the same events give the same commands, bit for bit. What
happened is left in ``facts`` (for the journal) and what changed in ``dirty`` (the cells from which
a restart restores the day without deciding anything again).

One tick: frame → market data → marks and targets of open positions → risk's watch.
One bar: timer → closed bars → strategies → signal → risk → order.
One report: order's life → fill → book → exits settle → cells.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

import msgspec

from kitestring.core.account import Account
from kitestring.core.cells import Dirty
from kitestring.core.core_state import CELL, CoreState
from kitestring.core.exits import WITHDRAW_AFTER, Exits, Want
from kitestring.core.market_data_engine import MarketDataEngine
from kitestring.core.order_manager import Applied, OrderManager
from kitestring.core.order_rules import judge, slices
from kitestring.core.portfolio import Portfolio
from kitestring.core.reconciler import differences
from kitestring.core.risk_engine import HALT_CODES, EntryRequest, RiskEngine, Usage
from kitestring.core.settings import DaySettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_engine import StrategyEngine
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.charges import ChargeBook
from kitestring.domain.events import (
    BrokerSnapshot,
    DayOpening,
    Discrepancy,
    Event,
    Fact,
    Gap,
    HistoryLoaded,
    Note,
    OperatorCommand,
    OperatorWord,
    Reports,
    SessionEnded,
    StrategyOff,
    StrategyReady,
    TimerFired,
)
from kitestring.domain.ids import ClOrdIds, InstrumentId, StrategyId
from kitestring.domain.instants import NEVER, SECOND, Instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    ExitReason,
    Order,
    OrderIntent,
    OrdStatus,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.ports import MarginModel
from kitestring.domain.positions import Book, CarriedPosition
from kitestring.domain.sessions import Session
from kitestring.domain.signals import Action, Signal
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    CancelOrder,
    Command,
    HaltPolicy,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)

WATCH_EVERY: Final = SECOND
"""How often open positions are weighed against the loss limits, in market time."""
FACTS_MAX: Final = 512
"""Bars wait for the next commit; this many of them make one of their own."""
REENTRY_WITHIN: Final = 60 * SECOND
"""A reversal that had to wait for flat is dropped when its signal is older than this."""

ENTRY_PATIENCE: Final = 30 * SECOND
"""How long the remainder of a protected market entry may rest before it is withdrawn."""
_RESTING: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
_UNCHANGED: Final = (ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED)
_NOTHING: Final[tuple[Command, ...]] = ()


class TradingCore:
    """All state of a trading day and the one way it changes."""

    def __init__(
        self,
        settings: DaySettings,
        *,
        instruments: Sequence[Instrument],
        sessions: Mapping[Segment, Session],
        definitions: Mapping[str, StrategyDefinition],
        charge_book: ChargeBook,
        margins: MarginModel,
        previous_close: Mapping[InstrumentId, Price],
    ) -> None:
        self.settings = settings
        self.facts: list[Fact] = []
        self.dirty: Dirty = {}
        self.must_commit = False
        self.next_due_at: Instant = NEVER
        self.state = CoreState(now=min(session.open_at for session in sessions.values()))

        self.instruments = {instrument.id: instrument for instrument in instruments}
        self.sessions = sessions
        self._strategies_by_name = {row.name: row for row in settings.strategies}
        self._capped = tuple(row for row in settings.strategies if row.loss_max is not None)
        risk = settings.risk
        self.strategies = StrategyEngine(
            settings.strategies, definitions, self.instruments, sessions, self.dirty
        )
        self.market = MarketDataEngine(
            instruments,
            sessions,
            timeframes=self.strategies.timeframes(),
            bar_grace=settings.bar_grace_ms * 1000,
            price_jump_pct_max=risk.price_jump_pct_max,
            stale_after=int(risk.stale_after_s * SECOND),
            previous_close=previous_close,
        )
        self.orders = OrderManager(self.dirty)
        self.portfolio = Portfolio(self.instruments, charge_book, self.dirty)
        self.exits = Exits(self.orders, self.instruments)
        self.account = Account(
            self.portfolio,
            self.orders,
            self.market.views,
            sessions,
            margins,
            opening_equity=settings.capital,
            stale_after=int(risk.stale_after_s * SECOND),
        )
        self.risk = RiskEngine(risk, settings.capital, settings.date, self.dirty)
        self._ids = ClOrdIds(settings.run_key, settings.date)
        self._commands: list[Command] = []
        self._positions: dict[StrategyId, int] = {}
        for row in settings.strategies:
            self.risk.admit(row)
            self.portfolio.open(row.name, row.instrument, row.product)
            self._positions[row.name] = 0
        for session in sessions.values():
            self._wake(session.square_off_at)
        self._views = self.market.views
        self._by_type: dict[type, Callable[..., None]] = {
            TickFrame: self._on_ticks,
            BarFrame: self._on_bars,
            TimerFired: self._on_timer,
            Reports: self._on_reports,
            HistoryLoaded: self._on_history,
            OperatorCommand: self._on_operator,
            Gap: self._on_gap,
            BrokerSnapshot: self._on_snapshot,
            SessionEnded: self._on_end,
            DayOpening: self._on_opening,
        }
        self._schedule()

    # ── the one way in ──────────────────────────────────────────────────────────────────────────

    def step(self, event: Event) -> Sequence[Command]:
        """Take one event; return the commands it calls for, to be journalled and then carried out."""
        self._by_type[type(event)](event)
        if not self._commands:
            return _NOTHING
        commands = self._commands
        self._commands = []
        self.must_commit = True
        return commands

    def take(self) -> tuple[tuple[Fact, ...], Dirty]:
        """What the journal has to keep since the last time; called once per commit."""
        self.state.issued = self._ids.issued
        self.dirty[CELL] = self.state
        facts, cells = tuple(self.facts), dict(self.dirty)
        self.facts.clear()
        self.dirty.clear()
        self.must_commit = False
        return facts, cells

    def observe(self, event: TickFrame | BarFrame | TimerFired | Gap) -> None:
        """Rebuild market data and indicators from the tape after a restart; decides nothing."""
        if isinstance(event, TickFrame):
            self.market.accept_frame(event)
        elif isinstance(event, BarFrame):
            self.strategies.warm(self.market.accept_bar_frame(event))
        elif isinstance(event, TimerFired):
            if event.due_at >= self.market.next_due_at:
                self.market.staleness(event.due_at)  # Told before, and not to be told again.
                self.strategies.warm(self.market.close_due(event.due_at))
        else:
            self.market.gap(event)

    def restore(self, cells: Mapping[str, bytes]) -> None:
        """Take up the state of a recovered journal, after ``observe`` has rebuilt the market."""
        raw = cells.get(CELL)
        if raw is not None:
            self.state = msgspec.msgpack.decode(raw, type=CoreState)
            self._ids = ClOrdIds(self.settings.run_key, self.settings.date, self.state.issued)
        if self.state.opening_equity is not None:
            self.account.open_at(self.state.opening_equity)
        self.orders.restore(cells)
        self.portfolio.restore(cells)
        self.risk.restore(cells)
        self.strategies.restore(cells)
        for name, book in self.portfolio.books.items():
            self._positions[name] = book.net_qty
        self._schedule()

    @property
    def opening_equity(self) -> Money:
        """What the day began with: capital, or what the day before has left."""
        return self.account.opening_equity

    @property
    def equity(self) -> Money:
        """Opening equity and everything earned, lost and paid since, at the last marks."""
        return self.account.equity

    def unrealised(self) -> Money:
        """Rupees on open positions at the last marks, before charges."""
        return self.account.unrealised()

    # ── from yesterday ──────────────────────────────────────────────────────────────────────────

    def mark_carried(self, opening: DayOpening) -> None:
        """Until its first tick, what was carried stands at yesterday's close: never at nothing."""
        for position in opening.positions:
            view = self._views[position.instrument.id]
            if not view.last_px:
                view.last_px = position.mark_px

    def _on_opening(self, opening: DayOpening) -> None:
        """Begin where a sealed day ended: equity, peak, strategies' memory, positions and their plans."""
        assert not self.portfolio.fills
        assert not self.orders.placed
        self.state.opening_equity = opening.equity
        self.account.open_at(opening.equity)
        self.risk.open_with(opening.peak_equity)
        for sentence in self.strategies.take_over(opening.states):
            self._note("state not taken over", sentence)
        self.mark_carried(opening)
        for position in opening.positions:
            self._carry(position)
        self.facts.append(opening)
        self.must_commit = True
        self._schedule()

    def _carry(self, position: CarriedPosition) -> None:
        key, instrument = position.strategy, position.instrument
        row = self._strategies_by_name.get(key)
        frozen = position.frozen
        if row is None:
            frozen = frozen or f"no strategy is called {key} today"
        elif frozen or (row.instrument, row.product) != (instrument.id, position.product):
            frozen = frozen or f"{key} trades {row.instrument} as {row.product} today"
            key = StrategyId(f"{key}, carried {instrument.symbol} {position.product}")
        book = self.portfolio.carry(position, key, frozen)
        if frozen:
            self._note(
                "frozen",
                f"{book.net_qty} {instrument.symbol} of {position.strategy} is shown and counts for "
                f"margin, but is not traded: {frozen}.",
            )
        else:
            self._positions[key] = book.net_qty
            # Yesterday's stop lapsed with yesterday: at the open it is sent anew.
            self._wake(self.sessions[instrument.segment].open_at)
            if position.trade.exit_at is not None:
                self._wake(max(position.trade.exit_at, self.state.now))

    # ── market data ─────────────────────────────────────────────────────────────────────────────

    def _on_ticks(self, frame: TickFrame) -> None:
        at, state = frame.received_at, self.state
        if at > state.now:  # noqa: PLR1730 - max() would cost a call per frame
            state.now = at
        believed = self.market.accept_frame(frame)
        held = self.portfolio.open_by_instrument
        if not held:
            return
        for view in believed:
            books = held.get(view.instrument.id)
            if books is not None:
                reached = self.portfolio.mark(books, view.last_px)
                if reached:
                    self._at_target(reached)
        if at >= self.state.next_watch:
            self._watch(at)

    def _on_bars(self, frame: BarFrame) -> None:
        at, state = frame.received_at, self.state
        if at > state.now:  # noqa: PLR1730 - max() would cost a call per bar
            state.now = at
        closed = self.market.accept_bar_frame(frame)
        held = self.portfolio.open_by_instrument
        if held:
            for bar in frame.bars:
                books = held.get(bar.instrument)
                if books is not None:
                    reached = self.portfolio.mark_bar(books, bar)
                    if reached:
                        self._at_target(reached)
        if closed:
            self._on_closed(closed, at)
        if held:
            self._watch(at)
        due_at, wakes = self.market.next_due_at, state.wakes  # _schedule, without a call per bar
        self.next_due_at = wakes[0] if wakes and wakes[0] < due_at else due_at

    def _at_target(self, books: Sequence[Book]) -> None:
        for book in books:
            assert book.trade is not None
            book.trade.leaving = ExitReason.TARGET
            self._settle(book)

    def _on_gap(self, gap: Gap) -> None:
        self.market.gap(gap)
        self.facts.append(gap)
        self.must_commit = True

    def _on_history(self, event: HistoryLoaded) -> None:
        self.market.load_history(event)
        self.strategies.warm(event.bars)
        self.facts.append(event)
        self.must_commit = True

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def _on_timer(self, timer: TimerFired) -> None:
        at = timer.due_at
        self.state.now = max(self.state.now, at)
        wakes = self.state.wakes
        while wakes and wakes[0] <= at:
            heapq.heappop(wakes)
        if at >= self.market.next_due_at:
            faults = self.market.staleness(at)
            if faults:
                self.facts.extend(faults)
                self.must_commit = True
            closed = self.market.close_due(at)
            if closed:
                self._on_closed(closed, at)
        self._square_off(at)
        for book in self._busy_books():
            self._give_up_entries(book, at)
            trade = book.trade
            if (
                trade is not None
                and trade.leaving is None
                and trade.exit_at is not None
                and at >= trade.exit_at
            ):
                trade.leaving = ExitReason.TIME
            for order in list(self.orders.working(book.strategy)):
                self._late_entry(order, None)
            self._settle(book)
        if self.portfolio.open_by_instrument:
            self._watch(at)
        self._schedule()

    def _on_closed(self, bars: Sequence[Bar], at: Instant) -> None:
        """Bars have closed: trail stops, let strategies decide, act on what they say."""
        self.facts.extend(bars)
        if len(self.facts) > FACTS_MAX:
            self.must_commit = True
        if self.portfolio.trailing:
            self._trail(bars)
        for said in self.strategies.decide(bars, at, self._positions, self._reference):
            self.facts.append(said)
            self.must_commit = True
            if isinstance(said, Signal):
                self._signal(said)
            elif isinstance(said, StrategyOff):
                self._leave(self.portfolio.books[said.strategy], ExitReason.STRATEGY_OFF)
            else:
                assert isinstance(said, StrategyReady)

    def _trail(self, bars: Sequence[Bar]) -> None:
        for row in self.settings.strategies:
            book = self.portfolio.books[row.name]
            if book.trade is None or book.trade.trail_by is None:
                continue
            if any(bar.instrument == row.source and bar.minutes == row.minutes for bar in bars):
                self.portfolio.touch(book)  # a best close counts even where the stop stays
                if self.exits.trail(book, self._views[row.instrument].last_px):
                    self._settle(book)

    def _square_off(self, at: Instant) -> None:
        for segment, session in self.sessions.items():
            if at < session.square_off_at or segment.value in self.state.squared_off:
                continue
            self.state.squared_off.append(segment.value)
            left = 0
            expiring = 0
            for book in self._busy_books(frozen_too=True):
                instrument = self.instruments[book.instrument]
                if instrument.segment is not segment:
                    continue
                if book.product is Product.MIS and not book.frozen:
                    left += 1
                    self._leave(book, ExitReason.SQUARE_OFF)
                elif instrument.expiry == self.settings.date:
                    expiring += 1
                    self._leave(book, ExitReason.EXPIRY)
            if left:
                self._note("square-off", f"Squaring off {left} intraday book(s) of {segment}.")
            if expiring:
                self._note("expiry", f"Closing {expiring} book(s) of {segment} that expire today.")

    def _on_end(self, event: SessionEnded) -> None:
        self.state.now = max(self.state.now, event.at)
        self.state.ended = True
        for book in self.portfolio.books.values():
            if book.net_qty and book.product is Product.MIS:
                self._note(
                    "not flat",
                    f"{book.strategy} still holds {book.net_qty} {book.instrument} intraday (MIS) "
                    "after the close; a broker would square it off or carry it at your cost.",
                )
        self.facts.append(event)
        self.must_commit = True

    # ── what strategies say ─────────────────────────────────────────────────────────────────────

    def _signal(self, signal: Signal) -> None:
        book = self.portfolio.books[signal.strategy]
        action = signal.action
        if action is Action.EXIT:
            self._leave(book, ExitReason.SIGNAL)
            return
        side = Side.BUY if action is Action.BUY else Side.SELL
        owned = book.net_qty * side.sign
        if owned > 0:
            self._blocked(signal, side, "ALREADY_IN", "The position already stands that way.")
            return
        if owned == 0:
            self._enter(signal, book, side, closes_qty=0)
            return
        trade = book.trade
        assert trade is not None
        exits_working = any(order.is_exit for order in self.orders.working(book.strategy))
        if (
            trade.leaving is None
            and not exits_working
            and self._enter(signal, book, side, closes_qty=-owned)
        ):
            return
        # A stop rests at the broker, or risk refuses the new side: get out first, then look again.
        trade.next_signal = signal
        self._leave(book, ExitReason.REVERSAL)

    def _enter(self, signal: Signal, book: Book, side: Side, *, closes_qty: int) -> bool:
        """Ask risk for a new position; ``True`` if an order went out."""
        settings = self._strategies_by_name[signal.strategy]
        view = self._views[book.instrument]
        at = self.state.now
        request = EntryRequest(
            signal=signal,
            settings=settings,
            instrument=view.instrument,
            side=side,
            decision_px=view.last_px,
            reference_at=view.last_at,
            stop_px=signal.stop_px,
            closes_qty=closes_qty,
            bid_px=view.bid_px,
            ask_px=view.ask_px,
        )
        standing = self.account.standing(settings, at, untrusted=self.state.untrusted)
        if settings.loss_max is not None:
            standing.strategy_pnl = book.result(view.last_px)
        standing.margin_per_unit = self.account.margin_with_room(view, settings.product, side)
        verdict = self.risk.check_entry(request, standing)
        self.facts.append(verdict)
        self.must_commit = True
        match verdict:
            case Approved():
                approved = verdict
            case Reduced():
                approved = verdict.approved
            case Blocked():
                return False
            case HaltSession():
                self._halted(verdict)
                return False
            case _:
                assert_never(verdict)
        phase = self.sessions[view.instrument.segment].phase_at(at)
        denial = judge(approved.intent, view.instrument, phase)
        if denial is not None:
            self._blocked(signal, side, denial.code, denial.sentence)
            return False
        self._send_entry(approved, signal, at)
        return True

    def _send_entry(self, approved: Approved, signal: Signal, at: Instant) -> None:
        intent = approved.intent
        self.risk.entry_placed(intent, at)
        instrument = self.instruments[intent.instrument]
        parts = slices(intent.order_qty, instrument.freeze_qty, instrument.lot_size)
        if len(parts) == 1:
            self._place(approved, at, signal)
        else:
            closes = intent.closes_qty
            for part in parts:
                closing = min(part, closes)
                closes -= closing
                piece = msgspec.structs.replace(intent, order_qty=part, closes_qty=closing)
                self._place(Approved(intent=piece, at=at), at, signal)

    def _place(self, approved: Approved, at: Instant, plan: Signal | None) -> None:
        command = PlaceOrder(cl_ord_id=self._ids(), approved=approved)
        self.orders.placing(command, at, plan)
        is_entry = approved.intent.purpose is Purpose.ENTRY
        self.risk.order_sent(at, is_entry)
        self.facts.append(command)
        self._commands.append(command)

    def _blocked(self, signal: Signal, side: Side, code: str, sentence: str) -> None:
        self.facts.append(
            Blocked(
                strategy=signal.strategy,
                instrument=signal.instrument,
                side=side,
                code=code,
                sentence=sentence,
                at=self.state.now,
                signal_id=signal.signal_id,
            )
        )

    # ── what the broker says ────────────────────────────────────────────────────────────────────

    def _on_reports(self, event: Reports) -> None:
        self.state.now = max(self.state.now, event.received_at)
        self.facts.append(event)
        self.must_commit = True
        for report in event.reports:
            self._report(report)
        for report in event.reports:
            # Only now: most entries are acknowledged and filled in one message, and a timer for
            # each of them would cost a twentieth of the order.
            order = self.orders.table.get(report.cl_ord_id)
            if order is not None and order.status in _RESTING and not order.is_exit:
                self._wake(order.created_at + ENTRY_PATIENCE)
        self._schedule()

    def _report(self, report: ExecutionReport) -> None:
        applied = self.orders.apply(report)
        order = applied.order
        if applied.surprise:
            self._distrust("order", applied.surprise, report.cl_ord_id)
        if order is None:
            return
        book = self.portfolio.books[order.strategy]
        waiting = book.trade.next_signal if book.trade is not None else None
        closed = None
        if applied.fill is not None:
            fill, closed = self.portfolio.book(order, applied.fill)
            self._positions[order.strategy] = book.net_qty
            self.facts.append(fill)
            if closed is not None:
                self.facts.append(closed)
                self.risk.trade_closed(closed)
            trade = book.trade
            if trade is not None and trade.exit_at is not None:
                self._wake(trade.exit_at)
        self._learn(order, book, applied, report)
        self._late_leaving(book)
        self._late_entry(order, report.exec_type)
        if closed is not None and order.is_exit:
            # What is left of the entry belonged to the position that is over.
            self._withdraw_entries(book, "its position is closed")
        self._settle(book)
        if closed is not None and waiting is not None and book.net_qty == 0:
            self._reenter(waiting, book)

    def _learn(self, order: Order, book: Book, applied: Applied, report: ExecutionReport) -> None:
        """What a refusal, or the end of one, means for getting out of the position."""
        at, kind, sentence = self.state.now, report.exec_type, ""
        if applied.finished and not order.is_exit:
            trade = book.trade
            refused = order.status in (OrdStatus.REJECTED, OrdStatus.CANCELED)
            stays = book.net_qty * order.side.sign < 0
            if refused and stays and trade is not None and trade.leaving is None:
                # The reversal did not happen, but the strategy has left the old side.
                trade.leaving = ExitReason.REVERSAL
        elif applied.finished and order.status is OrdStatus.REJECTED:
            sentence = self.exits.rejected(book, order, at)
        elif applied.finished and order.status is OrdStatus.CANCELED and applied.unasked:
            sentence = self.exits.withdrawn(book, order, at)
        elif kind in _UNCHANGED and order.is_exit and not order.status.terminal:
            self.exits.unchanged(book, at)
        elif order.is_exit and (applied.fill is not None or kind is ExecType.REPLACED):
            self.exits.answered(book)
        if sentence:
            self._note("exit refused", sentence)

    def _withdraw_entries(self, book: Book, reason: str) -> None:
        for order in list(self.orders.working(book.strategy)):
            if not order.is_exit and order.status in _RESTING:
                self._want(CancelOrder(cl_ord_id=order.cl_ord_id, at=self.state.now, reason=reason))

    def _reenter(self, waiting: Signal, book: Book) -> None:
        """The old side is out; the reversal that waited for it goes on if its signal is still fresh."""
        side = Side.BUY if waiting.action is Action.BUY else Side.SELL
        if self.state.now - waiting.at <= REENTRY_WITHIN:
            self._enter(waiting, book, side, closes_qty=0)
        else:
            self._blocked(waiting, side, "SIGNAL_OLD", "Its signal is too old to reverse on.")

    # ── exits, halts, trust ─────────────────────────────────────────────────────────────────────

    def _leave(self, book: Book, reason: ExitReason) -> None:
        if book.frozen and reason is not ExitReason.EXPIRY:
            return
        trade = book.trade
        if trade is None:
            self._withdraw_entries(book, reason.value)
        elif trade.leaving is None:
            trade.leaving = reason
        self._settle(book)

    def _settle(self, book: Book) -> None:
        view, at = self._views[book.instrument], self.state.now
        wants: Sequence[Want] = ()
        if at < self.sessions[view.instrument.segment].close_at:  # What lapses is not sent anew.
            wants = self.exits.settle(book, view.bid_px, view.ask_px, view.last_px, at)
        if book.net_qty:  # What a caller decided about the trade (leaving, a signal) ends here.
            self.portfolio.touch(book)
        for want in wants:
            self._want(want)
        if self.exits.wake_at < NEVER:
            self._wake(self.exits.wake_at)
            self.exits.wake_at = NEVER
            self._schedule()

    def _want(self, want: Want) -> None:
        match want:
            case OrderIntent():
                self._send_exit(want)
            case ModifyOrder():
                self.orders.modifying(want)
                self.risk.order_sent(self.state.now, is_entry=False)
                self.facts.append(want)
                self._commands.append(want)
            case CancelOrder():
                self.orders.cancelling(want)
                # Whether Kite counts cancels in its budgets is not published; we do.
                self.risk.order_sent(self.state.now, is_entry=False)
                self.facts.append(want)
                self._commands.append(want)
            case _:
                assert_never(want)

    def _send_exit(self, intent: OrderIntent) -> None:
        """An exit goes out whatever our own rules think of it: they only say so beforehand."""
        at = self.state.now
        instrument = self.instruments[intent.instrument]
        denial = judge(intent, instrument, self.sessions[instrument.segment].phase_at(at))
        if denial is not None:
            self._note("exit doubted", f"{intent.strategy}: {denial.sentence} Sent all the same.")
        self._place(self.risk.approve_exit(intent, at), at, None)

    def _watch(self, at: Instant) -> None:
        """Weigh the day's result against the loss limits, at the marks of this moment."""
        self.state.next_watch = at + WATCH_EVERY
        halt = self.risk.watch(self.account.weigh(at))
        if halt is not None:
            self.facts.append(halt)
            self._halted(halt)
        for row in self._capped:
            self._watch_strategy(row, at)

    def _watch_strategy(self, row: StrategySettings, at: Instant) -> None:
        """A strategy at its own loss limit is taken out, and enters no more today."""
        book, view = self.portfolio.books[row.name], self._views[row.instrument]
        if not book.net_qty or not self.account.fresh(view, at):
            return
        sentence = self.risk.watch_strategy(row, book.result(view.last_px), at)
        if sentence is not None:
            self._note("strategy loss", f"{sentence} Its position is closed.")
            self._leave(book, ExitReason.STRATEGY_LOSS)

    def _halted(self, halt: HaltSession) -> None:
        """Entries are over for today: withdraw those that work, then run the halt's policy."""
        self.must_commit = True
        for order in self.orders.entries_working():
            if order.status in _RESTING:
                self._want(CancelOrder(cl_ord_id=order.cl_ord_id, at=self.state.now, reason="halt"))
        if halt.policy is HaltPolicy.FLATTEN:
            for book in list(self.portfolio.books.values()):
                if book.net_qty:
                    self._leave(book, ExitReason.HALT)

    def _give_up_entries(self, book: Book, at: Instant) -> None:
        """An entry that still rests after ENTRY_PATIENCE is withdrawn: its signal is old by then."""
        for order in list(self.orders.working(book.strategy)):
            if order.is_exit or order.status not in _RESTING:
                continue
            if at - order.created_at >= ENTRY_PATIENCE:
                self._want(CancelOrder(cl_ord_id=order.cl_ord_id, at=at, reason="entry went stale"))
            else:
                self._wake(order.created_at + ENTRY_PATIENCE)

    def _late_entry(self, order: Order, told: ExecType | None) -> None:
        """An entry acknowledged after entries were over is withdrawn."""
        if order.is_exit or order.status not in _RESTING:
            return
        squared_off = self.state.squared_off
        over = self.risk.state.halted is not None or (
            bool(squared_off)
            and self._ends_today(order.instrument, order.product)
            and self.instruments[order.instrument].segment.value in squared_off
        )
        if not over:
            return
        if told is ExecType.CANCEL_REJECTED:
            self._wake(self.state.now + WITHDRAW_AFTER)  # Not at once again: see ``_on_timer``.
        else:
            self._want(
                CancelOrder(cl_ord_id=order.cl_ord_id, at=self.state.now, reason="entries over")
            )

    def _late_leaving(self, book: Book) -> None:
        """A position that appears after its time is over (halted, squared off) is closed again."""
        trade = book.trade
        if trade is None or trade.leaving is not None or book.frozen:
            return
        halted, squared_off = self.risk.state.halted, self.state.squared_off
        if (
            squared_off
            and self._ends_today(book.instrument, book.product)
            and self.instruments[book.instrument].segment.value in squared_off
        ):
            mis = book.product is Product.MIS
            trade.leaving = ExitReason.SQUARE_OFF if mis else ExitReason.EXPIRY
        elif halted is not None and halted.policy is HaltPolicy.FLATTEN:
            trade.leaving = ExitReason.HALT
        elif self.risk.has_lost(book.strategy):
            trade.leaving = ExitReason.STRATEGY_LOSS

    def _ends_today(self, instrument: InstrumentId, product: Product) -> bool:
        """Whether a position must be flat by the close: intraday, or in a contract's last session."""
        return product is Product.MIS or self.instruments[instrument].expiry == self.settings.date

    def _on_operator(self, command: OperatorCommand) -> None:
        self.state.now = max(self.state.now, command.at)
        self.facts.append(command)
        self.must_commit = True
        if command.word is OperatorWord.ARM:
            self.risk.arm()
        if command.word in (OperatorWord.STOP, OperatorWord.ARM):
            return
        flatten = command.word is OperatorWord.FLATTEN
        policy = HaltPolicy.FLATTEN if flatten else HaltPolicy.KEEP_PROTECTED
        code, sentence = HALT_CODES.get(command.word, "OPERATOR"), command.reason
        if code == "OPERATOR":
            sentence = f"The operator said {command.word}: {command.reason or 'no reason given'}."
        halt = self.risk.halt(code, sentence, policy, command.at)
        if halt is not None:
            self.facts.append(halt)
            self._halted(halt)
        elif flatten:
            for book in list(self.portfolio.books.values()):
                if book.net_qty:
                    self._leave(book, ExitReason.OPERATOR)

    def _on_snapshot(self, snapshot: BrokerSnapshot) -> None:
        self.state.now = max(self.state.now, snapshot.at)
        self.facts.append(snapshot)
        self.must_commit = True
        found = differences(snapshot, self.orders, self.portfolio)
        if found:
            for what, ours, theirs in found:
                self.facts.append(Discrepancy(at=snapshot.at, what=what, ours=ours, theirs=theirs))
            what, ours, theirs = found[0]
            self.state.untrusted = f"{what}: we say {ours}, the broker says {theirs}"
        elif self.state.untrusted:
            self._note("explained", f"The broker's books agree again ({self.state.untrusted}).")
            self.state.untrusted = ""

    def _distrust(self, what: str, ours: str, theirs: str) -> None:
        self.state.untrusted = f"{what}: {ours} ({theirs})"
        self.facts.append(Discrepancy(at=self.state.now, what=what, ours=ours, theirs=theirs))

    @property
    def wants_snapshot(self) -> bool:
        """A surprise is unexplained: the broker's books should be read."""
        return bool(self.state.untrusted)

    # ── what everything is measured against ─────────────────────────────────────────────────────

    def limits_used(self) -> list[Usage]:
        """Every limit that is on, and how much of it is used now."""
        rows = self.risk.used(
            self.account.standing(None, self.state.now, untrusted=self.state.untrusted)
        )
        for row in self.settings.strategies:
            pnl = self.portfolio.books[row.name].result(self._reference(row.instrument))
            rows += self.risk.used_by(row, pnl)
        return rows

    def _reference(self, instrument: InstrumentId) -> Price:
        return self._views[instrument].last_px

    # ── time's bookkeeping ──────────────────────────────────────────────────────────────────────

    def _busy_books(self, *, frozen_too: bool = False) -> list[Book]:
        """Books with a position or an order; a frozen one only once it is being closed."""
        by_strategy = self.orders.by_strategy
        return [
            book
            for name, book in self.portfolio.books.items()
            if (book.net_qty and (frozen_too or not book.frozen)) or by_strategy.get(name)
        ]

    def _wake(self, at: Instant) -> None:
        wakes = self.state.wakes
        if at not in wakes:
            heapq.heappush(wakes, at)

    def _schedule(self) -> None:
        due_at, wakes = self.market.next_due_at, self.state.wakes
        self.next_due_at = wakes[0] if wakes and wakes[0] < due_at else due_at

    def _note(self, kind: str, sentence: str) -> None:
        self.facts.append(Note(at=self.state.now, kind=kind, sentence=sentence))
        self.must_commit = True
