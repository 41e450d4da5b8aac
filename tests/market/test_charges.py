"""What trades cost, against published contract notes and rates, to the digit that was published."""

import datetime as dt
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Money, charge_text, money, price
from kitestring.domain.orders import Product, Side
from kitestring.market.charge_rates import (
    BrokerageRow,
    ChargeRows,
    RateCard,
    charges_at,
    check_rates,
    per_crore,
    side_rates,
)
from kitestring.market.charges import FlatCharges, charge_book, configured_charges
from kitestring.market.rows import parse_rows, read_rows

TODAY = dt.date(2026, 11, 20)
EQ, FUT, CE = InstrumentKind.EQUITY, InstrumentKind.FUTURE, InstrumentKind.CALL
MIS, NRML, CNC = Product.MIS, Product.NRML, Product.CNC
BUY, SELL = Side.BUY, Side.SELL


def an_instrument(exchange: str, kind: InstrumentKind) -> Instrument:
    return Instrument(
        id=InstrumentId(f"{exchange}:X"),
        exchange=exchange,
        symbol="X",
        token=1,
        kind=kind,
        segment=Segment.EQUITY if kind is EQ else Segment.FUTURES,
        name="X",
        lot_size=1,
        tick_size=price("0.05"),
    )


def shown(charges: Charges) -> dict[str, str]:
    names = ("brokerage", "stt", "exchange", "sebi", "stamp", "gst", "total")
    return {name: charge_text(getattr(charges, name)) for name in names}


def there_and_back(
    exchange: str, kind: InstrumentKind, product: Product, bought: str, sold: str
) -> dict[str, str]:
    book = charge_book(TODAY)
    instrument = an_instrument(exchange, kind)
    entry = book.order_charges(instrument, product, BUY, money(bought))
    leaving = book.order_charges(instrument, product, SELL, money(sold))
    return shown(entry.plus(leaving))


def old_card(**changes: object) -> RateCard:
    """A rate card of 2023, in force when Zerodha published its sample contract notes."""
    card = {
        "source": "Zerodha's published sample contract note, 2023",
        "valid_from": dt.date(2023, 1, 1),
        "exchange": "NFO",
        "kind": "OPT",
        "products": (NRML,),
        "brokerage": BrokerageRow(flat="20"),
        "stt_buy": "0%",
        "stt_sell": "0.0625%",
        "exchange_fee": "0.05%",
        "sebi": "0.0001%",
        "stamp_buy": "0%",
        "gst": "18%",
    }
    return RateCard(**{**card, **changes})


# ---- published sample contract notes: the arithmetic, to the last digit -----------------------------


def test_sample_note_of_a_gold_future_sold():
    card = old_card(
        exchange="MCX",
        kind="FUT",
        brokerage=BrokerageRow(rate="0.03%", at_most="20"),
        stt_sell="0.01%",
        exchange_fee="0.0026%",
    )
    assert shown(charges_at(side_rates(card, SELL), money("5862"))) == {
        "brokerage": "1.7586",
        "stt": "0.5862",
        "exchange": "0.152412",
        "sebi": "0.005862",
        "stamp": "0.00",
        "gst": "0.34503732",
        "total": "2.84811132",
    }


def test_sample_note_of_a_nifty_put_bought_where_gst_spares_investor_protection():
    card = old_card(investor_protection="0.0005%")
    assert shown(charges_at(side_rates(card, BUY), money("150"))) == {
        "brokerage": "20.00",
        "stt": "0.00",
        "exchange": "0.07575",
        "sebi": "0.00015",
        "stamp": "0.00",
        "gst": "3.613527",
        "total": "23.689427",
    }


def test_sample_note_of_a_nifty_call_sold():
    assert shown(charges_at(side_rates(old_card(), SELL), money("2673.75"))) == {
        "brokerage": "20.00",
        "stt": "1.67109375",
        "exchange": "1.336875",
        "sebi": "0.00267375",
        "stamp": "0.00",
        "gst": "3.841118775",
        "total": "26.851761275",
    }


