"""One page for many days: how they add up, day by day, and what they rest on.

Days are read one after the other and only their figures are kept, so that a year fits in memory.
Each day stands for itself: its own capital, its own terms; what differs between days is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.errors import DiskFailed
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.money import Money, charge_as_money
from kitestring.report.charts import Chart, Span, columns, draw, symbols
from kitestring.report.figures import CurvePoint, Figures, Row, deepest_fall, figures, merged
from kitestring.report.markup import (
    MINUS,
    Column,
    Html,
    join,
    named,
    page,
    rupees,
    section,
    table,
    tag,
    tile,
    tone,
)
from kitestring.report.repricing import repriced
from kitestring.report.run_facts import read_run
from kitestring.report.tables import (
    by_hour,
    by_strategy,
    charge_items,
    headline_row,
    rate,
    times_risk,
)
from kitestring.store.atomic_file import write_atomically
from kitestring.store.paths import RunPaths

TERMS_MAX = 3
"""How many different sentences of one kind are spelled out."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What many days keep of one."""

    figures: Figures
    terms: tuple[tuple[str, str], ...]
    """What it rests on: (kind, sentence)."""
    claimed: Money
    run: str
    head: str
    sealed: bool


def write_group_report(runs: Sequence[RunPaths], target: Path) -> Path:
    """Write one page for several runs, in the order of their dates.

    Raises a ``StoreError`` where a run cannot be read or ``target`` cannot be written.
    """
    days = [day_of(run) for run in sorted(runs, key=lambda run: run.date)]
    try:
        write_atomically(target, group_page(days))
    except OSError as error:
        raise DiskFailed(
            f"The report {target} cannot be written: {error.strerror or error}.",
            do="free space on that disk or make the folder writable, and type it again",
        ) from error
    return target


def day_of(run: RunPaths) -> Day:
    """One run's day; raises as ``read_run`` does."""
    facts = read_run(run)
    day = figures(facts)
    terms = [("Fills", facts.fill_sentence), ("Market data", facts.opened.feed)]
    terms.append(("Charges", facts.opened.charges))
    terms += [("Stand-in", words) for words in facts.stand_ins]
    terms += [("Note", words) for words in facts.notes]
    terms += [("Halted", f"{day.date:%d %b %Y}: {halt.sentence}") for halt in facts.halts]
    terms += [
        ("Still open", f"{day.date:%d %b %Y}: {qty} {symbol_of(name)}")
        for name, qty in day.open_qty.items()
    ]
    return Day(
        figures=day,
        terms=tuple(terms),
        claimed=repriced(facts, day).claimed,
        run=facts.run,
        head=facts.head,
        sealed=facts.sealed is not None,
    )


def group_page(days: Sequence[Day]) -> bytes:
    """The whole page; ``days`` in order, at least one."""
    net = _sum(day.figures.net for day in days)
    first, last = days[0].figures.date, days[-1].figures.date
    charges = NO_CHARGES
    for day in days:
        charges = charges.plus(day.figures.charges)
    turnover = _sum(day.figures.turnover for day in days)
    hours = merged(row for day in days for row in day.figures.hours)
    return page(
        f"{first:%d %b %Y} to {last:%d %b %Y}: {rupees(net, signed=True)} net",
        symbols(),
        _headline(days, net),
        _terms(days),
        _curve(days, net),
        _day_columns(days),
        _day_table(days),
        section("By strategy", by_strategy(_strategies(days)), name="strategies"),
        section("By hour", by_hour(sorted(hours, key=lambda row: row.name)), name="hours"),
        section("Charges", charge_items(charges, turnover), name="charges"),
        _audit(days),
    )


def _sum(amounts: Iterable[Money]) -> Money:
    return sum(amounts, Money(0))


def _strategies(days: Sequence[Day]) -> tuple[Row, ...]:
    return merged(row for day in days for row in day.figures.strategies)


