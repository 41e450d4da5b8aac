"""A day the house itself taped, as a feed: the same frames in the same order, timers left out.

The tape brings its own instruments and sessions; the new run fires its own timers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.errors import FeedError, JournalDamaged
from kitestring.domain.ids import InstrumentId
from kitestring.domain.ports import Manifest
from kitestring.domain.ticks import TickFrame
from kitestring.store.tape_reader import TapeReader

F = TypeVar("F", TickFrame, BarFrame)


class TapedFeed:
    """One ``tape.bin`` as a ``Feed``; a torn tail is left out and said in the manifest's notes."""

    def __init__(self, path: Path) -> None:
        """Read and verify the whole tape; raises ``FeedError`` if it is damaged."""
        try:
            self._reader = TapeReader(path)
            kinds = [type(record) for _, record in self._reader]
            end = self._reader.end()
            digest = self._reader.digest(end)
        except JournalDamaged as error:
            raise FeedError(error.what, do=error.do) from error
        frames = sum(kind is not None and kind in (TickFrame, BarFrame) for kind in kinds)
        self._has_bars = BarFrame in kinds
        assert not (self._has_bars and TickFrame in kinds)
        taped = self._reader.manifest
        notes = (*taped.notes, f"Played from the tape {path.name}.")
        if self._reader.torn_at is not None:
            notes = (*notes, f"The tape was cut off at byte {end}; the day is played up to there.")
        self._manifest = msgspec.structs.replace(
            taped,
            name=f"tape of {taped.name}",
            digest=digest,
            frames_hint=frames,
            rewindable=True,
            notes=notes,
        )

    @property
    def manifest(self) -> Manifest:
        """What this tape is of."""
        return self._manifest

    def frames(self, after: int = 0) -> Iterator[TickFrame] | Iterator[BarFrame]:
        """The day's frames, without the first ``after`` of them."""
        if self._has_bars:
            return self._of(BarFrame, after)
        return self._of(TickFrame, after)

    def _of(self, kind: type[F], after: int) -> Iterator[F]:
        for _, record in self._reader:
            if isinstance(record, kind):
                if after > 0:
                    after -= 1
                else:
                    yield record

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:  # noqa: ARG002 - the port's shape
        """Nothing: a tape holds its day only."""
        return ()
