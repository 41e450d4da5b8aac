"""The trading floor: where orders stand, trades are booked, and every stroke is written before it is told.

Whoever matches calls ``trade``, ``trigger`` and the like; the floor keeps books, account and
ledger in step. Nothing leaves ``announcements_until`` that is not in the ledger.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import NotRequired, TypedDict, Unpack

from kitestring.domain.charges import ChargeBook
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import ChargeUnits, Money, Price
from kitestring.domain.orders import OrdType, TimeInForce
from kitestring.domain.sessions import Session
from kitestring.exchange.account import Account, AccountPosition, PositionKey
from kitestring.exchange.crossing import meets_quote
from kitestring.exchange.fill_models import FillModel
from kitestring.exchange.ledger import LedgerEntry, LedgerSink, What, line_bytes
from kitestring.exchange.margin import MarginRates
from kitestring.exchange.order_book import ClosedOrder, ExchangeOrder, Market, Request, Status
from kitestring.exchange.queue import place_in_queue
from kitestring.exchange.rules import (
    OrderRules,
    judge_instrument,
    outside_range,
    protected_px,
    rules_of,
)


class FloorParts(TypedDict):
    """What an exchange is made of.

    ``cash`` is free cash at the open, without what carried positions cost. ``opening`` are
    positions carried from before: net quantity and the price they are carried at. ``bars`` says that
    the feed is of bars, for orders that come before its first frame. ``account`` is an account that was
    opened before (with holdings, say); then ``cash`` and ``rates`` are its own. ``closes`` are
    yesterday's closing prices: what a market order is measured from before the first trade.
    ``square_off``: the broker closes intraday positions at its cut-off. ``own_clock``: somebody reads
    the exchange's clock and asks at ``next_due_at`` even where no frame comes, so that sessions end
    and validity runs out on time; without it that waits for the next frame or request.
    """

    instruments: Mapping[InstrumentId, Instrument]
    sessions: Mapping[Segment, Session]
    charges: ChargeBook
    cash: Money
    fill_model: FillModel
    seed: int
    ledger: LedgerSink
    opening: NotRequired[Mapping[PositionKey, tuple[int, Price]]]
    bars: NotRequired[bool]
    rules: NotRequired[OrderRules]
    closes: NotRequired[Mapping[InstrumentId, Price]]
    square_off: NotRequired[bool]
    own_clock: NotRequired[bool]
    rates: NotRequired[MarginRates]
    account: NotRequired[Account]


def _rules_of(sessions: Mapping[Segment, Session]) -> OrderRules:
    """The dated rules of the sessions' day."""
    days = {each.date for each in sessions.values()}
    return rules_of(min(days)) if days else OrderRules()


