"""The account the exchange keeps for us: cash, positions, charges and the margin tied up.

Kept exactly, in integers. Whatever is bought or sold moves cash by its full traded value, so that
``cash + cost of what is held = opening + realised − charges`` at every moment. What may be used
for a new order is ``opening + realised − charges − margin tied up``; open profit is not counted,
open loss neither (a stated simplification). What shares sold out of the holdings brought may be
used at once.

Money lies in purses: one for everything, or a second one for commodities, as at a broker that
keeps two segments of funds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

from kitestring.domain.charges import ChargeBook
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import CHARGE_UNITS_PER_UNIT, ChargeUnits, Money, Price, rupees_text
from kitestring.domain.orders import Product, Side
from kitestring.exchange.margin import BP, Leg, MarginRates
from kitestring.exchange.portfolio_margin import RiskBook, UnderlyingKey, needs_scan, underlying_key
from kitestring.exchange.risk_array import ReferencePrices

PositionKey = tuple[InstrumentId, Product]
_COMMODITY_EXCHANGES: Final = frozenset({"MCX", "NCO"})


class Purse:
    """The money of one segment of funds."""

    __slots__ = ("blocked", "charges", "collateral", "opening", "paid_in", "realised")

    def __init__(self, opening: Money) -> None:
        self.opening = opening
        self.paid_in = Money(0)
        """Brought in, less taken out, since the opening."""
        self.collateral = Money(0)
        """What pledged shares are good for."""
        self.realised = Money(0)
        self.charges = ChargeUnits(0)
        self.blocked = Money(0)

    @property
    def available(self) -> Money:
        """What a new order may tie up; charges rounded up."""
        charged = Money(-(-int(self.charges) // CHARGE_UNITS_PER_UNIT))
        brought = self.opening + self.paid_in + self.collateral
        return brought + self.realised - charged - self.blocked


class AccountPosition(Leg):
    """One instrument in one product: a leg, what it traded today, and what it ties up.

    Where an underlying is scanned as a whole, all that it ties up stands at its first position.
    """

    __slots__ = (
        "blocked",
        "bought_qty",
        "bought_value",
        "carried_cost",
        "carried_qty",
        "purse",
        "rate_bp",
        "scanned_with",
        "sold_qty",
        "sold_value",
    )

    def __init__(
        self, instrument: Instrument, product: Product, purse: Purse, rate_bp: int
    ) -> None:
        super().__init__(instrument, product)
        self.purse = purse
        self.rate_bp = rate_bp
        self.scanned_with: list[AccountPosition] | None = None
        """Every position of the underlying, once the simple rule will not do."""
        self.blocked = Money(0)
        self.carried_qty = 0
        """Net quantity from before today, and what it cost."""
        self.carried_cost = Money(0)
        self.bought_qty = 0
        """Of today, as are the next three."""
        self.bought_value = Money(0)
        self.sold_qty = 0
        self.sold_value = Money(0)

    def terms(self) -> tuple[int, ...]:
        """Everything a refused request must leave as it was."""
        return tuple(int(getattr(self, name)) for name in _TERMS)

    def restore(self, terms: tuple[int, ...]) -> None:
        """Take back ``terms``; what is tied up is not reckoned again."""
        for name, value in zip(_TERMS, terms, strict=True):
            setattr(self, name, value)

    @property
    def overnight_left(self) -> int:
        """What is left of the quantity from before today; today's opposite trades close it first."""
        carried = self.carried_qty
        if carried > 0:
            return max(carried - self.sold_qty, 0)
        return min(carried + self.bought_qty, 0)

    def hand_over(self, target: AccountPosition, qty: int, *, buy: bool, overnight: bool) -> None:
        """Let the day's book of another product show what moved there, at its average price."""
        if overnight:
            value = self.carried_cost * qty // abs(self.carried_qty)
            signed = qty if buy else -qty
            self.carried_cost -= value
            self.carried_qty -= signed
            target.carried_cost += value
            target.carried_qty += signed
        elif buy:
            value = self.bought_value * qty // self.bought_qty
            self.bought_value -= value
            self.bought_qty -= qty
            target.bought_value += value
            target.bought_qty += qty
        else:
            value = self.sold_value * qty // self.sold_qty
            self.sold_value -= value
            self.sold_qty -= qty
            target.sold_value += value
            target.sold_qty += qty


