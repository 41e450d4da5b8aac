"""What a file of bars holds and what is wrong with it, by line, before anything is traded on it."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.instants import MINUTE, ist_clock
from kitestring.market import calendar
from kitestring.store.bar_library import BarFile, day_rows, read_bar_file
from kitestring.store.bar_rows import BadRow

EXAMPLES_MAX: Final = 3


class BarReport(msgspec.Struct, frozen=True, kw_only=True):
    """One file of bars. Every row is in exactly one of the counts."""

    file: BarFile
    rows: int
    traded: int
    """Bars inside a session of the calendar."""
    refused: Sequence[BadRow]
    repeated: Sequence[BadRow]
    outside: Sequence[BadRow]
    closed: Sequence[BadRow]
    """Bars of days the calendar holds closed, or does not know."""
    days: tuple[dt.date, ...]
    specials: tuple[dt.date, ...]
    absent: tuple[dt.date, ...]
    gaps: Sequence[BadRow]
    """The first bar after each stretch of missing minutes within a session."""
    missing: int
    """Minutes of the sessions without a bar."""

    @property
    def playable(self) -> bool:
        """Nothing is half-imported: one row that cannot be taken refuses the file."""
        return not self.refused and bool(self.days)

    def lines(self) -> list[str]:
        """The report as a person reads it."""
        read, instrument = self.file.read, self.file.instrument
        found = ", ".join(f"{role} = {word!r}" for role, word in read.columns.items())
        text = [f"{self.file.path}: {instrument.id}, {self.rows:,} rows", f"  columns: {found}"]
        if read.ignored:
            text.append(f"  not used: {', '.join(read.ignored)}")
        if self.days:
            text.append(
                f"  {self.traded:,} bars of {len(self.days)} trading days, "
                f"{self.days[0]} to {self.days[-1]}"
            )
        if self.specials:
            text.append(f"  special sessions: {', '.join(map(str, self.specials))}")
        if self.absent:
            text.append(f"  trading days without a bar: {', '.join(map(str, self.absent))}")
        if self.file.stamped_at_end:
            text.append("  stamped with the end of each minute; moved back by one")
        for what, rows in (
            ("cannot be taken", self.refused),
            ("repeat an earlier one, and count once", self.repeated),
            ("lie outside the session, and are kept out", self.outside),
            ("are of days the calendar holds closed or does not know", self.closed),
        ):
            if rows:
                text.append(f"  {len(rows):,} rows {what}")
                text += self._examples(rows)
        if self.gaps:
            text.append(f"  {self.missing:,} minutes are missing in {len(self.gaps)} places")
            text += self._examples(self.gaps)
        text.append(
            "It can be traded."
            if self.playable
            else "It cannot be traded before the rows that cannot be taken are corrected."
        )
        return text

    def _examples(self, rows: Sequence[BadRow]) -> list[str]:
        return [f"    {self.file.path}:{row.line}: {row.why}" for row in rows[:EXAMPLES_MAX]]


def check_bars(path: Path) -> BarReport:
    """Look through a file of bars; raises ``FeedError`` if it holds no table of 1-minute bars."""
    file = read_bar_file(path)
    outside: list[BadRow] = []
    closed: list[BadRow] = []
    gaps: list[BadRow] = []
    days: list[dt.date] = []
    traded = missing = 0
    for day, rows in file.read.days.items():
        known = calendar.FIRST_DAY <= day <= calendar.LAST_DAY
        if not known or not calendar.is_trading_day(day):
            closed += [BadRow(row[6], f"{day:%A %d %B %Y}") for row in rows]
            continue
        of_day = day_rows(file, day)
        outside += [BadRow(row[6], f"{day} {ist_clock(row[0])}") for row in of_day.outside]
        if not of_day.inside:
            continue
        days.append(day)
        traded += len(of_day.inside)
        missing += of_day.missing
        gaps += _gaps(day, of_day.inside) if of_day.missing else []
    expected = calendar.trading_days(days[0], days[-1]) if days else ()
    return BarReport(
        file=file,
        rows=file.read.rows,
        traded=traded,
        refused=file.read.refused,
        repeated=file.read.repeated,
        outside=outside,
        closed=closed,
        days=tuple(days),
        specials=tuple(day for day in days if calendar.special_session(day) is not None),
        absent=tuple(day for day in expected if day not in set(days)),
        gaps=gaps,
        missing=missing,
    )


def _gaps(day: dt.date, inside: Sequence[tuple[int, int, int, int, int, int, int]]) -> list[BadRow]:
    found: list[BadRow] = []
    for earlier, later in itertools.pairwise(inside):
        empty = (later[0] - earlier[0]) // MINUTE - 1
        if empty:
            since = ist_clock(earlier[0] + MINUTE)
            found.append(BadRow(later[6], f"{day}: {empty} minutes before it, from {since}"))
    return found
