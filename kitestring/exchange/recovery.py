"""Reading a ledger back: the exchange as it stood at its last line, ready to go on.

What the ledger says is not done again: its orders, trades, cash and positions are restored, what
was on its way arrives when it would have, and whatever the client may not have been told is told
again, at its old time. The house may have fallen behind the exchange: it is fed from its own last
commit, and until the feed passes the ledger's last line the exchange looks, and does not match.

For the very same day as without the crash, quotes must be the same, too. So: recover; give
``observe`` the feed's frames from the first one on up to the commit's time (that is cheap, and a
frame given twice is seen once); send the commit's commands again; then go on after its position.
A feed that cannot be rewound gives what it has: an order on its way then waits for the next tick.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from kitestring.domain.errors import StoreError
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType
from kitestring.exchange.ledger import HEARD, LedgerEntry, What, read_lines
from kitestring.exchange.matching import Matcher
from kitestring.exchange.order_book import BETWEEN_FRAMES, Request, Status
from kitestring.exchange.order_terms import change_terms
from kitestring.exchange.queue import keeps_place

_PLACES = frozenset({What.NEW, What.TRIGGERED, What.TRADE, What.REPLACED, What.QUEUED})
"""Entries that tell an order's place in its queue."""


def recover(matcher: Matcher, records: Iterable[bytes], at: Instant, position: int = 0) -> None:
    """Rebuild a fresh matcher from its ledger.

    ``at`` and ``position`` are the time and feed position of the house's last commit. Reports due
    after ``at`` keep their time. Those due earlier are told again at ``at`` if they belong to a
    frame from ``position`` on (0: all of them), because the house may not have heard them; it
    knows repetitions by their ids. Raises ``StoreError`` if the ledger is of another run.
    """
    assert not matcher.opened, "a ledger is read back before anything else happens"
    on_the_way: dict[int, Request] = {}
    latest = 0
    for line in read_lines(records):
        for entry in line.entries:
            _restore(matcher, entry, line.position, on_the_way)
            latest = max(latest, entry.at)
            if entry.told_at > at:
                matcher.schedule(entry.told_at, entry)
            elif entry.told_at and (line.position >= position or entry.told_at == at):
                matcher.schedule(at, entry)
        matcher.matched_to = max(matcher.matched_to, line.position)
    matcher.requests = [(each.arrives_at, each.number, each) for each in on_the_way.values()]
    heapq.heapify(matcher.requests)
    matcher.forget_turns(latest)
    matcher.reckon_due()


def _restore(
    matcher: Matcher, entry: LedgerEntry, position: int, on_the_way: dict[int, Request]
) -> None:
    what = entry.what
    if what is What.OPENED:
        matcher.bars = entry.text.endswith("feed=bars")
        matcher.opened = True
        if entry.text != matcher.name():
            raise StoreError(
                f"The exchange's ledger is of another run ({entry.text}), not of {matcher.name()}.",
                do="start another run with --fresh",
            )
        return
    if what in HEARD:
        on_the_way[entry.request] = matcher.take_in(entry)
        if what is What.PLACE and entry.seen_px and entry.instrument in matcher.markets:
            matcher.markets[entry.instrument].known_px = Price(entry.seen_px)
        return
    request = on_the_way.pop(entry.request, None)
    if what is What.CANCEL_REJECTED or what is What.REPLACE_REJECTED:
        return
    order = matcher.orders[entry.tag]
    market = order.market
    if what in _PLACES:
        order.ahead, order.seen_to = entry.ahead, (position, entry.nth or BETWEEN_FRAMES)
        if order.collected and what in (What.QUEUED, What.TRADE):
            order.collected, order.takes = False, order.ord_type is OrdType.MARKET
        if what is What.QUEUED:
            return
    if what is What.REJECTED and order.status is Status.RECEIVED:
        order.status = Status.REJECTED
        matcher.close(order)
        return
    assert market is not None
    before = (order.qty, order.ord_type, order.limit_px, order.stop_px)
    order.limit_px = order.limit_px if what is What.TRADE else Price(entry.price)
    if what is What.NEW:
        order.takes = entry.takes
        matcher.account_for(order, market)
        matcher.rest(order, market)
        matcher.begin_validity(order, entry.at)
        if entry.at < market.open_at:
            order.collected = market.collecting = True
    elif what is What.TRIGGERED:
        order.status, order.takes = Status.OPEN, entry.takes
    elif what is What.TRADE:
        order.filled += entry.last_qty
        order.trades += 1
        matcher.book(order, entry.last_qty, Price(entry.last_px))
        market.known_px = Price(entry.last_px)
        taken = (market, entry.last_qty, order.buy, entry.printed)
        matcher.read_back.setdefault((position, entry.nth), []).append(taken)
        if order.filled == order.qty:
            order.status = Status.COMPLETE
            market.orders.remove(order)
            matcher.close(order)
    elif what is What.REPLACED:
        assert request is not None
        assert order.position is not None
        matcher.account.release(order.position, order.leaves, buy=order.buy)
        order.qty, order.ord_type = entry.qty, OrdType(entry.order_type)
        order.stop_px, order.takes = Price(entry.trigger_price), entry.takes
        order.modifications += 1
        change_terms(order, request)
        if request.validity is not None or request.ttl_minutes:
            matcher.begin_validity(order, entry.at)
        if keeps_place(before, order):
            matcher.account_for(order, market)
            return
        market.orders.remove(order)
        matcher.account_for(order, market)
        matcher.rest(order, market)
    else:  # CANCELED, or REJECTED when its trigger released it
        assert order.position is not None
        order.status = Status.CANCELLED if what is What.CANCELED else Status.REJECTED
        market.orders.remove(order)
        matcher.account.release(order.position, order.leaves, buy=order.buy)
        matcher.close(order)
