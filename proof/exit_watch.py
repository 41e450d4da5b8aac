"""The exchange of an exit path, which watches every stroke: what of ours works, and what it covers.

Judged by the exchange's own books, never by what the house believes: live exits of ours are at most
the position they close, an exit never flips a position or opens one, and a position whose plan has a
stop is measured for as long as nothing as large as it works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Unpack

from kitestring.broker.paper_broker import PaperBroker
from kitestring.domain.ids import StrategyId
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import Price
from kitestring.domain.orders import OrderIntent, Purpose
from kitestring.exchange.floor import FloorParts
from kitestring.exchange.matching import Matcher
from kitestring.exchange.order_book import ExchangeOrder, Status

HAND: Final = "by hand"
RACE: Final = 30_000_000
"""A trade past the house may cross an exit of ours: so long until two looks have shown it."""


class Traded(NamedTuple):
    """One trade at the exchange."""

    at: Instant
    tag: str
    order_id: str
    trade_id: str
    sign: int
    qty: int
    px: Price


class Watch:
    """What the exchange shows of our orders, and every law of the exits that was broken there."""

    def __init__(self) -> None:
        self.sent: dict[str, OrderIntent] = {}
        """By tag: what the house asked for."""
        self.net: dict[StrategyId, int] = {}
        """What our own fills have left each strategy with."""
        self.account = 0
        self.trades: list[Traded] = []
        self.broken: list[str] = []
        self.naked_ms: list[int] = []
        """How long a position waited for its stop, after each fill that left some of it bare."""
        self.bare_ms: list[int] = []
        """How long one that was being left had nothing working: its stop is gone, its exit is coming."""
        self.plans: Callable[[StrategyId], tuple[bool, bool]] = lambda _: (False, False)
        """Whether a strategy's plan has a stop, and whether its position is being left."""
        self._bare: dict[StrategyId, list[tuple[Instant, int, bool]]] = {}
        """Since when so much of a position has waited for cover, and whether it was being left then."""
        self._foreign_at: Instant = -RACE

    def traded(self, order: ExchangeOrder, qty: int, px: Price, at: Instant) -> None:
        """One trade of anybody's."""
        sign = 1 if order.buy else -1
        before = self.account
        self.account += sign * qty
        self.trades.append(
            Traded(at, order.tag, order.order_id, f"{order.order_id}-{order.trades}", sign, qty, px)
        )
        intent = self.sent.get(order.tag)
        if intent is None:
            self._foreign_at = at
            return
        own = self.net.get(intent.strategy, 0)
        self.net[intent.strategy] = own + sign * qty
        if intent.purpose is Purpose.ENTRY:
            return
        who = f"{intent.purpose} {order.tag} of {intent.strategy}"
        if abs(own + sign * qty) != abs(own) - qty:
            self._say(at, f"{who} traded {sign * qty:+} against our own {own:+}")
        elif before * self.account < 0 and at - self._foreign_at > RACE:
            self._say(at, f"{who} turned the account's {before:+} into {self.account:+}")

    def look(self, orders: dict[str, ExchangeOrder], at: Instant) -> None:
        """After a stroke: everything of ours that works now."""
        closing: dict[StrategyId, int] = {}
        turning: dict[StrategyId, int] = {}
        for tag, order in orders.items():
            intent = self.sent.get(tag)
            if intent is None or not order.live:
                continue
            name = intent.strategy
            if (1 if order.buy else -1) * self.net.get(name, 0) >= 0:
                continue
            if intent.purpose is Purpose.ENTRY:
                turning[name] = turning.get(name, 0) + order.leaves
            else:
                closing[name] = closing.get(name, 0) + order.leaves
        for name, net in self.net.items():
            out = closing.get(name, 0)
            if out > abs(net):
                self._say(at, f"exits for {out} of {name} work against a position of {net:+}")
            self._cover(name, abs(net), out + turning.get(name, 0), at)

    def end(self, at: Instant) -> None:
        """Nothing more happens: what is still bare has been until now."""
        for name in list(self._bare):
            self._cover(name, 0, 0, at)

    def _cover(self, name: StrategyId, size: int, covered: int, at: Instant) -> None:
        waits = self._bare.setdefault(name, [])
        left: list[tuple[Instant, int, bool]] = []
        for since, level, leaving in waits:
            if min(level, size) <= covered:
                (self.bare_ms if leaving else self.naked_ms).append((at - since) // 1_000)
            else:
                left.append((since, min(level, size), leaving))
        if size > max(covered, left[-1][1] if left else 0):
            planned, leaving = self.plans(name)
            if planned or leaving:
                left.append((at, size, leaving))
        self._bare[name] = left

    def _say(self, at: Instant, sentence: str) -> None:
        self.broken.append(f"{ist_clock(at)} at the exchange: {sentence}")


class WatchedMatcher(Matcher):
    """The house's own exchange; every trade and every stroke is shown to the watch."""

    def __init__(self, watch: Watch, **parts: Unpack[FloorParts]) -> None:
        self.watch = watch
        super().__init__(**parts)

    def trade(
        self, order: ExchangeOrder, qty: int, px: Price, at: Instant, printed: int = 0
    ) -> None:
        """As the floor does it; the watch sees what really traded."""
        before = order.filled
        super().trade(order, qty, px, at, printed)
        self.watch.traded(order, order.filled - before, px, at)

    def write(self) -> None:
        """One stroke is over."""
        at = max((entry.at for entry in self._stroke), default=0)
        super().write()
        if at:
            self.watch.look(self.orders, at)

    def expel(self, order: ExchangeOrder, at: Instant, text: str) -> None:
        """Withdraw an order unasked: the exchange with a sentence, a person in the app with none."""
        if order.status in (Status.OPEN, Status.TRIGGER_PENDING):
            self.withdraw(order, at, 0, text)
            self.write()


class WatchedExchange(PaperBroker):
    """The paper broker over the watched exchange."""

    __slots__ = ()

    def __init__(self, watch: Watch, **parts: Unpack[FloorParts]) -> None:
        self.matcher: WatchedMatcher = WatchedMatcher(watch, **parts)
        self.next_due_at = self.matcher.next_due_at

    def notice(self) -> None:
        """Something was done to the exchange past this broker."""
        self.next_due_at = self.matcher.next_due_at
