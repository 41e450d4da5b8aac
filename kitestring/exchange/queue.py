"""Where a waiting limit stands in the queue at its price, and what of the trading reaches it.

An order queues behind what the five visible levels show at its price when it arrives: nothing at a
price better than theirs or in a gap between them, the last visible level's size beyond them. What
trades at the price takes from those before it first; trading through the price, or an opposite
quote that reaches it, leaves nobody before it. Whoever cancels is not known, so nobody before us
ever does. Our own orders keep their order of arrival among themselves: what an earlier one had, a
later one neither has nor moves up by. A snapshot does not say at which prices its volume traded:
all of it is taken for the last price.
"""

from __future__ import annotations

from typing import Final

from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType
from kitestring.domain.ticks import Tick
from kitestring.exchange.depth import Depth, visible_depth
from kitestring.exchange.fill_models import FillModel, spread_quote
from kitestring.exchange.order_book import NO_PLACE, ExchangeOrder, Market, Status

NOTHING: Final = (Price(0), 0)


def shows_depth(market: Market, tick: Tick) -> bool:
    """Whether this tick tells of a book at all."""
    return market.instrument.has_depth and bool(tick.bid_px or tick.ask_px)


def traded(market: Market, tick: Tick) -> bool:
    """Whether anything traded between the tick before and this one."""
    before = market.before
    if before is None:
        return False
    if market.instrument.has_volume and tick.cum_qty and before.cum_qty:
        return tick.cum_qty > before.cum_qty
    return tick.last_px != before.last_px


def growth(market: Market, tick: Tick) -> int:
    """What traded between the tick before and this one; 0 where the feed does not say."""
    before = market.before
    if before is None or not market.instrument.has_volume:
        return 0
    return max(tick.cum_qty - before.cum_qty, 0) if tick.cum_qty and before.cum_qty else 0


def share(model: FillModel, market: Market, tick: Tick) -> int:
    """Without depth: what our orders may have had of the volume since the tick before.

    Whole lots, at least one.
    """
    lot = market.instrument.lot_size
    before = market.before
    if market.instrument.has_volume and tick.cum_qty and before is not None and before.cum_qty:
        part = (tick.cum_qty - before.cum_qty) * model.volume_share_pct // 100
        return max(part // lot, 1) * lot
    return model.lots_unseen * lot


def quote(
    model: FillModel, market: Market, tick: Tick, at: Instant, *, buy: bool
) -> tuple[Price, int]:
    """The price and quantity an order meets first; ``NOTHING`` where it should not trade.

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
    return (px, share(model, market, tick)) if px > Price(0) else NOTHING


def visible_before(depth: Depth, limit_px: Price, *, buy: bool) -> int:
    """What the visible book has at a price of the order's own side, all of it before the order."""
    levels = depth.bids if buy else depth.asks
    for level in levels:
        if level.px == limit_px:
            return level.qty
        if (level.px < limit_px) if buy else (level.px > limit_px):
            return 0
    return levels[-1].qty if levels else 0


def place_in_queue(order: ExchangeOrder, market: Market) -> int:
    """What stands before an order that comes to rest now, others' only; ``NO_PLACE`` if unseen."""
    tick = market.tick
    if tick is None or not shows_depth(market, tick):
        return NO_PLACE
    ahead = visible_before(visible_depth(market.instrument, tick), order.limit_px, buy=order.buy)
    for each in market.orders:
        if each is order:
            break
        # Whoever is before an earlier order of ours is before this one, too.
        if each.limit_px == order.limit_px and each.buy is order.buy and each.status is Status.OPEN:
            ahead = max(ahead, each.ahead)
    return ahead


def by_priority(orders: list[ExchangeOrder]) -> list[ExchangeOrder]:
    """Orders of one instrument as an exchange looks at them: better prices first, then by arrival."""
    if len(orders) < 2:
        return orders
    return sorted(orders, key=lambda each: -each.limit_px if each.buy else each.limit_px)


def move_up(
    model: FillModel, order: ExchangeOrder, market: Market, tick: Tick, at: Instant, *, had: int
) -> int:
    """Let a tick move a waiting order up in its queue; what traded and reached it is returned.

    ``had`` is what our own orders before it had of the volume traded up to this tick.
    """
    limit_px, last_px, buy = order.limit_px, tick.last_px, order.buy
    through = (last_px < limit_px if buy else last_px > limit_px) and traded(market, tick)
    if not shows_depth(market, tick):
        if not through:
            return 0
        order.ahead = min(order.ahead, 0)
        return max(share(model, market, tick) - had, 0)
    best_px, _ = quote(model, market, tick, at, buy=buy)
    if best_px > Price(0) and order.reaches(best_px):
        order.ahead = 0
    volume = growth(market, tick)
    if through:
        order.ahead = 0
        return max((volume or model.lots_unseen * market.instrument.lot_size) - had, 0)
    if last_px != limit_px or order.ahead < 0:
        return 0
    volume = max(volume - had, 0)
    passed = min(order.ahead, volume)
    order.ahead -= passed
    return volume - passed


def keeps_place(before: tuple[int, OrdType, Price, Price], order: ExchangeOrder) -> bool:
    """Whether a changed order stays where it stands: only its quantity shrank, or nothing changed."""
    qty, kind, limit_px, stop_px = before
    released = order.status is Status.OPEN and kind in (OrdType.SL, OrdType.SL_M)
    return (
        order.qty <= qty
        and order.limit_px == limit_px
        and order.stop_px == stop_px
        and (order.ord_type is kind or (released and order.ord_type is OrdType.LIMIT))
    )
