"""Days for the report's tests: one traded in a temporary folder, one made by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from kitestring.cli.run_day import run_command, run_day
from kitestring.domain.bars import Bar
from kitestring.domain.charges import Charges
from kitestring.domain.events import DaySealed, Reports, RunOpened
from kitestring.domain.ids import ClOrdId, InstrumentId, OrderId, StrategyId, TradeId
from kitestring.domain.instants import MINUTE, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, Money, price
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
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import Approved, ModifyOrder, PlaceOrder
from kitestring.report.run_facts import RunFacts

HOSTILE = '<script>alert("x")</script>&'
SETTINGS = f"""
trading: {{paper_capital: 20 lakh, logical_universe: [NIFTY, RELIANCE, SBIN]}}
strategies:
  - {{strategy: ema_trend, name: '{HOSTILE}', instruments: [RELIANCE], timeframe: 3m, capital: 2 lakh}}
  - {{strategy: ema_trend, instruments: [NIFTY, SBIN], timeframe: 5m, capital: 3 lakh}}
  - {{strategy: opening_range_breakout, instruments: [NIFTY], timeframe: 5m, capital: 1 lakh}}
"""


def trade_a_day(folder):
    """A synthetic day traded from the command line; its artifacts folder."""
    settings = folder / "day.yaml"
    settings.write_text(SETTINGS, encoding="utf-8")
    artifacts = folder / "artifacts"
    typed = ["--config", str(settings), "--artifacts", str(artifacts)]
    assert run_command(run_day, typed) == 0
    return artifacts


DAY = dt.date(2026, 11, 23)
SHARE = InstrumentId("NSE:SBIN")
EMA = StrategyId("ema")
ENTRY, EXIT, STOP = ClOrdId("K-ENTRY"), ClOrdId("K-EXIT"), ClOrdId("K-STOP")


def at(clock):
    return instant(DAY, dt.time.fromisoformat(clock))


def flat_charge(rupees):
    return Charges(ChargeUnits(int(Decimal(rupees) * 10**10)))


def bar(clock, px, low=None, high=None):
    opened = at(clock)
    px = price(px)
    return Bar(SHARE, 1, opened, opened + MINUTE, px, price(high) if high else px,
               price(low) if low else px, px)  # fmt: skip


def placed(name, side, decided, clock, purpose, stop=None):
    return PlaceOrder(
        cl_ord_id=name,
        approved=Approved(
            at=at(clock),
            intent=OrderIntent(
                strategy=EMA,
                instrument=SHARE,
                side=side,
                order_qty=100,
                ord_type=OrdType.MARKET if stop is None else OrdType.SL,
                product=Product.MIS,
                purpose=purpose,
                reason="because",
                decision_px=price(decided),
                decided_at=at(clock),
                stop_px=None if stop is None else price(stop),
            ),
        ),
    )


def hand_made_day(**changes):
    """100 shares bought at 100.05 (decided at 100), sold at 101 (decided at 101.10); flat 0.03 %.

    The price closes its minutes at 100, 100.50, 99.50, 101, 101: the position is worth +45 and
    −55 before it is closed for +95 gross. Charges: ₹3.0015 on the way in, ₹3.03 on the way out.
    """
    day = {
        "run": "2026-11-23-paper-0123abcd",
        "mode": "paper",
        "opened": RunOpened(
            mode="paper", date="2026-11-23", feed="by hand", seed=1, run_key="0123abcd",
            config_hash="c0ffee", strategy_hashes={"ema": "5eed"}, fill_model="market",
            charges="flat 0.03%", capital=1_000_000_000, version="0.1.0",
        ),
        "sealed": DaySealed(
            at=at("15:40:00"), equity=1_000_889_685, realised=950_000, charges=60_315,
            net=889_685, orders=3, fills=2, trades=1, carried={},
        ),
        "commits": 7,
        "head": "ab" * 32,
        "fill_sentence": "market: as a market would",
        "stand_ins": (),
        "notes": (),
        "data_faults": {},
        "instruments": {
            SHARE: Instrument(
                id=SHARE, exchange="NSE", symbol="SBIN", token=1, kind=InstrumentKind.EQUITY,
                segment=Segment.EQUITY, name="SBIN", lot_size=1, tick_size=price("0.05"),
            )
        },
        "minutes": {
            SHARE: (
                bar("09:15:00", "100"),
                bar("09:16:00", "100.50", low="100", high="100.60"),
                bar("09:17:00", "99.50", low="99.40", high="100.50"),
                bar("09:18:00", "101"),
                bar("09:19:00", "101"),
            )
        },
        "tape_lost": "",
        "fills": (
            Fill(
                fill_id="1", cl_ord_id=ENTRY, strategy=EMA, instrument=SHARE, side=Side.BUY,
                qty=100, px=price("100.05"), at=at("09:16:10"), product=Product.MIS,
                decision_px=price("100"), slippage=Money(50_000), charges=flat_charge("3.0015"),
            ),
            Fill(
                fill_id="2", cl_ord_id=EXIT, strategy=EMA, instrument=SHARE, side=Side.SELL,
                qty=100, px=price("101"), at=at("09:18:30"), product=Product.MIS,
                decision_px=price("101.10"), slippage=Money(100_000), charges=flat_charge("3.03"),
            ),
        ),
        "trades": (
            RoundTrip(
                trade_id=TradeId("ema-001"), strategy=EMA, instrument=SHARE, side=Side.BUY,
                qty=100, entry_at=at("09:16:10"), exit_at=at("09:18:30"),
                entry_px=price("100.05"), exit_px=price("101"), gross=Money(950_000),
                charges=flat_charge("6.0315"), risk=Money(1_000_000), mfe=Money(950_000),
                mae=Money(-550_000), exit_reason=ExitReason.TARGET, slippage=Money(150_000),
                product=Product.MIS,
            ),
        ),
        "signals": (),
        "refusals": (),
        "halts": (),
        "orders": {
            ENTRY: placed(ENTRY, Side.BUY, "100", "09:16:00", Purpose.ENTRY),
            STOP: placed(STOP, Side.SELL, "99", "09:16:11", Purpose.STOP, stop="99"),
            EXIT: placed(EXIT, Side.SELL, "101.10", "09:18:29", Purpose.EXIT),
        },
        "changes": (
            ModifyOrder(cl_ord_id=STOP, at=at("09:17:00"), stop_px=price("99.20")),
            Reports(
                at("09:18:29"),
                (
                    ExecutionReport(
                        cl_ord_id=STOP, exec_type=ExecType.CANCELED, event_at=at("09:18:29"),
                        order_id=OrderId("3"),
                    ),
                ),
            ),
        ),
        "story": (),
    }  # fmt: skip
    return RunFacts(**(day | changes))
