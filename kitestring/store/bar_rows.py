"""Reads a file of somebody's 1-minute bars: finds its columns by name, and judges every row.

A row that cannot be read, or cannot be true (a high below its low, two different bars of one
minute), is never skipped: it stands here with its line, and whoever imports the file refuses the
whole of it. Rows that are only of no use (outside the session, repeated word for word) are counted
and kept out, with their lines.
"""

from __future__ import annotations

import csv
import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import FeedError
from kitestring.domain.instants import DAY, IST, IST_OFFSET, MINUTE, Instant, instant_of
from kitestring.domain.money import Price, price
from kitestring.store.recorded_rows import Known, file_text, plain_names, read_quantity

COLUMN_NAMES: Final = {
    "date": ("date", "trade_date", "day"),
    "time": ("time", "minute"),
    "stamp": ("datetime", "date_time", "timestamp", "ts", "open_time", "bar_time"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "last"),
    "volume": ("volume", "v", "vol", "qty", "quantity"),
    "symbol": ("instrument", "symbol", "ticker", "tradingsymbol", "name", "scrip"),
}
"""What a column may be called, the likeliest first; case, spaces and hyphens do not matter."""
_PRICES: Final = ("open", "high", "low", "close")
_EPOCH_SCALES: Final = {10: (1_000_000, 1), 13: (1_000, 1), 16: (1, 1), 19: (1, 1_000)}
_DAY_ZERO: Final = dt.date(1970, 1, 1)

BarRow = tuple[Instant, int, int, int, int, int, int]
"""open_at, open, high, low, close (units of 1/10 000 rupee), volume, line."""


class BadRow(msgspec.Struct, frozen=True):
    """One row with a fault: where it stands and why."""

    line: int
    why: str


class BarRows(msgspec.Struct, frozen=True):
    """A file of bars, read: its days in order, and what is wrong with it.

    ``refused`` rows make the file useless; ``repeated`` ones are only counted.
    """

    columns: dict[str, str]
    ignored: tuple[str, ...]
    symbol: str
    """What a column of the file calls its instrument; empty without such a column."""
    rows: int
    days: dict[dt.date, list[BarRow]]
    refused: list[BadRow]
    repeated: list[BadRow]


def read_bar_rows(path: Path) -> BarRows:
    """Every row of one file; raises ``FeedError`` if there is no table of bars in it."""
    text = file_text(path).replace("\r\n", "\n")
    head, _, body = text.partition("\n")
    places, found, ignored = _columns(path, head)
    lines: Iterable[list[str]]
    lines = csv.reader(body.split("\n")) if '"' in body else map(_cells, body.split("\n"))
    reader = _Reader(places, 1 + head.count(","))
    reader.read(lines)
    symbols = sorted(reader.symbols)
    if len(symbols) > 1:
        raise FeedError(
            f"{path} holds {len(symbols)} instruments: {', '.join(symbols[:4])}.",
            do="Keep one instrument in a file, and name every file with --bars.",
        )
    return BarRows(
        columns=found,
        ignored=ignored,
        symbol=symbols[0] if symbols else "",
        rows=reader.rows,
        days=dict(sorted(reader.days.items())),
        refused=sorted(reader.refused, key=lambda row: row.line),
        repeated=reader.repeated,
    )


def _cells(line: str) -> list[str]:
    return line.split(",")


def _columns(path: Path, head: str) -> tuple[dict[str, int], dict[str, str], tuple[str, ...]]:
    names, plain = plain_names(head)
    places: dict[str, int] = {}
    for role, known in COLUMN_NAMES.items():
        for word in known:
            if word in plain and plain.index(word) not in places.values():
                places[role] = plain.index(word)
                break
    if "stamp" in places:
        # A complete stamp needs no other column for its date or time.
        places.pop("date", None)
        places.pop("time", None)
    elif "time" not in places and "date" in places:
        # One column called "date" that holds date and time, as pandas writes an index.
        places["stamp"] = places.pop("date")
    elif "date" not in places and "time" in places:
        places["stamp"] = places.pop("time")
    wanted = ["stamp"] if "stamp" in places else ["date", "time"]
    for role in (*wanted, *_PRICES):
        if role not in places:
            raise FeedError(
                f"{path}:1: no column of {role} among {', '.join(names) or 'nothing'}.",
                do=f"Begin the file with a line of names; this one may be called "
                f"{', '.join(COLUMN_NAMES[role])}.",
            )
    found = {role: names[place] for role, place in places.items()}
    ignored = tuple(name for place, name in enumerate(names) if place not in places.values())
    return places, found, ignored


