"""The ticks of one instrument over one synthetic session, as columns of whole numbers.

About one snapshot a second, as Kite sends them: last price, the day's volume so far, best bid and
ask with their quantities, open interest. A second in which nothing changed has no tick. Every price
is on its tick, every session begins with a trade, and nothing lies outside continuous trading.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from kitestring.domain.instants import SECOND
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.sessions import PhaseKind, Session
from kitestring.exchange.intraday_shape import (
    VOLATILITY,
    VOLUME,
    opening_width,
    over_session,
)
from kitestring.exchange.seeded import Ints, Stream
from kitestring.exchange.synthetic_models import SyntheticModel, model_of
from kitestring.exchange.synthetic_paths import (
    BANKING,
    MARKET,
    ONE,
    DayKind,
    basis_path,
    factor_path,
)

_NEAR_DAYS: Final = 37
"""A future with more days left is the next month's, traded a sixth as much. Expiries lie 28 or 35 days
apart (36 when a holiday moves one), so that the next contract is busy when the house rolls to it."""


Flags = NDArray[np.bool_]


class DaySpan(msgspec.Struct, frozen=True):
    """The seconds of a day on which all paths of that day are laid out."""

    date: dt.date
    open_at: int
    seconds: int


class TickColumns(msgspec.Struct, frozen=True):
    """One instrument's ticks of one session; ``second`` counts from the day's open."""

    second: Ints
    last_px: Ints
    cum_qty: Ints
    bid_px: Ints
    bid_qty: Ints
    ask_px: Ints
    ask_qty: Ints
    oi: Ints

    def all(self) -> tuple[Ints, ...]:
        """Every column, in the order of the fields."""
        return (
            self.second,
            self.last_px,
            self.cum_qty,
            self.bid_px,
            self.bid_qty,
            self.ask_px,
            self.ask_qty,
            self.oi,
        )


def fair_value(seed: int, instrument: Instrument, span: DaySpan, kind: DayKind) -> Ints:
    """Fair value at every second of the day, in price units."""
    model = model_of(instrument.name)
    shape = (span.date, span.seconds, kind)
    path = factor_path(seed, MARKET, *shape) * model.market_pct
    if model.banking_pct:
        path = path + factor_path(seed, BANKING, *shape) * model.banking_pct
    path //= 100
    if model.own is not None:
        path += factor_path(seed, model.own, *shape)
    value = int(model.base) * (ONE + path) // ONE
    if instrument.kind is InstrumentKind.FUTURE:
        assert instrument.expiry is not None
        days_left = (instrument.expiry - span.date).days
        basis = basis_path(seed, instrument.symbol, span.date, span.seconds, days_left)
        value += value * basis // ONE
    return value


@lru_cache(maxsize=32)
def _moods(seconds: int) -> tuple[Ints, Ints, Ints]:
    """Volume, spread width and chance of a tick over a session, in per cent and per mille."""
    lively = over_session(VOLATILITY, seconds)
    return over_session(VOLUME, seconds), opening_width(seconds), np.minimum(lively * 2 + 820, 985)


def tick_columns(
    seed: int, instrument: Instrument, session: Session, span: DaySpan, kind: DayKind
) -> TickColumns:
    """All ticks of one instrument in ``[open_at, close_at)`` of its session."""
    start = (session.open_at - span.open_at) // SECOND
    seconds = (session.close_at - session.open_at) // SECOND
    value = fair_value(seed, instrument, span, kind)[start : start + seconds]
    draws = Stream(seed, "ticks", instrument.symbol, span.date.isoformat())
    if instrument.kind is InstrumentKind.INDEX:
        columns = _index_columns(draws, instrument, start, value)
    else:
        columns = _traded_columns(draws, instrument, start, value, span)
    trading = [phase for phase in session.phases if phase.kind is PhaseKind.CONTINUOUS]
    if len(trading) < 2:
        return columns
    # A special session in two parts (2 March 2024): what falls into the pause is never sent.
    at = columns.second * SECOND + span.open_at
    kept = np.any([(phase.start_at <= at) & (at < phase.end_at) for phase in trading], axis=0)
    return TickColumns(*(column[kept] for column in columns.all()))


def _index_columns(draws: Stream, instrument: Instrument, start: int, value: Ints) -> TickColumns:
    tick = int(instrument.tick_size)
    last = (value + tick // 2) // tick * tick
    sent = draws.below(len(value), 1000) < 970
    sent[0] = True
    (kept,) = np.nonzero(sent)
    kept = kept[_changed(last[kept])]
    nothing = np.zeros(len(kept), dtype=np.int64)
    return TickColumns(
        kept + start, last[kept], nothing, nothing, nothing, nothing, nothing, nothing
    )


def _traded_columns(
    draws: Stream, instrument: Instrument, start: int, value: Ints, span: DaySpan
) -> TickColumns:
    model = model_of(instrument.name)
    seconds, tick, lot = len(value), int(instrument.tick_size), instrument.lot_size
    future = instrument.kind is InstrumentKind.FUTURE
    volume, width, chance = _moods(seconds)
    days_left = (instrument.expiry - span.date).days if instrument.expiry is not None else 0
    far = future and days_left > _NEAR_DAYS
    if future and days_left == 0:
        # On expiry day the last hour is thin: quotes three times as wide (as at the open).
        width = width.copy()
        width[max(seconds - 3600, 0) :] = 300

    spread = _spread(draws, model, tick, seconds, width, far=far)
    bid = (value - (spread - 1) * tick // 2) // tick * tick
    ask = bid + spread * tick

    chance = np.minimum(chance, _attention(draws, seconds, far=far))
    traded = draws.below(seconds, 1000) < (chance if far else chance - 40)
    traded[0] = True
    # Two trades in five at the bid, two at the ask, one in between.
    where = draws.below(seconds, 1_000_000)
    inside = bid + (where % (spread + 1)) * tick
    trade_px = np.where(where < 400_000, bid, np.where(where < 800_000, ask, inside))
    last = _standing(trade_px, traded, bid, ask)

    log2_sd = 147_000 if future else 94_000
    median = max(model.trade_qty // (6 if far else 1), lot)
    quantity = draws.skewed(seconds, median, log2_sd) * volume // 100
    # At most 400 median trades in one second, at least one lot.
    quantity = np.clip(quantity // lot, 1, 400 * median // lot) * lot
    quantity[~traded] = 0
    cum_qty = np.cumsum(quantity)

    touch = max(model.touch_qty // (3 if far else 1), lot)
    bid_qty = np.maximum(draws.skewed(seconds, touch, 90_000) // lot, 1) * lot
    ask_qty = np.maximum(draws.skewed(seconds, touch, 90_000) // lot, 1) * lot
    oi = _open_interest(draws, model, lot, seconds, far=far) if future else np.zeros_like(bid)

    sent = draws.below(seconds, 1000) < chance
    sent[0] = True
    (kept,) = np.nonzero(sent)
    columns = [column[kept] for column in (last, cum_qty, bid, bid_qty, ask, ask_qty, oi)]
    changed = _changed(*columns)
    return TickColumns(kept[changed] + start, *(column[changed] for column in columns))


def _standing(trade_px: Ints, traded: Flags, bid: Ints, ask: Ints) -> Ints:
    """The last price at each second: that of the latest trade.

    Quotes do not leave the last price behind without a trade: where they would, by more than 5 bp,
    one happens (and is added to ``traded``).
    """
    seconds = np.arange(len(trade_px))
    while True:
        last: Ints = trade_px[np.maximum.accumulate(np.where(traded, seconds, 0))]
        left = (last < bid - bid // 2000) | (last > ask + ask // 2000)
        if not left.any():
            return last
        traded |= left


def _spread(
    draws: Stream, model: SyntheticModel, tick: int, seconds: int, width: Ints, *, far: bool
) -> Ints:
    """Ticks between bid and ask at each second, at least one."""
    if int(model.spread):
        median = int(model.spread) * (5 if far else 2) // 2
        points = np.clip(draws.skewed(seconds, median, 50_000), median // 4, median * 5 // 2)
        ticks = points * width // 100 // tick
    else:
        ticks = (1 + (draws.below(seconds, 100) < 30)) * width // 100
    spread: Ints = np.maximum(ticks, 1)
    return spread


def _attention(draws: Stream, seconds: int, *, far: bool) -> Ints:
    """Upper bound of the chance of a tick, per mille: low in a few quiet spells."""
    bound = np.full(seconds, 560 if far else 1000, dtype=np.int64)
    for _ in range(3 + draws.one_below(4)):
        begin = draws.one_below(max(seconds - 120, 1))
        bound[begin : begin + draws.one_between(20, 90)] = 180
    return bound


def _open_interest(
    draws: Stream, model: SyntheticModel, lot: int, seconds: int, *, far: bool
) -> Ints:
    """Open interest at each second, published once a minute, in whole lots."""
    minutes = seconds // 60 + 1
    size = model.oi // (5 if far else 1)
    steps = np.cumsum(draws.bell(minutes, size // 2500))
    return np.repeat((size + steps) // lot * lot, 60)[:seconds]


def _changed(*columns: Ints) -> Flags:
    """Where any column differs from the row before; the first row always does."""
    changed = np.zeros(len(columns[0]), dtype=np.bool_)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed
