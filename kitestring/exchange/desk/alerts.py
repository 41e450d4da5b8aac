"""Price alerts, and alerts that place orders (ATO), as Kite keeps them at the broker.

Routes, objects and limits: kite.trade/docs/connect/v3/alerts and the official samples alerts_*.json.
An alert fires when its comparison becomes true, and again only after it has been false; one with a
basket fires once and is then disabled, as the samples show. Both are taken from samples, not rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import UNITS_PER_RUPEE, Price
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.gtt import LastPrice
from kitestring.exchange.desk.json_text import number_at, object_at, text_at
from kitestring.exchange.desk.kite_error import KiteError, general_error, input_error
from kitestring.exchange.desk.kite_time import kite_time
from kitestring.exchange.desk.order_desk import OrderDesk
from kitestring.exchange.desk.order_rows import Row, number

QuoteOf = Callable[[InstrumentId], Mapping[str, object]]
"""The ``/quote`` row of an instrument, for an alert's history; may be empty."""

_TYPES: Final = ("simple", "ato")
_EXCHANGES: Final = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "INDICES")
_OPERATORS: Final = ("<=", ">=", "<", ">", "==")
_ATTRIBUTES: Final = ("LastTradedPrice",)
_STATUSES: Final = ("enabled", "disabled", "deleted")
_INDEX_HOMES: Final = ("NSE", "BSE", "MCX")
_BASKET_MAX: Final = 20
_SNAPSHOT: Final = (
    "last_quantity",
    "buy_quantity",
    "sell_quantity",
    "volume",
    "average_price",
    "oi",
    "oi_day_high",
    "oi_day_low",
    "lower_circuit_limit",
    "upper_circuit_limit",
)


class Operand(msgspec.Struct, frozen=True):
    """One side of the comparison that is an instrument's price."""

    exchange: str
    symbol: str
    attribute: str
    instrument: Instrument


class Alert(msgspec.Struct, kw_only=True):
    """One alert and how often it has fired."""

    uuid: str
    type: str
    name: str
    lhs: Operand
    operator: str
    rhs: Operand | None
    rhs_constant: Decimal
    basket: Row | None
    forms: tuple[tuple[str, Form], ...]
    """The basket's orders, ready to place: variety and form."""
    created_at: Instant
    updated_at: Instant
    status: str = "enabled"
    count: int = 0
    was_true: bool = False
    history: list[Row] = msgspec.field(default_factory=list)


