"""What a change asks of an order, taken over alike when it arrives and when a ledger is read back."""

from __future__ import annotations

from kitestring.domain.instants import Instant
from kitestring.domain.orders import OrdType, TimeInForce
from kitestring.exchange.order_book import ExchangeOrder, Request, Status

Terms = tuple[TimeInForce, int, Instant, int, int]
"""Validity, its minutes and end, disclosed quantity, protection."""


def terms_of(order: ExchangeOrder) -> Terms:
    """What a refused change must give back, besides quantity, kind and prices."""
    return (
        order.validity,
        order.ttl_minutes,
        order.lapses_at,
        order.disclosed_qty,
        order.protection_bp,
    )


def restore_terms(order: ExchangeOrder, terms: Terms) -> None:
    """Give an order its terms back."""
    validity, order.ttl_minutes, order.lapses_at, order.disclosed_qty, order.protection_bp = terms
    order.validity = validity


def change_order(order: ExchangeOrder, request: Request) -> None:
    """Make the order what a change asks for; what it leaves out stays."""
    order.qty = request.qty or order.qty
    if request.ord_type is not None:
        order.ord_type = request.ord_type
    elif order.status is Status.OPEN and order.ord_type in (OrdType.SL, OrdType.SL_M):
        order.ord_type = OrdType.LIMIT  # its trigger is behind it
    order.limit_px = request.limit_px or order.limit_px
    order.stop_px = request.stop_px or order.stop_px
    change_terms(order, request)


def change_terms(order: ExchangeOrder, request: Request) -> None:
    """The part of a change that its answer in the ledger does not repeat."""
    if request.validity is not None or request.ttl_minutes:
        order.validity = request.validity or TimeInForce.DAY
        order.ttl_minutes = request.ttl_minutes
    order.disclosed_qty = request.disclosed_qty or order.disclosed_qty
    if request.protection_bp is not None:
        order.protection_bp = request.protection_bp
