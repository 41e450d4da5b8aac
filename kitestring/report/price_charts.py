"""What was traded, on its price: minutes, entries and exits, the way of every stop.

A mark is one order: its fills together, at their average. A stop is drawn from when the house asked
for it until it was moved, filled or withdrawn.
"""

from __future__ import annotations

from typing import NamedTuple

from kitestring.domain.events import Reports
from kitestring.domain.ids import InstrumentId, symbol_of
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import Money, Price, average_px
from kitestring.domain.orders import ExecType, OrderIntent, Purpose, Side
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import CancelOrder, ModifyOrder
from kitestring.report.charts import Chart, Line, Mark, Span, Step, draw
from kitestring.report.figures import trade_net
from kitestring.report.markup import Html, rupees, tag, tone
from kitestring.report.run_facts import RunFacts


class _Stop(NamedTuple):
    """A stop order's present level."""

    instrument: InstrumentId
    since: Instant
    level: Price


def traded_instruments(facts: RunFacts) -> list[InstrumentId]:
    """What was traded, in the order of first fills."""
    return list(dict.fromkeys(fill.instrument for fill in facts.fills))


def price_charts(facts: RunFacts, span: Span) -> list[Html]:
    """One chart for each traded instrument."""
    stops = stop_steps(facts, span.end_at)
    charts: list[Html] = []
    for number, instrument in enumerate(traded_instruments(facts), 1):
        trades = [trade for trade in facts.trades if trade.instrument == instrument]
        bars = facts.minutes.get(instrument, ())
        net = sum((trade_net(trade) for trade in trades), Money(0))
        symbol = symbol_of(instrument)
        count = f"{len(trades)} round trip{'' if len(trades) == 1 else 's'}"
        chart = Chart(
            name=f"price-{number}",
            label=f"Price of {symbol} over the day, with {count}",
            span=span,
            points=[(bar.close_at, int(bar.close)) for bar in bars],
            ranges=[(bar.close_at, int(bar.low), int(bar.high)) for bar in bars],
            marks=order_marks(facts, instrument),
            lines=[
                Line(
                    trade.entry_at,
                    int(trade.entry_px),
                    trade.exit_at,
                    int(trade.exit_px),
                    tone(trade_net(trade)),
                )
                for trade in trades
            ],
            steps=stops.get(instrument, []),
        )
        known = facts.instruments.get(instrument)
        heading = tag(
            "header",
            tag("h3", symbol),
            tag("span", count, " · ", tag("b", rupees(net, signed=True), class_=tone(net))),
        )
        stand_in = known.stand_in if known is not None else None
        said = tag("p", stand_in, class_="stand-in") if stand_in else ""
        charts.append(tag("article", heading, said, draw(chart), class_="card"))
    return charts


def order_marks(facts: RunFacts, instrument: InstrumentId) -> list[Mark]:
    """Entries as triangles in the direction of the trade, exits as rings."""
    results = {
        (trade.strategy, trade.instrument, trade.exit_at): tone(trade_net(trade))
        for trade in facts.trades
    }
    by_order: dict[str, list[Fill]] = {}
    for fill in facts.fills:
        if fill.instrument == instrument:
            by_order.setdefault(fill.cl_ord_id, []).append(fill)
    marks: list[Mark] = []
    for cl_ord_id, fills in by_order.items():
        last = fills[-1]
        qty = sum(fill.qty for fill in fills)
        average = average_px(sum((fill.px * fill.qty for fill in fills), Money(0)), qty)
        order = facts.orders.get(cl_ord_id)
        intent = None if order is None else order.intent
        entry = intent is None or intent.purpose is Purpose.ENTRY
        result = next(
            (
                results[key]
                for fill in reversed(fills)
                if (key := (fill.strategy, fill.instrument, fill.at)) in results
            ),
            "",
        )
        verb = "bought" if last.side is Side.BUY else "sold"
        words = f"{ist_clock(last.at)} {verb} {qty} at {rupees(average)}, {last.strategy}"
        if intent is not None:
            words = f"{words}: {intent.reason}"
        shape = ("buy" if last.side is Side.BUY else "sell") if entry else "exit"
        marks.append(Mark(shape, last.at, int(average), words, "" if entry else result))
    return marks


def stop_steps(facts: RunFacts, end_at: Instant) -> dict[InstrumentId, list[Step]]:
    """The level of every protective stop over time, by instrument."""
    steps: dict[InstrumentId, list[Step]] = {}
    stops: dict[str, _Stop] = {}

    def end(cl_ord_id: str, at: Instant) -> None:
        stop = stops.pop(cl_ord_id, None)
        if stop is not None and at > stop.since:
            steps.setdefault(stop.instrument, []).append(Step(stop.since, at, int(stop.level)))

    intents: dict[str, OrderIntent] = {
        name: order.intent
        for name, order in facts.orders.items()
        if order.intent.purpose is Purpose.STOP and order.intent.stop_px is not None
    }
    for name, intent in intents.items():
        assert intent.stop_px is not None
        stops[name] = _Stop(intent.instrument, intent.decided_at, intent.stop_px)
    filled: dict[str, int] = {}
    for change in facts.changes:
        match change:
            case ModifyOrder() if change.cl_ord_id in stops and change.stop_px is not None:
                stop = stops[change.cl_ord_id]
                end(change.cl_ord_id, change.at)
                stops[change.cl_ord_id] = _Stop(stop.instrument, change.at, change.stop_px)
            case CancelOrder():
                end(change.cl_ord_id, change.at)
            case Reports():
                for report in change.reports:
                    name = report.cl_ord_id
                    if name not in stops:
                        continue
                    filled[name] = filled.get(name, 0) + report.last_qty
                    done = filled[name] >= intents[name].order_qty
                    if done or report.exec_type in (ExecType.REJECTED, ExecType.CANCELED):
                        end(name, report.event_at)
            case _:
                pass
    for name in tuple(stops):
        end(name, end_at)
    return steps


