"""Where the local exchange gets its market: a synthetic day of the whole listing, or a tape.

A synthetic source ticks a default market, and whatever else of the listing somebody watches, from
the next frame on. Prices nobody asked for are not made, and are the same whenever they are asked for.
The indices, futures and shares of the paper day tick exactly as they do there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from kitestring.domain.bars import Bar
from kitestring.domain.errors import CalendarUnknown, FeedError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant, ist_date
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Price
from kitestring.domain.ports import Feed, Frame, Manifest
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange import noise
from kitestring.exchange.default_market import default_market, trades_on
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.listed_universe import universe
from kitestring.exchange.market_day import Last, MarketDay
from kitestring.exchange.seeded import Ints, key
from kitestring.exchange.synthetic_market import VERSION, SyntheticFeed, bars_of, market_digest
from kitestring.exchange.synthetic_paths import DayKind
from kitestring.exchange.synthetic_ticks import DaySpan, TickColumns
from kitestring.exchange.tick_cells import quote_epochs, trade_epochs
from kitestring.exchange.tick_terms import TermSheet, session_of
from kitestring.market import calendar, sessions

_CELLS: Final = 32_768
"""Instruments times seconds worked out at once; a few seconds ahead at most when many are watched."""
_BLOCK_SECONDS: Final = 256
_LOOK: Final = 5
_DAY_LOOK: Final = 30
"""An earlier day's bars look at every fifth second of it, day bars at every thirtieth."""
_LOOKS: Final = 24
"""How often a day so far is looked at for the range of an instrument nobody watched."""
_DAYS_BACK: Final = 400
_DAYS_KEPT: Final = 70
_VERSION: Final = 1
"""Raised whenever a change of the model changes any tick of what the paper day does not have."""
_IS: Final = (
    "Synthetic market: invented prices around plausible levels of 2026 for every listed instrument, "
    "about one snapshot a second where trading is busy; options follow their futures by one model."
)
_IS_NOT: Final = (
    "It is not a recording: no price says anything about a real instrument, there are no auctions, "
    "most shares and the sizes of stock, commodity and currency contracts are invented."
)


class DayRange(NamedTuple):
    """How a day went so far: its first price, and its highest and lowest."""

    open: Price
    high: Price
    low: Price


@runtime_checkable
class Source(Feed, Protocol):
    """A feed that knows its listing and can be asked to tick more of it."""

    listing: Listing

    def watch(self, ids: Iterable[InstrumentId]) -> None:
        """Let these tick too, from the next frame on."""
        ...

    def base_prices(self, ids: Iterable[InstrumentId]) -> dict[InstrumentId, Price]:
        """The previous close of each listed instrument, as far as it is known."""
        ...

    def latest(self, ids: Sequence[InstrumentId], at: Instant) -> list[Tick | None]:
        """The latest tick of each at an instant, watched or not; ``None`` before its first."""
        ...

    def day_so_far(self, ids: Sequence[InstrumentId], at: Instant) -> dict[InstrumentId, DayRange]:
        """Open, high and low of each until an instant, as far as the source can say out of turn."""
        ...


