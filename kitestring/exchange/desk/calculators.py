"""What orders would cost before they are sent: margins alone and as a basket, and their charges.

Routes: kite.trade/docs/connect/v3/margins. Margins come from the account's own model and charges
from its own dated book, so that an estimate and what happens then cannot differ by rules.

* An order's margin is what the account would have to tie up more than it does now: one that only
  closes costs nothing.
* A basket's ``initial`` is what it needs while its orders work, before any hedge has filled;
  ``final`` is what stays tied up once all have filled. With ``consider_positions`` both are beside
  what is held and works already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kitestring.domain.charges import NO_CHARGES, ChargeBook, Charges
from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import CHARGE_UNITS_PER_RUPEE, ChargeUnits
from kitestring.domain.orders import Product
from kitestring.exchange.account import Account
from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.order_items import OrderItem, read_items
from kitestring.exchange.desk.prices import Quotes, Row, rupees
from kitestring.exchange.floor import TradingFloor
from kitestring.exchange.margin import BP, Leg, Requirement
from kitestring.exchange.portfolio_margin import underlying_key

_COMMODITY: Final = frozenset({"MCX", "NCO"})
_UNTAXED: Final = frozenset({"CDS", "BCD"})
Legs = dict[tuple[InstrumentId, Product], Leg]


class Calculators:
    """Margins and charges of orders that need not exist."""

    def __init__(
        self, floor: TradingFloor, listing: Listing, quotes: Quotes, charges: ChargeBook
    ) -> None:
        self._account: Account = floor.account
        self._listing = listing
        self._quotes = quotes
        self._charges = charges

    def order_margins(self, now: Instant, items: object, *, compact: bool = False) -> list[Row]:  # noqa: ARG002 - each route is told the time
        """``POST /margins/orders``: each order on its own, beside what the account has."""
        orders = read_items(items, self._listing, self._quotes)
        rows: list[Row] = []
        for order in orders:
            more = self._added(self._legs_beside([order]), [order])[0]
            rows.append(self._order_row(order, more, compact=compact))
        return rows

    def basket_margins(
        self,
        now: Instant,  # noqa: ARG002 - as above
        items: object,
        *,
        consider_positions: bool = True,
        compact: bool = False,
    ) -> Row:
        """``POST /margins/basket``: all orders together."""
        orders = read_items(items, self._listing, self._quotes)

        def base(of: list[OrderItem]) -> Legs:
            return self._legs_beside(of) if consider_positions else {}

        initial, final = self._added(base(orders), orders)
        charges = [self._charged(order) for order in orders]
        total = NO_CHARGES
        for each in charges:
            total = total.plus(each)
        return {
            "initial": _summary_row(initial, compact=compact),
            "final": _summary_row(final, compact=compact),
            "orders": [
                self._order_row(order, self._added(base([order]), [order])[0], compact=compact)
                for order in orders
            ],
            "charges": _charges_row(total, ""),
        }

    def contract_note(self, now: Instant, items: object) -> list[Row]:  # noqa: ARG002 - as above
        """``POST /charges/orders``: a virtual contract note, unrounded as Kite's."""
        return [
            {
                "transaction_type": order.side.value,
                "tradingsymbol": order.instrument.symbol,
                "exchange": order.instrument.exchange,
                "variety": order.variety,
                "product": order.product.value,
                "order_type": order.ord_type.value,
                "quantity": order.qty,
                "price": rupees(order.px),
                "charges": _charges_row(self._charged(order), _tax_of(order.instrument)),
            }
            for order in read_items(items, self._listing, self._quotes, traded=True)
        ]

    def _legs_beside(self, orders: Iterable[OrderItem]) -> Legs:
        """Copies of every position that is margined together with some orders."""
        underlyings = {underlying_key(order.instrument) for order in orders} - {None}
        shares = {order.instrument.id for order in orders}
        return {
            key: position.copy()
            for key, position in self._account.positions.items()
            if underlying_key(position.instrument) in underlyings or key[0] in shares
        }

    def _added(self, legs: Legs, orders: list[OrderItem]) -> tuple[Requirement, Requirement]:
        """What some orders add to some positions: while they work, and after all have filled."""
        risk = self._account.risk
        before = risk.requirement(legs.values())
        touched: list[tuple[Leg, OrderItem]] = []
        for order in orders:
            key = (order.instrument.id, order.product)
            leg = legs.setdefault(key, Leg(order.instrument, order.product))
            leg.add_order(order.qty, order.px, buy=order.buy)
            touched.append((leg, order))
        working = risk.requirement(legs.values())
        for leg, order in touched:
            leg.drop_order(order.qty, buy=order.buy)
            leg.fill(order.qty, order.value, buy=order.buy)
        return working.minus(before), risk.requirement(legs.values()).minus(before)

    def _charged(self, order: OrderItem) -> Charges:
        try:
            return self._charges.order_charges(
                order.instrument, order.product, order.side, order.value
            )
        except CalendarUnknown as error:
            raise input_error(f"No charges are known for {order.instrument.symbol}.") from error

    def _order_row(self, order: OrderItem, required: Requirement, *, compact: bool) -> Row:
        instrument = order.instrument
        head: Row = {
            "type": "commodity" if instrument.exchange in _COMMODITY else "equity",
            "tradingsymbol": instrument.symbol,
            "exchange": instrument.exchange,
        }
        if compact:
            return head | {"total": rupees(required.total)}
        leverage = 1.0
        if instrument.kind is InstrumentKind.EQUITY:
            leverage = BP / self._account.risk.rates.linear_bp(instrument, order.product)
        return head | _items(
            required, _charges_row(self._charged(order), _tax_of(instrument)), leverage
        )


def _summary_row(required: Requirement, *, compact: bool) -> Row:
    head: Row = {"type": "", "tradingsymbol": "", "exchange": ""}
    if compact:
        return head | {"total": rupees(required.total)}
    return head | _items(required, _charges_row(NO_CHARGES, ""), 0)


def _items(required: Requirement, charges: Row, leverage: float) -> Row:
    return {
        "span": rupees(required.span),
        "exposure": rupees(required.exposure),
        "option_premium": rupees(required.premium),
        "additional": rupees(required.additional),
        "bo": 0,
        "cash": 0,
        "var": rupees(required.var),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": leverage,
        "charges": charges,
        "total": rupees(required.total),
    }


def _tax_of(instrument: Instrument) -> str:
    if instrument.exchange in _UNTAXED:
        return ""
    return "ctt" if instrument.exchange in _COMMODITY else "stt"


def _charges_row(charges: Charges, tax: str) -> Row:
    gst = _rupees_charged(charges.gst)
    return {
        "transaction_tax": _rupees_charged(charges.stt),
        "transaction_tax_type": tax,
        "exchange_turnover_charge": _rupees_charged(charges.exchange),
        "sebi_turnover_charge": _rupees_charged(charges.sebi),
        "brokerage": _rupees_charged(charges.brokerage),
        "stamp_duty": _rupees_charged(charges.stamp),
        "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
        "total": _rupees_charged(charges.total),
    }


def _rupees_charged(charge: ChargeUnits) -> float:
    return int(charge) / CHARGE_UNITS_PER_RUPEE
