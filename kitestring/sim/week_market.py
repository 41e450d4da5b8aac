"""The market of one day of a simulated week: random walks that begin where the night has left them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kitestring.domain.bars import Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Price
from kitestring.domain.ports import Manifest
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.seeded import Stream
from kitestring.sim.dice import Dice
from kitestring.sim.week_plan import CLOSE_S, WeekDay, WeekPlan, hours, moment

_BP: Final = 10_000
_BAND_BP: Final = 900
"""How far from yesterday's close it may lead: just inside a circuit band of ten percent."""


class WeekMarket:
    """A ``Feed`` of the names a week trades, in every contract that is listed."""

    def __init__(
        self,
        plan: WeekPlan,
        day: WeekDay,
        listed: Mapping[str, Instrument],
        closes: Mapping[InstrumentId, Price],
    ) -> None:
        self.closes = closes
        self.shown = [
            each
            for each in listed.values()
            if each.name in plan.markets and each.kind is not InstrumentKind.INDEX
        ]
        self.manifest = Manifest(
            name="a day of a week",
            date=day.date,
            instruments=tuple(listed.values()),
            sessions=hours(day.date),
            digest="a day of a week",
            previous_close={each: closes[each] for each in closes if each in listed},
        )
        self._frames = list(self._walk(plan, day))

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

    def settlement(self) -> dict[InstrumentId, Price]:
        """The last prices: what the night is settled at, and what tomorrow begins from."""
        last = dict(self.closes)
        for frame in self._frames:
            for tick in frame.ticks:
                last[tick.instrument] = tick.last_px
        return last

    def _walk(self, plan: WeekPlan, day: WeekDay) -> Iterator[TickFrame]:
        steps = CLOSE_S // plan.step_s
        columns = {each.id: self._prices(plan, day, each, steps) for each in self.shown}
        dice = Dice(plan.seed, f"books {day.date}")
        volume = dict.fromkeys(columns, 50_000)
        for step in range(steps):
            at = moment(day.date, step * plan.step_s + 1)
            ticks = []
            for each in self.shown:
                if step and dice.one_in(8):
                    continue
                volume[each.id] += each.lot_size * dice.below(40)
                px, size = columns[each.id][step], int(each.tick_size)
                bid = px - size * dice.between(0, 2)
                ask = max(px + size * dice.between(0, 2), bid + size)
                of_lots = each.lot_size * (1 if each.lot_size > 1 else 10)
                ticks.append(
                    Tick(
                        each.id,
                        at,
                        Price(px),
                        volume[each.id],
                        Price(bid),
                        of_lots * dice.between(20, 200),
                        Price(ask),
                        of_lots * dice.between(20, 200),
                    )
                )
            if ticks:
                yield TickFrame(at, tuple(ticks))

    def _prices(
        self, plan: WeekPlan, day: WeekDay, instrument: Instrument, steps: int
    ) -> list[int]:
        before = int(self.closes[instrument.id])
        size = int(instrument.tick_size)
        low, high = before * (_BP - _BAND_BP) // _BP, before * (_BP + _BAND_BP) // _BP
        px = before * (_BP + day.gaps_bp.get(instrument.name, 0)) // _BP
        named = f"{instrument.id} {day.date}"
        moves = Stream(plan.seed, "walk", named).bell(steps, plan.sd_bp * 100)
        chance = Stream(plan.seed, "jumps", named).below(steps, max(plan.jump_one_in, 1))
        prices = []
        for move, draw in zip(moves.tolist(), chance.tolist(), strict=True):
            far = 30 if plan.jump_one_in and draw == 0 else 1
            px = min(max(px + px * move * far // (_BP * 100), low), high)
            prices.append(px // size * size)
        return prices


def first_closes(
    plan: WeekPlan, bases: Mapping[str, int], listed: Mapping[str, Instrument]
) -> dict[InstrumentId, Price]:
    """The evening before the week."""
    return {
        each.id: Price(bases[each.name] * 10_000)
        for each in listed.values()
        if each.name in plan.markets
    }


def with_newcomers(
    closes: Mapping[InstrumentId, Price], listed: Mapping[str, Instrument]
) -> dict[InstrumentId, Price]:
    """The same, and a close for contracts that are listed for the first time: their name's."""
    by_name: dict[str, Price] = {}
    for each in listed.values():
        if each.id in closes:
            by_name.setdefault(each.name, closes[each.id])
    found = {name: px for name, px in closes.items() if name in listed}
    for each in listed.values():
        if each.id not in found and each.name in by_name:
            found[each.id] = by_name[each.name]
    return found
