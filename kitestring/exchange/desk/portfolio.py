"""Positions and holdings as Kite shows them, and the conversion of a position's product.

Fields and identities: kite.trade/docs/connect/v3/portfolio and the official samples. ``net`` is
what was carried and what was traded; ``day`` what was traded. Values include the multiplier. As in
the samples ``unrealised`` repeats ``pnl`` and ``realised`` is 0; a closed position stays listed.
"""

from __future__ import annotations

from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product
from kitestring.exchange.account import AccountPosition
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.holdings import Holdings
from kitestring.exchange.desk.kite_error import (
    holding_error,
    input_error,
    margin_error,
    order_error,
)
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.prices import Quotes, Row, last_or_close, rupees, rupees_each
from kitestring.exchange.floor import TradingFloor


class Portfolio:
    """What the account holds, by position and by share."""

    def __init__(
        self, floor: TradingFloor, listing: Listing, quotes: Quotes, holdings: Holdings
    ) -> None:
        self.held = holdings
        self._account = floor.account
        self._listing = listing
        self._quotes = quotes

    def positions(self, now: Instant) -> Row:  # noqa: ARG002 - each route is told the time
        """``GET /portfolio/positions``."""
        shown = [each for each in self._account.positions.values() if _is_shown(each)]
        return {
            "net": [self._row(each, whole=True) for each in shown],
            "day": [
                self._row(each, whole=False) for each in shown if each.bought_qty or each.sold_qty
            ],
        }

    def convert(self, now: Instant, form: Form) -> bool:  # noqa: ARG002 - as above
        """``PUT /portfolio/positions``: move a part of a position to another product."""
        exchange, symbol = form.text("exchange"), form.text("tradingsymbol")
        buy = form.choice("transaction_type", ("BUY", "SELL")) == "BUY"
        overnight = form.choice("position_type", ("day", "overnight")) == "overnight"
        qty = form.whole("quantity", at_least=1)
        old = form.choice("old_product", [each.value for each in Product])
        new = form.choice("new_product", [each.value for each in Product])
        instrument = self._listing.find(exchange, symbol)
        if instrument is None:
            raise input_error("Invalid `tradingsymbol`.")
        if old == new or not {old, new} <= products_of(instrument):
            raise input_error(f"Invalid `new_product`: {old} cannot become {new} here.")
        position = self._account.positions.get((instrument.id, Product(old)))
        if position is None or qty > _convertible(position, buy=buy, overnight=overnight):
            raise order_error("Position conversion failed: there is no such open quantity.")
        refusal = self._account.convert(position, Product(new), qty, overnight=overnight)
        if refusal is None:
            return True
        raise holding_error(refusal) if "holdings" in refusal else margin_error(refusal)

    def holdings(self, now: Instant) -> list[Row]:
        """``GET /portfolio/holdings``."""
        return self.held.rows(now)

    def holdings_summary(self, now: Instant) -> Row:  # noqa: ARG002 - as above
        """``GET /portfolio/holdings/summary``."""
        return self.held.summary()

    def holdings_compact(self, now: Instant) -> list[Row]:  # noqa: ARG002 - as above
        """``GET /portfolio/holdings/compact``."""
        return self.held.compact()

    def auctions(self, now: Instant) -> list[Row]:
        """``GET /portfolio/holdings/auctions``."""
        return self.held.auctions(now)

    def authorise(self, now: Instant, form: Form) -> Row:
        """``POST /portfolio/holdings/authorise``."""
        return self.held.authorise(now, form)

    def _row(self, position: AccountPosition, *, whole: bool) -> Row:
        instrument = position.instrument
        times = instrument.multiplier
        carried = position.carried_qty if whole else 0
        cost = position.carried_cost if whole else Money(0)
        close = self._quotes.previous_close(instrument.id) if position.carried_qty else None
        if close is None:
            close = _average(position.carried_cost, position.carried_qty * times)
        last = last_or_close(self._quotes, instrument.id) or _known_px(position)
        at_close = close * (carried * times)
        bought, sold = position.bought_value, position.sold_value
        buy_qty = position.bought_qty + max(carried, 0)
        sell_qty = position.sold_qty + max(-carried, 0)
        buy_value, buy_m2m = bought + max(cost, Money(0)), bought + max(at_close, Money(0))
        sell_value, sell_m2m = sold + max(-cost, Money(0)), sold + max(-at_close, Money(0))
        qty = buy_qty - sell_qty
        value, worth = sell_value - buy_value, last * (qty * times)
        buy_px = rupees_each(buy_value, buy_qty, times)
        sell_px = rupees_each(sell_value, sell_qty, times)
        average_px = buy_px if qty > 0 else sell_px
        if whole:
            average_px = rupees_each(position.open_cost, qty, times)
        return {
            "tradingsymbol": instrument.symbol,
            "exchange": instrument.exchange,
            "instrument_token": instrument.token,
            "product": position.product.value,
            "quantity": qty,
            "overnight_quantity": carried,
            "multiplier": times,
            "average_price": average_px if qty else 0,
            "close_price": rupees(close),
            "last_price": rupees(last),
            "value": rupees(value),
            "pnl": rupees(value + worth),
            "m2m": rupees(sell_m2m - buy_m2m + worth),
            "unrealised": rupees(value + worth),
            "realised": 0,
            "buy_quantity": buy_qty,
            "buy_price": buy_px,
            "buy_value": rupees(buy_value),
            "buy_m2m": rupees(buy_m2m),
            "sell_quantity": sell_qty,
            "sell_price": sell_px,
            "sell_value": rupees(sell_value),
            "sell_m2m": rupees(sell_m2m),
            "day_buy_quantity": position.bought_qty,
            "day_buy_price": rupees_each(bought, position.bought_qty, times),
            "day_buy_value": rupees(bought),
            "day_sell_quantity": position.sold_qty,
            "day_sell_price": rupees_each(sold, position.sold_qty, times),
            "day_sell_value": rupees(sold),
        }


def products_of(instrument: Instrument) -> frozenset[str]:
    """The products an instrument can be held in."""
    if instrument.kind is InstrumentKind.EQUITY:
        return frozenset({"MIS", "CNC"})
    return frozenset({"MIS", "NRML"})


def _is_shown(position: AccountPosition) -> bool:
    return bool(position.carried_qty or position.bought_qty or position.sold_qty)


def _convertible(position: AccountPosition, *, buy: bool, overnight: bool) -> int:
    """How much of a position, held on this side, is of before today or of today.

    What is held and not of before today was traded today: no more than both can be converted.
    """
    sign = 1 if buy else -1
    whole, before = position.net_qty * sign, position.overnight_left * sign
    if overnight:
        return min(before, whole)
    traded = position.bought_qty if buy else position.sold_qty
    return min(whole, traded)


def _average(value: Money, units: int) -> Price:
    return Price(int(value) // units) if units else Price(0)


def _known_px(position: AccountPosition) -> Price:
    """A price of our own, where the market has told none."""
    units = position.net_qty * position.instrument.multiplier
    return _average(position.open_cost, units)
