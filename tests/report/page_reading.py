"""Reads a report as a reader would: tables by their rows, elements by their names. Standard library only."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input"}


class Page(HTMLParser):
    """Tables as rows of (words, smaller words), texts of elements with an id, and every tag."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self.texts: dict[str, str] = {}
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._table: str | None = None
        self._row: list[tuple[str, str]] | None = None
        self._cell: list[str] | None = None
        self.feed(html)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        name = given.get("id")
        if name is not None:
            assert name not in self.attributes, f"two elements called {name}"
            self.attributes[name] = given
            self.texts[name] = ""
        if tag not in VOID:
            self.open.append((tag, name))
        if tag == "table":
            assert name is not None
            self._table = name
            self.tables[name] = []
        elif tag == "tr":
            self._row = []
        elif tag in {"td", "th"}:
            self._cell = ["", ""]

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1]}"
        self.open.pop()
        if tag in {"td", "th"}:
            self._row.append(tuple(self._cell))
            self._cell = None
        elif tag == "tr":
            self.tables[self._table].append(self._row)
            self._row = None

    def handle_data(self, data):
        if self.open and self.open[-1][0] in {"script", "style"}:
            return
        self.words.append(data)
        for _, name in self.open:
            if name is not None:
                self.texts[name] += data
        if self._cell is not None:
            self._cell[1 if any(tag == "small" for tag, _ in self.open) else 0] += data

    def rows(self, table):
        """The rows of a table as ``{column: words}``, without its head."""
        head, *body = self.tables[table]
        return [
            {title: words for (title, _), (words, _) in zip(head, row, strict=True)} for row in body
        ]

    def below(self, table, column):
        """The smaller words of a column."""
        head, *body = self.tables[table]
        place = [title for title, _ in head].index(column)
        return [row[place][1] for row in body]


def inr(rupees: Decimal | str, *, signed: bool = False) -> str:
    """``₹1,23,456.50``, worked out digit by digit, to hold the page's own way against."""
    paise = Decimal(rupees).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    whole, fraction = f"{abs(paise):.2f}".split(".")
    digits = list(whole)
    grouped = ""
    while digits:
        grouped = digits.pop() + grouped
        left = len(whole) - len(grouped.replace(",", ""))
        if digits and (len(whole) - left - 3) % 2 == 0 and len(whole) - left >= 3:
            grouped = "," + grouped
    sign = "−" if paise < 0 else "+" if signed and paise > 0 else ""
    return f"{sign}₹{grouped}.{fraction}"


def shown_charge(rupees: str | Decimal) -> Decimal:
    """A charge at the precision in which money is kept."""
    return Decimal(rupees).quantize(Decimal("0.0001"), ROUND_HALF_UP)
