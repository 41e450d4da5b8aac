"""How much money a position or an order ties up: the stated margin model, contract by contract.

Real margins come from the clearing corporations' daily files. These are the floors that those
files start from, in basis points of value, so that a paper account runs out of money about when a
real one would. Shares and a lone future cost a share of their value; an underlying with options,
or with several contracts, is scanned as a whole (``exchange.portfolio_margin``).

Sources: price and volatility scan ranges, calendar charges: nseclearing.in, SPAN risk parameters
(index 9.3 %, 4 % and 1.75 %; stocks 14.2 %, 10 % and 2.2 %). Exposure: 2 % index, 3.5 % stocks.
Since the peak-margin rules MIS costs in futures and options what NRML costs; in shares a fifth.
Commodities and currencies are round numbers of ours: each contract has its own there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product, Side
from kitestring.market.contracts import is_index

BP: Final = 10_000
_CNC: Final = Product.CNC
_MIS: Final = Product.MIS
_COMMODITY_EXCHANGES: Final = frozenset({"MCX", "NCO"})
_CURRENCY_EXCHANGES: Final = frozenset({"CDS", "BCD"})


class UnderlyingRates(msgspec.Struct, frozen=True, kw_only=True):
    """What the scan assumes of one sort of underlying, in basis points (volatility per year)."""

    scan_bp: int
    """How far the price is moved, either way."""
    exposure_bp: int
    """On top, of every future's value and of the underlying's value for every short option."""
    volatility_scan_bp: int
    """How far the volatility is moved, either way, in points of volatility."""
    usual_volatility_bp: int
    """Where an option's own price does not tell its volatility."""
    calendar_bp: int
    """For what is hedged by another expiry, of the smaller side's value."""
    expiry_day_bp: int = 0
    """Extra for short options on the day they expire."""


class MarginRates(msgspec.Struct, frozen=True, kw_only=True):
    """The whole model in numbers."""

    equity_mis_bp: int = 2_000
    equity_cnc_bp: int = 10_000
    index: UnderlyingRates = UnderlyingRates(
        scan_bp=930,
        exposure_bp=200,
        volatility_scan_bp=400,
        usual_volatility_bp=1_400,
        calendar_bp=175,
        expiry_day_bp=200,
    )
    """The 2 % on short index options on expiry day: SEBI, 1 Oct 2024, in force since 20 Nov 2024."""
    stock: UnderlyingRates = UnderlyingRates(
        scan_bp=1_420,
        exposure_bp=350,
        volatility_scan_bp=1_000,
        usual_volatility_bp=2_800,
        calendar_bp=220,
    )
    commodity: UnderlyingRates = UnderlyingRates(
        scan_bp=1_200,
        exposure_bp=300,
        volatility_scan_bp=1_000,
        usual_volatility_bp=2_500,
        calendar_bp=300,
    )
    currency: UnderlyingRates = UnderlyingRates(
        scan_bp=215,
        exposure_bp=100,
        volatility_scan_bp=300,
        usual_volatility_bp=500,
        calendar_bp=60,
    )

    def of(self, instrument: Instrument) -> UnderlyingRates:
        """The rates of the underlying that a future or an option stands for."""
        if instrument.exchange in _COMMODITY_EXCHANGES:
            return self.commodity
        if instrument.exchange in _CURRENCY_EXCHANGES:
            return self.currency
        return self.index if is_index(instrument.name) else self.stock

    def linear_bp(self, instrument: Instrument, product: Product) -> int:
        """What a share or a lone future ties up of its value."""
        if instrument.kind is InstrumentKind.FUTURE:
            rates = self.of(instrument)
            return rates.scan_bp + rates.exposure_bp
        return self.equity_mis_bp if product is _MIS else self.equity_cnc_bp


class Requirement(msgspec.Struct, frozen=True, array_like=True):
    """Money tied up, itemised as Kite's calculators itemise it."""

    span: Money = Money(0)
    exposure: Money = Money(0)
    premium: Money = Money(0)
    """Paid for options held or bid for, less what was received for those sold."""
    additional: Money = Money(0)
    """Of the expiry day."""
    var: Money = Money(0)
    """Of shares, in either product."""

    @property
    def total(self) -> Money:
        """What is tied up in all."""
        return self.span + self.exposure + self.premium + self.additional + self.var

    def plus(self, other: Requirement) -> Requirement:
        """Item by item."""
        return Requirement(
            self.span + other.span,
            self.exposure + other.exposure,
            self.premium + other.premium,
            self.additional + other.additional,
            self.var + other.var,
        )

    def minus(self, other: Requirement) -> Requirement:
        """Item by item; an item that another one makes up for may be negative."""
        return Requirement(
            self.span - other.span,
            self.exposure - other.exposure,
            self.premium - other.premium,
            self.additional - other.additional,
            self.var - other.var,
        )


NOTHING: Final = Requirement()