def test_sample_note_of_infosys_bought_for_delivery():
    """The note shows stamp duty rounded, 0.22; unrounded it is 0.015 % of 1498."""
    card = old_card(
        exchange="NSE",
        kind="EQ",
        brokerage=BrokerageRow(flat="0.01"),
        stt_buy="0.1%",
        stt_sell="0.1%",
        exchange_fee="0.00345%",
        stamp_buy="0.015%",
    )
    assert shown(charges_at(side_rates(card, BUY), money("1498"))) == {
        "brokerage": "0.01",
        "stt": "1.498",
        "exchange": "0.051681",
        "sebi": "0.001498",
        "stamp": "0.2247",
        "gst": "0.01137222",
        "total": "1.79725122",
    }


def test_sample_note_of_sbin_spares_investor_protection_too():
    card = old_card(
        exchange="NSE",
        kind="EQ",
        brokerage=BrokerageRow(flat="0"),
        exchange_fee="0.00325%",
        investor_protection="0.0001%",
    )
    note = shown(charges_at(side_rates(card, BUY), money("560")))
    assert note["exchange"] == "0.01876"
    assert note["gst"] == "0.0033768"


def test_the_web_calculator_s_intraday_trade_at_its_older_rates():
    """400 shares, 1000 to 1100. The page shows SEBI's fee with its GST inside: 0.84 × 1.18 = 0.99."""
    card = old_card(
        exchange="NSE",
        kind="EQ",
        brokerage=BrokerageRow(rate="0.03%", at_most="20"),
        stt_sell="0.025%",
        exchange_fee="0.00345%",
        stamp_buy="0.003%",
    )
    entry = charges_at(side_rates(card, BUY), money("400000"))
    leaving = charges_at(side_rates(card, SELL), money("440000"))
    assert shown(entry.plus(leaving)) == {
        "brokerage": "40.00",
        "stt": "110.00",
        "exchange": "28.98",
        "sebi": "0.84",
        "stamp": "12.00",
        "gst": "12.5676",
        "total": "204.3876",
    }


# ---- the rates in force today ------------------------------------------------------------------------


def test_intraday_100_shares_1500_to_1510():
    assert there_and_back("NSE", EQ, MIS, "150000", "151000") == {
        "brokerage": "40.00",
        "stt": "37.75",
        "exchange": "9.2407",
        "sebi": "0.301",
        "stamp": "4.50",
        "gst": "8.917506",
        "total": "100.709206",
    }


def test_option_65_at_120_to_121():
    assert there_and_back("NFO", CE, MIS, "7800", "7865") == {
        "brokerage": "40.00",
        "stt": "11.7975",
        "exchange": "5.5657745",
        "sebi": "0.015665",
        "stamp": "0.234",
        "gst": "8.20465911",
        "total": "65.81759861",
    }


def test_intraday_400_shares_1000_to_1100():
    assert there_and_back("NSE", EQ, MIS, "400000", "440000") == {
        "brokerage": "40.00",
        "stt": "110.00",
        "exchange": "25.788",
        "sebi": "0.84",
        "stamp": "12.00",
        "gst": "11.99304",
        "total": "200.62104",
    }


def test_nifty_future_65_at_24668_to_24700():
    assert there_and_back("NFO", FUT, NRML, "1603420", "1605500") == {
        "brokerage": "40.00",
        "stt": "802.75",
        "exchange": "58.723236",
        "sebi": "3.20892",
        "stamp": "32.0684",
        "gst": "18.34778808",
        "total": "955.09834408",
    }


def test_delivery_100_shares_500_to_520():
    assert there_and_back("NSE", EQ, CNC, "50000", "52000") == {
        "brokerage": "0.00",
        "stt": "102.00",
        "exchange": "3.1314",
        "sebi": "0.102",
        "stamp": "7.50",
        "gst": "0.582012",
        "total": "113.315412",
    }
    assert charge_text(charge_book(TODAY).dp_charge) == "15.34"


