"""One snapshot of one instrument at one second, worked out from nothing but its name and the second.

Every instrument is quoted anew once in each of its quoting stretches and traded once in each of its
trading stretches, at a second drawn for the stretch; a second of either is a tick. So the last trade
before any second is known without looking at the seconds between.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kitestring.exchange import noise
from kitestring.exchange.intraday_shape import VOLUME, opening_width, over_session
from kitestring.exchange.market_paths import DAY_SECONDS
from kitestring.exchange.market_roots import fear_base
from kitestring.exchange.noise import HALF, Words
from kitestring.exchange.option_pricing import option_value
from kitestring.exchange.seeded import Ints
from kitestring.exchange.tick_terms import INDEX, OPTION, TermSheet

Flags = NDArray[np.bool_]

_QUOTES: Final = 60
_TRADES: Final = 61
_VOLUME: Final = ((9, 150), (6, 12))
"""How volume hurries and dawdles: octaves with seconds ahead or behind; it never runs backwards."""
_PROGRESS_BITS: Final = 24
_LAST_HOUR: Final = 3600
_U8: Final = np.uint64(0xFF)
_U16: Final = np.uint64(0xFFFF)


class Cells(NamedTuple):
    """Snapshots, one row each: what a tick says, and the price and volume of a trade at that second."""

    trade_px: Ints
    cum_qty: Ints
    bid_px: Ints
    bid_qty: Ints
    ask_px: Ints
    ask_qty: Ints
    oi: Ints


class Epoch(NamedTuple):
    """For each row: the latest second of a stretch's event at or before a second, and its number."""

    sod: Ints
    number: Ints
    exact: Flags
    """Whether the event falls on the second itself."""


def epochs(day_keys: Words, stream: int, open_sod: Ints, every: Ints, sod: Ints) -> Epoch:
    """The events of stretches of ``every`` seconds from the open on; the first is at the open."""
    since = sod - open_sod
    stretch = since // every
    keys = noise.octave(day_keys, stream)
    here = _offset(keys, stretch, every)
    due = stretch * every + here <= since
    stretch_of = stretch - ~due
    offset = np.where(due, here, _offset(keys, stretch_of, every))
    at = open_sod + stretch_of * every + offset
    return Epoch(at, stretch_of, at == sod)


def _offset(keys: Words, stretch: Ints, every: Ints) -> Ints:
    drawn = noise.below(noise.words_at(keys, stretch), every)
    return np.where(stretch == 0, 0, drawn)


def quote_epochs(terms: TermSheet, rows: Ints, sod: Ints) -> Epoch:
    """When each row was last quoted."""
    of = terms.of
    return epochs(terms.day_keys[rows], _QUOTES, of["open_sod"][rows], of["quote_every"][rows], sod)


def trade_epochs(terms: TermSheet, rows: Ints, sod: Ints) -> Epoch:
    """When each row last traded; an option's last second on its last day is a trade as well."""
    of = terms.of
    found = epochs(
        terms.day_keys[rows], _TRADES, of["open_sod"][rows], of["trade_every"][rows], sod
    )
    ends = _ends(terms, rows, sod)
    return Epoch(
        np.where(ends, sod, found.sod), found.number + (ends & ~found.exact), found.exact | ends
    )


def _ends(terms: TermSheet, rows: Ints, sod: Ints) -> Flags:
    of = terms.of
    ends: Flags = (
        (of["last_day"][rows] == 1)
        & (of["kind"][rows] == OPTION)
        & (sod == of["close_sod"][rows] - 1)
    )
    return ends


