"""Kite's daily list of instruments, read from its CSV into columns: a hundred thousand rows at once.

Columns are found by their header, in any order; prices become whole units of 1/10 000 rupee without
passing through a float. A row that cannot be read, or that contradicts itself, is left out and named
with its line; a file with more than a few of them is refused as damaged.

The twelve columns: kite.trade/docs/connect/v3/market-quotes. That a token is ``exchange token × 256 +
segment number`` is documented nowhere and holds for every published row; price packets are scaled
by that number, so a row that breaks the rule could not be priced and is left out.
"""

from __future__ import annotations

import csv
import datetime as dt
import gc
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kitestring.domain.errors import InstrumentsRefused
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import price

COLUMNS: Final = (
    *("instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry"),
    *("strike", "tick_size", "lot_size", "instrument_type", "segment", "exchange"),
)
SEGMENT_NUMBERS: Final = MappingProxyType(
    {
        "NSE": 1,
        "NFO": 2,
        "CDS": 3,
        "BSE": 4,
        "BFO": 5,
        "BCD": 6,
        "MCX": 7,
        "MCXSX": 8,
        "INDICES": 9,
        "NCO": 12,
    }
)
"""The low byte of a token, by exchange; indices have their own (PY ``ticker.py``, Sep 2026)."""
KINDS: Final = (
    InstrumentKind.INDEX,
    InstrumentKind.EQUITY,
    InstrumentKind.FUTURE,
    InstrumentKind.CALL,
    InstrumentKind.PUT,
)
"""``Columns.kind`` counts through these."""
INDEX, EQUITY, FUTURE, CALL, PUT = range(5)
_TYPES: Final = MappingProxyType({"EQ": EQUITY, "FUT": FUTURE, "CE": CALL, "PE": PUT})
_LEFT_OUT: Final = -1
_LARGEST: Final = 64 * 1024 * 1024
_NAMED: Final = 20
_FAULTY_PER_MILLE: Final = 1
_FAULTY_ALWAYS: Final = 5
_AGAIN: Final = "fetch the list again; if it stays so, do not trade on it today"

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different words: each word once, and its number in every row."""

    words: tuple[str, ...]
    codes: Ints

    @classmethod
    def of(cls, column: Sequence[str]) -> Coded:
        words = tuple(dict.fromkeys(column))
        number = {word: code for code, word in enumerate(words)}
        return cls(words, np.array([number[word] for word in column], dtype=np.int64))

    def chosen(self, keep: NDArray[np.bool_]) -> Coded:
        """The rows kept."""
        return Coded(self.words, self.codes[keep])


@dataclass(frozen=True, slots=True)
class Columns:
    """One entry per instrument in each column, in the order of the file."""

    ids: list[InstrumentId]
    names: Coded
    exchanges: Coded
    token: Ints
    kind: Ints
    """Places in ``KINDS``."""
    expiry: Ints
    """Day ordinals; 0 where there is none."""
    strike: Ints
    tick_size: Ints
    lot_size: Ints
    notes: tuple[str, ...]
    """What a person should know: columns ignored, rows left out and why."""

    def __len__(self) -> int:
        return len(self.ids)


def read_dump(content: bytes) -> Columns:
    """The columns of a dump, plain or gzipped. Raises ``InstrumentsRefused``."""
    # A million short texts are made here and stay for a moment; the collector would count them all.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _read(content)
    finally:
        if collecting:
            gc.enable()


def _read(content: bytes) -> Columns:
    rows = _rows(_text(content))
    header, body = rows[0], rows[1:]
    places, notes = _places(header)
    faults: dict[int, str] = {}
    lines: Sequence[int] = range(2, len(body) + 2)
    width = len(header)
    if body and set(map(len, body)) != {width}:
        body, lines = _of_width(body, width, faults)
    try:
        raw = _raw(body, places)
    except (ValueError, OverflowError):
        body, lines = _readable(body, lines, places, faults)
        raw = _raw(body, places)
    kinds, keep = _sound(raw, lines, faults, notes)
    notes += _named(faults, len(rows) - 1)
    if not keep.any():
        raise InstrumentsRefused("Kite's list of instruments holds no instrument.", do=_AGAIN)
    return Columns(
        ids=raw.ids if keep.all() else _where(raw.ids, keep),
        names=raw.names.chosen(keep),
        exchanges=raw.exchanges.chosen(keep),
        token=raw.token[keep],
        kind=kinds[keep],
        expiry=np.where(kinds >= FUTURE, raw.expiry, 0)[keep],
        strike=np.where(kinds >= CALL, raw.strike, 0)[keep],
        tick_size=raw.tick_size[keep],
        lot_size=raw.lot_size[keep],
        notes=tuple(notes),
    )


def _text(content: bytes) -> str:
    try:
        if content[:2] == b"\x1f\x8b":
            unpacker = zlib.decompressobj(wbits=31)
            content = unpacker.decompress(content, _LARGEST)
            if not unpacker.eof:
                raise InstrumentsRefused(
                    "Kite's list of instruments is cut off, or far too large.", do=_AGAIN
                )
        return content.decode("utf-8-sig")
    except (zlib.error, UnicodeDecodeError) as error:
        raise InstrumentsRefused(
            f"Kite's list of instruments is not text: {error}.", do=_AGAIN
        ) from error


def _rows(text: str) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise InstrumentsRefused(
            f"Kite's list of instruments is not CSV: {error}.", do=_AGAIN
        ) from error
    if not rows:
        raise InstrumentsRefused("Kite's list of instruments is empty.", do=_AGAIN)
    return rows


def _places(header: list[str]) -> tuple[list[int], list[str]]:
    names = [name.strip() for name in header]
    absent = [name for name in COLUMNS if names.count(name) != 1]
    if absent:
        raise InstrumentsRefused(
            "Kite's list of instruments does not begin with its columns: "
            f"{', '.join(absent)} should stand in line 1 once each; it reads {str(header)[:120]}.",
            do=_AGAIN,
        )
    extra = [name for name in names if name not in COLUMNS]
    notes = [f"columns not known here, ignored: {', '.join(extra)[:200]}"] if extra else []
    return [names.index(name) for name in COLUMNS], notes


def _of_width(
    body: list[list[str]], width: int, faults: dict[int, str]
) -> tuple[list[list[str]], list[int]]:
    kept: list[list[str]] = []
    lines: list[int] = []
    for line, row in enumerate(body, 2):
        if len(row) == width:
            kept.append(row)
            lines.append(line)
        else:
            faults[line] = f"{len(row)} fields instead of {width}"
    return kept, lines


# -- converting ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Raw:
    """All rows, readable but not yet judged."""

    ids: list[InstrumentId]
    names: Coded
    exchanges: Coded
    segments: Coded
    types: Coded
    token: Ints
    exchange_token: Ints
    expiry: Ints
    strike: Ints
    tick_size: Ints
    lot_size: Ints


def _raw(body: list[list[str]], places: list[int]) -> _Raw:
    """Raises ``ValueError`` or ``OverflowError`` without saying where: the fast way."""
    across: list[Sequence[str]] = list(zip(*body, strict=True)) or [()] * (max(places) + 1)
    by_name = {name: across[place] for name, place in zip(COLUMNS, places, strict=True)}
    return _Raw(
        ids=[
            InstrumentId(f"{exchange}:{symbol}")
            for exchange, symbol in zip(by_name["exchange"], by_name["tradingsymbol"], strict=True)
        ],
        names=Coded.of(by_name["name"]),
        exchanges=Coded.of(by_name["exchange"]),
        segments=Coded.of(by_name["segment"]),
        types=Coded.of(by_name["instrument_type"]),
        token=_numbers(by_name["instrument_token"]),
        exchange_token=_numbers(by_name["exchange_token"]),
        expiry=_looked_up(by_name["expiry"], _ordinal),
        strike=_looked_up(by_name["strike"], _units),
        tick_size=_looked_up(by_name["tick_size"], _units),
        lot_size=_looked_up(by_name["lot_size"], _number),
    )


def _numbers(column: Sequence[str]) -> Ints:
    joined = "".join(column)
    if joined and not (joined.isascii() and joined.isdigit()):
        raise ValueError("not digits alone")
    if max(map(len, column), default=0) > 18:
        raise ValueError("a number beyond 63 bits")
    return np.array(list(map(int, column)), dtype=np.int64)


def _looked_up(column: Sequence[str], convert: Callable[[str], int]) -> Ints:
    """Each different text is converted once: a hundred thousand strikes are a few thousand texts."""
    known = {text: convert(text) for text in set(column)}
    return np.array([known[text] for text in column], dtype=np.int64)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    if len(text) > 18:
        raise ValueError(f"{text[:40]!r} is too large")
    return int(text)


def _ordinal(text: str) -> int:
    if not text:
        return 0
    if len(text) != 10:
        raise ValueError(f"{text[:40]!r} is not a date such as 2026-11-24")
    return dt.date.fromisoformat(text).toordinal()


def _units(text: str) -> int:
    units = int(price(text)) if text else 0
    if not 0 <= units < 1 << 62:
        raise ValueError(f"{text[:40]!r} is no price of an instrument")
    return units


def _readable(
    body: list[list[str]], lines: Sequence[int], places: list[int], faults: dict[int, str]
) -> tuple[list[list[str]], list[int]]:
    """The slow way, taken only when the fast one failed: row by row, naming those that do."""
    converters: dict[str, Callable[[str], int]] = {
        "instrument_token": _number,
        "exchange_token": _number,
        "lot_size": _number,
        "expiry": _ordinal,
        "strike": _units,
        "tick_size": _units,
    }
    judged = [
        (name, place, converters[name])
        for name, place in zip(COLUMNS, places, strict=True)
        if name in converters
    ]
    kept: list[list[str]] = []
    kept_lines: list[int] = []
    for line, row in zip(lines, body, strict=True):
        name = ""
        try:
            for name, place, convert in judged:  # noqa: B007  # the last one tried is the one that failed
                convert(row[place])
        except ValueError as error:
            faults[line] = f"{name}: {error}"
        else:
            kept.append(row)
            kept_lines.append(line)
    return kept, kept_lines


# -- judging ------------------------------------------------------------------------------


def _sound(
    raw: _Raw, lines: Sequence[int], faults: dict[int, str], notes: list[str]
) -> tuple[Ints, NDArray[np.bool_]]:
    """Each row's kind, and which rows stay; others are faults, or of markets not known here."""
    kinds, numbers = _kinds(raw, notes)
    keep = kinds != _LEFT_OUT
    priced = kinds >= EQUITY
    empty = [row for row, text in enumerate(raw.ids) if text[-1] == ":"]
    nameless = np.zeros(len(keep), dtype=np.bool_)
    nameless[empty] = True
    for wrong, why in (
        (
            (raw.token >> 8 != raw.exchange_token) | (raw.token & 0xFF != numbers),
            "instrument_token is not exchange_token × 256 + its segment's number",
        ),
        (raw.token >= 1 << 32, "instrument_token is beyond 32 bits"),
        ((kinds >= FUTURE) & (raw.expiry == 0), "a contract without expiry"),
        ((kinds >= CALL) & (raw.strike == 0), "an option without strike"),
        (priced & (raw.tick_size == 0), "no tick_size"),
        (priced & (raw.lot_size == 0), "no lot_size"),
        (nameless, "no tradingsymbol"),
    ):
        _strike_out(keep, wrong, why, lines, faults)
    for keys, why in ((raw.token.tolist(), "token repeated"), (raw.ids, "tradingsymbol repeated")):
        _strike_out(keep, _repeated(keep, keys), why, lines, faults)
    return kinds, keep


