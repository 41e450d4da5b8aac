"""A desk with money: one Friday's listing, its closes, and an account that trades at given prices."""

import datetime as dt

from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, Price, price
from kitestring.domain.orders import Product, Side
from kitestring.exchange.desk.calculators import Calculators
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.funds import Funds
from kitestring.exchange.desk.holdings import Holdings
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.opening_account import OpeningChoice, opening_account
from kitestring.exchange.desk.portfolio import Portfolio
from kitestring.exchange.fill_models import INSTANT
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.ledger import MemoryLedger
from kitestring.exchange.matching import Matcher
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for

DAY = dt.date(2026, 11, 20)
NOW = instant(DAY, dt.time(11, 0))
MIS, NRML, CNC = Product.MIS, Product.NRML, Product.CNC


def listed(exchange, symbol, kind, segment, name, token, **more):
    fields = {"lot_size": 1, "tick_size": price("0.05")} | more
    return Instrument(
        id=instrument_id(exchange, symbol),
        exchange=exchange,
        symbol=symbol,
        token=token,
        kind=kind,
        segment=segment,
        name=name,
        **fields,
    )


def option(strike, kind):
    return listed(
        "NFO",
        f"NIFTY26DEC{strike}{kind.value}",
        kind,
        Segment.OPTIONS,
        "NIFTY",
        (60_000 + strike) << 8 | 2,
        lot_size=65,
        freeze_qty=1800,
        strike=price(strike),
        expiry=dt.date(2026, 12, 29),
    )


CALL, HEDGE = option(24700, InstrumentKind.CALL), option(25200, InstrumentKind.CALL)
GOLD = listed(
    "MCX",
    "GOLDM26DECFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    "GOLDM",
    77_001 << 8 | 7,
    multiplier=10,
    expiry=dt.date(2026, 12, 4),
)
UNCHARGED = listed(
    "NCO",
    "COTTON26DECFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    "COTTON",
    78_001 << 8 | 12,
    expiry=dt.date(2026, 12, 31),
)
"""Listed, but no charge row names its exchange."""
LISTING = Listing(DAY, (*instruments_on(DAY), CALL, HEDGE, GOLD, UNCHARGED))
CLOSES = {
    LISTING.find(*key).id: price(px)
    for key, px in {
        ("NSE", "NIFTY 50"): 24700,
        ("NFO", "NIFTY26NOVFUT"): 24720,
        ("NFO", "NIFTY26DECFUT"): 24850,
        ("NFO", CALL.symbol): 480,
        ("NFO", HEDGE.symbol): 250,
        ("NSE", "RELIANCE"): 1420,
        ("NSE", "INFY"): 1510,
        ("NSE", "SBIN"): 948,
        ("NSE", "HDFCBANK"): 985,
        ("NSE", "TCS"): 3080,
        ("MCX", GOLD.symbol): 120_000,
    }.items()
}
FUTURE = LISTING.find("NFO", "NIFTY26NOVFUT")
RELIANCE, SBIN = LISTING.find("NSE", "RELIANCE"), LISTING.find("NSE", "SBIN")


class Prices:
    """Last prices set by hand over Thursday's closes."""

    def __init__(self):
        self.last = {}

    def last_px(self, instrument):
        return self.last.get(instrument)

    def previous_close(self, instrument):
        return CLOSES.get(instrument)


class Desk:
    """The opened account with everything that shows it."""

    def __init__(self, choice=None, closes=CLOSES):
        self.opening = opening_account(LISTING, closes, choice)
        charges = charge_book(DAY)
        account = self.opening.open(LISTING, closes, charges)
        self.floor = Matcher(
            instruments=LISTING.by_key,
            sessions=sessions_for(DAY),
            charges=charges,
            cash=account.opening,
            account=account,
            fill_model=INSTANT,
            seed=1,
            ledger=MemoryLedger(),
        )
        self.account = self.floor.account
        self.prices = Prices()
        authorised = self.opening.choice.authorised
        self.held = Holdings(
            account, LISTING, self.prices, self.opening.holdings, authorised=authorised
        )
        self.portfolio = Portfolio(self.floor, LISTING, self.prices, self.held)
        self.funds = Funds(self.floor)
        self.calculators = Calculators(self.floor, LISTING, self.prices, charges)

    def trade(self, instrument, product, qty, px):
        """Buy (or sell, negative) at a price; the last price becomes it."""
        account, buy = self.account, qty > 0
        px = px if isinstance(px, int) else price(px)
        position = account.position(instrument, product)
        refusal = account.reserve(position, abs(qty), Price(px), buy=buy)
        assert refusal is None, refusal
        value = account.book_trade(position, abs(qty), Price(px), buy=buy)
        account.charge(position, Side.BUY if buy else Side.SELL, value, ChargeUnits(0))
        self.prices.last[instrument.id] = Price(px)
        return position

    def row(self, which, instrument, product):
        rows = self.portfolio.positions(NOW)[which]
        found = [
            row
            for row in rows
            if (row["tradingsymbol"], row["product"]) == (instrument.symbol, product.value)
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def convert(self, instrument, old, new, qty, *, side="BUY", position_type="day"):
        """What came of asking for a conversion: True, or the kind of error."""
        form = Form(
            {
                "exchange": instrument.exchange,
                "tradingsymbol": instrument.symbol,
                "transaction_type": side,
                "position_type": position_type,
                "quantity": str(qty),
                "old_product": old.value,
                "new_product": new.value,
            }
        )
        try:
            return self.portfolio.convert(NOW, form)
        except KiteError as error:
            return error.error_type


BARE = OpeningChoice(with_holdings=False, carried="", paid_in=price(0))


def shape_of(value):
    """A JSON value's types, as Go's decoder would insist on them."""
    if isinstance(value, dict):
        return {name: shape_of(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape_of(each) for each in value[:1]]
    return type(value).__name__


def fits(value, shape):
    """Whether a value has every key of a shape with its type; ``number`` takes either kind."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            name in value and fits(value[name], each) for name, each in shape.items()
        )
    if shape == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value).__name__ == shape
