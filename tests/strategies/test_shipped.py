"""The shipped strategies: the same in batch, as a stream and after a restart; and what they mean."""

from __future__ import annotations

import datetime as dt
import functools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kitestring.core.indicators import batch
from kitestring.core.settings import StrategySettings
from kitestring.core.strategy import StrategyDefinition, inputs_class, value_names
from kitestring.core.strategy_engine import StrategyEngine
from kitestring.core.strategy_loader import load_strategy
from kitestring.domain.bars import Bar
from kitestring.domain.events import StrategyOff, StrategyReady
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import DAY, MINUTE, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price
from kitestring.domain.sessions import Session
from kitestring.domain.signals import Action, Decision, Signal
from kitestring.strategies import shipped

TODAY = dt.date(2026, 11, 16)
OPEN = instant(TODAY, dt.time(9, 15))
SESSION_MINUTES = 375
FUT = InstrumentId("NFO:NIFTY26NOVFUT")
ONE = StrategyId("one")
INSTRUMENT = Instrument(
    id=FUT,
    exchange="NFO",
    symbol="NIFTY26NOVFUT",
    token=1,
    kind=InstrumentKind.FUTURE,
    segment=Segment.FUTURES,
    name="NIFTY",
    lot_size=75,
    tick_size=Price(1),
)
SESSION = Session(
    date=TODAY,
    segment=Segment.FUTURES,
    open_at=OPEN,
    close_at=OPEN + SESSION_MINUTES * MINUTE,
    entry_cutoff_at=OPEN + 345 * MINUTE,
    square_off_at=OPEN + 360 * MINUTE,
    phases=(),
)
NAMES = (
    *("donchian_breakout", "ema_cross", "ema_trend", "opening_range_breakout"),
    *("rsi_reversion", "supertrend", "vwap_reversion"),
)


@functools.cache
def definition(name: str) -> StrategyDefinition:
    source, path = shipped()[name]
    loaded = load_strategy(name, source, path)
    assert isinstance(loaded, StrategyDefinition), loaded.sentence
    return loaded


