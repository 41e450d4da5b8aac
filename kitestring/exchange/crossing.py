"""Who trades when the market moves: waiting orders against a new tick or a new bar.

Stops are looked at before limits, better limits before worse ones, earlier before later. An order
that meets the opposite side walks its five visible levels up to its limit, and goes on taking what
later ticks show there; one that waits fills at its own price, from the trading that reaches it in its
queue (``exchange.queue``) and from opposite quotes that come to it. Nothing is had twice. Without
depth a stated spread stands for the quote, and a price that was only touched fills nothing. A
bar's insides are unknown, so the worse order of events is assumed: stops first, then limits, and
what trades inside a bar is stamped with its close, the latest moment it can have happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from kitestring.domain.bars import Bar
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType
from kitestring.domain.ticks import Tick
from kitestring.exchange.depth import visible_depth
from kitestring.exchange.fill_models import FillModel
from kitestring.exchange.order_book import ExchangeOrder, Market, Status
from kitestring.exchange.queue import NOTHING, by_priority, move_up, quote, shows_depth

UNLIMITED: Final = 1 << 60
_OPEN: Final = Status.OPEN
"""A name of the module: Python 3.11 takes 80 ns to find a member of an enum."""


class Floor(Protocol):
    """What crossing asks of the exchange: to book a trade, to set off a stop."""

    model: FillModel

    def trade(
        self, order: ExchangeOrder, qty: int, px: Price, at: Instant, printed: int = 0
    ) -> None:
        """Book a trade of a live order; ``printed`` of it came out of the traded volume."""
        ...

    def join_queue(self, order: ExchangeOrder, market: Market, at: Instant) -> None:
        """Give an order that came before any depth was seen its place in the queue."""
        ...

    def withdraw(self, order: ExchangeOrder, at: Instant, request: int, text: str) -> None:
        """Cancel what is left of an order, with the exchange's sentence."""
        ...

    def trigger(self, order: ExchangeOrder, last_px: Price, at: Instant) -> bool:
        """Turn a stop into a limit; false if the exchange refuses the limit it becomes."""
        ...

    def settle_rest(self, order: ExchangeOrder, at: Instant) -> None:
        """Let the rest of the order wait, or withdraw it if it must not."""
        ...


def meets_quote(floor: Floor, order: ExchangeOrder, market: Market, at: Instant) -> bool:
    """Whether the order, coming now, would trade with what stands on the other side."""
    tick = market.tick
    if floor.model.immediate:
        last_px = market.last_px(at)
        return last_px > Price(0) and order.reaches(last_px)
    if tick is None:
        return False
    px, _ = quote(floor.model, market, tick, at, buy=order.buy)
    return px > Price(0) and order.reaches(px)


def take_quote(floor: Floor, order: ExchangeOrder, market: Market, at: Instant) -> None:
    """Trade with what stands on the other side, as far as it goes."""
    if floor.model.immediate:
        if order.ord_type is OrdType.LIMIT:
            px = order.limit_px
        elif order.ord_type is OrdType.SL:
            px = order.stop_px  # What a stop asks for is its trigger; its limit is protection.
        else:
            px = market.last_px(at)
        floor.trade(order, order.leaves, px, at)
        return
    tick = market.tick
    if tick is None:
        return
    had = market.taken(tick, buy=order.buy)
    for px, standing in _opposite(floor.model, order, market, tick, at):
        if not order.reaches(px):
            break
        there = standing - had
        had = max(-there, 0)
        qty = min(order.leaves, there)
        if qty > 0:
            market.take(tick, qty, buy=order.buy)
            floor.trade(order, qty, px, at)
        if not order.leaves or order.status is Status.CANCELLED:
            break  # all of it, or the exchange has cut it short on the way


def _opposite(
    model: FillModel, order: ExchangeOrder, market: Market, tick: Tick, at: Instant
) -> Sequence[tuple[Price, int]]:
    """Price and quantity of what stands on the other side, best first; only the best if that is enough."""
    best = quote(model, market, tick, at, buy=order.buy)
    if best is NOTHING:
        return ()
    enough = best[1] - market.taken(tick, buy=order.buy) >= order.leaves
    if enough or not shows_depth(market, tick):
        return (best,)
    depth = visible_depth(market.instrument, tick)
    return [(level.px, level.qty) for level in (depth.asks if order.buy else depth.bids)]


