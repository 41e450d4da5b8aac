"""What a client asks for when it places an order: every parameter read, checked and refused by name.

Parameters: kite.trade/docs/connect/v3/orders. What is refused here never becomes an order; lots,
ticks, bands, margin and phases are judged after acceptance and turn the order REJECTED instead.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Price
from kitestring.domain.orders import OrdType, Product, Side
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.rules import judge_instrument
from kitestring.market.order_rule_rows import OrderRules

VARIETIES: Final = ("regular", "amo", "co", "iceberg", "auction")
EXCHANGES: Final = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")
PRODUCTS: Final = ("CNC", "NRML", "MIS", "MTF")
VALIDITIES: Final = ("DAY", "IOC", "TTL")
ORDER_TYPES: Final = tuple(kind.value for kind in OrdType)
SIDES: Final = ("BUY", "SELL")
QUANTITY_MAX: Final = 10**9
TTL_MAX: Final = 24 * 60
_DERIVATIVE_EXCHANGES: Final = frozenset({"NFO", "BFO", "CDS", "BCD", "MCX", "NCO"})

UNPROTECTED: Final = (
    "Market orders without market protection are not allowed via API."
    " Please set market protection or use a Limit order."
)
"""Zerodha's sentence since 1 Apr 2026 (kite.trade forum, 15912)."""

NOT_GIVEN: Final = -1
"""Market protection that was not sent; 0 stands for the automatic band."""


