"""Who trades when the market moves: waiting orders against a new tick or a new bar.

Stops are looked at before limits. An order that met the opposite quote as it came goes on taking
the quote, up to what stands there; one that waits fills at its own price, when the market trades
through it or the opposite quote comes to it, never because its price was touched. A bar's insides
are unknown, so the worse order of events is assumed: stops first, then limits, and what trades
inside a bar is stamped with its close, the latest moment it can have happened.
"""

from __future__ import annotations

from typing import Final, Protocol

from kitestring.domain.bars import Bar
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType
from kitestring.domain.ticks import Tick
from kitestring.exchange.fill_models import FillModel, spread_quote
from kitestring.exchange.order_book import ExchangeOrder, Market, Status

NOTHING: Final = (Price(0), 0)
UNLIMITED: Final = 1 << 60


class Floor(Protocol):
    """What crossing asks of the exchange: to book a trade, to set off a stop."""

    model: FillModel

    def trade(self, order: ExchangeOrder, qty: int, px: Price, at: Instant) -> None:
        """Book a trade of a live order."""
        ...

    def trigger(self, order: ExchangeOrder, last_px: Price, at: Instant) -> bool:
        """Turn a stop into a limit; false if the exchange refuses the limit it becomes."""
        ...

    def settle_rest(self, order: ExchangeOrder, at: Instant) -> None:
        """Let the rest of the order wait, or withdraw it if it must not."""
        ...


def _traded(market: Market, tick: Tick) -> bool:
    """Whether anything traded between the tick before and this one."""
    before = market.before
    if before is None:
        return False
    if market.instrument.has_volume and tick.cum_qty and before.cum_qty:
        return tick.cum_qty > before.cum_qty
    return tick.last_px != before.last_px


def _share(model: FillModel, market: Market, tick: Tick) -> int:
    """What our orders may have had of the volume since the tick before; whole lots, at least one."""
    lot = market.instrument.lot_size
    before = market.before
    if market.instrument.has_volume and tick.cum_qty and before is not None and before.cum_qty:
        share = (tick.cum_qty - before.cum_qty) * model.volume_share_pct // 100
        return max(share // lot, 1) * lot
    return model.lots_unseen * lot


def quote(
    model: FillModel, market: Market, tick: Tick, at: Instant, *, buy: bool
) -> tuple[Price, int]:
    """The price and quantity an order meets on the other side; ``NOTHING`` where it should not trade.

    With depth that is the best quote; an empty side or an absurd spread (a lone quote is measured
    against the last price) offers nothing. Without depth it is the stated spread model.
    """
    instrument, last_px = market.instrument, tick.last_px
    bid, ask = tick.bid_px, tick.ask_px
    if instrument.has_depth and (bid or ask):
        px, qty = (ask, tick.ask_qty) if buy else (bid, tick.bid_qty)
        if not px:
            return NOTHING
        low, high = bid or last_px, ask or last_px
        if int(high - low) * 200 > model.spread_limit_pct(instrument.kind) * int(high + low):
            return NOTHING
        return px, qty
    since_open = at - market.open_at
    px = spread_quote(model, instrument.kind, last_px, instrument.tick_size, since_open, buy=buy)
    return (px, _share(model, market, tick)) if px > Price(0) else NOTHING


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
    px, standing = quote(floor.model, market, tick, at, buy=order.buy)
    if px > Price(0) and order.reaches(px):
        qty = min(order.leaves, standing - market.taken(tick, buy=order.buy))
        if qty > 0:
            market.take(tick, qty, buy=order.buy)
            floor.trade(order, qty, px, at)


def cross_tick(floor: Floor, market: Market, at: Instant) -> None:
    """Look at every order of an instrument after its new tick, in order of arrival, stops first."""
    tick = market.tick
    if tick is None or tick.last_px <= Price(0):
        return
    orders = market.orders.copy()
    fresh: set[str] = set()
    for order in orders:
        if order.status is Status.TRIGGER_PENDING and order.triggers_at(tick.last_px):
            fresh.add(order.order_id)
            if not floor.trigger(order, tick.last_px, at):
                continue
            if order.takes:
                take_quote(floor, order, market, at)
            floor.settle_rest(order, at)
    for order in orders:
        if order.status is not Status.OPEN or order.order_id in fresh:
            continue
        if floor.model.immediate:
            if order.reaches(tick.last_px):
                floor.trade(order, order.leaves, order.limit_px, at)
        elif order.takes and _met_before(floor.model, order, market, at):
            take_quote(floor, order, market, at)
        else:
            _fill_waiting(floor, order, market, tick, at)


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
    floor: Floor, order: ExchangeOrder, market: Market, tick: Tick, at: Instant
) -> None:
    """A waiting limit fills at its own price, as far as the market came through it."""
    limit_px, buy = order.limit_px, order.buy
    px, standing = quote(floor.model, market, tick, at, buy=buy)
    there = standing if px > Price(0) and order.reaches(px) else 0
    through = tick.last_px < limit_px if buy else tick.last_px > limit_px
    if through and _traded(market, tick):
        there = max(there, _share(floor.model, market, tick))
    qty = min(order.leaves, there - market.taken(tick, buy=buy))
    if qty > 0:
        market.take(tick, qty, buy=buy)
        floor.trade(order, qty, limit_px, at)


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
