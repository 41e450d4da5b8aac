"""A day that somebody recorded, as a feed: a folder of CSV files, one per instrument, or our own tape.

All files become one stream in the order the rows arrived. A row that goes back in time stays where
it stands: it is *received* at the latest time its file has shown so far, and the market data engine
counts it as late. Rows of another date never move that time. Rows received at the same instant make
one frame, files in the order of their names; an instrument that comes again begins a new frame, as
on Kite, where a message holds an instrument once.

Every row is read before the first is played: one that cannot be read refuses the whole recording.
Nothing is half-imported. Duplicate, late, absurd or out-of-hours rows are played as they are.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import msgspec
import numpy as np

from kitestring.domain.bars import Bar
from kitestring.domain.errors import FeedError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import DAY, IST_OFFSET, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, price
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.store.recorded_instruments import (
    FileEntry,
    FolderManifest,
    describe,
    folder_manifest,
    stand_in_future,
)
from kitestring.store.recorded_rows import RecordedRows, RowReader
from kitestring.store.taped_feed import TapedFeed

Engines = Literal["equity", "fno", "all"]
SessionsOf = Callable[[dt.date], Mapping[Segment, Session]]
"""The calendar: the sessions of a date."""

_DAY_ZERO: Final = dt.date(1970, 1, 1)
_TICK_SIZES: Final = (500, 100)
"""Tick sizes a recording may show, coarsest first: five paise, one paisa."""


class RecordedFile(msgspec.Struct, frozen=True):
    """One file of a recording, read."""

    path: Path
    instrument: Instrument
    read: RecordedRows
    previous_close: Price


class Recording(msgspec.Struct, frozen=True):
    """A folder of recorded files, read whole."""

    path: Path
    date: dt.date
    files: tuple[RecordedFile, ...]
    manifest: FolderManifest
    digest: str


def is_tape(path: Path) -> bool:
    """Whether a path is our own tape, or a folder that holds one."""
    return tape_file(path).is_file()


def tape_file(path: Path) -> Path:
    """Where our own tape would be: the file itself, or ``tape.bin`` in the folder."""
    return path / "tape.bin" if path.is_dir() else path


def recorded_paths(path: Path) -> list[Path]:
    """The CSV files of a recording, in the order of their names; raises ``FeedError`` if none."""
    if not path.exists():
        raise FeedError(f"There is no recording at {path}.", do="Check the path given to --tape.")
    files = sorted(
        file for file in path.iterdir() if file.name.lower().endswith((".csv", ".csv.gz"))
    )
    if not files:
        raise FeedError(
            f"{path} holds no recording: no .csv, no .csv.gz and no tape.bin.",
            do="Give a folder with one CSV file per instrument, or a tape.bin.",
        )
    return files


def read_recording(path: Path) -> Recording:
    """Read every file of a folder; rows that cannot be read stand in each file's ``unreadable``."""
    said = folder_manifest(path)
    paths = recorded_paths(path)
    strangers = sorted(set(said.files) - {file.name for file in paths})
    if strangers:
        raise FeedError(
            f"The manifest in {path} speaks of {strangers[0]}, which is not there.",
            do="Correct the file name in the manifest.",
        )
    reader = RowReader()
    running = hashlib.sha256(msgspec.json.encode(said, order="deterministic"))
    files: list[RecordedFile] = []
    names: dict[InstrumentId, Path] = {}
    for token, file in enumerate(paths, 1):
        read = reader.read(file)
        running.update(file.name.encode() + b"\0" + file.read_bytes())
        entry = said.files.get(file.name, FileEntry())
        try:
            instrument = _instrument(file, entry, read, token)
            previous_close = price(entry.previous_close) if entry.previous_close else Price(0)
        except ValueError as error:
            raise FeedError(
                f"The manifest in {path}, {file.name}: {error}.", do="Correct the manifest."
            ) from error
        if instrument.id in names:
            raise FeedError(
                f"{names[instrument.id]} and {file.name} are both of {instrument.id}.",
                do="Keep one of them, or name their symbols in tape.toml.",
            )
        names[instrument.id] = file
        files.append(RecordedFile(file, instrument, read, previous_close))
    return Recording(path, _date(path, files, said), tuple(files), said, running.hexdigest())


