"""What a real account would be refused, one literal row each."""

import datetime as dt

import pytest

from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import MINUTE, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.domain.orders import OrdType, Product
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.exchange.rules import (
    OrderRules,
    closed_to_orders,
    intraday_blocked,
    judge_instrument,
    judge_order,
    price_range,
    protected_px,
)

DAY = dt.date(2026, 11, 20)
OPEN, CLOSE = instant(DAY, dt.time(9, 15)), instant(DAY, dt.time(15, 40))
SESSION = Session(
    date=DAY,
    segment=Segment.FUTURES,
    open_at=OPEN,
    close_at=CLOSE,
    entry_cutoff_at=CLOSE,
    square_off_at=CLOSE,
    phases=(
        Phase(PhaseKind.PRE_OPEN, OPEN - 15 * MINUTE, OPEN),
        Phase(PhaseKind.CONTINUOUS, OPEN, CLOSE),
    ),
)
RULES = OrderRules()
MIS, NRML, CNC = Product.MIS, Product.NRML, Product.CNC
MARKET, LIMIT, SL, SL_M = OrdType.MARKET, OrdType.LIMIT, OrdType.SL, OrdType.SL_M


def contract(exchange, symbol, kind, segment, **more):
    fields = {"name": symbol, "lot_size": 1, "tick_size": price("0.05")} | more
    return Instrument(
        id=instrument_id(exchange, symbol),
        exchange=exchange,
        symbol=symbol,
        token=1,
        kind=kind,
        segment=segment,
        **fields,
    )


FUTURE = contract(
    "NFO",
    "NIFTY26NOVFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    freeze_qty=1800,
    tick_size=price("0.10"),
    expiry=dt.date(2026, 11, 23),
)
STOCK_FUTURE = contract("NFO", "ACME26NOVFUT", InstrumentKind.FUTURE, Segment.FUTURES, name="ACME")
CALL = contract("NFO", "NIFTY26NOV24000CE", InstrumentKind.CALL, Segment.OPTIONS, lot_size=65)
SHARE = contract("NSE", "ACME", InstrumentKind.EQUITY, Segment.EQUITY)
FNO_SHARE = contract("NSE", "BIG", InstrumentKind.EQUITY, Segment.EQUITY_WITH_DERIVATIVES)
BSE_SHARE = contract("BSE", "ACME", InstrumentKind.EQUITY, Segment.EQUITY)


def judged(instrument, last, *, buy=True, qty=65, kind=MARKET, product=MIS, **fields):
    return judge_order(
        RULES,
        instrument,
        price(last),
        tag=fields.get("tag", "A"),
        buy=buy,
        qty=qty,
        ord_type=kind,
        product=product,
        limit_px=price(fields.get("limit", 0)),
        stop_px=price(fields.get("stop", 0)),
    )


@pytest.mark.parametrize(
    ("case", "fields", "sentence"),
    [
        ("a lot passes", {}, None),
        ("20 letters pass", {"tag": "K" * 20}, None),
        ("a long tag", {"tag": "K" * 21}, "Invalid `tag`. It may have at most 20 characters."),
        ("nothing", {"qty": 0}, "Quantity should be greater than zero."),
        (
            "odd lots",
            {"qty": 50},
            "Quantity should be in multiples of 65. You asked for 50.",
        ),
        ("the freeze quantity in whole lots", {"qty": 1755}, None),
        (
            "above freeze",
            {"qty": 1820},
            "Quantity 1820 is above the freeze quantity of 1800. Place it in smaller orders.",
        ),
        (
            "delivery of a future",
            {"product": CNC},
            "Product CNC is not available for NIFTY26NOVFUT.",
        ),
        ("carried", {"product": NRML}, None),
        ("a limit without price", {"kind": LIMIT}, "Price is required for LIMIT and SL orders."),
        (
            "off the tick",
            {"kind": LIMIT, "limit": "24000.05"},
            "Tick size for this instrument is 0.10. Check the price.",
        ),
        ("2 % away", {"kind": LIMIT, "limit": "24480"}, None),
        (
            "beyond 2 %",
            {"kind": LIMIT, "limit": "24480.10"},
            "Price exceeds circuit limits. 24480.10 is outside 23520.00 - 24480.00.",
        ),
        (
            "a stop without trigger",
            {"kind": SL_M},
            "Trigger price is required for SL and SL-M orders.",
        ),
        (
            "a trigger off the tick",
            {"kind": SL_M, "stop": "24100.05"},
            "Tick size for this instrument is 0.10. Check the trigger price.",
        ),
        (
            "a buy stop below the market",
            {"kind": SL_M, "stop": "23999"},
            (
                "Trigger price for stoploss buy orders should be higher than the last traded price"
                " (24000.00)."
            ),
        ),
        (
            "a sell stop above the market",
            {"kind": SL_M, "stop": "24001", "buy": False},
            (
                "Trigger price for stoploss sell orders should be lower than the last traded price"
                " (24000.00)."
            ),
        ),
        (
            "a buy stop above its limit",
            {"kind": SL, "stop": "24100", "limit": "24099"},
            "Trigger price for stoploss buy orders cannot be above the limit price.",
        ),
        (
            "a sell stop below its limit",
            {"kind": SL, "stop": "23900", "limit": "23901", "buy": False},
            "Trigger price for stoploss sell orders cannot be below the limit price.",
        ),
        ("a sound stop", {"kind": SL, "stop": "23900", "limit": "23890", "buy": False}, None),
    ],
)
def test_orders_in_a_future_at_24000(case, fields, sentence):
    assert judged(FUTURE, 24000, **fields) == sentence, case


