"""Months of somebody's 1-minute bars, one file an instrument, as one feed for each trading day.

Every row of every file is read before the first day is played: one that cannot be read or cannot be
true refuses the whole import, by file and line. Which day trades, and when, is the dated calendar's
to say: bars outside its sessions are kept out and counted, bars of a day it holds closed are left out
with a note, and a day beyond it is refused. Bars of earlier days are the warm-up of later ones.
"""

from __future__ import annotations

import bisect
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from kitestring.core.bar_builder import continuous_hours
from kitestring.domain.bars import DAY_BAR, Bar, BarFrame
from kitestring.domain.errors import FeedError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.market import calendar
from kitestring.market.sessions import sessions_for
from kitestring.store.bar_rows import BarRow, BarRows, read_bar_rows, step_minutes, tick_of
from kitestring.store.recorded_instruments import FileEntry, describe, stand_in_future, symbol_in

Engines = Literal["equity", "fno", "all"]
LotOf = Callable[[str, dt.date], int | None]
"""The lot of an index's future on a day, by logical name; ``None`` where nobody knows it."""

_NOISE: Final = re.compile(
    r"(?i)(?<=[_ .-])(\d{1,2}[_ -]?(m|min|minute)s?|minute|ohlcv?|bars?|candles?|data|20\d\d)(?=[_ .-])"
)
_STANDS_IN: Final = (
    "1-minute bars of the past stand in for a market: stops first inside a bar, no depth"
)


class BarFile(msgspec.Struct, frozen=True):
    """One file of bars, read, with the instrument it is of."""

    path: Path
    instrument: Instrument
    read: BarRows
    stamped_at_end: bool
    """Its rows were stamped with the end of their minute; they have been moved back by one."""
    digest: str


class DayRows(msgspec.Struct, frozen=True):
    """One file's rows of one day, sorted by the calendar."""

    inside: list[BarRow]
    outside: list[BarRow]
    missing: int
    """Minutes of the session without a bar."""


def read_bar_file(path: Path, token: int = 1) -> BarFile:
    """Read one file. Raises ``FeedError`` for one that holds no table of 1-minute bars."""
    if not path.is_file():
        raise FeedError(f"There is no file {path}.", do="Check the path given to --bars.")
    read = read_bar_rows(path)
    if not read.days and not read.refused:
        raise FeedError(f"{path} holds not a single bar.", do="Give another file.")
    step = step_minutes(read.days)
    if step != 1:
        raise FeedError(
            f"{path} holds bars of {step} minutes; the house needs those of 1 minute.",
            do="Export 1-minute bars: the house makes longer ones itself.",
        )
    symbol = read.symbol or symbol_in(_NOISE.sub("", path.name))
    instrument = describe(
        path.name,
        FileEntry(symbol=symbol),
        tick_of(read.days),
        token,
        has_volume=any(row[5] for rows in read.days.values() for row in rows),
        has_depth=False,
    )
    at_end = _stamped_at_end(read.days, instrument.segment)
    if at_end:
        moved = {
            day: [(row[0] - MINUTE, *row[1:]) for row in rows] for day, rows in read.days.items()
        }
        read = msgspec.structs.replace(read, days=moved)
    digest = hashlib.sha256(path.name.encode() + b"\0" + path.read_bytes()).hexdigest()
    return BarFile(path, instrument, read, at_end, digest)


def _stamped_at_end(days: Mapping[dt.date, Sequence[BarRow]], segment: Segment) -> bool:
    """Whether rows name the end of their minute: a bar at the close, and none at the open."""
    starts = ends = 0
    for day, rows in days.items():
        if calendar.FIRST_DAY <= day <= calendar.LAST_DAY and calendar.is_trading_day(day):
            session = sessions_for(day)[segment]
            starts += any(row[0] == session.open_at for row in rows)
            ends += any(row[0] == session.close_at for row in rows)
    return ends > starts


