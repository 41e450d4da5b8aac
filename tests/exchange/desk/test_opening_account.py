"""The account a client meets: every read has something to show, and the same day opens alike."""

import datetime as dt

from money_world import CLOSES, DAY, FUTURE, LISTING, NOW, Desk

from kitestring.domain.money import money, price
from kitestring.domain.orders import Product
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.opening_account import OpeningChoice, isin_of, opening_account
from kitestring.exchange.instrument_master import instruments_on


def test_no_read_is_empty():
    desk = Desk()
    assert desk.portfolio.positions(NOW)["net"]
    assert desk.portfolio.holdings(NOW)
    assert desk.portfolio.holdings_compact(NOW)
    assert desk.portfolio.auctions(NOW)
    assert desk.portfolio.holdings_summary(NOW)["current_value"] > 0
    assert desk.funds.segment(NOW, "equity")["utilised"]["span"] > 0


def test_the_same_day_opens_alike():
    assert opening_account(LISTING, CLOSES) == opening_account(LISTING, CLOSES)


def test_the_money_adds_up_from_the_first_moment():
    account = Desk().account
    assert account.cash == money(1_225_000)
    assert account.opening == money(1_200_000)
    assert account.available == account.equity.available + account.commodity.available


def test_the_next_month_is_carried_over_an_expiry():
    expiry = dt.date(2026, 11, 23)
    listing = Listing(expiry, instruments_on(expiry))
    december = listing.find("NFO", "NIFTY26DECFUT")
    closes = {FUTURE.id: price(24720), december.id: price(24850)}
    carried = opening_account(listing, closes).positions
    assert carried == {(december.id, Product.NRML): (65, price("24750.60"))}


def test_without_closes_there_is_only_money():
    opening = opening_account(LISTING, {})
    assert (opening.holdings, opening.positions, opening.collateral) == ((), {}, money(0))


def test_an_account_can_be_chosen():
    choice = OpeningChoice(cash=money(50_000), shares=("TCS",), carried="BANKNIFTY", auction=False)
    opening = opening_account(LISTING, CLOSES, choice)
    assert [each.instrument for each in opening.holdings] == ["NSE:TCS"]
    assert opening.positions == {}  # no close of BANKNIFTY is known here
    assert opening.holdings[0].auction_number == ""
    assert LISTING.day == DAY


def luhn(isin):
    digits = [int(d) for letter in isin for d in str(int(letter, 36))]
    doubled = [2 * d if nth % 2 else d for nth, d in enumerate(digits[::-1])]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10


def test_isins_are_well_formed_and_tell_shares_apart():
    known = ("RELIANCE", "INFY", "SBIN", "HDFCBANK", "TCS", "ICICIBANK")
    invented = [f"INVENTED{n}" for n in range(50)]
    for symbol in (*known, *invented):
        assert len(isin_of(symbol)) == 12
        assert luhn(isin_of(symbol)) == 0
    assert len({isin_of(symbol) for symbol in invented}) == 50
