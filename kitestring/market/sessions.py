"""The hours of a trading day, segment by segment, and when the house stops entering and goes flat.

The exchanges' timetables are dated rows (three of them in 2026 alone); the cut-offs are the house's
own, earlier than any broker's. A closed day, or one beyond the calendar, has no session: asking for
one raises ``CalendarUnknown``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.instants import MINUTE, Instant, instant, ist_clock
from kitestring.domain.instruments import Segment
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.market.calendar import (
    LAST_DAY,
    SpecialSession,
    Window,
    holiday,
    is_trading_day,
    next_trading_day,
    special_session,
)
from kitestring.market.rows import DatedRow, ascending, in_force, read_rows, wrong_row
from kitestring.market.segment_calendar import doubts, has_own_calendar, trading_window

CutOffs = tuple[dt.time, dt.time]
"""Entry cut-off and square-off, as Indian times of day."""

_FILE: Final = "sessions.toml"
_CASH: Final = (Segment.EQUITY, Segment.EQUITY_WITH_DERIVATIVES)
SHARE_MARKET: Final = (*_CASH, Segment.FUTURES, Segment.OPTIONS, Segment.INDEX)
"""The segments of one calendar; currency and commodities have their own days and hours."""


class PhaseRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One phase, as the file writes it."""

    kind: PhaseKind
    start: dt.time
    end: dt.time


