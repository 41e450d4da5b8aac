"""One page for one day: what it made, what it cost, what happened, and how far it can be believed.

The order is a reader's: the result, then on what terms it was reached, then how it came about, and
at the end what proves it. The same run gives the same page, byte for byte; a live day's page also looks
at its paper twin and at the days before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kitestring.domain.errors import DiskFailed, StoreError
from kitestring.domain.events import StrategyOff
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import ist_clock
from kitestring.domain.money import Money, charge_as_money, decimal_rupees
from kitestring.report.charts import Chart, Mark, Span, columns, draw, symbols
from kitestring.report.figures import Figures, figures
from kitestring.report.live_and_paper import live_and_paper, side_by_side
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
from kitestring.report.price_charts import price_charts
from kitestring.report.repricing import Repriced, repriced
from kitestring.report.run_facts import RunFacts, read_run
from kitestring.report.tables import (
    by_hour,
    by_strategy,
    charge_items,
    faults,
    percent,
    rate,
    refused,
    round_trips,
    signed,
    story,
)
from kitestring.store.atomic_file import write_atomically
from kitestring.store.paths import RunPaths
from kitestring.store.run_pairs import pair_of, pairs

NOTHING: Final = Html()


def write_day_report(paths: RunPaths) -> Path:
    """Make a run's report, keep it in the run's folder and show it at the familiar path.

    Returns the familiar path, or the run's own where the other could not be written. Raises a
    ``StoreError`` where the run cannot be read or its folder cannot be written.
    """
    facts = read_run(paths)
    content = day_page(facts, beside=beside_paper(paths, facts))
    try:
        write_atomically(paths.report, content)
    except OSError as error:
        raise DiskFailed(
            f"The report {paths.report} cannot be written: {error.strerror or error}.",
            do="free space on that disk or make the folder writable; then type: kitestring report",
        ) from error
    return paths.publish_report() or paths.report


def beside_paper(paths: RunPaths, facts: RunFacts) -> Html:
    """Of a live day: the same day on paper; nothing where there is none, or one cannot be read."""
    pair = pair_of(paths) if paths.mode == "live" and facts.sealed is not None else None
    if pair is None:
        return Html()
    try:
        day = side_by_side(facts, read_run(pair.paper))
    except StoreError:
        return Html()
    before = [each for each in pairs(paths.artifacts, until=paths.date) if each.date < paths.date]
    return live_and_paper(day, [*before, pair])


def day_page(facts: RunFacts, *, beside: Html = NOTHING) -> bytes:
    """The whole page; ``beside`` sets a live day beside the same day on paper."""
    day = figures(facts)
    span = day_span(facts, day)
    return page(
        f"{day.date:%d %b %Y}: {rupees(day.net, signed=True)} net",
        symbols(),
        headline(facts, day),
        alarms(facts),
        terms(facts, day),
        equity(day, span),
        beside,
        on_last_price_paper(facts, day, repriced(facts, day)),
        *prices(facts, span),
        *trade_sections(facts, day),
        *trouble(facts),
        audit(facts),
    )


def day_span(facts: RunFacts, day: Figures) -> Span:
    """From the first minute to the last, the same for every chart."""
    moments = [point.at for point in day.curve]
    moments += [bar.open_at for bars in facts.minutes.values() for bar in bars[:1]]
    return Span(min(moments), max(moments)) if moments else Span(0, 1)


def headline(facts: RunFacts, day: Figures) -> Html:
    """The date, the result, and the numbers one asks for next."""
    state = "" if facts.sealed is not None else "not finished"
    losses = day.trades - day.wins
    fell = "" if day.drawdown_at is None else f"at {ist_clock(day.drawdown_at)[:5]}"
    r_rows = [row for row in day.strategies if row.r_count]
    r_count = sum(row.r_count for row in r_rows)
    r_mean = sum(row.r_sum for row in r_rows) / r_count if r_count else None
    expectancy = "–" if r_mean is None else f"{r_mean:+.2f} R".replace("-", MINUS)
    return tag(
        "header",
        tag("p", tag("b", "Kitestring"), f" · {facts.mode} · {facts.opened.feed}", class_="over"),
        tag("h1", f"{day.date:%A, %d %B %Y}".replace(" 0", " ")),
        tag("p", state, class_="state") if state else "",
        tag(
            "p",
            tag("span", rupees(day.net, signed=True), id="net", class_=tone(day.net)),
            tag("span", f"net after charges · {percent(day.net, day.capital)} of capital"),
            class_="result",
        ),
        tag(
            "p",
            f"{rupees(day.gross, signed=True)} gross {MINUS} "
            f"{rupees(charge_as_money(day.charges.total))} charges",
            class_="sum",
        ),
        tag(
            "dl",
            tile("Round trips", str(day.trades), f"{day.wins} won, {losses} lost", name="trades"),
            tile("Win rate", rate(day.wins, day.trades), "after charges", name="win-rate"),
            tile("Average", expectancy, "a trade, net", name="expectancy"),
            tile("Max drawdown", rupees(day.drawdown), fell, name="drawdown"),
            tile("Slippage", rupees(day.slippage), "against decisions", name="slippage"),
            tile(
                "Equity",
                rupees(day.capital + day.net),
                f"from {rupees(day.capital)}",
                name="equity",
            ),
            class_="tiles",
        ),
        class_="headline",
    )


def alarms(facts: RunFacts) -> Html:
    """What no reader may miss: halts, strategies switched off, a day without an end."""
    said = [tag("li", tag("b", "Halted "), ist_clock(h.at), " · ", h.sentence) for h in facts.halts]
    said += [
        tag("li", tag("b", "Switched off "), f"{told.strategy}: {told.error}")
        for told in facts.story
        if isinstance(told, StrategyOff)
    ]
    if facts.sealed is None:
        said.append(tag("li", "This day was interrupted; the report shows it up to that moment."))
    return tag("ul", *said, class_="alarms") if said else Html()


def terms(facts: RunFacts, day: Figures) -> Html:
    """On what terms the day was traded: fill model, data, stand-ins, notes."""
    model, _, assumes = facts.fill_sentence.partition(": ")
    rows: list[tuple[str, object]] = [
        ("Fills", join((tag("b", model), tag("span", f": {assumes}" if assumes else "")))),
        ("Market data", facts.opened.feed),
        ("Charges", facts.opened.charges),
    ]
    rows += [("Stand-in", tag("span", words, class_="stand-in")) for words in facts.stand_ins]
    rows += [("Note", words) for words in facts.notes]
    if facts.tape_lost:
        rows.append(("Note", f"{facts.tape_lost} Charts show the bars that strategies read."))
    if day.curve_gap:
        words = (
            f"The sealed result differs by {rupees(day.curve_gap, signed=True)} from the end of the"
            " curve: positions that were carried in from the day before are in it, not in the curve."
        )
        rows.append(("Note", words))
    rows += [
        ("Still open", f"{qty} {symbol_of(name)} at the end") for name, qty in day.open_qty.items()
    ]
    return tag("section", tag("h2", "What this rests on"), named(rows), id="terms", class_="card")


def equity(day: Figures, span: Span) -> Html:
    """The day's curve."""
    marks = []
    if day.drawdown_at is not None:
        low = next(point for point in day.curve if point.at == day.drawdown_at)
        words = f"{ist_clock(low.at)} deepest point, {rupees(day.drawdown)} below the best before"
        marks.append(Mark("low", low.at, int(low.net), words))
    chart = Chart(
        name="equity-curve",
        label=f"Net result over the day, ending at {rupees(day.net, signed=True)}",
        span=span,
        points=[(point.at, int(point.net)) for point in day.curve],
        marks=marks,
        signed=True,
    )
    return section(
        "The day, net of charges",
        tag("div", draw(chart), class_="card tall"),
        name="curve",
        about="Result at each minute's close: closed trades, open positions at the last price,"
        " less every charge booked so far.",
    )


