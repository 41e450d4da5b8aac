"""The one matcher of the house: hears orders, judges them, matches them, and tells what became of them.

It speaks an exchange's words (order id, status, trades, positions) and knows nothing of strategies
or risk; the paper broker runs it in process. Its laws: everything it does is a function of the
requests, the seed and the frames; a stroke is in the ledger before anybody is told of it; a tag
heard twice is one order; what the ledger holds is never done again after a restart.

Time: a request travels (``arrives_at``), is matched on the market as it is then, and its reports
travel back (``told_at``). On bars nothing travels: what was sent by the close of one bar stands at
the exchange before the next one opens.
"""

from __future__ import annotations

import heapq
from typing import Unpack

import msgspec

from kitestring.domain.bars import BarFrame
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType, Product, Side, TimeInForce
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.crossing import cross_bar, cross_tick, fill_on_bar, meets_quote, take_quote
from kitestring.exchange.fill_models import way_back_us, way_there_us
from kitestring.exchange.floor import FloorParts, TradingFloor
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.exchange.order_book import NO_PRICE, ExchangeOrder, Market, Request, Status
from kitestring.exchange.queue import keeps_place, move_up
from kitestring.exchange.rules import (
    closed_to_orders,
    intraday_blocked,
    judge_instrument,
    judge_order,
    protected_px,
)


def _command(entry: LedgerEntry) -> tuple[object, ...]:
    """What makes two changes the same: order, moment and content."""
    return (
        entry.what,
        entry.tag,
        entry.at,
        entry.qty,
        entry.order_type,
        entry.price,
        entry.trigger_price,
    )


