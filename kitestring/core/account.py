"""What the account is worth now and what it risks, as risk must see it.

Only reads: portfolio, working orders and market views. Positions count with every working and
unanswered order filled the bad way; a position without a fresh price says so instead of counting
as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kitestring.core.instrument_view import InstrumentView
from kitestring.core.order_manager import OrderManager
from kitestring.core.portfolio import Portfolio
from kitestring.core.risk_state import Standing
from kitestring.core.settings import StrategySettings
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.instruments import Segment
from kitestring.domain.money import Money
from kitestring.domain.orders import Product, Purpose, Side
from kitestring.domain.ports import MarginModel
from kitestring.domain.positions import Book
from kitestring.domain.sessions import PhaseKind, Session

MARGIN_ROOM_BP: Final = 200
"""A MARKET order is counted at its protection price, up to 2 % away for the cheapest shares."""
EITHER_SIDE: Final = 2
"""A ``book_sign`` that agrees with neither BUY nor SELL."""


class Account:
    """The account of the day, weighed at the marks of a moment."""

    __slots__ = (
        "_margins",
        "_orders",
        "_portfolio",
        "_sessions",
        "_stale_after",
        "_views",
        "_weighed",
        "opening_equity",
    )

    def __init__(
        self,
        portfolio: Portfolio,
        orders: OrderManager,
        views: Mapping[InstrumentId, InstrumentView],
        sessions: Mapping[Segment, Session],
        margins: MarginModel,
        *,
        opening_equity: Money,
        stale_after: int,
    ) -> None:
        self.opening_equity = opening_equity
        self._portfolio = portfolio
        self._orders = orders
        self._views = views
        self._sessions = sessions
        self._margins = margins
        self._stale_after = stale_after
        self._weighed = Standing(
            at=0,
            opening_equity=opening_equity,
            equity=opening_equity,
            peak_equity=opening_equity,
            day_pnl=Money(0),
        )

    def open_at(self, equity: Money) -> None:
        """Begin the day with what the day before has left."""
        self.opening_equity = equity
        self._weighed.opening_equity = self._weighed.peak_equity = equity

    @property
    def equity(self) -> Money:
        """Opening equity and everything earned, lost and paid since, at the last marks."""
        portfolio = self._portfolio
        return (
            self.opening_equity + portfolio.realised + self.unrealised() - portfolio.charges_money
        )

    def fresh(self, view: InstrumentView, at: Instant) -> bool:
        """Whether an instrument has a price recent enough to judge a position by."""
        return at - view.last_at <= self._stale_after

    def weigh(self, at: Instant) -> Standing:
        """The day's result alone, for the watch on losses; one struct, filled anew each time."""
        portfolio, views, oldest = self._portfolio, self._views, at - self._stale_after
        day_pnl, held = portfolio.realised - portfolio.charges_money, portfolio.open_by_instrument
        standing = self._weighed
        standing.marks_fresh = True
        for instrument, books in held.items():
            view = views[instrument]
            if view.last_at < oldest:
                standing.marks_fresh = False
                standing.marks_why = (
                    f"{view.instrument.symbol} last traded at {ist_clock(view.last_at)}"
                )
            px = view.last_px
            for book in books:
                day_pnl += px * (book.net_qty * book.multiplier) - book.open_cost
        standing.at = at
        standing.day_pnl = day_pnl
        standing.equity = standing.opening_equity + day_pnl
        standing.open_positions = len(held)  # The watch asks only whether there is any.
        return standing

    def unrealised(self) -> Money:
        """Rupees on open positions at the last marks, before charges."""
        total = Money(0)
        for instrument, books in self._portfolio.open_by_instrument.items():
            px = self._views[instrument].last_px
            for book in books:
                total = total + book.unrealised(px)
        return total

    def standing(
        self, settings: StrategySettings | None, at: Instant, *, untrusted: str
    ) -> Standing:
        """The account as risk sees it now: positions, working and unanswered orders at their worst."""
        gross = longs = shorts = unrealised = symbol_worst = symbol_pnl = 0
        open_positions = working_orders = book_sign = blocked = 0
        own_working = False
        marks_why = needs_a_person = ""
        for name, book in self._portfolio.books.items():
            working = self._orders.by_strategy.get(name)
            if not book.net_qty and not working:
                if settings is not None and book.instrument == settings.instrument:
                    symbol_pnl += int(book.realised) - int(book.charges.total) // 1_000_000
                continue
            view = self._views[book.instrument]
            px = int(view.last_px)
            low = high = owned = book.net_qty
            for order in working.values() if working else ():
                working_orders += 1
                if order.purpose is Purpose.ENTRY:
                    if order.side is Side.BUY:
                        high += order.leaves_qty
                    else:
                        low -= order.leaves_qty
            worst = high if abs(high) >= abs(low) else low
            notional = worst * px * book.multiplier
            if owned and not book.frozen:
                needs_a_person = needs_a_person or _trouble(book)
            gross += abs(notional)
            longs += high * px * book.multiplier
            shorts += low * px * book.multiplier
            if worst:
                open_positions += 1
                blocked += self._blocked_margin(view, book.product, low, high)
            pnl = owned * px * book.multiplier - int(book.open_cost)
            unrealised += pnl
            if owned and at - view.last_at > self._stale_after:
                marks_why = f"{view.instrument.symbol} last traded at {ist_clock(view.last_at)}"
            if settings is not None and book.instrument == settings.instrument:
                symbol_worst += abs(notional)
                symbol_pnl += int(book.realised) + pnl - int(book.charges.total) // 1_000_000
                if name == settings.name:
                    own_working = high != owned or low != owned
                elif book.product is settings.product and worst:
                    sign = 1 if worst > 0 else -1
                    # While another book turns round, either side may end up against it.
                    against = (high > 0 > low) or book_sign not in (0, sign)
                    book_sign = EITHER_SIDE if against else sign
        portfolio = self._portfolio
        day_pnl = portfolio.realised + Money(unrealised) - portfolio.charges_money
        closed_code, why = ("", "") if settings is None else self.entries_closed(settings, at)
        equity = self.opening_equity + day_pnl
        return Standing(
            at=at,
            entries_open=not closed_code,
            entries_closed_why=why,
            entries_closed_code=closed_code,
            opening_equity=self.opening_equity,
            equity=equity,
            peak_equity=self.opening_equity,
            day_pnl=day_pnl,
            marks_fresh=not marks_why,
            marks_why=marks_why,
            open_positions=open_positions,
            working_orders=working_orders,
            gross=Money(gross),
            net=Money(longs if abs(longs) >= abs(shorts) else shorts),
            symbol_worst=Money(symbol_worst),
            symbol_pnl=Money(symbol_pnl),
            book_sign=book_sign,
            own_working=own_working,
            orders_untrusted=untrusted,
            needs_a_person=needs_a_person,
            available_cash=self.opening_equity
            + portfolio.realised
            - portfolio.charges_money
            - Money(blocked),
        )

    def margin_with_room(self, view: InstrumentView, product: Product, side: Side) -> Money:
        """Margin of one more unit, with room for the protection price it may be counted at."""
        margin = self._margins.unit_margin(view.instrument, product, side, view.last_px)
        return margin + margin * MARGIN_ROOM_BP // 10_000

    def _blocked_margin(self, view: InstrumentView, product: Product, low: int, high: int) -> int:
        """What the broker ties up for a book at the larger of its two worst cases."""
        unit_margin, px = self._margins.unit_margin, view.last_px
        long = int(unit_margin(view.instrument, product, Side.BUY, px)) * max(high, 0)
        short = int(unit_margin(view.instrument, product, Side.SELL, px)) * max(-low, 0)
        return max(long, short)

    def entries_closed(self, settings: StrategySettings, at: Instant) -> tuple[str, str]:
        """Why no new position may be taken now, as a code and in words; empty when one may."""
        view = self._views[settings.instrument]
        session = self._sessions[view.instrument.segment]
        phase = session.phase_at(at)
        if phase is not PhaseKind.CONTINUOUS:
            return "SESSION_CLOSED", f"the market is {phase}"
        if settings.product is not Product.MIS and view.instrument.expiry == session.date:
            return "EXPIRES_TODAY", (
                f"{view.instrument.symbol} expires today and cannot be carried; no new positions"
            )
        if settings.product is Product.MIS and at >= session.square_off_at:
            return (
                "ENTRY_CUTOFF",
                f"intraday positions are flat from {ist_clock(session.square_off_at)}",
            )
        if at >= session.entry_cutoff_at:
            return "ENTRY_CUTOFF", f"no new positions after {ist_clock(session.entry_cutoff_at)}"
        source = self._views[settings.source]
        for watched in (view, source):
            if watched.stale:
                return "STALE_DATA", (
                    f"{watched.instrument.symbol} has not traded since {ist_clock(watched.last_at)}"
                )
        return "", ""


def _trouble(book: Book) -> str:
    """Why a person was called for a position and is still needed; empty where nobody is."""
    trade = book.trade
    if trade is None:
        return ""
    held = f"{book.net_qty} {book.instrument} of {book.strategy}"
    if trade.stuck_told_at and trade.leaving is not None:
        return f"{held} does not get out ({trade.leaving.value})"
    if trade.naked_told and trade.stop_px is not None:
        return f"{held} stands without its stop"
    return ""
