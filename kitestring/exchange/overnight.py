"""What becomes of the account between two days: settled, carried, delivered, and opened with again.

Futures are settled to the market at the closing price and carried at it; a contract on its last day
is settled for good. Shares bought for delivery lie in the demat account the next morning, those sold
have left it: neither is a position any more. An intraday position that nobody could close is closed
at the settlement price. Orders are gone with their day; triggers (GTT) stay.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import CHARGE_UNITS_PER_UNIT, Money, Price
from kitestring.domain.orders import Product
from kitestring.exchange.account import AccountPosition, PositionKey
from kitestring.exchange.desk.gtt import Trigger
from kitestring.exchange.desk.holdings import Holding
from kitestring.exchange.desk.opening_account import OpeningAccount, OpeningChoice, isin_of
from kitestring.exchange.local_exchange import LocalExchange


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A position that the night has ended: an expired contract, or intraday and left over."""

    instrument: InstrumentId
    product: Product
    net_qty: int
    px: Price
    expired: bool


class Night(msgspec.Struct, frozen=True, kw_only=True):
    """The account between two days."""

    cash: Money
    commodity_cash: Money
    positions: Mapping[PositionKey, tuple[int, Price]]
    holdings: tuple[Holding, ...]
    triggers: tuple[Trigger, ...]
    settled: tuple[Settled, ...]

    def opening(self, *, authorised: bool = True) -> OpeningAccount:
        """The account as the next day begins."""
        choice = OpeningChoice(
            cash=self.cash,
            commodity_cash=self.commodity_cash,
            paid_in=Money(0),
            carried="",
            with_holdings=False,
            authorised=authorised,
        )
        return OpeningAccount(
            choice=choice, holdings=self.holdings, positions=self.positions, collateral=Money(0)
        )

    def wake(self, exchange: LocalExchange, now: Instant) -> None:
        """Let what waited overnight wait on at the next day's exchange."""
        exchange.gtt.take_over(map(msgspec.structs.replace, self.triggers), now)


def night_after(exchange: LocalExchange, closes: Mapping[InstrumentId, Price]) -> Night:
    """Settle a day that is over. ``closes``: its settlement prices."""
    account = exchange.floor.account
    gained = {id(purse): 0 for purse in account.purses}
    positions: dict[PositionKey, tuple[int, Price]] = {}
    settled: list[Settled] = []
    bought: dict[InstrumentId, AccountPosition] = {}
    for (name, product), position in account.positions.items():
        net_qty = position.net_qty
        if not net_qty:
            continue
        if product is Product.CNC:
            # Paid in full, or for: what it is worth is the demat account's from here on.
            gained[id(position.purse)] -= int(position.open_cost)
            if net_qty > 0:
                bought[name] = position
            continue
        px = closes.get(name) or _cost(position)
        multiplier = position.instrument.multiplier
        gained[id(position.purse)] += int(px) * net_qty * multiplier - int(position.open_cost)
        expired = _expired(position.instrument, exchange)
        if expired or product is Product.MIS:
            settled.append(
                Settled(instrument=name, product=product, net_qty=net_qty, px=px, expired=expired)
            )
        else:
            positions[name, product] = (net_qty, px)
    money = [
        Money(
            int(purse.opening)
            + int(purse.paid_in)
            + int(purse.realised)
            - -(-int(purse.charges) // CHARGE_UNITS_PER_UNIT)
            + gained[id(purse)]
        )
        for purse in account.purses
    ]
    return Night(
        cash=money[0],
        commodity_cash=money[1] if len(money) > 1 else Money(0),
        positions=positions,
        holdings=tuple(_delivered(exchange, bought)),
        triggers=tuple(
            msgspec.structs.replace(each, results=list(each.results))
            for each in exchange.gtt.overnight()
        ),
        settled=tuple(settled),
    )


def _delivered(
    exchange: LocalExchange, bought: Mapping[InstrumentId, AccountPosition]
) -> list[Holding]:
    """The demat account of tomorrow: what was left in it, and what was bought, on its way (T1)."""
    held = {each.instrument: each for each in exchange.holdings.overnight()}
    for name, position in bought.items():
        before = held.get(name)
        if before is None:
            before = Holding(
                instrument=name,
                isin=isin_of(position.instrument.symbol),
                average_px=_cost(position),
            )
        held[name] = msgspec.structs.replace(before, t1_quantity=position.net_qty)
    return list(held.values())


def _expired(instrument: Instrument, exchange: LocalExchange) -> bool:
    return instrument.expiry is not None and instrument.expiry <= exchange.day


def _cost(position: AccountPosition) -> Price:
    """What one of it cost."""
    return Price(
        abs(int(position.open_cost)) // (abs(position.net_qty) * position.instrument.multiplier)
    )
