"""The tables of the report: round trips, charges, strategies, hours, refusals, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from kitestring.domain.charges import Charges
from kitestring.domain.events import (
    Adjustment,
    Discrepancy,
    Gap,
    MarketDataFault,
    Note,
    OperatorCommand,
    StrategyOff,
    StrategyReady,
)
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import MINUTE, Instant, ist_clock
from kitestring.domain.money import Money, charge_as_money, decimal_rupees
from kitestring.domain.orders import ExecType, Side
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import HaltSession, Reduced
from kitestring.report.charts import reach, share
from kitestring.report.figures import Figures, Row, r_multiple, trade_net
from kitestring.report.markup import MINUS, Cell, Column, Html, rupees, table, tag, tone
from kitestring.report.run_facts import RunFacts, Told

STORY_MAX = 200
"""Lines of the day's story that are shown; the journal holds them all."""
REACH_R = 3
"""How many times its risk fills one side of a trade's path."""


def signed(amount: Money) -> Cell:
    """A result in its colour."""
    return Cell(rupees(amount, signed=True), tone=tone(amount))


def times_risk(r: float | None) -> str:
    """``+1.25 R``; a dash where there was no stop."""
    if r is None:
        return "–"
    return f"{r:+.2f} R".replace("-", MINUS)


def percent(part: Money, whole: Money) -> str:
    """A part of an amount in percent, to two places."""
    if not whole:
        return "–"
    return f"{decimal_rupees(part) / decimal_rupees(whole) * 100:+.2f} %".replace("-", MINUS)


def rate(part: int, whole: int) -> str:
    """``48 %``; a dash of nothing."""
    return f"{100 * part / whole:.0f} %" if whole else "–"


def round_trips(trades: Sequence[RoundTrip]) -> Html:
    """Every round trip, in the order in which they were closed."""
    columns = (
        Column("Time", "entry and exit, Indian time", number=False),
        Column("Instrument", number=False),
        Column("Position", number=False),
        Column("Entry → exit", "average prices"),
        Column("Gross", "before charges"),
        Column("Charges"),
        Column("Net", "after charges"),
        Column("R", "net result in units of what the stop put at risk"),
        Column("MFE / MAE", "best and worst unrealised result while it was open"),
        Column("Path", "from worst to best in units of risk, and where it ended", number=False),
        Column("Slippage", "rupees lost against the decision prices"),
        Column("Exit", "why it was closed", number=False),
    )
    rows = [
        (
            Cell(f"{ist_clock(trade.entry_at)} → {ist_clock(trade.exit_at)}", _lasted(trade)),
            Cell(symbol_of(trade.instrument), trade.strategy),
            Cell(f"{'long' if trade.side is Side.BUY else 'short'} {trade.qty}", trade.product),
            Cell(rupees(trade.entry_px), f"→ {rupees(trade.exit_px)}"),
            signed(trade.gross),
            rupees(charge_as_money(trade.charges.total)),
            signed(trade_net(trade)),
            times_risk(r_multiple(trade)),
            Cell(rupees(trade.mfe), rupees(trade.mae)),
            _path(trade),
            rupees(trade.slippage),
            str(trade.exit_reason),
        )
        for trade in trades
    ]
    return table("round-trips", columns, rows)


def _path(trade: RoundTrip) -> Html:
    """Worst, best and end; three times the risk fills a side, without a stop its own extremes do."""
    own = max(int(trade.mfe), -int(trade.mae), abs(int(trade.gross)))
    return reach(
        int(trade.mae),
        int(trade.mfe),
        int(trade.gross),
        own if trade.risk is None else REACH_R * int(trade.risk),
    )


def _lasted(trade: RoundTrip) -> str:
    minutes = (trade.exit_at - trade.entry_at) // MINUTE
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else "under a minute"


def charge_items(charges: Charges, turnover: Money) -> Html:
    """The charges, itemised, the dearest first."""
    items = (
        ("Brokerage", charges.brokerage),
        ("STT / CTT", charges.stt),
        ("Exchange charges", charges.exchange),
        ("SEBI charges", charges.sebi),
        ("Stamp duty", charges.stamp),
        ("GST", charges.gst),
    )
    total = charge_as_money(charges.total)
    rows = [
        (name, rupees(charge_as_money(units)), share(int(charge_as_money(units)), int(total)))
        for name, units in items
    ]
    columns = (Column("Charge", number=False), Column("Amount"), Column("Share", number=False))
    parts = decimal_rupees(total) / decimal_rupees(turnover) * 10_000 if turnover else 0
    foot = ("All charges", rupees(total), Html(f"{parts:.2f} bp of turnover"))
    return table("charge-items", columns, rows, total=foot)


def by_strategy(rows: Sequence[Row]) -> Html:
    """Results by strategy, the best first."""
    columns = (
        Column("Strategy", number=False),
        Column("Signals", "entries and exits it asked for"),
        Column("Refused", "entries that risk refused"),
        Column("Trades", "round trips"),
        Column("Won"),
        Column("Gross"),
        Column("Charges"),
        Column("Net"),
        Column("Average R"),
        Column("Slippage"),
    )
    return table(
        "by-strategy",
        columns,
        [
            (
                row.name,
                str(row.signals),
                str(row.refused),
                str(row.trades),
                rate(row.wins, row.trades),
                rupees(row.gross, signed=True),
                rupees(charge_as_money(row.charges.total)),
                signed(row.net),
                times_risk(row.r_average),
                rupees(row.slippage),
            )
            for row in rows
        ],
    )


