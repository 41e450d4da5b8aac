"""An order's way through the broker to the floor and back, one named state after another.

Requests pass the broker's checks on their way (``VALIDATION PENDING``), leave for the exchange
(``OPEN PENDING``), and rest there (``OPEN``) only when the floor's word has come back; so a row
never claims what the floor does not hold. Everything here is a function of the requests, of what
the floor announces, and of the time asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

import msgspec

from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType, Side, TimeInForce
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.order_numbers import OrderNumbers
from kitestring.exchange.desk.order_rows import (
    Change,
    OrderRecord,
    OrderState,
    OrderUpdate,
    Row,
    Source,
    Trade,
    pushed_row,
    trade_row,
)
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.desk.order_status import OrderStatus
from kitestring.exchange.desk.order_ticket import NOT_GIVEN, OrderTicket
from kitestring.exchange.desk.order_words import UNMATCHED, cancel_raw, refusal
from kitestring.exchange.desk.varieties import leg_meta, market_exit, next_leg, stop_leg
from kitestring.exchange.fill_models import way_there_us
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.exchange.matching import Matcher
from kitestring.exchange.order_book import UNPROTECTED, Status
from kitestring.exchange.rules import protection_bp
from kitestring.market.order_rule_rows import order_rules

_S: Final = OrderStatus
_UPDATE: Final = "UPDATE"


class Step(Enum):
    """What the desk itself does to an order at a moment of its own."""

    VALIDATE = auto()
    SEND = auto()
    REFUSE = auto()
    REST = auto()
    CHANGE = auto()
    RELEASE = auto()
    CLOSE = auto()


def _time_in_force(validity: str) -> TimeInForce:
    """The floor's word for a validity; minutes (TTL) go beside it."""
    return TimeInForce.IOC if validity == "IOC" else TimeInForce.DAY


