"""A live day beside the same day on paper, in rupees: prices, what was missed or refused, charges, the sum.

The law: every rupee between the two stands in exactly one row, and the rows add up to the difference
of the two sealed results. A minus means that the market was less kind than paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import msgspec

from kitestring.domain.events import Fact, Reports
from kitestring.domain.ids import ClOrdId, symbol_of
from kitestring.domain.instants import MINUTE, ist_clock
from kitestring.domain.money import Money, charge_as_money
from kitestring.domain.orders import ExecType, Purpose
from kitestring.domain.positions import RoundTrip
from kitestring.report.charts import Chart, Mark, Span, draw, share
from kitestring.report.markup import (
    Cell,
    Column,
    Html,
    join,
    rupees,
    section,
    table,
    tag,
    tone,
)
from kitestring.report.run_facts import RunFacts
from kitestring.report.tables import signed
from kitestring.store.run_pairs import RunPair
from kitestring.store.rupee_sources import Source, Trade, sources, trades_by_decision

_PAISA: Final = Money(100)
_WORDS: Final = {
    "entry prices of the same trades": ("Entry prices", "the same entries, filled at other prices"),
    "exit prices, left for the same reason": ("Exit prices", "the same exits, at other prices"),
    "exits, left for another reason": ("Other exits", "one hit its stop or target, the other not"),
    "another quantity": ("Quantity", "trades of another size, whole"),
    "charges of the same trades": ("Charges", "of the trades that both made"),
    "trades only the first has": (
        "Missed",
        "trades that live did not get; a plus: paper lost with them",
    ),
    "trades only the second has": (
        "Only live",
        "trades that paper did not get",
    ),
    "open positions and rounding": ("Open", "what is in no closed trade, and rounding"),
}


class Row(msgspec.Struct, frozen=True):
    """One decision: what live and paper made of it (``None``: no closed trade)."""

    live: Trade | None
    paper: Trade | None
    why: str = ""
    """Of a trade that only one has: why the other has none, as far as its record tells."""

    @property
    def trip(self) -> RoundTrip:
        """The live one, or else paper's."""
        found = self.live or self.paper
        assert found is not None
        return found.trip


class SideBySide(msgspec.Struct, frozen=True):
    """One day, compared: paper first, live second."""

    live_net: Money
    paper_net: Money
    sources: tuple[Source, ...]
    rows: tuple[Row, ...]
    rejected: tuple[str, ...]
    """What the broker refused of live's orders, in its words."""

    @property
    def difference(self) -> Money:
        """What live made more than paper."""
        return self.live_net - self.paper_net


def side_by_side(live: RunFacts, paper: RunFacts) -> SideBySide:
    """Compare a live day with the same day on paper; both are sealed."""
    assert live.sealed is not None
    assert paper.sealed is not None
    live_net, paper_net = Money(live.sealed.net), Money(paper.sealed.net)
    ours, theirs = _facts(live), _facts(paper)
    mine, others = trades_by_decision(ours), trades_by_decision(theirs)
    rows: list[Row] = []
    for key in mine.keys() | others.keys():
        ours_here, theirs_here = mine.get(key), others.get(key)
        why = ""
        if ours_here is None:
            why = _why_none(live, key[1])
        elif theirs_here is None:
            why = _why_none(paper, key[1])
        rows.append(Row(ours_here, theirs_here, why))
    rows.sort(key=lambda row: (row.trip.exit_at, row.trip.strategy))
    return SideBySide(
        live_net=live_net,
        paper_net=paper_net,
        sources=tuple(sources(theirs, ours, live_net - paper_net)),
        rows=tuple(rows),
        rejected=_rejected(live),
    )


def _facts(facts: RunFacts) -> list[Fact]:
    return [*facts.orders.values(), *facts.fills, *facts.trades]


def _reports(facts: RunFacts, tags: set[ClOrdId]) -> list[tuple[ExecType, str]]:
    return [
        (report.exec_type, report.text)
        for told in facts.changes
        if isinstance(told, Reports)
        for report in told.reports
        if report.cl_ord_id in tags
    ]


def _why_none(facts: RunFacts, signal_id: str) -> str:
    """Why a run has no closed trade of a decision that the other traded."""
    refused = [each for each in facts.refusals if each.signal_id == signal_id]
    if refused:
        return f"{refused[0].code}: {refused[0].sentence}"
    tags = {
        order.cl_ord_id
        for order in facts.orders.values()
        if order.intent.signal_id == signal_id and order.intent.purpose is Purpose.ENTRY
    }
    if not tags:
        decided = any(signal.signal_id == signal_id for signal in facts.signals)
        return "no order was sent for it" if decided else "it was not decided here"
    if any(fill.cl_ord_id in tags for fill in facts.fills):
        return "it was filled, and is not closed"
    said = [text for kind, text in _reports(facts, tags) if kind is ExecType.REJECTED]
    if said:
        return f"rejected by the broker: {said[0] or 'no reason given'}"
    return "its order was not filled"


def _rejected(facts: RunFacts) -> tuple[str, ...]:
    told: list[str] = []
    for change in facts.changes:
        for report in change.reports if isinstance(change, Reports) else ():
            order = facts.orders.get(report.cl_ord_id)
            if report.exec_type is ExecType.REJECTED and order is not None:
                intent = order.intent
                told.append(
                    f"{ist_clock(report.event_at)} {intent.side} {intent.order_qty} "
                    f"{symbol_of(intent.instrument)}: {report.text or 'no reason given'}"
                )
    return tuple(told)