class AlertBook:
    """The account's alerts. Prices are looked at in ``advance``."""

    def __init__(self, desk: OrderDesk, quote_of: QuoteOf | None = None) -> None:
        self._desk = desk
        self._quote_of = quote_of
        self._alerts: dict[str, Alert] = {}
        self._made = 0
        self._items = 0

    next_due_at: Instant = NEVER
    """Alerts wait for prices only, never for a time."""

    def watched(self) -> set[InstrumentId]:
        """The instruments whose prices are waited for."""
        operands = [
            operand
            for alert in self._alerts.values()
            if alert.status == "enabled"
            for operand in (alert.lhs, alert.rhs)
        ]
        return {operand.instrument.id for operand in operands if operand is not None}

    # ── routes ───────────────────────────────────────────────────────────────────────────────

    def create(self, now: Instant, form: Form) -> Row:
        """Make an alert."""
        limit = self._desk.settings.alerts_max
        if sum(alert.status != "deleted" for alert in self._alerts.values()) >= limit:
            raise input_error(f"Maximum allowed alerts ({limit}) exceeded.")
        alert = self._read(form, self._uuid(), now, now)
        self._made += 1
        self._alerts[alert.uuid] = alert
        return self._row(alert, with_basket=False)

    def modify(self, now: Instant, uuid: str, form: Form) -> Row:
        """Replace an alert: everything is sent again, and it is enabled again."""
        before = self._find(uuid)
        alert = self._read(form, uuid, before.created_at, now)
        alert.count, alert.history = before.count, before.history
        self._alerts[uuid] = alert
        return self._row(alert, with_basket=False)

    def delete(self, now: Instant, uuids: list[str]) -> None:
        """Take alerts back; Kite answers ``null``."""
        if not uuids:
            raise input_error("Missing or empty field `uuid`.")
        for alert in [self._find(uuid) for uuid in uuids]:
            alert.status, alert.updated_at = "deleted", now

    def alerts(self, form: Form) -> list[Row]:
        """The account's alerts; ``status``, ``page`` and ``page_size`` narrow the list."""
        status = form.text("status", "")
        if status and status not in _STATUSES:
            raise input_error("Invalid `status`.")
        page = form.whole("page", 1, at_least=1, at_most=10_000)
        size = form.whole("page_size", 500, at_least=1, at_most=500)
        rows = [
            self._row(alert)
            for alert in self._alerts.values()
            if (alert.status == status if status else alert.status != "deleted")
        ]
        return rows[(page - 1) * size : page * size]

    def alert(self, uuid: str) -> Row:
        """One alert."""
        return self._row(self._find(uuid))

    def history(self, uuid: str) -> list[Row]:
        """When an alert fired, and on what prices; oldest first."""
        return list(self._find(uuid).history)

    # ── prices ───────────────────────────────────────────────────────────────────────────────

    def advance(self, now: Instant, last_price: LastPrice) -> None:
        """Fire what has become true."""
        for alert in self._alerts.values():
            if alert.status != "enabled":
                continue
            left = last_price(alert.lhs.instrument.id)
            right: Decimal = alert.rhs_constant * UNITS_PER_RUPEE
            if alert.rhs is not None:
                right = Decimal(int(last_price(alert.rhs.instrument.id)))
            if left <= Price(0) or right <= 0:
                continue
            is_true = _compare(Decimal(int(left)), alert.operator, right)
            if is_true and not alert.was_true:
                self._fire(alert, now, last_price)
            alert.was_true = is_true

    def _fire(self, alert: Alert, now: Instant, last_price: LastPrice) -> None:
        alert.count += 1
        alert.updated_at = now
        placed: list[Row] = []
        for variety, form in alert.forms:
            try:
                placed.append({"order_id": self._desk.place_one(now, variety, form)})
            except KiteError as error:
                placed.append({"error": error.message})
        if alert.type == "ato":
            alert.status = "disabled"
        operands = (alert.lhs,) if alert.rhs is None else (alert.lhs, alert.rhs)
        alert.history.append(
            {
                "uuid": alert.uuid,
                "type": alert.type,
                "meta": [self._snapshot(each, now, last_price) for each in operands],
                "condition": _condition(alert),
                "created_at": kite_time(now),
                "order_meta": {"orders": placed} if placed else None,
            }
        )

    def _snapshot(self, operand: Operand, now: Instant, last_price: LastPrice) -> Row:
        instrument = operand.instrument
        quote = self._quote_of(instrument.id) if self._quote_of is not None else {}
        last = number(int(last_price(instrument.id)))
        row: Row = {
            "instrument_token": instrument.token,
            "tradingsymbol": instrument.symbol,
            "timestamp": kite_time(now),
            "last_price": last,
            "ohlc": quote.get("ohlc", {"open": 0, "high": 0, "low": 0, "close": 0}),
            "net_change": quote.get("net_change", 0),
            "exchange": operand.exchange,
            "last_trade_time": quote.get("last_trade_time") or "0001-01-01 00:00:00",
            "volume_tick": 0,
        }
        return row | {name: quote.get(name, 0) for name in _SNAPSHOT}

    # ── reading and showing ──────────────────────────────────────────────────────────────────

    def _uuid(self) -> str:
        name = f"{self._desk.floor.seed}|{self._desk.user_id}|alert|{self._made}"
        digest = hashlib.sha256(name.encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"

    def _find(self, uuid: str) -> Alert:
        alert = self._alerts.get(uuid)
        if alert is None or alert.status == "deleted":
            raise general_error("Alert not found.", 404)
        return alert

    def _read(self, form: Form, uuid: str, created_at: Instant, now: Instant) -> Alert:
        kind = form.choice("type", _TYPES, "simple")
        rhs_type = form.choice("rhs_type", ("constant", "instrument"))
        constant = Decimal(0)
        if rhs_type == "constant":
            constant = form.number("rhs_constant")
            if not 0 < constant < 10**9:
                raise input_error("Invalid `rhs_constant`: a price above zero is expected.")
        basket, forms = (None, ()) if kind == "simple" else self._read_basket(form)
        return Alert(
            uuid=uuid,
            type=kind,
            name=form.text("name", at_most=100),
            lhs=self._operand(form, "lhs"),
            operator=form.choice("operator", _OPERATORS),
            rhs=self._operand(form, "rhs") if rhs_type == "instrument" else None,
            rhs_constant=constant,
            basket=basket,
            forms=forms,
            created_at=created_at,
            updated_at=now,
        )

    def _operand(self, form: Form, side: str) -> Operand:
        exchange = form.choice(f"{side}_exchange", _EXCHANGES)
        symbol = form.text(f"{side}_tradingsymbol", at_most=64)
        attribute = form.choice(f"{side}_attribute", _ATTRIBUTES)
        instrument = self._named(exchange, symbol)
        if instrument is None:
            raise input_error(f"Invalid `{side}_tradingsymbol`.")
        return Operand(exchange, symbol, attribute, instrument)

    def _named(self, exchange: str, symbol: str) -> Instrument | None:
        """An instrument; alerts name indices by an exchange of their own."""
        listing = self._desk.listing
        if exchange != "INDICES":
            return listing.find(exchange, symbol)
        for home in _INDEX_HOMES:
            found = listing.find(home, symbol)
            if found is not None and found.kind is InstrumentKind.INDEX:
                return found
        return None

    def _read_basket(self, form: Form) -> tuple[Row, tuple[tuple[str, Form], ...]]:
        basket = object_at(form.text("basket", at_most=50_000), "basket")
        items = basket.get("items")
        if not isinstance(items, list) or not 1 <= len(items) <= _BASKET_MAX:
            raise input_error(f"Invalid `basket`: 1 to {_BASKET_MAX} items are expected.")
        shown: list[Row] = []
        forms: list[tuple[str, Form]] = []
        for item in items:
            params = item.get("params") if isinstance(item, dict) else None
            if not isinstance(params, dict):
                raise input_error("Invalid `basket`: every item needs `params`.")
            exchange, symbol = text_at(item, "exchange"), text_at(item, "tradingsymbol")
            instrument = self._desk.listing.find(exchange, symbol)
            if instrument is None or not instrument.tradable:
                raise input_error("Invalid `basket`: unknown `tradingsymbol`.")
            self._items += 1
            shown.append(
                {
                    "id": self._items,
                    "tradingsymbol": symbol,
                    "exchange": exchange,
                    "instrument_token": instrument.token,
                    "weight": int(number_at(item, "weight", 0)),
                    "params": params,
                }
            )
            forms.append(_form_of(exchange, symbol, params))
        return {"items": shown}, tuple(forms)

    def _row(self, alert: Alert, *, with_basket: bool = True) -> Row:
        rhs = alert.rhs
        constant = number(int(alert.rhs_constant * UNITS_PER_RUPEE))
        row: Row = {
            "type": alert.type,
            "user_id": self._desk.user_id,
            "uuid": alert.uuid,
            "name": alert.name,
            "status": alert.status,
            "disabled_reason": "",
            "lhs_attribute": alert.lhs.attribute,
            "lhs_exchange": alert.lhs.exchange,
            "lhs_tradingsymbol": alert.lhs.symbol,
            "operator": alert.operator,
            "rhs_type": "constant" if rhs is None else "instrument",
            "rhs_attribute": rhs.attribute if rhs is not None else "",
            "rhs_exchange": rhs.exchange if rhs is not None else "",
            "rhs_tradingsymbol": rhs.symbol if rhs is not None else "",
            "rhs_constant": constant,
            "alert_count": alert.count,
            "created_at": kite_time(alert.created_at),
            "updated_at": kite_time(alert.updated_at),
        }
        if with_basket and alert.basket is not None:
            row["basket"] = alert.basket
        return row


def _compare(left: Decimal, operator: str, right: Decimal) -> bool:
    match operator:
        case "<=":
            return left <= right
        case ">=":
            return left >= right
        case "<":
            return left < right
        case ">":
            return left > right
        case _:
            return left == right


def _condition(alert: Alert) -> str:
    lhs, rhs = alert.lhs, alert.rhs
    right = f"{number(int(alert.rhs_constant * UNITS_PER_RUPEE))}"
    if rhs is not None:
        right = f'{rhs.attribute}("{rhs.exchange}:{rhs.symbol}")'
    return f'{lhs.attribute}("{lhs.exchange}:{lhs.symbol}") {alert.operator} {right}'


def _form_of(exchange: str, symbol: str, params: dict[str, object]) -> tuple[str, Form]:
    """An item of a basket as the form that places it; zeros and empty values were not meant."""
    fields = {
        name: str(value)
        for name, value in params.items()
        if isinstance(name, str) and isinstance(value, str | int | float) and value
    }
    fields |= {"exchange": exchange, "tradingsymbol": symbol}
    return fields.pop("variety", "regular"), Form(fields)