class OrderFlow:
    """The orders of one day on their way; ``OrderDesk`` adds what clients ask for."""

    def __init__(
        self,
        floor: Matcher,
        listing: Listing,
        *,
        user_id: str,
        app_id: int = 1000,
        api_secret: str = "",
        settings: OrderSettings | None = None,
        auctions: Callable[[], Sequence[Row]] = tuple,
    ) -> None:
        self.floor = floor
        self.listing = listing
        self.user_id = user_id
        self.app_id = app_id
        self.api_secret = api_secret
        self.settings = settings or OrderSettings()
        self.rules = order_rules(listing.day)
        self._auctions = auctions
        self._numbers = OrderNumbers(floor.seed, listing.day, self.settings.order_id_digits)
        self._orders: dict[str, OrderRecord] = {}
        self._by_key: dict[str, OrderRecord] = {}
        """By the key the floor knows: our order id, or whatever others on the floor chose."""
        self._trades: list[tuple[OrderRecord, Trade]] = []
        self._updates: list[OrderUpdate] = []
        self._steps: list[tuple[Instant, int, Step, OrderRecord]] = []
        self._step_count = 0
        self._refusals: list[tuple[str, str]] = []

    @property
    def next_due_at(self) -> Instant:
        """When ``advance`` will next have something to say or to carry out."""
        due = self.floor.next_due_at
        if self._steps:
            due = min(due, self._steps[0][0])
        if self._updates:
            due = min(due, self._updates[0].at)
        return due

    def advance(self, now: Instant) -> list[OrderUpdate]:
        """Carry everything on up to ``now``; what there is to push, each thing once."""
        self._catch_up(now)
        updates, self._updates = self._updates, []
        return updates

    # ── time ─────────────────────────────────────────────────────────────────────────────────

    def _catch_up(self, now: Instant) -> None:
        floor, steps = self.floor, self._steps
        while True:
            told_at = floor.next_due_at
            if steps and steps[0][0] <= min(now, told_at):
                at, _, step, order = heapq.heappop(steps)
                self._take_step(step, order, at)
                continue
            if told_at > now:
                return
            told = floor.announcements_until(told_at)
            for at, entry in told:
                self._hear(entry, at)
            if not told and floor.next_due_at <= told_at:
                return  # the floor waits for the market, not for the clock

    def _plan(self, at: Instant, step: Step, order: OrderRecord) -> None:
        if at < NEVER:
            self._step_count += 1
            heapq.heappush(self._steps, (at, self._step_count, step, order))

    def _take_step(self, step: Step, order: OrderRecord, at: Instant) -> None:
        status = order.status
        match step:
            case Step.VALIDATE:
                if status in (_S.PUT_RECEIVED, _S.AMO_RECEIVED):
                    self._move(order, _S.VALIDATION_PENDING)
            case Step.SEND:
                self._leave(order, at)
            case Step.REFUSE:
                message, raw = order.withdrawn or ("", "")
                self._move(order, _S.REJECTED, message=message, raw=raw)
                self._push(order, at, order.status.value)
            case Step.REST:
                self._move(
                    order,
                    _S.OPEN,
                    exchange_order_id=self._numbers.exchange_order_id(
                        order.ticket.instrument.exchange
                    ),
                    exchange_at=at,
                    exchange_update_at=at,
                )
            case Step.CHANGE:
                if status is _S.MODIFY_VALIDATION_PENDING:
                    self._move(order, _S.MODIFY_PENDING)
            case Step.RELEASE:
                if status is _S.AMO_RECEIVED:
                    self._dispatch(order, at)
            case Step.CLOSE:
                if order.live:
                    self._move(order, _S.CANCELLED, exchange_update_at=at)
                    self._push(order, at, order.status.value)

    def _leave(self, order: OrderRecord, at: Instant) -> None:
        """The broker has let it pass: it is on its way to the exchange, unless RMS says no there."""
        if order.status is not _S.VALIDATION_PENDING:
            return
        self.floor.arrive_before(at)
        over = self.floor.closed.get(order.order_id)
        if over is None or over[2] is not Status.REJECTED:
            self._move(order, _S.OPEN_PENDING)

    # ── to the floor ─────────────────────────────────────────────────────────────────────────

    def _take(
        self,
        now: Instant,
        ticket: OrderTicket,
        source: Source,
        *,
        parent: OrderRecord | None = None,
        tags: tuple[str, ...] = (),
    ) -> OrderRecord:
        """Enter a new order into the book of the day."""
        amo = ticket.variety == "amo"
        order_id = self._numbers.order_id(now)
        shown = (ticket.tag,) if ticket.tag else ()
        order = OrderRecord(
            order_id,
            ticket,
            _S.AMO_RECEIVED if amo else _S.PUT_RECEIVED,
            now,
            source=source,
            account_id=self.user_id,
            placed_by=self.settings.rms_id if source is Source.RMS else self.user_id,
            guid=self._numbers.guid(self.app_id, order_id) if source is Source.APP else None,
            tags=shown + tags,
            parent_order_id=parent.order_id if parent is not None else None,
        )
        self._orders[order_id] = self._by_key[order_id] = order
        if ticket.iceberg_legs:
            order.quantity_left = ticket.quantity
            self._begin_leg(order, 1)
        return order

    def _begin_leg(self, order: OrderRecord, leg: int) -> None:
        """Make an order one leg of its iceberg: it shows, and trades, that leg's quantity."""
        ticket = order.ticket
        quantity = min(ticket.leg_quantity, order.quantity_left)
        order.leg = leg
        order.quantity_left -= quantity
        order.states[-1] = msgspec.structs.replace(order.state, quantity=quantity)
        order.meta = leg_meta(ticket, leg, quantity, order.quantity_left)

    def _dispatch(self, order: OrderRecord, at: Instant) -> None:
        """Send a new order on: to the floor, or to its end where RMS was told to refuse."""
        if self._refusals and order.source is not Source.RMS:
            order.withdrawn = self._refusals.pop(0)
            there = way_there_us(self.floor.seed, order.order_id, "place")
            self._plan(at + there // 4, Step.VALIDATE, order)
            self._plan(at + there // 2, Step.REFUSE, order)
            return
        self._send(order, at)

    def _send(self, order: OrderRecord, at: Instant) -> None:
        floor, ticket, state = self.floor, order.ticket, order.state
        # Phones and the risk desk always protect; an app could do without until April 2026.
        unprotected = order.protection_bp == NOT_GIVEN and order.source is Source.APP
        floor.place(
            at=at,
            tag=order.order_id,
            instrument=ticket.instrument.id,
            side=ticket.side,
            qty=state.quantity,
            ord_type=order.kind,
            product=ticket.floor_product,
            validity=_time_in_force(state.validity),
            price=Price(state.price),
            trigger_price=Price(state.trigger_price) if order.is_stop else Price(0),
            protection_bp=UNPROTECTED if unprotected else max(order.protection_bp, 0),
            ttl_minutes=state.ttl,
            disclosed_qty=state.disclosed,
            journey=(ticket.tag or "").encode(errors="replace").decode(),
        )
        waiting = floor.orders.get(order.order_id)
        arrives_at = waiting.last_arrival if waiting is not None else at
        self._plan(at + (arrives_at - at) // 4, Step.VALIDATE, order)
        # A moment after it arrives, so that what RMS refuses is never shown as sent on.
        self._plan(arrives_at + 1 if arrives_at > at else at, Step.SEND, order)

    def _send_change(self, order: OrderRecord, change: Change, now: Instant) -> None:
        """Ask the floor for a change; the row follows when the answer is back."""
        floor, state = self.floor, order.state
        order.asked = change
        stays = change.kind is order.kind and (order.is_stop or change.kind is OrdType.MARKET)
        timed = (change.validity, change.ttl) != (state.validity, state.ttl)
        self._move(order, _S.MODIFY_VALIDATION_PENDING, order_at=now, message=None, raw=None)
        floor.modify(
            at=now,
            tag=order.order_id,
            qty=change.quantity,
            ord_type=None if stays and not change.to_market else change.kind,
            price=change.price,
            trigger_price=change.trigger_price,
            validity=_time_in_force(change.validity) if timed else None,
            ttl_minutes=change.ttl if timed else 0,
            disclosed_qty=change.disclosed,
            protection_bp=max(change.protection_bp, 0) if change.to_market else None,
        )
        waiting = floor.orders.get(order.order_id)
        arrives_at = waiting.last_arrival if waiting is not None else now
        self._plan(now + (arrives_at - now) // 4, Step.CHANGE, order)

    def last_px(self, instrument: Instrument, now: Instant) -> Price:
        """The last price the floor knows; 0 where nothing has traded."""
        market = self.floor.markets.get(instrument.id)
        return market.last_px(now) if market is not None else Price(0)

    # ── from the floor ───────────────────────────────────────────────────────────────────────

    def _hear(self, entry: LedgerEntry, told_at: Instant) -> None:
        order = self._by_key.get(entry.tag) or self._adopt(entry)
        if order is None or not order.live:
            return
        match entry.what:
            case What.NEW:
                self._rests(order, entry)
            case What.REJECTED:
                self._refused(order, entry, told_at)
            case What.TRIGGERED:
                self._triggered(order, entry)
            case What.TRADE:
                self._traded(order, entry, told_at)
            case What.REPLACED:
                self._replaced(order, entry, told_at)
            case What.REPLACE_REJECTED | What.CANCEL_REJECTED:
                self._stays(order, entry)
            case What.CANCELED:
                self._withdrawn(order, entry, told_at)
            case _:
                return

    def _adopt(self, entry: LedgerEntry) -> OrderRecord | None:
        """An order that came to the floor past this desk, such as a square-off by RMS."""
        order = self.floor.orders.get(entry.tag)
        if order is not None and order.market is not None:
            instrument, side, kind = order.market.instrument, order.side, order.ord_type
            quantity, product, trigger = order.qty, order.product.value, order.stop_px
            price = order.limit_px if kind in (OrdType.LIMIT, OrdType.SL) else Price(0)
        elif entry.instrument in self.floor.markets and entry.what is What.TRADE:
            instrument, side = self.floor.markets[entry.instrument].instrument, Side(entry.side)
            quantity, product = entry.qty, str(entry.product)
            kind, price, trigger = OrdType.MARKET, Price(0), Price(0)
        else:
            return None
        ticket = OrderTicket(
            variety="regular",
            instrument=instrument,
            side=side,
            quantity=quantity,
            product=product,
            order_type=kind,
            price=price,
            trigger_price=trigger,
            validity="DAY",
            ttl=0,
            disclosed=0,
            protection_bp=0,
            tag=None,
        )
        record = self._take(entry.at, ticket, Source.RMS)
        self._by_key[entry.tag] = record
        if entry.what is not What.NEW:
            self._rests(record, entry)
        return record

    def _reach_exchange(self, order: OrderRecord) -> None:
        """Pass the states before the exchange that have not been passed yet."""
        if order.status in (_S.PUT_RECEIVED, _S.AMO_RECEIVED):
            self._move(order, _S.VALIDATION_PENDING)
        if order.status is _S.VALIDATION_PENDING:
            self._move(order, _S.OPEN_PENDING)

    def _rests(self, order: OrderRecord, entry: LedgerEntry) -> None:
        self._reach_exchange(order)
        exchange = order.ticket.instrument.exchange
        shown = self._shown(order, entry.price, entry.at)
        self._move(
            order,
            order.rests_as,
            exchange_order_id=self._numbers.exchange_order_id(exchange),
            exchange_at=entry.at,
            exchange_update_at=entry.at,
            **shown,
        )

    def _shown(self, order: OrderRecord, limit_px: int, at: Instant) -> dict[str, object]:
        """How the book shows an order that works at this limit: its type, price and tags."""
        kind = order.kind
        if kind is OrdType.LIMIT or kind is OrdType.SL:
            return {"order_type": kind.value, "price": limit_px}
        known = order.protection_bp != NOT_GIVEN and self.settings.market_becomes_limit
        if order.is_stop or not known:
            return {"order_type": kind.value, "price": 0}
        tags, bp = order.state.tags, order.protection_bp
        if bp <= 0:
            instrument = order.ticket.instrument
            bp = protection_bp(self.floor.rules, instrument, self.last_px(instrument, at))
        if "mktp" not in tags:
            tags = (*tags, "mktp", f"mktp:{bp // 100}.{bp % 100:02d}")
        return {"order_type": OrdType.LIMIT.value, "price": limit_px, "tags": tags}

    def _refused(self, order: OrderRecord, entry: LedgerEntry, told_at: Instant) -> None:
        words = refusal(entry.text, self.user_id)
        if order.status in (_S.PUT_RECEIVED, _S.AMO_RECEIVED):
            self._move(order, _S.VALIDATION_PENDING)
        if words.by_rms and order.status is _S.VALIDATION_PENDING:
            self._move(order, _S.REJECTED, message=words.message, raw=words.raw)
        else:
            self._reach_exchange(order)
            number = order.state.exchange_order_id or self._numbers.exchange_order_id(
                order.ticket.instrument.exchange
            )
            self._move(
                order,
                _S.REJECTED,
                message=words.message,
                raw=words.raw,
                exchange_order_id=number,
                exchange_at=order.state.exchange_at or entry.at,
                exchange_update_at=entry.at,
            )
        self._push(order, told_at, order.status.value)
        parent = self._orders.get(order.parent_order_id or "")
        if parent is not None and order.kind is not OrdType.MARKET:
            # A cover order's stop that cannot stand: what it should have guarded is closed now.
            self._add_child(parent, market_exit(order.ticket), told_at)

    def _triggered(self, order: OrderRecord, entry: LedgerEntry) -> None:
        order.triggered = True
        shown = self._shown(order, entry.price, entry.at)
        status = _S.OPEN if order.status is _S.TRIGGER_PENDING else order.status
        self._move(order, status, exchange_update_at=entry.at, **shown)

    def _traded(self, order: OrderRecord, entry: LedgerEntry, told_at: Instant) -> None:
        trade = Trade(self._numbers.trade_id(), entry.at, entry.last_qty, entry.last_px)
        order.trades.append(trade)
        self._trades.append((order, trade))
        state = order.state
        filled = state.filled + entry.last_qty
        complete = entry.filled_qty >= entry.qty
        self._move(
            order,
            _S.COMPLETE if complete else order.status,
            filled=filled,
            value=state.value + entry.last_qty * entry.last_px,
            exchange_update_at=entry.at,
        )
        self._push(order, told_at, order.status.value if complete else _UPDATE)
        ticket = order.ticket
        if ticket.variety == "co" and order.parent_order_id is None:
            self._add_child(
                order, stop_leg(ticket, entry.last_qty, self.floor, self.rules), told_at
            )
        if complete and order.quantity_left:
            leg = self._take(told_at, next_leg(ticket, order.state), order.source)
            leg.quantity_left = order.quantity_left
            self._begin_leg(leg, order.leg + 1)
            self._dispatch(leg, told_at)

    def _add_child(self, parent: OrderRecord, ticket: OrderTicket, at: Instant) -> None:
        child = self._take(at, ticket, parent.source, parent=parent)
        parent.children.append(child)
        self._send(child, at)

    def _replaced(self, order: OrderRecord, entry: LedgerEntry, told_at: Instant) -> None:
        if order.status is _S.MODIFY_VALIDATION_PENDING:
            self._move(order, _S.MODIFY_PENDING)
        changed, order.asked = order.asked, None
        if order.status is _S.MODIFY_PENDING:
            self._move(order, _S.MODIFIED, exchange_at=entry.at, exchange_update_at=entry.at)
        order.kind = OrdType(entry.order_type)
        if changed is not None:
            order.protection_bp = changed.protection_bp
            if changed.to_market:
                order.kind = OrdType.MARKET
        order.triggered = order.triggered and not order.kind.value.startswith("SL")
        shown = self._shown(order, entry.price, entry.at)
        state = order.state
        self._move(
            order,
            order.rests_as if order.status is _S.MODIFIED else order.status,
            quantity=entry.qty,
            **shown,
            trigger_price=entry.trigger_price,
            validity=changed.validity if changed else state.validity,
            ttl=changed.ttl if changed else state.ttl,
            disclosed=min(changed.disclosed if changed else state.disclosed, entry.qty),
            modified=self.settings.modified_told or state.modified,
        )
        self._push(order, told_at, _UPDATE)
        if order.live and order.state.validity == "IOC" and state.validity != "IOC":
            # The floor looks at IOC when an order comes; for one that rests the broker withdraws.
            order.withdrawn = ("The rest of an IOC order is cancelled.", UNMATCHED)
            self.floor.cancel(at=told_at, tag=order.order_id)

    def _stays(self, order: OrderRecord, entry: LedgerEntry) -> None:
        """The exchange refused a change or a withdrawal: the order rests as it did."""
        if entry.what is What.REPLACE_REJECTED:
            order.asked = None
            if order.status is _S.MODIFY_VALIDATION_PENDING:
                self._move(order, _S.MODIFY_PENDING)
            answers = order.status is _S.MODIFY_PENDING
        else:
            answers = order.status is _S.CANCEL_PENDING
        if answers:
            words = refusal(entry.text, self.user_id)
            self._move(order, order.rests_as, message=words.message, raw=words.raw)

    def _withdrawn(self, order: OrderRecord, entry: LedgerEntry, told_at: Instant) -> None:
        message, raw = order.withdrawn or (entry.text, cancel_raw(entry.text))
        self._move(
            order,
            _S.CANCELLED,
            message=message or None,
            raw=raw or None,
            exchange_update_at=entry.at,
        )
        self._push(order, told_at, order.status.value)

    # ── rows ─────────────────────────────────────────────────────────────────────────────────

    def _move(self, order: OrderRecord, status: OrderStatus, **changes: object) -> None:
        state: OrderState = msgspec.structs.replace(order.state, status=status, **changes)
        order.move(state)

    def _push(self, order: OrderRecord, at: Instant, status: str) -> None:
        row = pushed_row(
            order,
            self.settings,
            status=status,
            user_id=self.user_id,
            app_id=self.app_id if order.source is Source.APP else 0,
            api_secret=self.api_secret,
        )
        self._updates.append(OrderUpdate(at, order.order_id, row, order.source is Source.APP))

    def _trade_rows(self) -> list[Row]:
        return [trade_row(order, trade) for order, trade in self._trades]
