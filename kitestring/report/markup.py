"""The page itself: its frame, its tables, its words; every text that comes from outside is escaped.

The law: the page needs nothing but itself. Style and script stand inside it, there is no address
in it that a browser would fetch, and a strategy's name can never become part of the page's code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import Final, NamedTuple

import msgspec

from kitestring.domain.money import Money, Price, show_rupees

MINUS: Final = "−"


class Html(str):
    """Text that is markup already; whatever is not of this type is escaped."""

    __slots__ = ()


def text(words: object) -> Html:
    """Words made safe to stand in a page; markup stays as it is."""
    return words if isinstance(words, Html) else Html(escape(str(words), quote=True))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Several pieces as one; ``between`` is markup."""
    return Html(between.join(text(part) for part in parts))


def tag(name: str, *inside: object, **attributes: object) -> Html:
    """One element. ``class_`` is ``class``, ``data_x`` is ``data-x``; ``None`` leaves one out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(inside)}</{name}>")


def rupees(amount: Money | Price, *, signed: bool = False) -> str:
    """``₹1,23,456.50`` with a true minus sign."""
    return show_rupees(amount, signed=signed).replace("-", MINUS)


def tone(amount: Money) -> str:
    """The colour class of a result."""
    if amount > Money(0):
        return "gain"
    return "loss" if amount < Money(0) else "even"


class Column(NamedTuple):
    """A column of a table: its title, what it means, and whether it holds numbers."""

    title: str
    meaning: str = ""
    number: bool = True


class Cell(NamedTuple):
    """A cell with more to it than its words: a colour, a smaller second line."""

    words: object
    below: object = ""
    tone: str = ""


def table(
    name: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    *,
    total: Sequence[object] | None = None,
) -> Html:
    """A table that becomes a list of cards on a narrow screen. The first column names the row."""
    head = join(
        tag("th", column.title, scope="col", class_=_kind(column), title=column.meaning or None)
        for column in columns
    )
    body = join(tag("tr", *_cells(columns, row)) for row in rows)
    foot = tag("tfoot", tag("tr", *_cells(columns, total))) if total is not None else Html()
    inside = join((tag("thead", tag("tr", head)), tag("tbody", body), foot))
    return tag("div", tag("table", inside, id=name), class_="scroll")


def _kind(column: Column) -> str | None:
    return "num" if column.number else None


def _cells(columns: Sequence[Column], row: Sequence[object]) -> list[Html]:
    cells: list[Html] = []
    for place, (column, found) in enumerate(zip(columns, row, strict=True)):
        cell = found if isinstance(found, Cell) else Cell(found)
        below = tag("small", cell.below) if cell.below else ""
        kind = " ".join(filter(None, (_kind(column), cell.tone))) or None
        inside = (tag("span", cell.words), below)
        if place == 0:
            cells.append(tag("th", *inside, scope="row", class_=kind))
        else:
            cells.append(tag("td", *inside, class_=kind, data_label=column.title))
    return cells


def section(title: str, *inside: object, name: str, about: object = "") -> Html:
    """A part of the page with its heading and one sentence on how to read it."""
    said = tag("p", about, class_="about") if about else ""
    return tag("section", tag("h2", title), said, *inside, id=name)


def tile(label: str, value: object, below: object = "", *, tone: str = "", name: str = "") -> Html:
    """One number of the headline."""
    return tag(
        "div",
        tag("dt", label),
        tag("dd", value, class_=tone or None, id=name or None),
        tag("dd", below, class_="below") if below else "",
    )


def named(rows: Iterable[tuple[str, object]]) -> Html:
    """Terms and what they are, one under the other."""
    return tag(
        "dl",
        join(tag("div", tag("dt", term), tag("dd", words)) for term, words in rows),
        class_="named",
    )


def page(title: str, *body: object) -> bytes:
    """The whole document."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    head = join(
        (
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            tag("title", title),
            Html(f"<style>{_packaged('page.css')}</style>"),
        )
    )
    script = Html(f"<script>{_packaged('page.js')}</script>")
    whole = tag("html", tag("head", head), tag("body", tag("main", *body), script), lang="en-IN")
    return f"<!doctype html>\n{whole}\n".encode()


def json_attribute(value: object) -> str:
    """A value for the page's script, as an attribute."""
    return msgspec.json.encode(value).decode()


@cache
def _packaged(name: str) -> str:
    """Style or script as they ship; neither holds what would end its element early."""
    content = (resources.files(__package__) / name).read_text(encoding="utf-8")
    assert "</" not in content
    return content
