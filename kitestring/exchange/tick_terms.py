"""What stays the same of an instrument's ticks all day: hours, liveliness, spread, sizes, volume.

One row an instrument, kept as columns, because a second of the market is worked out for thousands at
once. How busy an instrument is follows from what it is: the nearest index options at the money trade
every second, the far strike of a share a few times a day.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from kitestring.domain.instants import SECOND, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import UNITS_PER_RUPEE
from kitestring.domain.sessions import PhaseKind, Session
from kitestring.exchange import noise
from kitestring.exchange.listed_names import known_shares
from kitestring.exchange.market_paths import DAY_SECONDS, PathBook
from kitestring.exchange.market_roots import root_of
from kitestring.exchange.noise import Words
from kitestring.exchange.seeded import Ints, key
from kitestring.market import contracts, sessions

COLUMNS: Final = (
    *("kind", "call", "path", "strike", "ends", "volatility", "fear_pct", "tick", "lot"),
    *("open_sod", "close_sod", "quote_every", "trade_every", "day_lots", "touch_lots"),
    *("spread", "least_ticks", "oi_lots", "last_day"),
)
INDEX, DIRECT, OPTION = 0, 1, 2
"""How an instrument is priced: a level only, a path itself, or an option on a path."""

_CLASSES: Final = (
    # least lots a day, trade every, quote every, spread of options and others (1/10 bp), ticks, touch
    (100_000, 1, 1, 250, 20, 1, 40),
    (20_000, 2, 1, 400, 30, 1, 20),
    (4_000, 5, 1, 700, 50, 1, 10),
    (800, 20, 2, 1_200, 80, 1, 5),
    (150, 90, 4, 2_500, 150, 2, 3),
    (20, 400, 10, 5_000, 300, 3, 2),
    (0, 1_800, 25, 10_000, 600, 5, 1),
)
_AWAY: Final = (1000, 700, 400, 200, 90, 40, 18, 8, 4, 2, 1)
"""Volume of a strike by its distance in halves of a standard deviation, in per mille."""
_OPTION_LOTS: Final = {
    "NIFTY": 4_000_000,
    "SENSEX": 2_000_000,
    "BANKNIFTY": 900_000,
    "MIDCPNIFTY": 40_000,
    "FINNIFTY": 20_000,
    "CRUDEOIL": 60_000,
    "CRUDEOILM": 50_000,
    "NATURALGAS": 40_000,
    "GOLDM": 8_000,
    "USDINR": 30_000,
}
"""Lots a day at the money in the nearest expiry."""
_FUTURE_LOTS: Final = {
    "NIFTY": 120_000,
    "BANKNIFTY": 60_000,
    "SENSEX": 60_000,
    "CRUDEOIL": 110_000,
    "CRUDEOILM": 120_000,
    "NATURALGAS": 130_000,
    "NATGASMINI": 110_000,
    "GOLD": 25_000,
    "GOLDM": 60_000,
    "GOLDPETAL": 110_000,
    "SILVER": 22_000,
    "SILVERM": 70_000,
    "SILVERMIC": 120_000,
    "COPPER": 21_000,
    "ZINC": 20_500,
    "USDINR": 150_000,
}
_WEEKLY: Final = frozenset({"NIFTY", "SENSEX"})
_CRORE: Final = 10_000_000
_DAY_YEAR_ROOT: Final = 19.1


def session_of(instrument: Instrument, book: PathBook) -> Session:
    """An instrument's own hours on the book's day; an index contract's last day may be shorter."""
    day = book.clock.day
    return sessions.session(day, instrument.segment, expires_today=_index_ends(instrument, day))


def _index_ends(instrument: Instrument, day: dt.date) -> bool:
    return instrument.expiry == day and contracts.is_index(instrument.name)


class TermSheet:
    """The terms of some instruments on one day, column by column; row ``n`` is ``instruments[n]``."""

    def __init__(self, instruments: tuple[Instrument, ...], columns: Ints, day_keys: Words) -> None:
        self.instruments = instruments
        self.columns = columns
        self.day_keys = day_keys
        """What each instrument's draws of this day are made from."""
        self.of = dict(zip(COLUMNS, columns, strict=True))
        self.paths, self.path_row = _used(self.of["path"])
        """The paths that the rows hang on, path 0 first, and where each row's own is among them."""

    def __len__(self) -> int:
        return len(self.instruments)

    def taken(self, rows: Ints) -> TermSheet:
        """The same of some rows, in their order."""
        return TermSheet(
            tuple(self.instruments[row] for row in rows.tolist()),
            self.columns[:, rows],
            self.day_keys[rows],
        )

    def joined(self, other: TermSheet) -> TermSheet:
        """This sheet with another's rows after it."""
        return TermSheet(
            (*self.instruments, *other.instruments),
            np.concatenate((self.columns, other.columns), axis=1),
            np.concatenate((self.day_keys, other.day_keys)),
        )


def _used(path: Ints) -> tuple[Ints, Ints]:
    paths, rows = np.unique(np.concatenate(([0], path)), return_inverse=True)
    return paths, rows[1:]