def day_rows(file: BarFile, day: dt.date) -> DayRows:
    """A file's rows of a trading day, inside and outside its session."""
    spans = continuous_hours(sessions_for(day)[file.instrument.segment])
    inside: list[BarRow] = []
    outside: list[BarRow] = []
    for row in file.read.days.get(day, ()):
        at = row[0]
        within = any(start <= at < end for start, end in spans)
        (inside if within else outside).append(row)
    expected = sum((end - start) // MINUTE for start, end in spans)
    return DayRows(inside, outside, expected - len(inside))


class BarLibrary:
    """All files of an import and the days they make. ``engines`` decides what of them is traded.

    As with recorded ticks: ``fno`` lets an index's bars stand in for its future (labelled so), with
    the lot ``lot_of`` knows; ``equity`` is shares; ``all`` both.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        engines: Engines = "all",
        lot_of: LotOf | None = None,
        first: dt.date | None = None,
        last: dt.date | None = None,
    ) -> None:
        """Read every file whole.

        Raises ``FeedError`` for a row that cannot be taken, by file and line, and for a choice of
        days that holds none; ``CalendarUnknown`` for a chosen day beyond the calendar.
        """
        self.files = tuple(read_bar_file(path, token) for token, path in enumerate(paths, 1))
        _refuse(self.files)
        names: dict[InstrumentId, Path] = {}
        for file in self.files:
            other = names.setdefault(file.instrument.id, file.path)
            if other is not file.path:
                raise FeedError(
                    f"{other} and {file.path} are both of {file.instrument.id}.",
                    do="Join them into one file, or name the symbol in a column.",
                )
        self._engines: Engines = engines
        self._lot_of = lot_of
        self.digest = hashlib.sha256(
            "\n".join(file.digest for file in self.files).encode()
        ).hexdigest()
        held = sorted({day for file in self.files for day in file.read.days})
        chosen = [day for day in held if (first or day) <= day <= (last or day)]
        if not chosen:
            raise FeedError(
                f"The bars lie between {held[0]} and {held[-1]}; none of the days asked for.",
                do="Choose other days with --from and --to.",
            )
        for day in (chosen[0], chosen[-1]):
            calendar.known(day)
        self.closed = tuple(day for day in chosen if not calendar.is_trading_day(day))
        """Days of the files that the calendar holds closed: left out."""
        self._held = [
            day
            for day in held
            if calendar.FIRST_DAY <= day <= calendar.LAST_DAY and calendar.is_trading_day(day)
        ]
        self._rows: dict[tuple[InstrumentId, dt.date], DayRows] = {}
        self.days = tuple(
            day
            for day in chosen
            if calendar.is_trading_day(day)
            and any(self.rows(file, day).inside for file in self.files)
        )
        """The trading days, in order."""
        if not self.days:
            raise FeedError(
                f"No bar from {chosen[0]} to {chosen[-1]} lies inside a session of the calendar.",
                do="See what the files hold: `kitestring bars check FILE`.",
            )
        expected = calendar.trading_days(self.days[0], self.days[-1])
        self.absent = tuple(day for day in expected if day not in set(self.days))
        """Trading days of the calendar for which there is no bar."""
        self._longer: dict[tuple[InstrumentId, int, dt.date], tuple[Bar, ...]] = {}

    @property
    def name(self) -> str:
        """``bars NIFTY_2024_1min.csv.gz``, for every report."""
        return "bars " + ", ".join(file.path.name for file in self.files)

    @property
    def bars(self) -> int:
        """How many recorded bars the chosen days hold."""
        return sum(len(self.rows(file, day).inside) for file in self.files for day in self.days)

    @property
    def outside(self) -> int:
        """Bars of the chosen days that lie outside the session: kept out."""
        return sum(len(self.rows(file, day).outside) for file in self.files for day in self.days)

    def notes(self) -> tuple[str, ...]:
        """What a report has to say of these bars."""
        told = [
            f"{_STANDS_IN}.",
            f"{self.bars:,} bars of {len(self.days)} days from {len(self.files)} file(s).",
        ]
        if self.outside:
            told.append(f"{self.outside:,} bars outside the sessions are kept out.")
        repeated = sum(len(file.read.repeated) for file in self.files)
        if repeated:
            told.append(f"{repeated:,} repeated rows of the files count once.")
        if self.closed:
            told.append(f"Left out, closed by the calendar: {_listed(self.closed)}.")
        if self.absent:
            told.append(f"Trading days without a bar: {_listed(self.absent)}.")
        told += [
            f"{file.path.name} stamps a bar with its end; it is moved back by a minute."
            for file in self.files
            if file.stamped_at_end
        ]
        return tuple(told)

    def rows(self, file: BarFile, day: dt.date) -> DayRows:
        """One file's rows of one trading day."""
        key = (file.instrument.id, day)
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = day_rows(file, day)
        return found

    def feed(self, day: dt.date) -> BarFeed:
        """One of ``days`` as a feed."""
        return BarFeed(self, day)

    def traded(self, day: dt.date) -> list[tuple[BarFile, tuple[Instrument, ...]]]:
        """The files of a day with the instruments their bars are shown as."""
        shown: list[tuple[BarFile, tuple[Instrument, ...]]] = []
        token = len(self.files)
        for file in self.files:
            instrument = file.instrument
            if self._engines == "fno" and instrument.kind is InstrumentKind.EQUITY:
                continue
            names = [instrument]
            if instrument.kind is InstrumentKind.INDEX and self._engines != "equity":
                lot = self._lot_of(instrument.name, day) if self._lot_of is not None else None
                if lot is not None:
                    token += 1
                    names.append(stand_in_future(instrument, lot, token))
            shown.append((file, tuple(names)))
        return shown

    def previous_close(self, file: BarFile, day: dt.date) -> Price | None:
        """The last price of the last day before ``day`` that has a bar."""
        for earlier in reversed(self._held[: bisect.bisect_left(self._held, day)]):
            inside = self.rows(file, earlier).inside
            if inside:
                return Price(inside[-1][4])
        return None

    def history(
        self, file: BarFile, instrument: InstrumentId, minutes: int, bars: int, day: dt.date
    ) -> tuple[Bar, ...]:
        """Up to ``bars`` closed bars of the days before ``day``, oldest first."""
        parts: list[tuple[Bar, ...]] = []
        found = 0
        for earlier in reversed(self._held[: bisect.bisect_left(self._held, day)]):
            if found >= bars:
                break
            key = (instrument, minutes, earlier)
            made = self._longer.get(key)
            if made is None:
                session = sessions_for(earlier)[file.instrument.segment]
                inside = self.rows(file, earlier).inside
                made = self._longer[key] = tuple(longer_bars(instrument, minutes, inside, session))
            parts.append(made)
            found += len(made)
        return tuple(bar for part in reversed(parts) for bar in part)[-bars:]


class BarFeed:
    """One day of a ``BarLibrary`` as a ``Feed``: a frame for every minute that has a bar."""

    def __init__(self, library: BarLibrary, day: dt.date) -> None:
        self._library = library
        self._day = day
        self._shown = library.traded(day)
        self._file_of = {one.id: file for file, shown in self._shown for one in shown}

    @property
    def manifest(self) -> Manifest:
        """The day, its sessions and instruments."""
        library, day = self._library, self._day
        instruments = tuple(one for _, shown in self._shown for one in shown)
        closes = {file.instrument.id: library.previous_close(file, day) for file, _ in self._shown}
        what = f"{library.digest}\n{day}\n" + "\n".join(
            f"{one.id}:{one.lot_size}" for one in instruments
        )
        return Manifest(
            name=library.name,
            date=day,
            instruments=instruments,
            sessions=sessions_for(day),
            digest=hashlib.sha256(what.encode()).hexdigest(),
            frames_hint=max(len(library.rows(file, day).inside) for file, _ in self._shown),
            previous_close={
                one.id: close
                for file, shown in self._shown
                for one in shown
                if (close := closes[file.instrument.id]) is not None
            },
            stand_ins=tuple(
                f"{one.id}: {one.symbol.removesuffix('-STANDIN')} index bars stand in for the "
                "future: no volume, no depth"
                for one in instruments
                if one.stand_in
            ),
            notes=(f"{_STANDS_IN}.",),
        )

    def frames(self, after: int = 0) -> Iterator[BarFrame]:
        """The day's minutes, without the first ``after`` of them."""
        minutes: dict[Instant, list[Bar]] = {}
        for file, shown in self._shown:
            for one in shown:
                name = one.id
                for open_at, o, h, low, c, v, _ in self._library.rows(file, self._day).inside:
                    bar = Bar(
                        name, 1, open_at, open_at + MINUTE,
                        Price(o), Price(h), Price(low), Price(c), v,
                    )  # fmt: skip
                    here = minutes.get(open_at)
                    if here is None:
                        minutes[open_at] = [bar]
                    else:
                        here.append(bar)
        for open_at in sorted(minutes)[after:]:
            yield BarFrame(open_at + MINUTE, tuple(minutes[open_at]))

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """Bars of the days before in the same files."""
        file = self._file_of.get(instrument)
        if file is None or bars <= 0:
            return ()
        return self._library.history(file, instrument, minutes, bars, self._day)


def longer_bars(
    instrument: InstrumentId, minutes: int, rows: Sequence[BarRow], session: Session
) -> Iterator[Bar]:
    """Bars of a timeframe from a day's 1-minute rows, anchored to the session's open."""
    open_at, close_at = session.open_at, session.close_at
    width = close_at - open_at if minutes == DAY_BAR else minutes * MINUTE
    place = -1
    o = h = l = c = v = 0  # noqa: E741 - OHLCV

    def made() -> Bar:
        begins = open_at + place * width
        return Bar(
            instrument, minutes, begins, min(begins + width, close_at),
            Price(o), Price(h), Price(l), Price(c), v,
        )  # fmt: skip

    for row in rows:
        here = (row[0] - open_at) // width
        if here != place:
            if place >= 0:
                yield made()
            place = here
            _, o, h, l, c, v, _ = row  # noqa: E741 - OHLCV
        else:
            h, l = max(h, row[2]), min(l, row[3])  # noqa: E741 - as above
            c = row[4]
            v += row[5]
    if place >= 0:
        yield made()


def _refuse(files: Sequence[BarFile]) -> None:
    """Raise ``FeedError`` naming the first row that cannot be taken, and how many there are."""
    total = sum(len(file.read.refused) for file in files)
    for file in files:
        if file.read.refused:
            row = file.read.refused[0]
            more = f" ({total - 1} more rows cannot be taken.)" if total > 1 else ""
            raise FeedError(
                f"{file.path}:{row.line}: {row.why}.{more} Nothing of the import was taken.",
                do=f"Correct or remove the row; `kitestring bars check {file.path}` lists all.",
            )


def _listed(days: Sequence[dt.date], most: int = 8) -> str:
    shown = ", ".join(str(day) for day in days[:most])
    return shown if len(days) <= most else f"{shown} and {len(days) - most} more"
