"""How answers look: a label and its text, numbers as India writes them, bars of how much is used.

Pure text, plain enough for a file; where it goes to a terminal, headings are bold and bars coloured.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable

import click

from kitestring.domain.instants import Instant, ist
from kitestring.domain.money import Money, show_rupees

WIDTH = 100
RULE = "─" * 64
_LABEL = 14


def labelled(label: str, text: str, *, indent: int = _LABEL, width: int = WIDTH) -> list[str]:
    """A label and its text, broken into lines of a terminal's width."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"{label:<{indent}}",
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [label]


def number(value: float | str | bool) -> str:
    """A number a strategy read: two places, grouped as in India; whole numbers as they are."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if value != value or abs(value) > 1e15:  # noqa: PLR0124 - NaN is the one that is not itself
        return str(value)
    if 0 < abs(value) < 0.1:
        return f"{value:.4g}"
    return show_rupees(Money(round(value * 10_000))).replace("₹", "")


def to_the_ms(at: Instant) -> str:
    """``10:35:00.120`` in India."""
    moment = ist(at)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def after(micros: int) -> str:
    """How much later, in the unit that suits: ``+120 ms``, ``+4.2 s``, ``+12 min``."""
    ms = micros / 1000
    if abs(ms) < 1000:
        return f"+{ms:.0f} ms"
    if abs(ms) < 120_000:
        return f"+{ms / 1000:.1f} s"
    return f"+{ms / 60_000:.0f} min"


def gauge(fraction: float, width: int = 10) -> str:
    """How much of something is used: ``███░░░░░░░``; never empty where a little is."""
    full = min(width, max(int(fraction * width), 1 if fraction > 0 else 0))
    return "█" * full + "░" * (width - full)


def say(lines: Iterable[str]) -> None:
    """Write lines to stdout; on a terminal the first is bold and gauges show green, amber, red."""
    terminal = sys.stdout.isatty()
    for place, line in enumerate(lines):
        click.echo(_coloured(line, heading=place == 0) if terminal else line)


def _coloured(line: str, *, heading: bool) -> str:
    if heading:
        return click.style(line, bold=True)
    if "░" in line or "█" in line:
        full = line.count("█")
        share = full / (full + line.count("░"))
        return click.style(line, fg="red" if share >= 0.8 else "yellow" if share >= 0.5 else None)
    return line