def _headline(days: Sequence[Day], net: Money) -> Html:
    figured = [day.figures for day in days]
    gross = _sum(day.gross for day in figured)
    charges = _sum(charge_as_money(day.charges.total) for day in figured)
    trades, wins = sum(day.trades for day in figured), sum(day.wins for day in figured)
    green = sum(day.net > Money(0) for day in figured)
    fall, _ = deepest_fall(_chained(days))
    rows = merged(row for day in figured for row in day.strategies)
    r_count = sum(row.r_count for row in rows)
    average = sum(row.r_sum for row in rows) / r_count if r_count else None
    claimed = _sum(day.claimed for day in days)
    first, last = figured[0].date, figured[-1].date
    return tag(
        "header",
        tag("p", tag("b", "Kitestring"), f" · {len(days)} days", class_="over"),
        tag("h1", f"{first:%d %B %Y} to {last:%d %B %Y}"),
        tag(
            "p",
            tag("span", rupees(net, signed=True), id="net", class_=tone(net)),
            tag("span", "net after charges"),
            class_="result",
        ),
        tag(
            "p",
            f"{rupees(gross, signed=True)} gross {MINUS} {rupees(charges)} charges",
            class_="sum",
        ),
        tag(
            "dl",
            tile("Days", str(len(days)), f"{green} with a profit", name="days-count"),
            tile("Round trips", str(trades), f"{rate(wins, trades)} won", name="trades"),
            tile("Average", times_risk(average), "a trade, net", name="expectancy"),
            tile("Max drawdown", rupees(fall), "at minutes' closes", name="drawdown"),
            tile(
                "Slippage",
                rupees(_sum(day.slippage for day in figured)),
                "against decisions",
                name="slippage",
            ),
            tile(
                "Last-price paper",
                rupees(claimed, signed=True),
                "it would have claimed on top",
                name="claimed",
            ),
            class_="tiles",
        ),
        class_="headline",
    )


def _terms(days: Sequence[Day]) -> Html:
    """Every sentence once, with the number of days it holds for where that is not all of them."""
    counted: dict[tuple[str, str], int] = {}
    for day in days:
        for term in day.terms:
            counted[term] = counted.get(term, 0) + 1
        if not day.sealed:
            counted["Interrupted", f"{day.figures.date:%d %b %Y}: shown as far as it went"] = 1
    rows: list[tuple[str, object]] = []
    for kind in _KINDS:
        said = [(words, count) for (of, words), count in counted.items() if of == kind]
        if len(said) > TERMS_MAX and kind not in _OF_A_DAY:
            # A sentence of its own for every day, such as the charges of that date.
            rows.append((kind, f"{said[0][0]} … {said[-1][0]} ({len(said)} different)"))
            continue
        for words, count in said:
            every = count == len(days) or kind in _OF_A_DAY
            often = "" if every else f" ({count} of {len(days)} days)"
            inside = tag("span", words, class_="stand-in" if kind == "Stand-in" else None)
            rows.append((kind, join((inside, often))))
    return tag("section", tag("h2", "What this rests on"), named(rows), id="terms", class_="card")


_OF_A_DAY = frozenset({"Halted", "Interrupted", "Still open"})
_KINDS = ("Fills", "Market data", "Charges", "Stand-in", "Note", *sorted(_OF_A_DAY))


def _chained(days: Sequence[Day]) -> list[CurvePoint]:
    """All curves, one after the other, each beginning where the days before it ended."""
    chained: list[CurvePoint] = []
    before = Money(0)
    for day in days:
        chained += [CurvePoint(point.at, before + point.net) for point in day.figures.curve]
        before = before + day.figures.net
    return chained


def _curve(days: Sequence[Day], net: Money) -> Html:
    points: list[tuple[Instant, int]] = [(0, 0)]
    reached = Money(0)
    for number, day in enumerate(days, 1):
        reached = reached + day.figures.net
        points.append((number * MINUTE, int(reached)))
    chart = Chart(
        name="equity-curve",
        label=f"Net result over {len(days)} days, ending at {rupees(net, signed=True)}",
        span=Span(0, len(days) * MINUTE),
        points=points,
        signed=True,
        days=("before", *(f"{day.figures.date:%d %b}" for day in days)),
    )
    about = "Result at each day's close, after charges, added up from nothing."
    return section(
        "The days, net of charges",
        tag("div", draw(chart), class_="card tall"),
        name="curve",
        about=about,
    )


def _day_columns(days: Sequence[Day]) -> Html:
    bars = [
        (
            f"{day.figures.date:%a %d %b %Y}: {rupees(day.figures.net, signed=True)}",
            int(day.figures.net),
            tone(day.figures.net),
        )
        for day in days
    ]
    chart = columns("day-columns", "Net result of each day", bars)
    return section("Day by day", tag("div", chart, class_="card"), name="daily")


def _day_table(days: Sequence[Day]) -> Html:
    head = (
        Column("Day", number=False),
        Column("Trades", "round trips"),
        Column("Won"),
        Column("Gross"),
        Column("Charges"),
        Column("Net"),
        Column("Drawdown", "the deepest fall within the day"),
        Column("Slippage"),
    )
    rows = [headline_row(day.figures) for day in days]
    return section("The days", table("days", head, rows), name="day-list")


def _audit(days: Sequence[Day]) -> Html:
    rows = [(day.run, tag("code", day.head)) for day in days]
    return tag("footer", tag("h2", "Audit: heads of the journals"), named(rows), id="audit")
