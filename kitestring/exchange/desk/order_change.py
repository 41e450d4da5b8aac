"""What a modification asks of an order: its parameters read and judged before they travel.

Parameters and limits: kite.trade/docs/connect/v3/orders (modify). Whether ``quantity`` after a
partial fill means the whole order or its rest is documented nowhere; here it is the whole order.
"""

from __future__ import annotations

from typing import Final

from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import input_error, order_error
from kitestring.exchange.desk.order_rows import Change, OrderRecord
from kitestring.exchange.desk.order_status import OrderStatus
from kitestring.exchange.desk.order_ticket import (
    NOT_GIVEN,
    ORDER_TYPES,
    QUANTITY_MAX,
    VALIDITIES,
    demand_protection,
    disclosed_in,
    protection_in,
    ttl_in,
)
from kitestring.market.order_rule_rows import OrderRules

_LIMITED: Final = (OrdType.LIMIT, OrdType.SL)
_STOPPED: Final = (OrdType.SL, OrdType.SL_M)


def gone(order_id: str) -> str:
    """Kite's sentence for an order that is not there, or no more (kite.trade forum, 48691)."""
    return f"The order for ID ({order_id}) does not exist."


def demand_changeable(order: OrderRecord, verb: str) -> None:
    """Refuse while an earlier request is on its way (kite.trade forum, 27399), or after the end."""
    status = order.status
    if status.over:
        raise order_error(gone(order.order_id))
    if not status.resting:
        raise order_error(f"Order cannot be {verb} as it is being processed, try again later.")


def read_change(form: Form, order: OrderRecord, rules: OrderRules, *, by_api: bool) -> Change:
    """The change a form asks for; raises ``KiteError`` where it asks for nothing possible."""
    state, ticket = order.state, order.ticket
    quantity = form.whole("quantity", 0, at_most=QUANTITY_MAX)
    price = form.price("price", Price(0))
    trigger_price = form.price("trigger_price", Price(0))
    kind = _kind_asked(form, order, price)
    protection_bp = protection_in(form)
    becomes_market = kind in (OrdType.MARKET, OrdType.SL_M) and kind is not order.kind
    if becomes_market and by_api:
        demand_protection(rules, kind, protection_bp)
    if ticket.variety == "co":
        _demand_cover_change(order, kind, quantity, trigger_price)
    if ticket.variety == "iceberg" and quantity not in (0, state.quantity):
        raise input_error(
            "Invalid `quantity`: the quantity of an iceberg order cannot be modified."
        )
    if kind in _LIMITED and not (price or state.price):
        raise input_error("Invalid `price`: LIMIT and SL orders need one.")
    if kind in _STOPPED and not (trigger_price or state.trigger_price):
        raise input_error("Invalid `trigger_price`: SL and SL-M orders need one.")
    validity = form.choice("validity", VALIDITIES, state.validity)
    if validity == "IOC" and by_api and ticket.instrument.exchange in rules.ioc_refused_exchanges:
        raise input_error(f"IOC orders are not allowed on {ticket.instrument.exchange} via API.")
    ttl = state.ttl
    if validity != state.validity or "validity_ttl" in form:
        ttl = ttl_in(form, validity)
    return Change(
        kind=kind,
        quantity=quantity,
        price=price if kind in _LIMITED else Price(0),
        trigger_price=trigger_price if kind in _STOPPED else Price(0),
        validity=validity,
        ttl=ttl,
        disclosed=_disclosed(form, ticket.instrument, quantity or state.quantity, state.disclosed),
        protection_bp=protection_bp if protection_bp != NOT_GIVEN else order.protection_bp,
        to_market=kind is OrdType.MARKET and "order_type" in form,
    )


def _disclosed(form: Form, instrument: Instrument, quantity: int, before: int) -> int:
    if "disclosed_quantity" not in form:
        return min(before, quantity)
    return disclosed_in(form, instrument, quantity)


def _kind_asked(form: Form, order: OrderRecord, price: Price) -> OrdType:
    if "order_type" in form:
        return OrdType(form.choice("order_type", ORDER_TYPES))
    if order.kind is OrdType.MARKET and price and order.status is not OrderStatus.AMO_RECEIVED:
        return OrdType.LIMIT  # the book shows it as the LIMIT it became
    if order.triggered and order.kind in _STOPPED:
        return OrdType.LIMIT
    return order.kind


def _demand_cover_change(
    order: OrderRecord, kind: OrdType, quantity: int, trigger_price: Price
) -> None:
    """Price of the first leg, trigger of the second: a cover order lets nothing else be changed."""
    if kind is not order.kind:
        raise order_error("The order type of a cover order cannot be modified.")
    if quantity not in (0, order.state.quantity):
        raise order_error("The quantity of a cover order cannot be modified.")
    first_leg = order.parent_order_id is None
    if first_leg and trigger_price and int(trigger_price) != order.state.trigger_price:
        raise order_error("Modify the second leg of the cover order to move its trigger price.")
