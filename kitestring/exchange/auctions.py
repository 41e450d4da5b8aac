"""The auctions of the day, of which we know one side: our own orders, and a price somebody told.

Nothing is matched in the pre-open or the closing auction while it collects. At its end everything
that reaches one price trades at that price, better limits first, then by arrival. Whose orders made
the price is not visible, so these are assumed: the opening price is the last price of the first
tick of continuous trading, and what may be had of it is the volume that tick tells of. The closing
price is what the feed tells while the auction runs, if anything traded then, else the reference
price: the volume-weighted price of the last 15 minutes of continuous trading (30 for shares without
an auction), else the last price (SEBI HO/47/11/11(3)2025-MRD-POD2/I/2765/2026; NSE/CMTR/74466). Of
the close a quarter of those minutes' volume may be had where the feed tells nothing of it.
"""

from __future__ import annotations

from typing import Final

from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.money import Price, on_tick_down
from kitestring.domain.orders import OrdType
from kitestring.domain.sessions import PhaseKind, Session
from kitestring.domain.ticks import Tick
from kitestring.exchange.crossing import Floor
from kitestring.exchange.order_book import ExchangeOrder, Market, Status
from kitestring.exchange.queue import by_priority
from kitestring.exchange.rules import AUCTION_PHASES

LEFT_OVER: Final = "Not matched in the closing auction; the exchange has cancelled the order."
NO_STOPS: Final = "Stop and disclosed orders are cancelled when the closing auction begins."
_AUCTION_WINDOW: Final = 15 * MINUTE
_PLAIN_WINDOW: Final = 30 * MINUTE


class ClosingWindow:
    """What traded in the last minutes of continuous trading, and what is told of the close."""

    __slots__ = ("auction", "close_at", "cum_qty", "from_at", "qty", "told_px", "told_qty", "value")

    def __init__(self, close_at: Instant, *, auction: bool) -> None:
        self.auction = auction
        self.close_at = close_at
        self.from_at = close_at - (_AUCTION_WINDOW if auction else _PLAIN_WINDOW)
        self.qty = 0
        self.value = 0
        self.cum_qty = 0
        self.told_px = Price(0)
        self.told_qty = 0

    def weigh(self, before: Tick | None, tick: Tick, at: Instant) -> None:
        """Take in one tick of the market's."""
        if at < self.from_at:
            return
        if at >= self.close_at:
            if self.auction and tick.cum_qty > self.cum_qty:
                self.told_px, self.told_qty = tick.last_px, tick.cum_qty - self.cum_qty
            return
        if before is not None and before.cum_qty and tick.cum_qty > before.cum_qty:
            grown = tick.cum_qty - before.cum_qty
            self.qty += grown
            self.value += grown * int(tick.last_px)
        self.cum_qty = max(self.cum_qty, tick.cum_qty)


def closing_window(session: Session | None, close_at: Instant) -> ClosingWindow | None:
    """The window an instrument's closing price is reckoned over; ``None`` where nothing needs it."""
    if session is None:
        return None
    kinds = {phase.kind for phase in session.phases}
    if not (kinds & AUCTION_PHASES or PhaseKind.POST_CLOSE in kinds):
        return None
    return ClosingWindow(close_at, auction=bool(kinds & AUCTION_PHASES))


def reference_px(market: Market, at: Instant) -> Price:
    """The price the closing auction is measured from; 0 if nothing is known of the market."""
    window = market.window
    if window is None or not window.qty:
        return market.last_px(at)
    return on_tick_down(Price(window.value // window.qty), market.instrument.tick_size)


def closing_px(market: Market, at: Instant) -> Price:
    """The closing price as far as it is known."""
    window = market.window
    return window.told_px if window is not None and window.told_px else reference_px(market, at)


def _closing_qty(floor: Floor, market: Market) -> int:
    """What each side of our orders may have of the close."""
    window, lot = market.window, market.instrument.lot_size
    if window is not None and window.told_qty:
        return window.told_qty
    if window is not None and window.qty:
        return max(window.qty * floor.model.volume_share_pct // 100 // lot, 1) * lot
    return floor.model.lots_unseen * lot


def _match_at(
    floor: Floor, market: Market, orders: list[ExchangeOrder], px: Price, most: int, at: Instant
) -> None:
    """Trade everything that reaches one price at it, as far as the volume goes."""
    tick = market.tick
    left = {True: most, False: most}
    for order in by_priority(orders):
        if not order.reaches(px):
            continue
        qty = order.leaves if floor.model.immediate else min(order.leaves, left[order.buy])
        if qty > 0:
            left[order.buy] -= qty
            if tick is not None:
                market.take(tick, qty, buy=order.buy)
            floor.trade(order, qty, px, at)


def open_auction(floor: Floor, market: Market, tick: Tick, at: Instant) -> None:
    """Match what the pre-open collected; the rest goes on into continuous trading.

    Market orders go on as what they are, limits at their protection, that take what stands there.
    """
    market.collecting = False
    collected = [each for each in market.orders if each.collected]
    told = market.instrument.has_volume and tick.cum_qty
    most = tick.cum_qty if told else floor.model.lots_unseen * market.instrument.lot_size
    _match_at(floor, market, collected, tick.last_px, most, at)
    for order in collected:
        if order.status is Status.OPEN:
            order.collected = False
            order.takes = order.ord_type is OrdType.MARKET
            floor.join_queue(order, market, at)


def begin_closing_auction(floor: Floor, market: Market, at: Instant) -> None:
    """Stops and disclosed orders are cancelled; plain limits, and what is left of others, stay."""
    for order in market.orders.copy():
        if order.status is Status.TRIGGER_PENDING or order.disclosed_qty:
            floor.withdraw(order, at, 0, NO_STOPS)


def close_auction(floor: Floor, market: Market, at: Instant) -> None:
    """Match what waited for the close at the closing price, and cancel what is left."""
    px = closing_px(market, at)
    if px > Price(0):
        waiting = [each for each in market.orders if each.status is Status.OPEN]
        _match_at(floor, market, waiting, px, _closing_qty(floor, market), at)
    for order in market.orders.copy():
        floor.withdraw(order, at, 0, LEFT_OVER)


def trade_after_close(floor: Floor, order: ExchangeOrder, market: Market, at: Instant) -> None:
    """An order of the post-close session trades at the closing price, as far as its share goes."""
    had = 0 if market.tick is None else market.taken(market.tick, buy=order.buy)
    most = _closing_qty(floor, market) - had
    _match_at(floor, market, [order], order.limit_px, most, at)
