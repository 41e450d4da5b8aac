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
from types import MappingProxyType
from typing import Final, assert_never

import msgspec

from kitestring.core.account import Account
from kitestring.core.broker_view import BrokerView, Hands
from kitestring.core.cells import Dirty
from kitestring.core.core_state import CELL, CoreState
from kitestring.core.exit_desk import ENTRY_PATIENCE, RESTING, ExitDesk, Market, Ways
from kitestring.core.exit_goal import Band, ExitGoals
from kitestring.core.exits import Exits
from kitestring.core.market_data_engine import MarketDataEngine
from kitestring.core.operator_words import obey
from kitestring.core.order_manager import OrderManager
from kitestring.core.order_rules import judge, slices
from kitestring.core.portfolio import Portfolio
from kitestring.core.risk_engine import EntryRequest, RiskEngine, Usage
from kitestring.core.settings import DaySettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_engine import StrategyEngine
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.charges import ChargeBook
from kitestring.domain.events import (
    BrokerSnapshot,
    DayOpening,
    Event,
    Fact,
    Gap,
    HistoryLoaded,
    Note,
    OperatorCommand,
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
    ExecutionReport,
    ExitReason,
    Order,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.ports import MarginModel
from kitestring.domain.positions import Book, CarriedPosition, RoundTrip
from kitestring.domain.sessions import Session
from kitestring.domain.signals import Action, Signal
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    Command,
    HaltSession,
    PlaceOrder,
    Reduced,
)

