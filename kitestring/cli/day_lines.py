"""The day in plain sentences: its beginning, each event worth a line, its closing table.

Times are Indian, amounts are rupees to the paisa, results are net of charges. Pure text: who
prints it, and where, is the console's.
"""

from __future__ import annotations

import textwrap

from kitestring.domain.charges import Charges
from kitestring.domain.events import (
    Adjustment,
    DaySealed,
    Discrepancy,
    Fact,
    Gap,
    MarketDataFault,
    Note,
    OperatorCommand,
    OperatorWord,
    Reports,
    StrategyOff,
    StrategyReady,
)
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import ist_clock
from kitestring.domain.money import charge_as_money, show_rupees
from kitestring.domain.orders import ExecType, Side
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import (
    Blocked,
    CancelOrder,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)
from kitestring.engine.watching import DayResult, DaySnapshot, DayStarted

_WIDTH = 100
_RULE = "─" * 64
_REFUSALS_SHOWN = 6
_WHOLE_SENTENCES = (OperatorWord.ARM, OperatorWord.DISARM, OperatorWord.FAULT)
"""Words of the house itself as well as of a person: their reason says it all."""


def start_lines(day: DayStarted) -> list[str]:
    """What is about to be traded, with every stand-in named."""
    made_of = [f"{day.date:%A %d %B %Y}", day.mode, day.feed]
    if day.mode != "live":  # which goes as the market goes
        made_of.append("as fast as it goes" if day.speed is None else f"at {day.speed:g}×")
    lines = [
        " · ".join(made_of),
        f"capital {show_rupees(day.capital)} · {len(day.strategies)} strategies · "
        + day.charges_name,
        *wrapped("fills", day.fill_model, 6),
    ]
    if day.resumed_at is not None:
        lines.append(f"Going on at {ist_clock(day.resumed_at)}, where this run was interrupted.")
    for text in (*day.stand_ins, *day.notes):
        lines += wrapped("note", text, 6)
    return lines


def progress_line(at: int, snapshot: DaySnapshot) -> str:
    """``11:00:00  2 open, 1 working, 7 trades · net +₹3,210.55``."""
    return (
        f"{ist_clock(at)}  {snapshot.open_positions} open, {snapshot.working_orders} working, "
        f"{snapshot.trades} trades · net {show_rupees(snapshot.net, signed=True)}"
    )


def fact_line(fact: Fact) -> str | None:
    """One line for a fact that a person watches for, ``None`` for the others."""
    match fact:
        case Fill():
            verb = "bought" if fact.side is Side.BUY else "sold"
            return (
                f"{ist_clock(fact.at)}  {verb} {fact.qty} {symbol_of(fact.instrument)} at "
                f"{show_rupees(fact.px)} · {fact.strategy}"
            )
        case RoundTrip():
            net = fact.gross - charge_as_money(fact.charges.total)
            return (
                f"{ist_clock(fact.exit_at)}  closed {symbol_of(fact.instrument)} by "
                f"{fact.exit_reason}: net {show_rupees(net, signed=True)} · {fact.strategy}"
            )
        case Blocked():
            return (
                f"{ist_clock(fact.at)}  refused {fact.side} {symbol_of(fact.instrument)} · "
                f"{fact.strategy}: {fact.sentence}"
            )
        case Reduced():
            return (
                f"{ist_clock(fact.approved.at)}  reduced "
                f"{symbol_of(fact.approved.intent.instrument)} from {fact.asked_qty} to "
                f"{fact.approved.intent.order_qty}: {fact.sentence}"
            )
        case HaltSession():
            return f"{ist_clock(fact.at)}  HALT: {fact.sentence} ({fact.policy})"
        case Reports():
            return "\n".join(_rejections(fact)) or None
        case _:
            return _story_line(fact)


def order_line(fact: Fact) -> str | None:
    """A line with 🔴 for a command that goes out with real money; ``None`` for all else."""
    match fact:
        case PlaceOrder():
            intent = fact.intent
            px = f" at {show_rupees(intent.price)}" if intent.price is not None else ""
            stop = f" from {show_rupees(intent.stop_px)}" if intent.stop_px is not None else ""
            return (
                f"{ist_clock(fact.approved.at)}  🔴 LIVE {intent.side} {intent.order_qty} "
                f"{symbol_of(intent.instrument)} {intent.ord_type}{px}{stop} · {intent.strategy} "
                f"({fact.cl_ord_id})"
            )
        case ModifyOrder():
            return f"{ist_clock(fact.at)}  🔴 LIVE changes {fact.cl_ord_id}"
        case CancelOrder():
            return f"{ist_clock(fact.at)}  🔴 LIVE withdraws {fact.cl_ord_id}: {fact.reason}"
        case _:
            return None