def on_last_price_paper(facts: RunFacts, day: Figures, claim: Repriced) -> Html:
    """The same day under ``instant``, and what it would have claimed."""
    if facts.opened.fill_model == "instant":
        said: object = (
            "This day was itself filled by the instant model, as last-price paper would have."
            " A market will not be as kind."
        )
    else:
        word = "more" if claim.claimed >= Money(0) else "less"
        said = join(
            (
                "Last-price paper would have claimed ",
                tag("b", rupees(abs(claim.claimed)), id="claimed"),
                f" {word}.",
            )
        )
    rows = [
        ("Gross", signed(day.gross), signed(claim.gross), signed(claim.gross - day.gross)),
        _charge_row(day, claim),
        ("Net", signed(day.net), signed(claim.net), signed(claim.claimed)),
    ]
    head = (
        Column("", number=False),
        Column("As filled", facts.fill_sentence),
        Column("Under instant", "every fill at the price its order was decided at"),
        Column("Difference"),
    )
    how = [
        (
            "Same orders, quantities and moments; each fill at the price its order was decided at (a stop"
            " at its level), charges computed again. Nothing is decided again."
        )
    ]
    if not claim.charges_again:
        how.append("The rates could not be looked up, so charges stand as booked.")
    if claim.unfilled_qty:
        how.append(
            f"{claim.unfilled_qty} units of entries that the market did not fill are in neither."
        )
    return section(
        "What last-price paper would have said",
        tag(
            "div",
            tag("p", said, class_="claim"),
            table("instant", head, rows),
            tag("p", " ".join(how), class_="about"),
            class_="card",
        ),
        name="repriced",
    )


