"""Our own no: what the exchange or Kite would refuse, as literal orders."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_desk import NIFTY, NIFTY_OPTION, SENSEX_FUTURE, SHARE, intent

from kitestring.core.order_rules import judge, slices, stop_order_shape
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import price
from kitestring.domain.orders import OrdType, Product, Purpose, Side, TimeInForce
from kitestring.domain.sessions import PhaseKind

BSE_SHARE = msgspec.structs.replace(SHARE, exchange="BSE")
BUY, SELL = Side.BUY, Side.SELL


def code(instrument=NIFTY, phase=PhaseKind.CONTINUOUS, low=None, high=None, **order):
    denial = judge(
        intent(instrument=instrument, **order),
        instrument,
        phase,
        band_low=low and price(low),
        band_high=high and price(high),
    )
    return denial and denial.code


def limit(px):
    return {"ord_type": OrdType.LIMIT, "price": price(px)}


def stop(px, trigger, side=BUY):
    return {"ord_type": OrdType.SL, "price": price(px), "stop_px": price(trigger), "side": side}


@pytest.mark.parametrize(
    ("qty", "expected"),
    [(65, None), (130, None), (64, "LOT"), (66, "LOT"), (0, "LOT"), (-65, "LOT")],
)
def test_only_whole_lots(qty, expected):
    assert code(qty=qty) == expected


@pytest.mark.parametrize(("qty", "expected"), [(17_550, None), (17_615, "FREEZE")])
def test_no_more_than_ten_slices_of_the_freeze_quantity(qty, expected):
    assert code(qty=qty) == expected


def test_an_index_is_no_instrument_to_order():
    index = msgspec.structs.replace(NIFTY, kind=InstrumentKind.INDEX)
    assert code(index) == "NOT_TRADABLE"


@pytest.mark.parametrize(
    ("px", "expected"),
    [
        ("25000.10", None),
        ("25000.15", "TICK"),
        ("0", "PRICE"),
        ("-5", "PRICE"),
        ("24000", None),
        ("23999.90", "PRICE_BAND"),
        ("26000", None),
        ("26000.10", "PRICE_BAND"),
    ],
)
def test_limit_prices_sit_on_the_tick_and_in_the_band(px, expected):
    assert code(low="24000", high="26000", **limit(px)) == expected


@pytest.mark.parametrize(
    ("bp", "expected"),
    [
        (None, None),
        (1, None),
        (10_000, None),
        (0, "PROTECTION"),
        (-1, "PROTECTION"),
        (10_001, "PROTECTION"),
    ],
)
def test_market_orders_need_protection(bp, expected):
    assert code(market_protection_bp=bp) == expected


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [
        (NIFTY, None),
        (SHARE, None),
        (NIFTY_OPTION, "ORDER_KIND"),
        (SENSEX_FUTURE, "ORDER_KIND"),
        (BSE_SHARE, "ORDER_KIND"),
    ],
)
def test_sl_m_does_not_exist_for_options_and_on_bse(instrument, expected):
    order = {"ord_type": OrdType.SL_M, "stop_px": price("25000"), "qty": 1300}
    assert code(instrument, **order) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (stop("25010", "25000"), None),
        (stop("25000", "25000"), None),
        (stop("24990", "25000"), "STOP_LIMIT_SIDE"),
        (stop("24990", "25000", SELL), None),
        (stop("25010", "25000", SELL), "STOP_LIMIT_SIDE"),
        (stop("25010", "25000.05"), "TICK"),
    ],
)
def test_the_limit_of_a_stop_lies_beyond_its_trigger(order, expected):
    assert code(**order) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({"ord_type": OrdType.LIMIT}, "PRICE"),
        ({"ord_type": OrdType.MARKET, "price": price("25000")}, "PRICE"),
        ({"ord_type": OrdType.MARKET, "stop_px": price("25000")}, "PRICE"),
        ({"ord_type": OrdType.SL, "price": price("25000")}, "PRICE"),
        ({"ord_type": OrdType.SL, "stop_px": price("25000")}, "PRICE"),
        ({"ord_type": OrdType.SL_M}, "PRICE"),
        ({**stop("25010", "25000"), "time_in_force": TimeInForce.IOC}, "ORDER_KIND"),
        ({**limit("25000"), "time_in_force": TimeInForce.IOC}, None),
    ],
)
def test_each_kind_comes_with_exactly_its_prices(order, expected):
    assert code(**order) == expected


@pytest.mark.parametrize(("px", "expected"), [("81600", None), ("81600.10", "STOP_LIMIT_GAP")])
def test_bse_keeps_the_limit_of_a_futures_stop_within_two_percent(px, expected):
    assert code(SENSEX_FUTURE, qty=20, **stop(px, "80000")) == expected


@pytest.mark.parametrize(
    ("instrument", "product", "expected"),
    [
        (SHARE, Product.CNC, None),
        (SHARE, Product.MIS, None),
        (SHARE, Product.NRML, "PRODUCT"),
        (NIFTY, Product.NRML, None),
        (NIFTY, Product.CNC, "PRODUCT"),
    ],
)
def test_products_belong_to_their_segments(instrument, product, expected):
    assert code(instrument, product=product) == expected


MARKET = {"ord_type": OrdType.MARKET}
LIMIT = limit("25000")
STOP = stop("25010", "25000")
IOC = {**LIMIT, "time_in_force": TimeInForce.IOC}


@pytest.mark.parametrize(
    ("phase", "market", "limited", "stopped", "ioc"),
    [
        (PhaseKind.CLOSED, "PHASE", "PHASE", "PHASE", "PHASE"),
        (PhaseKind.PRE_OPEN, None, None, "PHASE", "PHASE"),
        (PhaseKind.PRE_OPEN_LIMIT_ONLY, "PHASE", None, "PHASE", "PHASE"),
        (PhaseKind.BUFFER, "PHASE", "PHASE", "PHASE", "PHASE"),
        (PhaseKind.CONTINUOUS, None, None, None, None),
        (PhaseKind.AUCTION_REFERENCE, "PHASE", "PHASE", "PHASE", "PHASE"),
        (PhaseKind.AUCTION, None, None, "PHASE", "PHASE"),
        (PhaseKind.AUCTION_LIMIT_ONLY, "PHASE", None, "PHASE", "PHASE"),
        (PhaseKind.AUCTION_MATCH, "PHASE", "PHASE", "PHASE", "PHASE"),
        (PhaseKind.POST_CLOSE, None, "PHASE", "PHASE", "PHASE"),
    ],
)
def test_each_phase_takes_its_kinds(phase, market, limited, stopped, ioc):
    assert [code(phase=phase, **order) for order in (MARKET, LIMIT, STOP, IOC)] == [
        market,
        limited,
        stopped,
        ioc,
    ]


# --- slices ---


@pytest.mark.parametrize(
    ("qty", "freeze", "cut"),
    [
        (65, 0, [65]),
        (1755, 1800, [1755]),
        (1820, 1800, [1755, 65]),
        (3510, 1800, [1755, 1755]),
        (17_550, 1800, [1755] * 10),
    ],
)
def test_slices_are_whole_lots_below_the_freeze(qty, freeze, cut):
    assert slices(qty, freeze, 65) == cut


def test_a_position_over_a_lowered_freeze_still_gets_out():
    assert slices(17_615, 1800, 65) == [1755] * 10 + [65]
    assert slices(130, 60, 65) == [130]


@given(
    lots=st.integers(1, 2000),
    lot=st.integers(1, 100),
    freeze_lots=st.integers(1, 500),
    odd=st.integers(0, 99),
)
def test_slices_always_add_up(lots, lot, freeze_lots, odd):
    freeze = freeze_lots * lot + odd % lot
    qty = lots * lot
    cut = slices(qty, freeze, lot)
    assert sum(cut) == qty
    assert all(0 < piece <= freeze and piece % lot == 0 for piece in cut)


# --- protective stops ---


@pytest.mark.parametrize(
    ("instrument", "side", "stop_px", "limit_px", "trigger"),
    [
        (NIFTY, SELL, "25000", "24875", "25000"),
        (NIFTY, BUY, "25000", "25125", "25000"),
        (NIFTY, SELL, "25000.07", "24875", "25000.10"),
        (NIFTY, BUY, "25000.07", "25125", "25000"),
        (SHARE, SELL, "1000", "990", "1000"),
        (SHARE, BUY, "1000", "1010", "1000"),
        (SHARE, SELL, "10", "9.75", "10"),
        (NIFTY_OPTION, SELL, "100", "90", "100"),
        (NIFTY_OPTION, SELL, "0.20", "0.05", "0.20"),
        (NIFTY_OPTION, SELL, "0", "0.05", "0.05"),
    ],
)
def test_a_protective_stop_reaches_a_stated_distance_through_its_trigger(
    instrument, side, stop_px, limit_px, trigger
):
    shape = stop_order_shape(instrument, side, price(stop_px))
    assert shape == (OrdType.SL, price(limit_px), price(trigger))


def test_the_distance_of_a_stop_can_be_said():
    shape = stop_order_shape(NIFTY, SELL, price("25000"), 100)
    assert shape == (OrdType.SL, price("24750"), price("25000"))


@given(
    instrument=st.sampled_from([NIFTY, SHARE, NIFTY_OPTION, SENSEX_FUTURE]),
    side=st.sampled_from([BUY, SELL]),
    paise=st.integers(1, 9_000_000),
)
def test_our_own_stops_pass_our_own_rules(instrument, side, paise):
    kind, limit_px, trigger = stop_order_shape(instrument, side, paise * 100)
    order = intent(
        Purpose.STOP,
        instrument=instrument,
        side=side,
        qty=1300,
        ord_type=kind,
        price=limit_px,
        stop_px=trigger,
    )
    assert judge(order, instrument, PhaseKind.CONTINUOUS) is None
