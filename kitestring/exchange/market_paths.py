"""Where every name stands at any second of a day: roots, and the futures that options hang on.

A root is the market's path in its share, and noise that can be asked for anywhere (``noise``); the
names of the paper day keep the paths that the paper day has. A forward is its root with carry to one
expiry and a little disagreement. What is asked for as a block of seconds or second by second, now or
of an earlier day, is the same to the last unit.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from kitestring.domain.instants import SECOND, instant
from kitestring.domain.instruments import Segment
from kitestring.exchange import noise
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.intraday_shape import VOLATILITY, over_session
from kitestring.exchange.listed_names import SMALLER, VIX
from kitestring.exchange.market_roots import Root, root_of
from kitestring.exchange.noise import FAST, HALF, SLOW, Words
from kitestring.exchange.seeded import Ints, key
from kitestring.exchange.synthetic_paths import BANKING, BP, MARKET, ONE, DayKind, factor_path
from kitestring.exchange.synthetic_ticks import DaySpan, fair_value
from kitestring.market import calendar, sessions
from kitestring.market.segment_calendar import is_open

DAY_SECONDS: Final = 86_400
_NINE: Final = 9 * 3600
_DAY_BITS: Final = (15, 16, 15)
"""A day's length on a path, by hours: commodities trade sixteen hours of it."""
_MOOD_BITS: Final = 10
_JUMP_BITS: Final = 12
_JUMP_FADES: Final = 1 << _JUMP_BITS
_JUMP_ONSET: Final = 3_072
_WOBBLE: Final = ((4, 40), (8, 60))
"""Octaves of a future's disagreement with its carry, with their half ranges in 1/100 bp."""
_LOWEST_PART: Final = 5
"""A root never falls below a fifth of its level."""


class Hours(NamedTuple):
    """The hours of one group of names on a day, in seconds since midnight."""

    open_sod: int
    close_sod: int


@lru_cache(maxsize=1)
def _numbers() -> dict[dt.date, int]:
    days = calendar.trading_days(calendar.FIRST_DAY, calendar.LAST_DAY)
    return {day: number for number, day in enumerate(days, 400)}


class Clock(NamedTuple):
    """One day, as paths see it; shared by all names."""

    day: dt.date
    number: int
    """How many trading days came before it: nights and holidays do not stretch a path."""
    hours: tuple[Hours, Hours, Hours]
    market: Ints
    """The market's path in billionths, from the share market's open on."""
    banking: Ints
    loud: Ints
    """Loudness in per cent by hours and second of the day."""
    span: DaySpan