def test_option_650_at_150_to_180():
    assert there_and_back("NFO", CE, NRML, "97500", "117000") == {
        "brokerage": "40.00",
        "stt": "175.50",
        "exchange": "76.21185",
        "sebi": "0.2145",
        "stamp": "2.925",
        "gst": "20.956743",
        "total": "315.808093",
    }


def test_bse_option_pays_3250_a_crore_and_investor_protection():
    assert there_and_back("BFO", CE, MIS, "10000", "10000") == {
        "brokerage": "40.00",
        "stt": "15.00",
        "exchange": "6.60",
        "sebi": "0.02",
        "stamp": "0.30",
        "gst": "8.3736",
        "total": "70.2936",
    }


@pytest.mark.parametrize(
    ("day", "stt"),
    [
        (dt.date(2026, 4, 1), "1000.00"),
        (dt.date(2026, 3, 31), "400.00"),
        (dt.date(2024, 10, 1), "400.00"),
    ],
)
def test_stt_on_futures_rose_on_1_april_2026(day, stt):
    sold = charge_book(day).order_charges(an_instrument("NFO", FUT), NRML, SELL, money("2000000"))
    assert charge_text(sold.stt) == stt


@pytest.mark.parametrize(
    ("day", "exchange", "gst_on_a_crore"),
    [(dt.date(2026, 2, 28), "307.00", "58.86"), (dt.date(2026, 3, 1), "307.00", "60.66")],
)
def test_nse_folded_investor_protection_into_its_fee_on_1_march_2026(day, exchange, gst_on_a_crore):
    """The total stayed 307 a crore; GST now falls on all of it: 18 % of 297 + 10 + 20, or 307 + 10 + 20."""
    paid = charge_book(day).order_charges(an_instrument("NSE", EQ), MIS, BUY, money("10000000"))
    assert charge_text(paid.exchange) == exchange
    assert charge_text(paid.gst) == gst_on_a_crore


@pytest.mark.parametrize(
    ("day", "stt"), [(dt.date(2026, 3, 31), "375.00"), (dt.date(2026, 4, 1), "450.00")]
)
def test_exercising_3000_at_100_in_the_money(day, stt):
    book = charge_book(day)
    option = an_instrument("NFO", CE)
    held = book.exercise_charges(option, long=True, intrinsic_value=money("300000"), orders=2)
    assert charge_text(held.stt) == stt
    assert charge_text(held.brokerage) == "40.00"
    assert charge_text(held.gst) == "7.20"
    written = book.exercise_charges(option, long=False, intrinsic_value=money("300000"))
    assert charge_text(written.stt) == "0.00"
    assert charge_text(written.brokerage) == "20.00"


# ---- laws ---------------------------------------------------------------------------------------------

KINDS = st.sampled_from(
    [
        ("NSE", EQ, MIS),
        ("NSE", EQ, CNC),
        ("NFO", FUT, MIS),
        ("NFO", CE, NRML),
        ("BSE", EQ, MIS),
        ("BFO", FUT, NRML),
        ("BFO", CE, MIS),
        ("MCX", FUT, NRML),
        ("CDS", FUT, MIS),
        ("BCD", CE, NRML),
    ]
)
SIDES = st.sampled_from([BUY, SELL])
VALUES = st.integers(0, 10**13)


@given(KINDS, SIDES, VALUES, VALUES)
def test_no_component_ever_shrinks_as_an_order_fills(kind, side, one, other):
    exchange, sort, product = kind
    book = charge_book(TODAY)
    instrument = an_instrument(exchange, sort)
    less = book.order_charges(instrument, product, side, Money(min(one, other)))
    more = book.order_charges(instrument, product, side, Money(max(one, other)))
    grown = more.minus(less)
    assert min(grown.brokerage, grown.stt, grown.exchange, grown.sebi, grown.stamp, grown.gst) >= 0


