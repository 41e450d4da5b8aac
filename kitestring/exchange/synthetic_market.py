"""A whole synthetic NSE day from one number: indices, futures and shares that belong together.

The same seed and date give the same day to the byte on every machine. Days are chained: the history
of a day is made of the ticks of the days before it, and its previous close is their last price.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from kitestring.domain.bars import Bar
from kitestring.domain.errors import CalendarUnknown, FeedError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Price
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.instrument_master import gaps_on, instruments_on
from kitestring.exchange.seeded import Ints, Stream
from kitestring.exchange.synthetic_paths import DayKind
from kitestring.exchange.synthetic_ticks import DaySpan, TickColumns, tick_columns
from kitestring.market import calendar, sessions

VERSION: Final = 2
"""Raised whenever a change of the model changes any tick, so that a resumed run notices."""
_BLOCK: Final = 256
_HISTORY_DAYS_MAX: Final = 400
_SEGMENTS: Final = (
    Segment.INDEX,
    Segment.FUTURES,
    Segment.EQUITY,
    Segment.EQUITY_WITH_DERIVATIVES,
)
_IS: Final = (
    "Synthetic market: invented prices around plausible levels of 2026, one snapshot a second, "
    "with spreads, quantities at the best price and volumes of realistic size; every ten trading days "
    "hold trends, ranges, gaps and a crash."
)
_IS_NOT: Final = (
    "It is not a recording: no price says anything about a real instrument, there are no auctions, "
    "and a profit here is no evidence for a strategy."
)


class _Rows(msgspec.Struct, frozen=True):
    """The day's ticks of all instruments in order of arrival, with where each frame begins."""

    instrument: Ints
    columns: TickColumns
    first_row: Ints
    """Row at which each frame begins; one more entry than there are frames."""
    received_after: Ints
    """Microseconds from the frame's second to its arrival."""