def _story_line(fact: Fact) -> str | None:
    match fact:
        case StrategyOff():
            return f"{ist_clock(fact.at)}  {fact.strategy} failed and is switched off: {fact.error}"
        case StrategyReady() if fact.missed:
            return f"{ist_clock(fact.at)}  {fact.strategy} is ready; {fact.missed}"
        case MarketDataFault():
            return f"{ist_clock(fact.at)}  {symbol_of(fact.instrument)}: {fact.sentence}"
        case Discrepancy():
            return (
                f"{ist_clock(fact.at)}  DIFFERENCE in {fact.what}: "
                f"ours {fact.ours}, the broker's {fact.theirs}"
            )
        case Adjustment():
            return (
                f"{ist_clock(fact.at)}  ADJUSTED {fact.qty:+} {symbol_of(fact.instrument)} at "
                f"{show_rupees(fact.px)}, without a trade · {fact.strategy}: {fact.reason}"
            )
        case Gap():
            return (
                f"{ist_clock(fact.end_at)}  ticks missing since {ist_clock(fact.start_at)}: "
                f"{fact.reason}"
            )
        case OperatorCommand():
            if fact.word in _WHOLE_SENTENCES:
                return f"{ist_clock(fact.at)}  {fact.reason}"
            said = f", {fact.reason}" if fact.reason else ""
            return f"{ist_clock(fact.at)}  operator: {fact.word}{said}"
        case Note():
            return f"{ist_clock(fact.at)}  {fact.sentence}"
        case DaySealed():
            return f"{ist_clock(fact.at)}  the day is sealed"
        case _:
            return None


def _rejections(reports: Reports) -> list[str]:
    return [
        f"{ist_clock(report.event_at)}  the exchange rejected {report.cl_ord_id}: {report.text}"
        for report in reports.reports
        if report.exec_type is ExecType.REJECTED
    ]


def end_lines(result: DayResult) -> list[str]:
    """The closing table, net of charges, with every model and stand-in named."""
    rows: list[tuple[str, str]] = [
        ("orders", f"{result.orders}, {result.fills} fills"),
        ("round trips", _trades(result)),
        ("gross", show_rupees(result.gross, signed=True)),
        ("charges", charge_line(result.charges)),
        ("net", show_rupees(result.net, signed=True)),
        ("slippage", f"{show_rupees(result.slippage)} against the decision prices"),
        ("equity", f"{show_rupees(result.opening_equity)} → {show_rupees(result.closing_equity)}"),
    ]
    rows += [("carried", f"{qty} {name}") for name, qty in result.open_positions.items()]
    if result.halted is not None:
        rows.append(("halted", result.halted))
    rows += [("switched off", name) for name in result.strategies_off]
    worst = sorted(result.refusals.items(), key=lambda row: (-row[1], row[0]))
    for number, (code, count) in enumerate(worst[:_REFUSALS_SHOWN]):
        rows.append(("refused by risk" if number == 0 else "", f"{count} × {code}"))
    if result.rejections:
        rows.append(("rejected", f"{result.rejections} by the exchange"))
    kept_out = [f"{count} {fault}" for fault, count in result.data_faults.items() if count]
    if kept_out:
        rows.append(("feed", ", ".join(kept_out)))
    rows += [
        ("fill model", result.fill_model),
        ("charges by", result.charges_name),
        ("market", result.feed),
    ]
    rows += [("stand-in", text) for text in result.stand_ins]
    rows += [("note", text) for text in result.notes]
    if result.wall_s > 0:
        rows.append(("took", f"{result.wall_s:.1f} s for {result.ticks:,} ticks"))
    rows += [(what, where) for what, where in result.artifacts.items()]
    return [
        _RULE,
        _headline(result),
        _RULE,
        *(line for label, text in rows for line in wrapped(label, text, 16)),
        *_after_words(result),
    ]


def wrapped(label: str, text: str, indent: int) -> list[str]:
    """A label and its text, broken into lines of a terminal's width."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{label:<{indent}}",
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _headline(result: DayResult) -> str:
    net = show_rupees(result.net, signed=True)
    if result.interrupted:
        how = "interrupted"
    elif result.already_finished:
        how = "was finished before"
    else:
        how = "finished"
    return f"{result.date:%a %d %b %Y}, {result.mode}: {how}, net {net} after charges"


def _after_words(result: DayResult) -> list[str]:
    if result.interrupted:
        return ["", "Start the same command again to go on from here."]
    if result.already_finished:
        return ["", "Add --fresh to trade it again as a new run; nothing is deleted."]
    return []


def _trades(result: DayResult) -> str:
    flat = result.trades - result.wins - result.losses
    even = f", {flat} even" if flat else ""
    return f"{result.trades}: {result.wins} won, {result.losses} lost{even}"


def charge_line(charges: Charges) -> str:
    """The total and its parts."""
    items = (
        ("brokerage", charges.brokerage),
        ("STT", charges.stt),
        ("exchange", charges.exchange),
        ("SEBI", charges.sebi),
        ("stamp", charges.stamp),
        ("GST", charges.gst),
    )
    parts = ", ".join(
        f"{name} {show_rupees(charge_as_money(units))}" for name, units in items if units
    )
    total = show_rupees(charge_as_money(charges.total))
    return f"{total} ({parts})" if parts else total