@given(KINDS, SIDES, st.lists(st.integers(1, 10**11), min_size=1, max_size=12))
def test_the_increments_of_the_fills_sum_to_the_charge_of_the_order(kind, side, fills):
    exchange, sort, product = kind
    book = charge_book(TODAY)
    instrument = an_instrument(exchange, sort)
    booked, so_far, traded = NO_CHARGES, NO_CHARGES, 0
    for value in fills:
        traded += value
        cumulative = book.order_charges(instrument, product, side, Money(traded))
        booked, so_far = booked.plus(cumulative.minus(so_far)), cumulative
    assert booked == book.order_charges(instrument, product, side, Money(sum(fills)))


def half_up(exact: Fraction) -> int:
    return math.floor(exact + Fraction(1, 2))


@given(SIDES, st.integers(1, 10**13))
def test_each_component_is_the_exact_fraction_rounded_half_up_once(side, value):
    """An intraday order in NSE shares today, in fractions of a rupee from the published percentages."""
    rupees = Fraction(value, 10_000)
    brokerage = min(rupees * Fraction(3, 10_000), Fraction(20))
    exchange = rupees * Fraction(307, 10**7)
    sebi = rupees * Fraction(1, 10**6)
    stt = rupees * Fraction(25, 100_000) if side is SELL else Fraction(0)
    stamp = rupees * Fraction(3, 100_000) if side is BUY else Fraction(0)
    gst = (brokerage + exchange + sebi) * Fraction(18, 100)
    paid = charge_book(TODAY).order_charges(an_instrument("NSE", EQ), MIS, side, Money(value))
    parts = (brokerage, stt, exchange, sebi, stamp, gst)
    assert paid == Charges(*(half_up(part * 10**10) for part in parts))


@given(VALUES)
def test_buying_intraday_pays_no_stt_and_selling_no_stamp(value):
    book = charge_book(TODAY)
    share = an_instrument("NSE", EQ)
    assert book.order_charges(share, MIS, BUY, Money(value)).stt == 0
    assert book.order_charges(share, MIS, SELL, Money(value)).stamp == 0


@given(KINDS, SIDES, VALUES)
def test_brokerage_never_exceeds_twenty_rupees_an_order(kind, side, value):
    exchange, sort, product = kind
    paid = charge_book(TODAY).order_charges(
        an_instrument(exchange, sort), product, side, Money(value)
    )
    assert 0 <= paid.brokerage <= 20 * 10**10


def test_an_order_that_has_not_traded_costs_nothing():
    book = charge_book(TODAY)
    assert book.order_charges(an_instrument("NFO", CE), MIS, BUY, Money(0)) == NO_CHARGES


# ---- the ends of what we know -------------------------------------------------------------------------


@pytest.mark.parametrize("day", [dt.date(2024, 9, 30), dt.date(2021, 4, 13), dt.date(2027, 1, 1)])
def test_a_day_without_rates_is_refused_and_asks_for_another_day_s(day):
    with pytest.raises(CalendarUnknown) as refusal:
        charge_book(day)
    assert "--charges-as-of DATE" in refusal.value.do
    assert str(day) in refusal.value.what


def test_the_first_and_the_last_day_with_rates():
    assert charge_book(dt.date(2024, 10, 1)).name == "Zerodha charges of 2024-10-01"
    assert charge_book(dt.date(2026, 12, 31)).name == "Zerodha charges of 2026-12-31"


@pytest.mark.parametrize(
    ("exchange", "kind", "product"),
    [
        ("NSE", InstrumentKind.INDEX, MIS),
        ("NSE", EQ, NRML),
        ("NFO", FUT, CNC),
        ("CDS", FUT, CNC),
        ("NCO", FUT, NRML),
    ],
)
def test_what_has_no_rates_is_refused_before_it_is_traded(exchange, kind, product):
    book = charge_book(TODAY)
    instrument = an_instrument(exchange, kind)
    assert not book.covers(instrument, product)
    with pytest.raises(CalendarUnknown, match=f"no charges are known for {exchange}:X"):
        book.order_charges(instrument, product, BUY, money("1000"))


def test_commodity_rates_begin_in_june_2026():
    gold = an_instrument("MCX", FUT)
    assert charge_book(dt.date(2026, 6, 19)).covers(gold, NRML)
    assert not charge_book(dt.date(2026, 6, 18)).covers(gold, NRML)


