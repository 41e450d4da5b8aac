"""The orders of a calculator's JSON body, read with care: whatever is not an order is refused.

The three calculators are the only routes of Kite with JSON bodies: lists of orders that need not
exist (kite.trade/docs/connect/v3/margins).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import OrdType, Product, Side
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.portfolio import products_of
from kitestring.exchange.desk.prices import Quotes, last_or_close

ITEMS_MAX: Final = 200
"""Kite names no limit; a body beyond this is a slip."""
_QUANTITY_MAX: Final = 10**8
_INTEGER_MAX: Final = 10**15
_VARIETIES: Final = ("regular", "amo", "co", "iceberg", "auction")
_SIDES: Final = tuple(side.value for side in Side)
_ORDER_TYPES: Final = tuple(kind.value for kind in OrdType)


class OrderItem(msgspec.Struct, frozen=True, kw_only=True):
    """One imagined order. ``px`` is what it would trade at."""

    instrument: Instrument
    side: Side
    variety: str
    product: Product
    ord_type: OrdType
    qty: int
    px: Price

    @property
    def buy(self) -> bool:
        """Whether it buys."""
        return self.side is Side.BUY

    @property
    def value(self) -> Money:
        """What it would trade for."""
        return self.px * (self.qty * self.instrument.multiplier)


def read_items(
    items: object, listing: Listing, quotes: Quotes, *, traded: bool = False
) -> list[OrderItem]:
    """A body's orders; ``traded`` ones carry an ``average_price``. Raises ``InputException`` only."""
    if not isinstance(items, list) or not items:
        raise input_error("A JSON list of orders is expected.")
    if len(items) > ITEMS_MAX:
        raise input_error(f"Too many orders: at most {ITEMS_MAX} are expected.")
    return [_item(_form(item), listing, quotes, traded=traded) for item in items]


def _form(item: object) -> Form:
    """The order's values as texts: what clients send as a number others send as text."""
    if not isinstance(item, dict):
        raise input_error("An order must be a JSON object.")
    pairs: list[tuple[str, str]] = []
    for name, value in item.items():
        if value is None or not isinstance(name, str):
            continue
        if isinstance(value, int) and abs(value) > _INTEGER_MAX:
            raise input_error(f"Invalid `{name[:40]}`.")
        if not isinstance(value, str | int | float | Decimal):
            raise input_error(f"Invalid `{name[:40]}`: a text or a number is expected.")
        pairs.append((name, str(value)))
    return Form(pairs)


def _item(form: Form, listing: Listing, quotes: Quotes, *, traded: bool) -> OrderItem:
    instrument = listing.find(form.text("exchange"), form.text("tradingsymbol"))
    if instrument is None or not instrument.tradable:
        raise input_error("Invalid `tradingsymbol`.")
    product = form.choice("product", [each.value for each in Product])
    if product not in products_of(instrument):
        raise input_error(f"Invalid `product`: {product} is not offered for {instrument.symbol}.")
    ord_type = OrdType(form.choice("order_type", _ORDER_TYPES))
    if traded:
        px = form.price("average_price")
    elif ord_type in (OrdType.LIMIT, OrdType.SL):
        px = form.price("price")
    else:
        stop_px = form.price("trigger_price", Price(0)) if ord_type is OrdType.SL_M else Price(0)
        px = stop_px or last_or_close(quotes, instrument.id) or form.price("price", Price(0))
    if not px:
        name = "average_price" if traded else "price"
        raise input_error(f"Invalid `{name}`: a price above zero is expected.")
    return OrderItem(
        instrument=instrument,
        side=Side(form.choice("transaction_type", _SIDES)),
        variety=form.choice("variety", _VARIETIES, "regular"),
        product=Product(product),
        ord_type=ord_type,
        qty=form.whole("quantity", at_least=1, at_most=_QUANTITY_MAX),
        px=px,
    )
