"""The broker's own square-off: at its cut-off, intraday orders are withdrawn and positions closed.

Zerodha sends a market order for each intraday position at the cut-off of its segment
(``market.order_rule_rows.square_off``), in slices of the freeze quantity (30,000 shares in the cash
market), and charges Rs 50 plus 18 % GST for each of them. The orders are nobody's: their ledger
entries name ``SQUARE_OFF`` as origin. What cannot be closed stays with the account.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import CHARGE_UNITS_PER_RUPEE, ChargeUnits
from kitestring.domain.orders import Product, Side
from kitestring.exchange.account import Account
from kitestring.exchange.order_book import Market
from kitestring.market.order_rule_rows import SquareOffRule

SQUARE_OFF: Final = "square-off"
WITHDRAWN: Final = "Withdrawn by the broker's square-off of intraday positions."
_SHARES_MAX: Final = 30_000
"""support.zerodha.com, auto-square-off: the most of one order in the cash market."""
_GST_PCT: Final = 18


class Closing(NamedTuple):
    """One order of the square-off."""

    market: Market
    side: Side
    qty: int


def closings(account: Account, markets: list[Market]) -> Iterator[Closing]:
    """The orders that close what these markets' intraday positions hold, slice by slice."""
    for market in markets:
        instrument = market.instrument
        position = account.positions.get((instrument.id, Product.MIS))
        if position is None or not position.net_qty:
            continue
        side = Side.SELL if position.net_qty > 0 else Side.BUY
        most = instrument.freeze_qty // instrument.lot_size * instrument.lot_size
        if instrument.kind is InstrumentKind.EQUITY:
            most = min(most or _SHARES_MAX, _SHARES_MAX)
        left = abs(position.net_qty)
        while left:
            qty = min(left, most or left)
            left -= qty
            yield Closing(market, side, qty)


def fee(rule: SquareOffRule) -> ChargeUnits:
    """What each order of the square-off costs, with GST."""
    return ChargeUnits(rule.charge * (100 + _GST_PCT) * CHARGE_UNITS_PER_RUPEE // 100)