def test_currency_pays_no_transaction_tax():
    """Ten lots of 1 000 dollars at 88.50: a share of the value, no STT, and stamp for the buyer."""
    future = an_instrument("CDS", FUT)
    book = charge_book(TODAY)
    bought = book.order_charges(future, NRML, BUY, money("885000"))
    assert shown(bought) == {
        "brokerage": "20.00",
        "stt": "0.00",
        "exchange": "3.0975",
        "sebi": "0.885",
        "stamp": "0.885",
        "gst": "4.31685",
        "total": "29.18435",
    }
    assert charge_text(book.order_charges(future, NRML, SELL, money("885000")).stt) == "0.00"


def test_shares_cannot_be_exercised():
    with pytest.raises(CalendarUnknown):
        charge_book(TODAY).exercise_charges(
            an_instrument("NSE", EQ), long=True, intrinsic_value=money("1")
        )


# ---- one flat percentage ------------------------------------------------------------------------------


def test_a_flat_charge_is_all_brokerage():
    book = configured_charges("flat 0.03%", TODAY)
    assert book.name == "flat 0.03%"
    assert shown(book.order_charges(an_instrument("NSE", EQ), MIS, SELL, money("100000"))) == {
        "brokerage": "30.00",
        "stt": "0.00",
        "exchange": "0.00",
        "sebi": "0.00",
        "stamp": "0.00",
        "gst": "0.00",
        "total": "30.00",
    }


def test_a_flat_charge_of_nothing():
    book = FlatCharges(0)
    assert book.name == "flat 0%"
    assert book.order_charges(an_instrument("NSE", EQ), MIS, BUY, money("1")).total == 0


def test_zerodha_s_rates_by_name():
    assert configured_charges("zerodha", TODAY).name == "Zerodha charges of 2026-11-20"


@pytest.mark.parametrize(
    "words",
    [
        "",
        "flat",
        "flat 3",
        "flat x%",
        "flat 0.00001%",
        "flat NaN%",
        "flat -1%",
        "flat 100%",
        "free",
    ],
)
def test_other_words_for_charges_are_refused(words):
    with pytest.raises(ConfigError, match=r"flat"):
        configured_charges(words, TODAY)


# ---- wrong rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rupees"), [("0.03%", 3000), ("0.00307%", 307), ("0.0001%", 10), ("0%", 0)]
)
def test_percentages_are_whole_rupees_a_crore(text, rupees):
    assert per_crore(text) == rupees


@pytest.mark.parametrize("text", ["0.03", "0.000001%", "-1%", "x%", "NaN%", "", "Infinity%"])
def test_a_percentage_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="percentage"):
        per_crore(text)


def test_a_wrong_rate_names_the_file_and_the_row():
    rows = read_rows("charges.toml", ChargeRows)
    broken = ChargeRows(rows.last_day, rows.account, (old_card(stt_sell="0.0625"),))
    with pytest.raises(ConfigError, match=r"charges\.toml.*NFO OPT 2023-01-01.*0\.0625"):
        check_rates(broken)


@pytest.mark.parametrize(
    "brokerage",
    [
        BrokerageRow(),
        BrokerageRow(rate="0.03%"),
        BrokerageRow(at_most="20"),
        BrokerageRow(flat="20", rate="0.03%", at_most="20"),
    ],
)
def test_brokerage_is_flat_or_capped_and_nothing_between(brokerage):
    with pytest.raises(ValueError, match="brokerage is either"):
        side_rates(old_card(brokerage=brokerage), BUY)


def test_an_unknown_key_in_a_rate_is_refused():
    text = 'last_day = 2026-12-31\naccount = []\nrates = [{ exchnge = "NSE" }]'
    with pytest.raises(ConfigError, match=r"charges\.toml.*exchnge.*rates\[0\]"):
        parse_rows("charges.toml", text, ChargeRows)


def test_every_rate_names_its_source():
    rows = read_rows("charges.toml", ChargeRows)
    assert all(row.source for row in (*rows.rates, *rows.account))
