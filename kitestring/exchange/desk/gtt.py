"""Triggers that wait at the broker for a price and then place a LIMIT order (Kite's GTT).

Routes, objects and limits: kite.trade/docs/connect/v3/gtt and the official samples gtt_*.json. One
trigger value fires one order; two (``two-leg``, a stop and a target) fire the one that is reached
first. ``triggered`` says that an order was sent, not that it filled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import DAY, NEVER, Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import UNITS_PER_RUPEE, Price
from kitestring.domain.sessions import PhaseKind
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.json_text import number_at, object_at, objects_at, text_at
from kitestring.exchange.desk.kite_error import KiteError, general_error, input_error
from kitestring.exchange.desk.kite_time import kite_time
from kitestring.exchange.desk.order_desk import OrderDesk
from kitestring.exchange.desk.order_rows import Row, number

LastPrice = Callable[[InstrumentId], Price]
"""The last traded price of an instrument; 0 where nothing is known."""

_TYPES: Final = ("single", "two-leg")
_PRODUCTS: Final = ("CNC", "NRML", "MTF")
_LISTED_AFTER_END: Final = 7 * DAY
_VALID: Final = 365 * DAY
_FIRST_ID: Final = 100_000


class GttStatus(StrEnum):
    """Kite's names; ``rejected`` and ``disabled`` come from corporate actions, which are not modelled."""

    ACTIVE = "active"
    TRIGGERED = "triggered"
    EXPIRED = "expired"
    DELETED = "deleted"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DISABLED = "disabled"


class GttOrder(msgspec.Struct, frozen=True):
    """The order behind one trigger value."""

    side: str
    quantity: int
    product: str
    price: Price


class Trigger(msgspec.Struct, kw_only=True):
    """One trigger and what became of it."""

    trigger_id: int
    two_legs: bool
    instrument: Instrument
    last_px: Price
    """The last price the client gave: from where the trigger values are reached."""
    values: tuple[Price, ...]
    orders: tuple[GttOrder, ...]
    created_at: Instant
    updated_at: Instant
    expires_at: Instant
    status: GttStatus = GttStatus.ACTIVE
    results: list[Row | None] = msgspec.field(default_factory=list)

    def reached(self, px: Price) -> int | None:
        """Which trigger value a price reaches, or ``None``."""
        for nth, value in enumerate(self.values):
            upward = nth == 1 if self.two_legs else value > self.last_px
            if px >= value if upward else px <= value:
                return nth
        return None


