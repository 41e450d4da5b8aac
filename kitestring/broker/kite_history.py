"""Kite's candles as closed bars: warm-up before the day, and today's bars up to where live ones begin.

What Kite answers is checked against the dated sessions: a bar must begin where one of its timeframe
begins, inside the hours of its day, and the one still forming is left out. The last bars of today are
asked for only once they have settled, because Kite revises them for some seconds.

**A new future has no past.** Its day bars are Kite's continuous series (of each day, the contract that
was the nearest). For minutes Kite has no such series: what its own minutes lack is taken from the
contract that expires before it, if that is still listed, unadjusted. Both are said in a note.

Limits per call (staff in kite.trade's forum, 3105 and 14149), three calls a second, and the disk:
past days are fetched once. A share's are fetched anew each day, because a split changes the past.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from kitestring.broker.history_pace import HistoryPace
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_market_rows import Candle
from kitestring.broker.ticker_events import Now
from kitestring.core.bar_builder import continuous_hours
from kitestring.domain.bars import DAY_BAR, Bar
from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.instants import DAY, MINUTE, SECOND, Instant, instant, ist_date
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price
from kitestring.domain.sessions import Session
from kitestring.market.calendar import FIRST_DAY, previous_trading_day
from kitestring.market.sessions import sessions_for
from kitestring.store.candle_cache import CandleCache, CandleKey, CandleRow

INTERVALS: Final = MappingProxyType(
    {
        1: ("minute", 60),
        3: ("3minute", 100),
        5: ("5minute", 100),
        10: ("10minute", 100),
        15: ("15minute", 200),
        30: ("30minute", 200),
        60: ("60minute", 400),
        DAY_BAR: ("day", 2_000),
    }
)
"""Kite's word for each timeframe of the house, and the days that one call may span."""
SETTLED_S: Final = 10
"""A candle is revised for some seconds after its end (kite.trade's forum, 6011)."""
_LOOK_S: Final = 0.25
_ROUNDS: Final = 4
"""So often the stretch of days is widened when days had fewer bars than a whole session."""
_THROTTLED_S: Final = (1.0, 1.7, 2.9, 4.6, 7.1)
"""After "too many requests": the pauses before the same question is asked again."""
_SHARES: Final = (Segment.EQUITY, Segment.EQUITY_WITH_DERIVATIVES)


