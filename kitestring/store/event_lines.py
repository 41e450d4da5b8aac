"""Each fact of the day as one line a person can read and a program can search.

The law: a line is computed from its fact alone, so the same journal always gives the same lines.
Bars, timers and HOLDs are left out: they are in the journal, and would bury what matters.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

from kitestring.domain.bars import Bar
from kitestring.domain.events import (
    Adjustment,
    BrokerSnapshot,
    DayOpening,
    DaySealed,
    Discrepancy,
    Fact,
    Gap,
    HistoryLoaded,
    MarketDataFault,
    Note,
    OperatorCommand,
    OvernightStop,
    Reports,
    RunOpened,
    SessionEnded,
    StrategyOff,
    StrategyReady,
    TimerFired,
)
from kitestring.domain.ids import InstrumentId, symbol_of
from kitestring.domain.instants import SECOND, Instant, ist, ist_clock
from kitestring.domain.money import (
    Money,
    Price,
    charge_rupees,
    charge_text,
    decimal_rupees,
    net_of,
    rupees_text,
)
from kitestring.domain.orders import ExecType, ExecutionReport, OrderIntent
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Action, Signal
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    CancelOrder,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)

Level = Literal["info", "warning", "error"]
Cell = str | int | Decimal | bool | None
Line = tuple[Instant | None, str, Level, Mapping[str, Cell]]
"""When (``None``: the instant of its commit), kind, level, and the rest by name."""

_REPORT_LEVELS: Final[Mapping[ExecType, Level]] = {
    ExecType.REJECTED: "warning",
    ExecType.REPLACE_REJECTED: "warning",
    ExecType.CANCEL_REJECTED: "warning",
    ExecType.UNKNOWN: "error",
}


def time_text(at: Instant) -> str:
    """Indian time in ISO 8601, with its offset, to the millisecond."""
    second, micros = divmod(at, SECOND)
    return f"{_second_text(second)}.{micros // 1000:03d}+05:30"


@functools.lru_cache(maxsize=64)  # Most lines of a day fall into a second that has lines already.
def _second_text(second: int) -> str:
    return f"{ist(second * SECOND):%Y-%m-%dT%H:%M:%S}"


def lines_of(fact: Fact) -> tuple[Line, ...]:
    """The lines of one fact; none for what is of no interest here."""
    match fact:
        case Reports():
            return tuple(_report_line(report) for report in fact.reports)
        case Bar() | TimerFired() | BrokerSnapshot():
            return ()
        case Signal() if fact.action is Action.HOLD:
            return ()
        case _:
            return (_line_of(fact),)


def _line_of(
    fact: HistoryLoaded
    | OperatorCommand
    | Gap
    | SessionEnded
    | Signal
    | Approved
    | Reduced
    | Blocked
    | HaltSession
    | PlaceOrder
    | ModifyOrder
    | CancelOrder
    | Fill
    | RoundTrip
    | StrategyReady
    | StrategyOff
    | MarketDataFault
    | Discrepancy
    | Note
    | RunOpened
    | DaySealed
    | DayOpening
    | Adjustment
    | OvernightStop,
) -> Line:
    match fact:
        case Signal():
            return (
                fact.at,
                "signal",
                "info",
                {
                    "strategy": fact.strategy,
                    **_instrument(fact.instrument),
                    "sentence": f"{fact.action} {symbol_of(fact.instrument)}: {fact.reason}",
                    "action": fact.action.value,
                    "signal_id": fact.signal_id,
                    "source": fact.source,
                    "price": _rupees(fact.reference_px),
                    "stop_price": _rupees(fact.stop_px),
                    "target_price": _rupees(fact.target_px),
                },
            )
        case Approved():
            verdict: dict[str, Cell] = {"verdict": "ALLOW", **_intent(fact.intent)}
            verdict["sentence"] = f"Allowed: {_order_words(fact.intent)}"
            return fact.at, "risk", "info", verdict
        case Reduced():
            intent = fact.approved.intent
            verdict = {"verdict": "REDUCE", "code": fact.code, **_intent(intent)}
            verdict |= {"asked_quantity": fact.asked_qty, "sentence": fact.sentence}
            return fact.approved.at, "risk", "warning", verdict
        case Blocked():
            verdict = {"verdict": "BLOCK", "code": fact.code, "strategy": fact.strategy}
            verdict |= _instrument(fact.instrument)
            verdict |= {"side": fact.side.value, "sentence": fact.sentence}
            verdict["signal_id"] = fact.signal_id
            return fact.at, "risk", "warning", verdict
        case HaltSession():
            verdict = {"verdict": "HALT_SESSION", "code": fact.code, "sentence": fact.sentence}
            return fact.at, "halt", "error", verdict | {"policy": fact.policy.value}
        case PlaceOrder():
            placed = {"action": "place", "order_id": fact.cl_ord_id, **_intent(fact.intent)}
            placed["sentence"] = f"Sending: {_order_words(fact.intent)}"
            return fact.approved.at, "order", "info", placed
        case ModifyOrder():
            changed: dict[str, Cell] = {
                "action": "modify",
                "order_id": fact.cl_ord_id,
                "quantity": fact.order_qty,
                "price": _rupees(fact.price),
                "trigger_price": _rupees(fact.stop_px),
                "sentence": f"Changing order {fact.cl_ord_id}",
            }
            return fact.at, "order", "info", changed
        case CancelOrder():
            reason = f": {fact.reason}" if fact.reason else ""
            withdrawn = {"action": "cancel", "order_id": fact.cl_ord_id, "reason": fact.reason}
            withdrawn["sentence"] = f"Withdrawing order {fact.cl_ord_id}{reason}"
            return fact.at, "order", "info", withdrawn
        case Fill():
            return fact.at, "fill", "info", _fill(fact)
        case RoundTrip():
            return fact.exit_at, "trade", "info", _trade(fact)
        case StrategyReady():
            told = f"{fact.strategy} is ready on {fact.bars} bars"
            told += f"; missed: {fact.missed}" if fact.missed else ""
            ready = {"strategy": fact.strategy, **_instrument(fact.instrument)}
            return fact.at, "strategy_ready", "info", ready | {"sentence": told}
        case StrategyOff():
            off = f"{fact.strategy} failed and was switched off: {fact.error}"
            return fact.at, "error", "error", {"strategy": fact.strategy, "sentence": off}
        case MarketDataFault():
            fault = {**_instrument(fact.instrument), "code": fact.fault}
            return fact.at, "market_data", "warning", fault | {"sentence": fact.sentence}
        case Discrepancy():
            differs = f"{fact.what}: ours {fact.ours}, theirs {fact.theirs}"
            cells = {"ours": fact.ours, "theirs": fact.theirs, "sentence": differs}
            return fact.at, "discrepancy", "error", cells
        case Note():
            return fact.at, fact.kind, "info", {"sentence": fact.sentence}
        case OperatorCommand():
            said = f"Operator: {fact.word}" + (f", {fact.reason}" if fact.reason else "")
            return fact.at, "operator", "warning", {"code": fact.word.value, "sentence": said}
        case Gap():
            gap = f"No ticks from {ist_clock(fact.start_at)} to {ist_clock(fact.end_at)}"
            return fact.end_at, "gap", "warning", {"sentence": f"{gap}: {fact.reason}"}
        case HistoryLoaded():
            loaded = f"{len(fact.bars)} bars of {fact.minutes} minutes from {fact.source}"
            history = _instrument(fact.instrument) | {"sentence": loaded, "digest": fact.digest}
            return None, "history", "info", history
        case SessionEnded():
            return fact.at, "session_ended", "info", {"sentence": "The feed is over for today"}
        case RunOpened():
            opened = f"{fact.mode} run {fact.run_key} of {fact.date} on {fact.feed}"
            made_of: dict[str, Cell] = {
                "sentence": f"{opened}; fills: {fact.fill_model}; charges: {fact.charges}",
                "seed": fact.seed,
                "capital": _rupees(Money(fact.capital)),
                "version": fact.version,
            }
            return None, "run_opened", "info", made_of
        case Adjustment():
            adjusted: dict[str, Cell] = {
                "strategy": fact.strategy,
                **_instrument(fact.instrument),
                "sentence": f"Adjusted by {fact.qty:+} without a trade: {fact.reason}",
                "quantity": fact.qty,
                "price": _rupees(fact.px),
            }
            return fact.at, "adjustment", "warning", adjusted
        case DaySealed():
            sealed = f"The day is over: {fact.orders} orders, {fact.fills} fills"
            result: dict[str, Cell] = {
                "sentence": f"{sealed}, {fact.trades} trades",
                "orders": fact.orders,
                "fills": fact.fills,
                "trades": fact.trades,
            }
            return fact.at, "day_sealed", "info", result
        case OvernightStop():
            level: Level = "error" if fact.step in {"unknown", "refused"} else "info"
            waits = {"strategy": fact.strategy, **_instrument(fact.instrument)}
            return fact.at, "overnight_stop", level, waits | {"sentence": fact.sentence}
        case DayOpening():
            held = ", ".join(
                f"{each.net_qty} {each.instrument.symbol} of {each.strategy}"
                for each in fact.positions
            )
            taken: dict[str, Cell] = {
                "sentence": f"Taken over from {fact.date}: {held or 'no positions'}",
                "equity": _rupees(fact.equity),
                "peak_equity": _rupees(fact.peak_equity),
            }
            return None, "day_opening", "info", taken


def _report_line(report: ExecutionReport) -> Line:
    told = f"Order {report.cl_ord_id}: {report.exec_type.value}"
    if report.exec_type is ExecType.TRADE:
        told += f" {report.last_qty} at {rupees_text(report.last_px)}"
    if report.text:
        told += f" ({report.text})"
    cells: dict[str, Cell] = {
        "action": "report",
        "order_id": report.cl_ord_id,
        "broker_order_id": report.order_id,
        "exec_type": report.exec_type.value,
        "filled_quantity": report.cum_qty,
        "sentence": told,
    }
    return report.event_at, "order", _REPORT_LEVELS.get(report.exec_type, "info"), cells


def _instrument(instrument: InstrumentId) -> dict[str, Cell]:
    exchange, _, symbol = instrument.partition(":")
    return {"symbol": symbol, "exchange": exchange}


def _intent(intent: OrderIntent) -> dict[str, Cell]:
    return {
        "strategy": intent.strategy,
        **_instrument(intent.instrument),
        "side": intent.side.value,
        "quantity": intent.order_qty,
        "order_type": intent.ord_type.value,
        "product": intent.product.value,
        "price": _rupees(intent.price),
        "trigger_price": _rupees(intent.stop_px),
        "purpose": intent.purpose.value,
        "reason": intent.reason,
        "signal_id": intent.signal_id,
    }


def _order_words(intent: OrderIntent) -> str:
    words = f"{intent.side} {intent.order_qty} {symbol_of(intent.instrument)} {intent.ord_type}"
    if intent.price is not None:
        words += f" {rupees_text(intent.price)}"
    return f"{words} ({intent.reason})"


def _fill(fill: Fill) -> dict[str, Cell]:
    done = "Bought" if fill.side.sign > 0 else "Sold"
    what = f"{done} {fill.qty} {symbol_of(fill.instrument)} at {rupees_text(fill.px)}"
    return {
        "strategy": fill.strategy,
        **_instrument(fill.instrument),
        "sentence": what,
        "order_id": fill.cl_ord_id,
        "fill_id": fill.fill_id,
        "side": fill.side.value,
        "quantity": fill.qty,
        "price": _rupees(fill.px),
        "decision_price": _rupees(fill.decision_px),
        "slippage": _rupees(fill.slippage),
        "charges": charge_rupees(fill.charges.total),
    }


def _trade(trade: RoundTrip) -> dict[str, Cell]:
    net = net_of(trade.gross, trade.charges.total)
    what = f"{'Long' if trade.side.sign > 0 else 'Short'} {trade.qty} {symbol_of(trade.instrument)}"
    return {
        "strategy": trade.strategy,
        **_instrument(trade.instrument),
        "sentence": f"{what} closed by {trade.exit_reason}: ₹{charge_text(net)} after charges",
        "trade_id": trade.trade_id,
        "gross_pnl": _rupees(trade.gross),
        "charges": charge_rupees(trade.charges.total),
        "net_pnl": charge_rupees(net),
        "exit_reason": trade.exit_reason.value,
    }


def _rupees(amount: Money | Price | None) -> Decimal | None:
    return None if amount is None else decimal_rupees(amount)
