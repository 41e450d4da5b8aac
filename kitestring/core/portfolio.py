"""Positions, profit and loss, and round trips, booked from fills alone.

Every amount is an exact integer: ``pnl = sold − bought + net × last × multiplier``. Charges are
the increments of each order's cumulative charge, so that brokerage counts once per order however
many fills it took. Nothing here is averaged or rounded until it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from kitestring.core.cells import Dirty
from kitestring.domain.bars import Bar
from kitestring.domain.charges import NO_CHARGES, ChargeBook, Charges
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.events import Adjustment
from kitestring.domain.ids import ClOrdId, InstrumentId, StrategyId, TradeId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import ChargeUnits, Money, Price, charge_as_money
from kitestring.domain.orders import (
    ExecutionReport,
    ExitReason,
    Order,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.positions import Book, CarriedPosition, Fill, OpenTrade, RoundTrip

CELL: Final = "book/"
_NO_BOOKS: Final[tuple[Book, ...]] = ()
_DECODER = msgspec.msgpack.Decoder(Book)


class Portfolio:
    """The books of the day, one per running strategy."""

    __slots__ = (
        "_charge_book",
        "_dirty",
        "_instruments",
        "books",
        "charges",
        "charges_money",
        "fills",
        "open_by_instrument",
        "realised",
        "trailing",
    )

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        charge_book: ChargeBook,
        dirty: Dirty,
    ) -> None:
        self.books: dict[StrategyId, Book] = {}
        self.open_by_instrument: dict[InstrumentId, list[Book]] = {}
        """Books with a position, by instrument: what a tick has to mark."""
        self.realised = Money(0)
        """Sum of the books' realised rupees, before charges."""
        self.charges = NO_CHARGES
        self.charges_money = Money(0)
        """All charges so far, rounded to 1/10 000 rupee: for limits and display."""
        self.fills = 0
        self.trailing = False
        """Whether any position of the day has trailed its stop: where none does, no bar asks."""
        self._instruments = instruments
        self._charge_book = charge_book
        self._dirty = dirty

    def open(self, strategy: StrategyId, instrument: InstrumentId, product: Product) -> Book:
        """The book of a strategy, empty at first."""
        book = self.books.get(strategy)
        if book is None:
            multiplier = self._instruments[instrument].multiplier
            book = Book(
                strategy=strategy, instrument=instrument, product=product, multiplier=multiplier
            )
            self.books[strategy] = book
        return book

    def carry(self, position: CarriedPosition, key: StrategyId, frozen: str) -> Book:
        """Take over a position from yesterday, at yesterday's close: today's P&L counts from there."""
        multiplier, net_qty = position.instrument.multiplier, position.net_qty
        cost = position.mark_px * (net_qty * multiplier)
        book = Book(
            strategy=key,
            instrument=position.instrument.id,
            product=position.product,
            multiplier=multiplier,
            net_qty=net_qty,
            bought_qty=max(net_qty, 0),
            sold_qty=max(-net_qty, 0),
            bought_value=cost if net_qty > 0 else Money(0),
            sold_value=-cost if net_qty < 0 else Money(0),
            open_cost=cost,
            trade=msgspec.structs.replace(position.trade),
            mark_px=position.mark_px,
            frozen=frozen,
            owner=position.strategy,
        )
        self.books[key] = book
        self._dirty[CELL + key] = book
        self._reindex(book)
        return book

    def book(self, order: Order, report: ExecutionReport) -> tuple[Fill, RoundTrip | None]:
        """Book one execution of an order; returns the fill and the round trip it completed, if any."""
        book = self.books[order.strategy]
        instrument = self._instruments[order.instrument]
        qty, px, sign = report.last_qty, report.last_px, order.side.sign
        if report.exec_id is None:
            raise InvariantBroken("a fill without an execution id")
        value = px * (qty * book.multiplier)
        after = order.traded_value * book.multiplier
        charges = self._increment(instrument, order, after - value, after)
        slippage = (px - order.decision_px) * (qty * sign * book.multiplier)
        fill = Fill(
            fill_id=report.exec_id,
            cl_ord_id=order.cl_ord_id,
            strategy=order.strategy,
            instrument=order.instrument,
            side=order.side,
            qty=qty,
            px=px,
            at=report.event_at,
            product=order.product,
            decision_px=order.decision_px,
            slippage=slippage,
            charges=charges,
        )
        realised_before = book.realised
        closed = None
        closing = min(qty, abs(book.net_qty)) if book.net_qty * sign < 0 else 0
        if closing:
            part = charges if closing == qty else _share(charges, closing, qty)
            closed = self._close(book, order, fill, closing, part)
            charges_left = charges.minus(part)
        else:
            charges_left = charges
        if qty > closing:
            self._open(book, order, fill, qty - closing, charges_left)
        self.realised = self.realised + (book.realised - realised_before)
        book.charges = book.charges.plus(charges)
        self.charges = self.charges.plus(charges)
        self.charges_money = charge_as_money(self.charges.total)
        self.fills += 1
        self._dirty[CELL + book.strategy] = book
        self._reindex(book)
        return fill, closed

    def adjust(
        self, book: Book, target: int, px: Price, at: Instant, *, source: str, reason: str
    ) -> tuple[Adjustment, RoundTrip | None]:
        """Bring a book to ``target`` by a person's word: valued at ``px``, free of charges, no fill."""
        change = target - book.net_qty
        side = Side.BUY if change > 0 else Side.SELL
        told = Adjustment(
            at=at,
            strategy=book.strategy,
            instrument=book.instrument,
            product=book.product,
            qty=change,
            px=px,
            source=source,
            reason=reason,
        )
        order, fill = _stand_ins(book, side, abs(change), px, at, reason)
        before, closed = book.realised, None
        closing = min(abs(change), abs(book.net_qty)) if book.net_qty * change < 0 else 0
        if closing:
            assert book.trade is not None
            if closing == abs(book.net_qty):
                book.trade.leaving = ExitReason.ADJUSTED
            closed = self._close(book, order, fill, closing, NO_CHARGES)
        if abs(change) > closing:
            self._open(book, order, fill, abs(change) - closing, NO_CHARGES)
        self.realised = self.realised + (book.realised - before)
        self._dirty[CELL + book.strategy] = book
        self._reindex(book)
        return told, closed

    def unrealised(self, marks: Mapping[InstrumentId, Price]) -> Money:
        """Rupees on open positions at the given marks, before charges."""
        total = Money(0)
        for instrument, books in self.open_by_instrument.items():
            for book in books:
                total = total + book.unrealised(marks[instrument])
        return total

    def mark(self, held: Sequence[Book], px: Price) -> Sequence[Book]:
        """A new price for what is held of an instrument: best and worst so far.

        Returns the books at their target.
        """
        reached: list[Book] | None = None
        for book in held:
            trade = book.trade
            assert trade is not None
            pnl = px * (book.net_qty * book.multiplier) - book.open_cost + trade.brought
            if pnl > trade.mfe:
                trade.mfe = pnl
                self._dirty[CELL + book.strategy] = book
            elif pnl < trade.mae:
                trade.mae = pnl
                self._dirty[CELL + book.strategy] = book
            if trade.target_px is not None and _at_target(book, trade, px):
                reached = [*(reached or ()), book]
        return _NO_BOOKS if reached is None else reached

    def mark_bar(self, held: Sequence[Book], bar: Bar) -> Sequence[Book]:
        """The same for a recorded bar; the broker has matched it before, stops first."""
        reached: list[Book] | None = None
        for book in held:
            trade = book.trade
            assert trade is not None
            units = book.net_qty * book.multiplier
            if units > 0:
                best, worst = bar.high, bar.low
            else:
                best, worst = bar.low, bar.high
            base = trade.brought - book.open_cost
            pnl = best * units + base
            if pnl > trade.mfe:
                trade.mfe = pnl
                self._dirty[CELL + book.strategy] = book
            pnl = worst * units + base
            if pnl < trade.mae:
                trade.mae = pnl
                self._dirty[CELL + book.strategy] = book
            if trade.target_px is not None and _at_target(book, trade, best):
                reached = [*(reached or ()), book]
        return _NO_BOOKS if reached is None else reached

    def touch(self, book: Book) -> None:
        """Have a book written with the next commit: whoever changes its running trade says so.

        Writing every open book with every commit would make an order dearer with each position.
        """
        self._dirty[CELL + book.strategy] = book

    def restore(self, cells: Mapping[str, bytes]) -> None:
        """Take up the books of a recovered journal."""
        for key, raw in cells.items():
            if key.startswith(CELL):
                book = _DECODER.decode(raw)
                self.books[book.strategy] = book
                self.realised = self.realised + book.realised
                self.charges = self.charges.plus(book.charges)
                self._reindex(book)
        self.charges_money = charge_as_money(self.charges.total)

    def _increment(
        self, instrument: Instrument, order: Order, before: Money, after: Money
    ) -> Charges:
        now = self._charge_book.order_charges(instrument, order.product, order.side, after)
        if not before:
            return now
        was = self._charge_book.order_charges(instrument, order.product, order.side, before)
        return now.minus(was)

    def _close(
        self, book: Book, order: Order, fill: Fill, qty: int, charges: Charges
    ) -> RoundTrip | None:
        trade = book.trade
        if trade is None:
            raise InvariantBroken(f"{book.strategy} holds {book.net_qty} without an open trade")
        value = fill.px * (qty * book.multiplier)
        book.open_cost = book.open_cost - Money(int(book.open_cost) * qty // abs(book.net_qty))
        if trade.brought:
            trade.brought = trade.brought - Money(int(trade.brought) * qty // abs(book.net_qty))
        self._count(book, order.side, qty, value)
        trade.exit_qty += qty
        trade.exit_value = trade.exit_value + value
        trade.charges = trade.charges.plus(charges)
        trade.slippage = trade.slippage + _part(fill.slippage, qty, fill.qty)
        if book.net_qty:
            return None
        book.trades += 1
        if trade.leaving is None:
            trade.leaving = _why(order, trade)
        book.trade = None
        return _round_trip(book, trade, fill)

    def _open(self, book: Book, order: Order, fill: Fill, qty: int, charges: Charges) -> None:
        value = fill.px * (qty * book.multiplier)
        self._count(book, order.side, qty, value)
        book.open_cost = book.open_cost + value * order.side.sign
        trade = book.trade
        if trade is None:
            plan = order.plan
            trade = book.trade = OpenTrade(
                side=order.side, entry_at=fill.at, signal_id=order.signal_id
            )
            if plan is not None:
                trade.stop_px = plan.stop_px
                trade.target_px = plan.target_px
                trade.trail_by = plan.trail_by
                trade.exit_at = plan.exit_at
        trade.entry_qty += qty
        trade.entry_value = trade.entry_value + value
        trade.charges = trade.charges.plus(charges)
        trade.slippage = trade.slippage + _part(fill.slippage, qty, fill.qty)
        if trade.stop_px is not None:
            at_stop = trade.stop_px * (trade.entry_qty * book.multiplier)
            trade.risk = abs(trade.entry_value - at_stop)

    def _count(self, book: Book, side: Side, qty: int, value: Money) -> None:
        if side is Side.BUY:
            book.net_qty += qty
            book.bought_qty += qty
            book.bought_value = book.bought_value + value
        else:
            book.net_qty -= qty
            book.sold_qty += qty
            book.sold_value = book.sold_value + value

    def _reindex(self, book: Book) -> None:
        """Keep books that share an instrument in the order of the day's strategies.

        Not in the order of their fills, which a restart would not know: targets hit by the same
        tick are left in this order.
        """
        if book.trade is not None and book.trade.trail_by is not None:
            self.trailing = True
        held = self.open_by_instrument.get(book.instrument, ())
        if book.net_qty and len(held) == 1 and held[0] is book:
            return
        together = [
            each
            for each in self.books.values()
            if each.net_qty and each.instrument == book.instrument
        ]
        if together:
            self.open_by_instrument[book.instrument] = together
        else:
            self.open_by_instrument.pop(book.instrument, None)


def _at_target(book: Book, trade: OpenTrade, px: Price) -> bool:
    target = trade.target_px
    return (
        target is not None
        and trade.leaving is None
        and not book.frozen
        and (px >= target if book.net_qty > 0 else px <= target)
    )


def _why(order: Order, trade: OpenTrade) -> ExitReason:
    """The reason of a close that the house had not announced: a resting stop, or a reversal."""
    if order.plan is not None or order.closes_qty:
        return ExitReason.REVERSAL
    if order.stop_px is not None:
        return ExitReason.TRAIL if trade.trailed else ExitReason.STOP
    return ExitReason.SIGNAL


def _stand_ins(
    book: Book, side: Side, qty: int, px: Price, at: Instant, reason: str
) -> tuple[Order, Fill]:
    """What booking asks of an order and a fill, for an adjustment; neither is ever recorded."""
    nobody = ClOrdId("adjustment")
    order = Order(
        cl_ord_id=nobody,
        strategy=book.strategy,
        instrument=book.instrument,
        side=side,
        order_qty=qty,
        ord_type=OrdType.MARKET,
        product=book.product,
        purpose=Purpose.EXIT,
        reason=reason,
        decision_px=px,
        created_at=at,
        updated_at=at,
        status=OrdStatus.FILLED,
    )
    fill = Fill(
        fill_id="",
        cl_ord_id=nobody,
        strategy=book.strategy,
        instrument=book.instrument,
        side=side,
        qty=qty,
        px=px,
        at=at,
        product=book.product,
        decision_px=px,
        slippage=Money(0),
        charges=NO_CHARGES,
    )
    return order, fill


def _part(amount: Money, qty: int, of: int) -> Money:
    return amount if qty == of else Money(int(amount) * qty // of)


def _share(charges: Charges, qty: int, of: int) -> Charges:
    """The part of a fill's charges that belongs to ``qty`` of its ``of`` units, floored per component."""
    return Charges(
        ChargeUnits(int(charges.brokerage) * qty // of),
        ChargeUnits(int(charges.stt) * qty // of),
        ChargeUnits(int(charges.exchange) * qty // of),
        ChargeUnits(int(charges.sebi) * qty // of),
        ChargeUnits(int(charges.stamp) * qty // of),
        ChargeUnits(int(charges.gst) * qty // of),
    )


def _round_trip(book: Book, trade: OpenTrade, fill: Fill) -> RoundTrip:
    units = trade.entry_qty * book.multiplier
    gross = (trade.exit_value - trade.entry_value) * trade.side.sign
    if trade.leaving is None:
        raise InvariantBroken(f"{book.strategy} closed a trade for no reason")
    return RoundTrip(
        trade_id=TradeId(f"{book.strategy}-{book.trades:03d}"),
        strategy=book.strategy,
        instrument=book.instrument,
        side=trade.side,
        qty=trade.entry_qty,
        entry_at=trade.entry_at,
        exit_at=fill.at,
        entry_px=Price(int(trade.entry_value) // units),
        exit_px=Price(int(trade.exit_value) // units),
        gross=gross,
        charges=trade.charges,
        risk=trade.risk,
        mfe=trade.mfe,
        mae=trade.mae,
        exit_reason=trade.leaving,
        slippage=trade.slippage,
        product=book.product,
    )