class CandleSource(Protocol):
    """Whoever answers ``/instruments/historical``; ``KiteClient`` does."""

    async def historical(
        self,
        token: int,
        interval: str,
        start_at: Instant,
        end_at: Instant,
        *,
        continuous: bool = False,
        oi: bool = False,
    ) -> tuple[Candle, ...]:
        """Candles that open from ``start_at`` to ``end_at``, both included; raises if it cannot."""
        ...


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Closed bars, oldest first, and what has to be said of them."""

    bars: tuple[Bar, ...]
    notes: tuple[str, ...] = ()


class KiteHistory:
    """Bars of the past, for one day's instruments.

    ``listed`` are today's futures (or all instruments): among them the contract before a new one is
    looked for.
    """

    def __init__(
        self,
        source: CandleSource,
        cache: CandleCache,
        now: Now,
        listed: Iterable[Instrument] = (),
        *,
        pace: HistoryPace | None = None,
    ) -> None:
        self._source = source
        self._cache = cache
        self._now = now
        self._pace = pace or HistoryPace()
        self._futures = [each for each in listed if each.kind is InstrumentKind.FUTURE]
        self.calls = 0
        self.kept_out = 0
        """Candles outside the hours of their day, or that begin where no bar does."""

    async def bars(
        self, instrument: Instrument, minutes: int, bars: int, *, until: Instant | None = None
    ) -> History:
        """Up to ``bars`` closed bars that end at or before ``until`` (now, if not given).

        Raises what the source raises: a failed read is never an empty history.
        """
        if bars <= 0:
            return History(bars=())
        until = self._now() if until is None else until
        if minutes == DAY_BAR:
            return await self._days(instrument, bars, until)
        own = await self._intraday(instrument, minutes, bars, until)
        before = self._contract_before(instrument)
        missing = bars - len(own)
        if not missing or before is None:
            return History(bars=tuple(own))
        ends = own[0].open_at if own else until
        lent = await self._intraday(before, minutes, missing, ends)
        if not lent:
            return History(bars=tuple(own))
        note = (
            f"The first {len(lent)} of {len(lent) + len(own)} warm-up bars ({minutes} min) of"
            f" {instrument.id} are those of {before.id}, which expires before it; unadjusted."
        )
        renamed = [msgspec.structs.replace(bar, instrument=instrument.id) for bar in lent]
        return History(bars=(*renamed, *own), notes=(note,))

    # ── day bars ─────────────────────────────────────────────────────────────────────────────

    async def _days(self, instrument: Instrument, bars: int, until: Instant) -> History:
        today = ist_date(self._now())
        days = _days_before(today, min(bars + 5, 1_300))
        if not days:
            return History(bars=())
        continuous = instrument.kind is InstrumentKind.FUTURE
        interval, _ = INTERVALS[DAY_BAR]
        rows = await self._day_rows(instrument, interval, days[0], today, continuous=continuous)
        made = [
            bar
            for bar in self._bars_of(instrument, DAY_BAR, rows)
            if bar.close_at <= until and ist_date(bar.open_at) < today
        ]
        made = made[-bars:]
        if not continuous or not made:
            return History(bars=tuple(made))
        note = (
            f"The {len(made)} day bars of {instrument.id} are Kite's continuous series: of each day,"
            " the contract that was the nearest, unadjusted."
        )
        return History(bars=tuple(made), notes=(note,))

    async def _day_rows(
        self,
        instrument: Instrument,
        interval: str,
        first: dt.date,
        today: dt.date,
        *,
        continuous: bool,
    ) -> list[CandleRow]:
        """Fetched once a day: the series of a live contract grows, and a split changes a share's."""
        word = f"{interval}-continuous" if continuous else interval
        key = CandleKey(instrument=instrument.id, token=instrument.token, interval=word, day=today)
        wanted_from = instant(first, dt.time.min)
        kept = self._cache.read(key, fetched_on=today)
        # The first row says from when on it was asked for; it is no candle.
        if kept and kept[0][0] <= wanted_from:
            return [row for row in kept[1:] if row[0] >= wanted_from]
        rows = await self._fetched(
            instrument, interval, DAY_BAR, first, today - dt.timedelta(days=1), continuous
        )
        self._cache.keep(key, [(wanted_from, 0, 0, 0, 0, 0), *rows], today)
        return rows

    # ── bars of minutes ──────────────────────────────────────────────────────────────────────

    async def _intraday(
        self, instrument: Instrument, minutes: int, bars: int, until: Instant
    ) -> list[Bar]:
        last_day = ist_date(until)
        today = ist_date(self._now())
        made = await self._of_today(instrument, minutes, until) if last_day == today else []
        day = today if last_day >= today else last_day + dt.timedelta(days=1)
        per_day = _bars_a_day(instrument, day, minutes)
        for _ in range(_ROUNDS):
            missing = bars - len(made)
            if missing <= 0:
                break
            days = _days_before(day, -(-missing // per_day))
            if not days:
                break
            rows = await self._past_rows(instrument, minutes, days)
            older = [
                bar for bar in self._bars_of(instrument, minutes, rows) if bar.close_at <= until
            ]
            if not older and made:
                break
            made = older + made
            day = days[0]
        return made[-bars:]

    async def _of_today(self, instrument: Instrument, minutes: int, until: Instant) -> list[Bar]:
        """Today's bars up to now; never kept, because they may still be revised."""
        session = _session(instrument, ist_date(until))
        if session is None or until < session.open_at + minutes * MINUTE:
            return []
        await self._settled(until // MINUTE * MINUTE)
        interval, _ = INTERVALS[minutes]
        rows = await self._asked(instrument, interval, session.open_at, until, continuous=False)
        return [bar for bar in self._bars_of(instrument, minutes, rows) if bar.close_at <= until]

    async def _settled(self, at: Instant) -> None:
        """Wait until what closed at ``at`` is final; never longer than that takes in real time."""
        for _ in range(round(SETTLED_S / _LOOK_S)):
            if self._now() >= at + SETTLED_S * SECOND:
                return
            await asyncio.sleep(_LOOK_S)

    async def _past_rows(
        self, instrument: Instrument, minutes: int, days: Sequence[dt.date]
    ) -> list[CandleRow]:
        """The candles of whole past days, from disk or fetched in as few calls as may be."""
        interval, _ = INTERVALS[minutes]
        today = ist_date(self._now())
        fetched_on = today if instrument.segment in _SHARES else None
        by_day: dict[dt.date, list[CandleRow]] = {}
        stretch: list[dt.date] = []
        stretches = [stretch]
        for day in days:
            kept = self._cache.read(_key(instrument, interval, day), fetched_on=fetched_on)
            if kept is not None:
                by_day[day] = kept
                stretches.append(stretch := [])
                continue
            stretch.append(day)
        for each in stretches:
            if not each:
                continue
            rows = await self._fetched(instrument, interval, minutes, each[0], each[-1], False)
            for row in rows:
                by_day.setdefault(ist_date(row[0]), []).append(row)
            for day in each:
                if by_day.get(day):  # an empty day may be an answer that came too early
                    self._cache.keep(_key(instrument, interval, day), by_day[day], today)
        return [row for day in sorted(by_day) for row in by_day[day]]

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    async def _fetched(
        self,
        instrument: Instrument,
        interval: str,
        minutes: int,
        first: dt.date,
        last: dt.date,
        continuous: bool,
    ) -> list[CandleRow]:
        """All candles from one day to another, both included, however many calls it takes."""
        _, days_max = INTERVALS[minutes]
        rows: list[CandleRow] = []
        while first <= last:
            until = min(last, first + dt.timedelta(days=days_max - 1))
            rows += await self._asked(
                instrument,
                interval,
                instant(first, dt.time.min),
                instant(until, dt.time.min) + DAY - SECOND,
                continuous=continuous,
            )
            first = until + dt.timedelta(days=1)
        return rows

    async def _asked(
        self,
        instrument: Instrument,
        interval: str,
        start_at: Instant,
        end_at: Instant,
        *,
        continuous: bool,
    ) -> list[CandleRow]:
        candles: Sequence[Candle] = ()
        for pause_s in (*_THROTTLED_S, None):
            await self._pace.turn()
            self.calls += 1
            try:
                candles = await self._source.historical(
                    instrument.token, interval, start_at, end_at, continuous=continuous
                )
                break
            except KiteReadFailed as failed:
                # The limit is the account's: another house of ours (paper beside live) asks too.
                if failed.cause is not ReadFailure.THROTTLED or pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
        return [
            (each.opened_at, int(each.open), int(each.high), int(each.low), int(each.close), each.volume)
            for each in candles
            if start_at <= each.opened_at <= end_at
        ]  # fmt: skip

    # ── judging ──────────────────────────────────────────────────────────────────────────────

    def _bars_of(
        self, instrument: Instrument, minutes: int, rows: Iterable[CandleRow]
    ) -> list[Bar]:
        made: list[Bar] = []
        sessions: dict[dt.date, Session | None] = {}
        for opened_at, open_, high, low, close, volume in rows:
            day = ist_date(opened_at)
            if day not in sessions:
                sessions[day] = _session(instrument, day)
            span = _span(sessions[day], opened_at, minutes)
            if span is None or low <= 0:
                self.kept_out += 1
                continue
            made.append(
                Bar(
                    instrument.id,
                    minutes,
                    *span,
                    Price(open_),
                    Price(high),
                    Price(low),
                    Price(close),
                    volume,
                )
            )
        return made

    def _contract_before(self, instrument: Instrument) -> Instrument | None:
        """The listed future of the same name that expires last before this one."""
        expiry = instrument.expiry
        if instrument.kind is not InstrumentKind.FUTURE or expiry is None:
            return None
        earlier = [
            (each.expiry, each)
            for each in self._futures
            if each.name == instrument.name
            and each.exchange == instrument.exchange
            and each.expiry is not None
            and each.expiry < expiry
        ]
        return max(earlier, key=lambda pair: pair[0])[1] if earlier else None


def _key(instrument: Instrument, interval: str, day: dt.date) -> CandleKey:
    return CandleKey(instrument=instrument.id, token=instrument.token, interval=interval, day=day)


def _session(instrument: Instrument, day: dt.date) -> Session | None:
    try:
        return sessions_for(day).get(instrument.segment)
    except CalendarUnknown:
        return None


def _span(
    session: Session | None, opened_at: Instant, minutes: int
) -> tuple[Instant, Instant] | None:
    """Where a bar begins and ends; ``None`` for one that no session of that day has."""
    if session is None:
        return None
    if minutes == DAY_BAR:
        return session.open_at, session.close_at
    width = minutes * MINUTE
    if (opened_at - session.open_at) % width:
        return None
    for start_at, end_at in continuous_hours(session):
        if start_at <= opened_at < end_at:
            return opened_at, min(opened_at + width, end_at)
    return None


def _bars_a_day(instrument: Instrument, day: dt.date, minutes: int) -> int:
    session = _session(instrument, day)
    length = session.close_at - session.open_at if session else 6 * 60 * MINUTE
    return max(1, length // (minutes * MINUTE))


def _days_before(day: dt.date, count: int) -> list[dt.date]:
    """Up to ``count`` trading days before a day, oldest first; none from before the calendar."""
    days: list[dt.date] = []
    while len(days) < count and day > FIRST_DAY:
        try:
            day = previous_trading_day(day)
        except CalendarUnknown:
            break
        days.append(day)
    return days[::-1]
