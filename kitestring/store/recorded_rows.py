"""Reads one recorded file of ticks: finds its columns by name, and turns every row into numbers.

A row that cannot be read is never skipped: it is returned with its line and value, and whoever
imports the file refuses the whole of it. Nothing here judges whether a tick is *true*; that is the
market data engine's work.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import FeedError
from kitestring.domain.instants import IST, Instant, instant_of
from kitestring.domain.money import Price, price

COLUMN_NAMES: Final = {
    "date": ("date", "trade_date"),
    "timestamp": (
        "timestamp",
        "exchange_timestamp",
        "datetime",
        "date_time",
        "time",
        "event_at",
        "ts",
    ),
    "last_px": ("ltp", "last_price", "last_px", "last_traded_price", "price"),
    "cum_qty": ("volume", "volume_traded", "cum_qty", "cumulative_volume", "vol", "ttq"),
    "bid_px": ("bid", "bid_px", "bid_price", "best_bid", "bp1"),
    "bid_qty": ("bid_qty", "bid_quantity", "bid_size", "bq1"),
    "ask_px": ("ask", "ask_px", "ask_price", "best_ask", "offer", "sp1"),
    "ask_qty": ("ask_qty", "ask_quantity", "ask_size", "sq1"),
    "oi": ("oi", "open_interest"),
}
"""What a column may be called, the likeliest first; case, spaces and hyphens do not matter."""

_EPOCH_SCALES: Final = {10: (1_000_000, 1), 13: (1_000, 1), 16: (1, 1), 19: (1, 1_000)}
"""Digits of a Unix time → times and divided by, to microseconds."""

Depth = tuple[Price, int, Price, int, int]
"""bid_px, bid_qty, ask_px, ask_qty, oi."""
Row = tuple[Instant, Price, int] | tuple[Instant, Price, int, Price, int, Price, int, int]
"""event_at, last_px, cum_qty, and the depth where the file has any."""


class Columns(msgspec.Struct, frozen=True):
    """Which column of a file holds what; ``found`` is role → the file's own word for it."""

    found: dict[str, str]
    places: dict[str, int]
    ignored: tuple[str, ...]


class UnreadableRow(msgspec.Struct, frozen=True):
    """A row that holds no tick: where, what stands there, and why it is none."""

    line: int
    value: str
    why: str


class RecordedRows(msgspec.Struct, frozen=True):
    """A file's rows in their order, with the line each stands on, and the rows that are none."""

    columns: Columns
    rows: list[Row]
    lines: list[int]
    unreadable: list[UnreadableRow]


class Known(dict[str, int]):
    """Words already read: the same second and the same price come thousands of times."""

    def __init__(self, read: Callable[[str], int]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, word: str) -> int:
        number = self[word] = self._read(word)
        return number


def read_instant(word: str) -> Instant:
    """An instant from ``2021-04-13 09:15:00`` (Indian time unless it says otherwise) or Unix time."""
    text = word.strip()
    if text.isascii() and text.isdigit():
        scale = _EPOCH_SCALES.get(len(text))
        if scale is None:
            raise ValueError("is no Unix time in seconds, milli-, micro- or nanoseconds")
        return int(text) * scale[0] // scale[1]
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is no time such as 2021-04-13 09:15:00") from error
    return instant_of(moment if moment.tzinfo is not None else moment.replace(tzinfo=IST))


def read_quantity(word: str) -> int:
    """A whole quantity; ``65515.0``, as some programs export it, is one too."""
    whole, _, fraction = word.strip().partition(".")
    if not (whole.isascii() and whole.isdigit()) or fraction.strip("0"):
        raise ValueError("is no whole quantity")
    return int(whole)


def _read_price(word: str) -> int:
    try:
        return int(price(word))
    except ValueError as error:
        raise ValueError("is no price in rupees") from error