def live_and_paper(day: SideBySide, days: Sequence[RunPair]) -> Html:
    """The part of a live day's page that sets it beside paper; ``days`` end with this one."""
    inside = [
        tag("p", _claim(day), class_="claim"),
        _source_table(day),
    ]
    parts: list[Html] = [tag("div", *inside, class_="card")]
    if day.rows:
        parts.append(_trade_table(day))
    if day.rejected:
        listed = (tag("li", tag("span", words)) for words in day.rejected)
        heading = tag("p", tag("b", f"Refused by the broker: {len(day.rejected)}"))
        parts.append(tag("div", heading, tag("ul", *listed), class_="card refused"))
    if len(days) > 1:
        parts.append(_over_days(days))
    return section(
        "Beside paper",
        *parts,
        name="beside",
        about="The same day, settings and ticks, filled by the paper exchange. A minus: the market"
        " was less kind than paper.",
    )


def _claim(day: SideBySide) -> Html:
    less = day.difference < Money(0)
    return join(
        (
            "Paper ",
            tag("b", rupees(day.paper_net, signed=True), id="paper-net"),
            ", live ",
            tag("b", rupees(day.live_net, signed=True), id="live-net"),
            ": live made ",
            tag("b", rupees(abs(day.difference)), id="live-difference"),
            " less." if less else " more." if day.difference else " more: the same to the paisa.",
        )
    )


def _source_table(day: SideBySide) -> Html:
    shown = [each for each in day.sources if each.trades or abs(each.rupees) >= _PAISA]
    widest = max((abs(int(each.rupees)) for each in shown), default=1)
    rows = [
        (
            Cell(_WORDS[each.what][0], below=_WORDS[each.what][1]),
            str(each.trades) if each.trades else "–",
            Cell(
                rupees(each.rupees, signed=True),
                below=share(int(each.rupees), widest, tone(each.rupees)),
                tone=tone(each.rupees),
            ),
        )
        for each in shown
    ]
    head = (Column("Where", number=False), Column("Trades"), Column("Live − paper"))
    total = ("Live − paper", "", signed(day.difference))
    return table("difference", head, rows, total=total)


def _trade_table(day: SideBySide) -> Html:
    head = (
        Column("Trade", number=False),
        Column("Paper", "entry → exit"),
        Column("Live", "entry → exit"),
        Column("Entry", "what live gained at entry"),
        Column("Exit", "what live gained at exit"),
        Column("Charges", "what live paid less"),
        Column("Live − paper", "after charges"),
    )
    return table("beside-trades", head, [_trade_row(row) for row in day.rows])


def _trade_row(row: Row) -> tuple[object, ...]:
    trip, live, paper = row.trip, row.live, row.paper
    named = Cell(
        f"{ist_clock(trip.entry_at)[:5]} {'bought' if trip.side.sign > 0 else 'sold'} "
        f"{trip.qty} {symbol_of(trip.instrument)}",
        below=str(trip.strategy),
    )
    if live is None or paper is None:
        one = live or paper
        assert one is not None
        net = one.net if live is not None else -one.net
        missed = Cell("–", below=row.why)
        both = (_way(one.trip), missed) if live is None else (missed, _way(one.trip))
        return (named, *both, "–", "–", "–", signed(net))
    entry = exits = None
    if (live.trip.qty, live.trip.side) == (paper.trip.qty, paper.trip.side):
        entry = (paper.trip.entry_px - live.trip.entry_px) * (live.trip.qty * live.trip.side.sign)
        exits = (live.trip.gross - paper.trip.gross) - entry
    charges = charge_as_money(paper.trip.charges.total) - charge_as_money(live.trip.charges.total)
    return (
        named,
        _way(paper.trip),
        _way(live.trip),
        "–" if entry is None else signed(entry),
        "–" if exits is None else signed(exits),
        signed(charges),
        signed(live.net - paper.net),
    )


def _way(trip: RoundTrip) -> Cell:
    return Cell(f"{rupees(trip.entry_px)} → {rupees(trip.exit_px)}", below=f"{trip.qty} units")


def _over_days(days: Sequence[RunPair]) -> Html:
    live = list(accumulate((day.live_net for day in days), initial=Money(0)))
    paper = list(accumulate((day.paper_net for day in days), initial=Money(0)))
    ends = rupees(paper[-1], signed=True), rupees(live[-1], signed=True)
    said = f"{len(days)} days: paper {ends[0]}, live {ends[1]}"
    claim = (f"{len(days)} days: paper ", tag("b", ends[0]), ", live ", tag("b", ends[1]))
    marks = [
        Mark(
            "low",
            number * MINUTE,
            int(live[number]),
            f"paper {rupees(paper[number], signed=True)}, live {rupees(live[number], signed=True)}",
        )
        for number in range(1, len(live))
    ]
    chart = Chart(
        name="days-beside",
        label=said,
        span=Span(0, len(days) * MINUTE),
        points=[(number * MINUTE, int(net)) for number, net in enumerate(live)],
        other=[(number * MINUTE, int(net)) for number, net in enumerate(paper)],
        marks=marks,
        signed=True,
        days=("before", *(f"{day.date:%d %b}" for day in days)),
    )
    key = '<svg class="key"><path class="{}" d="M1 8H17"/></svg>'
    legend = tag(
        "p",
        tag("span", Html(key.format("line")), "live"),
        tag("span", Html(key.format("other")), "paper"),
        class_="legend",
    )
    return tag(
        "div", tag("p", *claim, class_="claim", id="days-claim"), legend, draw(chart), class_="card"
    )
