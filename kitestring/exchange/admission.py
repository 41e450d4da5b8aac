"""Whether an order or a change is taken when it arrives, at which limit, and what it does at once.

In continuous trading an order that meets the other side trades, any other queues; in the pre-open
and in the closing auction it only waits; after the close it trades at the closing price.
"""

from __future__ import annotations

from kitestring.domain.instants import Instant
from kitestring.domain.money import Price, on_tick_down, on_tick_up
from kitestring.domain.orders import OrdType, Product, TimeInForce
from kitestring.domain.sessions import PhaseKind
from kitestring.exchange.auctions import closing_px, reference_px, trade_after_close
from kitestring.exchange.crossing import fill_on_bar, meets_quote, take_quote
from kitestring.exchange.ledger import What
from kitestring.exchange.order_book import (
    NO_PLACE,
    NO_PRICE,
    ExchangeOrder,
    Market,
    Request,
    Status,
)
from kitestring.exchange.order_terms import change_order, restore_terms, terms_of
from kitestring.exchange.queue import keeps_place
from kitestring.exchange.rules import (
    AUCTION_PHASES,
    PRE_OPEN_PHASES,
    band_around,
    closed_to_orders,
    frozen,
    intraday_blocked,
    judge_instrument,
    judge_order,
    phase_of,
    protected_px,
)
from kitestring.exchange.timed_floor import TimedFloor


