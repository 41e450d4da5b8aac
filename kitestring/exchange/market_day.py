"""One day of the whole listing: any instrument's ticks at any second, or all ticks of a few seconds.

A block of seconds for a few instruments and one second for thousands are the same work, and give the
same ticks as asking for each of them alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kitestring.domain.instants import SECOND, instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.exchange.market_paths import PathBook
from kitestring.exchange.seeded import Ints
from kitestring.exchange.synthetic_paths import DayKind
from kitestring.exchange.synthetic_ticks import TickColumns
from kitestring.exchange.tick_cells import Cells, cells_at, quote_epochs, trade_epochs
from kitestring.exchange.tick_terms import TermSheet, pauses, terms_of
from kitestring.market import sessions


class Last(NamedTuple):
    """Each row's last trade before a block: price and the day's volume; 0 before the first one."""

    px: Ints
    cum_qty: Ints


class Block(NamedTuple):
    """Ticks of some seconds, second by second and row by row, and the last trades after them."""

    row: Ints
    sod: Ints
    last_px: Ints
    cum_qty: Ints
    bid_px: Ints
    bid_qty: Ints
    ask_px: Ints
    ask_qty: Ints
    oi: Ints
    after: Last


class MarketDay:
    """The synthetic market of one day, for one seed."""

    def __init__(
        self, seed: int, day: dt.date, kind: DayKind = DayKind.AUTO, *, every_second: bool = False
    ) -> None:
        self.day = day
        self.midnight = instant(day, dt.time.min)
        self.book = PathBook(seed, day, kind)
        self._seed = seed
        self._every_second = every_second
        self.pauses = pauses(sessions.session(day, Segment.FUTURES))

    def terms(self, instruments: Sequence[Instrument]) -> TermSheet:
        """The instruments' terms; their segments must trade on this day."""
        return terms_of(instruments, self._seed, self.book, every_second=self._every_second)

    def block(self, terms: TermSheet, first_sod: int, count: int, before: Last) -> Block:
        """All ticks of ``count`` seconds from ``first_sod`` on."""
        rows = np.tile(np.arange(len(terms)), count)
        sod = np.repeat(np.arange(first_sod, first_sod + count), len(terms))
        opened = (terms.of["open_sod"][rows] <= sod) & (sod < terms.of["close_sod"][rows])
        for start, end in self.pauses:
            opened &= (sod < start) | (sod >= end)
        rows, sod = rows[opened], sod[opened]
        traded = trade_epochs(terms, rows, sod)
        active = traded.exact | quote_epochs(terms, rows, sod).exact
        rows, sod = rows[active], sod[active]
        trades, exact = traded.number[active] + 1, traded.exact[active]
        values = self.book.over(first_sod, count, terms.paths)
        second = sod - first_sod
        cells = cells_at(
            *(terms, rows, sod, values[terms.path_row[rows], second], values[0, second], trades)
        )
        # The latest trade of each row up to each second, as its place in the block.
        places = np.full((count, len(terms)), -1, dtype=np.int64)
        (at,) = np.nonzero(exact)
        places[second[at], rows[at]] = at
        np.maximum.accumulate(places, axis=0, out=places)
        place = places[second, rows]
        seen = place >= 0
        last_px = np.where(seen, cells.trade_px[place], before.px[rows])
        cum_qty = np.where(seen, cells.cum_qty[place], before.cum_qty[rows])
        final = places[-1]
        if len(cells.trade_px):
            after = Last(
                np.where(final >= 0, cells.trade_px[final], before.px),
                np.where(final >= 0, cells.cum_qty[final], before.cum_qty),
            )
        else:
            after = before
        return Block(rows, sod, last_px, cum_qty, *cells[2:], after)

    def snapshots(self, terms: TermSheet, rows: Ints, sod: Ints) -> tuple[Ints, Cells]:
        """Each row's latest tick at or before its second, with the second it came.

        Seconds before the row's open are taken as the open, seconds after its close as the last.
        """
        of = terms.of
        sod = np.clip(sod, of["open_sod"][rows], of["close_sod"][rows] - 1)
        for start, end in self.pauses:
            sod = np.where((sod >= start) & (sod < end), start - 1, sod)
        traded = trade_epochs(terms, rows, sod)
        at = np.maximum(quote_epochs(terms, rows, sod).sod, traded.sod)
        for start, end in self.pauses:
            at = np.where((at >= start) & (at < end), start - 1, at)
        trades = self._cells(terms, rows, traded.sod, traded.number + 1)
        quotes = self._cells(terms, rows, at, traded.number + 1)
        return at, quotes._replace(trade_px=trades.trade_px, cum_qty=trades.cum_qty)

    def last_prices(self, terms: TermSheet, rows: Ints, sod: Ints) -> Ints:
        """The last traded price of each row at its second, and nothing else of it."""
        of = terms.of
        sod = np.clip(sod, of["open_sod"][rows], of["close_sod"][rows] - 1)
        traded = trade_epochs(terms, rows, sod)
        return self._cells(terms, rows, traded.sod, traded.number + 1).trade_px

    def _cells(self, terms: TermSheet, rows: Ints, sod: Ints, trades: Ints) -> Cells:
        value = self.book.at(terms.of["path"][rows], sod)
        fear = self.book.at(np.zeros(len(rows), dtype=np.int64), sod)
        return cells_at(terms, rows, sod, value, fear, trades)

    def last_before(self, terms: TermSheet, sod: int) -> Last:
        """Each row's last trade before a second, for a block that begins there."""
        rows = np.arange(len(terms))
        (begun,) = np.nonzero(terms.of["open_sod"] < sod)
        px, cum_qty = np.zeros((2, len(terms)), dtype=np.int64)
        if len(begun):
            _, cells = self.snapshots(terms, rows[begun], np.full(len(begun), sod - 1))
            px[begun], cum_qty[begun] = cells.trade_px, cells.cum_qty
        return Last(px, cum_qty)

    def columns(self, instrument: Instrument, stride: int = 1) -> TickColumns:
        """One instrument's day from its own open: every tick, or a look every ``stride`` seconds.

        ``second`` counts from the instrument's open. Every look ends with the day's last second.
        """
        terms = self.terms((instrument,))
        start, end = (int(terms.of[name][0]) for name in ("open_sod", "close_sod"))
        if stride == 1:
            nothing = np.zeros(1, dtype=np.int64)
            block = self.block(terms, start, end - start, Last(nothing, nothing))
            return TickColumns(block.sod - start, *block[2:9])
        sod = np.append(np.arange(start, end - 1, stride), end - 1)
        _, cells = self.snapshots(terms, np.zeros(len(sod), dtype=np.int64), sod)
        return TickColumns(sod - start, *cells)

    def at_instant(self, sod: int) -> int:
        """The instant of a second of this day."""
        return self.midnight + sod * SECOND