def market(seed: int, minutes: int, days: int = 3) -> list[Bar]:
    """Days of bars that wander with trends of an hour or so, on a tick of five paise."""
    rng = np.random.default_rng(seed)
    bars: list[Bar] = []
    close = 22_000 * 10_000
    for day in range(days):
        for number in range(SESSION_MINUTES // minutes):
            drift = 900 * math.sin((number + 37 * seed) * minutes / 40)
            open_ = close
            close += int(rng.normal(drift, 4_000 * math.sqrt(minutes))) // 500 * 500 * 10
            high = max(open_, close) + int(rng.integers(0, 40)) * 500
            low = min(open_, close) - int(rng.integers(0, 40)) * 500
            open_at = OPEN + day * DAY + number * minutes * MINUTE
            bars.append(
                Bar(
                    FUT,
                    minutes,
                    open_at,
                    open_at + minutes * MINUTE,
                    Price(open_),
                    Price(high),
                    Price(low),
                    Price(close),
                    int(rng.integers(0, 900)),
                )
            )
    return bars


def goes_flat(bar: Bar) -> bool:
    """When the house closes what is open: a stop at minute 120, the square-off before the close."""
    return (bar.close_at - OPEN) % DAY // MINUTE in (120, 360)


Said = tuple[int, str, str, int | None, int | None, int | None]


class House:
    """An engine with a house that fills every signal at once, and what was said."""

    def __init__(self, name: str, minutes: int) -> None:
        self.cells: dict[str, msgspec.Struct] = {}
        one = StrategySettings(name=ONE, strategy=name, source=FUT, instrument=FUT, minutes=minutes)
        self.engine = StrategyEngine(
            (one,),
            {name: definition(name)},
            {FUT: INSTRUMENT},
            {Segment.FUTURES: SESSION},
            self.cells,
        )
        self.positions: dict[StrategyId, int] = {}
        self.said: list[Said] = []

    def run(self, bars: list[Bar]) -> None:
        for bar in bars:
            if goes_flat(bar):
                self.positions[ONE] = 0
            for word in self.engine.decide(
                (bar,), bar.close_at, self.positions, lambda _: Price(220_000_000)
            ):
                assert not isinstance(word, StrategyOff), word.error
                if isinstance(word, Signal):
                    self.positions[ONE] = {"BUY": 75, "SELL": -75, "EXIT": 0}[word.action]
                    levels = (word.stop_px, word.target_px, word.trail_by)
                    self.said.append((word.bar_close_at, word.action, word.reason, *levels))  # type: ignore[arg-type]

    def kept(self) -> dict[str, bytes]:
        return {key: msgspec.msgpack.encode(cell) for key, cell in self.cells.items()}


def swept(name: str, bars: list[Bar]) -> list[Said]:
    """The same strategy over whole arrays: TA-Lib in batch, then ``decide`` in a plain loop."""
    strategy = definition(name)
    params = strategy.params_type()
    specs = strategy.indicators(params)
    columns = {
        field: np.array([getattr(bar, field) for bar in bars], dtype=np.float64) / 10_000
        for field in ("open", "high", "low", "close")
    }
    columns["volume"] = np.array([bar.volume for bar in bars], dtype=np.float64)
    days = np.array([(bar.open_at - OPEN) // DAY for bar in bars])
    arrays: dict[str, np.ndarray] = {}
    for label, spec in specs.items():
        arrays |= dict(zip(value_names(label, spec), batch(spec, columns, days), strict=True))
    known = ~np.any([np.isnan(array) for array in arrays.values()], axis=0)
    ready = int(np.argmax(known))
    i = inputs_class(specs)()
    i.session_minutes = SESSION_MINUTES
    state, position, said = strategy.state_type(), 0, []
    for place, bar in enumerate(bars):
        day, since = divmod(bar.close_at - OPEN, DAY)
        i.date = 20261116 + day
        i.minute = since // MINUTE
        i.bars_today = i.minute // bar.minutes
        position = 0 if goes_flat(bar) else position
        i.position = position
        for field in columns:
            setattr(i, field, float(columns[field][place]))
        for label, array in arrays.items():
            setattr(i, label, float(array[place]))
        if place <= ready:
            continue
        state, decision = strategy.decide(params, state, i)
        if decision.action is not Action.HOLD:
            position = {"BUY": 1, "SELL": -1, "EXIT": 0}[decision.action]
            said.append((bar.close_at, str(decision.action), decision.reason, *levels(decision)))
    return said


def levels(decision: Decision) -> tuple[int | None, int | None, int | None]:
    """To a ten-thousandth of a rupee, which is this instrument's tick."""
    stop, target, trail = (
        None if level is None else round(level * 10_000)
        for level in (decision.stop, decision.target, decision.trail)
    )
    return stop, target, trail


def test_the_shipped_strategies_are_these_and_explain_themselves() -> None:
    assert tuple(shipped()) == NAMES
    for name in NAMES:
        idea = definition(name).idea
        assert "Idea:" in idea
        assert "Source:" in idea
        assert "Parameters:" in idea


@pytest.mark.parametrize("minutes", [1, 5])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_sweep_over_arrays_says_what_the_engine_says(name: str, seed: int, minutes: int) -> None:
    bars = market(seed, minutes)
    house = House(name, minutes)
    house.run(bars)
    assert house.said == swept(name, bars)
    assert house.said, "a quiet market proves nothing"


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(1, 50),
    cuts=st.lists(st.integers(0, 225), min_size=1, max_size=3).map(sorted),
    history=st.integers(0, 60),
    warm_first=st.booleans(),
)
def test_a_restart_at_any_bar_changes_nothing(
    name: str, seed: int, cuts: list[int], history: int, warm_first: bool
) -> None:
    bars = market(seed, 5)
    never = House(name, 5)
    never.engine.warm(bars[:history])
    never.run(bars[history:])
    house = House(name, 5)
    house.engine.warm(bars[:history])
    done = history
    for cut in cuts:
        if cut <= done:
            continue
        house.run(bars[done:cut])
        again = House(name, 5)
        if warm_first:
            again.engine.warm(bars[:cut])
        again.engine.restore(house.kept())
        if not warm_first:
            again.engine.warm(bars[:history])
            again.engine.warm(bars[history:cut])
        again.cells |= {} if not house.cells else house.cells
        again.positions, again.said = house.positions, house.said
        house, done = again, cut
    house.run(bars[done:])
    assert house.said == never.said
    assert house.kept() == never.kept()


def test_no_strategy_decides_on_history() -> None:
    for name in NAMES:
        house = House(name, 5)
        bars = market(5, 5)
        house.engine.warm(bars)
        assert house.cells == {}
        (ready,) = house.engine.decide((bars[-1],), bars[-1].close_at, {}, lambda _: Price(1))
        assert isinstance(ready, StrategyReady)


# -- what they mean ------------------------------------------------------------------------------------


def day_of(closes: list[float], *, half_range: float = 1.0, day: int = 1) -> list[Bar]:
    """One-minute bars from the open with these closes; each spans ``half_range`` both ways."""
    bars = []
    for number, close in enumerate(closes):
        px, half = round(close * 10_000), round(half_range * 10_000)
        open_at = OPEN + day * DAY + number * MINUTE
        bars.append(
            Bar(
                FUT,
                1,
                open_at,
                open_at + MINUTE,
                Price(px),
                Price(px + half),
                Price(px - half),
                Price(px),
                5,
            )
        )
    return bars


def yesterday() -> list[Bar]:
    return day_of([100.0] * SESSION_MINUTES, day=0)


def said_on(name: str, closes: list[float]) -> list[tuple[int, str, str]]:
    house = House(name, 1)
    house.engine.warm(yesterday())
    house.run(day_of(closes))
    return [((at - OPEN - DAY) // MINUTE, action, reason) for at, action, reason, *_ in house.said]


def test_the_opening_range_is_broken_upwards_once() -> None:
    closes = [100.0] * 10 + [103.0] * 5 + [102.0, 103.5, 104.5, 106.0]
    house = House("opening_range_breakout", 1)
    house.engine.warm(yesterday())
    house.run(day_of(closes))
    # The range is 99 to 104: the close of 104.5 at minute 18 breaks it, 5.5 above the stop.
    assert house.said == [
        (OPEN + DAY + 18 * MINUTE, "BUY", "close above the opening range", 990_000, 1_155_000, None)
    ]


def test_after_a_loss_only_the_other_side_of_the_range_is_traded() -> None:
    house = House("opening_range_breakout", 1)
    house.engine.warm(yesterday())
    bars = day_of([100.0] * 15 + [102.0, 100.0, 103.0, 98.0, 97.0])
    for number, bar in enumerate(bars, 1):
        house.run([bar])
        if number == 17:
            house.positions[ONE] = 0  # The house's stop took the long out.
    assert [(action, (at - OPEN - DAY) // MINUTE) for at, action, *_ in house.said] == [
        ("BUY", 16),
        ("SELL", 19),
    ]


def test_an_opening_range_that_was_not_seen_whole_is_not_traded() -> None:
    bars = day_of([100.0] * 15 + [110.0] * 5)
    house = House("opening_range_breakout", 1)
    house.engine.warm([*yesterday(), *bars[:4]])
    house.run(bars[4:])
    assert house.said == []
    assert house.engine.status()[0].holds["the opening range was not seen whole"] == 5


def test_an_opening_range_with_missing_ticks_is_not_traded() -> None:
    bars = day_of([100.0] * 15 + [110.0] * 5)
    bars[7] = msgspec.structs.replace(bars[7], incomplete=True)
    house = House("opening_range_breakout", 1)
    house.engine.warm(yesterday())
    house.run(bars)
    assert house.said == []


def test_each_day_has_its_own_opening_range() -> None:
    house = House("opening_range_breakout", 1)
    house.engine.warm(yesterday())
    house.run(day_of([100.0] * 15 + [102.0]))
    house.positions[ONE] = 0
    house.run(day_of([50.0] * 15 + [60.0], day=2))
    assert [action for _, action, *_ in house.said] == ["BUY", "BUY"]


def test_the_trend_is_entered_on_its_crossing_and_left_on_the_crossing_back() -> None:
    flat, up = [100.0] * 3, [100.0 + step for step in range(1, 30)]
    down = [129.0 - 2 * step for step in range(1, 40)]
    # Yesterday was flat, so that the first bar up only tells which side the average is on.
    assert said_on("ema_trend", [*flat, *up]) == []
    # By hand, 2/10 and 2/22 of each step: 99.97 over 99.91 at minute 6 is closer than a tenth of
    # the range of 2.06; 100.38 over 100.10 at minute 7 is not.
    assert said_on("ema_trend", [99.0, 98.0, *flat, *up]) == [
        (7, "BUY", "fast average rose above the slow one")
    ]
    turned = said_on("ema_trend", [99.0, 98.0, *flat, *up, *down])
    assert [action for _, action, _ in turned] == ["BUY", "SELL"]


def test_a_trend_is_stopped_two_ranges_away_and_trailed_by_three() -> None:
    house = House("ema_trend", 1)
    house.engine.warm(yesterday())
    house.run(day_of([99.0, 98.0, 100.0, 100.0, 100.0, 101.0, 102.0]))
    ((_, _, _, stop, target, trail),) = house.said
    assert stop is not None
    assert trail is not None
    assert target is None
    # Wilder by hand: 2, then (13 * 2 + 3) / 14 at the one bar of 3, then 2 again: 2.0531 at last.
    assert stop == pytest.approx(978_938, abs=2)
    assert trail == pytest.approx(61_593, abs=2)


def test_the_crossing_is_always_in_the_market() -> None:
    rise_and_fall = [101.0, 102.0, 103.0] + [100.0 - step for step in range(20)]
    first, *later = said_on("ema_cross", rise_and_fall)
    assert first == (1, "BUY", "fast EMA above slow")
    assert [action for _, action, _ in later] == ["SELL"]


def test_averages_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(
        msgspec.ValidationError, match=r"fast \(21\) must be shorter than slow \(9\)"
    ):
        msgspec.convert({"fast": 21, "slow": 9}, definition("ema_cross").params_type)


def test_a_stretch_below_the_vwap_is_bought_on_the_first_bar_back() -> None:
    house = House("vwap_reversion", 1)
    house.engine.warm(yesterday())
    bars = day_of([100.0] * 30 + [98.0, 94.0, 90.0, 91.0, 92.0])
    # A bar that opens where it closes is no bar back: the one of minute 34 rises by a rupee.
    bars[33] = msgspec.structs.replace(bars[33], open=Price(900_000))
    house.run(bars)
    ((at, action, reason, stop, target, trail),) = house.said
    assert ((at - OPEN - DAY) // MINUTE, action) == (34, "BUY")
    assert reason == "stretched below the VWAP, bar back"
    # Typical prices are the closes, all of one volume: (3000 + 98 + 94 + 90 + 91) / 34.
    assert target == round((3000 + 98 + 94 + 90 + 91) / 34 * 10_000)
    assert stop is not None
    assert 860_000 < stop < 910_000
    assert trail is None


def test_a_trade_back_to_the_vwap_ends_there_and_is_not_repeated() -> None:
    closes = [100.0] * 30 + [98.0, 94.0, 90.0, 91.0, 95.0, 101.0, 90.0]
    bars = day_of(closes)
    bars[33] = msgspec.structs.replace(bars[33], open=Price(900_000))
    house = House("vwap_reversion", 1)
    house.engine.warm(yesterday())
    house.run(bars)
    assert [(action, reason) for _, action, reason, *_ in house.said] == [
        ("BUY", "stretched below the VWAP, bar back"),
        ("EXIT", "back at the VWAP"),
    ]


def test_where_nothing_is_traded_there_is_no_vwap_to_go_back_to() -> None:
    house = House("vwap_reversion", 1)
    house.engine.warm([msgspec.structs.replace(bar, volume=0) for bar in yesterday()])
    house.run([msgspec.structs.replace(bar, volume=0) for bar in day_of([100.0] * 5)])
    assert house.engine.status()[0].holds == {"no volume yet, so no VWAP": 5}


def test_the_supertrend_is_turned_with_its_line_as_the_stop() -> None:
    said = said_on("supertrend", [100.0, 96.0, 92.0, 96.0, 102.0])
    assert said == [
        (3, "SELL", "close fell through the Supertrend line"),
        (5, "BUY", "close rose through the Supertrend line"),
    ]
    house = House("supertrend", 1)
    house.engine.warm(yesterday())
    house.run(day_of([100.0, 96.0, 92.0]))
    ((_, action, _, stop, _, trail),) = house.said
    # Wilder by hand: 2 (yesterday), (9 * 2 + 5) / 10 = 2.3, then (9 * 2.3 + 5) / 10 = 2.57; the
    # line stands three of them, 7.71, over the middle of 92.
    assert (action, stop, trail) == ("SELL", 997_100, 77_100)


def test_an_exhausted_fall_is_bought_when_the_rsi_comes_back() -> None:
    falling = [100.0 - step for step in range(1, 15)]
    said = said_on("rsi_reversion", [*falling, 90.0, 94.0, 98.0, 104.0])
    # Wilder by hand: 32.3 at minute 15, 49.7 at 16 and 60.6 at 17.
    assert said == [
        (15, "BUY", "RSI rose back over its low level"),
        (17, "EXIT", "RSI back at its middle"),
    ]


def test_a_close_above_twenty_bars_is_bought_and_left_below_ten() -> None:
    closes = [100.0] * 3 + [102.0, 103.0, 104.0] + [103.0] * 9 + [101.0]
    said = said_on("donchian_breakout", closes)
    # Bars reach a rupee beyond their closes: yesterday's channel ends at 101, and that of the ten
    # bars before the last one at 102.
    assert said == [
        (4, "BUY", "close above the channel"),
        (16, "EXIT", "close below the exit channel"),
    ]
