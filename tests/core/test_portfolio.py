"""Positions as cash flows: what the fills say is what the books show."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from kitestring.core.portfolio import Portfolio
from kitestring.domain.charges import Charges
from kitestring.domain.ids import ClOrdId, ExecId, InstrumentId, StrategyId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, Money, Price, price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    Order,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)

NIFTY = InstrumentId("NFO:NIFTY26NOVFUT")
FUTURE = Instrument(
    id=NIFTY,
    exchange="NFO",
    symbol="NIFTY26NOVFUT",
    token=1,
    kind=InstrumentKind.FUTURE,
    segment=Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    tick_size=Price(1_000),
    expiry=dt.date(2026, 11, 23),
)
EMA = StrategyId("ema")


class TwentyAnOrder:
    """₹20 brokerage per order, whatever it trades, and ₹1 STT per ₹10,000 sold."""

    name = "twenty an order"

    def order_charges(self, instrument, product, side, traded_value):
        if not traded_value:
            return Charges()
        stt = int(traded_value) * 100 if side is Side.SELL else 0
        return Charges(ChargeUnits(20 * 10**10), ChargeUnits(stt))


class Desk:
    """Sends fills into a portfolio the way the order manager would."""

    def __init__(self, charge_book=None):
        self.portfolio = Portfolio({NIFTY: FUTURE}, charge_book or TwentyAnOrder(), {})
        self.book = self.portfolio.open(EMA, NIFTY, Product.MIS)
        self.count = 0

    def order(self, side, qty, purpose=Purpose.ENTRY, decision="100"):
        self.count += 1
        return Order(
            cl_ord_id=ClOrdId(f"K{self.count}"),
            strategy=EMA,
            instrument=NIFTY,
            side=side,
            order_qty=qty,
            ord_type=OrdType.MARKET,
            product=Product.MIS,
            purpose=purpose,
            reason="",
            decision_px=price(decision),
            created_at=0,
            updated_at=0,
            status=OrdStatus.NEW,
            closes_qty=min(qty, abs(self.book.net_qty)) if self.book.net_qty else 0,
        )

    def fill(self, order, qty, px):
        order.cum_qty += qty
        order.traded_value = order.traded_value + price(px) * qty
        order.exec_ids.append(ExecId(f"{order.cl_ord_id}-{len(order.exec_ids)}"))
        report = ExecutionReport(
            cl_ord_id=order.cl_ord_id,
            exec_type=ExecType.TRADE,
            event_at=order.cum_qty,
            exec_id=order.exec_ids[-1],
            last_qty=qty,
            last_px=price(px),
            cum_qty=order.cum_qty,
        )
        return self.portfolio.book(order, report)

    def deal(self, side, qty, px, **more):
        return self.fill(self.order(side, qty, **more), qty, px)


def test_a_long_round_trip_makes_its_difference():
    desk = Desk()
    _, closed = desk.deal(Side.BUY, 65, "100")
    assert closed is None
    assert desk.book.net_qty == 65
    assert desk.book.unrealised(price("101")) == Money(65 * 10_000)
    _, closed = desk.deal(Side.SELL, 65, "110", purpose=Purpose.EXIT)
    assert closed is not None
    assert (closed.side, closed.qty) == (Side.BUY, 65)
    assert closed.gross == Money(650 * 10_000)
    assert (closed.entry_px, closed.exit_px) == (price("100"), price("110"))
    assert desk.portfolio.realised == Money(650 * 10_000)
    assert desk.book.net_qty == 0
    assert not desk.portfolio.open_by_instrument


def test_brokerage_is_charged_once_for_an_order_that_fills_in_parts():
    desk = Desk()
    order = desk.order(Side.BUY, 130)
    first, _ = desk.fill(order, 65, "100")
    second, _ = desk.fill(order, 65, "101")
    assert first.charges.brokerage == ChargeUnits(20 * 10**10)
    assert second.charges.brokerage == ChargeUnits(0)
    assert desk.portfolio.charges.total == ChargeUnits(20 * 10**10)


def test_slippage_is_what_the_fill_cost_against_the_decision():
    desk = Desk()
    bought, _ = desk.deal(Side.BUY, 65, "100.50", decision="100")
    assert bought.slippage == Money(65 * 5_000)
    sold, _ = desk.deal(Side.SELL, 65, "100.50", decision="100", purpose=Purpose.EXIT)
    assert sold.slippage == Money(-65 * 5_000)


def test_stop_and_reverse_in_one_order_closes_one_trade_and_opens_the_next():
    desk = Desk()
    desk.deal(Side.BUY, 65, "100")
    _, closed = desk.deal(Side.SELL, 130, "90")
    assert closed is not None
    assert closed.gross == Money(-650 * 10_000)
    assert closed.exit_reason == "reversal"
    assert desk.book.net_qty == -65
    assert desk.book.trade.side is Side.SELL
    assert desk.book.trade.entry_qty == 65
    assert desk.book.unrealised(price("85")) == Money(325 * 10_000)


def test_scaling_out_realises_the_part_that_left():
    desk = Desk()
    desk.deal(Side.BUY, 130, "100")
    desk.deal(Side.SELL, 65, "110", purpose=Purpose.EXIT)
    assert desk.book.realised == Money(650 * 10_000)
    assert desk.book.unrealised(price("100")) == Money(0)


deals = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 5), st.integers(900, 1100)),
    min_size=1,
    max_size=40,
)


@given(deals, st.integers(900, 1100))
def test_profit_from_fills_equals_profit_reported_to_the_unit(rows, mark):
    desk = Desk()
    cash, net, charged, gross, trade_charges = 0, 0, 0, 0, 0
    for side, lots, rupees in rows:
        fill, closed = desk.deal(side, lots * 65, str(rupees))
        sign = 1 if side is Side.BUY else -1
        cash -= sign * lots * 65 * rupees * 10_000
        net += sign * lots * 65
        charged += int(fill.charges.total)
        if closed is not None:
            gross += int(closed.gross)
            trade_charges += int(closed.charges.total)
    expected = cash + net * mark * 10_000
    book = desk.book
    assert book.net_qty == net
    assert int(book.realised) + int(book.unrealised(price(mark))) == expected
    assert desk.portfolio.realised == book.realised
    assert int(desk.portfolio.charges.total) == charged
    open_charges = int(book.trade.charges.total) if book.trade else 0
    assert trade_charges + open_charges == charged
    if not net:
        assert gross == expected == int(book.realised)
        assert int(book.open_cost) == 0
