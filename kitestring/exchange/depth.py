"""The five visible levels of a book, of which a tick shows only the best.

A tick carries the best bid and ask. What stands behind them is made up, plausibly and always alike:
a function of the tick's best quantities, the price and the minute, so that matching, quotes and packets
speak of one book, and a level behind the best does not flicker from tick to tick.
Sizes grow with distance, to about fifteen times the best quantity over five levels: recorded NIFTY
futures show some 150 at the best price and 2,000 on five levels.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kitestring.domain.instants import MINUTE
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.ticks import Tick

LEVELS: Final = 5
_MASK: Final = (1 << 64) - 1
_STEPS: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_WIDE_OF_8: Final = 2
"""Of eight gaps between levels, so many are two ticks wide; the others are one."""
_ORDERS_MAX: Final = 40

Ints = npt.NDArray[np.int64]


class Level(NamedTuple):
    """One price of one side: how much stands there, in how many orders."""

    px: Price
    qty: int
    orders: int


class Depth(NamedTuple):
    """Both sides, best first; fewer than five levels where a side is thin or empty."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class DepthColumns(NamedTuple):
    """Levels of many instruments: rows × 10, five bids and then five asks; 0 where nothing stands."""

    px: Ints
    qty: Ints
    orders: Ints


def _mixed(number: int) -> int:
    """A well-spread 64-bit number (the finaliser of splitmix64)."""
    number = number * _STEPS[0] & _MASK
    number = (number ^ number >> 30) * _STEPS[1] & _MASK
    number = (number ^ number >> 27) * _STEPS[2] & _MASK
    return number ^ number >> 31


def visible_depth(instrument: Instrument, tick: Tick) -> Depth:
    """The book behind a tick; empty where the instrument or this tick has no depth."""
    if not instrument.has_depth:
        return Depth((), ())
    lot = instrument.lot_size
    base = max((tick.bid_qty + tick.ask_qty) // (2 * lot), 1)
    minute = tick.event_at // MINUTE
    return Depth(
        _side(instrument, tick.bid_px, tick.bid_qty, base, minute, -1),
        _side(instrument, tick.ask_px, tick.ask_qty, base, minute, 1),
    )


def _side(
    instrument: Instrument, best_px: Price, best_qty: int, base: int, minute: int, away: int
) -> tuple[Level, ...]:
    if not best_px:
        return ()
    token, tick_size, lot = instrument.token, int(instrument.tick_size), instrument.lot_size
    px, levels = int(best_px), []
    for nth in range(LEVELS):
        drawn = _mixed((token << 32) + px)
        if nth:
            lots = max(base * (nth + 1) * (64 + (_mixed(drawn + minute) & 127)) >> 7, 1)
            qty = lots * lot
        else:
            qty = best_qty
        orders = 1 + (drawn >> 8) % _ORDERS_MAX % max(qty // lot, 1)
        levels.append(Level(Price(px), qty, orders))
        px += away * tick_size * (2 if drawn >> 16 & 7 < _WIDE_OF_8 else 1)
        if px <= 0:
            break
    return tuple(levels)


def _mixed_columns(number: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    number = number * np.uint64(_STEPS[0])
    number = (number ^ number >> np.uint64(30)) * np.uint64(_STEPS[1])
    number = (number ^ number >> np.uint64(27)) * np.uint64(_STEPS[2])
    return number ^ number >> np.uint64(31)


def depth_columns(
    *,
    token: Ints,
    lot_size: Ints,
    tick_size: Ints,
    event_at: Ints,
    bid_px: Ints,
    bid_qty: Ints,
    ask_px: Ints,
    ask_qty: Ints,
) -> DepthColumns:
    """``visible_depth`` of many ticks at once, number for number; one entry of each column a tick.

    A tick of an instrument without depth has 0 in both prices.
    """
    n = len(token)
    sides = 2 * n
    base = np.tile(np.maximum((bid_qty + ask_qty) // (2 * lot_size), 1), 2)
    minute = np.tile((event_at // MINUTE).astype(np.uint64), 2)
    named = np.tile(token.astype(np.uint64) << np.uint64(32), 2)
    lot = np.tile(lot_size, 2)
    step = np.concatenate((-tick_size, tick_size))
    px = np.concatenate((bid_px, ask_px))
    best_qty = np.concatenate((bid_qty, ask_qty))
    out = DepthColumns(
        *(np.zeros((sides, LEVELS), dtype=np.int64) for _ in range(len(DepthColumns._fields)))
    )
    for nth in range(LEVELS):
        there = px > 0
        drawn = _mixed_columns(named + np.where(there, px, 0).astype(np.uint64))
        if nth:
            size = (_mixed_columns(drawn + minute) & np.uint64(127)).astype(np.int64) + 64
            qty = np.maximum(base * (nth + 1) * size >> 7, 1) * lot
        else:
            qty = best_qty
        most = np.maximum(qty // lot, 1)
        orders = 1 + (drawn >> np.uint64(8)).astype(np.int64) % _ORDERS_MAX % most
        out.px[:, nth] = np.where(there, px, 0)
        out.qty[:, nth] = np.where(there, qty, 0)
        out.orders[:, nth] = np.where(there, orders, 0)
        wide = (drawn >> np.uint64(16) & np.uint64(7)).astype(np.int64) < _WIDE_OF_8
        px = np.where(there, px + step * np.where(wide, 2, 1), 0)
    return DepthColumns(*(np.concatenate((column[:n], column[n:]), axis=1) for column in out))
