"""The exchange's own ledger: every order, refusal, change and trade, written before anybody is told.

It is the ground truth a trading house is judged by, so it is kept apart from the house's journal.
One line is one stroke of the exchange: everything that happened at one moment, whole or not at
all. A line that is there has been acted on; what is not there has not happened. The ledger is
enough to rebuild every order, trade and position (``Matcher.recover``), and it is also what is
told: a report is an entry, delivered at its ``told_at``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Protocol

import msgspec

from kitestring.domain.errors import StoreError
from kitestring.domain.instants import Instant


class What(StrEnum):
    """What an entry announces. The first four and QUEUED are heard or noted; the client is told the rest."""

    OPENED = "OPENED"
    """The exchange begins a day; ``text`` names its fill model, seed and kind of feed."""
    PLACE = "PLACE"
    """A new order was heard; it reaches the matching at ``arrives_at``."""
    MODIFY = "MODIFY"
    CANCEL = "CANCEL"
    NEW = "NEW"
    REJECTED = "REJECTED"
    TRIGGERED = "TRIGGERED"
    TRADE = "TRADE"
    REPLACED = "REPLACED"
    REPLACE_REJECTED = "REPLACE_REJECTED"
    CANCELED = "CANCELED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    QUEUED = "QUEUED"
    """An order that came before any depth was seen has found its place (``ahead``); nobody is told."""


HEARD = frozenset({What.OPENED, What.PLACE, What.MODIFY, What.CANCEL})
"""Entries that nobody is told of."""


class LedgerEntry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One thing that happened to one order. Prices in 1/10 000 rupee, instants in microseconds.

    ``request`` numbers what was heard (PLACE, MODIFY, CANCEL) and is repeated by its answer.
    ``price`` of a NEW is the limit it works at: for a MARKET order its protection price.
    ``takes`` says the order met the opposite quote as it came, so that its rest goes on doing so.
    ``seen_px`` is the last price the exchange knew when it heard the order.
    """

    what: What
    at: Instant
    told_at: Instant = 0
    tag: str = ""
    order_id: str = ""
    request: int = 0
    arrives_at: Instant = 0
    instrument: str = ""
    side: str = ""
    qty: int = 0
    order_type: str = ""
    product: str = ""
    validity: str = ""
    price: int = 0
    trigger_price: int = 0
    protection_bp: int = 0
    seen_px: int = 0
    takes: bool = False
    trade_id: str = ""
    last_qty: int = 0
    last_px: int = 0
    filled_qty: int = 0
    text: str = ""
    nth: int = 0
    """Which tick of its frame it met (from 1); 0 when it came between two frames."""
    ahead: int = 0
    """What stood before the order in the queue at its price, after this entry; -1 if unknown."""
    printed: int = 0
    """Of a trade: the part of ``last_qty`` that came out of the traded volume, not of the book."""
    ttl_minutes: int = 0
    """How long an order is valid; 0 for the day, or as a MODIFY for no change."""
    disclosed_qty: int = 0
    origin: str = ""
    """Of a PLACE: who sent it, where it was nobody: the broker's ``square-off``."""
    journey: str = ""
    """The name by which its way there and back is drawn, if that is not its ``tag``."""


class LedgerLine(msgspec.Struct, frozen=True):
    """One stroke: the place in the feed it followed, and what happened, in order."""

    position: int
    entries: list[LedgerEntry]


class LedgerSink(Protocol):
    """Where the ledger goes; it must hold the record before ``append`` returns."""

    def append(self, record: bytes) -> None:
        """Keep one line (without its newline); raises ``StoreError`` if it cannot."""
        ...


class MemoryLedger:
    """A ledger in memory, for tests, benchmarks and runs that keep none."""

    __slots__ = ("records",)

    def __init__(self, records: Iterable[bytes] = ()) -> None:
        self.records = list(records)

    def append(self, record: bytes) -> None:
        """Keep one line."""
        self.records.append(record)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LedgerLine)


def line_bytes(position: int, entries: list[LedgerEntry]) -> bytes:
    """One stroke as one line of JSON."""
    return _encoder.encode(LedgerLine(position, entries))


def read_lines(records: Iterable[bytes]) -> Iterator[LedgerLine]:
    """The strokes of a ledger, in order; raises ``StoreError`` at a line that is none."""
    for number, record in enumerate(records, 1):
        try:
            yield _decoder.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"Line {number} of the exchange's ledger cannot be read ({error}).",
                do="restore the file from a backup, or start another run with --fresh",
            ) from error


def read_entries(records: Iterable[bytes]) -> Iterator[LedgerEntry]:
    """Everything that happened, in order, without the strokes: what a judge counts orders with."""
    for line in read_lines(records):
        yield from line.entries
