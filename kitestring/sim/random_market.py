"""A small random market for a simulated day: gaps, walks, fast moves, halts, locked bands and thin books.

Independent of the synthetic market that is served: this one is short, rough and cheap. The same
seed gives the same ticks. Prices stay inside a band around the close of the day before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, price
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.listed_derivatives import derivatives_on
from kitestring.exchange.seeded import Stream

_BAND_BP: Final = 900
"""How far a walk may lead from yesterday's close: just inside a circuit band of ten percent."""
_BP: Final = 10_000
_OPTION_STRIKE: Final = price("25500")
_OPTIONS: Final = (InstrumentKind.CALL, InstrumentKind.PUT)
_OPTION_SPEED: Final = 4
"""By how much further an option moves than what underlies it; it has no band of ten percent."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that lasts: from when to when, and of which instrument, if not of all."""

    start: Instant
    end: Instant
    name: InstrumentId | None = None
    side: int = 0
    """Of a locked band: +1 where nobody sells any more, -1 where nobody buys."""


class MarketPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a random market is made of."""

    seed: int
    names: tuple[InstrumentId, ...]
    closes: Mapping[str, Price]
    opens_at: Instant
    ends_at: Instant
    step_s: float
    burst: int = 1
    """So many ticks of an instrument at most in one frame: the feed shows the last of them."""
    sd_bp: int
    """Of a step, in basis points."""
    jump_one_in: int
    """A step in so many is a fast move, up to thirty times as far."""
    thin: bool
    """Whether a lot or a few stand at the best prices, or plenty."""
    gap_bp: int = 0
    """How far at most from yesterday's close an instrument opens."""
    quiet: tuple[Span, ...] = ()
    """The folded middle of the day: a frame every ``quiet_step_s`` only."""
    quiet_step_s: int = 6
    silences: tuple[Span, ...] = ()
    """When nothing ticks: a halt of one instrument, or of the whole market."""
    locks: tuple[Span, ...] = ()
    """When an instrument stands at its band: one side of its book is empty."""


@lru_cache(maxsize=8)
def listed_on(day: dt.date) -> dict[InstrumentId, Instrument]:
    """The instruments of a day by name: the synthetic exchange's, and a call and a put on NIFTY."""
    listed = {each.id: each for each in instruments_on(day)}
    at_the_money = (
        each
        for each in derivatives_on(day, frozenset(listed))
        if each.kind in _OPTIONS and each.strike == _OPTION_STRIKE
    )
    return listed | {each.id: each for each in islice(at_the_money, 2)}


class RandomMarket:
    """A ``Feed`` of random walks."""

    def __init__(self, plan: MarketPlan, day: dt.date, sessions: Mapping[Segment, Session]) -> None:
        self.plan = plan
        listed = listed_on(day)
        self.shown = [listed[name] for name in plan.names]
        self._closes_at = {
            each.id: sessions[each.segment].phases[-1].end_at
            if each.kind is InstrumentKind.EQUITY
            else sessions[each.segment].close_at
            for each in self.shown
        }
        self.manifest = Manifest(
            name="simulated",
            date=day,
            instruments=tuple(listed.values()),
            sessions=dict(sessions),
            digest="simulated",
            previous_close=dict(plan.closes),
        )
        self._frames = list(self._walk())

    @property
    def events(self) -> int:
        """Ticks of the day."""
        return sum(len(frame.ticks) for frame in self._frames)

    def frames(self, after: int = 0) -> Iterator[TickFrame]:
        """The day's frames, without the first ``after`` of them."""
        return iter(self._frames[after:])

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """It has no past."""
        del instrument, minutes, bars
        return []

    def _moments(self) -> list[Instant]:
        """When something ticks."""
        plan = self.plan
        everywhere = [span for span in plan.silences if span.name is None]
        found = []
        moment = plan.opens_at + SECOND
        while moment < plan.ends_at:
            if not _inside(everywhere, moment):
                found.append(moment)
            slow = _inside(plan.quiet, moment)
            moment += (plan.quiet_step_s * SECOND) if slow else round(plan.step_s * SECOND)
        return found

    def _walk(self) -> Iterator[TickFrame]:
        moments = self._moments()
        rows = [self._ticks(each, moments) for each in self.shown]
        for place, moment in enumerate(moments):
            ticks = tuple(tick for row in rows for tick in row[place])
            if ticks:
                yield TickFrame(moment, ticks)

    def _prices(self, instrument: Instrument, steps: int) -> list[int]:
        plan = self.plan
        steps *= plan.burst
        start = int(plan.closes[instrument.id])
        option = instrument.kind in _OPTIONS
        gap = Stream(plan.seed, "gap", instrument.id).below(1, 2 * plan.gap_bp + 1).tolist()[0]
        speed = _OPTION_SPEED if option else 1
        moves = Stream(plan.seed, "walk", instrument.id).bell(steps, plan.sd_bp * 100 * speed)
        chance = Stream(plan.seed, "jumps", instrument.id).below(steps, max(plan.jump_one_in, 1))
        size = int(instrument.tick_size)
        band = _BAND_BP * 5 if option else _BAND_BP
        low, high = start * (_BP - band) // _BP, start * (_BP + band) // _BP
        px, prices = start + start * (gap - plan.gap_bp) // _BP, []
        for move, draw in zip(moves.tolist(), chance.tolist(), strict=True):
            far = 30 if plan.jump_one_in and draw == 0 else 1
            px = min(max(px + px * move * far // (_BP * 100), low), high)
            prices.append(px // size * size)
        return prices

    def _ticks(self, each: Instrument, moments: Sequence[Instant]) -> list[list[Tick]]:
        """One instrument's day: a few ticks, or nothing, at every moment."""
        plan, size = self.plan, int(each.tick_size)
        count = len(moments) * plan.burst

        def draws(name: str, bound: int) -> list[int]:
            found: list[int] = Stream(plan.seed, name, each.id).below(count, bound).tolist()
            return found

        low, span = (1, 6) if plan.thin else (40, 361)
        of_lots = each.lot_size * (1 if each.lot_size > 1 else 10)
        halts = [span for span in plan.silences if span.name == each.id]
        locks = [span for span in plan.locks if span.name == each.id]
        ends_at = self._closes_at[each.id]
        volume = 50_000
        row: list[list[Tick]] = []
        begun = False
        columns = zip(
            (moment for moment in moments for _ in range(plan.burst)),
            self._prices(each, len(moments)),
            draws("skips", 8),
            draws("volumes", 40),
            draws("bids", 3),
            draws("asks", 3),
            draws("bid sizes", span),
            draws("ask sizes", span),
            strict=True,
        )
        for place, (at, px, skip, traded, below, above, bid_lots, ask_lots) in enumerate(columns):
            if place % plan.burst == 0:
                row.append([])
            if (begun and not skip) or at >= ends_at or _inside(halts, at):
                continue
            begun = True
            volume += each.lot_size * traded
            bid = max(px - size * below, size)
            ask = max(px + size * above, bid + size)
            bid_qty, ask_qty = of_lots * (low + bid_lots), of_lots * (low + ask_lots)
            for lock in locks:
                if lock.start <= at < lock.end:
                    if lock.side > 0:
                        ask, ask_qty = 0, 0
                    else:
                        bid, bid_qty = 0, 0
            row[-1].append(
                Tick(each.id, at, Price(px), volume, Price(bid), bid_qty, Price(ask), ask_qty)
            )
        return row


def _inside(spans: Sequence[Span], moment: Instant) -> bool:
    return any(span.start <= moment < span.end for span in spans)
