"""A desk for the tests of risk: one NIFTY future, one share, a capital of ₹10,00,000, 10:00 on a Friday.

With the default settings the day may lose ₹20,000, a trade ₹2,500, an instrument ₹10,000, and the
drawdown may be ₹30,000.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from kitestring.core.risk_engine import EntryRequest, RiskEngine, Standing
from kitestring.core.settings import RiskSettings, StrategySettings
from kitestring.domain.charges import Charges
from kitestring.domain.ids import InstrumentId, SignalId, StrategyId, TradeId
from kitestring.domain.instants import instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, money, price
from kitestring.domain.orders import (
    ExitReason,
    OrderIntent,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.positions import RoundTrip
from kitestring.domain.signals import Action, Signal

FRIDAY = dt.date(2026, 11, 20)
TEN = instant(FRIDAY, dt.time(10, 0))
CAPITAL = money(1_000_000)
NIFTY = Instrument(
    id=InstrumentId("NFO:NIFTY26NOVFUT"),
    exchange="NFO",
    symbol="NIFTY26NOVFUT",
    token=1,
    kind=InstrumentKind.FUTURE,
    segment=Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    tick_size=price("0.10"),
    freeze_qty=1800,
)
SHARE = Instrument(
    id=InstrumentId("NSE:HDFCBANK"),
    exchange="NSE",
    symbol="HDFCBANK",
    token=2,
    kind=InstrumentKind.EQUITY,
    segment=Segment.EQUITY_WITH_DERIVATIVES,
    name="HDFCBANK",
    lot_size=1,
    tick_size=price("0.05"),
)
NIFTY_OPTION = msgspec.structs.replace(
    NIFTY,
    id=InstrumentId("NFO:NIFTY26NOV25000CE"),
    symbol="NIFTY26NOV25000CE",
    kind=InstrumentKind.CALL,
    segment=Segment.OPTIONS,
    tick_size=price("0.05"),
)
SENSEX_FUTURE = msgspec.structs.replace(
    NIFTY,
    id=InstrumentId("BFO:SENSEX26NOVFUT"),
    exchange="BFO",
    symbol="SENSEX26NOVFUT",
    lot_size=20,
)


def at(clock: str) -> int:
    """An instant of that Friday, from ``10:00`` or ``10:00:05.5``."""
    return instant(FRIDAY, dt.time.fromisoformat(clock))


def engine(settings: RiskSettings | None = None, capital: int = CAPITAL) -> RiskEngine:
    return RiskEngine(settings or RiskSettings(), capital, FRIDAY, {})


def strategy(name: str = "ema", instrument: Instrument = SHARE, **changes) -> StrategySettings:
    kept = StrategySettings(
        name=StrategyId(name),
        strategy=name,
        source=instrument.id,
        instrument=instrument.id,
        minutes=5,
    )
    return msgspec.structs.replace(kept, **changes)


def request(
    *,
    instrument: Instrument = SHARE,
    side: Side = Side.BUY,
    px: str = "1000",
    stop: str | None = "990",
    settings: StrategySettings | None = None,
    lots: int | None = None,
    signal: str = "s1",
    bid: str = "0",
    ask: str = "0",
    reference_at: int = TEN,
    closes: int = 0,
) -> EntryRequest:
    """A BUY of the share at ₹1,000 with its stop at ₹990: 250 shares by the default risk."""
    settings = settings or strategy(instrument=instrument, lots=lots)
    return EntryRequest(
        signal=Signal(
            signal_id=SignalId(signal),
            strategy=settings.name,
            source=instrument.id,
            instrument=instrument.id,
            action=Action.BUY if side is Side.BUY else Action.SELL,
            reason="fast above slow",
            bar_close_at=TEN,
            at=TEN,
            reference_px=price(px),
        ),
        settings=settings,
        instrument=instrument,
        side=side,
        decision_px=price(px),
        reference_at=reference_at,
        stop_px=None if stop is None else price(stop),
        closes_qty=closes,
        bid_px=price(bid),
        ask_px=price(ask),
    )


def standing(when: int = TEN, pnl: str = "0", **changes) -> Standing:
    """A flat account of ₹10,00,000 with today's result."""
    kept = Standing(
        at=when,
        opening_equity=CAPITAL,
        equity=CAPITAL + money(pnl),
        peak_equity=CAPITAL,
        day_pnl=money(pnl),
    )
    for name, value in changes.items():
        setattr(kept, name, value)
    return kept


def intent(
    purpose: Purpose = Purpose.ENTRY,
    *,
    instrument: Instrument = SHARE,
    side: Side = Side.BUY,
    qty: int = 65,
    signal: str = "s1",
    name: str = "ema",
    **changes,
) -> OrderIntent:
    kept = OrderIntent(
        strategy=StrategyId(name),
        instrument=instrument.id,
        side=side,
        order_qty=qty,
        ord_type=OrdType.MARKET,
        product=Product.MIS,
        purpose=purpose,
        reason="test",
        decision_px=price("1000"),
        decided_at=TEN,
        signal_id=SignalId(signal),
    )
    return msgspec.structs.replace(kept, **changes)


def round_trip(
    gross: str, exit_at: int = TEN, *, name: str = "ema", charges: str = "0"
) -> RoundTrip:
    return RoundTrip(
        trade_id=TradeId("t1"),
        strategy=StrategyId(name),
        instrument=SHARE.id,
        side=Side.BUY,
        qty=10,
        entry_at=exit_at - 60_000_000,
        exit_at=exit_at,
        entry_px=price("1000"),
        exit_px=price("1000"),
        gross=money(gross),
        charges=Charges(brokerage=ChargeUnits(int(money(charges)) * 1_000_000)),
        risk=None,
        mfe=money(0),
        mae=money(0),
        exit_reason=ExitReason.SIGNAL,
        slippage=money(0),
        product=Product.MIS,
    )