def _kinds(raw: _Raw, notes: list[str]) -> tuple[Ints, Ints]:
    """Kind and segment number of each row; kind -1 for what is not known here, which is noted."""
    columns = (raw.types, raw.segments, raw.exchanges)
    trios = raw.types.codes
    for column in columns[1:]:
        trios = trios * len(column.words) + column.codes
    found, places, counts = np.unique(trios, return_inverse=True, return_counts=True)
    kinds = np.zeros(len(found), dtype=np.int64)
    numbers = np.zeros(len(found), dtype=np.int64)
    strangers = []
    for place, trio in enumerate(found.tolist()):
        rest, exchange = divmod(trio, len(raw.exchanges.words))
        kind, segment = divmod(rest, len(raw.segments.words))
        words = (
            raw.types.words[kind],
            raw.segments.words[segment],
            raw.exchanges.words[exchange],
        )
        kinds[place], numbers[place] = _kind_of(*words)
        if kinds[place] == _LEFT_OUT:
            strangers.append(f"{counts[place]} × {' '.join(words)[:60]}")
    if strangers:
        notes.append(
            f"rows of markets or kinds not known here, left out: {', '.join(strangers[:_NAMED])}"
        )
    return kinds[places], numbers[places]


def _kind_of(kind: str, segment: str, exchange: str) -> tuple[int, int]:
    code = _TYPES.get(kind, _LEFT_OUT)
    number = SEGMENT_NUMBERS.get(exchange, _LEFT_OUT)
    if number == _LEFT_OUT or exchange == "INDICES":
        return _LEFT_OUT, number
    if segment == "INDICES" and code == EQUITY:
        return INDEX, SEGMENT_NUMBERS["INDICES"]
    expected = exchange if code == EQUITY else f"{exchange}-{'FUT' if code == FUTURE else 'OPT'}"
    return (code if segment == expected else _LEFT_OUT), number