def cells_at(
    terms: TermSheet, rows: Ints, sod: Ints, value: Ints, fear: Ints, trades: Ints
) -> Cells:
    """The snapshot of each (row, second), given its path's value, INDIA VIX and its trades so far."""
    of = {name: column[rows] for name, column in terms.of.items()}
    kind, tick, lot = of["kind"], of["tick"], of["lot"]
    fair = value
    options = kind == OPTION
    if options.any():
        (at,) = np.nonzero(options)
        base = fear_base()
        moved = (fear[at] - base) * of["fear_pct"][at] // 100
        premium = option_value(
            value[at],
            of["strike"][at],
            np.maximum(of["ends"][at] - sod[at], 0),
            of["volatility"][at] * (base + moved) // base,
            call=of["call"][at] == 1,
        )
        fair = value.copy()
        fair[at] = premium
    word = noise.words_at(terms.day_keys[rows], sod)
    width = _widths(sod - of["open_sod"])
    thin = (of["last_day"] == 1) & (sod >= of["close_sod"] - _LAST_HOUR)
    width = np.where(thin, 300, width)
    jitter = 60 + (word & _U8).astype(np.int64) * 90 // 255
    units = fair * of["spread"] // 100_000 * width // 100 * jitter // 100
    ticks = np.maximum(units // tick, of["least_ticks"])
    bid = (fair - (ticks - 1) * tick // 2) // tick * tick
    bid = np.where(bid < tick, 0, bid)
    ask = np.maximum(bid, 0) + ticks * tick
    ask = np.where(bid == 0, np.maximum((fair // tick + 1) * tick, tick), ask)
    where = (word >> np.uint64(8) & _U8).astype(np.int64)
    inside = (word >> np.uint64(16) & _U16).astype(np.int64) % (ticks + 1)
    trade = np.where(where < 102, bid, np.where(where < 204, ask, bid + inside * tick))
    trade = np.where(bid == 0, ask, trade)
    nearest = (fair + tick // 2) // tick * tick
    settled = (kind == INDEX) | _ends(terms, rows, sod)
    trade = np.where(settled, np.maximum(nearest, tick), trade)
    bid_qty = _sizes(word >> np.uint64(32), of["touch_lots"]) * lot
    ask_qty = _sizes(word >> np.uint64(46), of["touch_lots"]) * lot
    shown = kind != INDEX
    return Cells(
        trade,
        np.where(shown, _volume(terms, rows, of, sod, trades) * lot, 0),
        np.where(shown, bid, 0),
        np.where(shown & (bid > 0), bid_qty, 0),
        np.where(shown, ask, 0),
        np.where(shown, ask_qty, 0),
        _open_interest(terms, rows, of, sod) * lot,
    )


def _sizes(word: Words, touch: Ints) -> Ints:
    """Lots at the best price: 40 to 239 per cent of the usual, four times that now and then."""
    usual = touch * (40 + (word & np.uint64(0x3FF)).astype(np.int64) % 200) // 100
    much = (word >> np.uint64(10) & np.uint64(15)) == 0
    return np.maximum(np.where(much, usual * 4, usual), 1)


def _volume(terms: TermSheet, rows: Ints, of: dict[str, Ints], sod: Ints, trades: Ints) -> Ints:
    """Lots traded so far: the day's volume as far as its shape has come, and one a trade."""
    since = sod - of["open_sod"]
    seconds = of["close_sod"] - of["open_sod"]
    since = since * HALF
    for bits, ahead in _VOLUME:
        since += noise.noise_at(terms.day_keys[rows], sod, bits) * ahead
    progress = _progress(tuple(sorted(set(seconds.tolist()))), seconds, since // HALF)
    return (of["day_lots"] * progress >> _PROGRESS_BITS) + trades


def _progress(lengths: tuple[int, ...], seconds: Ints, since: Ints) -> Ints:
    """How much of a day's volume is done, in 2⁻²⁴, for sessions of several lengths."""
    since = np.clip(since, 0, seconds)
    if len(lengths) == 1:
        return _progress_of(lengths[0])[since]
    done = np.zeros_like(since)
    for length in lengths:
        mine = seconds == length
        done[mine] = _progress_of(length)[since[mine]]
    return done


@lru_cache(maxsize=32)
def _progress_of(seconds: int) -> Ints:
    done = np.concatenate(([0], np.cumsum(over_session(VOLUME, seconds))))
    column: Ints = done * (1 << _PROGRESS_BITS) // done[-1]
    column.flags.writeable = False
    return column


@lru_cache(maxsize=1)
def _width_column() -> Ints:
    return opening_width(DAY_SECONDS)


def _widths(since: Ints) -> Ints:
    return _width_column()[np.maximum(since, 0)]


def _open_interest(terms: TermSheet, rows: Ints, of: dict[str, Ints], sod: Ints) -> Ints:
    """Lots outstanding, published once a minute: within a twelfth of the usual."""
    if not of["oi_lots"].any():
        return np.zeros_like(sod)
    minute = sod // 60
    swing = noise.noise_at(terms.day_keys[rows], minute, 5) + noise.noise_at(
        terms.day_keys[rows], minute, 7
    )
    lots: Ints = of["oi_lots"] + of["oi_lots"] * swing // (24 * HALF)
    return lots