class SyntheticFeed:
    """One seeded NSE day as a ``Feed``.

    ``instruments`` defaults to the synthetic master of the day. ``kind`` picks the day's story;
    ``auto`` lets date and seed decide, and only ``auto`` days continue in the next day.
    Raises ``FeedError`` for an instrument without a model and ``CalendarUnknown`` for a day
    outside the calendar.
    """

    def __init__(
        self,
        day: dt.date,
        seed: int,
        instruments: Sequence[Instrument] | None = None,
        kind: str = "auto",
    ) -> None:
        try:
            self._kind = DayKind(kind)
        except ValueError as error:
            raise FeedError(
                f"There is no synthetic day of kind {kind!r}.",
                do=f"Choose from {', '.join(DayKind)}.",
            ) from error
        self._day = day
        self._seed = seed
        if instruments is None:
            self._instruments, self._gaps = instruments_on(day), gaps_on(day)
        else:
            self._instruments, self._gaps = tuple(instruments), ()
        self._by_id = {instrument.id: instrument for instrument in self._instruments}
        self._past: dict[tuple[InstrumentId, dt.date], TickColumns] = {}

    @property
    def manifest_instruments(self) -> tuple[Instrument, ...]:
        """The day's instruments, without making its ticks."""
        return self._instruments

    @cached_property
    def manifest(self) -> Manifest:
        """The day, its sessions and instruments; makes the day's ticks on first use."""
        kind = "" if self._kind is DayKind.AUTO else f", {self._kind}"
        return Manifest(
            name=f"synthetic (seed {self._seed}{kind})",
            date=self._day,
            instruments=self._instruments,
            sessions=sessions.sessions_for(self._day),
            digest=self._digest(),
            frames_hint=len(self._rows.first_row) - 1,
            previous_close=self._previous_close(),
            notes=(_IS, _IS_NOT, *self._gaps),
        )

    def frames(self, after: int = 0) -> Iterator[TickFrame]:
        """The day's frames, one per second in which something changed, after the first ``after``."""
        rows = self._rows
        total = len(rows.first_row) - 1
        names = [instrument.id for instrument in self._instruments]
        open_at = _span(self._day).open_at
        for first in range(after, total, _BLOCK):
            starts = rows.first_row[first : min(first + _BLOCK, total) + 1].tolist()
            low, high = starts[0], starts[-1]
            columns = rows.columns
            event_at = columns.second[low:high] * SECOND + open_at
            ticks = list(
                map(
                    Tick,
                    [names[place] for place in rows.instrument[low:high].tolist()],
                    event_at.tolist(),
                    columns.last_px[low:high].tolist(),
                    columns.cum_qty[low:high].tolist(),
                    columns.bid_px[low:high].tolist(),
                    columns.bid_qty[low:high].tolist(),
                    columns.ask_px[low:high].tolist(),
                    columns.ask_qty[low:high].tolist(),
                    columns.oi[low:high].tolist(),
                )
            )
            delays = rows.received_after[first : first + len(starts) - 1].tolist()
            start = low
            for delay, end in zip(delays, starts[1:], strict=True):
                frame = tuple(ticks[start - low : end - low])
                yield TickFrame(frame[0].event_at + delay, frame)
                start = end

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """Up to ``bars`` closed bars of the days before, oldest first, made of those days' ticks.

        A bar without a tick is left out, as Kite leaves it out. ``minutes`` 0 asks for day bars.
        """
        wanted = self._by_id.get(instrument)
        if wanted is None or bars <= 0:
            return ()
        days: list[list[Bar]] = []
        found, day = 0, self._day
        for _ in range(_HISTORY_DAYS_MAX):
            if found >= bars:
                break
            try:
                day = calendar.previous_trading_day(day)
                session = _session(wanted, day)
            except CalendarUnknown:
                break
            days.append(
                bars_of(wanted.id, minutes, self._past_columns(wanted, day), session, _span(day))
            )
            found += len(days[-1])
        return [bar for of_day in reversed(days) for bar in of_day][-bars:]

    def day_bars(
        self, instrument: Instrument, day: dt.date, minutes: int
    ) -> Sequence[tuple[Bar, int]]:
        """The bars of one day before this one, each with the open interest at its end.

        Nothing of an instrument that is not listed, or of a day outside the calendar.
        """
        wanted = self._by_id.get(instrument.id)
        try:
            if wanted is None or day >= self._day or not calendar.is_trading_day(day):
                return ()
            session = _session(wanted, day)
        except CalendarUnknown:
            return ()
        columns, span = self._past_columns(wanted, day), _span(day)
        bars = bars_of(wanted.id, minutes, columns, session, span)
        seconds = [(bar.close_at - span.open_at) // SECOND for bar in bars]
        ends = np.searchsorted(columns.second, seconds) - 1
        return list(zip(bars, columns.oi[ends].tolist(), strict=True))

    @cached_property
    def _rows(self) -> _Rows:
        span = _span(self._day)
        made = [
            tick_columns(self._seed, instrument, _session(instrument, self._day), span, self._kind)
            for instrument in self._instruments
        ]
        joined = [
            np.concatenate(column)
            for column in zip(*(columns.all() for columns in made), strict=True)
        ]
        owner = np.repeat(np.arange(len(made)), [len(columns.second) for columns in made])
        # Stable: within a second the instruments arrive in the master's order.
        order = np.argsort(joined[0], kind="stable")
        columns = TickColumns(*(column[order] for column in joined))
        (begins,) = np.nonzero(np.diff(columns.second, prepend=-1))
        delays = Stream(self._seed, "delays", self._day.isoformat()).below(len(begins), 340_000)
        return _Rows(owner[order], columns, np.append(begins, len(columns.second)), delays + 40_000)

    def columns_of(self, instrument: Instrument) -> TickColumns:
        """One instrument's ticks of this day."""
        span, session = _span(self._day), _session(instrument, self._day)
        return tick_columns(self._seed, instrument, session, span, self._kind)

    def previous_close_of(self, instrument: Instrument) -> Price:
        """The last price of the trading day before; ``CalendarUnknown`` where there is none."""
        day = calendar.previous_trading_day(self._day)
        return Price(int(self._past_columns(instrument, day).last_px[-1]))

    def _past_columns(self, instrument: Instrument, day: dt.date) -> TickColumns:
        """The ticks of an earlier day; the day before is kept, others are made when asked for."""
        key = (instrument.id, day)
        columns = self._past.get(key)
        if columns is None:
            session = _session(instrument, day)
            columns = tick_columns(self._seed, instrument, session, _span(day), DayKind.AUTO)
            if day == calendar.previous_trading_day(self._day):
                self._past[key] = columns
        return columns

    def _previous_close(self) -> dict[str, Price]:
        try:
            return {one.id: self.previous_close_of(one) for one in self._instruments}
        except CalendarUnknown:
            return {}

    def _digest(self) -> str:
        return market_digest((VERSION, self._day, self._seed, self._kind, self._instruments))


def market_digest(
    named: tuple[int, dt.date, int, DayKind, tuple[Instrument, ...]],
) -> str:
    """The name of a day's exact content: version, day, seed, kind and instruments."""
    return hashlib.sha256(msgspec.json.encode(named, order="deterministic")).hexdigest()


def _session(instrument: Instrument, day: dt.date) -> Session:
    """The instrument's own hours: expiring index contracts may stop earlier than the others."""
    return sessions.session(day, instrument.segment, expires_today=instrument.expiry == day)


def _span(day: dt.date) -> DaySpan:
    """From the first open to the last close of any segment, whichever instruments are asked for."""
    hours = [sessions.session(day, segment) for segment in _SEGMENTS]
    open_at = min(session.open_at for session in hours)
    return DaySpan(day, open_at, (max(session.close_at for session in hours) - open_at) // SECOND)


def bars_of(
    instrument: InstrumentId, minutes: int, columns: TickColumns, session: Session, span: DaySpan
) -> list[Bar]:
    """Bars of one day's ticks, anchored to the session's open; the last one ends with the session."""
    length = minutes * MINUTE if minutes else session.close_at - session.open_at
    place = (columns.second * SECOND + span.open_at - session.open_at) // length
    (begins,) = np.nonzero(np.diff(place, prepend=-1))
    ends = np.append(begins[1:], len(place)) - 1
    volume = np.diff(columns.cum_qty[ends], prepend=0)
    rows = zip(
        (place[begins] * length + session.open_at).tolist(),
        columns.last_px[begins].tolist(),
        np.maximum.reduceat(columns.last_px, begins).tolist(),
        np.minimum.reduceat(columns.last_px, begins).tolist(),
        columns.last_px[ends].tolist(),
        volume.tolist(),
        strict=True,
    )
    close_at = session.close_at
    return [
        Bar(
            instrument,
            minutes,
            open_at,
            min(open_at + length, close_at),
            first,
            high,
            low,
            last,
            qty,
        )
        for open_at, first, high, low, last, qty in rows
    ]