class OrderTicket(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted request. ``protection_bp``: 0 automatic, ``NOT_GIVEN`` none."""

    variety: str
    instrument: Instrument
    side: Side
    quantity: int
    product: str
    order_type: OrdType
    price: Price
    trigger_price: Price
    validity: str
    ttl: int
    disclosed: int
    protection_bp: int
    tag: str | None
    autoslice: bool = False
    auction_number: str = ""
    iceberg_legs: int = 0
    leg_quantity: int = 0

    @property
    def floor_product(self) -> Product:
        """The floor knows three products: MTF is delivery there, CO intraday."""
        if self.product == "MTF":
            return Product.CNC
        return Product.MIS if self.product == "CO" else Product(self.product)

    @property
    def protected(self) -> bool:
        """Whether the client gave market protection for an order that needs it."""
        needs = self.order_type in (OrdType.MARKET, OrdType.SL_M)
        return needs and self.protection_bp != NOT_GIVEN


def protection_in(form: Form) -> int:
    """``market_protection`` in basis points: −1 is automatic (0 here), absent or 0 is none given."""
    percent = form.number("market_protection", Decimal(0))
    if percent == -1:
        return 0
    if not 0 <= percent <= 100:
        raise input_error("Invalid `market_protection`: -1, or a percentage from 0 to 100.")
    if not percent:
        return NOT_GIVEN
    return max(int(percent * 100), 1)


def demand_protection(rules: OrderRules, order_type: OrdType, protection_bp: int) -> None:
    """MARKET and SL-M need it through the API since 1 Apr 2026."""
    if (
        rules.market_protection_required
        and order_type in (OrdType.MARKET, OrdType.SL_M)
        and protection_bp == NOT_GIVEN
    ):
        raise input_error(UNPROTECTED)


def ttl_in(form: Form, validity: str) -> int:
    """Minutes to live, which TTL needs and nothing else uses."""
    if validity != "TTL":
        return 0
    return form.whole("validity_ttl", at_least=1, at_most=TTL_MAX)


def disclosed_in(form: Form, instrument: Instrument, quantity: int) -> int:
    """``disclosed_quantity``: shares only, and no less than the exchange's tenth of the order."""
    disclosed = form.whole("disclosed_quantity", 0, at_most=QUANTITY_MAX)
    if not disclosed or disclosed == quantity:
        return disclosed
    if instrument.kind is not InstrumentKind.EQUITY:
        raise input_error("Disclosed quantity is not allowed for this instrument.")
    if disclosed > quantity or disclosed * 10 < quantity:
        raise input_error("Disclosed quantity should be from 10% to 100% of the quantity.")
    return disclosed


def read_ticket(
    form: Form, variety: str, listing: Listing, rules: OrderRules, *, by_api: bool
) -> OrderTicket:
    """The ticket a form makes; raises ``KiteError`` where it makes none."""
    if variety not in VARIETIES:
        raise input_error("Invalid `variety`.")
    exchange = form.choice("exchange", EXCHANGES)
    symbol = form.text("tradingsymbol", at_most=64)
    side = Side(form.choice("transaction_type", SIDES))
    order_type = OrdType(form.choice("order_type", ORDER_TYPES))
    quantity = form.whole("quantity", at_least=1, at_most=QUANTITY_MAX)
    product = form.choice("product", PRODUCTS)
    validity = form.choice("validity", VALIDITIES, "DAY")
    instrument = listing.find(exchange, symbol)
    if instrument is None or not instrument.tradable:
        raise input_error(judge_instrument(instrument, None) or "Invalid `tradingsymbol`.")
    limited = order_type in (OrdType.LIMIT, OrdType.SL)
    stopped = order_type in (OrdType.SL, OrdType.SL_M) or variety == "co"
    price = form.price("price") if limited else Price(0)
    trigger_price = form.price("trigger_price") if stopped else Price(0)
    if limited and not price:
        raise input_error("Invalid `price`: LIMIT and SL orders need one.")
    if stopped and not trigger_price:
        raise input_error("Invalid `trigger_price`: SL, SL-M and cover orders need one.")
    protection_bp = protection_in(form)
    if by_api:
        demand_protection(rules, order_type, protection_bp)
        if validity == "IOC" and exchange in rules.ioc_refused_exchanges:
            raise input_error(f"IOC orders are not allowed on {exchange} via API.")
    tag = form.text("tag", "")
    if len(tag) > rules.tag_length_max:
        raise input_error(
            f"Invalid `tag`. It should be at most {rules.tag_length_max} characters long."
        )
    form.text("algo_id", "")
    ticket = OrderTicket(
        variety=variety,
        instrument=instrument,
        side=side,
        quantity=quantity,
        product=product,
        order_type=order_type,
        price=price,
        trigger_price=trigger_price,
        validity=validity,
        ttl=ttl_in(form, validity),
        disclosed=disclosed_in(form, instrument, quantity),
        protection_bp=protection_bp,
        tag=tag or None,
        autoslice=form.flag("autoslice"),
    )
    return _of_variety(form, ticket)


def _of_variety(form: Form, ticket: OrderTicket) -> OrderTicket:
    variety, market = ticket.variety, ticket.order_type in (OrdType.MARKET, OrdType.LIMIT)
    if ticket.autoslice and variety not in ("regular", "amo"):
        raise input_error(f"Autoslice is not available for {variety} orders.")
    if variety == "co":
        if ticket.product != "MIS":
            raise input_error("Invalid `product`: cover orders are intraday (MIS).")
        if not market:
            raise input_error("Invalid `order_type`: cover orders are MARKET or LIMIT.")
        if ticket.validity != "DAY":
            raise input_error("Invalid `validity`: cover orders are valid for the day.")
        return msgspec.structs.replace(ticket, product="CO")
    if variety == "iceberg":
        return _iceberg(form, ticket)
    if variety == "auction":
        if ticket.side is not Side.SELL or ticket.product != "CNC":
            raise input_error("Auction orders are CNC sell orders.")
        if ticket.order_type is not OrdType.LIMIT:
            raise input_error("Invalid `order_type`: auction orders are LIMIT orders.")
        if ticket.instrument.exchange in _DERIVATIVE_EXCHANGES:
            raise input_error("Invalid `exchange`: only shares are auctioned.")
        number = form.text("auction_number", at_most=20)
        return msgspec.structs.replace(ticket, auction_number=number)
    return ticket


def _iceberg(form: Form, ticket: OrderTicket) -> OrderTicket:
    """2 to 50 legs (kite.trade/docs/connect/v3/orders); the last one takes what is left."""
    legs = form.whole("iceberg_legs")
    if not 2 <= legs <= 50:
        raise input_error("Invalid `iceberg_legs`: from 2 to 50 legs are allowed.")
    if ticket.order_type not in (OrdType.MARKET, OrdType.LIMIT):
        raise input_error("Invalid `order_type`: iceberg orders are MARKET or LIMIT.")
    if ticket.validity == "IOC":
        raise input_error("Invalid `validity`: iceberg orders are DAY or TTL.")
    lot = ticket.instrument.lot_size
    even = -(-ticket.quantity // (legs * lot)) * lot
    leg_quantity = form.whole("iceberg_quantity", even, at_least=1, at_most=QUANTITY_MAX)
    if not leg_quantity * (legs - 1) < ticket.quantity <= leg_quantity * legs:
        raise input_error(
            "Invalid `iceberg_quantity`: it should be the quantity divided by the legs."
        )
    return msgspec.structs.replace(ticket, iceberg_legs=legs, leg_quantity=leg_quantity)
