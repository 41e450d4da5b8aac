"""``kitestring explain``: the way of an order as a timetable, with the delay of every step."""

from __future__ import annotations

from typing import NamedTuple

from kitestring.cli.answer_text import RULE, after, labelled, to_the_ms
from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import Instant, ist, ist_clock, ist_date
from kitestring.domain.money import (
    Money,
    average_px,
    charge_as_money,
    charge_rupees,
    decimal_rupees,
    show_rupees,
)
from kitestring.domain.orders import ExecType, ExecutionReport, Purpose, Side
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import Reduced
from kitestring.engine.order_story import Explained, OrderStory
from kitestring.store.run_reader import Recorded


class Step(NamedTuple):
    """One line of the timetable."""

    at: Instant
    what: str
    text: str


def explain_lines(explained: Explained, recorded: Recorded) -> list[str]:
    """The story of an order, or of a round trip order by order."""
    lines: list[str] = []
    if explained.trade is not None:
        lines += [f"{explained.trade.trade_id} · {recorded.run}", RULE]
        lines += labelled("round trip", _trip(explained.trade))
        lines.append("")
    for place, story in enumerate(explained.stories):
        if place:
            lines.append("")
        lines += _story(story, recorded, trips=explained.trade is None)
    if recorded.running:
        lines += ["", f"The day is running: as recorded up to {ist_clock(recorded.at)}."]
    return lines


def explain_answer(explained: Explained, recorded: Recorded) -> dict[str, object]:
    """The same for a machine."""
    return {
        "run": recorded.run,
        "running": recorded.running,
        "trade": None if explained.trade is None else explained.trade.trade_id,
        "orders": [
            {
                "tag": story.row.cl_ord_id,
                "broker_order_id": story.row.order_id,
                "status": story.row.status.value,
                "strategy": story.row.intent.strategy,
                "instrument": story.row.intent.instrument,
                "purpose": story.row.intent.purpose.value,
                "filled_quantity": story.row.cum_qty,
                "slippage": decimal_rupees(_slippage(story)),
                "charges": charge_rupees(_charges(story).total),
                "trades": [trade.trade_id for trade in story.trades],
                "steps": [
                    {"at": ist(step.at).isoformat(), "what": step.what, "text": step.text}
                    for step in _steps(story)
                ],
            }
            for story in explained.stories
        ],
    }


def _story(story: OrderStory, recorded: Recorded, *, trips: bool) -> list[str]:
    row = story.row
    intent = row.intent
    name = f"{intent.side} {row.order_qty} {symbol_of(intent.instrument)} {row.ord_type}"
    lines = [f"{name} · {intent.purpose.lower()} of {intent.strategy} · {row.status}"]
    ids = [row.cl_ord_id, *([f"broker {row.order_id}"] if row.order_id else []), recorded.run]
    lines += [" · ".join(ids), RULE]
    previous: Instant | None = None
    for step in _steps(story):
        delay = "" if previous is None or step.at == previous else after(step.at - previous)
        previous = step.at
        stamp = f"{to_the_ms(step.at)} {delay:>8}  "
        lines += labelled(f"{stamp}{step.what:<8}", step.text, indent=len(stamp) + 9)
    lines.append("")
    lines += _sums(story)
    if trips:
        for trade in story.trades:
            lines += labelled("round trip", f"{trade.trade_id}: {_trip(trade)}")
    return lines


def _steps(story: OrderStory) -> list[Step]:
    row, intent = story.row, story.row.intent
    steps = [
        Step(
            arrived,
            "tick",
            f"{symbol_of(tick.instrument)} {show_rupees(tick.last_px)}"
            + (
                f", bid {show_rupees(tick.bid_px)}, ask {show_rupees(tick.ask_px)}"
                if int(tick.bid_px) and int(tick.ask_px)
                else ""
            ),
        )
        for tick, arrived in sorted(story.ticks, key=lambda one: one[1])
    ]
    if story.bar is not None:
        bar = story.bar
        prices = " ".join(
            f"{letter} {show_rupees(px)}"
            for letter, px in (("O", bar.open), ("H", bar.high), ("L", bar.low), ("C", bar.close))
        )
        opened, closed = ist_clock(bar.open_at)[:5], ist_clock(bar.close_at)[:5]
        steps.append(Step(bar.close_at, "bar", f"{opened} to {closed} {prices}"))
    signal = story.signal
    if signal is not None and intent.purpose is Purpose.ENTRY:
        levels = [
            f"{name} {show_rupees(px)}"
            for name, px in (
                ("stop", signal.stop_px),
                ("target", signal.target_px),
                ("trail", signal.trail_by),
            )
            if px is not None
        ]
        told = "; ".join([f"{signal.action}: {signal.reason}", *levels])
        steps.append(Step(signal.at, "signal", told))
    for entry in story.opened_by:
        what = f"{'long' if entry.intent.side is Side.BUY else 'short'} {entry.cum_qty}"
        px = show_rupees(average_px(entry.traded_value, entry.cum_qty))
        steps.append(Step(entry.placed_at, "entry", f"{entry.cl_ord_id}: {what} at {px}"))
    verdict = story.verdict
    if isinstance(verdict, Reduced):
        told = f"reduced from {verdict.asked_qty}: {verdict.code}, {verdict.sentence}"
        steps.append(Step(verdict.approved.at, "verdict", told))
    else:
        exits = "" if intent.purpose is Purpose.ENTRY else " (exits always pass)"
        steps.append(Step(verdict.at, "verdict", f"allowed{exits}"))
    steps.append(Step(row.placed_at, "order", _order(story)))
    later = [Step(one.at, "report", _report(one.report, one.at)) for one in story.heard]
    for level in story.levels:
        moved = "changed"
        if level.before != level.after and level.before is not None and level.after is not None:
            moved = f"stop {show_rupees(level.before)} → {show_rupees(level.after)}"
        elif level.price is not None:
            moved = f"limit {show_rupees(level.price)}"
        if level.order_qty is not None and level.order_qty != intent.order_qty:
            moved += f", quantity {level.order_qty}"
        later.append(Step(level.at, "change", moved))
    later += [Step(one.at, "cancel", one.reason or "withdrawn") for one in story.cancels]
    return sorted(steps + later, key=lambda step: step.at)


