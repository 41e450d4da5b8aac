"""Candles of past days, kept on disk as they were fetched: one small file per instrument, interval and day.

A file begins with one line that says whose candles they are and when they were fetched, with a
checksum of all of it; the rows follow. A token is given to another contract after expiry, so the
line names the contract, too, and whatever does not agree is as good as absent.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.store.atomic_file import write_atomically

_FORMAT: Final = "kitestring candles 1"

CandleRow = tuple[Instant, int, int, int, int, int]
"""Opened at, open, high, low, close (in 1/10 000 rupee), volume."""


class CandleKey(msgspec.Struct, frozen=True, kw_only=True):
    """Whose candles, of which day."""

    instrument: InstrumentId
    token: int
    interval: str
    day: dt.date


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    key: CandleKey
    fetched_on: dt.date
    checksum: str = ""


class CandleCache:
    """The candles kept in one folder. It only saves calls: without a disk it is merely empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = msgspec.msgpack.Decoder(list[CandleRow])
        self.unwritten = 0
        """Files that could not be written; the day goes on without them."""

    def path_of(self, key: CandleKey) -> Path:
        """Where a day's candles are."""
        return self.folder / key.interval / f"{key.day}" / f"{key.token}.candles"

    def keep(self, key: CandleKey, rows: list[CandleRow], fetched_on: dt.date) -> None:
        """Keep a day's candles, in place of earlier ones."""
        body = msgspec.msgpack.encode(rows)
        head = _Head(format=_FORMAT, key=key, fetched_on=fetched_on)
        head = msgspec.structs.replace(head, checksum=_checksum(head, body))
        try:
            write_atomically(self.path_of(key), msgspec.json.encode(head) + b"\n" + body)
        except OSError:
            self.unwritten += 1

    def read(self, key: CandleKey, *, fetched_on: dt.date | None = None) -> list[CandleRow] | None:
        """A day's candles, or ``None``; with ``fetched_on`` only those fetched on that day."""
        try:
            whole = self.path_of(key).read_bytes()
        except OSError:
            return None
        line, _, body = whole.partition(b"\n")
        try:
            head = msgspec.json.decode(line, type=_Head)
            if head.checksum != _checksum(head, body):
                return None
            rows = self._rows.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        agrees = head.format == _FORMAT and head.key == key
        return rows if agrees and fetched_on in (None, head.fetched_on) else None


def _checksum(head: _Head, body: bytes) -> str:
    digest = hashlib.blake2b(
        msgspec.json.encode(msgspec.structs.replace(head, checksum="")), digest_size=16
    )
    digest.update(body)
    return digest.hexdigest()
