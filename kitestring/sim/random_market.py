"""A small random market for a simulated day: walks with gaps, fast moves and thin books.

Independent of the synthetic market that is served: this one is short, rough and cheap. The same
seed gives the same ticks. Prices stay inside a band around the close of the day before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Price
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.seeded import Stream
from kitestring.sim.dice import Dice

_BAND_BP: Final = 900
"""How far a walk may lead from yesterday's close: just inside a circuit band of ten percent."""
_BP: Final = 10_000


class MarketPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a random market is made of."""

    seed: int
    names: tuple[InstrumentId, ...]
    closes: Mapping[str, Price]
    opens_at: Instant
    ends_at: Instant
    step_s: int
    sd_bp: int
    """Of a step, in basis points."""
    jump_one_in: int
    """A step in so many is a fast move, up to thirty times as far."""
    thin: bool
    """Whether a lot or a few stand at the best prices, or plenty."""
    silences: tuple[tuple[Instant, Instant], ...] = ()
    """From when to when nothing ticks at all."""


@lru_cache(maxsize=4)
def listed_on(day: dt.date) -> dict[InstrumentId, Instrument]:
    """The instruments of a day by name."""
    return {each.id: each for each in instruments_on(day)}


class RandomMarket:
    """A ``Feed`` of random walks."""

    def __init__(self, plan: MarketPlan, day: dt.date, sessions: Mapping[Segment, Session]) -> None:
        self.plan = plan
        listed = listed_on(day)
        self.shown = [listed[name] for name in plan.names]
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

    def _walk(self) -> Iterator[TickFrame]:
        plan = self.plan
        steps = (plan.ends_at - plan.opens_at) // (plan.step_s * SECOND)
        columns = {each.id: self._prices(each, steps) for each in self.shown}
        dice = Dice(plan.seed, "books")
        volume = dict.fromkeys(columns, 50_000)
        for step in range(steps):
            at = plan.opens_at + (step * plan.step_s + 1) * SECOND
            if any(start <= at < end for start, end in plan.silences):
                continue
            ticks = []
            for each in self.shown:
                if step and dice.one_in(8):
                    continue
                volume[each.id] += each.lot_size * dice.below(40)
                ticks.append(self._tick(each, at, columns[each.id][step], volume[each.id], dice))
            if ticks:
                yield TickFrame(at, tuple(ticks))

    def _prices(self, instrument: Instrument, steps: int) -> list[int]:
        plan = self.plan
        start = int(plan.closes[instrument.id])
        moves = Stream(plan.seed, "walk", instrument.id).bell(steps, plan.sd_bp * 100)
        chance = Stream(plan.seed, "jumps", instrument.id).below(steps, max(plan.jump_one_in, 1))
        size = int(instrument.tick_size)
        low, high = start * (_BP - _BAND_BP) // _BP, start * (_BP + _BAND_BP) // _BP
        px, prices = start, []
        for move, draw in zip(moves.tolist(), chance.tolist(), strict=True):
            far = 30 if plan.jump_one_in and draw == 0 else 1
            px = min(max(px + px * move * far // (_BP * 100), low), high)
            prices.append(px // size * size)
        return prices

    def _tick(self, each: Instrument, at: Instant, px: int, volume: int, dice: Dice) -> Tick:
        size = int(each.tick_size)
        deep = (1, 6) if self.plan.thin else (40, 400)
        bid = px - size * dice.between(0, 2)
        ask = max(px + size * dice.between(0, 2), bid + size)
        of_lots = each.lot_size * (1 if each.lot_size > 1 else 10)
        return Tick(
            each.id,
            at,
            Price(px),
            volume,
            Price(bid),
            of_lots * dice.between(*deep),
            Price(ask),
            of_lots * dice.between(*deep),
        )