def _instrument(file: Path, entry: FileEntry, read: RecordedRows, token: int) -> Instrument:
    prices = {int(row[1]) for row in read.rows}
    tick_size = next((size for size in _TICK_SIZES if all(px % size == 0 for px in prices)), 1)
    return describe(
        file.name,
        entry,
        Price(tick_size),
        token,
        has_volume=any(row[2] for row in read.rows),
        has_depth=any(len(row) > 3 and (row[3] or row[5]) for row in read.rows),
    )


def _date(path: Path, files: Sequence[RecordedFile], said: FolderManifest) -> dt.date:
    """The one date of a recording: what its manifest says, or where most rows of every file lie."""
    if said.date is not None:
        return said.date
    days: dict[int, Path] = {}
    for file in files:
        count = Counter((row[0] + IST_OFFSET) // DAY for row in file.read.rows)
        if count:
            days.setdefault(count.most_common(1)[0][0], file.path)
    if not days:
        raise FeedError(f"The recording {path} holds not a single tick.", do="Give another one.")
    if len(days) > 1:
        (one, first), (other, second) = sorted(days.items())[:2]
        raise FeedError(
            f"{path} holds two days: {first.name} is of {_day(one)}, {second.name} of {_day(other)}.",
            do="Keep one day in a folder.",
        )
    return _day(next(iter(days)))


def _day(number: int) -> dt.date:
    return _DAY_ZERO + dt.timedelta(days=number)


class RecordedFeed:
    """A recorded day as a ``Feed``. ``engines`` decides what of it is traded.

    ``equity``: shares. ``fno``: the indices' ticks stand in for their futures, labelled so in the
    manifest, without volume and depth; ``lots`` gives their lot sizes by logical name, and an index
    without one has no stand-in, because a size may not be guessed. ``all``: both. The indices themselves are always there to be read. ``refine`` may complete what a file
    cannot say of its instrument (segment, freeze quantity, lot); it must keep the id.
    """

    def __init__(
        self,
        path: Path,
        sessions_of: SessionsOf,
        *,
        engines: Engines = "all",
        lots: Mapping[str, int] = MappingProxyType({}),
        refine: Callable[[Instrument, dt.date], Instrument] | None = None,
    ) -> None:
        """Read the whole recording.

        Raises ``FeedError``, naming file, line and value, if any row cannot be read.
        """
        recording = read_recording(path)
        refuse_unreadable(recording)
        day = recording.date
        instruments: list[Instrument] = []
        stand_ins: list[Instrument] = []
        streams: list[tuple[RecordedFile, tuple[InstrumentId, ...]]] = []
        for file in recording.files:
            is_index = file.instrument.kind is InstrumentKind.INDEX
            if engines == "fno" and file.instrument.kind is InstrumentKind.EQUITY:
                continue
            if (
                engines == "equity"
                and not is_index
                and (file.instrument.kind is not InstrumentKind.EQUITY)
            ):
                continue
            instrument = refine(file.instrument, day) if refine else file.instrument
            assert instrument.id == file.instrument.id
            instruments.append(instrument)
            names = [instrument.id]
            if is_index and engines != "equity" and instrument.name in lots:
                token = len(recording.files) + 1 + len(stand_ins)
                future = stand_in_future(instrument, lots[instrument.name], token)
                stand_ins.append(future)
                names.append(future.id)
            streams.append((file, tuple(names)))
        instruments += stand_ins
        if engines != "all" and not any(one.tradable for one in instruments):
            raise FeedError(
                f"The recording {path} has nothing to trade under --engines {engines}.",
                do="Choose other engines; for fno, its indices need known lot sizes.",
            )
        self._ticks, self._starts, self._received = _merge(day, streams)
        sessions = recording.manifest.sessions(day) or dict(sessions_of(day))
        what = [recording.digest, engines, *(f"{one.id}:{one.lot_size}" for one in instruments)]
        rows = sum(len(file.read.rows) for file, _ in streams)
        self._manifest = Manifest(
            name=f"recording {path.name}",
            date=day,
            instruments=tuple(instruments),
            sessions=sessions,
            digest=hashlib.sha256("\n".join(what).encode()).hexdigest(),
            frames_hint=len(self._received),
            previous_close={
                name: file.previous_close
                for file, names in streams
                for name in names
                if file.previous_close
            },
            stand_ins=tuple(f"{one.id}: {one.stand_in}" for one in stand_ins),
            notes=(f"Recorded market of {day:%d %b %Y}: {len(streams)} files, {rows:,} rows.",),
        )

    @property
    def manifest(self) -> Manifest:
        """What this recording is."""
        return self._manifest

    def frames(self, after: int = 0) -> Iterator[TickFrame]:
        """The day's frames, without the first ``after`` of them."""
        ticks, starts = self._ticks, self._starts
        received = self._received
        for place in range(after, len(received)):
            yield TickFrame(received[place], tuple(ticks[starts[place] : starts[place + 1]]))

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:  # noqa: ARG002 - the port's shape
        """Nothing: a recording holds its day only."""
        return ()


def open_recording(
    path: Path,
    sessions_of: SessionsOf,
    *,
    engines: Engines = "all",
    lots: Mapping[str, int] = MappingProxyType({}),
    refine: Callable[[Instrument, dt.date], Instrument] | None = None,
) -> RecordedFeed | TapedFeed:
    """Whatever a user's ``--tape PATH`` points to: our own tape, or a folder of recorded files.

    A tape brings its own instruments and sessions; the other arguments are for folders.
    """
    if is_tape(path):
        return TapedFeed(tape_file(path))
    return RecordedFeed(path, sessions_of, engines=engines, lots=lots, refine=refine)


def refuse_unreadable(recording: Recording) -> None:
    """Raise ``FeedError`` naming the first row that cannot be read, and how many there are."""
    total = sum(len(file.read.unreadable) for file in recording.files)
    for file in recording.files:
        if file.read.unreadable:
            row = file.read.unreadable[0]
            more = f" ({total - 1} more rows cannot be read.)" if total > 1 else ""
            raise FeedError(
                f"{file.path}:{row.line}: {row.value!r} {row.why}.{more} "
                "Nothing of the recording was taken.",
                do=f"Correct or remove the row; `kitestring tape check {recording.path}` lists all.",
            )


def _merge(
    day: dt.date, streams: Sequence[tuple[RecordedFile, tuple[InstrumentId, ...]]]
) -> tuple[list[Tick], list[int], list[Instant]]:
    """All ticks in order of arrival, where each frame starts (and the end), when each was received."""
    day_start = (day - _DAY_ZERO).days * DAY - IST_OFFSET
    arrivals: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    every: list[tuple[Tick, ...]] = []
    for file, names in streams:
        rows = file.read.rows
        event_at = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        today = (event_at >= day_start) & (event_at < day_start + DAY)
        # A row of another date arrives with its neighbours; before the first of today, with that.
        first = event_at[today][:1].sum() if today.any() else day_start
        arrivals.append(np.maximum.accumulate(np.where(today, event_at, first)))
        if len(names) == 1:
            name = names[0]
            every += [(Tick(name, *row),) for row in rows]
        else:
            every += [tuple(Tick(name, *row) for name in names) for row in rows]
    arrived = np.concatenate(arrivals)
    order = np.argsort(arrived, kind="stable")
    ticks: list[Tick] = []
    starts: list[int] = []
    received: list[Instant] = []
    running_at: Instant = -1
    here: set[InstrumentId] = set()
    for place, at in zip(order.tolist(), arrived[order].tolist(), strict=True):
        row_ticks = every[place]
        name = row_ticks[0].instrument
        if at != running_at or name in here:
            starts.append(len(ticks))
            received.append(at)
            running_at = at
            here.clear()
        here.add(name)
        ticks += row_ticks
    starts.append(len(ticks))
    return ticks, starts, received