def terms_of(
    instruments: Sequence[Instrument], seed: int, book: PathBook, *, every_second: bool = False
) -> TermSheet:
    """The terms of instruments whose segments trade on the book's day.

    ``every_second`` makes each of them quoted anew every second, for measuring.
    """
    day = book.clock.day
    midnight = instant(day, dt.time.min)
    hours: dict[tuple[Segment, bool], tuple[int, int]] = {}
    paths = np.array([_path(one, book) for one in instruments], dtype=np.int64)
    opens: list[tuple[int, int]] = []
    for one in instruments:
        own = (one.segment, _index_ends(one, day))
        if own not in hours:
            session = session_of(one, book)
            hours[own] = (
                (session.open_at - midnight) // SECOND,
                (session.close_at - midnight) // SECOND,
            )
        opens.append(hours[own])
    starts = np.array([start for start, _ in opens], dtype=np.int64)
    levels = book.at(paths, starts).tolist() if len(instruments) else []
    rows = [
        _row(one, book, path, level, start_end, every_second=every_second)
        for one, path, level, start_end in zip(
            instruments, paths.tolist(), levels, opens, strict=True
        )
    ]
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS)).T
    keys = np.array([key(seed, "ticks", one.id) for one in instruments], dtype=np.uint64)
    day_keys = noise.words_at(keys, np.full(len(keys), day.toordinal()))
    return TermSheet(tuple(instruments), columns, day_keys)


def pauses(session: Session) -> list[tuple[int, int]]:
    """Seconds of the day between the parts of a session of two parts (2 March 2024)."""
    midnight = instant(session.date, dt.time.min)
    trading = [phase for phase in session.phases if phase.kind is PhaseKind.CONTINUOUS]
    return [
        ((one.end_at - midnight) // SECOND, (other.start_at - midnight) // SECOND)
        for one, other in pairwise(trading)
        if one.end_at < other.start_at
    ]


def _path(instrument: Instrument, book: PathBook) -> int:
    expires = instrument.kind not in (InstrumentKind.INDEX, InstrumentKind.EQUITY)
    return book.path(instrument.name, instrument.expiry if expires else None)


def _row(
    one: Instrument,
    book: PathBook,
    path: int,
    level: int,
    hours: tuple[int, int],
    *,
    every_second: bool,
) -> tuple[int, ...]:
    root = root_of(one.name)
    days = 0 if one.expiry is None else (one.expiry - book.clock.day).days
    option = one.kind in (InstrumentKind.CALL, InstrumentKind.PUT)
    if one.kind is InstrumentKind.INDEX:
        kind, lots, oi = INDEX, 0, 0
    elif option:
        assert one.strike is not None
        lots = _option_lots(one.name, int(one.strike), level, days, root.volatility_bp)
        kind, oi = OPTION, lots // 3 + 20
    elif one.kind is InstrumentKind.FUTURE:
        lots = _future_lots(one, level, days)
        kind, oi = DIRECT, lots * 2 + 100
    else:
        kind, lots, oi = DIRECT, _share_lots(one, level), 0
    _, trade_every, quote_every, option_spread, spread, ticks, touch = next(
        row for row in _CLASSES if (lots if kind != DIRECT else lots * 2) >= row[0]
    )
    if kind == INDEX:
        quote_every = trade_every = 1
    if every_second:
        quote_every = 1
    if one.kind is InstrumentKind.EQUITY:
        touch *= 20
    seconds_left = days * DAY_SECONDS + hours[1] - 1
    return (
        *(kind, int(one.kind is InstrumentKind.CALL), path, int(one.strike or 0), seconds_left),
        *(root.volatility_bp, root.fear_pct, int(one.tick_size), one.lot_size),
        *(hours[0], hours[1], quote_every, trade_every, max(lots, 1), touch),
        *(option_spread if option else spread, ticks, oi, int(one.expiry == book.clock.day)),
    )


def _option_lots(name: str, strike: int, level: int, days: int, volatility_bp: int) -> int:
    sd = volatility_bp / 10_000 * math.sqrt(max(days, 1)) / _DAY_YEAR_ROOT
    halves = int(abs(strike - level) / level / sd * 2)
    lots = _OPTION_LOTS.get(name, 3_000) * _AWAY[min(halves, len(_AWAY) - 1)] // 1000
    if name in _WEEKLY:
        share = 1000 if days <= 7 else 200 if days <= 14 else 100 if days <= 37 else 10
    else:
        share = 1000 if days <= 37 else 120 if days <= 70 else 15
    return lots * share // 1000


def _future_lots(one: Instrument, level: int, days: int) -> int:
    lots = _FUTURE_LOTS.get(one.name)
    if lots is None:
        value = level * one.lot_size * one.multiplier // UNITS_PER_RUPEE
        lots = 400 * _CRORE // max(value, 1)
    if one.exchange in ("BFO", "BCD"):
        lots //= 20
    near = 1000 if days <= 37 else 150 if days <= 70 else 10
    return lots * near // 1000


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(share.symbol for share in known_shares())


def _share_lots(one: Instrument, level: int) -> int:
    draw = key(0, "turnover", one.symbol)
    if one.segment is Segment.EQUITY_WITH_DERIVATIVES:
        crores = 120 + draw % 400
    elif one.name in _known():
        crores = 20 + draw % 60
    else:
        # Most invented shares trade little: up to ₹ 8 crore a day, half of them below one.
        lakhs = (5, 10, 20, 40, 80, 160, 400, 800)[draw % 8]
        shares = lakhs * _CRORE // 100 * UNITS_PER_RUPEE // level
        return max(shares // (10 if one.exchange == "BSE" else 1) // 100, 1)
    shares = crores * _CRORE * UNITS_PER_RUPEE // level
    return max(shares // (12 if one.exchange == "BSE" else 1), 1)
