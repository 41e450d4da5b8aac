"""Where the market goes on a synthetic day: the fair value of every name, second by second.

One market factor, one banking factor and one story per name, in billionths of a base level. The
close of every calendar day is drawn by date alone, so days are chained: the day after begins where
the day before ended, whichever of them is generated first, and prices stay near their base level
for ever. Within a day the path runs through a plan of opening drive, ranges, trends and a late
move, with noise that is loud at the open and at the close. Whole numbers only (see ``seeded``).
"""

from __future__ import annotations

import datetime as dt
import math
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from kitestring.exchange.intraday_shape import VOLATILITY, joined, over_session
from kitestring.exchange.seeded import Ints, Stream, bell_at
from kitestring.market import calendar

ONE: Final = 10**9
"""A return of 100 %: paths are in billionths of the base level."""
BP: Final = 100_000
"""One basis point."""
_MEMORY_DAYS: Final = 84
"""A day's news fades from the level in a straight line over twelve weeks."""
_FULL_SESSION: Final = 22_500
"""Seconds from 09:15 to 15:30."""
_WEEKEND: Final = 25
"""News of a Saturday or a Sunday, in per cent of a weekday's."""


class DayKind(StrEnum):
    """The story of a synthetic day."""

    AUTO = "auto"
    """The story that seed and date draw for the day; only these days chain."""
    SWINGS = "swings"
    """Drive, range, trend, range, counter-trend, late move."""
    TREND_UP = "trend-up"
    TREND_DOWN = "trend-down"
    RANGE = "range"
    VOLATILE = "volatile"
    GAP_UP = "gap-up"
    GAP_DOWN = "gap-down"
    CRASH = "crash"
    """Four per cent down in two waves; the next two weeks take it back."""


class _Leg(msgspec.Struct, frozen=True):
    """One stretch of a plan: until when (1/1000), how far (bp), how loud (per cent), which way.

    ``way``: +1 with the day's direction, −1 against it, 0 either way by a draw of its own.
    """

    until: int
    low_bp: int
    high_bp: int
    loud: int
    way: int