@lru_cache(maxsize=70)
def clock_of(seed: int, day: dt.date, kind: DayKind = DayKind.AUTO) -> Clock:
    """A trading day's shared paths; raises ``CalendarUnknown`` for other days."""
    found = sessions.sessions_for(day)
    midnight = instant(day, dt.time.min)
    opens = min(session.open_at for session in found.values())
    closes = max(session.close_at for session in found.values())
    hours = [Hours((opens - midnight) // SECOND, (closes - midnight) // SECOND)]
    for segment in (Segment.COMMODITY, Segment.CURRENCY):
        if is_open(day, segment):
            own = sessions.session(day, segment)
            hours.append(
                Hours((own.open_at - midnight) // SECOND, (own.close_at - midnight) // SECOND)
            )
        else:
            hours.append(Hours(_NINE, _NINE + 8 * 3600))
    span = DaySpan(day, opens, (closes - opens) // SECOND)
    of_groups = (hours[0], hours[1], hours[2])
    loud = _loudness(of_groups)
    return Clock(
        *(day, _numbers()[day], of_groups),
        factor_path(seed, MARKET, day, span.seconds, kind),
        factor_path(seed, BANKING, day, span.seconds, kind),
        *(loud, span),
    )


@lru_cache(maxsize=16)
def _loudness(hours: tuple[Hours, Hours, Hours]) -> Ints:
    """Loudness in per cent by group of hours and second of the day; shared by days of equal hours."""
    loud = np.full((3, DAY_SECONDS), 100, dtype=np.int64)
    for row, (start, end) in zip(loud, hours, strict=True):
        row[start:end] = over_session(VOLATILITY, end - start)
    loud.flags.writeable = False
    return loud


class PathBook:
    """The paths that somebody asked for on one day; a path is named once and then has a number.

    Path 0 is always INDIA VIX, which the options' volatilities follow.
    """

    def __init__(self, seed: int, day: dt.date, kind: DayKind = DayKind.AUTO) -> None:
        self.clock = clock_of(seed, day, kind)
        self._seed, self._kind = seed, kind
        self._root_places: dict[str, int] = {}
        self._path_places: dict[tuple[str, dt.date | None], int] = {}
        self._root_rows: list[tuple[int, ...]] = []
        self._path_rows: list[tuple[int, ...]] = []
        self._root_keys: list[int] = []
        self._path_keys: list[int] = []
        self._given_roots: dict[int, Ints] = {}
        self._given_paths: dict[int, Ints] = {}
        self._given = {
            (one.name, one.expiry): one for one in instruments_on(day) if one.exchange != "BSE"
        }
        self._columns: tuple[Ints, Words, Ints, Words] | None = None
        self.path(VIX, None)

    def path(self, name: str, expiry: dt.date | None) -> int:
        """The number of a name's own path, or of its forward to an expiry."""
        place = self._path_places.get((name, expiry))
        if place is not None:
            return place
        self._columns = None
        place = self._path_places[name, expiry] = len(self._path_rows)
        root_place = self._root(name)
        root = root_of(name)
        days = 0 if expiry is None else max((expiry - self.clock.day).days, 0)
        shakes = 0 if expiry is None else 100 if days else 25
        self._path_rows.append((root_place, root.carry * days // 365, shakes))
        self._path_keys.append(key(self._seed, "forward", name, str(expiry)))
        if expiry is not None:
            future = self._given.get((name, expiry))
            if future is not None:
                self._given_paths[place] = fair_value(
                    self._seed, future, self.clock.span, self._kind
                )
        return place

    def _root(self, name: str) -> int:
        place = self._root_places.get(name)
        if place is None:
            place = self._root_places[name] = len(self._root_rows)
            root: Root = root_of(name)
            start = self.clock.number << _DAY_BITS[root.hours]
            opens = self.clock.hours[0].open_sod if root.hours == 0 else _NINE
            self._root_rows.append(
                (root.base, root.market_pct, root.banking_pct, root.step, root.hours, start - opens)
            )
            self._root_keys.append(key(self._seed, "root", SMALLER.get(name, name)))
            given = self._given.get((name, None))
            if given is not None:
                self._given_roots[place] = fair_value(
                    self._seed, given, self.clock.span, self._kind
                )
        return place

    def _all(self) -> tuple[Ints, Words, Ints, Words]:
        if self._columns is None:
            self._columns = (
                np.array(self._root_rows, dtype=np.int64).T,
                np.array(self._root_keys, dtype=np.uint64),
                np.array(self._path_rows, dtype=np.int64).T,
                np.array(self._path_keys, dtype=np.uint64),
            )
        return self._columns

    def over(self, first_sod: int, count: int, wanted: Ints) -> Ints:
        """Some paths at ``count`` seconds of the day from ``first_sod`` on: one row a path."""
        roots, root_keys, paths, path_keys = self._all()
        root_of_path, carry, shakes = paths[:, wanted]
        used, row_of_root = np.unique(root_of_path, return_inverse=True)
        base, market_pct, banking_pct, step, hours, start = roots[:, used]
        root_keys = root_keys[used]
        sods = np.arange(first_sod, first_sod + count)
        at = start + first_sod

        def octaves(bits: tuple[int, ...]) -> Ints:
            total = np.zeros((len(base), count), dtype=np.int64)
            for bit in bits:
                total += noise.grown(noise.noise_over(root_keys, at, count, bit), bit)
            return total

        mood = noise.noise_over(noise.octave(root_keys, 40), at, count, _MOOD_BITS)
        loud = self.clock.loud[hours[:, None], sods]
        own = noise.settled(_heard(octaves(FAST), loud, mood) + octaves(SLOW), step[:, None])
        own += _jumps(root_keys[:, None], at[:, None] + np.arange(count), step[:, None])
        values = self._root_values(
            base[:, None], market_pct[:, None], banking_pct[:, None], own, sods
        )
        places = self._places(sods)
        for row, place in enumerate(used.tolist()):
            given = self._given_roots.get(place)
            if given is not None:
                values[row] = given[places]
        disagreement = np.zeros((len(carry), count), dtype=np.int64)
        starts = at[row_of_root]
        for bit, size in _WOBBLE:
            keys = path_keys[wanted]
            disagreement += noise.noise_over(keys, starts, count, bit) * size
        forward = _forward(values[row_of_root], carry[:, None], shakes[:, None], disagreement)
        for row, place in enumerate(wanted.tolist()):
            given = self._given_paths.get(place)
            if given is not None:
                forward[row] = given[places]
        return forward

    def at(self, path: Ints, sod: Ints) -> Ints:
        """Each path at its own second of the day: equal-sized columns."""
        roots, root_keys, paths, path_keys = self._all()
        root_place, carry, shakes = paths[:, path]
        base, market_pct, banking_pct, step, hours, start = roots[:, root_place]
        keys = root_keys[root_place]
        at = start + sod

        def octaves(bits: tuple[int, ...]) -> Ints:
            total = np.zeros(len(at), dtype=np.int64)
            for bit in bits:
                total += noise.grown(noise.noise_at(keys, at, bit), bit)
            return total

        mood = noise.noise_at(noise.octave(keys, 40), at, _MOOD_BITS)
        loud = self.clock.loud[hours, sod]
        own = noise.settled(_heard(octaves(FAST), loud, mood) + octaves(SLOW), step)
        own += _jumps(keys, at, step)
        values = self._root_values(base, market_pct, banking_pct, own, sod)
        places = self._places(sod)
        for place, given in self._given_roots.items():
            values = np.where(root_place == place, given[places], values)
        disagreement = np.zeros(len(at), dtype=np.int64)
        for bit, size in _WOBBLE:
            disagreement += noise.noise_at(path_keys[path], at, bit) * size
        forward = _forward(values, carry, shakes, disagreement)
        for place, given in self._given_paths.items():
            forward = np.where(path == place, given[places], forward)
        return forward

    def _root_values(
        self, base: Ints, market_pct: Ints, banking_pct: Ints, own: Ints, sods: Ints
    ) -> Ints:
        places = self._places(sods)
        shared = self.clock.market[places] * market_pct + self.clock.banking[places] * banking_pct
        return np.maximum(base * (ONE + shared // 100 + own) // ONE, base // _LOWEST_PART)

    def _places(self, sods: Ints) -> Ints:
        """Places of seconds of the day on the share market's columns, which end with its hours."""
        return np.clip(sods - self.clock.hours[0].open_sod, 0, self.clock.span.seconds - 1)


def _heard(fast: Ints, loud: Ints, mood: Ints) -> Ints:
    """Quick movement as loud as the hour is and as lively as the name feels: 35 to 165 per cent."""
    return fast * loud // 100 * (100 * HALF + mood * 65) // (100 * HALF)


def _jumps(keys: Words, at: Ints, step: Ints) -> Ints:
    """News: in one of eight stretches of 68 minutes a name jumps, and forgets it within the next.

    Half of the jumps are above 40 seconds' worth of ordinary steps squared, the largest four times it.
    """
    keys = noise.octave(keys, 50)
    total = np.zeros(np.broadcast_shapes(keys.shape, at.shape), dtype=np.int64)
    for earlier in (0, 1):
        stretch = (at >> _JUMP_BITS) - earlier
        word = noise.words_at(keys, stretch)
        onset = noise.below(word, _JUMP_ONSET)
        since = at - (stretch << _JUMP_BITS) - onset
        size = step * ((word >> np.uint64(8)).astype(np.int64) % 97 + 24)
        size = np.where(word & np.uint64(16), size, -size)
        felt = np.minimum(since, 3) * size * np.maximum(_JUMP_FADES - since, 0) // (3 * _JUMP_FADES)
        total += np.where((word & np.uint64(7) == 0) & (since > 0), felt, 0)
    return total


def _forward(values: Ints, carry: Ints, shakes: Ints, disagreement: Ints) -> Ints:
    """A root's value to an expiry; on expiry day the disagreement is a quarter."""
    basis = carry + disagreement * shakes // 100 * (BP // 100) // HALF
    return values + values * basis // ONE