class RowReader:
    """Reads files; one reader for a whole folder, since all its files share their seconds."""

    def __init__(self) -> None:
        self._instants = Known(read_instant)

    def read(self, path: Path) -> RecordedRows:
        """Every row of one file; raises ``FeedError`` if there is no table in it."""
        text = file_text(path).replace("\r\n", "\n")
        head, _, body = text.partition("\n")
        columns = find_columns(path, head)
        lines: Iterable[list[str]]
        if '"' in body:
            lines = csv.reader(body.split("\n"))
        else:
            lines = (line.split(",") for line in body.split("\n"))
        return self._rows(columns, lines, 1 + head.count(","))

    def _rows(self, columns: Columns, lines: Iterable[list[str]], width: int) -> RecordedRows:
        instants = self._instants
        prices = Known(_read_price)
        places = columns.places
        date_at = places.get("date")
        time_at, px_at = places["timestamp"], places["last_px"]
        qty_at = places.get("cum_qty")
        depth = _depth_reader(places)
        rows: list[Row] = []
        numbers: list[int] = []
        unreadable: list[UnreadableRow] = []
        for number, cells in enumerate(lines, 2):
            if len(cells) != width:
                if any(cell.strip() for cell in cells):
                    why = f"has {len(cells)} columns, not {width}"
                    unreadable.append(UnreadableRow(number, ",".join(cells).strip(), why))
                continue
            word = ""
            try:
                word = cells[time_at] if date_at is None else f"{cells[date_at]} {cells[time_at]}"
                event_at = instants[word]
                word = cells[px_at]
                last_px = Price(prices[word])
                cum_qty = 0
                if qty_at is not None:
                    word = cells[qty_at]
                    cum_qty = int(word) if word.isdigit() else read_quantity(word)
                if depth is None:
                    rows.append((event_at, last_px, cum_qty))
                else:
                    word = ",".join(cells)
                    rows.append((event_at, last_px, cum_qty, *depth(cells)))
            except ValueError as error:
                unreadable.append(UnreadableRow(number, word.strip(), str(error)))
                continue
            numbers.append(number)
        return RecordedRows(columns, rows, numbers, unreadable)


def _depth_reader(
    places: dict[str, int],
) -> Callable[[Sequence[str]], Depth] | None:
    """How to read bid, offer and open interest; ``None`` where the file has none of them."""
    names = ("bid_px", "bid_qty", "ask_px", "ask_qty", "oi")
    wanted = [places.get(name) for name in names]
    if all(place is None for place in wanted):
        return None
    prices = Known(_read_price)

    def number(cells: Sequence[str], index: int) -> int:
        place = wanted[index]
        if place is None or not cells[place].strip():
            return 0
        word = cells[place]
        return prices[word] if names[index].endswith("_px") else read_quantity(word)

    def depth(cells: Sequence[str]) -> Depth:
        return (
            Price(number(cells, 0)),
            number(cells, 1),
            Price(number(cells, 2)),
            number(cells, 3),
            number(cells, 4),
        )

    return depth


def plain_names(head: str) -> tuple[list[str], list[str]]:
    """The names in a header line as they stand, and without case, spaces and hyphens."""
    names = [name.strip().strip('"').lstrip("\ufeff") for name in head.strip().split(",")]
    return names, [name.lower().replace(" ", "_").replace("-", "_") for name in names]


def find_columns(path: Path, head: str) -> Columns:
    """Recognise the columns of a header line; raises ``FeedError`` if time or price is missing."""
    names, plain = plain_names(head)
    places: dict[str, int] = {}
    for role, known in COLUMN_NAMES.items():
        for word in known:
            if word in plain and plain.index(word) not in places.values():
                places[role] = plain.index(word)
                break
    if "timestamp" not in places and "date" in places:
        # One column called "date" that holds date and time, as pandas writes an index.
        places["timestamp"] = places.pop("date")
    elif "date" in places and plain[places["timestamp"]] != "time":
        # A complete timestamp needs no second column for its date.
        del places["date"]
    for role, what in (("timestamp", "time"), ("last_px", "last price")):
        if role not in places:
            raise FeedError(
                f"{path}:1: no column of a {what} among {', '.join(names) or 'nothing'}.",
                do=f"Begin the file with a line of names; a {what} may be called "
                f"{', '.join(COLUMN_NAMES[role])}.",
            )
    return Columns(
        {role: names[place] for role, place in places.items()},
        places,
        tuple(name for place, name in enumerate(names) if place not in places.values()),
    )


def file_text(path: Path) -> str:
    """A file's text, unpacked if it is a ``.gz``. Raises ``FeedError``."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise FeedError(
            f"{path} cannot be read: {error}.", do="Copy the file again; it may be cut short."
        ) from error
    except UnicodeDecodeError as error:
        raise FeedError(
            f"{path} is not text: {error.reason} at byte {error.start}.",
            do="Give CSV files, plain or as .csv.gz.",
        ) from error
