"""What cover and iceberg orders send after their first order: the stop behind a fill, the next leg."""

from __future__ import annotations

import msgspec

from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType, Side
from kitestring.exchange.desk.order_rows import OrderState, Row
from kitestring.exchange.desk.order_ticket import OrderTicket
from kitestring.exchange.floor import TradingFloor
from kitestring.exchange.rules import protected_px
from kitestring.market.order_rule_rows import OrderRules


def stop_leg(
    ticket: OrderTicket, quantity: int, floor: TradingFloor, rules: OrderRules
) -> OrderTicket:
    """The stop behind one fill of a cover order's first leg.

    SL-M where the exchange still has it; otherwise SL, with a limit as far behind the trigger as
    the automatic market protection reaches.
    """
    instrument, side = ticket.instrument, ticket.side.opposite
    kind, price = OrdType.SL_M, Price(0)
    if not rules.stop_market_allowed(instrument.exchange, instrument.kind):
        kind = OrdType.SL
        price = protected_px(floor.rules, instrument, ticket.trigger_price, 0, buy=side is Side.BUY)
    return msgspec.structs.replace(
        ticket,
        side=side,
        quantity=quantity,
        order_type=kind,
        price=price,
        protection_bp=0,
        disclosed=0,
    )


def market_exit(stop: OrderTicket) -> OrderTicket:
    """What closes a cover order's fill when its stop cannot stand."""
    return msgspec.structs.replace(
        stop, order_type=OrdType.MARKET, price=Price(0), trigger_price=Price(0), protection_bp=0
    )


def next_leg(ticket: OrderTicket, last: OrderState) -> OrderTicket:
    """The ticket of an iceberg's next leg: as the client asked, at the price last shown."""
    if ticket.order_type is OrdType.MARKET:
        return ticket
    return msgspec.structs.replace(ticket, price=Price(last.price))


def leg_meta(ticket: OrderTicket, leg: int, leg_quantity: int, remaining: int) -> Row:
    """``meta.iceberg`` of a leg: how far the whole order has come with it."""
    return {
        "iceberg": {
            "leg": leg,
            "legs": ticket.iceberg_legs,
            "leg_quantity": leg_quantity,
            "total_quantity": ticket.quantity,
            "remaining_quantity": remaining,
        }
    }