class _Reader:
    """Reads rows one by one; keeps what it saw."""

    def __init__(self, places: Mapping[str, int], width: int) -> None:
        self._places = places
        self._width = width
        self.rows = 0
        self.days: dict[dt.date, list[BarRow]] = {}
        self.refused: list[BadRow] = []
        self.repeated: list[BadRow] = []
        self.symbols: set[str] = set()

    def read(self, lines: Iterable[list[str]]) -> None:
        """Take every line after the head."""
        places, width = self._places, self._width
        prices, opens = Known(_price_units), self._when()
        open_, high, low, close = (places[role] for role in _PRICES)
        volume_at, symbol_at = places.get("volume"), places.get("symbol")
        seen: dict[Instant, BarRow] = {}
        for line, cells in enumerate(lines, 2):
            if len(cells) != width:
                if any(cell.strip() for cell in cells):
                    self.rows += 1
                    self.refused.append(BadRow(line, f"{len(cells)} columns, not {width}"))
                continue
            self.rows += 1
            try:
                open_at = opens(cells)
                o, h = prices[cells[open_]], prices[cells[high]]
                l, c = prices[cells[low]], prices[cells[close]]  # noqa: E741 - OHLC
                volume = 0 if volume_at is None else _volume(cells[volume_at])
            except ValueError as error:
                self.refused.append(BadRow(line, str(error)))
                continue
            if not (0 < l <= o <= h and l <= c <= h):
                self.refused.append(BadRow(line, _impossible(cells, (open_, high, low, close))))
                continue
            if symbol_at is not None:
                self.symbols.add(cells[symbol_at])
            row = (open_at, o, h, l, c, volume, line)
            first = seen.setdefault(open_at, row)
            if first is row:
                continue
            if first[:6] == row[:6]:
                self.repeated.append(BadRow(line, f"the same bar as line {first[6]}"))
            else:
                self.refused.append(
                    BadRow(line, f"another bar of the same minute stands in line {first[6]}")
                )
        self._by_day(seen)

    def _by_day(self, seen: Mapping[Instant, BarRow]) -> None:
        days: dict[int, list[BarRow]] = {}
        for open_at in sorted(seen):
            days.setdefault((open_at + IST_OFFSET) // DAY, []).append(seen[open_at])
        self.days = {_DAY_ZERO + dt.timedelta(days=day): rows for day, rows in days.items()}

    def _when(self) -> Callable[[Sequence[str]], Instant]:
        """How to read a row's minute."""
        places = self._places
        if "stamp" in places:
            stamp_at = places["stamp"]
            return lambda cells: _whole_minute(_read_stamp(cells[stamp_at]), cells[stamp_at])
        date_at, time_at = places["date"], places["time"]
        dates, times = Known(_read_date), Known(_read_time)
        return lambda cells: dates[cells[date_at]] + times[cells[time_at]]


def _impossible(cells: Sequence[str], places: Sequence[int]) -> str:
    o, h, l, c = (cells[place].strip() for place in places)  # noqa: E741 - OHLC
    return f"open {o}, high {h}, low {l}, close {c} cannot all be true"


def _price_units(word: str) -> int:
    if word[-3:-2] == "." and word[:-3].isdigit() and word[-2:].isdigit() and word.isascii():
        return int(word[:-3]) * 10_000 + int(word[-2:]) * 100
    try:
        return int(price(word.strip()))
    except ValueError as error:
        raise ValueError(f"{word.strip()!r} is no price in rupees") from error


def _volume(word: str) -> int:
    if word.isdigit():
        return int(word)
    if not word.strip():
        return 0
    try:
        return read_quantity(word)
    except ValueError as error:
        raise ValueError(f"{word.strip()!r} is no whole quantity") from error


def _read_date(word: str) -> Instant:
    """Midnight of a day: 20240101, 2024-01-01, or 01-01-2024 with the day first, as India writes."""
    text = word.strip().replace("/", "-")
    parts = text.split("-")
    try:
        if len(parts) == 3 and len(parts[2]) == 4:
            day = dt.date(int(parts[2]), int(parts[1]), int(parts[0]))
        else:
            day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{word.strip()!r} is no date such as 2024-01-01") from error
    return (day - _DAY_ZERO).days * DAY - IST_OFFSET


def _read_time(word: str) -> int:
    try:
        moment = dt.time.fromisoformat(word.strip())
    except ValueError as error:
        raise ValueError(f"{word.strip()!r} is no time such as 09:15") from error
    if moment.second or moment.microsecond or moment.tzinfo is not None:
        raise ValueError(f"{word.strip()!r} is not on a whole minute of Indian time")
    return (moment.hour * 60 + moment.minute) * MINUTE


def _read_stamp(word: str) -> Instant:
    text = word.strip()
    if text.isascii() and text.isdigit() and len(text) in _EPOCH_SCALES:
        times, by = _EPOCH_SCALES[len(text)]
        return int(text) * times // by
    day, _, time = text.replace("T", " ").partition(" ")
    if "/" in day or (len(day) == 10 and day[2:3] == "-"):
        return _read_date(day) + _read_time(time)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time such as 2024-01-01 09:15:00") from error
    return instant_of(moment if moment.tzinfo is not None else moment.replace(tzinfo=IST))


def _whole_minute(at: Instant, word: str) -> Instant:
    if at % MINUTE:
        raise ValueError(f"{word.strip()!r} is not on a whole minute")
    return at


def step_minutes(days: Mapping[dt.date, Sequence[BarRow]]) -> int:
    """The commonest distance between two bars of a day, in minutes; 1 where there is no pair."""
    steps: Counter[int] = Counter()
    for rows in days.values():
        for earlier, later in itertools.pairwise(rows):
            steps[(later[0] - earlier[0]) // MINUTE] += 1
    return min(steps, key=lambda step: (-steps[step], step), default=1)


def tick_of(days: Mapping[dt.date, Sequence[BarRow]]) -> Price:
    """The coarsest of India's usual ticks that every price of the file lies on."""
    prices = {row[place] for rows in days.values() for row in rows for place in (1, 2, 3, 4)}
    return Price(next((size for size in (500, 100) if all(px % size == 0 for px in prices)), 1))