class GttBook:
    """The account's triggers. Prices are looked at in ``advance``, in market hours only."""

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._triggers: dict[int, Trigger] = {}
        self._active: dict[int, Trigger] = {}
        self._next_id = _FIRST_ID

    @property
    def next_due_at(self) -> Instant:
        """When the next trigger expires; prices are not foreseen."""
        return min((each.expires_at for each in self._active.values()), default=NEVER)

    def watched(self) -> set[InstrumentId]:
        """The instruments whose prices are waited for."""
        return {each.instrument.id for each in self._active.values()}

    def overnight(self) -> tuple[Trigger, ...]:
        """Every trigger there is: they stay where orders lapse."""
        return tuple(self._triggers.values())

    def take_over(self, triggers: Iterable[Trigger], now: Instant) -> None:
        """Let the triggers of the day before stand, but those of contracts that are gone."""
        for trigger in triggers:
            number = trigger.trigger_id
            self._triggers[number] = trigger
            self._next_id = max(self._next_id, number + 1)
            if trigger.status is not GttStatus.ACTIVE:
                continue
            self._active[number] = trigger
            listed = self._desk.listing.find(trigger.instrument.exchange, trigger.instrument.symbol)
            if listed is None:
                self._end(trigger, GttStatus.CANCELLED, now)
            else:
                trigger.instrument = listed

    # ── routes ───────────────────────────────────────────────────────────────────────────────

    def place(self, now: Instant, form: Form) -> Row:
        """Make a trigger; its number."""
        if len(self._active) >= self._settings.gtt_active_max:
            raise input_error(
                f"Maximum allowed active GTT triggers ({self._settings.gtt_active_max}) exceeded."
            )
        trigger = self._read(form, self._next_id, now, now)
        self._next_id += 1
        self._triggers[trigger.trigger_id] = self._active[trigger.trigger_id] = trigger
        return {"trigger_id": trigger.trigger_id}

    def modify(self, now: Instant, trigger_id: str, form: Form) -> Row:
        """Replace a trigger's condition and orders: both are always sent whole."""
        before = self._active_one(trigger_id)
        after = self._read(form, before.trigger_id, before.created_at, now)
        self._triggers[after.trigger_id] = self._active[after.trigger_id] = after
        return {"trigger_id": after.trigger_id}

    def delete(self, now: Instant, trigger_id: str) -> Row:
        """Take a trigger back."""
        trigger = self._active_one(trigger_id)
        self._end(trigger, GttStatus.DELETED, now)
        return {"trigger_id": trigger.trigger_id}

    def triggers(self, now: Instant) -> list[Row]:
        """Active triggers, and those of the last seven days."""
        return [
            self._row(each)
            for each in self._triggers.values()
            if each.status is GttStatus.ACTIVE or now - each.updated_at < _LISTED_AFTER_END
        ]

    def trigger(self, trigger_id: str) -> Row:
        """One trigger, however old."""
        return self._row(self._find(trigger_id))

    # ── time and prices ──────────────────────────────────────────────────────────────────────

    def advance(self, now: Instant, last_price: LastPrice) -> None:
        """Fire what a price has reached, let lapse what is too old."""
        for trigger in list(self._active.values()):
            if now >= trigger.expires_at:
                self._end(trigger, GttStatus.EXPIRED, now)
                continue
            instrument = trigger.instrument
            market = self._desk.floor.markets.get(instrument.id)
            session = market.session if market is not None else None
            if session is None or session.phase_at(now) is not PhaseKind.CONTINUOUS:
                continue
            px = last_price(instrument.id)
            nth = trigger.reached(px) if px > Price(0) else None
            if nth is not None:
                self._fire(trigger, nth, px, now)

    def _fire(self, trigger: Trigger, nth: int, px: Price, now: Instant) -> None:
        order = trigger.orders[nth]
        form = Form(
            {
                "exchange": trigger.instrument.exchange,
                "tradingsymbol": trigger.instrument.symbol,
                "transaction_type": order.side,
                "quantity": str(order.quantity),
                "product": order.product,
                "order_type": "LIMIT",
                "validity": "DAY",
                "price": str(number(int(order.price))),
            }
        )
        try:
            order_id = self._desk.place_one(now, "regular", form)
            result = {"status": "success", "order_id": order_id, "rejection_reason": ""}
        except KiteError as error:
            result = {"status": "failed", "order_id": "", "rejection_reason": error.message}
        desk = self._desk
        named = {"app_id": desk.app_id, "gtt": trigger.trigger_id}
        trigger.results[nth] = {
            "account_id": desk.user_id,
            **_order_row(trigger.instrument, order),
            "validity": "DAY",
            "meta": json.dumps(named, separators=(",", ":")),
            "timestamp": kite_time(now),
            "triggered_at": number(int(px)),
            "order_result": result,
        }
        self._end(trigger, GttStatus.TRIGGERED, now)

    def _end(self, trigger: Trigger, status: GttStatus, now: Instant) -> None:
        trigger.status, trigger.updated_at = status, now
        del self._active[trigger.trigger_id]

    # ── reading and showing ──────────────────────────────────────────────────────────────────

    def _find(self, trigger_id: str) -> Trigger:
        known = trigger_id.isascii() and trigger_id.isdigit() and len(trigger_id) < 19
        trigger = self._triggers.get(int(trigger_id)) if known else None
        if trigger is None:
            raise general_error("Trigger not found.", 404)
        return trigger

    def _active_one(self, trigger_id: str) -> Trigger:
        trigger = self._find(trigger_id)
        if trigger.status is not GttStatus.ACTIVE:
            raise input_error(f"The trigger is {trigger.status.value}, not active.")
        return trigger

    def _read(self, form: Form, trigger_id: int, created_at: Instant, now: Instant) -> Trigger:
        two_legs = form.choice("type", _TYPES) == "two-leg"
        condition = object_at(form.text("condition", at_most=20_000), "condition")
        rows = objects_at(form.text("orders", at_most=20_000), "orders")
        exchange, symbol = text_at(condition, "exchange"), text_at(condition, "tradingsymbol")
        instrument = self._desk.listing.find(exchange, symbol)
        if instrument is None or not instrument.tradable:
            raise input_error("Invalid `tradingsymbol` in `condition`.")
        listed = condition.get("trigger_values")
        count = 2 if two_legs else 1
        if not isinstance(listed, list) or len(listed) != count:
            raise input_error(f"Invalid `trigger_values`: {count} expected.")
        if len(rows) != count:
            raise input_error(f"Invalid `orders`: {count} expected, one per trigger value.")
        values = tuple(_price_in({"trigger_values": each}, "trigger_values") for each in listed)
        last_px = _price_in(condition, "last_price")
        self._demand_apart(values, last_px)
        orders = tuple(self._read_order(row, instrument) for row in rows)
        if two_legs:
            self._demand_leg_rules(instrument, orders)
        return Trigger(
            trigger_id=trigger_id,
            two_legs=two_legs,
            instrument=instrument,
            last_px=last_px,
            values=values,
            orders=orders,
            created_at=created_at,
            updated_at=now,
            expires_at=now + _VALID,
            results=[None] * count,
        )

    def _demand_apart(self, values: tuple[Price, ...], last_px: Price) -> None:
        if len(values) == 2 and values[0] >= last_px:
            raise input_error(
                "Trigger cannot be created with the first trigger price more than the last price."
            )
        if len(values) == 2 and values[1] <= last_px:
            raise input_error(
                "Trigger cannot be created with the second trigger price less than the last price."
            )
        for value in values:
            apart = abs(int(value - last_px))
            if not apart or apart * 10_000 < int(last_px) * self._settings.gtt_distance_bp:
                raise input_error("Trigger already met, or too close to the last price.")

    def _read_order(self, row: Row, instrument: Instrument) -> GttOrder:
        named = (text_at(row, "exchange"), text_at(row, "tradingsymbol"))
        if named != (instrument.exchange, instrument.symbol):
            raise input_error("Invalid `orders`: they trade the instrument of the condition.")
        if text_at(row, "order_type") != "LIMIT":
            raise input_error("Invalid `order_type`: triggers place LIMIT orders only.")
        side, product = text_at(row, "transaction_type"), text_at(row, "product")
        if side not in ("BUY", "SELL"):
            raise input_error("Invalid `transaction_type`.")
        if product not in _PRODUCTS:
            raise input_error("Invalid `product`: CNC, NRML or MTF.")
        quantity = number_at(row, "quantity")
        if quantity != int(quantity) or not 1 <= quantity <= 10**9:
            raise input_error("Invalid `quantity`.")
        return GttOrder(side, int(quantity), product, _price_in(row, "price"))

    def _demand_leg_rules(self, instrument: Instrument, orders: tuple[GttOrder, ...]) -> None:
        """Two legs buy in futures and options only, and index contracts are carried (NRML)."""
        derivative = instrument.expiry is not None
        for order in orders:
            if order.side == "BUY" and not derivative:
                raise input_error("Two-leg buy triggers are allowed in futures and options only.")
            index_contract = instrument.name in self._desk.floor.rules.index_names
            if derivative and index_contract and order.product != "NRML":
                raise input_error("Two-leg triggers of index contracts are NRML only.")

    def _row(self, trigger: Trigger) -> Row:
        instrument = trigger.instrument
        return {
            "id": trigger.trigger_id,
            "user_id": self._desk.user_id,
            "parent_trigger": None,
            "type": "two-leg" if trigger.two_legs else "single",
            "created_at": kite_time(trigger.created_at),
            "updated_at": kite_time(trigger.updated_at),
            "expires_at": kite_time(trigger.expires_at),
            "status": trigger.status.value,
            "condition": {
                "exchange": instrument.exchange,
                "last_price": number(int(trigger.last_px)),
                "tradingsymbol": instrument.symbol,
                "trigger_values": [number(int(value)) for value in trigger.values],
                "instrument_token": instrument.token,
            },
            "orders": [
                {**_order_row(instrument, order), "result": result}
                for order, result in zip(trigger.orders, trigger.results, strict=True)
            ],
            "meta": {},
        }


def _order_row(instrument: Instrument, order: GttOrder) -> Row:
    return {
        "exchange": instrument.exchange,
        "tradingsymbol": instrument.symbol,
        "product": order.product,
        "order_type": "LIMIT",
        "transaction_type": order.side,
        "quantity": order.quantity,
        "price": number(int(order.price)),
    }


def _price_in(row: Row, name: str) -> Price:
    units = round(number_at(row, name) * UNITS_PER_RUPEE)
    if not 0 < units <= 10**13:
        raise input_error(f"Invalid `{name}`: a price above zero is expected.")
    return Price(units)