_TERMS: Final = (
    "net_qty",
    "open_cost",
    "working_buy",
    "buy_value",
    "working_sell",
    "sell_value",
    "carried_qty",
    "carried_cost",
    "bought_qty",
    "bought_value",
    "sold_qty",
    "sold_value",
)


class Account:
    """Cash, margin and positions of one trading account."""

    __slots__ = ("_book", "_groups", "cash", "commodity", "equity", "positions", "risk")

    def __init__(
        self,
        cash: Money,
        charges: ChargeBook,
        rates: MarginRates,
        *,
        day: dt.date | None = None,
        references: ReferencePrices | None = None,
        commodity_cash: Money | None = None,
    ) -> None:
        self.equity = Purse(cash)
        self.commodity = self.equity if commodity_cash is None else Purse(commodity_cash)
        self.cash = cash + (commodity_cash or Money(0))
        """Opening cash less everything bought, plus everything sold, before charges."""
        self.positions: dict[PositionKey, AccountPosition] = {}
        self.risk = RiskBook(rates, day, references)
        self._book = charges
        self._groups: dict[UnderlyingKey, list[AccountPosition]] = {}

    @property
    def purses(self) -> tuple[Purse, ...]:
        """Each purse once."""
        return (self.equity,) if self.commodity is self.equity else (self.equity, self.commodity)

    @property
    def opening(self) -> Money:
        """Cash of all purses at the opening."""
        return Money(sum(int(purse.opening) for purse in self.purses))

    @property
    def realised(self) -> Money:
        """Profit and loss of what was closed today, before charges."""
        return Money(sum(int(purse.realised) for purse in self.purses))

    @property
    def charges(self) -> ChargeUnits:
        """Charges of the day, unrounded; what is added here for no trade is paid by the equity purse."""
        return ChargeUnits(sum(int(purse.charges) for purse in self.purses))

    @charges.setter
    def charges(self, total: ChargeUnits) -> None:
        self.equity.charges += total - self.charges

    @property
    def blocked(self) -> Money:
        """Margin tied up."""
        return Money(sum(int(purse.blocked) for purse in self.purses))

    @property
    def available(self) -> Money:
        """What new orders may tie up, over all purses."""
        return Money(sum(int(purse.available) for purse in self.purses))

    def purse_of(self, instrument: Instrument) -> Purse:
        """The money an instrument is traded with."""
        return self.commodity if instrument.exchange in _COMMODITY_EXCHANGES else self.equity

    def carry(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        opening: Mapping[PositionKey, tuple[int, Price]],
    ) -> None:
        """Take over positions held from before: net quantity and the price they are carried at.

        Their cost was paid on another day, so the opening cash does not change; it must not
        include them.
        """
        for key, (net_qty, px) in opening.items():
            instrument = instruments[key[0]]
            position = self.position(instrument, key[1])
            position.net_qty = position.carried_qty = net_qty
            position.open_cost = position.carried_cost = px * (net_qty * instrument.multiplier)
            self._tie_up(position)

    def hold(self, instrument: Instrument, qty: int) -> AccountPosition:
        """Let so many shares of the demat account be sold for delivery."""
        position = self.position(instrument, Product.CNC)
        position.held = qty
        return position

    def refer(self, references: ReferencePrices) -> None:
        """Reckon margins from other prices from now on; what is tied up follows."""
        self.risk.refer(references)
        for group in self._groups.values():
            self._tie_up(group[0])

    def position(self, instrument: Instrument, product: Product) -> AccountPosition:
        """The position of an instrument and product; an empty one where there was none."""
        key = (instrument.id, product)
        position = self.positions.get(key)
        if position is None:
            rate_bp = self.risk.rates.linear_bp(instrument, product)
            position = AccountPosition(instrument, product, self.purse_of(instrument), rate_bp)
            self.positions[key] = position
            underlying = underlying_key(instrument)
            if underlying is not None:
                self._join(self._groups.setdefault(underlying, []), position)
        return position

    def grows(self, position: AccountPosition, qty: int, *, buy: bool) -> bool:
        """Whether an order, filled after those that work already, opens anything new.

        Shares of the demat account may be sold: that opens nothing.
        """
        if buy:
            return position.net_qty + position.working_buy + qty > 0
        return position.working_sell - position.net_qty + qty > position.held

    def reserve(
        self, position: AccountPosition, qty: int, px: Price, *, buy: bool, checked: bool = True
    ) -> str | None:
        """Tie up the margin of a working order, or say why there is too little.

        ``checked`` is off when a ledger is read back: what it holds was judged then.
        """
        value = px * (qty * position.instrument.multiplier)
        if buy:
            position.working_buy += qty
            position.buy_value += value
        else:
            position.working_sell += qty
            position.sell_value += value
        purse = position.purse
        blocked = purse.blocked
        self._tie_up(position)
        needed = purse.blocked - blocked
        if not checked or needed <= Money(0) or purse.available >= Money(0):
            return None
        if buy:
            position.working_buy -= qty
            position.buy_value -= value
        else:
            position.working_sell -= qty
            position.sell_value -= value
        self._tie_up(position)
        return (
            f"Insufficient funds. Required margin is {rupees_text(needed)} but available margin is"
            f" {rupees_text(purse.available)}. Check the orderbook for open orders."
        )

    def release(self, position: AccountPosition, qty: int, *, buy: bool) -> None:
        """A working order, or the rest of one, is gone."""
        if qty:
            position.drop_order(qty, buy=buy)
            self._tie_up(position)

    def book_trade(self, position: AccountPosition, qty: int, px: Price, *, buy: bool) -> Money:
        """Book a trade of a working order; returns its traded value including the multiplier."""
        value = px * (qty * position.instrument.multiplier)
        position.drop_order(qty, buy=buy)
        if buy:
            self.cash -= value
            position.bought_qty += qty
            position.bought_value += value
        else:
            self.cash += value
            position.sold_qty += qty
            position.sold_value += value
        position.purse.realised += position.fill(qty, value, buy=buy)
        self._tie_up(position)
        return value

    def charge(
        self,
        position: AccountPosition,
        side: Side,
        traded_value: Money,
        charged: ChargeUnits,
    ) -> ChargeUnits:
        """Book an order's charges up to what it has traded; returns its new cumulative charge."""
        total = self._book.order_charges(
            position.instrument, position.product, side, traded_value
        ).total
        position.purse.charges += total - charged
        return total

    def would_refuse(
        self, position: AccountPosition, sizes: Iterable[int], px: Price, *, buy: bool
    ) -> list[str | None]:
        """For orders sent one after the other, why the money does not reach; nothing stays tied up."""
        terms = position.terms()
        answers = [
            self.reserve(position, size, px, buy=buy)
            if self.grows(position, size, buy=buy)
            else None
            for size in sizes
        ]
        position.restore(terms)
        self._tie_up(position)
        return answers

    def convert(
        self, position: AccountPosition, product: Product, qty: int, *, overnight: bool
    ) -> str | None:
        """Move a part of a position to another product, at its cost, or say why not.

        ``qty`` is at most what the position holds. Profit and loss stay what they are, over both.
        """
        target = self.position(position.instrument, product)
        before, untouched = position.terms(), target.terms()
        purse, buy = position.purse, position.net_qty > 0
        realised, available = purse.realised, purse.available
        cost = position.open_cost * qty // abs(position.net_qty)
        position.open_cost -= cost
        position.net_qty -= qty if buy else -qty
        purse.realised += target.fill(qty, abs(cost), buy=buy)
        position.hand_over(target, qty, buy=buy, overnight=overnight)
        self._tie_up(position)
        self._tie_up(target)
        refusal = None
        if any(
            each.product is Product.CNC and each.working_sell - each.net_qty > each.held
            for each in (position, target)
        ):
            refusal = "Insufficient holdings. Shares cannot be sold short for delivery."
        elif purse.available < Money(0) and purse.available < available:
            refusal = (
                f"Insufficient funds. Required margin is"
                f" {rupees_text(available - purse.available)} but available margin is"
                f" {rupees_text(available)}."
            )
        if refusal is not None:
            position.restore(before)
            target.restore(untouched)
            purse.realised = realised
            self._tie_up(position)
            self._tie_up(target)
        return refusal

    def _tie_up(self, position: AccountPosition) -> None:
        group = position.scanned_with
        if group is None:
            blocked = -(-position.linear_value() * position.rate_bp // BP)
        else:
            blocked = self.risk.of_underlying(group).total
            position = group[0]
        position.purse.blocked += blocked - position.blocked
        position.blocked = blocked

    def _join(self, group: list[AccountPosition], position: AccountPosition) -> None:
        """Put a position with those of its underlying, and have them scanned if that is due."""
        group.append(position)
        if not needs_scan(group):
            return
        for each in group:
            each.scanned_with = group
        for each in group[1:]:
            each.purse.blocked -= each.blocked
            each.blocked = Money(0)
        self._tie_up(position)