class Timetable(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The phases of some segments from a day on.

    ``expiring_index_close``: when index contracts stop on the day they expire, if earlier.
    """

    segments: tuple[Segment, ...]
    phases: tuple[PhaseRow, ...]
    expiring_index_close: dt.time | None = None


class SquareOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the house goes flat in some segments, from a day on."""

    segments: tuple[Segment, ...]
    valid_from: dt.date
    at: dt.time


class SessionRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of sessions.toml."""

    entry_before_square_off_minutes: int
    special_square_off_before_close_minutes: int
    timetables: tuple[Timetable, ...]
    square_offs: tuple[SquareOff, ...]


class Timetables(msgspec.Struct, frozen=True):
    """The checked rows, by segment, oldest first."""

    timetables: MappingProxyType[Segment, tuple[Timetable, ...]]
    square_offs: MappingProxyType[Segment, tuple[SquareOff, ...]]
    entry_before: Instant
    special_before_close: Instant


def check_sessions(rows: SessionRows) -> Timetables:
    """The rows by segment; raises ``ConfigError`` where a row cannot be true."""
    timetables: dict[Segment, tuple[Timetable, ...]] = {}
    square_offs: dict[Segment, tuple[SquareOff, ...]] = {}
    for segment in Segment:
        mine = ascending(
            _FILE,
            f"timetables of {segment}",
            (row for row in rows.timetables if segment in row.segments),
        )
        flats = ascending(
            _FILE,
            f"square_offs of {segment}",
            (row for row in rows.square_offs if segment in row.segments),
        )
        if not mine or not flats:
            raise wrong_row(_FILE, f"{segment} has no timetable or no square-off")
        timetables[segment], square_offs[segment] = mine, flats
    for row in rows.timetables:
        if not any(phase.kind is PhaseKind.CONTINUOUS for phase in row.phases):
            raise wrong_row(_FILE, f"timetables: {row.valid_from} has no continuous phase")
        clock = dt.time.min
        for phase in row.phases:
            if not clock <= phase.start < phase.end:
                raise wrong_row(
                    _FILE,
                    f"timetables: {row.valid_from} {phase.kind} {phase.start} is out of order",
                )
            clock = phase.end
    return Timetables(
        timetables=MappingProxyType(timetables),
        square_offs=MappingProxyType(square_offs),
        entry_before=rows.entry_before_square_off_minutes * MINUTE,
        special_before_close=rows.special_square_off_before_close_minutes * MINUTE,
    )


@lru_cache(maxsize=1)
def _timetables() -> Timetables:
    return check_sessions(read_rows(_FILE, SessionRows))


def session(
    day: dt.date,
    segment: Segment,
    *,
    expires_today: bool = False,
    overrides: Mapping[Segment, CutOffs] | None = None,
) -> Session:
    """One segment's session on one day.

    ``expires_today`` is for an *index* contract on its last day: since 7 Dec 2026 those stop at
    15:30 while all others, expiring stock contracts among them, trade on (SEBI, 15 Oct 2026).
    ``overrides`` replaces the house's (entry cut-off, square-off) of a segment; times outside the
    session raise ``ConfigError``. A closed day raises ``CalendarUnknown`` and names the next one.
    """
    found = _session(day, segment, expires_today)
    chosen = None if overrides is None else overrides.get(segment)
    return found if chosen is None else _with_cut_offs(found, chosen)


def sessions_for(
    day: dt.date, overrides: Mapping[Segment, CutOffs] | None = None
) -> dict[Segment, Session]:
    """The share market's sessions of one day, by segment; raises as ``session`` does."""
    return {segment: session(day, segment, overrides=overrides) for segment in SHARE_MARKET}


def all_sessions(day: dt.date) -> dict[Segment, Session]:
    """Every segment that trades on a day of the share market; raises when that is closed.

    Currency and commodities are left out where they rest or their hours are not known.
    """
    found = sessions_for(day)
    for segment in Segment:
        if segment not in found:
            with suppress(CalendarUnknown):
                found[segment] = session(day, segment)
    return found


@lru_cache(maxsize=256)
def _session(day: dt.date, segment: Segment, expires_today: bool) -> Session:
    if has_own_calendar(segment):
        return _own_session(day, segment)
    if not is_trading_day(day):
        raise _closed(day)
    special = special_session(day)
    if special is not None and not special.ordinary:
        return _special_session(day, segment, special)
    rows = _timetables()
    row = in_force(rows.timetables[segment], day)
    square_off = in_force(rows.square_offs[segment], day)
    assert row is not None, "every timetable begins with the calendar"
    assert square_off is not None, "every square-off begins with the calendar"
    phases = row.phases
    if expires_today and row.expiring_index_close is not None:
        phases = _cut_at(phases, row.expiring_index_close)
    square_off_at = instant(day, square_off.at)
    note = special.name if special is not None else ""
    return _build(
        day,
        segment,
        phases,
        entry_cutoff_at=square_off_at - rows.entry_before,
        square_off_at=square_off_at,
        note="; ".join(text for text in (note, _unconfirmed(row.unconfirmed)) if text),
        source=row.source if special is None else f"{special.source}; {row.source}",
    )


def _own_session(day: dt.date, segment: Segment) -> Session:
    """A session of currency or commodities: the timetable, cut to the part of the day that trades."""
    window = trading_window(day, segment)
    rows = _timetables()
    row = in_force(rows.timetables[segment], day)
    square_off = in_force(rows.square_offs[segment], day)
    assert row is not None, "a segment's timetable begins with its calendar"
    assert square_off is not None, "a segment's square-off begins with its calendar"
    phases = tuple(
        PhaseRow(phase.kind, max(phase.start, window.start), min(phase.end, window.end))
        for phase in row.phases
        if phase.start < window.end and phase.end > window.start
    )
    square_off_at = instant(day, square_off.at)
    if phases[-1].end <= square_off.at:
        square_off_at = instant(day, phases[-1].end) - rows.special_before_close
    source, doubt = doubts(segment)
    return _build(
        day,
        segment,
        phases,
        entry_cutoff_at=square_off_at - rows.entry_before,
        square_off_at=square_off_at,
        note="; ".join(_unconfirmed(text) for text in (row.unconfirmed, doubt) if text),
        source=f"{row.source}; {source}",
    )


def _special_session(day: dt.date, segment: Segment, special: SpecialSession) -> Session:
    phases: list[PhaseRow] = []
    if segment in _CASH and special.pre_open is not None:
        phases.append(_phase(PhaseKind.PRE_OPEN, special.pre_open))
        between = Window(special.pre_open.end, special.continuous[0].start)
        phases.append(_phase(PhaseKind.BUFFER, between))
    phases.extend(_phase(PhaseKind.CONTINUOUS, window) for window in special.continuous)
    if segment in _CASH and special.post_close is not None:
        phases.append(_phase(PhaseKind.POST_CLOSE, special.post_close))
    rows = _timetables()
    square_off_at = instant(day, special.continuous[-1].end) - rows.special_before_close
    return _build(
        day,
        segment,
        tuple(phases),
        entry_cutoff_at=square_off_at - rows.entry_before,
        square_off_at=square_off_at,
        note="; ".join(t for t in (special.name, _unconfirmed(special.unconfirmed)) if t),
        source=special.source,
    )


def _build(
    day: dt.date,
    segment: Segment,
    rows: tuple[PhaseRow, ...],
    *,
    entry_cutoff_at: Instant,
    square_off_at: Instant,
    note: str,
    source: str,
) -> Session:
    phases = tuple(Phase(row.kind, instant(day, row.start), instant(day, row.end)) for row in rows)
    continuous = [phase for phase in phases if phase.kind is PhaseKind.CONTINUOUS]
    open_at, close_at = continuous[0].start_at, continuous[-1].end_at
    assert open_at < entry_cutoff_at <= square_off_at <= close_at, "the house's cut-offs are inside"
    return Session(
        date=day,
        segment=segment,
        open_at=open_at,
        close_at=close_at,
        entry_cutoff_at=entry_cutoff_at,
        square_off_at=square_off_at,
        phases=phases,
        note=note,
        source=source,
    )


def _phase(kind: PhaseKind, window: Window) -> PhaseRow:
    return PhaseRow(kind, window.start, window.end)


def _cut_at(phases: tuple[PhaseRow, ...], close: dt.time) -> tuple[PhaseRow, ...]:
    return tuple(
        PhaseRow(phase.kind, phase.start, min(phase.end, close))
        for phase in phases
        if phase.start < close
    )


def _unconfirmed(text: str) -> str:
    return f"unconfirmed: {text}" if text else ""


def _closed(day: dt.date) -> CalendarUnknown:
    why = holiday(day) or f"{day:%A}"
    try:
        do = f"the next trading day is {next_trading_day(day)}: pass it with --date"
    except CalendarUnknown:
        do = f"choose an earlier date with --date: the calendar ends on {LAST_DAY}"
    return CalendarUnknown(f"the market is closed on {day} ({why})", do=do)


def _with_cut_offs(found: Session, cut_offs: CutOffs) -> Session:
    entry, square_off = (instant(found.date, time) for time in cut_offs)
    if not found.open_at < entry <= square_off <= found.close_at:
        raise ConfigError(
            f"the cut-offs {cut_offs[0]:%H:%M} (entries) and {cut_offs[1]:%H:%M} (square-off) of "
            f"{found.segment} do not lie inside its session of {found.date}, "
            f"{ist_clock(found.open_at)}-{ist_clock(found.close_at)}",
            do="put the entry cut-off after the open, not after the square-off, and the square-off "
            "not after the close; or remove both for this day",
        )
    return msgspec.structs.replace(found, entry_cutoff_at=entry, square_off_at=square_off)