class Leg:
    """One instrument in one product: what is held, what it cost, what works and at what prices.

    Values are quantity × price × multiplier. ``open_cost`` is negative for a short position;
    ``held`` are shares of the demat account that may be sold for delivery.
    """

    __slots__ = (
        "buy_value",
        "held",
        "instrument",
        "net_qty",
        "open_cost",
        "product",
        "sell_value",
        "working_buy",
        "working_sell",
    )

    def __init__(self, instrument: Instrument, product: Product) -> None:
        self.instrument = instrument
        self.product = product
        self.net_qty = 0
        self.open_cost = Money(0)
        self.working_buy = 0
        self.buy_value = Money(0)
        self.working_sell = 0
        self.sell_value = Money(0)
        self.held = 0

    def copy(self) -> Leg:
        """The same leg, for a question that must change nothing."""
        leg = Leg(self.instrument, self.product)
        leg.net_qty, leg.open_cost, leg.held = self.net_qty, self.open_cost, self.held
        leg.working_buy, leg.buy_value = self.working_buy, self.buy_value
        leg.working_sell, leg.sell_value = self.working_sell, self.sell_value
        return leg

    def add_order(self, qty: int, px: Price, *, buy: bool) -> None:
        """Let one more order work."""
        value = px * (qty * self.instrument.multiplier)
        if buy:
            self.working_buy += qty
            self.buy_value += value
        else:
            self.working_sell += qty
            self.sell_value += value

    def drop_order(self, qty: int, *, buy: bool) -> None:
        """An order, or a part of one, works no more: at the average price of those of its side."""
        if buy:
            self.buy_value -= self.buy_value * qty // self.working_buy
            self.working_buy -= qty
        else:
            self.sell_value -= self.sell_value * qty // self.working_sell
            self.working_sell -= qty

    def fill(self, qty: int, value: Money, *, buy: bool) -> Money:
        """Add a trade to what is held; returns what it realised. A part closes at its share of cost."""
        net = self.net_qty
        signed, cost = (qty, value) if buy else (-qty, -value)
        after = self.net_qty = net + signed
        if net == 0 or (net > 0) is (signed > 0):
            self.open_cost += cost
            return Money(0)
        if (after > 0) is (net > 0) and after != 0:
            closed_cost = self.open_cost * qty // abs(net)
            self.open_cost -= closed_cost
            return -(closed_cost + cost)
        opened = cost * abs(after) // qty  # closed, and perhaps opened the other way
        realised = opened - cost - self.open_cost
        self.open_cost = opened
        return realised

    def linear_value(self) -> Money:
        """The value that margin is taken of: the larger of what may become long and short.

        Each order counts with its own price; one that only closes counts for nothing.
        """
        net, buys, sells = self.net_qty, self.working_buy, self.working_sell
        if self.product is _CNC:
            return self.open_cost + self.buy_value
        if net >= 0:
            long = self.open_cost + self.buy_value
            if sells <= net:
                return long
            return max(long, self.sell_value * (sells - net) // sells)
        short = self.sell_value - self.open_cost
        if buys <= -net:
            return short
        return max(short, self.buy_value * (buys + net) // buys)


def linear_margin(rate_bp: int, value: Money) -> Money:
    """A share of a value, rounded up."""
    return -(-value * rate_bp // BP)


def linear_requirement(rates: MarginRates, leg: Leg) -> Requirement:
    """What shares, or a lone future, tie up."""
    value = leg.linear_value()
    total = linear_margin(rates.linear_bp(leg.instrument, leg.product), value)
    if leg.instrument.kind is not InstrumentKind.FUTURE:
        return Requirement(var=total)
    span = linear_margin(rates.of(leg.instrument).scan_bp, value)
    return Requirement(span=span, exposure=total - span)


def unit_margins(
    rates: MarginRates, instrument: Instrument, product: Product, px: Price
) -> tuple[Money, Money]:
    """Margin of one unit bought and of one unit sold short, at a price, each taken alone.

    A short option counts with its strike for the underlying and without any hedge, and keeps its
    premium besides: what the account's scan asks is at most this, except for the worth of time
    that a jump in volatility adds.
    """
    notional = px * instrument.multiplier
    if instrument.kind in (InstrumentKind.CALL, InstrumentKind.PUT):
        of = rates.of(instrument)
        strike = (instrument.strike or px) * instrument.multiplier
        bp = of.scan_bp + of.exposure_bp + of.expiry_day_bp
        return notional, notional + linear_margin(bp, strike)
    each = linear_margin(rates.linear_bp(instrument, product), notional)
    return each, each


class StatedMargins:
    """The account's own margins, for whoever wants to know them before sending an order."""

    def __init__(self, rates: MarginRates | None = None) -> None:
        self._rates = rates or MarginRates()
        self._linear: dict[tuple[InstrumentId, Product], int] = {}
        """Shares and futures asked for so far: risk asks before every order, of every book."""

    def unit_margin(self, instrument: Instrument, product: Product, side: Side, px: Price) -> Money:
        """Rupees per unit of quantity for a position opened by ``side`` at ``px``."""
        rate_bp = self._linear.get((instrument.id, product))
        if rate_bp is not None:
            return -(-px * (instrument.multiplier * rate_bp) // BP)
        if instrument.strike is None:
            rate_bp = self._rates.linear_bp(instrument, product)
            self._linear[instrument.id, product] = rate_bp
        long_unit, short_unit = unit_margins(self._rates, instrument, product, px)
        return long_unit if side is Side.BUY else short_unit