class MarketSource:
    """A seeded day of the whole listing, as a feed that can be told to tick more.

    ``watching`` replaces the default market. ``every_second`` quotes every watched instrument anew
    each second, for measuring. Raises ``CalendarUnknown`` for a day outside the calendar and
    ``FeedError`` for a kind of day or an instrument that does not exist.
    """

    def __init__(
        self,
        day: dt.date,
        seed: int,
        *,
        kind: str = "auto",
        watching: Iterable[InstrumentId] | None = None,
        every_second: bool = False,
    ) -> None:
        self._paper = SyntheticFeed(day, seed, kind=kind)
        self._kind = DayKind(kind)
        self.day, self.seed = day, seed
        self._market = MarketDay(seed, day, self._kind, every_second=every_second)
        self.listing = Listing(day, universe(day))
        self._places = {one.id: place for place, one in enumerate(self.listing)}
        self._given = {one.id: one for one in self._paper.manifest_instruments}
        self._given_rows: dict[InstrumentId, TickColumns] = {}
        self._watched_given: list[InstrumentId] = []
        self._sheet = self._market.terms(())
        self._watched: set[InstrumentId] = set()
        self._changed = 0
        if watching is None:
            watching = [one.id for one in default_market(day, seed, self._kind)]
        self.watch(watching)
        self._first = frozenset(self._watched)
        self._first_sheet = self._sheet
        self._first_given = tuple(self._watched_given)
        self._days: dict[dt.date, MarketDay] = {}
        self._day_bars: dict[tuple[InstrumentId, dt.date], list[Bar]] = {}

    @property
    def watched(self) -> frozenset[InstrumentId]:
        """What ticks."""
        return frozenset(self._watched)

    @cached_property
    def manifest(self) -> Manifest:
        """The day, its sessions, and the instruments that tick from the open on."""
        kind = "" if self._kind is DayKind.AUTO else f", {self._kind}"
        ticking = tuple(one for one in self.listing if one.id in self._first)
        return Manifest(
            name=f"synthetic market (seed {self.seed}{kind})",
            date=self.day,
            instruments=ticking,
            sessions=sessions.all_sessions(self.day),
            digest=market_digest(
                (VERSION * 1000 + _VERSION, self.day, self.seed, self._kind, ticking)
            ),
            frames_hint=int(self._ticking.sum()),
            previous_close={
                str(name): px for name, px in self.base_prices(one.id for one in ticking).items()
            },
            notes=(_IS, _IS_NOT),
        )

    def watch(self, ids: Iterable[InstrumentId]) -> None:
        """Let these tick too, from the next frame on; what ticks already, or cannot today, stays.

        Raises ``FeedError`` for what is not listed.
        """
        fresh: list[Instrument] = []
        for name in ids:
            one = self.listing.by_key.get(name)
            if one is None:
                raise FeedError(
                    f"{name} is not listed on {self.day}.", do="Look it up in the instrument list."
                )
            if name not in self._watched and trades_on(self.day, one):
                self._watched.add(name)
                fresh.append(one)
        if not fresh:
            return
        given = [one.id for one in fresh if one.id in self._given]
        others = [one for one in fresh if one.id not in self._given]
        self._watched_given = sorted({*self._watched_given, *given}, key=self._places.__getitem__)
        if others:
            sheet = self._sheet.joined(self._market.terms(others))
            places = [self._places[one.id] for one in sheet.instruments]
            self._sheet = sheet.taken(np.argsort(places, kind="stable"))
        self._changed += 1

    def frames(self, after: int = 0) -> Iterator[TickFrame]:
        """The day's frames, one for every second in which something ticks.

        ``after`` counts the seconds in which the market ticks that was watched from the open on:
        what was watched later adds ticks to those seconds, and seldom a second of its own.
        """
        (ticking,) = np.nonzero(self._ticking)
        if after >= len(ticking):
            return
        sod = int(ticking[after])
        closes = max(session.close_at for session in sessions.all_sessions(self.day).values())
        end = (closes - self._market.midnight) // SECOND
        before: Last
        changed, delays = -1, self._delays()
        while sod < end:
            if changed != self._changed:
                changed, sheet = self._changed, self._sheet
                before = self._market.last_before(sheet, sod)
            count = max(min(_CELLS // max(len(sheet), 1), _BLOCK_SECONDS, end - sod), 1)
            block = self._market.block(sheet, sod, count, before)
            before = block.after
            for frame in self._frames_of(sheet, block, sod, count, delays):
                yield frame
                if changed != self._changed:
                    # Somebody watches more: what was worked out ahead is worked out anew with it.
                    sod = (frame.ticks[0].event_at - self._market.midnight) // SECOND + 1
                    break
            else:
                sod += count

    def frames_before(self, at: Instant) -> int:
        """How many frames come before an instant: where ``frames(after)`` begins at it."""
        sod = -(-(at - self._market.midnight) // SECOND)
        return int(self._ticking[: max(sod, 0)].sum())

    def _frames_of(
        self,
        sheet: TermSheet,
        block: Sequence[object],
        sod: int,
        count: int,
        delays: Callable[[int], int],
    ) -> Iterator[TickFrame]:
        columns = [np.asarray(column) for column in list(block)[:9]]
        names = [one.id for one in sheet.instruments]
        whole = self._with_given(columns, sod, count, len(names))
        names.extend(self._watched_given)
        row, seconds, *figures = whole
        if not len(row):
            return
        ticks = list(
            map(
                Tick,
                [names[place] for place in row.tolist()],
                (seconds * SECOND + self._market.midnight).tolist(),
                *(column.tolist() for column in figures),
            )
        )
        (starts,) = np.nonzero(np.diff(seconds, prepend=-1))
        ends = [*starts[1:].tolist(), len(ticks)]
        for start, end, second in zip(starts.tolist(), ends, seconds[starts].tolist(), strict=True):
            frame = tuple(ticks[start:end])
            yield TickFrame(frame[0].event_at + delays(second), frame)

    def _with_given(self, columns: list[Ints], sod: int, count: int, rows: int) -> list[Ints]:
        """A block's columns with the paper day's ticks of the same seconds before them."""
        open_sod = self._market.book.clock.hours[0].open_sod
        parts: list[list[Ints]] = [[] for _ in columns]
        for place, name in enumerate(self._watched_given):
            own = self._columns_given(name)
            low, high = np.searchsorted(own.second, (sod - open_sod, sod - open_sod + count))
            if low < high:
                cut = [column[low:high] for column in own.all()]
                parts[0].append(np.full(high - low, rows + place))
                parts[1].append(cut[0] + open_sod)
                for part, column in zip(parts[2:], cut[1:], strict=True):
                    part.append(column)
        if not parts[0]:
            return columns
        joined = [
            np.concatenate((*part, column)) for part, column in zip(parts, columns, strict=True)
        ]
        order = np.argsort(joined[1], kind="stable")
        return [column[order] for column in joined]

    def _columns_given(self, name: InstrumentId) -> TickColumns:
        found = self._given_rows.get(name)
        if found is None:
            found = self._given_rows[name] = self._paper.columns_of(self._given[name])
        return found

    def _delays(self) -> Callable[[int], int]:
        keys = np.array([key(self.seed, "delays", self.day.isoformat())], dtype=np.uint64)
        drawn = noise.below(noise.words_at(keys, np.arange(86_400)), 340_000) + 40_000
        column: list[int] = drawn.tolist()
        return column.__getitem__

    @cached_property
    def _ticking(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """For each second of the day, whether anything ticks that was watched from the open on.

        Where nothing was, every second of any segment's hours counts.
        """
        ticking = np.zeros(86_400, dtype=np.bool_)
        if not self._first:
            for session in sessions.all_sessions(self.day).values():
                hours = [
                    (at - self._market.midnight) // SECOND
                    for at in (session.open_at, session.close_at)
                ]
                ticking[slice(*hours)] = True
        of = self._first_sheet.of
        for pulse in {
            (int(start), int(end))
            for start, end, every in zip(
                of["open_sod"], of["close_sod"], of["quote_every"], strict=True
            )
            if every == 1
        }:
            ticking[slice(*pulse)] = True
        open_sod = self._market.book.clock.hours[0].open_sod
        for name in self._first_given:
            ticking[self._columns_given(name).second + open_sod] = True
        for row in range(len(self._first_sheet)):
            start, end = int(of["open_sod"][row]), int(of["close_sod"][row])
            if ticking[start:end].all():
                continue
            sod = np.arange(start, end)
            rows = np.full(end - start, row)
            for events in (quote_epochs, trade_epochs):
                ticking[start:end] |= events(self._first_sheet, rows, sod).exact
        for start, end in self._market.pauses:
            ticking[start:end] = False
        return ticking

    def latest(self, ids: Sequence[InstrumentId], at: Instant) -> list[Tick | None]:
        """The latest tick of each at an instant, watched or not; ``None`` before its first today."""
        sod = (at - self._market.midnight) // SECOND
        found: dict[InstrumentId, Tick] = {}
        others: list[Instrument] = []
        open_sod = self._market.book.clock.hours[0].open_sod
        for name in ids:
            one = self.listing.by_key[name]
            if name in self._given:
                own = self._columns_given(name)
                place = int(np.searchsorted(own.second, sod - open_sod, side="right")) - 1
                if place >= 0:
                    second, *figures = (int(column[place]) for column in own.all())
                    found[name] = self._tick(name, second + open_sod, figures)
            elif trades_on(self.day, one):
                others.append(one)
        if others:
            sheet = self._market.terms(others)
            (begun,) = np.nonzero(sheet.of["open_sod"] <= sod)
            if len(begun):
                seconds, cells = self._market.snapshots(sheet, begun, np.full(len(begun), sod))
                figures_of = zip(*(column.tolist() for column in cells), strict=True)
                for row, second, own_figures in zip(
                    begun.tolist(), seconds.tolist(), figures_of, strict=True
                ):
                    name = sheet.instruments[row].id
                    found[name] = self._tick(name, second, own_figures)
        return [found.get(name) for name in ids]

    def day_so_far(self, ids: Sequence[InstrumentId], at: Instant) -> dict[InstrumentId, DayRange]:
        """Open, high and low of each until an instant, for what nobody watched until then.

        Looked up at a few moments of the day, so that the high may be a little low; exact for the
        paper day's instruments. What has not traded yet is left out.
        """
        sod = (at - self._market.midnight) // SECOND
        open_sod = self._market.book.clock.hours[0].open_sod
        found: dict[InstrumentId, DayRange] = {}
        others: list[Instrument] = []
        for name in ids:
            one = self.listing.by_key[name]
            if name not in self._given:
                if trades_on(self.day, one):
                    others.append(one)
                continue
            own = self._columns_given(name)
            px = own.last_px[: np.searchsorted(own.second, sod - open_sod, side="right")]
            if len(px):
                found[name] = DayRange(*(Price(int(p)) for p in (px[0], px.max(), px.min())))
        sheet = self._market.terms(others)
        (begun,) = np.nonzero(sheet.of["open_sod"] <= sod)
        if len(begun):
            start = sheet.of["open_sod"][begun]
            spread = np.minimum(sheet.of["close_sod"][begun] - 1, sod) - start
            looks = start[:, None] + spread[:, None] * np.arange(_LOOKS) // (_LOOKS - 1)
            rows = np.repeat(begun, _LOOKS)
            px = self._market.last_prices(sheet, rows, looks.ravel()).reshape(-1, _LOOKS)
            columns = (px[:, 0].tolist(), px.max(axis=1).tolist(), px.min(axis=1).tolist())
            for row, opened, high, low in zip(begun.tolist(), *columns, strict=True):
                found[sheet.instruments[row].id] = DayRange(opened, high, low)
        return found

    def _tick(self, name: InstrumentId, sod: int, figures: Sequence[int]) -> Tick:
        px, cum_qty, bid, bid_qty, ask, ask_qty, oi = figures
        return Tick(
            name,
            self._market.midnight + sod * SECOND,
            Price(px),
            cum_qty,
            Price(bid),
            bid_qty,
            Price(ask),
            ask_qty,
            oi,
        )

    def base_prices(self, ids: Iterable[InstrumentId]) -> dict[InstrumentId, Price]:
        """The last price of each on the last day it traded; where there is none, today's first."""
        found: dict[InstrumentId, Price] = {}
        waiting: dict[dt.date, list[Instrument]] = {}
        for name in ids:
            one = self.listing.by_key[name]
            if name in self._given:
                found[name] = self._paper.previous_close_of(one)
            else:
                waiting.setdefault(self._day_before(one), []).append(one)
        for day, instruments in waiting.items():
            market = self._earlier(day)
            sheet = market.terms(instruments)
            rows = np.arange(len(sheet))
            last = sheet.of["close_sod"] - 1 if day < self.day else sheet.of["open_sod"]
            _, cells = market.snapshots(sheet, rows, last)
            for one, px in zip(instruments, cells.trade_px.tolist(), strict=True):
                found[one.id] = Price(px)
        return found

    def _day_before(self, instrument: Instrument) -> dt.date:
        day = self.day
        try:
            for _ in range(10):
                day = calendar.previous_trading_day(day)
                if trades_on(day, instrument):
                    return day
        except CalendarUnknown:
            pass
        return self.day

    def _earlier(self, day: dt.date) -> MarketDay:
        """An earlier day's market; kept, because histories ask for the same days."""
        if day == self.day:
            return self._market
        found = self._days.get(day)
        if found is None:
            if len(self._days) >= _DAYS_KEPT:
                del self._days[next(iter(self._days))]
            found = self._days[day] = MarketDay(self.seed, day)
        return found

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """Up to ``bars`` closed bars of the days before, oldest first; 0 minutes asks for day bars.

        An instrument has a history for as long as its segment's calendar reaches, whatever the day
        on which it was listed. Made of a look at every fifth second (day bars: every thirtieth);
        those of the paper day's instruments of their every tick.
        """
        one = self.listing.by_key.get(instrument)
        if one is None or bars <= 0:
            return ()
        if instrument in self._given:
            return self._paper.history(instrument, minutes, bars)
        days: list[list[Bar]] = []
        found, day = 0, self.day
        for _ in range(_DAYS_BACK):
            if found >= bars:
                break
            try:
                day = calendar.previous_trading_day(day)
                if trades_on(day, one):
                    days.append(self._bars_of_earlier(day, one, minutes))
                    found += len(days[-1])
            except CalendarUnknown:
                break
        return [bar for of_day in reversed(days) for bar in of_day][-bars:]

    def _bars_of_earlier(self, day: dt.date, one: Instrument, minutes: int) -> list[Bar]:
        if minutes:
            return self._bars(self._earlier(day), one, minutes, _LOOK)
        kept = self._day_bars.get((one.id, day))
        if kept is None:
            kept = self._bars(self._earlier(day), one, 0, _DAY_LOOK)
            self._day_bars[one.id, day] = kept
        return kept

    def day_bars(
        self, instrument: Instrument, day: dt.date, minutes: int
    ) -> Sequence[tuple[Bar, int]]:
        """One earlier day's bars, each with the open interest at its end; 0 minutes for the day bar.

        Also of a contract that has expired since: nobody lists it any more, but it was traded.
        """
        if day >= self.day or not trades_on(day, instrument):
            return ()
        if instrument.id in self._given:
            return self._paper.day_bars(instrument, day, minutes)
        bars = self._bars_of_earlier(day, instrument, minutes)
        if instrument.kind in (InstrumentKind.INDEX, InstrumentKind.EQUITY) or not bars:
            return [(bar, 0) for bar in bars]
        market = self._earlier(day)
        sod = np.array([(bar.close_at - market.midnight) // SECOND - 1 for bar in bars])
        sheet, rows = market.terms((instrument,)), np.zeros(len(bars), dtype=np.int64)
        _, cells = market.snapshots(sheet, rows, sod)
        return list(zip(bars, cells.oi.tolist(), strict=True))

    def bars_today(self, instrument: InstrumentId, minutes: int, until: Instant) -> list[Bar]:
        """Today's bars up to an instant, the last one still forming, made of every tick until then."""
        one = self.listing.by_key[instrument]
        if not trades_on(self.day, one):
            return []
        return self._bars(self._market, one, minutes, 1, until)

    def _bars(
        self,
        market: MarketDay,
        one: Instrument,
        minutes: int,
        look: int,
        until: Instant | None = None,
    ) -> list[Bar]:
        session = session_of(one, market.book)
        if one.id in self._given:
            columns, open_at = self._columns_given(one.id), market.book.clock.span.open_at
        else:
            columns, open_at = market.columns(one, look), session.open_at
        if until is not None:
            kept = int(np.searchsorted(columns.second, (until - open_at) // SECOND, side="right"))
            columns = TickColumns(*(column[:kept] for column in columns.all()))
        if not len(columns.second):
            return []
        span = DaySpan(market.day, open_at, (session.close_at - open_at) // SECOND)
        bars = bars_of(one.id, minutes, columns, session, span)
        # Kite has no candle for a stretch without a trade; an index is not traded and has them all.
        return [bar for bar in bars if bar.volume or not one.has_volume]

    def open_interest(self, instrument: InstrumentId, at: Sequence[Instant]) -> list[int]:
        """Open interest at some instants of today or earlier days, for candles that show it."""
        one = self.listing.by_key[instrument]
        if one.kind in (InstrumentKind.INDEX, InstrumentKind.EQUITY):
            return [0] * len(at)
        found = [0] * len(at)
        places: dict[dt.date, list[int]] = {}
        for place, moment in enumerate(at):
            places.setdefault(ist_date(moment), []).append(place)
        for day, mine in places.items():
            market = self._earlier(day)
            sod = np.array([(at[place] - market.midnight) // SECOND for place in mine])
            sheet, rows = market.terms((one,)), np.zeros(len(mine), dtype=np.int64)
            _, cells = market.snapshots(sheet, rows, sod)
            for place, lots in zip(mine, cells.oi.tolist(), strict=True):
                found[place] = lots
        return found


class TapeSource:
    """A recorded day as the exchange's market. What is not on the tape cannot be made to tick."""

    def __init__(self, feed: Feed, listing: Listing | None = None) -> None:
        self._feed = feed
        manifest = feed.manifest
        self.listing = listing or Listing(manifest.date, manifest.instruments)
        self._previous: Mapping[str, Price] = MappingProxyType(manifest.previous_close)

    @property
    def manifest(self) -> Manifest:
        """What the tape is."""
        return self._feed.manifest

    def frames(self, after: int = 0) -> Iterator[Frame]:
        """The tape's frames."""
        return self._feed.frames(after)

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """What the tape has from before its day."""
        return self._feed.history(instrument, minutes, bars)

    def watch(self, ids: Iterable[InstrumentId]) -> None:
        """What is on the tape ticks anyway; what is not stays silent."""

    def base_prices(self, ids: Iterable[InstrumentId]) -> dict[InstrumentId, Price]:
        """Previous closes, as far as the tape knows them."""
        return {name: self._previous[name] for name in ids if name in self._previous}

    def latest(self, ids: Sequence[InstrumentId], at: Instant) -> list[Tick | None]:  # noqa: ARG002 - a tape cannot be asked out of turn
        """Nothing: a tape tells its ticks in their order only."""
        return [None for _ in ids]

    def day_so_far(
        self,
        ids: Sequence[InstrumentId],  # noqa: ARG002 - the protocol; a tape tells in its order only
        at: Instant,  # noqa: ARG002 - as above
    ) -> dict[InstrumentId, DayRange]:
        """Nothing, as above."""
        return {}