_SWINGS: Final = (
    _Leg(90, 20, 45, 120, 0),
    _Leg(240, 0, 8, 65, 0),
    _Leg(480, 45, 90, 100, 1),
    _Leg(620, 0, 10, 60, 0),
    _Leg(850, 35, 75, 100, -1),
    _Leg(1000, 10, 40, 110, 0),
)
_TREND: Final = (
    _Leg(90, 15, 40, 120, 1),
    _Leg(200, 0, 15, 75, -1),
    _Leg(480, 40, 70, 95, 1),
    _Leg(600, 5, 20, 65, -1),
    _Leg(850, 30, 60, 95, 1),
    _Leg(1000, 5, 30, 110, 1),
)
_RANGE: Final = (
    _Leg(120, 8, 18, 90, 1),
    _Leg(380, 12, 25, 65, -1),
    _Leg(640, 12, 25, 60, 1),
    _Leg(860, 12, 25, 65, -1),
    _Leg(1000, 2, 12, 85, 1),
)
_VOLATILE: Final = tuple(
    _Leg(leg.until, leg.low_bp * 9 // 5, leg.high_bp * 9 // 5, leg.loud * 2, leg.way)
    for leg in _SWINGS
)
_CRASH: Final = (
    _Leg(90, 0, 20, 120, 0),
    _Leg(330, 160, 220, 190, 1),
    _Leg(470, 40, 80, 160, -1),
    _Leg(780, 220, 300, 200, 1),
    _Leg(900, 30, 70, 170, -1),
    _Leg(1000, 5, 30, 160, 1),
)
_PLANS: Final = {
    DayKind.AUTO: _SWINGS,
    DayKind.SWINGS: _SWINGS,
    DayKind.GAP_UP: _SWINGS,
    DayKind.GAP_DOWN: _SWINGS,
    DayKind.CRASH: _CRASH,
    DayKind.TREND_UP: _TREND,
    DayKind.TREND_DOWN: _TREND,
    DayKind.RANGE: _RANGE,
    DayKind.VOLATILE: _VOLATILE,
}
_WAY: Final = {DayKind.TREND_UP: 1, DayKind.TREND_DOWN: -1, DayKind.CRASH: -1}
_GAP: Final = {DayKind.GAP_UP: 1, DayKind.GAP_DOWN: -1}
_GAP_BP: Final = (80, 140)
_OWN_WAY: Final = frozenset({DayKind.TREND_UP, DayKind.TREND_DOWN, DayKind.RANGE, DayKind.CRASH})
"""Stories that end where their plan does, when they are asked for by name and chain with nothing."""

_FORTNIGHT: Final = (
    *(DayKind.SWINGS, DayKind.SWINGS, DayKind.TREND_UP, DayKind.TREND_DOWN, DayKind.RANGE),
    *(DayKind.RANGE, DayKind.VOLATILE, DayKind.GAP_UP, DayKind.GAP_DOWN),
)
"""The stories of ten weekdays besides the crash, dealt anew every fortnight."""
_CRASH_BP: Final = 400
_CRASH_FADES_DAYS: Final = 14


class Factor(msgspec.Struct, frozen=True):
    """One source of movement: its day-to-day and second-to-second sizes, in billionths."""

    name: str
    day_sd: int
    gap_sd: int
    second_sd: int
    leg_pct: int
    """Size of the plan's legs in per cent of the market's; own stories are smaller."""
    jumps_max: int
    jump_bp: int


MARKET: Final = Factor("market", 68 * BP, 22 * BP, 42_000, 100, 2, 16)
BANKING: Final = Factor("banking", 35 * BP, 8 * BP, 26_000, 35, 1, 8)


def own_story(name: str, day_sd_bp: int) -> Factor:
    """What moves one share alone."""
    return Factor(name, day_sd_bp * BP, day_sd_bp * BP // 4, day_sd_bp * 620, 45, 2, 22)


def level(seed: int, factor: Factor, day: dt.date) -> int:
    """Where a factor stands at the end of a calendar day, in billionths above its base."""
    last = day.toordinal()
    first = last - _MEMORY_DAYS + 1
    news = bell_at(Stream(seed, "level", factor.name), first, _MEMORY_DAYS, factor.day_sd)
    days = np.arange(first, last + 1, dtype=np.int64)
    news = np.where((days % 7 == 6) | (days % 7 == 0), news * _WEEKEND // 100, news)
    weights = np.arange(1, _MEMORY_DAYS + 1, dtype=np.int64)
    drawn = int((news * weights).sum()) // _MEMORY_DAYS
    return drawn + _crashed(seed, day) if factor is MARKET else drawn


@lru_cache(maxsize=256)
def story(seed: int, day: dt.date) -> DayKind:
    """The story of an ``auto`` day.

    The crash comes on the same weekday of every fortnight, which one the seed decides: any ten
    trading days in a row hold one of them, unless a holiday swallows it. The other nine are dealt.
    """
    fortnight, place = divmod(day.toordinal() - 1, 14)
    weekday = place if place < 7 else place - 2
    if place % 7 > 4:
        return DayKind.SWINGS  # a session on a weekend is no day for stories
    crash = Stream(seed, "the crash").one_below(10)
    if weekday == crash:
        return DayKind.CRASH if _is_trading_day(day) else DayKind.SWINGS
    draws, deck = Stream(seed, "stories", str(fortnight)), list(_FORTNIGHT)
    for last in range(len(deck) - 1, 0, -1):
        other = draws.one_below(last + 1)
        deck[last], deck[other] = deck[other], deck[last]
    return deck[weekday - (weekday > crash)]


def _is_trading_day(day: dt.date) -> bool:
    if not calendar.FIRST_DAY <= day <= calendar.LAST_DAY:
        return day.weekday() < 5
    return calendar.is_trading_day(day)


def _crashed(seed: int, day: dt.date) -> int:
    """What is left of the last crash at the end of a day, in billionths: it fades in a fortnight."""
    left = 0
    for age in range(_CRASH_FADES_DAYS):
        if story(seed, day - dt.timedelta(days=age)) is DayKind.CRASH:
            left -= _CRASH_BP * BP * (_CRASH_FADES_DAYS - age) // _CRASH_FADES_DAYS
    return left


@lru_cache(maxsize=32)
def factor_path(
    seed: int, factor: Factor, day: dt.date, seconds: int, kind: DayKind = DayKind.AUTO
) -> Ints:
    """A factor's place at every second of the day, in billionths; read-only, shared between names."""
    before = level(seed, factor, day - dt.timedelta(days=1))
    net = level(seed, factor, day) - before
    draws = Stream(seed, "path", factor.name, day.isoformat())
    gap = draws.one_bell(factor.gap_sd)
    chained = kind is DayKind.AUTO
    if chained:
        kind = story(seed, day)
        if kind in (DayKind.TREND_UP, DayKind.TREND_DOWN):
            # The date has drawn where the day ends; its trend goes there.
            kind = DayKind.TREND_UP if net >= 0 else DayKind.TREND_DOWN
    if factor is not MARKET and kind is DayKind.CRASH:
        kind = DayKind.VOLATILE
    elif factor is MARKET and kind in _GAP:
        gap += _GAP[kind] * draws.one_between(_GAP_BP[0] * BP, _GAP_BP[1] * BP)
    places, heights, loud = _plan(draws, factor, kind, seconds)
    if chained or kind not in _OWN_WAY or factor is not MARKET:
        # The plan is tilted, as a whole, so that it ends at the close drawn for the date.
        heights = [
            height + (net - gap - heights[-1]) * place // seconds
            for place, height in zip(places, heights, strict=True)
        ]
    path = joined(places, heights, seconds + 1)[1:]
    path += before + gap
    noise = draws.bell(seconds) * over_session(VOLATILITY, seconds) * factor.second_sd
    noise = noise // (65_536 * 100)
    _add_jumps(noise, draws, factor)
    for start, end, percent in zip(places, places[1:], loud, strict=False):
        if start < end:
            # Within a leg the noise ends where it began: the plan alone decides how far the leg goes.
            walk = np.cumsum(noise[start:end] * percent // 100)
            steps = np.arange(1, end - start + 1, dtype=np.int64)
            path[start:end] += walk - walk[-1] * steps // (end - start)
    path.flags.writeable = False
    return path


def _plan(
    draws: Stream, factor: Factor, kind: DayKind, seconds: int
) -> tuple[list[int], list[int], list[int]]:
    """Corner seconds, heights at the corners, and loudness of the legs between them."""
    way = draws.one_sign()
    if factor is MARKET:
        way = _WAY.get(kind, way)
    # An evening hour does not swing as far as a day: legs shrink with the root of the session.
    length_pct = min(math.isqrt(seconds * 10_000 // _FULL_SESSION), 100)
    places, heights, loud = [0], [0], []
    for leg in _PLANS[kind]:
        until = leg.until + (0 if leg.until == 1000 else draws.one_between(-35, 35))
        far = draws.one_between(leg.low_bp * BP, leg.high_bp * BP) * factor.leg_pct // 100
        far = far * length_pct // 100
        sign = draws.one_sign() if leg.way == 0 else way * leg.way
        places.append(max(until * seconds // 1000, places[-1] + 1))
        heights.append(heights[-1] + sign * far)
        loud.append(leg.loud)
    return places, heights, loud


def _add_jumps(noise: Ints, draws: Stream, factor: Factor) -> None:
    """A few sudden moves, each over three seconds; the rest of the leg takes them back slowly."""
    for _ in range(draws.one_below(factor.jumps_max + 1)):
        at = draws.one_below(max(len(noise) - 3, 1))
        size = draws.one_sign() * draws.one_between(factor.jump_bp // 2, factor.jump_bp) * BP
        noise[at : at + 3] += size // 3


def basis_path(seed: int, name: str, day: dt.date, seconds: int, days_left: int) -> Ints:
    """What a future costs above its index, in billionths: carry to expiry and a little disagreement.

    Carry is 6.3 % a year. Disagreement stays within about 6 bp, and within 2 bp on expiry day.
    """
    draws = Stream(seed, "basis", name, day.isoformat())
    corners = seconds // 300 + 2
    slow_sd, fast_sd = (BP * 3 // 2, 20_000) if days_left else (BP * 2 // 5, 10_000)
    slow = joined(
        [corner * 300 for corner in range(corners)], draws.bell(corners, slow_sd).tolist(), seconds
    )
    return slow + draws.bell(seconds, fast_sd) + 63_000_000 * days_left // 365
