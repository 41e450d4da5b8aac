"""Random short days: markets, scripted strategies and brokers of every mood."""

from __future__ import annotations

import msgspec
from house_day import ACME, BANKNIFTY, NIFTY, RELAXED, HouseDay, clock, frame, scripted, sessions
from hypothesis import strategies as st
from unruly_broker import Mood, UnrulyBroker, draw

from kitestring.domain.money import Price
from kitestring.domain.ticks import Tick

TIMETABLE = sessions(close="09:50", square_off="09:21:30", cutoff="09:21:10")
FRAMES = 100
STEP = 4_200_000
START = {NIFTY: 220_000_000, BANKNIFTY: 500_000_000, ACME: 5_000_000}
LOTS = {each.id: each.lot_size for each in START}


def market(seed: int, instruments, reach: int):
    """A walk of up to ``reach`` basis points a step, now and then ten times as far."""
    px = {each: START[each] for each in instruments}
    frames = []
    for step in range(FRAMES):
        at = clock("09:15:01") + step * STEP
        ticks = []
        for each in instruments:
            far = 10 if draw(seed, "far", each.id, step) < 200 else 1
            bp = draw(seed, each.id, step) % (2 * reach + 1) - reach
            tick_size = int(each.tick_size)
            px[each] = max(px[each] + px[each] * bp * far // 10_000, tick_size) // tick_size
            px[each] *= tick_size
            ticks.append(Tick(each.id, at, Price(px[each])))
        frames.append(frame(*ticks))
    return frames


class WatchfulBroker(UnrulyBroker):
    """Remembers in ``early`` every command that came before it was in the journal."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.early = []
        self.journal = None

    def carry_out(self, command, at):
        latest = [commit for _, commit in self.journal.commits(after=self.journal.count - 1)]
        if not latest or command not in latest[-1].facts:
            self.early.append(command)
        super().carry_out(command, at)


@st.composite
def scripts(draw_, of):
    near = int(START[of]) // 10_000 / 1000  # a tenth of a percent, in rupees
    lines = []
    for minute in sorted(draw_(st.sets(st.integers(2, 6), min_size=1, max_size=5))):
        word = draw_(
            st.sampled_from(["BUY", "SELL", "BUY", "SELL", "BUY", "SELL", "EXIT", "RAISE"])
        )
        line = f"{minute} {word}"
        if word in ("BUY", "SELL"):
            away, near_by = ("-", "+") if word == "BUY" else ("+", "-")
            if draw_(st.integers(0, 3)):
                line += f" stop={away}{near * draw_(st.integers(1, 5)):g}"
            if draw_(st.booleans()):
                line += f" target={near_by}{near * draw_(st.integers(1, 5)):g}"
            if draw_(st.integers(0, 3)) == 0:
                line += f" trail={near * draw_(st.integers(1, 5)):g}"
            if draw_(st.integers(0, 3)) == 0:
                line += f" for={draw_(st.integers(1, 3))}"
        lines.append(line)
    return "; ".join(lines)


ROUGH = st.sampled_from([0, 5, 20, 60])
MOODS = st.builds(
    Mood,
    refuses=ROUGH,
    refuses_stops=ROUGH,
    refuses_changes=ROUGH,
    refuses_cancels=ROUGH,
    partial=ROUGH,
    cancels_unasked=ROUGH,
    unknown=ROUGH,
    repeats=ROUGH,
    shuffles=ROUGH,
    delay_ms=st.sampled_from([1, 200, 3000, 12_000]),
)
RISKS = st.sampled_from(
    [
        RELAXED,
        RELAXED,
        msgspec.structs.replace(RELAXED, max_daily_loss_pct=0.001),
        msgspec.structs.replace(RELAXED, max_drawdown_pct=0.001, max_open_positions=2),
        msgspec.structs.replace(
            RELAXED,
            max_gross_exposure_x=3.0,
            max_net_exposure_x=2.5,
            max_symbol_exposure_x=1.7,
        ),
    ]
)


class Recipe(msgspec.Struct, frozen=True):
    """What a random day is made of; building it twice gives the same day twice."""

    strategies: tuple
    instruments: tuple
    risk: object
    seed: int
    reach: int
    mood: Mood

    def build(self, **more) -> HouseDay:
        day = HouseDay(
            self.strategies,
            market(self.seed, self.instruments, self.reach),
            instruments=self.instruments,
            timetable=TIMETABLE,
            risk=self.risk,
            broker=WatchfulBroker(LOTS, seed=self.seed, mood=self.mood, calm_from=FRAMES),
            **more,
        )
        day.broker.journal = day.journal
        return day


@st.composite
def recipes(draw_, moods=MOODS):
    instruments = (NIFTY, ACME, BANKNIFTY)[: draw_(st.integers(1, 3))]
    rows = []
    for place in range(draw_(st.integers(1, 3))):
        of = draw_(st.sampled_from(instruments))
        lots = draw_(st.integers(1, 4)) * (500 if of is ACME else 1)
        if of is NIFTY and draw_(st.integers(0, 3)) == 0:
            lots *= 20  # above the freeze quantity: sent in slices
        rows.append(scripted(f"s{place}", of, draw_(scripts(of)), lots=lots))
    return Recipe(
        strategies=tuple(rows),
        instruments=instruments,
        risk=draw_(RISKS),
        seed=draw_(st.integers(0, 1 << 30)),
        reach=draw_(st.sampled_from([3, 8, 20])),
        mood=draw_(moods),
    )
