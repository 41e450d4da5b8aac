"""Cash, positions and margin of the exchange's account, to the unit."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.charges import Charges
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, Money, Price, money, price
from kitestring.domain.orders import Product, Side
from kitestring.exchange.account import Account
from kitestring.exchange.margin import MarginRates, StatedMargins, unit_margins

MIS, NRML, CNC = Product.MIS, Product.NRML, Product.CNC


def contract(symbol, kind, segment, **more):
    fields = {"lot_size": 1, "tick_size": price("0.05"), "exchange": "NFO"} | more
    return Instrument(
        id=InstrumentId(f"{fields['exchange']}:{symbol}"),
        symbol=symbol,
        token=1,
        kind=kind,
        segment=segment,
        name=symbol,
        **fields,
    )


FUTURE = contract("FUT", InstrumentKind.FUTURE, Segment.FUTURES)
SHARE = contract("SHARE", InstrumentKind.EQUITY, Segment.EQUITY)
NIFTY = contract("NIFTY", InstrumentKind.FUTURE, Segment.FUTURES)
MCX = contract("GOLD", InstrumentKind.FUTURE, Segment.FUTURES, exchange="MCX", multiplier=100)
CALL = contract(
    "CE", InstrumentKind.CALL, Segment.OPTIONS, strike=price(24000), expiry=dt.date(2026, 11, 23)
)


class OneInAThousand:
    name = "0.1 %"

    def order_charges(self, instrument, product, side, traded_value):
        return Charges(exchange=ChargeUnits(int(traded_value) * 1000))


def account(cash="100000"):
    return Account(money(cash), OneInAThousand(), MarginRates())


def test_margin_of_one_unit():
    rates = MarginRates()
    # Stock futures 14.2 % and 3.5 %, index futures 9.3 % and 2 %; MIS costs what NRML costs.
    assert unit_margins(rates, FUTURE, MIS, price(24000)) == (money(4248), money(4248))
    assert unit_margins(rates, FUTURE, NRML, price(24000)) == (money(4248), money(4248))
    assert unit_margins(rates, NIFTY, MIS, price(24000)) == (money(2712), money(2712))
    assert unit_margins(rates, SHARE, MIS, price(500)) == (money(100), money(100))
    assert unit_margins(rates, SHARE, CNC, price(500)) == (money(500), money(500))
    assert unit_margins(rates, CALL, MIS, price(100)) == (money(100), money(4348))
    assert unit_margins(rates, MCX, NRML, price(100)) == (money(1500), money(1500))


def test_whoever_asks_before_an_order_hears_what_the_account_will_tie_up():
    margins = StatedMargins()
    for instrument in (FUTURE, NIFTY, SHARE, MCX, CALL):
        for product in (MIS, NRML, CNC):
            units = unit_margins(MarginRates(), instrument, product, price("99.95"))
            for _ in range(2):
                asked = [
                    margins.unit_margin(instrument, product, side, price("99.95"))
                    for side in (Side.BUY, Side.SELL)
                ]
                assert asked == list(units)


def test_each_order_counts_with_its_own_price():
    books = account()
    position = books.position(SHARE, CNC)
    assert books.reserve(position, 10, price(1000), buy=True) is None
    assert books.reserve(position, 1, price(1), buy=True) is None
    assert books.blocked == money(10001)
    books.book_trade(position, 11, price(900), buy=True)
    assert books.blocked == money(9900)


def test_an_order_too_large_is_refused_and_changes_nothing():
    books = account("1000")
    position = books.position(SHARE, CNC)
    assert books.reserve(position, 11, price(100), buy=True) == (
        "Insufficient funds. Required margin is 1100.00 but available margin is 1000.00."
        " Check the orderbook for open orders."
    )
    assert (books.blocked, position.working_buy) == (Money(0), 0)
    assert books.reserve(position, 10, price(100), buy=True) is None
    assert books.available == Money(0)


def test_it_can_be_asked_what_it_would_refuse_and_nothing_stays_tied_up():
    books = account("1000")
    position = books.position(SHARE, CNC)
    books.reserve(position, 2, price(100), buy=True)
    first, second, third = books.would_refuse(position, [5, 4, 3], price(100), buy=True)
    assert (first, third) == (None, None)
    assert second.startswith("Insufficient funds. Required margin is 400.00 but available margin")
    assert (books.blocked, position.working_buy, position.buy_value) == (money(200), 2, money(200))


def test_closing_needs_no_margin_and_frees_it():
    books = account("1000")
    position = books.position(SHARE, CNC)
    assert books.reserve(position, 10, price(100), buy=True) is None
    books.book_trade(position, 10, price(100), buy=True)
    assert books.reserve(position, 10, price(90), buy=False) is None
    books.book_trade(position, 10, price(90), buy=False)
    assert (books.available, books.realised) == (money(900), money(-100))


def test_buying_and_selling_orders_that_work_together_tie_up_the_larger_side_only():
    books = account()
    position = books.position(FUTURE, NRML)
    assert books.reserve(position, 2, price(1000), buy=True) is None
    assert books.blocked == money(354)
    assert books.reserve(position, 1, price(1000), buy=False) is None
    assert books.blocked == money(354)
    books.release(position, 2, buy=True)
    assert books.blocked == money(177)


def test_a_reversal_in_one_order_realises_the_old_and_opens_the_new():
    books = account()
    position = books.position(MCX, NRML)
    books.reserve(position, 1, price(100), buy=True)
    books.book_trade(position, 1, price(100), buy=True)
    books.reserve(position, 3, price(110), buy=False)
    books.book_trade(position, 3, price(110), buy=False)
    assert position.net_qty == -2
    assert books.realised == money(1000)
    assert position.open_cost == money(-22000)
    assert books.cash == money(100000 - 10000 + 33000)


def test_charges_are_booked_once_for_an_order_in_parts():
    books = account()
    position = books.position(SHARE, MIS)
    first = books.charge(position, Side.BUY, money(1000), ChargeUnits(0))
    second = books.charge(position, Side.BUY, money(3000), first)
    assert (first, second) == (10**10, 3 * 10**10)
    assert books.charges == 3 * 10**10
    assert books.available == money(99997)


def test_a_carried_position_ties_up_margin_and_costs_no_cash_again():
    books = account()
    books.carry({FUTURE.id: FUTURE}, {(FUTURE.id, NRML): (-10, price(1000))})
    assert (books.cash, books.blocked) == (money(100000), money(1770))
    assert books.positions[FUTURE.id, NRML].open_cost == money(-10000)


trades = st.lists(st.tuples(st.booleans(), st.integers(1, 500), st.integers(1, 10**9)), max_size=30)


@given(trades)
def test_cash_and_cost_always_make_opening_and_realised(rows):
    books = account()
    position = books.position(MCX, NRML)
    flow = 0
    for buy, qty, px in rows:
        books.reserve(position, qty, Price(px), buy=buy, checked=False)
        books.book_trade(position, qty, Price(px), buy=buy)
        flow += (-1 if buy else 1) * qty * px * 100
        assert books.cash + position.open_cost == books.opening + books.realised
        assert books.cash == books.opening + flow
        assert position.working_buy == position.working_sell == 0
    if position.net_qty == 0:
        assert position.open_cost == books.blocked == 0


@given(trades)
def test_what_is_released_was_tied_up(rows):
    books = account()
    position = books.position(FUTURE, MIS)
    for buy, qty, px in rows:
        books.reserve(position, qty, Price(px), buy=buy, checked=False)
    for buy, qty, _ in rows:
        books.release(position, qty, buy=buy)
    assert (books.blocked, books.available) == (0, books.opening)