def test_stop_market_orders_are_refused_in_options_and_on_bse():
    assert judged(CALL, 100, kind=SL_M, stop=120) == (
        "SL-M orders are blocked for options. Use SL with a limit price."
    )
    assert judged(BSE_SHARE, 100, kind=SL_M, stop=120) == (
        "SL-M orders are not allowed on BSE. Use SL with a limit price."
    )
    assert judged(SHARE, 100, kind=SL_M, stop=120) is None
    assert judged(CALL, 100, kind=SL, stop=120, limit=121) is None


def test_before_the_first_trade_only_market_orders_are_refused():
    assert judged(FUTURE, 0) == (
        "Market orders are blocked until the instrument has traded today. Use LIMIT."
    )
    assert judged(FUTURE, 0, kind=LIMIT, limit=24000) is None


def test_shares_are_not_carried_as_derivatives():
    assert judged(SHARE, 100, qty=1, product=NRML) == "Product NRML is not available for ACME."
    assert judged(SHARE, 100, qty=1, product=CNC) is None


@pytest.mark.parametrize(
    ("instrument", "last", "buys_at", "sells_at"),
    [
        (FUTURE, "24000", "24120", "23880"),  # 0.5 %
        (SHARE, "99.95", "101.90", "98"),  # 2 % below ₹100, kept inside the band
        (SHARE, "100", "101", "99"),  # 1 % from ₹100
        (SHARE, "500", "505", "495"),  # still 1 % at ₹500 (unconfirmed)
        (SHARE, "500.05", "502.55", "497.55"),  # 0.5 % above
        (CALL, "9.95", "10.40", "9.50"),  # options: 5 % below ₹10
        (CALL, "50", "51.50", "48.50"),  # 3 %
        (CALL, "200", "204", "196"),  # 2 %
        (CALL, "600", "606", "594"),  # 1 %
        (SHARE, "0.05", "0.05", "0.05"),  # never below one tick, never inside out
    ],
)
def test_a_market_order_becomes_a_limit_at_its_automatic_protection(
    instrument, last, buys_at, sells_at
):
    assert protected_px(RULES, instrument, price(last), 0, buy=True) == price(buys_at)
    assert protected_px(RULES, instrument, price(last), 0, buy=False) == price(sells_at)


def test_an_asked_protection_overrides_the_automatic_one():
    assert protected_px(RULES, FUTURE, price(24000), 10, buy=True) == price(24024)


@pytest.mark.parametrize(
    ("instrument", "last", "low", "high"),
    [
        (FUTURE, "24000", "23520", "24480"),
        (FUTURE, "9000", "8800", "9200"),  # below 10 000: 200 points
        (STOCK_FUTURE, "1000", "970", "1030"),
        (STOCK_FUTURE, "40", "38.50", "41.50"),
        (CALL, "100", "60", "140"),
        (CALL, "50", "30", "70"),
        (CALL, "12", "0.05", "32"),  # no price below one tick
        (SHARE, "100", "80", "120"),
        (FNO_SHARE, "100", "90", "110"),
    ],
)
def test_limits_are_taken_inside_the_price_range(instrument, last, low, high):
    assert price_range(RULES, instrument, price(last)) == (price(low), price(high))


def test_orders_are_taken_while_the_market_trades():
    assert closed_to_orders(SESSION, OPEN) is None
    assert closed_to_orders(SESSION, CLOSE - 1) is None
    assert closed_to_orders(SESSION, CLOSE) == (
        "Markets are closed right now. Your order cannot be placed."
    )
    assert closed_to_orders(SESSION, OPEN - 1) is None
    assert closed_to_orders(SESSION, OPEN - 1, SL) == (
        "SL orders are not accepted in this phase of the session (pre-open)."
    )
    assert closed_to_orders(SESSION, OPEN - 1, ioc=True) == (
        "IOC orders are not accepted in this phase of the session (pre-open)."
    )
    assert closed_to_orders(None, OPEN) == (
        "Markets are closed right now. There is no session for this segment today."
    )


def test_no_fresh_intraday_position_after_15_25():
    late = instant(DAY, dt.time(15, 25))
    assert intraday_blocked(RULES, SESSION, late - 1) is None
    assert intraday_blocked(RULES, SESSION, late) == (
        "Intraday (MIS) orders are blocked after the square-off time. Use NRML or CNC."
    )


def test_unknown_expired_and_untradable_instruments():
    index = contract("NSE", "NIFTY 50", InstrumentKind.INDEX, Segment.INDEX)
    expired = contract(
        "NFO",
        "NIFTY26OCTFUT",
        InstrumentKind.FUTURE,
        Segment.FUTURES,
        expiry=dt.date(2026, 10, 27),
    )
    gone = "The instrument you are placing an order for has either expired or does not exist."
    assert judge_instrument(None, None) == f"{gone} Please check the trading symbol."
    assert judge_instrument(expired, SESSION) == f"{gone} NIFTY26OCTFUT expired on 2026-10-27."
    assert judge_instrument(index, SESSION) == "NIFTY 50 is an index and cannot be traded."
    assert judge_instrument(FUTURE, SESSION) is None