class Admission(TimedFloor):
    """The part of the exchange that judges what has arrived."""

    def admit(self, order: ExchangeOrder, request: Request, at: Instant) -> None:
        """Judge a new order that has arrived; let it trade, wait, or be refused."""
        market = order.market
        if market is None:
            self.refuse(order, request, at, judge_instrument(None, None) or "")
            return
        bar = market.bar
        at_open = bar is not None and bar.open_at >= at and self.bars and not self.model.immediate
        phase = self._phase(market, at)
        last_px = request.seen_px if self.bars else self._measure(market, phase, at)
        if at_open and bar is not None and order.ord_type is OrdType.MARKET:
            last_px = bar.open
        sentence = market.refusal or self._judge(order, market, last_px, phase, at)
        if sentence is not None:
            self.refuse(order, request, at, sentence)
            return
        if order.ord_type is OrdType.MARKET:
            order.limit_px = self._protected(order, market, last_px, phase)
        sentence = self._reserve(order, market, at)
        if sentence is not None:
            self.refuse(order, request, at, sentence)
            return
        self.begin_validity(order, at)
        self.rest(order, market)
        if order.status is Status.OPEN and phase is PhaseKind.CONTINUOUS:
            if at_open and bar is not None:
                order.takes = order.reaches(bar.open)
            else:
                order.takes = meets_quote(self, order, market, at)
            order.takes = order.takes or order.ord_type is OrdType.MARKET
            self.queue_up(order, market)
        elif phase in PRE_OPEN_PHASES:
            order.ahead, order.collected, market.collecting = NO_PLACE, True, True
        self.tell(What.NEW, order, at, request.number)
        if order.takes:
            if at_open and bar is not None:
                fill_on_bar(self, order, bar, bar.open, at)
            else:
                take_quote(self, order, market, at)
        elif phase is PhaseKind.POST_CLOSE:
            trade_after_close(self, order, market, at)
        if order.status is Status.OPEN:
            self.settle_rest(order, at)

    def _phase(self, market: Market, at: Instant) -> PhaseKind:
        """The phase a market is in; bars know of continuous trading only."""
        if self.bars or market.session is None:
            return PhaseKind.CONTINUOUS
        return phase_of(market.session, at, market.close_at)

    def _measure(self, market: Market, phase: PhaseKind, at: Instant) -> Price:
        """The price that limits and protection are measured from in a phase."""
        if phase in AUCTION_PHASES:
            return reference_px(market, at)
        return closing_px(market, at) if phase is PhaseKind.POST_CLOSE else market.last_px(at)

    def _judge(
        self, order: ExchangeOrder, market: Market, last_px: Price, phase: PhaseKind, at: Instant
    ) -> str | None:
        """Why the order, as it is asked for, is refused; ``None`` if it may pass."""
        ioc, disclosed = order.validity is TimeInForce.IOC, order.disclosed_qty > 0
        sentence = closed_to_orders(
            market.session,
            at,
            order.ord_type,
            ioc=ioc,
            disclosed=disclosed,
            close_at=market.close_at,
        )
        band = None
        if phase in AUCTION_PHASES and last_px > NO_PRICE:
            band = self._auction_band(market, last_px)
        return sentence or judge_order(
            self.rules,
            market.instrument,
            last_px,
            tag=order.tag,
            buy=order.buy,
            qty=order.qty,
            ord_type=order.ord_type,
            product=order.product,
            limit_px=order.limit_px,
            stop_px=order.stop_px,
            protection=order.protection_bp,
            ioc=ioc,
            disclosed_qty=order.disclosed_qty,
            band=band,
        )

    def _auction_band(self, market: Market, reference: Price) -> tuple[Price, Price]:
        return band_around(reference, self.rules.auction_band_bp, market.instrument.tick_size)

    def _protected(
        self, order: ExchangeOrder, market: Market, last_px: Price, phase: PhaseKind
    ) -> Price:
        """The limit a MARKET order works at in a phase."""
        if phase is PhaseKind.POST_CLOSE:
            return last_px
        px = protected_px(
            self.rules, market.instrument, last_px, order.protection_bp, buy=order.buy
        )
        if phase in AUCTION_PHASES:
            low, high = self._auction_band(market, last_px)
            tick_size = market.instrument.tick_size
            px = max(min(px, on_tick_down(high, tick_size)), on_tick_up(low, tick_size))
        return px

    def _reserve(self, order: ExchangeOrder, market: Market, at: Instant) -> str | None:
        """Tie up margin for what may still trade; say why not, if not."""
        position = self.position_of(order, market)
        qty, buy = order.leaves, order.buy
        if self.account.grows(position, qty, buy=buy):
            if order.product is Product.MIS and market.session is not None:
                blocked = intraday_blocked(self.rules, market.session, at)
                if blocked is not None:
                    return blocked
            elif order.product is Product.CNC and not buy:
                return "Insufficient holdings. Shares cannot be sold short for delivery."
        return self.account.reserve(position, qty, self.margin_px(order, market), buy=buy)

    def change(self, order: ExchangeOrder, request: Request, at: Instant) -> None:
        """Judge a change that has arrived; a refused one leaves the order as it was."""
        market, position = order.market, order.position
        assert market is not None
        assert position is not None
        account = self.account
        before = (order.qty, order.ord_type, order.limit_px, order.stop_px)
        terms, tied_up = terms_of(order), position.terms()
        was = order.ord_type
        account.release(position, order.leaves, buy=order.buy)
        change_order(order, request)
        phase = self._phase(market, at)
        last_px = request.seen_px if self.bars else self._measure(market, phase, at)
        sentence = None
        if not self.bars:
            sentence = frozen(market.session, at, was, market.close_at)
        if order.modifications >= self.rules.modifications_max:
            sentence = f"An order can be modified at most {self.rules.modifications_max} times."
        elif order.qty <= order.filled:
            sentence = f"Quantity cannot be reduced to {order.qty}: {order.filled} have traded."
        if sentence is None:
            sentence = self._judge(order, market, last_px, phase, at)
        if sentence is None:
            if order.ord_type is OrdType.MARKET and (
                request.ord_type is not None or request.protection_bp is not None
            ):
                order.limit_px = self._protected(order, market, last_px, phase)
            sentence = self._reserve(order, market, at)
        if sentence is not None:
            order.qty, order.ord_type, order.limit_px, order.stop_px = before
            restore_terms(order, terms)
            account.take_back(position, tied_up)
            self.tell(What.REPLACE_REJECTED, order, at, request.number, sentence)
            return
        order.modifications += 1
        if request.validity is not None or request.ttl_minutes:
            self.begin_validity(order, at)
        if keeps_place(before, order):
            self.tell(What.REPLACED, order, at, request.number)
            return
        market.orders.remove(order)
        self.rest(order, market)
        order.takes = (
            order.status is Status.OPEN
            and not self.bars
            and phase is PhaseKind.CONTINUOUS
            and meets_quote(self, order, market, at)
        )
        if self.bars and order.status is Status.OPEN and not self.model.immediate:
            order.takes = True  # a bar's open decides: it comes there as if new
        if order.status is Status.OPEN and phase is PhaseKind.CONTINUOUS:
            self.queue_up(order, market)
        self.tell(What.REPLACED, order, at, request.number)
        if order.takes and not self.bars:
            take_quote(self, order, market, at)
