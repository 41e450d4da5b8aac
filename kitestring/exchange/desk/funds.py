"""The account's money as Kite shows it, segment by segment.

Fields: kite.trade/docs/connect/v3/user (funds). Kite does not say how its items add up; here they
do: ``net = cash + intraday_payin + collateral - debits``, and ``net`` is what a new order may use.
``debits`` are span, exposure, option_premium, delivery and turnover, less m2m_realised and
holding_sales, plus the charges of the day (which have no field of their own).
"""

from __future__ import annotations

from typing import Final

from kitestring.domain.instants import Instant
from kitestring.domain.money import Money
from kitestring.domain.orders import Product
from kitestring.exchange.account import Account, AccountPosition, Purse
from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.desk.prices import Row, rupees
from kitestring.exchange.floor import TradingFloor
from kitestring.exchange.margin import NOTHING, Requirement
from kitestring.exchange.portfolio_margin import underlying_key

SEGMENTS: Final = ("equity", "commodity")


class Funds:
    """The money of both segments; where one purse serves both, commodity is not enabled."""

    def __init__(self, floor: TradingFloor) -> None:
        self._account: Account = floor.account

    def margins(self, now: Instant) -> Row:
        """``GET /user/margins``."""
        return {name: self.segment(now, name) for name in SEGMENTS}

    def segment(self, now: Instant, name: str) -> Row:  # noqa: ARG002 - each route is told the time
        """``GET /user/margins/{segment}``."""
        if name not in SEGMENTS:
            raise input_error("Invalid `segment`: equity or commodity is expected.")
        account = self._account
        if name == "equity":
            return self._row(account.equity, enabled=True)
        if account.commodity is account.equity:
            return self._row(Purse(Money(0)), enabled=False)
        return self._row(account.commodity, enabled=True)

    def pay_in(self, name: str, amount: Money) -> None:
        """Money comes into a segment, or leaves it (negative), at once."""
        purse = self._account.equity if name == "equity" else self._account.commodity
        purse.paid_in += amount
        self._account.cash += amount

    def _row(self, purse: Purse, *, enabled: bool) -> Row:
        positions = [each for each in self._account.positions.values() if each.purse is purse]
        derivatives = [each for each in positions if underlying_key(each.instrument) is not None]
        shares = [each for each in positions if underlying_key(each.instrument) is None]
        required = self._account.risk.requirement(derivatives) if derivatives else NOTHING
        sales = Money(sum(int(_sale_proceeds(each)) for each in shares))
        delivery = _tied_up(shares, Product.CNC) + sales
        turnover = _tied_up(shares, Product.MIS) + _tied_up(shares, Product.NRML)
        cash = purse.opening
        net = purse.available
        return {
            "enabled": enabled,
            "net": rupees(net),
            "available": {
                "adhoc_margin": 0,
                "cash": rupees(cash),
                "opening_balance": rupees(purse.opening),
                "live_balance": rupees(net),
                "collateral": rupees(purse.collateral),
                "intraday_payin": rupees(max(purse.paid_in, Money(0))),
            },
            "utilised": {
                "debits": rupees(cash + max(purse.paid_in, Money(0)) + purse.collateral - net),
                "payout": rupees(max(-purse.paid_in, Money(0))),
                "liquid_collateral": 0,
                "stock_collateral": rupees(purse.collateral),
                "m2m_realised": rupees(purse.realised),
                "m2m_unrealised": 0,
                "holding_sales": rupees(sales),
                "turnover": rupees(turnover),
                "delivery": rupees(delivery),
            }
            | _derivative_items(required),
        }


def _derivative_items(required: Requirement) -> Row:
    return {
        "span": rupees(required.span + required.additional),
        "exposure": rupees(required.exposure),
        "option_premium": rupees(required.premium),
    }


def _tied_up(shares: list[AccountPosition], product: Product) -> Money:
    return Money(sum(int(each.blocked) for each in shares if each.product is product))


def _sale_proceeds(position: AccountPosition) -> Money:
    """What selling out of the demat account has brought today."""
    return (
        -position.open_cost
        if position.net_qty < 0 and position.product is Product.CNC
        else Money(0)
    )
