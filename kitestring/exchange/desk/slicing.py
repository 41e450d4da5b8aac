"""One order above the freeze quantity cut into several that the exchange accepts.

Kite's ``autoslice`` (kite.trade/docs/connect/v3/orders): at most ten slices, refused for a quantity
that needs none. Slices stand alone; one that the money does not reach for fails by itself.
"""

from __future__ import annotations

from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.orders import Product
from kitestring.exchange.account import Account
from kitestring.exchange.desk.kite_error import input_error


def slices_of(instrument: Instrument, quantity: int, slices_max: int) -> list[int]:
    """The quantities of the slices; raises ``KiteError`` where there is nothing to slice."""
    lot = instrument.lot_size
    largest = instrument.freeze_qty // lot * lot
    if not largest:
        raise input_error(f"Order slicing is not available for {instrument.symbol}.")
    if quantity <= largest:
        raise input_error(
            f"Quantity should be greater than or equal to {largest + lot} for order slicing."
        )
    whole, rest = divmod(quantity, largest)
    sizes = [largest] * min(whole, slices_max + 1)
    if rest:
        sizes.append(rest)
    if len(sizes) > slices_max:
        raise input_error(
            f"Quantity should be at most {largest * slices_max} for order slicing:"
            f" {slices_max} slices are allowed."
        )
    return sizes


def unaffordable(
    account: Account,
    instrument: Instrument,
    product: Product,
    sizes: list[int],
    px: Price,
    *,
    buy: bool,
) -> list[str | None]:
    """For each slice in turn, why the account's money does not reach for it; nothing stays tied up."""
    position = account.position(instrument, product)
    return account.would_refuse(position, sizes, px, buy=buy)
