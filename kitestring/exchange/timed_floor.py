"""The trading floor under the clock: validity that runs out, phases that end, the square-off.

Every turn is taken at its own instant, before anything later, and is one stroke of the ledger, so
that a crash finds it whole or not begun. After a restart turns up to the ledger's last entry are
behind us: whatever they did is in it.
"""

from __future__ import annotations

import heapq
from abc import abstractmethod
from typing import Unpack

from kitestring.domain.instants import MINUTE, NEVER, Instant
from kitestring.domain.orders import OrdType, Product, TimeInForce
from kitestring.exchange.auctions import (
    begin_closing_auction,
    close_auction,
    closing_window,
)
from kitestring.exchange.day_turns import Turn, TurnKind, turns_of_day
from kitestring.exchange.floor import FloorParts, TradingFloor
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.exchange.order_book import ExchangeOrder, Market, Request
from kitestring.exchange.rules import closes_at
from kitestring.exchange.square_off import SQUARE_OFF, WITHDRAWN, Closing, closings

SESSION_OVER = "The session is over; the order has lapsed."


class TimedFloor(TradingFloor):
    """A trading floor that knows what time alone changes."""

    def __init__(self, **parts: Unpack[FloorParts]) -> None:
        super().__init__(**parts)
        self.heard = 0
        """Requests heard so far; the last one's number."""
        self.placed = 0
        self.window_from: Instant = NEVER
        """From when on the closing prices' windows look at ticks."""
        for market in self.markets.values():
            if market.session is not None:
                market.close_at = closes_at(self.rules, market.instrument, market.session)
                market.window = closing_window(market.session, market.close_at)
                if market.window is not None:
                    self.window_from = min(self.window_from, market.window.from_at)
        self._turns: list[Turn] = turns_of_day(
            self.rules, self.markets.values(), square_off=parts.get("square_off", False)
        )
        self._lapses: list[tuple[Instant, str]] = []
        """When the validity of an order runs out, as a heap; an order may have a later one."""
        self._reckon_turn()

    @abstractmethod
    def arrive_before(self, until: Instant) -> None:
        """Let arrive what is due strictly before an instant."""

    @abstractmethod
    def take_in(self, entry: LedgerEntry) -> Request:
        """The request that an entry stands for."""

    @abstractmethod
    def arrive(self, request: Request, at: Instant) -> None:
        """Let a request reach the matching."""

    def pass_time(self, until: Instant) -> None:
        """Take every turn due at or before an instant, and let arrive what comes before each."""
        if self.bars:
            return
        while self.next_turn_at <= until:
            at = self.next_turn_at
            self.arrive_before(at)
            if self._turns and self._turns[-1].at == at:
                self._take_turn(self._turns.pop(), at)
            else:
                self._lapse_validity(heapq.heappop(self._lapses)[1], at)
            self._reckon_turn()
            self.write()

    def forget_turns(self, until: Instant) -> None:
        """Turns up to an instant were taken before a restart."""
        while self._turns and self._turns[-1].at <= until:
            self._turns.pop()
        while self._lapses and self._lapses[0][0] <= until:
            heapq.heappop(self._lapses)
        self._reckon_turn()

    def begin_validity(self, order: ExchangeOrder, at: Instant) -> None:
        """An order was taken, or its validity changed: reckon when it runs out."""
        order.lapses_at = NEVER
        if order.ttl_minutes:
            order.lapses_at = at + order.ttl_minutes * MINUTE
            heapq.heappush(self._lapses, (order.lapses_at, order.tag))
            self._reckon_turn()

    def _reckon_turn(self) -> None:
        due = self._turns[-1].at if self._turns else NEVER
        self.next_turn_at = min(due, self._lapses[0][0]) if self._lapses else due

    def _lapse_validity(self, tag: str, at: Instant) -> None:
        order = self.orders.get(tag)
        if order is not None and order.live and order.lapses_at == at:
            text = f"The order's validity of {order.ttl_minutes} minutes is over."
            self.withdraw(order, at, 0, text)

    def _take_turn(self, turn: Turn, at: Instant) -> None:
        if turn.kind is TurnKind.SQUARE_OFF:
            self._square_off(turn, at)
            return
        concerned: dict[str, Market] = {}
        for order in self.orders.values():
            market = order.market
            if market is not None and order.live and turn.concerns(market):
                concerned[market.instrument.id] = market
        for market in concerned.values():
            if turn.kind is TurnKind.AUCTION_BEGINS:
                begin_closing_auction(self, market, at)
            elif turn.kind is TurnKind.AUCTION_ENDS:
                close_auction(self, market, at)
            else:
                self.lapse(market, at)

    def lapse(self, market: Market, at: Instant) -> None:
        """The session is over: nothing of a market stays in the book."""
        for order in market.orders.copy():
            self.withdraw(order, at, 0, SESSION_OVER)

    def _square_off(self, turn: Turn, at: Instant) -> None:
        for order in list(self.orders.values()):
            market = order.market
            mine = order.live and market is not None and turn.concerns(market)
            if mine and order.product is Product.MIS:
                self.withdraw(order, at, 0, WITHDRAWN)
        held = [
            self.markets[instrument]
            for instrument, product in self.account.positions
            if product is Product.MIS and turn.concerns(self.markets[instrument])
        ]
        for closing in list(closings(self.account, held)):
            self._close_for_nobody(closing, at)

    def _close_for_nobody(self, closing: Closing, at: Instant) -> None:
        """Send one order that no client placed; it is at the exchange at once."""
        number = self.placed + 1
        entry = LedgerEntry(
            What.PLACE,
            at,
            tag=f"{SQUARE_OFF}-{number}",
            order_id=f"{self.day}{number:09d}",
            request=self.heard + 1,
            arrives_at=at,
            instrument=closing.market.instrument.id,
            side=closing.side,
            qty=closing.qty,
            order_type=OrdType.MARKET,
            product=Product.MIS,
            validity=TimeInForce.DAY,
            seen_px=int(closing.market.last_px(at)),
            origin=SQUARE_OFF,
        )
        request = self.take_in(entry)
        self._stroke.append(entry)
        self.arrive(request, at)
