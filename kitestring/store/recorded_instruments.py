"""Which instrument a recorded file is of: from its name, or from what its owner wrote beside it.

``INFY_13_April.csv.gz`` is INFY on NSE; ``Nifty_Bank_13_April.csv.gz`` is the index NIFTY BANK.
A file ``tape.toml`` (or ``manifest.json``) in the folder says what a name cannot::

    date = 2021-04-13
    [session]
    open = "09:15"
    close = "15:30"
    [files."INFY_13_April.csv.gz"]
    symbol = "INFY"
    exchange = "NSE"
    kind = "EQ"
    lot = 1
    tick = "0.05"
    previous_close = "1432.10"
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.errors import FeedError
from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, price
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.unreadable import UNREADABLE

MANIFEST_NAMES: Final = ("tape.toml", "manifest.json")

INDICES: Final = {
    "NIFTY": ("NSE", "NIFTY 50", "NIFTY"),
    "NIFTY 50": ("NSE", "NIFTY 50", "NIFTY"),
    "NIFTY50": ("NSE", "NIFTY 50", "NIFTY"),
    "NIFTY BANK": ("NSE", "NIFTY BANK", "BANKNIFTY"),
    "BANK NIFTY": ("NSE", "NIFTY BANK", "BANKNIFTY"),
    "BANKNIFTY": ("NSE", "NIFTY BANK", "BANKNIFTY"),
    "NIFTY FIN SERVICE": ("NSE", "NIFTY FIN SERVICE", "FINNIFTY"),
    "FINNIFTY": ("NSE", "NIFTY FIN SERVICE", "FINNIFTY"),
    "NIFTY MID SELECT": ("NSE", "NIFTY MID SELECT", "MIDCPNIFTY"),
    "MIDCPNIFTY": ("NSE", "NIFTY MID SELECT", "MIDCPNIFTY"),
    "NIFTY NEXT 50": ("NSE", "NIFTY NEXT 50", "NIFTYNXT50"),
    "INDIA VIX": ("NSE", "INDIA VIX", "INDIAVIX"),
    "SENSEX": ("BSE", "SENSEX", "SENSEX"),
    "BANKEX": ("BSE", "BANKEX", "BANKEX"),
}
"""What a file calls an index → exchange, Kite's tradingsymbol, the logical name of its contracts."""

_MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_ISO_DATE: Final = re.compile(
    r"(?<!\d)(\d{4}[-_.]?\d{2}[-_.]?\d{2}|\d{2}[-_.]\d{2}[-_.]\d{4})(?!\d)"
)
_DAY_WORD: Final = re.compile(r"(0?[1-9]|[12]\d|3[01])(st|nd|rd|th)?", re.IGNORECASE)
_NOISE: Final = frozenset({"tick", "ticks", "nse", "trades", "quotes"})


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner says of one file; whatever is left out is taken from its name and content."""

    symbol: str = ""
    exchange: str = ""
    kind: InstrumentKind | None = None
    segment: Segment | None = None
    name: str = ""
    lot: int = 0
    tick: str = ""
    previous_close: str = ""


class SessionEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hours of the recorded day, where the calendar does not know them. Indian time."""

    open: dt.time
    close: dt.time
    entry_cutoff: dt.time | None = None
    square_off: dt.time | None = None


class FolderManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``tape.toml``: what the owner of a recording says of it."""

    date: dt.date | None = None
    session: SessionEntry | None = None
    files: dict[str, FileEntry] = msgspec.field(default_factory=dict)

    def sessions(self, day: dt.date) -> dict[Segment, Session] | None:
        """The sessions the owner wrote, for every segment; ``None`` if the calendar is to say."""
        entry = self.session
        if entry is None:
            return None
        open_at, close_at = instant(day, entry.open), instant(day, entry.close)
        square_off_at = instant(day, entry.square_off or entry.close)
        return {
            segment: Session(
                date=day,
                segment=segment,
                open_at=open_at,
                close_at=close_at,
                entry_cutoff_at=instant(day, entry.entry_cutoff)
                if entry.entry_cutoff
                else square_off_at,
                square_off_at=square_off_at,
                phases=(Phase(PhaseKind.CONTINUOUS, open_at, close_at),),
                source="the recording's own manifest",
            )
            for segment in Segment
        }


def folder_manifest(folder: Path) -> FolderManifest:
    """What the folder says of itself; empty if it says nothing. Raises ``FeedError``."""
    for name in MANIFEST_NAMES:
        path = folder / name
        if path.exists():
            try:
                content = path.read_bytes()
                if path.suffix == ".toml":
                    return msgspec.toml.decode(content, type=FolderManifest)
                return msgspec.json.decode(content, type=FolderManifest)
            except (OSError, *UNREADABLE) as error:
                raise FeedError(
                    f"{path}: {error}.",
                    do="Correct the manifest, or remove it to go by file names.",
                ) from error
    return FolderManifest()


def symbol_in(file_name: str) -> str:
    """The symbol a file is named for, without its ending and the words of a date."""
    stem = re.sub(r"(\.(csv|txt|gz))+$", "", file_name, flags=re.IGNORECASE)
    words = _ISO_DATE.sub(" ", stem).replace("_", " ").split()
    has_month = any(_is_month(word) for word in words)
    kept = [
        word
        for place, word in enumerate(words)
        if word.lower() not in _NOISE
        and not (place and _is_month(word))
        and not (has_month and place and (_DAY_WORD.fullmatch(word) or _is_year(word)))
    ]
    return " ".join(kept or words).upper()


def _is_month(word: str) -> bool:
    return len(word) >= 3 and any(month.startswith(word.lower()) for month in _MONTHS)


_PACKETS: Final = MappingProxyType(
    {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "BFO": 5, "BCD": 6, "MCX": 7}
)
"""Segments in the low byte of a token (kite.trade/docs/connect/v3/websocket)."""
_INDEX_PACKETS: Final = 9


def _is_year(word: str) -> bool:
    return len(word) == 4 and word.isdigit() and word.startswith("20")


def describe(
    file_name: str,
    entry: FileEntry,
    tick_size: Price,
    number: int,
    *,
    has_volume: bool,
    has_depth: bool,
) -> Instrument:
    """The instrument of a file: its manifest entry first, then its name, then its content.

    ``number`` counts the files of a recording; it becomes the instrument's token.
    """
    symbol = entry.symbol or symbol_in(file_name)
    index = INDICES.get(symbol.upper())
    kind = entry.kind or (InstrumentKind.INDEX if index else InstrumentKind.EQUITY)
    exchange, name = entry.exchange or "NSE", entry.name or symbol
    if index and kind is InstrumentKind.INDEX:
        exchange, symbol, name = entry.exchange or index[0], index[1], entry.name or index[2]
    return Instrument(
        id=instrument_id(exchange, symbol),
        exchange=exchange,
        symbol=symbol,
        token=kite_token(number, exchange, kind),
        kind=kind,
        segment=entry.segment or _segment(kind),
        name=name,
        lot_size=entry.lot or 1,
        tick_size=price(entry.tick) if entry.tick else tick_size,
        has_volume=has_volume,
        has_depth=has_depth,
    )


def _segment(kind: InstrumentKind) -> Segment:
    match kind:
        case InstrumentKind.INDEX:
            return Segment.INDEX
        case InstrumentKind.EQUITY:
            return Segment.EQUITY
        case InstrumentKind.FUTURE:
            return Segment.FUTURES
        case InstrumentKind.CALL | InstrumentKind.PUT:
            return Segment.OPTIONS


def kite_token(number: int, exchange: str, kind: InstrumentKind) -> int:
    """A token as Kite makes them: its low byte is the segment, which says how prices are packed.

    A recording has none of its own; shown by a local exchange on Kite's wire, it needs one.
    """
    segment = _INDEX_PACKETS if kind is InstrumentKind.INDEX else _PACKETS.get(exchange, 1)
    return number << 8 | segment


def stand_in_future(index: Instrument, lot_size: int, number: int) -> Instrument:
    """A future that recorded index ticks stand in for; its lot is the recorded day's."""
    assert lot_size > 0
    exchange = "BFO" if index.exchange == "BSE" else "NFO"
    symbol = f"{index.name}-STANDIN"
    return Instrument(
        id=instrument_id(exchange, symbol),
        exchange=exchange,
        symbol=symbol,
        token=kite_token(number, exchange, InstrumentKind.FUTURE),
        kind=InstrumentKind.FUTURE,
        segment=Segment.FUTURES,
        name=index.name,
        lot_size=lot_size,
        tick_size=index.tick_size,
        stand_in=f"{index.symbol} index ticks stand in for the future: no volume, no depth",
        has_volume=False,
        has_depth=False,
    )