WATCH_EVERY: Final = SECOND
"""How often open positions are weighed against the loss limits, in market time."""
FACTS_MAX: Final = 512
"""Bars wait for the next commit; this many of them make one of their own."""
REENTRY_WITHIN: Final = 60 * SECOND
"""A reversal that had to wait for flat is dropped when its signal is older than this."""
_NO_BANDS: Final[Mapping[InstrumentId, Band]] = MappingProxyType({})
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
        price_bands: Mapping[InstrumentId, Band] = _NO_BANDS,
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
        goals = ExitGoals(self.instruments, sessions, settings.date, price_bands)
        self.exits = Exits(self.orders, self.instruments, goals)
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
        self.desk = ExitDesk(
            Market(settings, self.instruments, sessions, self.market.views),
            (self.orders, self.portfolio, self.exits, self.risk),
            Ways(self._place, self._send, self._wake, self._schedule, self._note),
            self.state,
        )
        self._leave, self._settle = self.desk.leave, self.desk.settle
        self.view = self.desk.view = BrokerView(
            lambda: self.state,
            self.orders,
            self.portfolio,
            self.market.views,
            self.dirty,
            Hands(
                self._record,
                self._book_fill,
                self._changed,
                self._settle,
                self._leave,
                self.desk.want,
            ),
        )
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
            self.state = self.desk.state = msgspec.msgpack.decode(raw, type=CoreState)
            self._ids = ClOrdIds(self.settings.run_key, self.settings.date, self.state.issued)
        if self.state.opening_equity is not None:
            self.account.open_at(self.state.opening_equity)
        self.orders.restore(cells)
        self.portfolio.restore(cells)
        self.risk.restore(cells)
        self.strategies.restore(cells)
        self.view.restore(cells)
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
        self._record(opening)
        self._schedule()

    def _carries(self, key: StrategyId) -> bool:
        book = self.portfolio.books.get(key)
        return book is not None and book.net_qty != 0

    def _carry(self, position: CarriedPosition) -> None:
        key, instrument = position.strategy, position.instrument
        row = self._strategies_by_name.get(key)
        frozen = position.frozen
        if row is None:
            frozen = frozen or f"no strategy is called {key} today"
        elif frozen or (row.instrument, row.product) != (instrument.id, position.product):
            frozen = frozen or f"{key} trades {row.instrument} as {row.product} today"
            key = StrategyId(f"{key}, carried {instrument.symbol} {position.product}")
        elif self._carries(key):
            # A book holds one round trip with one stop: the second of them stays as it is.
            frozen = f"{key} carries another position in it"
            key = StrategyId(f"{key}, carried {instrument.symbol} {position.product}")
        while self._carries(key):
            key = StrategyId(f"{key}, again")
        book = self.portfolio.carry(position, key, frozen)
        self.view.carry(position, book)
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
            if not book.frozen:
                assert book.trade is not None
                book.trade.leaving = ExitReason.TARGET
                self._settle(book)

    def _on_gap(self, gap: Gap) -> None:
        self.market.gap(gap)
        self._record(gap)

    def _on_history(self, event: HistoryLoaded) -> None:
        self.market.load_history(event)
        self.strategies.warm(event.bars)
        self._record(event)

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
        desk = self.desk
        desk.square_off(at)
        for book in desk.busy_books():
            desk.give_up_entries(book, at)
            trade = book.trade
            if (
                trade is not None
                and trade.leaving is None
                and trade.exit_at is not None
                and at >= trade.exit_at
            ):
                trade.leaving = ExitReason.TIME
            for order in list(self.orders.working(book.strategy)):
                desk.late_entry(order, None)
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
            self._record(said)
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
        self._record(event)

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
        self.view.weigh(standing, book, side)
        standing.margin_per_unit = self.account.margin_with_room(view, settings.product, side)
        verdict = self.risk.check_entry(request, standing)
        self._record(verdict)
        match verdict:
            case Approved():
                approved = verdict
            case Reduced():
                approved = verdict.approved
            case Blocked():
                return False
            case HaltSession():
                self.desk.halted(verdict)
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
        self._send(command)

    def _send(self, command: Command) -> None:
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
        self._record(event)
        # Everything that was said at one instant is booked before anything is sent on it: a stop for
        # the first of five fills would leave the other four waiting for its answer.
        touched: dict[StrategyId, Book] = {}
        reversals: list[tuple[Signal, Book]] = []
        for report in event.reports:
            self._report(report, touched, reversals)
        for book in touched.values():
            self._settle(book)
        for waiting, book in reversals:
            if book.net_qty == 0:
                self._reenter(waiting, book)
        for report in event.reports:
            # Only now: most entries are acknowledged and filled in one message, and a timer for
            # each of them would cost a twentieth of the order.
            order = self.orders.table.get(report.cl_ord_id)
            if order is not None and order.status in RESTING and not order.is_exit:
                self._wake(order.created_at + ENTRY_PATIENCE)
        self._schedule()

    def _report(
        self,
        report: ExecutionReport,
        touched: dict[StrategyId, Book],
        reversals: list[tuple[Signal, Book]],
    ) -> None:
        applied = self.orders.apply(report)
        order = applied.order
        if applied.surprise:
            self.view.distrust("order", applied.surprise, report.cl_ord_id)
        if order is None:
            return
        self.view.heard(order, report, booked=applied.fill is not None)
        book = self.portfolio.books[order.strategy]
        waiting = book.trade.next_signal if book.trade is not None else None
        closed = None
        if applied.fill is not None:
            closed = self._book_fill(order, applied.fill)
            trade = book.trade
            if trade is not None and trade.exit_at is not None:
                self._wake(trade.exit_at)
        desk = self.desk
        desk.learn(order, book, applied, report)
        desk.late_leaving(book)
        desk.late_entry(order, report.exec_type)
        if closed is not None and order.is_exit:
            # What is left of the entry belonged to the position that is over.
            desk.withdraw_entries(book, "its position is closed")
        touched[book.strategy] = book
        if closed is not None and waiting is not None:
            reversals.append((waiting, book))

    def _book_fill(self, order: Order, report: ExecutionReport) -> RoundTrip | None:
        fill, closed = self.portfolio.book(order, report)
        self._record(fill)
        self._changed(self.portfolio.books[order.strategy], closed)
        return closed

    def _changed(self, book: Book, closed: RoundTrip | None) -> None:
        self._positions[book.strategy] = book.net_qty
        if closed is not None:
            self._record(closed)
            self.risk.trade_closed(closed)

    def _reenter(self, waiting: Signal, book: Book) -> None:
        """The old side is out; the reversal that waited for it goes on if its signal is still fresh."""
        side = Side.BUY if waiting.action is Action.BUY else Side.SELL
        if self.state.now - waiting.at <= REENTRY_WITHIN:
            self._enter(waiting, book, side, closes_qty=0)
        else:
            self._blocked(waiting, side, "SIGNAL_OLD", "Its signal is too old to reverse on.")

    # ── halts, trust ────────────────────────────────────────────────────────────────────────────

    def _watch(self, at: Instant) -> None:
        """Weigh the day's result against the loss limits, at the marks of this moment."""
        self.state.next_watch = at + WATCH_EVERY
        halt = self.risk.watch(self.account.weigh(at))
        if halt is not None:
            self._halt(halt)
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

    def _halt(self, halt: HaltSession) -> None:
        self._record(halt)
        self.desk.halted(halt)

    def _on_operator(self, command: OperatorCommand) -> None:
        self.state.now = max(self.state.now, command.at)
        self._record(command)
        obey(command, self.risk, self.view, self._halt, self._leave_all)

    def _leave_all(self, reason: ExitReason) -> None:
        for book in list(self.portfolio.books.values()):
            if book.net_qty:
                self._leave(book, reason)

    def _on_snapshot(self, snapshot: BrokerSnapshot) -> None:
        self.state.now = max(self.state.now, snapshot.at)
        self._record(snapshot)
        self.view.hear(snapshot)
        self._schedule()

    @property
    def wants_snapshot(self) -> bool:
        """A surprise is unexplained: the broker's books should be read."""
        return bool(self.state.untrusted) or self.view.wants_look

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

    def _wake(self, at: Instant) -> None:
        wakes = self.state.wakes
        if at not in wakes:
            heapq.heappush(wakes, at)

    def _schedule(self) -> None:
        due_at, wakes = self.market.next_due_at, self.state.wakes
        self.next_due_at = wakes[0] if wakes and wakes[0] < due_at else due_at

    def _note(self, kind: str, sentence: str) -> None:
        self._record(Note(at=self.state.now, kind=kind, sentence=sentence))

    def _record(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.must_commit = True