class TradingFloor:
    """Orders, markets, account and ledger of a local exchange with one trading account."""

    def __init__(self, **parts: Unpack[FloorParts]) -> None:
        sessions, charges = parts["sessions"], parts["charges"]
        rates = parts.get("rates") or MarginRates()
        self.model = parts["fill_model"]
        self.seed = parts["seed"]
        self.rules = parts.get("rules") or _rules_of(sessions)
        day = min((each.date for each in sessions.values()), default=None)
        self.account = parts.get("account") or Account(parts["cash"], charges, rates, day=day)
        self.account.carry(parts["instruments"], parts.get("opening") or {})
        self.orders: dict[str, ExchangeOrder] = {}
        """Orders that are not over, by tag."""
        self.closed: dict[str, ClosedOrder] = {}
        """Orders of today that are over, by tag."""
        self.next_due_at: Instant = NEVER
        """When the next report will be ready."""
        self.cuts: dict[str, int] = {}
        """By tag: how much of an order may trade before the exchange cancels the rest, unasked."""
        self.position = 0
        """The last place in the feed that was seen."""
        self.matched_to = 0
        """The last place in the feed that a ledger read back already covers."""
        self.nth = 0
        """Which tick of its frame is being matched; 0 between frames."""
        self.bars = parts.get("bars", False)
        """Whether the feed is of bars; known from its first frame, or from the ledger."""
        self.day = min((f"{each.date:%y%m%d}" for each in sessions.values()), default="000000")
        self.markets: dict[str, Market] = {}
        for instrument in parts["instruments"].values():
            session = sessions.get(instrument.segment)
            refusal = judge_instrument(instrument, session)
            self.markets[instrument.id] = Market(instrument, session, refusal)
        for name, px in (parts.get("closes") or {}).items():
            if name in self.markets:
                self.markets[name].known_px = px
        self.own_clock = parts.get("own_clock", False)
        self.next_turn_at: Instant = NEVER
        """When time alone changes something next; see ``TimedFloor``."""
        self.requests: list[tuple[Instant, int, Request]] = []
        """What was heard and has not arrived yet, as a heap."""
        self._ledger = parts["ledger"]
        self._stroke: list[LedgerEntry] = []
        self._told = 0
        self._reports: list[tuple[Instant, int, LedgerEntry]] = []

    def trade(
        self, order: ExchangeOrder, qty: int, px: Price, at: Instant, printed: int = 0
    ) -> None:
        """Book a trade of a live order: fill, position, cash, charges, ledger.

        ``printed`` is the part of it that came out of the volume the tick tells of.
        """
        position, market = order.position, order.market
        assert position is not None
        assert market is not None
        assert 0 < qty <= order.leaves
        cut = self.cuts.get(order.tag) if self.cuts else None
        if cut is not None:
            qty = min(qty, max(cut - order.filled, 1))
        order.filled += qty
        order.trades += 1
        self.book(order, qty, px)
        if order.filled == order.qty:
            order.status = Status.COMPLETE
            market.orders.remove(order)
        self._stroke.append(
            LedgerEntry(
                What.TRADE,
                at,
                at + order.way_back_us,
                order.tag,
                order.order_id,
                0,
                0,
                order.symbol,
                order.side,
                order.qty,
                "",
                order.product,
                "",
                0,
                0,
                0,
                0,
                False,
                f"{order.order_id}-{order.trades}",
                qty,
                int(px),
                order.filled,
                "",
                self.nth,
                order.ahead,
                printed,
            )
        )
        if order.status is Status.COMPLETE:
            self.close(order)
        elif cut is not None and order.filled >= cut:
            self.withdraw(order, at, 0, "The exchange has cancelled the rest of the order.")

    def trigger(self, order: ExchangeOrder, last_px: Price, at: Instant) -> bool:
        """Turn a stop into the limit it asks for; false if that limit is out of range by now."""
        market = order.market
        assert market is not None
        assert order.position is not None
        instrument = market.instrument
        order.status = Status.OPEN
        if order.ord_type is OrdType.SL_M:
            order.limit_px = protected_px(
                self.rules, instrument, last_px, order.protection_bp, buy=order.buy
            )
        else:
            sentence = outside_range(self.rules, instrument, order.limit_px, last_px)
            if sentence is not None:
                # NSE checks the limit again when the trigger releases it.
                order.status = Status.REJECTED
                market.orders.remove(order)
                self.account.release(order.position, order.leaves, buy=order.buy)
                self.tell(What.REJECTED, order, at, 0, sentence)
                self.close(order)
                return False
        order.takes = order.reaches(last_px) if self.bars else meets_quote(self, order, market, at)
        self.queue_up(order, market)
        self.tell(What.TRIGGERED, order, at, 0)
        return True

    def settle_rest(self, order: ExchangeOrder, at: Instant) -> None:
        """An immediate-or-cancel order does not wait."""
        if order.status is Status.OPEN and order.validity is TimeInForce.IOC:
            self.withdraw(order, at, 0, "The rest of an IOC order is cancelled.")

    def book(self, order: ExchangeOrder, qty: int, px: Price) -> None:
        account, position = self.account, order.position
        assert position is not None
        order.traded_value += account.book_trade(position, qty, px, buy=order.buy)
        order.charged = account.charge(position, order.side, order.traded_value, order.charged)

    def close(self, order: ExchangeOrder) -> None:
        self.orders.pop(order.tag, None)
        self.closed[order.tag] = (
            order.order_id,
            order.symbol,
            order.status,
            order.qty,
            order.filled,
        )

    def tell(
        self, what: What, order: ExchangeOrder, at: Instant, request: int, text: str = ""
    ) -> None:
        self._stroke.append(
            LedgerEntry(
                what,
                at,
                at + order.way_back_us,
                order.tag,
                order.order_id,
                request,
                0,
                "",
                "",
                order.qty,
                order.ord_type,
                "",
                "",
                int(order.limit_px),
                int(order.stop_px),
                0,
                0,
                order.takes,
                "",
                0,
                0,
                order.filled,
                text,
                self.nth,
                order.ahead,
            )
        )

    def queue_up(self, order: ExchangeOrder, market: Market) -> None:
        """Give an order that comes to rest its place behind what is visible at its price."""
        if not (self.bars or self.model.immediate):
            order.ahead = place_in_queue(order, market)

    def join_queue(self, order: ExchangeOrder, market: Market, at: Instant) -> None:
        """Give an order that came before any depth was seen its place, and write it down."""
        order.ahead = place_in_queue(order, market)
        self._stroke.append(
            LedgerEntry(
                What.QUEUED,
                at,
                tag=order.tag,
                order_id=order.order_id,
                nth=self.nth,
                ahead=order.ahead,
            )
        )

    def book_fee(self, instrument: Instrument, charge: ChargeUnits) -> None:
        """Charge the purse an instrument is traded with for something that is no trade."""
        self.account.purse_of(instrument).charges += charge

    def write(self) -> None:
        """Put the stroke into the ledger; only then may anybody be told of it."""
        stroke = self._stroke
        if stroke:
            self._stroke = []
            self._ledger.append(line_bytes(max(self.position, self.matched_to), stroke))
            for entry in stroke:
                if entry.told_at:
                    self.schedule(entry.told_at, entry)
        self.reckon_due()

    def schedule(self, told_at: Instant, entry: LedgerEntry) -> None:
        self._told += 1
        heapq.heappush(self._reports, (told_at, self._told, entry))

    def reckon_due(self) -> None:
        due = self._reports[0][0] if self._reports else NEVER
        if not self.bars:
            for arrives_at, _, request in self.requests:
                due = min(due, arrives_at + request.way_back_us)
        if self.own_clock:
            due = min(due, self.next_turn_at)
        self.next_due_at = due

    def pop_reports(self, until: Instant) -> list[tuple[Instant, LedgerEntry]]:
        """What is to be told at or before an instant, in order; each is given once."""
        reports = self._reports
        due: list[tuple[Instant, LedgerEntry]] = []
        while reports and reports[0][0] <= until:
            told_at, _, entry = heapq.heappop(reports)
            due.append((told_at, entry))
        self.reckon_due()
        return due

    def untold(self, at: Instant) -> list[LedgerEntry]:
        """Announcements of what happened after ``at``: an order book of that moment lacks them."""
        return [entry for _, _, entry in self._reports if entry.at > at]

    def position_of(self, order: ExchangeOrder, market: Market) -> AccountPosition:
        """The account's position that the order changes."""
        if order.position is None:
            order.position = self.account.position(market.instrument, order.product)
        return order.position

    def margin_px(self, order: ExchangeOrder, market: Market) -> Price:
        """The price an order's margin is reckoned at: its limit, or what its trigger would make it."""
        if order.ord_type is OrdType.SL_M:
            return protected_px(
                self.rules, market.instrument, order.stop_px, order.protection_bp, buy=order.buy
            )
        return order.limit_px

    def account_for(self, order: ExchangeOrder, market: Market) -> None:
        """Tie up the margin of an order that was judged before, without judging again."""
        self.account.reserve(
            self.position_of(order, market),
            order.leaves,
            self.margin_px(order, market),
            buy=order.buy,
            checked=False,
        )

    def rest(self, order: ExchangeOrder, market: Market) -> None:
        stop = order.ord_type is OrdType.SL or order.ord_type is OrdType.SL_M
        order.status = Status.TRIGGER_PENDING if stop else Status.OPEN
        market.orders.append(order)

    def refuse(self, order: ExchangeOrder, request: Request, at: Instant, text: str) -> None:
        order.status = Status.REJECTED
        self.tell(What.REJECTED, order, at, request.number, text)
        self.close(order)

    def withdraw(self, order: ExchangeOrder, at: Instant, request: int, text: str) -> None:
        assert order.market is not None
        assert order.position is not None
        order.status = Status.CANCELLED
        order.market.orders.remove(order)
        self.account.release(order.position, order.leaves, buy=order.buy)
        self.tell(What.CANCELED, order, at, request, text)
        self.close(order)

    def order_rows(self) -> Iterator[tuple[str, ClosedOrder]]:
        """Today's orders by tag, those that are over first, each as its short row."""
        yield from self.closed.items()
        for tag, order in self.orders.items():
            yield tag, (order.order_id, order.symbol, order.status, order.qty, order.filled)
