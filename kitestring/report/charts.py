"""Charts as plain SVG: lines, minute ranges, steps and marks that stay sharp at any width.

The drawing is stretched to the width of the page, while its lines, marks and letters keep their
size: paths live in an inner picture that stretches, marks and letters are placed in percent beside
it. Each chart carries its values along, and the page's script reads them out under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from kitestring.domain.instants import HOUR, IST_OFFSET, MINUTE, Instant, ist_clock
from kitestring.domain.money import UNITS_PER_RUPEE
from kitestring.report.markup import Html, join, json_attribute, rupees, tag, text

_WIDE: Final = 10_000
_HIGH: Final = 1_000
_STEPS: Final = (1, 2, 5)


class Span(NamedTuple):
    """The stretch of time a chart shows."""

    start_at: Instant
    end_at: Instant

    def x(self, at: Instant) -> int:
        """Place of an instant, in parts of the chart's width; kept inside it."""
        width = max(1, self.end_at - self.start_at)
        return min(_WIDE, max(0, (at - self.start_at) * _WIDE // width))


class Scale(NamedTuple):
    """The range of values a chart shows, in units of 1/10 000 rupee."""

    low: int
    high: int

    def y(self, value: int) -> int:
        """Place of a value, from the top; kept inside the chart."""
        return min(_HIGH, max(0, (self.high - value) * _HIGH // max(1, self.high - self.low)))


class Mark(NamedTuple):
    """Something that happened at a time and a value; ``shape`` is a symbol of the page."""

    shape: str
    at: Instant
    value: int
    words: str
    tone: str = ""


class Line(NamedTuple):
    """A straight line between two moments."""

    start_at: Instant
    start: int
    end_at: Instant
    end: int
    tone: str


class Step(NamedTuple):
    """A level from one moment to another."""

    start_at: Instant
    end_at: Instant
    level: int
    moved: bool = False
    """It goes on from the step before it, at another level."""


class Chart(NamedTuple):
    """What a chart shows. ``points`` are (moment, value), ``ranges`` (moment, low, high)."""

    name: str
    label: str
    """What it shows, for those who cannot see it."""
    span: Span
    points: Sequence[tuple[Instant, int]]
    ranges: Sequence[tuple[Instant, int, int]] = ()
    marks: Sequence[Mark] = ()
    lines: Sequence[Line] = ()
    steps: Sequence[Step] = ()
    signed: bool = False
    """A result, drawn from zero, rather than a price."""
    other: Sequence[tuple[Instant, int]] = ()
    """A second curve to compare with, dashed."""
    days: tuple[str, ...] = ()
    """Where the moments are whole days, a minute apart for drawing: what each is called."""


def symbols() -> Html:
    """The marks every chart of the page uses; stands once, at the page's beginning."""
    shapes = (
        Html('<path id="buy" d="M0-6 5.6 4.4H-5.6Z"/>'),
        Html('<path id="sell" d="M0 6 5.6-4.4H-5.6Z"/>'),
        Html('<circle id="exit" r="4.2"/>'),
        Html('<circle id="low" r="3.5"/>'),
    )
    return tag(
        "svg", tag("defs", *shapes), width="0", height="0", class_="symbols", aria_hidden="true"
    )


def draw(chart: Chart) -> Html:
    """A chart as an element of the page."""
    scale = _scale(chart)
    span = chart.span
    stretched = Html(
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" aria-hidden="true">'
        f"{join(_paths(chart, scale))}</svg>"
    )
    inside = (
        *_levels(scale, signed=chart.signed),
        *_hours(chart),
        stretched,
        *_marks(chart, scale),
    )
    picture = tag("svg", *inside, role="img", aria_label=chart.label)
    values = [[(at - span.start_at) // MINUTE, value] for at, value in chart.points]
    marks = [[(mark.at - span.start_at) / MINUTE, mark.value, mark.words] for mark in chart.marks]
    return tag(
        "figure",
        tag("div", picture, class_="plot"),
        class_="chart result" if chart.signed else "chart",
        id=chart.name,
        tabindex="0",
        data_start=(span.start_at + IST_OFFSET) // MINUTE,
        data_minutes=max(1, (span.end_at - span.start_at) // MINUTE),
        data_low=scale.low,
        data_high=scale.high,
        data_values=json_attribute(values),
        data_marks=json_attribute(marks),
        data_signed="1" if chart.signed else None,
        data_days="|".join(chart.days) or None,
    )


def columns(name: str, label: str, bars: Sequence[tuple[str, int, str]]) -> Html:
    """Columns up and down from zero: (what it is, its value, its colour class)."""
    scale = _around_zero(value for _, value, _ in bars)
    width = _WIDE / max(12, len(bars))
    zero = scale.y(0)
    drawn: list[Html] = []
    for place, (words, value, colour) in enumerate(bars):
        top, bottom = sorted((scale.y(value), zero))
        drawn.append(
            tag(
                "rect",
                tag("title", words),
                x=_percent(place * width + width * 0.14),
                width=_percent(width * 0.72),
                y=_percent(top * 10),
                height=_percent(max(6, bottom - top) * 10),
                rx="1.5",
                class_=colour,
            )
        )
    inside = (*_levels(scale, signed=True), *drawn)
    picture = tag("svg", *inside, role="img", aria_label=label)
    return tag("figure", tag("div", picture, class_="plot"), class_="chart columns", id=name)


def reach(mae: int, mfe: int, net: int, widest: int) -> Html:
    """A trade's worst and best moment around zero, and where it ended; ``widest`` fills the strip."""
    widest = max(1, widest)

    def x(value: int) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / widest))

    left, right, end = x(mae), x(mfe), x(net)
    return tag(
        "svg",
        Html(
            f'<rect x="{left:.1f}%" width="{max(0.0, 50 - left):.1f}%" y="4" height="8" class="loss"/>'
        ),
        Html(f'<rect x="50%" width="{max(0.0, right - 50):.1f}%" y="4" height="8" class="gain"/>'),
        Html('<line x1="50%" x2="50%" y1="1" y2="15" class="zero"/>'),
        Html(f'<line x1="{end:.1f}%" x2="{end:.1f}%" y1="2" y2="14" class="end"/>'),
        class_="reach",
        aria_hidden="true",
    )


def share(part: int, whole: int, colour: str = "") -> Html:
    """A bar whose length is a part of a whole."""
    width = 100 * abs(part) / max(1, abs(whole))
    return Html(f'<i class="share {colour}" style="width:{min(100.0, width):.1f}%"></i>')


# ------------------------------------------------------------------ scales


def _scale(chart: Chart) -> Scale:
    values = [value for _, value in chart.points]
    values += [low for _, low, _ in chart.ranges] + [high for _, _, high in chart.ranges]
    values += [mark.value for mark in chart.marks] + [step.level for step in chart.steps]
    values += [value for _, value in chart.other]
    if chart.signed:
        return _around_zero(values)
    low, high = (min(values), max(values)) if values else (0, UNITS_PER_RUPEE)
    room = max(high - low, UNITS_PER_RUPEE // 20) * 6 // 100 + 1
    return Scale(low - room, high + room)


def _around_zero(values: Iterable[int]) -> Scale:
    known = [0, *values]
    low, high = min(known), max(known)
    room = max(high - low, UNITS_PER_RUPEE) * 8 // 100
    return Scale(low - room if low else low - room // 4, high + room)


def _round_levels(scale: Scale) -> list[int]:
    """Three to six round values inside the range."""
    wanted = max(1, (scale.high - scale.low) // 5)
    power = 1
    while power * 10 <= wanted:
        power *= 10
    step = next((power * times for times in _STEPS if power * times >= wanted), power * 10)
    first = -(-scale.low // step) * step
    return list(range(first, scale.high + 1, step))


def _percent(of_width: float) -> str:
    return f"{of_width / 100:.2f}%"


# ------------------------------------------------------------------ pieces


def _levels(scale: Scale, *, signed: bool) -> list[Html]:
    drawn: list[Html] = []
    for level in _round_levels(scale):
        y = _percent(scale.y(level) * 10)
        zero = signed and level == 0
        drawn.append(
            Html(
                f'<line x1="0" x2="100%" y1="{y}" y2="{y}" class="{"zero" if zero else "level"}"/>'
                f'<text x="100%" y="{y}" dx="7" dy="4">{_short(level, signed=signed)}</text>'
            )
        )
    return drawn


def _short(level: int, *, signed: bool) -> str:
    """A value beside its line: without paise where they are zero."""
    words = rupees(level, signed=signed).replace("₹", "")  # type: ignore[arg-type]  # plain units here
    return words.removesuffix(".00")


def _hours(chart: Chart) -> list[Html]:
    if chart.days:
        return _day_names(chart)
    start, end = chart.span
    first = -(-(start + IST_OFFSET) // HOUR) * HOUR - IST_OFFSET
    drawn: list[Html] = []
    for number, at in enumerate(range(first, end + 1, HOUR)):
        x = _percent(chart.span.x(at))
        kind = "" if number % 2 == 0 else ' class="alt"'
        drawn.append(
            Html(
                f'<line x1="{x}" x2="{x}" y1="0" y2="100%" class="level"/>'
                f'<text x="{x}" y="100%" dy="16" text-anchor="middle"{kind}>{ist_clock(at)[:5]}</text>'
            )
        )
    return drawn


def _day_names(chart: Chart) -> list[Html]:
    """About six of the days, by name."""
    every = max(1, -(-len(chart.days) // 6))
    drawn: list[Html] = []
    for number in range(0, len(chart.days), every):
        x = _percent(chart.span.x(number * MINUTE))
        anchor = "start" if number == 0 else "middle"
        kind = "" if number // every % 2 == 0 else ' class="alt"'
        name = text(chart.days[number])
        drawn.append(
            Html(f'<text x="{x}" y="100%" dy="16" text-anchor="{anchor}"{kind}>{name}</text>')
        )
    return drawn


def _paths(chart: Chart, scale: Scale) -> Iterable[Html]:
    span = chart.span
    for line in chart.lines:
        x1, x2 = span.x(line.start_at), span.x(line.end_at)
        yield Html(
            f'<rect x="{x1}" width="{max(8, x2 - x1)}" y="0" height="{_HIGH}" class="held {line.tone}"/>'
        )
    if chart.ranges:
        sticks = [
            f"M{span.x(at)} {scale.y(high)}v{max(1, scale.y(low) - scale.y(high))}"
            for at, low, high in chart.ranges
        ]
        yield Html(f'<path class="range" d="{"".join(sticks)}"/>')
    if chart.points:
        curve = _curve([(span.x(at), scale.y(value)) for at, value in chart.points])
        if chart.signed:
            zero = scale.y(0)
            ends = f"V{zero}H{span.x(chart.points[0][0])}Z"
            yield Html(f'<path class="area" d="{curve}{ends}"/>')
        yield Html(f'<path class="line" d="{curve}"/>')
    if chart.other:
        curve = _curve([(span.x(at), scale.y(value)) for at, value in chart.other])
        yield Html(f'<path class="other" d="{curve}"/>')
    if chart.steps:
        levels = [
            f"V{scale.y(step.level)}H{span.x(step.end_at)}"
            if step.moved
            else f"M{span.x(step.start_at)} {scale.y(step.level)}H{span.x(step.end_at)}"
            for step in chart.steps
        ]
        yield Html(f'<path class="stop" d="{"".join(levels)}"/>')
    for line in chart.lines:
        yield Html(
            f'<path class="trade {line.tone}" d="M{span.x(line.start_at)} {scale.y(line.start)}'
            f'L{span.x(line.end_at)} {scale.y(line.end)}"/>'
        )


def _curve(places: Sequence[tuple[int, int]]) -> str:
    """A path through places; relative steps, because they are short to write."""
    (x, y), *rest = places
    written = [f"M{x} {y}"]
    if rest:
        written.append("l")
    for next_x, next_y in rest:
        written.append(f"{next_x - x} {next_y - y} ")
        x, y = next_x, next_y
    return "".join(written).rstrip()


def _marks(chart: Chart, scale: Scale) -> Iterable[Html]:
    for mark in chart.marks:
        yield tag(
            "use",
            tag("title", mark.words),
            href=f"#{mark.shape}",
            x=_percent(chart.span.x(mark.at)),
            y=_percent(scale.y(mark.value) * 10),
            class_=f"mark {mark.shape} {mark.tone}".rstrip(),
        )
