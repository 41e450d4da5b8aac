"""What a recording is made of and what is wrong with it, by file and line, before a day is played.

The judgement of ticks is the market data engine's own: every row is shown to it, file by file, and
what it counts and keeps out is what the report says. Rows that cannot be read at all refuse the
recording; everything else is played, counted and kept out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.core.market_data_engine import MarketDataEngine
from kitestring.domain.bars import BarFrame
from kitestring.domain.errors import JournalDamaged
from kitestring.domain.instants import SECOND, Instant, ist_text
from kitestring.domain.instruments import Segment
from kitestring.domain.money import rupees_text
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.store.recorded_rows import Row
from kitestring.store.recordings import (
    RecordedFile,
    SessionsOf,
    is_tape,
    read_recording,
    tape_file,
)
from kitestring.store.tape_reader import TapeReader

EXAMPLES_MAX: Final = 3

FAULTS: Final = {
    "unreadable": "cannot be read",
    "duplicate": "repeat the row before, and count once",
    "late": "are older than the row before, and are kept out",
    "out_of_hours": "lie outside the session, and are kept out",
    "zero": "have no price above zero, and are kept out",
    "absurd": "jump too far from the last price, and are kept out",
    "falling_volume": "have less volume than before; price taken, volume not",
}
"""Every fault the report knows, with its sentence."""


class Example(msgspec.Struct, frozen=True):
    """One row with a fault."""

    line: int
    text: str


class Finding(msgspec.Struct, frozen=True):
    """One kind of fault in one file: how often, and the first few."""

    fault: str
    count: int
    examples: tuple[Example, ...]


class FileReport(msgspec.Struct, frozen=True):
    """One file: the columns recognised (ours → its own word), its rows, and what is wrong."""

    file: str
    instrument: str
    columns: dict[str, str]
    ignored: tuple[str, ...]
    rows: int
    accepted: int
    first_at: Instant
    last_at: Instant
    findings: tuple[Finding, ...]

    def count(self, fault: str) -> int:
        """How many rows have a fault (a key of ``FAULTS``)."""
        return sum(finding.count for finding in self.findings if finding.fault == fault)


class RecordingReport(msgspec.Struct, frozen=True):
    """A whole recording. ``playable`` is false if a row cannot be read: nothing is half-imported."""

    path: str
    date: str
    files: tuple[FileReport, ...]
    playable: bool
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The report as a person reads it."""
        text = [f"{self.path}: {self.date}", *self.notes]
        for file in self.files:
            text.append(f"{file.file}: {file.instrument}, {file.rows:,} rows")
            if file.rows:
                text.append(f"  from {ist_text(file.first_at)} to {ist_text(file.last_at)}")
            found = ", ".join(f"{role} = {word!r}" for role, word in file.columns.items())
            text.append(f"  columns: {found}")
            if file.ignored:
                text.append(f"  not used: {', '.join(file.ignored)}")
            for finding in file.findings:
                text.append(f"  {finding.count:,} rows {FAULTS[finding.fault]}")
                text += [f"    {file.file}:{one.line}: {one.text}" for one in finding.examples]
        if self.playable:
            text.append("It can be played; what is kept out is counted again in the day's report.")
        else:
            text.append("It cannot be played before the rows that cannot be read are corrected.")
        return text


def check(
    path: Path, sessions_of: SessionsOf, *, price_jump_pct_max: float = 0.10
) -> RecordingReport:
    """Look through a recording without playing it; raises ``FeedError`` if it holds no table at all."""
    if is_tape(path):
        return _check_tape(tape_file(path))
    recording = read_recording(path)
    sessions = recording.manifest.sessions(recording.date) or sessions_of(recording.date)
    return RecordingReport(
        path=str(path),
        date=recording.date.isoformat(),
        files=tuple(_check_file(file, sessions, price_jump_pct_max) for file in recording.files),
        playable=not any(file.read.unreadable for file in recording.files),
    )


class _Gathered:
    """Counts faults and keeps the first few of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[Example]] = {}

    def add(self, fault: str, line: int, text: str) -> None:
        self._counts[fault] = self._counts.get(fault, 0) + 1
        examples = self._examples.setdefault(fault, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(Example(line, text))

    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(fault, self._counts[fault], tuple(self._examples[fault]))
            for fault in FAULTS
            if fault in self._counts
        )


def _check_file(
    file: RecordedFile, sessions: Mapping[Segment, Session], price_jump_pct_max: float
) -> FileReport:
    name = file.instrument.id
    market = MarketDataEngine(
        [file.instrument],
        sessions,
        timeframes={},
        bar_grace=0,
        price_jump_pct_max=price_jump_pct_max,
        stale_after=SECOND,
        previous_close={name: file.previous_close} if file.previous_close else {},
    )
    view = market.views[name]
    gathered = _Gathered()
    for unread in file.read.unreadable:
        gathered.add("unreadable", unread.line, f"{unread.value!r} {unread.why}")
    kept_out = ("duplicate", "late", "out_of_hours", "zero", "absurd")
    for row, line in zip(file.read.rows, file.read.lines, strict=True):
        falling = view.falling_volume
        before = [getattr(view, fault) for fault in kept_out]
        if not market.accept(Tick(name, *row)):
            fault = next(
                fault
                for fault, count in zip(kept_out, before, strict=True)
                if getattr(view, fault) != count
            )
            gathered.add(fault, line, _row_text(row))
        elif view.falling_volume != falling:
            gathered.add("falling_volume", line, f"{_row_text(row)} after {view.cum_qty}")
    instants = [row[0] for row in file.read.rows]
    return FileReport(
        file=file.path.name,
        instrument=name,
        columns=file.read.columns.found,
        ignored=file.read.columns.ignored,
        rows=len(instants) + len(file.read.unreadable),
        accepted=view.accepted,
        first_at=min(instants, default=0),
        last_at=max(instants, default=0),
        findings=gathered.findings(),
    )


def _row_text(row: Row) -> str:
    return f"{ist_text(row[0])} {rupees_text(row[1])} {row[2]}"


def _check_tape(path: Path) -> RecordingReport:
    """Verify our own tape; its columns are ours, so only its wholeness is in question."""
    try:
        reader = TapeReader(path)
        ticks = bars = timers = 0
        for _, record in reader:
            if isinstance(record, TickFrame):
                ticks += len(record.ticks)
            elif isinstance(record, BarFrame):
                bars += len(record.bars)
            else:
                timers += 1
    except JournalDamaged as error:
        return RecordingReport(str(path), "", (), playable=False, notes=(error.what,))
    notes = [f"A tape of this house: {ticks:,} ticks, {bars:,} recorded bars, {timers:,} timers."]
    if reader.torn_at is not None:
        notes.append(f"Its end was torn off at byte {reader.torn_at}; it is played up to there.")
    return RecordingReport(
        str(path), reader.manifest.date.isoformat(), (), playable=True, notes=tuple(notes)
    )
