"""A few facts of one trading day, spelled out, for the tests of the store."""

from __future__ import annotations

import datetime as dt

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.charges import Charges
from kitestring.domain.events import Fact, Reports
from kitestring.domain.ids import (
    ClOrdId,
    ExecId,
    InstrumentId,
    OrderId,
    SignalId,
    StrategyId,
    TradeId,
)
from kitestring.domain.instants import Instant, instant
from kitestring.domain.money import ChargeUnits, Price, money, price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    ExitReason,
    OrderIntent,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Action, Signal
from kitestring.domain.verdicts import Approved, PlaceOrder
from kitestring.store.journal import encode_cell

DAY = dt.date(2026, 11, 23)
NIFTY = InstrumentId("NFO:NIFTY26NOVFUT")
EMA = StrategyId("ema_trend-NIFTY")
FIRST, SECOND = ClOrdId("KRUN0127P00000001ABC"), ClOrdId("KRUN0127P00000002ABD")


def at(clock: str) -> Instant:
    return instant(DAY, dt.time.fromisoformat(clock))


def bar(minute: int = 15) -> Bar:
    open_at = at(f"09:{minute}:00")
    px = price("22105.00")
    return Bar(NIFTY, 1, open_at, open_at + 60_000_000, px, px, px, px, 750)


def signal(action: Action = Action.BUY) -> Signal:
    return Signal(
        signal_id=SignalId("ema_trend-NIFTY/0920"),
        strategy=EMA,
        source=NIFTY,
        instrument=NIFTY,
        action=action,
        reason="ema cross",
        bar_close_at=at("09:20:00"),
        at=at("09:20:00"),
        reference_px=price("22105.00"),
        stop_px=price("22050.00"),
    )


def intent(side: Side = Side.BUY, clock: str = "09:20:00", **changes: object) -> OrderIntent:
    plain = OrderIntent(
        strategy=EMA,
        instrument=NIFTY,
        side=side,
        order_qty=75,
        ord_type=OrdType.LIMIT,
        product=Product.MIS,
        purpose=Purpose.ENTRY,
        reason="ema cross",
        decision_px=price("22105.00"),
        decided_at=at(clock),
        price=price("22106.00"),
        signal_id=SignalId("ema_trend-NIFTY/0920"),
    )
    return msgspec.structs.replace(plain, **changes)


def place(cl_ord_id: ClOrdId = FIRST, clock: str = "09:20:00", **changes: object) -> PlaceOrder:
    approved = Approved(intent=intent(clock=clock, **changes), at=at(clock))
    return PlaceOrder(cl_ord_id=cl_ord_id, approved=approved)


NOTHING = Price(0)


def report(
    exec_type: ExecType,
    clock: str,
    cl_ord_id: ClOrdId = FIRST,
    *,
    trade: str | None = None,
    qty: int = 0,
    px: Price = NOTHING,
    cum: int = 0,
    text: str = "",
    order_qty: int | None = None,
    new_price: Price | None = None,
) -> Reports:
    said = ExecutionReport(
        cl_ord_id=cl_ord_id,
        exec_type=exec_type,
        event_at=at(clock),
        order_id=OrderId("261123000000017"),
        exec_id=None if trade is None else ExecId(trade),
        last_qty=qty,
        last_px=px,
        cum_qty=cum,
        text=text,
        order_qty=order_qty,
        price=new_price,
    )
    return Reports(at(clock), (said,))


CHARGES = Charges(
    brokerage=ChargeUnits(20 * 10**10),
    stt=ChargeUnits(0),
    exchange=ChargeUnits(303_280_000_000),
    sebi=ChargeUnits(16_578_750_000),
    stamp=ChargeUnits(331_575_000_000),
    gst=ChargeUnits(93_574_575_000),
)


def fill(
    fill_id: str = "T1", qty: int = 75, px: str = "22105.95", clock: str = "09:20:00.34"
) -> Fill:
    return Fill(
        fill_id=fill_id,
        cl_ord_id=FIRST,
        strategy=EMA,
        instrument=NIFTY,
        side=Side.BUY,
        qty=qty,
        px=price(px),
        at=at(clock),
        product=Product.MIS,
        decision_px=price("22105.00"),
        slippage=money("71.25"),
        charges=CHARGES,
    )


def round_trip() -> RoundTrip:
    return RoundTrip(
        trade_id=TradeId("ema_trend-NIFTY/1"),
        strategy=EMA,
        instrument=NIFTY,
        side=Side.BUY,
        qty=75,
        entry_at=at("09:20:00.34"),
        exit_at=at("10:05:00.12"),
        entry_px=price("22105.95"),
        exit_px=price("22155.95"),
        gross=money("3750"),
        charges=CHARGES,
        risk=money("4196.25"),
        mfe=money("4000"),
        mae=money("-150.5"),
        exit_reason=ExitReason.TRAIL,
        slippage=money("71.25"),
        product=Product.MIS,
    )


def commit(no: int, *facts: Fact, cells: dict[str, object] | None = None) -> Commit:
    """The ``no``-th commit of a day in which every commit moves the clock and one order's cell."""
    state = {"clock": no, f"order/{no % 7}": ["NEW", no]} if cells is None else cells
    return Commit(
        inbox=no * 3,
        at=at("09:15:00") + no * 1_000_000,
        feed_position=no * 2,
        tape_offset=no * 100,
        tape_hash="ab" * 32,
        facts=facts or (bar(), place()),
        cells={key: None if cell is None else encode_cell(cell) for key, cell in state.items()},
    )
