"""Names a set of warm-up bars by their content, so that a restart warms up on exactly the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.events import HistoryLoaded
from kitestring.domain.ids import InstrumentId


def history_event(
    instrument: InstrumentId, minutes: int, bars: Sequence[Bar], source: str
) -> HistoryLoaded:
    """The inbox event that carries these bars, with their digest."""
    kept = tuple(bars)
    digest = hashlib.sha256(msgspec.msgpack.encode(kept)).hexdigest()
    return HistoryLoaded(
        instrument=instrument, minutes=minutes, bars=kept, source=source, digest=digest
    )