def _charge_row(day: Figures, claim: Repriced) -> tuple[object, ...]:
    filled, again = charge_as_money(day.charges.total), charge_as_money(claim.charges.total)
    return ("Charges", rupees(filled), rupees(again), rupees(again - filled, signed=True))


def prices(facts: RunFacts, span: Span) -> list[Html]:
    """A price chart for each traded instrument."""
    charts = price_charts(facts, span)
    if not charts:
        return []
    legend = tag(
        "p",
        *(
            tag(
                "span",
                Html(f'<svg class="key"><use href="#{shape}" x="50%" y="50%"/></svg>'),
                words,
            )
            for shape, words in (
                ("buy", "entry, bought"),
                ("sell", "entry, sold"),
                ("exit", "exit"),
            )
        ),
        tag("span", Html('<svg class="key"><path class="stop" d="M1 8H17"/></svg>'), "stop"),
        tag("span", Html('<svg class="key"><path class="range" d="M9 2V14"/></svg>'), "minute"),
        class_="legend",
    )
    grid = tag("div", *charts, class_="grid")
    return [section("What was traded", legend, grid, name="prices")]


def trade_sections(facts: RunFacts, day: Figures) -> list[Html]:
    """Round trips and what they add up to."""
    if not facts.trades and not facts.fills:
        nothing = tag("p", "No order was filled on this day.", class_="claim")
        return [section("Round trips", tag("div", nothing, class_="card"), name="trips")]
    slipped = [
        (
            (
                f"{ist_clock(trade.exit_at)} {symbol_of(trade.instrument)}, {trade.strategy}: "
                f"{rupees(trade.slippage, signed=True)}"
            ),
            int(trade.slippage),
            "loss" if trade.slippage > Money(0) else "gain",
        )
        for trade in facts.trades
    ]
    traded = max(1, len(facts.trades))
    each = rupees(Money(int(sum((t.slippage for t in facts.trades), Money(0))) // traded))
    dear = (
        decimal_rupees(day.slippage) / decimal_rupees(day.turnover) * 10_000 if day.turnover else 0
    )
    return [
        section(
            "Round trips",
            round_trips(facts.trades),
            name="trips",
            about="From flat to flat. R is the net result in units of what the stop put at risk.",
        ),
        tag(
            "div",
            section(
                "Charges",
                charge_items(day.charges, day.turnover),
                name="charges",
                about=f"On {rupees(day.turnover)} traded, both sides.",
            ),
            section(
                "Slippage per trade",
                tag("div", columns("slippage-columns", "Slippage of each round trip", slipped)),
                name="slipped",
                about=f"Rupees lost (up) or won (down) against decision prices, in the order of exits:"
                f" {rupees(day.slippage)} in all, {each} a trade, {dear:.2f} bp of turnover.",
            ),
            class_="pair",
        ),
        section("By strategy", by_strategy(day.strategies), name="strategies"),
        section("By hour", by_hour(day.hours), name="hours"),
    ]


def trouble(facts: RunFacts) -> list[Html]:
    """What was refused, what failed, what was wrong with the data; and the day's story."""
    parts: list[Html] = []
    if facts.refusals:
        about = "Entries that risk said no to, before any order was sent."
        parts.append(section("Refused signals", refused(facts), name="refusals", about=about))
    if any(facts.data_faults.values()):
        about = "Ticks that were kept out of prices and bars (falling volume: the price was kept)."
        parts.append(
            section("Faults of the feed", faults(facts.data_faults), name="feed", about=about)
        )
    parts.append(section("The day's story", tag("div", story(facts), class_="card"), name="told"))
    return parts


def audit(facts: RunFacts) -> Html:
    """What this page was made from, so that anybody can check it."""
    opened = facts.opened
    rows: list[tuple[str, object]] = [
        ("Run", facts.run),
        ("Journal head", tag("code", facts.head, id="head")),
        ("Commits", tag("span", str(facts.commits), id="commits")),
        ("Orders", f"{len(facts.orders)}, {len(facts.fills)} fills"),
        ("Run key", tag("code", opened.run_key)),
        ("Settings", tag("code", opened.config_hash)),
    ]
    rows += [(name, tag("code", digest)) for name, digest in opened.strategy_hashes.items()]
    rows += [("Seed", str(opened.seed)), ("Version", opened.version)]
    command = tag("code", f"kitestring report {facts.run}")
    about = tag("p", command, " makes this page again from the record.", class_="about")
    return tag("footer", tag("h2", "Audit"), named(rows), about, id="audit")