def _strike_out(
    keep: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    why: str,
    lines: Sequence[int],
    faults: dict[int, str],
) -> None:
    for row in np.flatnonzero(keep & wrong).tolist():
        faults[lines[row]] = why
        keep[row] = False


def _repeated(keep: NDArray[np.bool_], keys: Sequence[object]) -> NDArray[np.bool_]:
    """Every occurrence after the first."""
    repeated = np.zeros(len(keys), dtype=np.bool_)
    if len(set(keys)) < len(keys):
        seen: set[object] = set()
        for row in np.flatnonzero(keep).tolist():
            repeated[row] = keys[row] in seen
            seen.add(keys[row])
    return repeated


def _named(faults: dict[int, str], rows: int) -> list[str]:
    """A note for each faulty line; raises ``InstrumentsRefused`` where there are too many."""
    named = [f"line {line} left out: {why}" for line, why in sorted(faults.items())]
    if len(faults) > max(_FAULTY_ALWAYS, rows * _FAULTY_PER_MILLE // 1000):
        shown = "\n  ".join(named[:_NAMED])
        raise InstrumentsRefused(
            f"Kite's list of instruments is damaged: {len(faults)} of {rows} rows are wrong.\n"
            f"  {shown}",
            do=_AGAIN,
        )
    return named


def _where(column: list[InstrumentId], keep: NDArray[np.bool_]) -> list[InstrumentId]:
    return [text for text, stays in zip(column, keep.tolist(), strict=True) if stays]
