"""How much money an order ties up: a simple, stated model of a broker's margin.

Real SPAN margins come from the clearing corporation's daily files. These are round numbers near
them, in basis points of what is traded, so that a paper account runs out of money about when a
real one would. Margin is per unit of quantity, in whole units of 1/10 000 rupee, rounded up.
"""

from __future__ import annotations

import msgspec

from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product, Side


class MarginRates(msgspec.Struct, frozen=True, kw_only=True):
    """Margins in basis points of notional value (price × multiplier).

    Long options cost their whole premium. Short options block ``short_option_*`` of the strike,
    which stands for the underlying's value, plus the premium: near SPAN plus exposure for options
    around the money, too much for those far out of it.
    """

    future_mis_bp: int = 1_200
    future_nrml_bp: int = 1_500
    equity_mis_bp: int = 2_000
    equity_cnc_bp: int = 10_000
    short_option_mis_bp: int = 1_200
    short_option_nrml_bp: int = 1_500


def unit_margins(
    rates: MarginRates, instrument: Instrument, product: Product, px: Price
) -> tuple[Money, Money]:
    """Margin of one unit bought and of one unit sold short, at a price."""
    kind, multiplier = instrument.kind, instrument.multiplier
    notional = int(px) * multiplier
    if kind is InstrumentKind.FUTURE:
        bp = rates.future_mis_bp if product is Product.MIS else rates.future_nrml_bp
        each = Money(-(-notional * bp // 10_000))
        return each, each
    if kind is InstrumentKind.EQUITY:
        bp = rates.equity_mis_bp if product is Product.MIS else rates.equity_cnc_bp
        each = Money(-(-notional * bp // 10_000))
        return each, each
    underlying = int(instrument.strike or px) * multiplier
    bp = rates.short_option_mis_bp if product is Product.MIS else rates.short_option_nrml_bp
    return Money(notional), Money(notional - (-underlying * bp // 10_000))


class StatedMargins:
    """The account's own margins, for whoever wants to know them before sending an order."""

    def __init__(self, rates: MarginRates | None = None) -> None:
        self._rates = rates or MarginRates()

    def unit_margin(self, instrument: Instrument, product: Product, side: Side, px: Price) -> Money:
        """Rupees per unit of quantity for a position opened by ``side`` at ``px``."""
        long_unit, short_unit = unit_margins(self._rates, instrument, product, px)
        return long_unit if side is Side.BUY else short_unit
