"""The order desk of the local Kite exchange: what a client may ask about orders, and its answers.

One call per route of Kite's order API (kite.trade/docs/connect/v3/orders). Every call takes the
exchange's time and answers with JSON-ready values or raises ``KiteError``; nothing waits. An answer
means that the desk has accepted a request, not that the exchange will.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.domain.instants import Instant, instant, ist_date
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType, Side
from kitestring.domain.sessions import PhaseKind
from kitestring.exchange.desk.amo import amo_window, in_window, released_at
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import KiteError, input_error, margin_error, order_error
from kitestring.exchange.desk.order_change import demand_changeable, gone, read_change
from kitestring.exchange.desk.order_flow import OrderFlow, Step
from kitestring.exchange.desk.order_rows import (
    Change,
    OrderRecord,
    Row,
    Source,
    order_row,
    trade_row,
)
from kitestring.exchange.desk.order_status import OrderStatus
from kitestring.exchange.desk.order_ticket import VARIETIES, OrderTicket, read_ticket
from kitestring.exchange.desk.slicing import slices_of, unaffordable
from kitestring.exchange.fill_models import way_there_us
from kitestring.exchange.rules import protected_px

_S: Final = OrderStatus


class OrderDesk(OrderFlow):
    """Orders, trades and their changes, as Kite answers for them."""

    # ── new orders ───────────────────────────────────────────────────────────────────────────

    def place(
        self, now: Instant, variety: str, form: Form, *, source: Source = Source.APP
    ) -> Row | list[Row]:
        """Accept a new order; ``source`` says whether this app, a phone or the risk desk sends it.

        The answer is ``{order_id}``, of a sliced order with its ``children``; a list only where the
        settings ask for the documentation's shape of a sliced order.
        """
        ticket = self._read(now, variety, form, source)
        if ticket.autoslice:
            return self._place_slices(now, ticket, source)
        return {"order_id": self._enter(now, ticket, source).order_id}

    def place_one(
        self, now: Instant, variety: str, form: Form, *, source: Source = Source.APP
    ) -> str:
        """Accept an order that is never sliced (a trigger's, an alert's); its id."""
        return self._enter(now, self._read(now, variety, form, source), source).order_id

    def _read(self, now: Instant, variety: str, form: Form, source: Source) -> OrderTicket:
        self._catch_up(now)
        ticket = read_ticket(form, variety, self.listing, self.rules, by_api=source is Source.APP)
        self._demand_open(now, ticket, source)
        return ticket

    def refuse_next(self, message: str, raw: str = "", count: int = 1) -> None:
        """Let the broker's risk system refuse the next orders: they never reach the exchange."""
        self._refusals += [(message, raw or f"RMS:{message}")] * count

    def forget_refusals(self) -> None:
        """Refuse no more of the next orders than have been refused by now."""
        self._refusals.clear()

    def withdraw(self, now: Instant, order_id: str, message: str, raw: str = "") -> None:
        """The exchange or the broker's risk desk takes an order away, unasked."""
        self._catch_up(now)
        order = self._find(order_id)
        if not order.live:
            raise order_error(gone(order_id))
        order.withdrawn = (message, raw or message)
        if order.status is _S.AMO_RECEIVED:
            self._cancel_amo(order, now)
        elif order.ticket.variety == "auction":
            self._plan(now, Step.CLOSE, order)
        else:
            self.floor.cancel(at=now, tag=order_id)

    def _enter(
        self, now: Instant, ticket: OrderTicket, source: Source, tags: tuple[str, ...] = ()
    ) -> OrderRecord:
        order = self._take(now, ticket, source, tags=tags)
        if ticket.variety == "amo":
            market = self.floor.markets.get(ticket.instrument.id)
            session = market.session if market is not None else None
            self._plan(released_at(ticket, session, now), Step.RELEASE, order)
        elif ticket.variety == "auction":
            there = way_there_us(self.floor.seed, order.order_id, "place")
            self._plan(now + there // 4, Step.VALIDATE, order)
            self._plan(now + there // 2, Step.SEND, order)
            self._plan(now + there, Step.REST, order)
            self._plan(self._auction_at(now), Step.CLOSE, order)
        else:
            self._dispatch(order, now)
        return order

    def _auction_at(self, now: Instant) -> Instant:
        return instant(ist_date(now), self.settings.auction_closes)

    def _demand_open(self, now: Instant, ticket: OrderTicket, source: Source) -> None:
        """What is refused at this hour before it becomes an order."""
        exchange, variety = ticket.instrument.exchange, ticket.variety
        if variety == "amo" and not in_window(exchange, now):
            evening, morning = amo_window(exchange)
            raise order_error(
                f"After-market orders on {exchange} are accepted from {evening:%H:%M} to"
                f" {morning:%H:%M}. Place a regular order."
            )
        if variety == "auction":
            self._demand_auctionable(now, ticket)
        if ticket.product in ("MIS", "CO") and variety != "amo" and source is not Source.RMS:
            market = self.floor.markets.get(ticket.instrument.id)
            session = market.session if market is not None else None
            if session is not None and session.phase_at(now) is PhaseKind.CLOSED:
                raise order_error(
                    "MIS (intraday) are blocked as the markets are not open for trading."
                    " Place an after-market order or use another product."
                )

    def _demand_auctionable(self, now: Instant, ticket: OrderTicket) -> None:
        """Auction orders deliver shares somebody else failed to: only holdings listed for it."""
        if now >= self._auction_at(now):
            raise order_error("The auction session of the day is over.")
        for row in self._auctions():
            if (
                row.get("auction_number") == ticket.auction_number
                and row.get("tradingsymbol") == ticket.instrument.symbol
                and row.get("exchange") == ticket.instrument.exchange
            ):
                held = row.get("quantity")
                if isinstance(held, int) and ticket.quantity > held:
                    raise input_error(f"Invalid `quantity`: {held} can be sold in this auction.")
                return
        raise input_error("Invalid `auction_number`.")

    def _place_slices(self, now: Instant, ticket: OrderTicket, source: Source) -> Row | list[Row]:
        instrument = ticket.instrument
        sizes = slices_of(instrument, ticket.quantity, self.rules.slices_max)
        px = self._margin_px(ticket, now)
        sentences = unaffordable(
            self.floor.account,
            instrument,
            ticket.floor_product,
            sizes,
            px,
            buy=ticket.side is Side.BUY,
        )
        parent = self._numbers.order_id(now)
        tags = ("autoslice", f"autoslice:{parent}")
        children: list[Row] = []
        for size, sentence in zip(sizes, sentences, strict=True):
            if sentence is None:
                slice_ = msgspec.structs.replace(ticket, quantity=size, autoslice=False)
                order_id = self._enter(now, slice_, source, tags).order_id
                children.append({"order_id": order_id})
            else:
                children.append({"error": _child_error(margin_error(sentence))})
        if self.settings.autoslice_shape == "A":
            return children
        return {"order_id": parent, "children": children}

    def _margin_px(self, ticket: OrderTicket, now: Instant) -> Price:
        if ticket.price:
            return ticket.price
        px = ticket.trigger_price or self.last_px(ticket.instrument, now)
        bp = max(ticket.protection_bp, 0)
        buy = ticket.side is Side.BUY
        return protected_px(self.floor.rules, ticket.instrument, px, bp, buy=buy)

    # ── changes ──────────────────────────────────────────────────────────────────────────────

    def modify(
        self,
        now: Instant,
        variety: str,
        order_id: str,
        form: Form,
        *,
        source: Source = Source.APP,
    ) -> Row:
        """Accept a change of a resting order; the exchange may still refuse it."""
        self._catch_up(now)
        order = self._named(variety, order_id)
        demand_changeable(order, "modified")
        if order.ticket.variety == "auction":
            raise order_error("Auction orders cannot be modified. Cancel and place a new one.")
        change = read_change(form, order, self.rules, by_api=source is Source.APP)
        if order.modifications >= self.rules.modifications_per_order_max:
            raise order_error(
                "Maximum allowed order modifications exceeded."
                f" An order can be modified {self.rules.modifications_per_order_max} times."
            )
        if order.status is _S.AMO_RECEIVED:
            self._modify_amo(order, change, now)
        else:
            self._send_change(order, change, now)
        order.modifications += 1
        return {"order_id": order_id}

    def _modify_amo(self, order: OrderRecord, change: Change, now: Instant) -> None:
        """An order that waits at the broker is simply rewritten."""
        state = order.state
        order.kind, order.protection_bp = change.kind, change.protection_bp
        limited = change.kind in (OrdType.LIMIT, OrdType.SL)
        stopped = change.kind in (OrdType.SL, OrdType.SL_M)
        self._move(
            order,
            _S.AMO_RECEIVED,
            order_at=now,
            order_type=change.kind.value,
            quantity=change.quantity or state.quantity,
            price=(int(change.price) or state.price) if limited else 0,
            trigger_price=(int(change.trigger_price) or state.trigger_price) if stopped else 0,
            validity=change.validity,
            ttl=change.ttl,
            disclosed=change.disclosed,
            modified=self.settings.modified_told,
        )

    def cancel(self, now: Instant, variety: str, order_id: str, parent_order_id: str = "") -> Row:
        """Accept a withdrawal; of a cover order's second leg it means: close the position now."""
        self._catch_up(now)
        order = self._named(variety, order_id)
        if parent_order_id and parent_order_id != (order.parent_order_id or order_id):
            raise input_error("Invalid `parent_order_id`.")
        if order.ticket.variety == "co" and self._exit_cover(order, now):
            return {"order_id": order_id}
        demand_changeable(order, "cancelled")
        if order.status is _S.AMO_RECEIVED:
            self._cancel_amo(order, now)
            return {"order_id": order_id}
        self._move(order, _S.CANCEL_PENDING, order_at=now, message=None, raw=None)
        if order.ticket.variety == "auction":
            there = way_there_us(self.floor.seed, order_id, "cancel")
            self._plan(now + there, Step.CLOSE, order)
        else:
            self.floor.cancel(at=now, tag=order_id)
        return {"order_id": order_id}

    def _exit_cover(self, order: OrderRecord, now: Instant) -> bool:
        """Close what a cover order holds, by its second leg or by the whole; False: nothing is held."""
        if order.parent_order_id is not None:
            demand_changeable(order, "cancelled")
            legs = [order]
        else:
            legs = [leg for leg in order.children if leg.live]
            if order.live or not legs:
                return False
            for leg in legs:
                demand_changeable(leg, "cancelled")
        for leg in legs:
            exit_now = Change(
                kind=OrdType.MARKET,
                quantity=0,
                price=Price(0),
                trigger_price=Price(0),
                validity=leg.state.validity,
                ttl=0,
                disclosed=0,
                protection_bp=0,
                to_market=True,
            )
            self._send_change(leg, exit_now, now)
        return True

    def _cancel_amo(self, order: OrderRecord, now: Instant) -> None:
        message, raw = order.withdrawn or (None, None)
        self._move(order, _S.CANCELLED_AMO, order_at=now, message=message, raw=raw)
        self._push(order, now, _S.CANCELLED.value)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def orders(self, now: Instant) -> list[Row]:
        """The order book of the day, oldest first."""
        self._catch_up(now)
        settings = self.settings
        return [order.row(settings) for order in self._orders.values()]

    def history(self, now: Instant, order_id: str) -> list[Row]:
        """Every state an order has been in, oldest first."""
        self._catch_up(now)
        order = self._find(order_id)
        return [order_row(order, state, self.settings) for state in order.states]

    def trades(self, now: Instant) -> list[Row]:
        """The trade book of the day, oldest first."""
        self._catch_up(now)
        return self._trade_rows()

    def order_trades(self, now: Instant, order_id: str) -> list[Row]:
        """One order's trades, oldest first."""
        self._catch_up(now)
        order = self._find(order_id)
        return [trade_row(order, trade) for trade in order.trades]

    def _find(self, order_id: str) -> OrderRecord:
        order = self._orders.get(order_id)
        if order is None:
            raise order_error(gone(order_id))
        return order

    def _named(self, variety: str, order_id: str) -> OrderRecord:
        """The order a path names; a released AMO answers to ``regular``, too."""
        if variety not in VARIETIES:
            raise input_error("Invalid `variety`.")
        order = self._find(order_id)
        names = {order.ticket.variety}
        if order.ticket.variety == "amo" and order.status is not _S.AMO_RECEIVED:
            names.add("regular")
        if variety not in names:
            raise input_error(f"Invalid `variety`: the order is a {order.ticket.variety} order.")
        return order


def _child_error(error: KiteError) -> Row:
    return {
        "code": error.status,
        "error_type": error.error_type,
        "message": error.message,
        "data": None,
    }