def _order(story: OrderStory) -> str:
    intent = story.row.intent
    text = f"{intent.side} {intent.order_qty} {intent.ord_type}"
    if intent.price is not None:
        text += f" limit {show_rupees(intent.price)}"
    if intent.stop_px is not None:
        text += f" trigger {show_rupees(intent.stop_px)}"
    return f"{text}, decided at {show_rupees(intent.decision_px)}: {intent.reason}"


def _report(report: ExecutionReport, told_at: Instant) -> str:
    text = str(report.exec_type)
    if report.exec_type is ExecType.TRADE:
        text += f" {report.last_qty} at {show_rupees(report.last_px)}"
    elif report.stop_px is not None:
        text += f", trigger {show_rupees(report.stop_px)}"
    if report.event_at != told_at:
        text += f", at the exchange {to_the_ms(report.event_at)}"
    return f"{text} ({report.text})" if report.text else text


def _sums(story: OrderStory) -> list[str]:
    row = story.row
    lines: list[str] = []
    if row.cum_qty:
        px = show_rupees(average_px(row.traded_value, row.cum_qty))
        lines += labelled("filled", f"{row.cum_qty} of {row.order_qty} at {px} on average")
        slippage = _slippage(story)
        word = "lost" if slippage > Money(0) else "won" if slippage < Money(0) else "none"
        told = f"{show_rupees(abs(slippage))} {word}" if slippage else "none"
        lines += labelled("slippage", f"{told}, against the price it was decided at")
        items = _charges(story)
        parts = ", ".join(
            f"{name} {show_rupees(charge_as_money(units))}"
            for name, units in (
                ("brokerage", items.brokerage),
                ("STT", items.stt),
                ("exchange", items.exchange),
                ("SEBI", items.sebi),
                ("stamp", items.stamp),
                ("GST", items.gst),
            )
            if units
        )
        total = show_rupees(charge_as_money(items.total))
        lines += labelled("charges", f"{total} ({parts})" if parts else total)
    else:
        reason = f" ({row.status.lower().replace('_', ' ')}: {row.reason})" if row.reason else ""
        lines += labelled("filled", f"nothing of {row.order_qty}{reason}")
    if row.intent.purpose is Purpose.STOP:
        moves = [level for level in story.levels if level.before != level.after]
        whose = (
            ", ".join(entry.cl_ord_id for entry in story.opened_by)
            or f"{row.intent.strategy}, carried"
        )
        told = f"the position of {whose}"
        if moves and moves[0].before is not None and moves[-1].after is not None:
            often = "once" if len(moves) == 1 else f"{len(moves)} times"
            told += f"; trailed {often}, {show_rupees(moves[0].before)} → "
            told += show_rupees(moves[-1].after)
        else:
            told += "; never moved"
        lines += labelled("protected", told)
    return lines


def _trip(trade: RoundTrip) -> str:
    held = "long" if trade.side is Side.BUY else "short"
    net = trade.gross - charge_as_money(trade.charges.total)
    text = (
        f"{held} {trade.qty} {symbol_of(trade.instrument)}, {_entered(trade)} "
        f"{show_rupees(trade.entry_px)} → {ist_clock(trade.exit_at)} {show_rupees(trade.exit_px)} "
        f"by {trade.exit_reason}; gross {show_rupees(trade.gross, signed=True)}, charges "
        f"{show_rupees(charge_as_money(trade.charges.total))}, net {show_rupees(net, signed=True)}"
    )
    if trade.risk:
        text += f", {int(net) / int(trade.risk):+.2f} R"
    return text


def _entered(trade: RoundTrip) -> str:
    """When it was entered, with the date where that was another day."""
    clock = ist_clock(trade.entry_at)
    if ist_date(trade.entry_at) == ist_date(trade.exit_at):
        return clock
    return f"{ist(trade.entry_at):%d %b %Y} {clock}"


def _slippage(story: OrderStory) -> Money:
    total = Money(0)
    for fill in story.fills:
        total = total + fill.slippage
    return total


def _charges(story: OrderStory) -> Charges:
    total = NO_CHARGES
    for fill in story.fills:
        total = total.plus(fill.charges)
    return total