class Matcher(TradingFloor):
    """A local exchange with one trading account."""

    def __init__(self, **parts: Unpack[FloorParts]) -> None:
        super().__init__(**parts)
        self.heard = 0
        """Requests heard so far; the last one's number."""
        self.placed = 0
        self.commands: set[tuple[object, ...]] = set()
        """Changes and withdrawals heard, so that the same one is not heard twice."""
        self.opened = False
        self.read_back: dict[tuple[int, int], list[tuple[Market, int, bool, int]]] = {}
        """What our orders took of frames that are only looked at, by place and tick."""

    # ── hearing ──────────────────────────────────────────────────────────────────────────────

    def place(
        self,
        *,
        at: Instant,
        tag: str,
        instrument: str,
        side: Side,
        qty: int,
        ord_type: OrdType,
        product: Product,
        validity: TimeInForce,
        price: Price,
        trigger_price: Price,
        protection_bp: int,
    ) -> None:
        """Hear a new order; a tag heard before changes nothing."""
        if tag in self.orders or tag in self.closed:
            return
        there = 0 if self._at_once() else way_there_us(self.seed, tag, "place")
        market = self.markets.get(instrument)
        self._hear(
            LedgerEntry(
                What.PLACE,
                at,
                0,
                tag,
                f"{self.day}{self.placed + 1:09d}",
                self.heard + 1,
                at + there,
                instrument,
                side,
                qty,
                ord_type,
                product,
                validity,
                int(price),
                int(trigger_price),
                protection_bp,
                int(market.last_px(at)) if market is not None else 0,
            )
        )

    def modify(
        self,
        *,
        at: Instant,
        tag: str,
        qty: int = 0,
        ord_type: OrdType | None = None,
        price: Price = NO_PRICE,
        trigger_price: Price = NO_PRICE,
    ) -> None:
        """Hear a change; what is 0 or ``None`` stays. The same change sent again is the same one."""
        self._hear_change(
            LedgerEntry(
                What.MODIFY,
                at,
                tag=tag,
                qty=qty,
                order_type=ord_type or "",
                price=int(price),
                trigger_price=int(trigger_price),
            )
        )

    def cancel(self, *, at: Instant, tag: str) -> None:
        """Hear a withdrawal; the same one sent again is the same one."""
        self._hear_change(LedgerEntry(What.CANCEL, at, tag=tag))

    def _hear_change(self, entry: LedgerEntry) -> None:
        tag, at = entry.tag, entry.at
        if _command(entry) in self.commands:
            return
        there = 0 if self._at_once() else way_there_us(self.seed, tag, f"{entry.what}{at}")
        arrives_at, seen_px = at + there, 0
        order, order_id = self.orders.get(tag), ""
        if order is not None:
            order_id = order.order_id
            # Requests for one order keep their order on the way.
            arrives_at = max(arrives_at, order.last_arrival)
            if order.market is not None:
                seen_px = int(order.market.last_px(at))
        elif tag in self.closed:
            order_id = self.closed[tag][0]
        self._hear(
            msgspec.structs.replace(
                entry,
                order_id=order_id,
                request=self.heard + 1,
                arrives_at=arrives_at,
                seen_px=seen_px,
            )
        )

    def _hear(self, entry: LedgerEntry) -> None:
        request = self.take_in(entry)
        self._stroke.append(entry)
        if self.model.immediate:
            self._arrive(request, request.arrives_at)
        else:
            heapq.heappush(self.requests, (request.arrives_at, request.number, request))
        self.write()

    def take_in(self, entry: LedgerEntry) -> Request:
        """The request that a PLACE, MODIFY or CANCEL entry stands for, known to the floor from now."""
        self.heard = entry.request
        tag = entry.tag
        back = 0 if self.bars or self.model.immediate else way_back_us(self.seed, tag)
        limit_px, stop_px = Price(entry.price), Price(entry.trigger_price)
        if entry.what is What.PLACE:
            self.placed += 1
            # On paper these are members already; from a ledger they are words.
            side = Side.BUY if entry.side == Side.BUY else Side.SELL
            kind, product = entry.order_type, entry.product
            order: ExchangeOrder | None = ExchangeOrder(
                order_id=entry.order_id,
                tag=tag,
                symbol=entry.instrument,
                market=self.markets.get(entry.instrument),
                side=side,
                buy=side is Side.BUY,
                qty=entry.qty,
                ord_type=kind if isinstance(kind, OrdType) else OrdType(kind),
                product=product if isinstance(product, Product) else Product(product),
                validity=TimeInForce.IOC if entry.validity == "IOC" else TimeInForce.DAY,
                limit_px=limit_px,
                stop_px=stop_px,
                protection_bp=entry.protection_bp,
                way_back_us=back,
                last_arrival=entry.arrives_at,
            )
            assert order is not None
            self.orders[tag] = order
            return Request(
                number=entry.request,
                kind=What.PLACE,
                arrives_at=entry.arrives_at,
                tag=tag,
                order_id=entry.order_id,
                order=order,
                seen_px=Price(entry.seen_px),
                way_back_us=back,
            )
        self.commands.add(_command(entry))
        order = self.orders.get(tag)
        if order is not None:
            order.last_arrival = entry.arrives_at
        return Request(
            number=entry.request,
            kind=entry.what,
            arrives_at=entry.arrives_at,
            tag=tag,
            order_id=entry.order_id,
            order=order,
            seen_px=Price(entry.seen_px),
            way_back_us=back,
            qty=entry.qty,
            ord_type=OrdType(entry.order_type) if entry.order_type else None,
            limit_px=limit_px,
            stop_px=stop_px,
        )

    def _at_once(self) -> bool:
        """Whether nothing travels: on bars, and under the instant model."""
        return self.bars or self.model.immediate

    # ── the market moves ─────────────────────────────────────────────────────────────────────

    def observe(self, position: int, frame: TickFrame | BarFrame) -> None:
        """Match what waits against a frame; ``position`` is its place in the feed, from 1 on.

        A frame seen before changes nothing. After a restart, frames up to the ledger's last
        position are only looked at.
        """
        if position <= self.position:
            return
        if not self.opened:
            self._open(bars=type(frame) is BarFrame, at=frame.received_at)
        if position <= self.matched_to:
            self._look(position, frame)
            return
        if type(frame) is BarFrame:
            self._observe_bars(position, frame)
            return
        assert isinstance(frame, TickFrame)
        markets = self.markets
        received_at = frame.received_at
        if self.requests and self.requests[0][0] < received_at:
            self.arrive_before(received_at)
        self.position = position
        for nth, tick in enumerate(frame.ticks, 1):
            market = markets.get(tick.instrument)
            if market is not None and tick.last_px:
                market.before = market.tick
                market.tick = tick
                if market.orders:
                    self.nth = nth
                    if market.open_at <= received_at < market.close_at:
                        cross_tick(self, market, received_at)
                    elif received_at >= market.close_at:
                        self._lapse(market, received_at)
        if self._stroke:
            self.write()
        self.nth = 0

    def _observe_bars(self, position: int, frame: BarFrame) -> None:
        self.position = position
        markets = self.markets
        waiting = False
        for bar in frame.bars:
            market = markets.get(bar.instrument)
            if market is not None:
                market.bar_before = market.bar
                market.bar = bar
                if market.orders:
                    waiting = True
        requests = self.requests
        if not waiting and not requests:
            return
        open_at = frame.bars[0].open_at if frame.bars else frame.received_at
        while requests and requests[0][0] <= open_at:
            self._arrive(heapq.heappop(requests)[2], open_at)
        for bar in frame.bars:
            market = markets.get(bar.instrument)
            if market is not None and market.orders:
                if market.open_at <= bar.open_at < market.close_at:
                    cross_bar(self, market, bar)
                elif bar.open_at >= market.close_at:
                    self._lapse(market, bar.open_at)
        self.write()

    def _look(self, position: int, frame: TickFrame | BarFrame) -> None:
        """See a frame that was matched before the restart: prices move, nothing trades again."""
        self.position = position
        if isinstance(frame, BarFrame):
            for bar in frame.bars:
                market = self.markets.get(bar.instrument)
                if market is not None:
                    market.bar_before = market.bar
                    market.bar = bar
            return
        for nth, tick in enumerate(frame.ticks, 1):
            market = self.markets.get(tick.instrument)
            if market is not None and tick.last_px:
                market.before = market.tick
                market.tick = tick
                if market.orders:
                    self._move_up_again(market, tick, frame.received_at, (position, nth))
            self._take_again(position, nth)
        self._take_again(position, 0)

    def _move_up_again(
        self, market: Market, tick: Tick, at: Instant, place: tuple[int, int]
    ) -> None:
        """Queues move as they did; what the ledger says of an order's place later than this stands."""
        for order in market.orders:
            if order.status is not Status.OPEN or order.seen_to >= place or self.model.immediate:
                continue
            had = sum(
                printed
                for where, _, buy, printed in self.read_back.get(place, ())
                if where is market and buy is order.buy
            )
            move_up(self.model, order, market, tick, at, had=had)

    def _take_again(self, position: int, nth: int) -> None:
        for market, qty, buy, printed in self.read_back.pop((position, nth), ()):
            if market.tick is not None:
                market.take(market.tick, qty, buy=buy, printed=printed)

    def _open(self, *, bars: bool, at: Instant) -> None:
        self.opened = True
        self.bars = bars
        self._stroke.append(LedgerEntry(What.OPENED, at, text=self.name()))
        self.write()

    def name(self) -> str:
        """What this exchange is, as its ledger's first line has it."""
        return f"{self.model.name} seed={self.seed} feed={'bars' if self.bars else 'ticks'}"

    def _lapse(self, market: Market, at: Instant) -> None:
        for order in market.orders.copy():
            self.withdraw(order, at, 0, "The session is over; the order has lapsed.")

    # ── requests arrive ──────────────────────────────────────────────────────────────────────

    def arrive_before(self, until: Instant) -> None:
        """Let arrive what is due strictly before an instant; each arrival is its own stroke."""
        requests = self.requests
        while requests and requests[0][0] < until:
            arrives_at, _, request = heapq.heappop(requests)
            self._arrive(request, arrives_at)
            self.write()

    def _arrive(self, request: Request, at: Instant) -> None:
        order = request.order
        if request.kind is What.PLACE:
            assert order is not None
            self._admit(order, request, at)
        elif order is None or not order.live:
            self._too_late(request, at)
        elif request.kind is What.CANCEL:
            self.withdraw(order, at, request.number, "")
        else:
            self._change(order, request, at)

    def _too_late(self, request: Request, at: Instant) -> None:
        row = self.closed.get(request.tag)
        verb = "cancelled" if request.kind is What.CANCEL else "modified"
        if row is None:
            text = f"The order cannot be {verb} because it does not exist."
        else:
            text = f"Order cannot be {verb} as it is being processed or {row[2].value.lower()}."
        what = What.CANCEL_REJECTED if request.kind is What.CANCEL else What.REPLACE_REJECTED
        self._stroke.append(
            LedgerEntry(
                what,
                at,
                at + request.way_back_us,
                request.tag,
                request.order_id,
                request.number,
                filled_qty=row[4] if row else 0,
                text=text,
            )
        )

    def _admit(self, order: ExchangeOrder, request: Request, at: Instant) -> None:
        market = order.market
        if market is None:
            self.refuse(order, request, at, judge_instrument(None, None) or "")
            return
        bar = market.bar
        at_open = bar is not None and bar.open_at >= at and self.bars and not self.model.immediate
        last_px = request.seen_px if self.bars else market.last_px(at)
        sentence = market.refusal or closed_to_orders(market.session, at)
        if sentence is None:
            if at_open and bar is not None and order.ord_type is OrdType.MARKET:
                last_px = bar.open
            sentence = judge_order(
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
            )
        if sentence is not None:
            self.refuse(order, request, at, sentence)
            return
        if order.ord_type is OrdType.MARKET:
            order.limit_px = protected_px(
                self.rules, market.instrument, last_px, order.protection_bp, buy=order.buy
            )
        sentence = self._reserve(order, market, at)
        if sentence is not None:
            self.refuse(order, request, at, sentence)
            return
        self.rest(order, market)
        if order.status is Status.OPEN:
            if at_open and bar is not None:
                order.takes = order.reaches(bar.open)
            else:
                order.takes = meets_quote(self, order, market, at)
            order.takes = order.takes or order.ord_type is OrdType.MARKET
            self.queue_up(order, market)
        self.tell(What.NEW, order, at, request.number)
        if order.takes:
            if at_open and bar is not None:
                fill_on_bar(self, order, bar, bar.open, at)
            else:
                take_quote(self, order, market, at)
        if order.status is Status.OPEN:
            self.settle_rest(order, at)

    def _reserve(self, order: ExchangeOrder, market: Market, at: Instant) -> str | None:
        """Tie up margin for what may still trade; say why not, if not."""
        position = self.position_of(order, market)
        qty, buy = order.leaves, order.buy
        if self.account.grows(position, qty, buy=buy):
            if order.product is Product.MIS and market.session is not None:
                blocked = intraday_blocked(self.rules, market.instrument, market.session, at)
                if blocked is not None:
                    return blocked
            elif order.product is Product.CNC and not buy:
                return "Insufficient holdings. Shares cannot be sold short for delivery."
        return self.account.reserve(position, qty, self.margin_px(order, market), buy=buy)

    def _change(self, order: ExchangeOrder, request: Request, at: Instant) -> None:
        market, position = order.market, order.position
        assert market is not None
        assert position is not None
        account = self.account
        before = (order.qty, order.ord_type, order.limit_px, order.stop_px)
        pending = order.status is Status.TRIGGER_PENDING
        account.release(position, order.leaves, buy=order.buy)
        order.qty = request.qty or order.qty
        if request.ord_type is not None:
            order.ord_type = request.ord_type
        elif not pending and order.ord_type in (OrdType.SL, OrdType.SL_M):
            order.ord_type = OrdType.LIMIT  # its trigger is behind it
        order.limit_px = request.limit_px or order.limit_px
        order.stop_px = request.stop_px or order.stop_px
        last_px = request.seen_px if self.bars else market.last_px(at)
        sentence = closed_to_orders(market.session, at)
        if order.modifications >= self.rules.modifications_max:
            sentence = f"An order can be modified at most {self.rules.modifications_max} times."
        elif order.qty <= order.filled:
            sentence = f"Quantity cannot be reduced to {order.qty}: {order.filled} have traded."
        if sentence is None:
            sentence = judge_order(
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
            )
        if sentence is None:
            if order.ord_type is OrdType.MARKET and (request.ord_type is not None):
                order.limit_px = protected_px(
                    self.rules, market.instrument, last_px, order.protection_bp, buy=order.buy
                )
            sentence = self._reserve(order, market, at)
        if sentence is not None:
            order.qty, order.ord_type, order.limit_px, order.stop_px = before
            self.account_for(order, market)
            self.tell(What.REPLACE_REJECTED, order, at, request.number, sentence)
            return
        order.modifications += 1
        if keeps_place(before, order):
            self.tell(What.REPLACED, order, at, request.number)
            return
        market.orders.remove(order)
        self.rest(order, market)
        order.takes = (
            order.status is Status.OPEN and not self.bars and meets_quote(self, order, market, at)
        )
        if self.bars and order.status is Status.OPEN and not self.model.immediate:
            order.takes = True  # a bar's open decides: it comes there as if new
        if order.status is Status.OPEN:
            self.queue_up(order, market)
        self.tell(What.REPLACED, order, at, request.number)
        if order.takes and not self.bars:
            take_quote(self, order, market, at)

    def announcements_until(self, until: Instant) -> list[tuple[Instant, LedgerEntry]]:
        """What is to be told at or before an instant, in order of telling; each is given once."""
        if until < self.next_due_at:
            return []
        if self.requests and not self.bars:
            self.arrive_before(until)
        return self.pop_reports(until)