def cross_tick(floor: Floor, market: Market, at: Instant) -> None:
    """Look at every order of an instrument after its new tick, in order of arrival, stops first."""
    tick = market.tick
    if tick is None or tick.last_px <= Price(0):
        return
    waiting: list[ExchangeOrder] = []
    last_px = tick.last_px
    for order in market.orders.copy():
        if order.status is _OPEN:
            waiting.append(order)
        elif order.triggers_at(last_px) and floor.trigger(order, last_px, at):
            if order.takes:
                take_quote(floor, order, market, at)
            floor.settle_rest(order, at)
    if not waiting:
        return
    if floor.model.immediate:
        for order in waiting:
            if order.reaches(tick.last_px):
                floor.trade(order, order.leaves, order.limit_px, at)
        return
    for order in by_priority(waiting):
        had = market.had_printed(tick, buy=order.buy)
        reached = move_up(floor.model, order, market, tick, at, had=had)
        if order.ahead < 0 and shows_depth(market, tick):
            floor.join_queue(order, market, at)
        if order.takes and _met_before(floor.model, order, market, at):
            take_quote(floor, order, market, at)
        else:
            _fill_waiting(floor, order, market, tick, at, reached)


def _met_before(model: FillModel, order: ExchangeOrder, market: Market, at: Instant) -> bool:
    """Whether the tick before was already within the order's reach: it is working its way in."""
    before = market.before
    if before is None:
        return True
    bid, ask = before.bid_px, before.ask_px
    if market.instrument.has_depth and (bid or ask):
        px = ask if order.buy else bid
        return px > Price(0) and order.reaches(px)
    px, _ = quote(model, market, before, at, buy=order.buy)
    return px > Price(0) and order.reaches(px)


def _fill_waiting(
    floor: Floor, order: ExchangeOrder, market: Market, tick: Tick, at: Instant, reached: int
) -> None:
    """A waiting limit fills at its own price: from quotes that came to it, and from what traded.

    ``reached`` is what traded and came to it in its queue.
    """
    limit_px, buy = order.limit_px, order.buy
    standing = 0
    for px, qty in _opposite(floor.model, order, market, tick, at):
        if not order.reaches(px):
            break
        standing += qty
    if shows_depth(market, tick):
        printed = _whole_lots(reached, order)
        there = max(standing - market.taken(tick, buy=buy), 0)
    else:
        # Quotes and trades are the same guess at the same volume here.
        printed, there = 0, max(standing, reached) - market.taken(tick, buy=buy)
    qty = min(order.leaves, there + printed)
    if qty > 0:
        printed = max(qty - there, 0)
        market.take(tick, qty, buy=buy, printed=printed)
        floor.trade(order, qty, limit_px, at, printed)


def _whole_lots(reached: int, order: ExchangeOrder) -> int:
    """What of a traded volume an order gets: all it asks for, or whole lots."""
    assert order.market is not None
    lot = order.market.instrument.lot_size
    return reached if reached >= order.leaves else reached // lot * lot


def bar_allowance(model: FillModel, market: Market, bar: Bar, *, buy: bool) -> int:
    """What our orders may still have of a bar; a bar without volume limits nothing."""
    if model.immediate or not bar.volume or not market.instrument.has_volume:
        return UNLIMITED
    lot = market.instrument.lot_size
    share = bar.volume * model.volume_share_pct // 100
    return max(share // lot, 1) * lot - market.taken(bar, buy=buy)


def fill_on_bar(floor: Floor, order: ExchangeOrder, bar: Bar, px: Price, at: Instant) -> None:
    """Trade at one price of a bar, as far as its volume goes."""
    market = order.market
    assert market is not None
    qty = min(order.leaves, bar_allowance(floor.model, market, bar, buy=order.buy))
    if qty > 0:
        market.take(bar, qty, buy=order.buy)
        floor.trade(order, qty, px, at)


def cross_bar(floor: Floor, market: Market, bar: Bar) -> None:
    """Look at the orders that waited before a bar, or came at its open: open, stops, limits."""
    open_px, open_at, close_at = bar.open, bar.open_at, bar.close_at
    orders = market.orders.copy()
    fresh: set[str] = set()
    for order in orders:  # at the open: the rest of what takes, and stops that were gapped
        if order.status is Status.TRIGGER_PENDING and order.triggers_at(open_px):
            fresh.add(order.order_id)
            if floor.trigger(order, open_px, open_at):
                if order.reaches(open_px):
                    fill_on_bar(floor, order, bar, open_px, open_at)
                floor.settle_rest(order, open_at)
        elif order.status is Status.OPEN and order.takes and order.reaches(open_px):
            fill_on_bar(floor, order, bar, open_px, open_at)
    for order in orders:  # inside: stops before limits
        if order.status is Status.TRIGGER_PENDING and order.triggers_at(
            bar.high if order.buy else bar.low
        ):
            fresh.add(order.order_id)
            if floor.trigger(order, order.stop_px, close_at):
                if order.reaches(order.stop_px):
                    fill_on_bar(floor, order, bar, order.stop_px, close_at)
                floor.settle_rest(order, close_at)
    for order in orders:
        if order.status is not Status.OPEN or order.order_id in fresh:
            continue
        limit_px = order.limit_px
        if floor.model.immediate:
            through = bar.low <= limit_px if order.buy else bar.high >= limit_px
        else:
            through = bar.low < limit_px if order.buy else bar.high > limit_px
        if through:
            fill_on_bar(floor, order, bar, limit_px, close_at)
