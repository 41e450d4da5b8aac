"""The account the exchange keeps for us: cash, positions, charges and the margin tied up.

Kept exactly, in integers. Whatever is bought or sold moves cash by its full traded value, so that
``cash + cost of what is held = opening + realised − charges`` at every moment. What may be used
for a new order is ``opening + realised − charges − margin tied up``; open profit is not counted,
open loss neither (a stated simplification).
"""

from __future__ import annotations

from collections.abc import Mapping

from kitestring.domain.charges import ChargeBook
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import CHARGE_UNITS_PER_UNIT, ChargeUnits, Money, Price, rupees_text
from kitestring.domain.orders import Product, Side
from kitestring.exchange.margin import MarginRates, unit_margins

PositionKey = tuple[InstrumentId, Product]


class AccountPosition:
    """One instrument in one product: what is held, what it cost, what works, what is tied up."""

    __slots__ = (
        "blocked",
        "instrument",
        "long_unit",
        "net_qty",
        "open_cost",
        "product",
        "short_unit",
        "working_buy",
        "working_sell",
    )

    def __init__(self, instrument: Instrument, product: Product) -> None:
        self.instrument = instrument
        self.product = product
        self.net_qty = 0
        self.open_cost = Money(0)
        self.working_buy = 0
        self.working_sell = 0
        self.long_unit = Money(0)
        self.short_unit = Money(0)
        self.blocked = Money(0)


class Account:
    """Cash, margin and positions of one trading account."""

    __slots__ = (
        "_book",
        "_rates",
        "blocked",
        "cash",
        "charges",
        "opening",
        "positions",
        "realised",
    )

    def __init__(self, cash: Money, charges: ChargeBook, rates: MarginRates) -> None:
        self.opening = cash
        self.cash = cash
        """Opening cash less everything bought, plus everything sold, before charges."""
        self.realised = Money(0)
        self.charges = ChargeUnits(0)
        self.blocked = Money(0)
        self.positions: dict[PositionKey, AccountPosition] = {}
        self._book = charges
        self._rates = rates

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
            position.net_qty = net_qty
            position.open_cost = px * (net_qty * instrument.multiplier)
            position.long_unit, position.short_unit = unit_margins(
                self._rates, instrument, key[1], px
            )
            self._tie_up(position)

    def position(self, instrument: Instrument, product: Product) -> AccountPosition:
        """The position of an instrument and product; an empty one where there was none."""
        key = (instrument.id, product)
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = AccountPosition(instrument, product)
        return position

    @property
    def available(self) -> Money:
        """What a new order may tie up; charges rounded up."""
        charged = Money(-(-int(self.charges) // CHARGE_UNITS_PER_UNIT))
        return self.opening + self.realised - charged - self.blocked

    def grows(self, position: AccountPosition, qty: int, *, buy: bool) -> bool:
        """Whether an order, filled after those that work already, opens anything new."""
        if buy:
            return position.net_qty + position.working_buy + qty > 0
        return position.working_sell - position.net_qty + qty > 0

    def reserve(
        self, position: AccountPosition, qty: int, px: Price, *, buy: bool, checked: bool = True
    ) -> str | None:
        """Tie up the margin of a working order, or say why there is too little.

        ``checked`` is off when a ledger is read back: what it holds was judged then.
        """
        before = (position.long_unit, position.short_unit)
        wide = max(
            position.net_qty + position.working_buy, position.working_sell - position.net_qty, 0
        )
        if buy:
            position.working_buy += qty
            reach = position.net_qty + position.working_buy
        else:
            position.working_sell += qty
            reach = position.working_sell - position.net_qty
        if reach > wide:
            position.long_unit, position.short_unit = unit_margins(
                self._rates, position.instrument, position.product, px
            )
        blocked = position.blocked
        self._tie_up(position)
        needed = position.blocked - blocked
        if not checked or needed <= Money(0):
            return None
        available = self.available
        if available >= Money(0):
            return None
        if buy:
            position.working_buy -= qty
        else:
            position.working_sell -= qty
        position.long_unit, position.short_unit = before
        self._tie_up(position)
        return (
            f"Insufficient funds. Required margin is {rupees_text(needed)} but available margin is"
            f" {rupees_text(self.available)}. Check the orderbook for open orders."
        )

    def release(self, position: AccountPosition, qty: int, *, buy: bool) -> None:
        """A working order, or the rest of one, is gone."""
        if buy:
            position.working_buy -= qty
        else:
            position.working_sell -= qty
        self._tie_up(position)

    def book_trade(self, position: AccountPosition, qty: int, px: Price, *, buy: bool) -> Money:
        """Book a trade of a working order; returns its traded value including the multiplier."""
        instrument = position.instrument
        value = px * (qty * instrument.multiplier)
        net = position.net_qty
        if buy:
            self.cash -= value
            position.working_buy -= qty
            signed, cost = qty, value
        else:
            self.cash += value
            position.working_sell -= qty
            signed, cost = -qty, -value
        after = net + signed
        if net == 0 or (net > 0) is (signed > 0):
            position.open_cost += cost
        elif (after > 0) is (net > 0) and after != 0:  # a part is closed, at its share of the cost
            closed_cost = position.open_cost * qty // abs(net)
            self.realised -= closed_cost + cost
            position.open_cost -= closed_cost
        else:  # closed, and perhaps opened the other way
            opened = px * (after * instrument.multiplier)
            self.realised += opened - cost - position.open_cost
            position.open_cost = opened
        position.net_qty = after
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
        self.charges += total - charged
        return total

    def _tie_up(self, position: AccountPosition) -> None:
        net = position.net_qty
        longs = net + position.working_buy
        shorts = position.working_sell - net
        blocked = Money(0)
        if longs > 0:
            blocked = position.long_unit * longs
        if shorts > 0:
            blocked = max(blocked, position.short_unit * shorts)
        self.blocked += blocked - position.blocked
        position.blocked = blocked
