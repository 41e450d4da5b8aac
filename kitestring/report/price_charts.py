"""What was traded, on its price: minutes, entries and exits, the way of every stop.

A mark is one order: its fills together, at their average. A stop is drawn from when the house asked
for it until it was moved, filled or withdrawn.
"""

from __future__ import annotations

from kitestring.domain.events import Reports
from kitestring.domain.ids import InstrumentId, symbol_of
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import Money, Price, average_px
from kitestring.domain.orders import ExecType, OrderIntent, Purpose, Side
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import CancelOrder
from kitestring.report.charts import Chart, Line, Mark, Span, Step, draw
from kitestring.report.figures import trade_net
from kitestring.report.markup import Html, rupees, tag, tone
from kitestring.report.run_facts import RunFacts


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


class _Way:
    """Where one stop order has stood."""

    __slots__ = ("done", "filled", "intent", "level", "since", "steps")

    def __init__(self, intent: OrderIntent) -> None:
        assert intent.stop_px is not None
        self.intent = intent
        self.since = intent.decided_at
        self.level: Price = intent.stop_px
        self.steps: list[Step] = []
        self.filled = 0
        self.done = False

    def until(self, at: Instant) -> None:
        """It stood at its level until now."""
        if at > self.since and not self.done:
            self.steps.append(Step(self.since, at, int(self.level), moved=bool(self.steps)))
            self.since = at

    def end(self, at: Instant) -> None:
        """It is filled, withdrawn or refused."""
        self.until(at)
        self.done = True


def stop_steps(facts: RunFacts, end_at: Instant) -> dict[InstrumentId, list[Step]]:
    """The level of every protective stop over time, by instrument."""
    ways = {
        name: _Way(order.intent)
        for name, order in facts.orders.items()
        if order.intent.purpose is Purpose.STOP and order.intent.stop_px is not None
    }
    for change in facts.changes:
        if isinstance(change, Reports):
            for report in change.reports:
                way = ways.get(report.cl_ord_id)
                if way is None:
                    continue
                way.filled += report.last_qty
                full = way.filled >= way.intent.order_qty
                if full or report.exec_type in (ExecType.REJECTED, ExecType.CANCELED):
                    way.end(report.event_at)
            continue
        way = ways.get(change.cl_ord_id)
        if way is None:
            continue
        if isinstance(change, CancelOrder):
            way.end(change.at)
        elif change.stop_px is not None:
            way.until(change.at)
            way.level = change.stop_px
    steps: dict[InstrumentId, list[Step]] = {}
    for way in ways.values():
        way.end(end_at)
        steps.setdefault(way.intent.instrument, []).extend(way.steps)
    return steps
