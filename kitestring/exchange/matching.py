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
from typing import Final, Unpack

import msgspec

from kitestring.domain.bars import BarFrame
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType, Product, Side, TimeInForce
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.admission import Admission
from kitestring.exchange.auctions import open_auction
from kitestring.exchange.crossing import cross_bar, cross_tick
from kitestring.exchange.fill_models import way_back_us, way_there_us
from kitestring.exchange.floor import FloorParts
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.exchange.order_book import (
    NO_PRICE,
    ExchangeOrder,
    Market,
    Request,
    Status,
)
from kitestring.exchange.queue import move_up
from kitestring.exchange.rules import (
    frozen,
)
from kitestring.exchange.square_off import fee
from kitestring.market.order_rule_rows import square_off

_NOT_ASKED: Final = -1
"""The ``protection_bp`` of a change that leaves protection alone."""


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
        entry.validity,
        entry.ttl_minutes,
        entry.disclosed_qty,
        entry.protection_bp,
    )


class Matcher(Admission):
    """A local exchange with one trading account."""

    def __init__(self, **parts: Unpack[FloorParts]) -> None:
        super().__init__(**parts)
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
        ttl_minutes: int = 0,
        disclosed_qty: int = 0,
        journey: str = "",
    ) -> None:
        """Hear a new order; a tag heard before changes nothing.

        How long it travels is drawn by ``journey``, or by its tag without one: two exchanges of one
        seed that name an order differently still let it travel equally long.

        ``protection_bp`` 0 is the broker's own band, ``UNPROTECTED`` none at all. ``ttl_minutes``
        makes the order valid for so many minutes from when it is taken.
        """
        if tag in self.orders or tag in self.closed:
            return
        self._hear_time(at)
        there = 0 if self._at_once() else way_there_us(self.seed, journey or tag, "place")
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
                ttl_minutes=ttl_minutes,
                disclosed_qty=disclosed_qty,
                journey=journey,
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
        validity: TimeInForce | None = None,
        ttl_minutes: int = 0,
        disclosed_qty: int = 0,
        protection_bp: int | None = None,
    ) -> None:
        """Hear a change; what is 0 or ``None`` stays. The same change sent again is the same one.

        A ``validity`` without ``ttl_minutes`` ends the validity in minutes.
        """
        self._hear_change(
            LedgerEntry(
                What.MODIFY,
                at,
                tag=tag,
                qty=qty,
                order_type=ord_type or "",
                price=int(price),
                trigger_price=int(trigger_price),
                validity=validity or "",
                ttl_minutes=ttl_minutes,
                disclosed_qty=disclosed_qty,
                protection_bp=_NOT_ASKED if protection_bp is None else protection_bp,
            )
        )

    def cancel(self, *, at: Instant, tag: str) -> None:
        """Hear a withdrawal; the same one sent again is the same one."""
        self._hear_change(LedgerEntry(What.CANCEL, at, tag=tag))

    def _hear_change(self, entry: LedgerEntry) -> None:
        tag, at = entry.tag, entry.at
        if _command(entry) in self.commands:
            return
        self._hear_time(at)
        order, order_id = self.orders.get(tag), ""
        journey = tag if order is None else order.journey
        there = 0 if self._at_once() else way_there_us(self.seed, journey, f"{entry.what}{at}")
        arrives_at, seen_px = at + there, 0
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

    def _hear_time(self, at: Instant) -> None:
        """What time changed before a request was heard stands before it in the ledger."""
        if self.next_turn_at <= at:
            self.pass_time(at)

    def _hear(self, entry: LedgerEntry) -> None:
        request = self.take_in(entry)
        self._stroke.append(entry)
        if self.model.immediate:
            self.arrive(request, request.arrives_at)
        else:
            heapq.heappush(self.requests, (request.arrives_at, request.number, request))
        self.write()

    def take_in(self, entry: LedgerEntry) -> Request:
        """The request that a PLACE, MODIFY or CANCEL entry stands for, known to the floor from now."""
        self.heard = entry.request
        tag = entry.tag
        known = self.orders.get(tag)
        journey = entry.journey or (tag if known is None else known.journey)
        back = 0 if self.bars or self.model.immediate else way_back_us(self.seed, journey)
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
                ttl_minutes=entry.ttl_minutes,
                disclosed_qty=entry.disclosed_qty,
                journey=journey,
            )
            assert order is not None
            if entry.origin and order.market is not None:
                rule = square_off(self.rules.day, order.market.instrument.segment)
                self.book_fee(order.market.instrument, fee(rule))
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
            validity=TimeInForce(entry.validity) if entry.validity else None,
            ttl_minutes=entry.ttl_minutes,
            disclosed_qty=entry.disclosed_qty,
            protection_bp=None if entry.protection_bp == _NOT_ASKED else entry.protection_bp,
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
        if self.next_turn_at <= received_at:
            self.pass_time(received_at)
        if self.requests and self.requests[0][0] < received_at:
            self.arrive_before(received_at)
        if received_at >= self.window_from:
            self._weigh(frame)
        self.position = position
        for nth, tick in enumerate(frame.ticks, 1):
            market = markets.get(tick.instrument)
            if market is not None and tick.last_px:
                market.before = market.tick
                market.tick = tick
                if market.orders and market.open_at <= received_at < market.close_at:
                    self.nth = nth
                    if market.collecting:
                        open_auction(self, market, tick, received_at)
                    cross_tick(self, market, received_at)
        if self._stroke:
            self.write()
        self.nth = 0

    def _weigh(self, frame: TickFrame) -> None:
        """Add a frame's trades to the windows that closing prices are reckoned over."""
        before: dict[str, Tick] = {}
        for tick in frame.ticks:
            market = self.markets.get(tick.instrument)
            if market is not None and market.window is not None and tick.last_px:
                last = before.get(tick.instrument, market.tick)
                market.window.weigh(last, tick, frame.received_at)
                before[tick.instrument] = tick

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
            self.arrive(heapq.heappop(requests)[2], open_at)
        for bar in frame.bars:
            market = markets.get(bar.instrument)
            if market is not None and market.orders:
                if market.open_at <= bar.open_at < market.close_at:
                    cross_bar(self, market, bar)
                elif bar.open_at >= market.close_at:
                    self.lapse(market, bar.open_at)
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
                if market.window is not None:
                    market.window.weigh(market.before, tick, frame.received_at)
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

    # ── requests arrive ──────────────────────────────────────────────────────────────────────

    def arrive_before(self, until: Instant) -> None:
        """Let arrive what is due strictly before an instant; each arrival is its own stroke."""
        requests = self.requests
        while requests and requests[0][0] < until:
            arrives_at, _, request = heapq.heappop(requests)
            self.arrive(request, arrives_at)
            self.write()

    def arrive(self, request: Request, at: Instant) -> None:
        order = request.order
        if request.kind is What.PLACE:
            assert order is not None
            self.admit(order, request, at)
        elif order is None or not order.live:
            self._too_late(request, at)
        elif request.kind is What.CANCEL:
            market = order.market
            assert market is not None
            still = (
                None if self.bars else frozen(market.session, at, order.ord_type, market.close_at)
            )
            if still is None:
                self.withdraw(order, at, request.number, "")
            else:
                self.tell(What.CANCEL_REJECTED, order, at, request.number, still)
        else:
            self.change(order, request, at)

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

    def announcements_until(self, until: Instant) -> list[tuple[Instant, LedgerEntry]]:
        """What is to be told at or before an instant, in order of telling; each is given once."""
        if until < self.next_due_at:
            return []
        if self.next_turn_at <= until:
            self.pass_time(until)
        if self.requests and not self.bars:
            self.arrive_before(until)
        return self.pop_reports(until)
