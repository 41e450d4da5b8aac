"""Margin of an underlying scanned as a whole: what hedges save, what shorts cost, what expiry takes."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Money, Price, money, price
from kitestring.domain.orders import Product
from kitestring.exchange.account import Account
from kitestring.exchange.margin import Leg, MarginRates, linear_requirement
from kitestring.exchange.portfolio_margin import RiskBook
from kitestring.exchange.risk_array import SCENARIOS, ReferencePrices, implied_volatility

NRML, MIS = Product.NRML, Product.MIS
DAY, NEAR, FAR = dt.date(2026, 11, 20), dt.date(2026, 11, 23), dt.date(2026, 12, 29)
LOT = 65


def contract(symbol, kind, expiry, strike=None, name="NIFTY", exchange="NFO"):
    return Instrument(
        id=InstrumentId(f"{exchange}:{symbol}"),
        exchange=exchange,
        symbol=symbol,
        token=1,
        kind=kind,
        segment=Segment.INDEX if kind is InstrumentKind.INDEX else Segment.OPTIONS,
        name=name,
        lot_size=LOT,
        tick_size=price("0.05"),
        expiry=expiry,
        strike=strike and price(strike),
    )


def call(strike, expiry=FAR):
    return contract(f"{expiry}{strike}CE", InstrumentKind.CALL, expiry, strike)


def put(strike, expiry=FAR):
    return contract(f"{expiry}{strike}PE", InstrumentKind.PUT, expiry, strike)


SPOT = contract("NIFTY 50", InstrumentKind.INDEX, None, exchange="NSE")
NEAR_FUTURE = contract("NEARFUT", InstrumentKind.FUTURE, NEAR)
FAR_FUTURE = contract("FARFUT", InstrumentKind.FUTURE, FAR)
CLOSES = {SPOT.id: price(24000), call(24000).id: price(420), call(24500).id: price(205)}
REFERENCES = ReferencePrices([SPOT], CLOSES)


def book(day=DAY):
    return RiskBook(day=day, references=REFERENCES)


def held(instrument, qty, px, product=NRML):
    leg = Leg(instrument, product)
    leg.net_qty = qty
    leg.open_cost = price(px) * qty
    return leg


def share_of_value(requirement, value=24000 * LOT):
    return int(requirement.total) / int(money(value))


def test_a_bought_option_costs_its_premium_and_nothing_else():
    required = book().requirement([held(call(24000), LOT, 420)])
    assert (required.total, required.premium) == (money(27300), money(27300))


def test_selling_an_option_at_the_money_costs_about_what_the_future_costs():
    short = book().requirement([held(call(24000), -LOT, 420)])
    future = book().requirement([held(FAR_FUTURE, -LOT, 24000)])
    assert share_of_value(future) == 0.113
    assert 0.085 < share_of_value(short) < 0.12
    assert short.exposure == future.exposure == money(31200)
    assert short.premium == money(-27300)


def test_an_option_far_from_the_money_costs_less_but_not_nothing():
    near, far = (book().requirement([held(put(k), -LOT, 1)]) for k in (24000, 20000))
    assert money(31200) < far.total < near.total


def test_premium_beyond_an_options_worth_is_not_lent():
    fair = book().requirement([held(call(24000), -LOT, 420)])
    absurd = book().requirement([held(call(24000), -LOT, 5000)])
    assert absurd == fair


def test_a_spread_costs_no_more_than_it_can_lose_and_the_exposure_of_its_short_leg():
    legs = [held(call(24000), -LOT, 420), held(call(24500), LOT, 205)]
    spread = book().requirement(legs)
    assert spread.exposure == money(31200)
    assert spread.span <= money(500 * LOT)
    assert spread.total < book().requirement(legs[:1]).total
    assert spread.premium == money((205 - 420) * LOT)


def test_a_hedge_that_only_works_saves_nothing_yet():
    short, hedge = held(call(24000), -LOT, 420), Leg(call(24500), NRML)
    hedge.add_order(LOT, price(205), buy=True)
    waiting = book().requirement([short, hedge])
    assert waiting.total == book().requirement([short]).total + money(205 * LOT)
    hedge.fill(LOT, price(205) * LOT, buy=True)
    hedge.drop_order(LOT, buy=True)
    assert book().requirement([short, hedge]).total < waiting.total / 2


def test_orders_on_both_sides_of_a_held_option_may_all_stay_unfilled():
    option, future = held(call(24000), LOT, 1), Leg(FAR_FUTURE, NRML)
    option.add_order(LOT, price(1), buy=True)
    future.add_order(2 * LOT, price(1), buy=True)
    before = book().requirement([option, future]).total
    option.add_order(LOT, price(1), buy=False)
    assert book().requirement([option, future]).total >= before


def test_an_order_that_closes_costs_nothing():
    future = held(FAR_FUTURE, LOT, 24000)
    option = held(put(24000), LOT, 400)
    before = book().requirement([future, option])
    future.add_order(LOT, price(24100), buy=False)
    after = book().requirement([future, option])
    assert after.total == before.total
    both = Leg(NEAR_FUTURE, NRML)
    both.add_order(LOT, price(24000), buy=True)
    both.add_order(LOT, price(24000), buy=False)
    empty = Leg(FAR_FUTURE, NRML)
    assert share_of_value(book().requirement([both, empty])) == 0.113


def test_a_protected_future_can_lose_what_lies_above_the_put():
    naked = book().requirement([held(FAR_FUTURE, LOT, 24000)])
    protected = book().requirement([held(FAR_FUTURE, LOT, 24000), held(put(23000), LOT, 150)])
    assert protected.total < naked.total
    assert protected.exposure == naked.exposure


def test_futures_of_two_months_pay_exposure_and_the_calendar_charge():
    legs = [held(NEAR_FUTURE, LOT, 24000), held(FAR_FUTURE, -LOT, 24000)]
    spread = book().requirement(legs)
    assert spread.span == money("27300")  # 1.75 % of 65 x 24 000
    assert spread.exposure == money(62400)
    stock = [contract(f"{m}", InstrumentKind.FUTURE, m, name="SBIN") for m in (NEAR, FAR)]
    legs = [held(stock[0], LOT, 24000), held(stock[1], -LOT, 24000)]
    assert book().requirement(legs).span == money("34320")  # 2.2 %


def test_on_expiry_day_the_calendar_saves_nothing():
    legs = [held(NEAR_FUTURE, LOT, 24000), held(FAR_FUTURE, -LOT, 24000)]
    alone = [book(NEAR).requirement([leg]).total for leg in legs]
    assert book(NEAR).requirement(legs).total == alone[0] + alone[1]
    assert share_of_value(book(NEAR).requirement(legs)) == 0.226


def test_short_index_options_cost_two_percent_more_on_the_day_they_expire():
    legs = [held(call(24000, NEAR), -LOT, 100), held(call(24000, FAR), -LOT, 420)]
    assert book().requirement(legs).additional == Money(0)
    assert book(NEAR).requirement(legs).additional == money("31200")
    long = [held(call(24000, NEAR), LOT, 100)]
    assert book(NEAR).requirement(long).additional == Money(0)


def test_two_products_of_one_contract_are_one_risk():
    legs = [held(FAR_FUTURE, LOT, 24000, MIS), held(FAR_FUTURE, -LOT, 24000, NRML)]
    assert book().requirement(legs).span == Money(0)


def test_the_volatility_is_the_one_at_which_the_option_is_worth_its_close():
    array = book().array_of(call(24000))
    assert (len(array.worth), array.now) == (SCENARIOS, price(420))
    assert array.underlying == price(24000)
    found = implied_volatility(
        4_200_000.0, 240_000_000.0, 240_000_000.0, 39 / 365, call=True, otherwise=0.0
    )
    assert 0.13 < found < 0.14
    assert implied_volatility(1.0, 9e7, 1e7, 0.1, call=True, otherwise=0.5) == 0.5


def test_black_puts_a_call_and_a_put_apart_by_their_distance_to_the_strike():
    bare = RiskBook(day=DAY, references=ReferencePrices([SPOT], {SPOT.id: price(24000)}))
    for strike in (21000, 24000, 26000):
        c, p = bare.array_of(call(strike)), bare.array_of(put(strike))
        for thirds, c_px, p_px in zip((0, 0, 1, 1, -1, -1), c.worth, p.worth, strict=False):
            moved = 240_000_000 + 240_000_000 * 0.093 * thirds / 3
            assert abs(c_px - p_px - (moved - strike * 10_000)) <= 300
        assert abs(c.delta_bp - p.delta_bp - 10_000) <= 1


class Free:
    name = "free"

    def order_charges(self, instrument, product, side, traded_value):
        return NO_CHARGES


def test_the_account_scans_an_underlying_once_it_holds_more_than_one_future():
    books = Account(money(1_000_000), Free(), MarginRates(), day=DAY, references=REFERENCES)
    future, option = books.position(FAR_FUTURE, NRML), None
    assert books.reserve(future, LOT, price(24000), buy=True) is None
    assert books.blocked == money("176280")
    books.book_trade(future, LOT, price(24000), buy=True)
    option = books.position(put(23500), NRML)
    assert books.blocked == money("176280")
    assert books.reserve(option, LOT, price(200), buy=True) is None
    assert books.blocked == money("189280")
    books.book_trade(option, LOT, price(200), buy=True)
    assert books.blocked < money("120000")
    assert books.blocked == sum(int(each.blocked) for each in books.positions.values())
    books.reserve(option, LOT, price(200), buy=False)
    assert books.blocked == money("176280")  # the hedge is up for sale: it may be gone first


def test_a_short_option_without_money_is_refused_in_kites_words():
    books = Account(money(100_000), Free(), MarginRates(), day=DAY, references=REFERENCES)
    refusal = books.reserve(books.position(call(24000), NRML), LOT, price(420), buy=False)
    assert refusal is not None
    assert refusal.startswith("Insufficient funds. Required margin is 1")
    assert refusal.endswith("available margin is 100000.00. Check the orderbook for open orders.")
    assert books.blocked == Money(0)


def test_later_references_change_what_is_tied_up():
    books = Account(money(1_000_000), Free(), MarginRates(), day=DAY, references=REFERENCES)
    books.reserve(books.position(call(24000), NRML), LOT, price(420), buy=False)
    before = books.blocked
    books.refer(ReferencePrices([SPOT], {SPOT.id: price(25000)}))
    assert books.blocked > before + money(50_000)


CONTRACTS = [NEAR_FUTURE, FAR_FUTURE, call(24000), call(24500), put(23500), put(24000, NEAR)]
legs_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from(CONTRACTS),
        st.integers(-5, 5),
        st.integers(1, 25_000),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[0].id,
)


def legs_from(rows):
    legs = []
    for instrument, lots, px, buys, sells in rows:
        leg = held(instrument, lots * LOT, px)
        for qty, buy in ((buys, True), (sells, False)):
            if qty:
                leg.add_order(qty * LOT, price(px), buy=buy)
        legs.append(leg)
    return legs


@given(legs_of_any_kind, st.data())
def test_one_more_order_never_frees_margin(rows, data):
    rows = [row for row in rows if row[0].expiry == FAR] or [(FAR_FUTURE, 1, 24_000, 0, 0)]
    legs = [*legs_from(rows), Leg(put(22000), NRML)]
    before = book().requirement(legs).total
    nth = data.draw(st.integers(0, len(rows) - 1))
    legs[nth].add_order(LOT, price(rows[nth][2]), buy=data.draw(st.booleans()))
    assert book().requirement(legs).total >= before >= Money(0)


@given(legs_of_any_kind)
def test_the_items_add_up_and_the_order_of_positions_does_not_matter(rows):
    legs = legs_from(rows)
    forward, backward = book().requirement(legs), book().requirement(legs[::-1])
    assert forward.total == backward.total >= Money(0)
    assert forward.span >= Money(0) or forward.premium > Money(0)


@given(
    st.integers(-500, 500),
    st.integers(1, 10**9),
    st.lists(st.tuples(st.booleans(), st.integers(1, 500), st.integers(1, 10**9)), max_size=8),
)
def test_a_lone_future_costs_the_same_by_the_simple_rule_and_by_the_scan(net, px, orders):
    """But for rounding: the account may change from one to the other at any moment."""
    leg = Leg(FAR_FUTURE, NRML)
    leg.net_qty, leg.open_cost = net, Price(px) * net
    for buy, qty, at in orders:
        leg.add_order(qty, Price(at), buy=buy)
    simple = linear_requirement(MarginRates(), leg).total
    scanned = book().requirement([leg, Leg(call(24000), NRML)]).total
    assert abs(simple - scanned) <= Money(4)