def by_hour(rows: Sequence[Row]) -> Html:
    """Results by the hour in which trades were closed."""
    columns = (
        Column("Closed", "hour of the exit, Indian time", number=False),
        Column("Trades"),
        Column("Won"),
        Column("Charges"),
        Column("Slippage"),
        Column("Net"),
        Column("Weight", number=False),
    )
    widest = max((abs(int(row.net)) for row in rows), default=1)
    return table(
        "by-hour",
        columns,
        [
            (
                row.name,
                str(row.trades),
                rate(row.wins, row.trades),
                rupees(charge_as_money(row.charges.total)),
                rupees(row.slippage),
                signed(row.net),
                share(int(row.net), widest, tone(row.net)),
            )
            for row in rows
        ],
    )


def refused(facts: RunFacts) -> Html:
    """Signals that risk refused, the most frequent reason first; the sentence is the last one said."""
    found: dict[tuple[str, str], list[tuple[Instant, str]]] = {}
    for no in facts.refusals:
        found.setdefault((no.code, no.strategy), []).append((no.at, no.sentence))
    rows = [
        (
            code,
            strategy,
            str(len(said)),
            said[-1][1],
            ist_clock(said[0][0])
            if len(said) == 1
            else f"{ist_clock(said[0][0])} … {ist_clock(said[-1][0])}",
        )
        for (code, strategy), said in sorted(found.items(), key=lambda row: (-len(row[1]), row[0]))
    ]
    columns = (
        Column("Code", number=False),
        Column("Strategy", number=False),
        Column("Times"),
        Column("Reason", "as it was said the last time", number=False),
        Column("When", number=False),
    )
    return table("refused", columns, rows)


def rejected(facts: RunFacts) -> list[tuple[Instant, str]]:
    """Orders that the exchange refused: its no, where a refusal is ours."""
    said: list[tuple[Instant, str]] = []
    for change in facts.changes:
        for report in getattr(change, "reports", ()):
            if report.exec_type is ExecType.REJECTED:
                order = facts.orders.get(report.cl_ord_id)
                who = "" if order is None else f" of {order.intent.strategy}"
                what = f"the exchange rejected order {report.cl_ord_id}{who}: {report.text}"
                said.append((report.event_at, what))
    return said


def story(facts: RunFacts) -> Html:
    """What a person would have been told during the day, besides its trades."""
    lines = [
        (at, words, kind) for told in facts.story for at, words, kind in [_told(told)] if words
    ]
    lines += [(at, words, "bad") for at, words in rejected(facts)]
    lines.sort(key=lambda line: line[0])
    shown = [
        tag("li", tag("time", ist_clock(at)), tag("span", words), class_=kind or None)
        for at, words, kind in lines[:STORY_MAX]
    ]
    if len(lines) > STORY_MAX:
        shown.append(tag("li", tag("span", f"and {len(lines) - STORY_MAX} more, in the journal")))
    return tag("ol", *shown, class_="story")


def _told(fact: Told) -> tuple[Instant, str, str]:
    """When, in words, and how grave."""
    match fact:
        case HaltSession():
            return fact.at, f"Halt ({fact.code}): {fact.sentence} Positions: {fact.policy}.", "bad"
        case StrategyOff():
            return fact.at, f"{fact.strategy} failed and was switched off: {fact.error}", "bad"
        case Discrepancy():
            said = f"Difference in {fact.what}: ours {fact.ours}, the broker's {fact.theirs}"
            return fact.at, said, "bad"
        case Adjustment():
            said = (
                f"{fact.strategy}: {fact.qty:+} {symbol_of(fact.instrument)} without a trade, valued at"
                f" {rupees(fact.px)}, {fact.source} ({fact.reason})"
            )
            return fact.at, said, "bad"
        case MarketDataFault():
            return fact.at, f"{symbol_of(fact.instrument)}: {fact.sentence}", "warn"
        case Gap():
            said = f"Ticks missing from {ist_clock(fact.start_at)}: {fact.reason}"
            return fact.end_at, said, "warn"
        case OperatorCommand():
            return fact.at, f"Operator: {fact.word} {fact.reason}".rstrip(), "warn"
        case Reduced():
            intent = fact.approved.intent
            said = (
                f"{intent.strategy}: {symbol_of(intent.instrument)} reduced from {fact.asked_qty}"
                f" to {intent.order_qty} ({fact.code}: {fact.sentence})"
            )
            return fact.approved.at, said, ""
        case StrategyReady():
            return fact.at, f"{fact.strategy} is ready; {fact.missed}" if fact.missed else "", ""
        case Note():
            return fact.at, fact.sentence, ""


def faults(day_faults: dict[str, int]) -> Html:
    """Ticks that were kept out, by what was wrong with them."""
    columns = (Column("Fault", number=False), Column("Count"))
    names = {"out_of_hours": "out of hours", "falling_volume": "falling volume"}
    rows = [
        (names.get(fault, fault), f"{count:,}")
        for fault, count in sorted(day_faults.items(), key=lambda row: (-row[1], row[0]))
        if count
    ]
    return table("faults", columns, rows)


def headline_row(day: Figures) -> tuple[object, ...]:
    """A day as one row of many days."""
    return (
        f"{day.date:%a %d %b %Y}",
        str(day.trades),
        rate(day.wins, day.trades),
        rupees(day.gross, signed=True),
        rupees(charge_as_money(day.charges.total)),
        signed(day.net),
        rupees(day.drawdown),
        rupees(day.slippage),
    )
