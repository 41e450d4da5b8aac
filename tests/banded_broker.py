"""An unruly broker with a price range, market protection, thin books and droughts without a counterparty.

A MARKET order becomes the limit its protection allows; a limit outside the range is refused, as a
new order and as a change. While a drought lasts, or beyond the depth of a frame, nothing trades.
"""

from __future__ import annotations

import msgspec
from unruly_broker import UnrulyBroker

from kitestring.domain.money import Price
from kitestring.domain.orders import ExecType, OrdType, Purpose, Side
from kitestring.domain.verdicts import Approved, PlaceOrder

OUTSIDE = "Price exceeds circuit limits."


class BandedBroker(UnrulyBroker):
    """``band_bp`` around the last price; ``droughts``: pairs of instants; ``depth``: lots a frame."""

    def __init__(self, lots, *, band_bp=1_000, own_bp=50, depth=1 << 40, droughts=(), **more):
        super().__init__(lots, **more)
        self.band_bp, self.own_bp, self.depth = band_bp, own_bp, depth
        self.droughts = droughts
        self.too_much = []
        """Moments at which live exits were larger than the position, or on its wrong side."""
        self._left = {}

    # ── prices ──────────────────────────────────────────────────────────────────────────────

    def _protected(self, instrument, side, bp):
        px = self._last.get(instrument, 0)
        reach = px * (bp or self.own_bp) // 10_000
        return Price(max(px - reach if side is Side.SELL else px + reach, 1))

    def _outside(self, instrument, price):
        px = self._last.get(instrument, 0)
        return price is not None and abs(int(price) - px) > px * self.band_bp // 10_000

    def _place(self, command):
        intent = command.intent
        if intent.ord_type is OrdType.MARKET:
            px = self._protected(intent.instrument, intent.side, intent.market_protection_bp)
            as_limit = msgspec.structs.replace(intent, ord_type=OrdType.LIMIT, price=px)
            approved = Approved(intent=as_limit, at=command.approved.at)
            command = PlaceOrder(cl_ord_id=command.cl_ord_id, approved=approved)
        super()._place(command)
        self.look()

    def _modify(self, command):
        order = self.orders[command.cl_ord_id]
        if command.ord_type is OrdType.MARKET and order.live:
            px = self._protected(order.instrument, order.side, command.market_protection_bp)
            command = msgspec.structs.replace(command, ord_type=OrdType.LIMIT, price=px)
        if command.stop_px is None and self._outside(order.instrument, command.price):
            self._tell(order, ExecType.REPLACE_REJECTED, text=OUTSIDE)
            return
        super()._modify(command)
        self.look()

    # ── who takes the other side ────────────────────────────────────────────────────────────

    def observe(self, position, frame):
        self._left = {}
        super().observe(position, frame)
        self.look()

    def _match(self, order):
        if order.purpose is not Purpose.ENTRY:
            if any(begins <= self._now < ends for begins, ends in self.droughts):
                return
            room = self._left.get(order.instrument, self.depth * self._lots[order.instrument])
            if room < order.leaves:
                px, limit = self._last.get(order.instrument), order.price
                if (
                    room
                    and order.live
                    and px is not None
                    and (limit is None or self._meets(order, px))
                ):
                    self._fill(order, room, px)
                return
        super()._match(order)

    @staticmethod
    def _meets(order, px):
        return px <= order.price if order.side is Side.BUY else px >= order.price

    def _fill(self, order, qty, px):
        super()._fill(order, qty, px)
        if order.purpose is not Purpose.ENTRY:
            room = self._left.get(order.instrument, self.depth * self._lots[order.instrument])
            self._left[order.instrument] = room - qty
        self.look()

    # ── the law of the exits, by the broker's own books ─────────────────────────────────────

    def look(self):
        """Live exits never exceed the position they close, whatever fills next."""
        live = {}
        for order in self.orders.values():
            if order.live and order.purpose is not Purpose.ENTRY:
                live.setdefault(order.strategy, []).append(order)
        for strategy, orders in live.items():
            net = self.net.get(strategy, 0)
            closing = sum(order.leaves for order in orders if order.side.sign * net < 0)
            if closing > abs(net):
                self.too_much.append((self._now, strategy, net, closing))
