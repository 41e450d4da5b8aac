"""Strategies at work: when they decide, what becomes a signal, and what happens when one fails."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import msgspec
import pytest

from kitestring.core.settings import StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_engine import StrategyEngine
from kitestring.core.strategy_loader import load_strategy
from kitestring.domain.bars import Bar
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import StrategyOff, StrategyReady
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import DAY, MINUTE, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price
from kitestring.domain.sessions import Session
from kitestring.domain.signals import Action, Signal

TODAY = dt.date(2026, 11, 20)
OPEN = instant(TODAY, dt.time(9, 15))
FUT = InstrumentId("NFO:NIFTY26NOVFUT")
INDEX = InstrumentId("NSE:NIFTY 50")
OPTION = InstrumentId("NFO:NIFTY26NOV22000PE")
RUPEE = 10_000


def instrument(name: InstrumentId, kind: InstrumentKind, segment: Segment) -> Instrument:
    exchange, symbol = name.split(":")
    return Instrument(
        id=name,
        exchange=exchange,
        symbol=symbol,
        token=1,
        kind=kind,
        segment=segment,
        name="NIFTY",
        lot_size=75,
        tick_size=Price(500),
    )


INSTRUMENTS = {
    FUT: instrument(FUT, InstrumentKind.FUTURE, Segment.FUTURES),
    INDEX: instrument(INDEX, InstrumentKind.INDEX, Segment.INDEX),
    OPTION: instrument(OPTION, InstrumentKind.PUT, Segment.OPTIONS),
}
SESSIONS = {
    segment: Session(
        date=TODAY,
        segment=segment,
        open_at=OPEN,
        close_at=OPEN + 375 * MINUTE,
        entry_cutoff_at=OPEN + 345 * MINUTE,
        square_off_at=OPEN + 360 * MINUTE,
        phases=(),
    )
    for segment in Segment
}

HEAD = '''"""A strategy for a test."""

import msgspec

from kitestring.core.indicators import IndicatorSpec, bbands, ema, last, previous_day, sma
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, exit_, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bars: int = 2


class State(msgspec.Struct, frozen=True):
    seen: int = 0
'''


def strategy(
    decide: str, indicators: str = '{"mean": sma(params.bars)}', more: str = ""
) -> StrategyDefinition:
    source = f"""{HEAD}
{more}
def indicators(params: Params) -> dict[str, IndicatorSpec]:
    return {indicators}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
{decide}
"""
    loaded = load_strategy("idea", source, "idea.py")
    assert isinstance(loaded, StrategyDefinition), loaded.sentence
    return loaded


ALWAYS_BUY = "    return State(seen=state.seen + 1), buy(f'{i.close:g}')"


def settings(
    name: str = "one", strategy: str = "idea", minutes: int = 1, **more: object
) -> StrategySettings:
    given = {"source": FUT, "instrument": FUT, **more}
    return StrategySettings(
        name=StrategyId(name),
        strategy=strategy,
        minutes=minutes,
        **given,  # type: ignore[arg-type]
    )


def engine(
    definition: StrategyDefinition,
    *of: StrategySettings,
    dirty: dict[str, msgspec.Struct] | None = None,
    **further: StrategyDefinition,
) -> StrategyEngine:
    definitions = {"idea": definition, **further}
    kept = {} if dirty is None else dirty
    return StrategyEngine(of or (settings(),), definitions, INSTRUMENTS, SESSIONS, kept)


def bar(
    number: int,
    close: float,
    *,
    of: InstrumentId = FUT,
    minutes: int = 1,
    day: int = 0,
    incomplete: bool = False,
) -> Bar:
    """The ``number``-th bar of the session (the first is 1), with a close in rupees."""
    px = Price(round(close * RUPEE))
    close_at = OPEN + day * DAY + number * minutes * MINUTE
    return Bar(of, minutes, close_at - minutes * MINUTE, close_at, px, px, px, px, 10, incomplete)


def at_100(_instrument: InstrumentId) -> Price:
    return Price(100 * RUPEE)


def say(
    run: StrategyEngine,
    *bars: Bar,
    positions: dict[str, int] | None = None,
    reference: Callable[[InstrumentId], Price] = at_100,
) -> list[Signal | StrategyReady | StrategyOff]:
    """What is said at the close of these bars, all at one instant."""
    held = {StrategyId(name): qty for name, qty in (positions or {}).items()}
    return list(run.decide(bars, bars[0].close_at, held, reference))


# -- when it decides ---------------------------------------------------------------------------------


def test_the_first_decision_is_on_the_bar_after_the_one_that_made_it_ready() -> None:
    run = engine(strategy(ALWAYS_BUY))
    assert say(run, bar(1, 100)) == []
    (ready,) = say(run, bar(2, 101))
    assert ready == StrategyReady(
        strategy=StrategyId("one"),
        instrument=FUT,
        at=OPEN + 2 * MINUTE,
        bars=2,
        missed="09:15 to 09:17 was over before it was ready (2 min)",
    )
    (signal,) = say(run, bar(3, 102))
    assert isinstance(signal, Signal)
    assert signal.signal_id == "one-1120-0918-1m"
    assert signal.action is Action.BUY
    assert signal.reason == "102"
    assert signal.bar_close_at == OPEN + 3 * MINUTE
    assert signal.reference_px == 1_000_000


def test_with_yesterdays_bars_it_is_ready_at_the_open_and_missed_nothing() -> None:
    run = engine(strategy(ALWAYS_BUY))
    run.warm([bar(374, 90, day=-1), bar(375, 91, day=-1)])
    ready, signal = say(run, bar(1, 100))
    assert isinstance(ready, StrategyReady)
    assert (ready.missed, ready.bars) == ("", 2)
    assert isinstance(signal, Signal)


def test_history_never_trades() -> None:
    dirty: dict[str, msgspec.Struct] = {}
    run = engine(strategy(ALWAYS_BUY), dirty=dirty)
    run.warm([bar(number, 100 + number) for number in range(1, 60)])
    assert dirty == {}
    assert run.status()[0].bars_seen == 59
    # A bar that history brought already is not decided on when the feed brings it again.
    (ready,) = say(run, bar(59, 159))
    assert isinstance(ready, StrategyReady)
    assert [type(said) for said in say(run, bar(60, 160))] == [Signal]


def test_a_day_joined_late_says_what_was_missed() -> None:
    run = engine(strategy(ALWAYS_BUY), settings(minutes=5))
    run.warm([bar(number, 100, minutes=5) for number in range(1, 25)])
    ready, signal = say(run, bar(26, 100, minutes=5))
    assert isinstance(ready, StrategyReady)
    assert ready.missed == "09:15 to 11:20 was over before it was ready (125 min)"
    assert isinstance(signal, Signal)
    assert signal.signal_id == "one-1120-1125-5m"


def test_history_that_arrives_after_the_first_bars_goes_before_them() -> None:
    averages = strategy(
        "    return state, hold(f'{i.mean:g} of {i.bars_today}')", '{"mean": ema(3)}'
    )
    late, early = engine(averages), engine(averages)
    old = [bar(number, 90 + number % 7, day=-1) for number in range(300, 376)]
    early.warm(old)
    for run in (early, late):
        say(run, bar(1, 100))
        say(run, bar(2, 105))
    late.warm(old)
    for number in range(3, 20):
        say(early, bar(number, 100 + number))
        say(late, bar(number, 100 + number))
    told = set(early.status()[0].holds.items()) - set(late.status()[0].holds.items())
    assert {reason for reason, _ in told} == {
        next(r for r in early.status()[0].holds if r.endswith(" of 1")),
        next(r for r in early.status()[0].holds if r.endswith(" of 2")),
    }


def test_a_strategy_that_wants_more_bars_waits_for_them() -> None:
    more = "def history(params: Params) -> int:\n    return 3\n\n"
    run = engine(strategy(ALWAYS_BUY, more=more))
    said = [say(run, bar(number, 100)) for number in range(1, 7)]
    assert [len(words) for words in said] == [0, 0, 0, 0, 1, 1]
    assert isinstance(said[4][0], StrategyReady)
    assert isinstance(said[5][0], Signal)


# -- what it reads -------------------------------------------------------------------------------------


def test_a_strategy_reads_rupees_of_the_closed_bar_and_its_place_in_the_day() -> None:
    reads = (
        "    return state, hold(f'{i.open:g} {i.high:g} {i.low:g} {i.close:g} {i.volume:g}"
        " {i.position} {i.minute} {i.bars_today} {i.session_minutes} {i.date} {i.mean:g}')"
    )
    run = engine(strategy(reads), settings(minutes=5))
    run.warm([bar(75, 100, minutes=5, day=-1), bar(74, 100, minutes=5, day=-1)][::-1])
    close_at = OPEN + 5 * MINUTE
    one = Bar(
        FUT,
        5,
        OPEN,
        close_at,
        Price(1_000_500),
        Price(1_020_000),
        Price(990_000),
        Price(1_010_000),
        42,
    )
    run.decide((one,), close_at, {StrategyId("one"): -150}, at_100)
    assert run.status()[0].holds == {"100.05 102 99 101 42 -1 5 1 375 20261120 100.5": 1}


def test_a_higher_timeframe_closing_at_the_same_instant_is_read_at_once() -> None:
    reads = "    return state, hold(f'{i.close:g} {i.slow:g}')"
    run = engine(strategy(reads, '{"slow": last("close", minutes=5)}'))
    assert run.timeframes() == {FUT: frozenset({1, 5})}
    run.warm([bar(75, 50, minutes=5, day=-1), bar(375, 50, day=-1)])
    for number in range(1, 5):
        say(run, bar(number, 100 + number))
    say(run, bar(5, 105), bar(1, 107, minutes=5))
    say(run, bar(6, 106))
    assert list(run.status()[0].holds) == [
        "101 50",
        "102 50",
        "103 50",
        "104 50",
        "105 107",
        "106 107",
    ]


def test_bars_of_one_instant_may_come_in_any_order() -> None:
    reads = "    return state, hold(f'{i.close:g} {i.slow:g}')"
    run = engine(strategy(reads, '{"slow": last("close", minutes=5)}'))
    run.warm([bar(75, 50, minutes=5, day=-1), bar(375, 50, day=-1)])
    say(run, bar(1, 107, minutes=5), bar(5, 105))
    assert list(run.status()[0].holds) == ["105 107"]


def test_bars_of_several_instants_are_decided_on_in_turn() -> None:
    reads = "    return state, buy(f'{i.close:g} {i.slow:g}')"
    run = engine(strategy(reads, '{"slow": last("close", minutes=5)}'))
    run.warm([bar(75, 50, minutes=5, day=-1), bar(375, 50, day=-1)])
    late = [bar(4, 104), bar(5, 105), bar(1, 107, minutes=5), bar(6, 106)]
    ready, *said = run.decide(late, OPEN + 7 * MINUTE, {}, at_100)
    assert isinstance(ready, StrategyReady)
    told = [word.reason for word in said if isinstance(word, Signal)]
    assert told == ["104 50", "105 107", "106 107"]
    assert {word.at for word in said} == {OPEN + 7 * MINUTE}


def test_an_indicator_may_read_another_instrument_and_yesterday() -> None:
    other = f'{{"index": sma(1).on("{INDEX}"), "top": previous_day("high"), "bb": bbands(2)}}'
    reads = "    return state, hold(f'{i.index:g} {i.top:g} {i.bb_middle:g} {i.bb_upper:g}')"
    run = engine(strategy(reads, other))
    assert run.timeframes() == {FUT: frozenset({0, 1}), INDEX: frozenset({1})}
    assert (FUT, 0, 1) in run.history_needed()
    yesterday = Bar(
        FUT,
        0,
        OPEN - DAY,
        OPEN - DAY + 375 * MINUTE,
        Price(1),
        Price(1_234_500),
        Price(1),
        Price(1),
    )
    run.warm(
        [yesterday, bar(374, 99, day=-1), bar(375, 101, day=-1), bar(375, 77, of=INDEX, day=-1)]
    )
    say(run, bar(1, 103), bar(1, 78, of=INDEX))
    assert list(run.status()[0].holds) == ["78 123.45 102 104"]


# -- what becomes a signal -----------------------------------------------------------------------------


def one_signal(decide: str, close: float = 200.0, **how: object) -> Signal:
    run = engine(strategy(decide, "{}"), settings(**{k: v for k, v in how.items() if k != "px"}))  # type: ignore[arg-type]
    source = how.get("source", FUT)
    run.warm([bar(375, 1, day=-1, of=source)])  # type: ignore[arg-type]
    px = how.get("px", 100)
    said = say(run, bar(1, close, of=source), reference=lambda _: Price(int(px * RUPEE)))  # type: ignore[arg-type, operator]
    (signal,) = (word for word in said if not isinstance(word, StrategyReady))
    assert isinstance(signal, Signal), signal
    return signal


def test_levels_are_rounded_to_the_tick_of_the_traded_instrument() -> None:
    signal = one_signal(
        "    return state, buy('x', stop=190.02, target=210.049, trail=3.33, exit_after_minutes=30)"
    )
    assert signal.stop_px == 1_900_000
    assert signal.target_px == 2_100_500
    assert signal.trail_by == 33_500
    assert signal.exit_at == OPEN + 31 * MINUTE


def test_levels_of_another_instrument_are_carried_over_as_distances() -> None:
    signal = one_signal(
        "    return state, sell('x', stop=22_060.0, target=21_900.0, trail=45.0)",
        close=22_000.0,
        source=INDEX,
        instrument=FUT,
        px=22_085.15,
    )
    assert (signal.source, signal.instrument) == (INDEX, FUT)
    assert signal.reference_px == 220_851_500
    assert signal.stop_px == 221_451_500
    assert signal.target_px == 219_851_500
    assert signal.trail_by == 450_000


def test_a_trail_alone_is_a_stop_from_the_entry_on() -> None:
    long = one_signal("    return state, buy('x', trail=3.33)", close=90.0, px=100.07)
    assert (long.stop_px, long.trail_by) == (967_000, 33_500)
    short = one_signal("    return state, sell('x', trail=3.33)", close=90.0, px=100.07)
    assert (short.stop_px, short.trail_by) == (1_034_500, 33_500)
    far = one_signal("    return state, buy('x', trail=500.0)", px=100)
    assert far.stop_px == 500  # the lowest tick
    given = one_signal("    return state, buy('x', stop=98.0, trail=3.0)", px=100)
    assert given.stop_px == 980_000
    no_price = one_signal("    return state, buy('x', trail=3.0)", px=0)
    assert no_price.stop_px is None


def test_a_level_carried_below_zero_stands_on_the_lowest_tick() -> None:
    signal = one_signal(
        "    return state, buy('x', stop=21_700.0)",
        close=22_000.0,
        source=INDEX,
        instrument=OPTION,
        px=120,
    )
    assert signal.stop_px == 500


def test_without_a_price_of_the_traded_instrument_distances_cannot_be_carried_over() -> None:
    run = engine(strategy(ALWAYS_BUY, "{}"), settings(source=INDEX))
    run.warm([bar(375, 1, day=-1, of=INDEX)])
    said = say(run, bar(1, 100, of=INDEX), reference=lambda _: Price(0))
    assert [type(word) for word in said] == [StrategyReady]
    assert run.status()[0].holds == {"no price of NFO:NIFTY26NOVFUT yet: no entry": 1}


def test_an_incomplete_bar_opens_nothing_but_may_close() -> None:
    run = engine(strategy(ALWAYS_BUY))
    run.warm([bar(374, 1, day=-1), bar(375, 1, day=-1)])
    assert [type(word) for word in say(run, bar(1, 100, incomplete=True))] == [StrategyReady]
    assert say(run, bar(2, 100, incomplete=True), positions={"one": 75}) == []
    (leave,) = say(run, bar(3, 100, incomplete=True), positions={"one": -75})
    assert isinstance(leave, Signal)
    assert (leave.action, leave.reason) == (Action.EXIT, "100 (bar incomplete: exit only)")
    (enter,) = say(run, bar(4, 100), positions={"one": -75})
    assert isinstance(enter, Signal)
    assert enter.action is Action.BUY


def test_holds_are_counted_by_reason_and_never_without_bound() -> None:
    run = engine(strategy("    return state, hold(f'{i.close:g}')", "{}"))
    run.warm([bar(375, 1, day=-1)])
    for number in range(1, 201):
        say(run, bar(number, number))
    (status,) = run.status()
    assert len(status.holds) == 65
    assert status.holds["1"] == 1
    assert status.holds["other reasons"] == 136
    assert status.bars_decided == 200


# -- failing -------------------------------------------------------------------------------------------

RAISES = "    return state, buy('x') if i.close < 103 else hold(1 / 0)"


def test_a_strategy_that_raises_is_switched_off_and_the_others_go_on() -> None:
    run = engine(
        strategy(RAISES, "{}"),
        settings("bad"),
        settings("good", "fine"),
        fine=strategy(ALWAYS_BUY, "{}"),
    )
    run.warm([bar(375, 1, day=-1)])
    say(run, bar(1, 101))
    assert [word.strategy for word in say(run, bar(2, 102))] == ["bad", "good"]
    off, signal = say(run, bar(3, 103))
    assert isinstance(off, StrategyOff)
    assert off.strategy == "bad"
    assert off.error == "ZeroDivisionError: division by zero (line 23 of idea.py)"
    assert isinstance(signal, Signal)
    assert signal.strategy == "good"
    assert [word.strategy for word in say(run, bar(4, 101))] == ["good"]
    assert [bool(status.off) for status in run.status()] == [True, False]


@pytest.mark.parametrize(
    "decide",
    [
        "    return state, buy('x', stop=float('nan'))",
        "    return state, buy('x', target=float('inf'))",
        "    return state, sell('x', trail=-1.0)",
        "    return state, sell('x', exit_after_minutes=0)",
        "    return state, sell('x', stop='low')",
        "    return state, Decision('BUY', 'x')",
        "    return state, hold(('not', ['a reason']))",
        "    return state, None",
        "    return 7, hold('x')",
        "    return None",
    ],
)
def test_what_is_no_decision_switches_the_strategy_off(decide: str) -> None:
    run = engine(strategy(decide, "{}"))
    run.warm([bar(375, 1, day=-1)])
    ready, off = say(run, bar(1, 100))
    assert isinstance(ready, StrategyReady)
    assert isinstance(off, StrategyOff)
    assert say(run, bar(2, 100)) == []


def test_a_strategy_can_be_switched_off_once() -> None:
    run = engine(strategy(ALWAYS_BUY, "{}"))
    off = run.switch_off(StrategyId("one"), OPEN, "the operator said so")
    assert off == StrategyOff(strategy=StrategyId("one"), at=OPEN, error="the operator said so")
    assert run.switch_off(StrategyId("one"), OPEN, "again") is None
    assert say(run, bar(1, 100), bar(1, 100, of=INDEX)) == []


# -- restarting ----------------------------------------------------------------------------------------


def test_what_a_strategy_keeps_is_marked_dirty_and_taken_back() -> None:
    dirty: dict[str, msgspec.Struct] = {}
    run = engine(strategy(ALWAYS_BUY, "{}"), dirty=dirty)
    run.warm([bar(375, 1, day=-1)])
    for number in (1, 2, 3):
        say(run, bar(number, 100))
    assert set(dirty) == {"strategy/one"}
    cells = {key: msgspec.msgpack.encode(cell) for key, cell in dirty.items()}
    again = engine(strategy(ALWAYS_BUY, "{}"))
    again.restore(cells)
    again.warm([bar(375, 1, day=-1), bar(1, 100), bar(2, 100), bar(3, 100)])
    (status,) = again.status()
    assert (status.bars_decided, status.signals) == (3, 3)
    assert status.last_signal == "BUY 09:18 100"
    assert [type(word) for word in say(again, bar(4, 100))] == [Signal]


def test_a_bar_decided_before_the_restart_is_not_decided_again() -> None:
    dirty: dict[str, msgspec.Struct] = {}
    run = engine(strategy(ALWAYS_BUY, "{}"), dirty=dirty)
    run.warm([bar(375, 1, day=-1)])
    say(run, bar(1, 100))
    again = engine(strategy(ALWAYS_BUY, "{}"))
    again.warm([bar(375, 1, day=-1)])
    again.restore({key: msgspec.msgpack.encode(cell) for key, cell in dirty.items()})
    assert say(again, bar(1, 100)) == []
    assert [type(word) for word in say(again, bar(2, 100))] == [Signal]


def test_a_strategy_switched_off_stays_off_after_a_restart() -> None:
    dirty: dict[str, msgspec.Struct] = {}
    run = engine(strategy(RAISES, "{}"), dirty=dirty)
    run.warm([bar(375, 1, day=-1)])
    say(run, bar(1, 103))
    again = engine(strategy(RAISES, "{}"))
    again.warm([bar(375, 1, day=-1), bar(1, 103)])
    again.restore({key: msgspec.msgpack.encode(cell) for key, cell in dirty.items()})
    assert say(again, bar(2, 100)) == []
    assert again.status()[0].off.startswith("ZeroDivisionError")


def test_a_memory_that_cannot_be_read_switches_the_strategy_off() -> None:
    run = engine(strategy(ALWAYS_BUY, "{}"))
    run.restore({"strategy/one": msgspec.msgpack.encode([["many"], 3])})
    assert run.status()[0].off.startswith("what it remembered cannot be read: ")


# -- before the day ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"params": {"bras": 3}},
            "its parameters do not fit idea: Object contains unknown field `bras`",
        ),
        ({"params": {"bars": "3"}}, r"Expected `int`, got `str` - at `\$.bars`"),
        ({"params": {"bars": 0}}, "its indicators cannot be set up: ValueError: SMA: timeperiod"),
        ({"strategy": "missing"}, "there is no strategy file missing.py"),
        ({"minutes": 7}, "there are no bars of 7 minutes"),
        ({"instrument": INDEX}, "NSE:NIFTY 50 is an index and cannot be traded"),
        ({"source": "NSE:NOTHING"}, "there is no instrument NSE:NOTHING today"),
    ],
)
def test_a_setting_that_does_not_fit_is_told_before_the_day(
    wrong: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        engine(strategy(ALWAYS_BUY), settings(**wrong))  # type: ignore[arg-type]


def test_two_strategies_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="Two strategies are called one"):
        engine(strategy(ALWAYS_BUY), settings(), settings())


def test_equal_indicators_of_two_strategies_are_fed_to_both() -> None:
    reads = strategy("    return state, hold(f'{i.mean:g}')")
    run = engine(reads, settings("a"), settings("b"), settings("c", params={"bars": 1}))
    run.warm([bar(374, 10, day=-1), bar(375, 20, day=-1)])
    say(run, bar(1, 40))
    run.switch_off(StrategyId("a"), OPEN, "enough")
    say(run, bar(2, 60))
    say(run, bar(3, 61))
    assert [list(status.holds) for status in run.status()] == [
        ["30"],
        ["30", "50", "60.5"],
        ["40", "60", "61"],
    ]


# -- indicators of one's own ---------------------------------------------------------------------------

SPREAD_OF_THE_DAY = '''
class Spread:
    """Highest close less lowest close of the day; fails on a close of 13 rupees."""

    def __init__(self):
        self.new_day()

    def new_day(self):
        self.top, self.low = 0.0, 1e9

    def push(self, open, high, low, close, volume):
        self.top, self.low = max(self.top, close), min(self.low, close)
        return (self.top - self.low) / (0.0 if close == 13 else 1.0)


'''


def with_own(decide: str, indicators: str) -> StrategyDefinition:
    imports = "from kitestring.core.indicators import own\n"
    return strategy(decide, indicators, imports + SPREAD_OF_THE_DAY)


def test_an_own_indicator_hears_of_each_new_day_in_history_and_today() -> None:
    reads = "    return state, hold(f'{i.wide:g} {i.wide5:g}')"
    run = engine(with_own(reads, '{"wide": own(Spread), "wide5": own(Spread, minutes=5)}'))
    run.warm([bar(1, 100, day=-2), bar(1, 50, day=-1), bar(2, 60, day=-1)])
    run.warm([bar(75, 50, minutes=5, day=-1)])
    say(run, bar(1, 30))
    say(run, bar(2, 34))
    assert list(run.status()[0].holds) == ["0 0", "4 0"]


def test_an_own_indicator_is_restarted_by_feeding_it_again() -> None:
    reads = "    return state, hold(f'{i.wide:g}')"
    bars = [bar(1, 30), bar(2, 34), bar(3, 41)]
    whole, again = (engine(with_own(reads, '{"wide": own(Spread)}')) for _ in range(2))
    for one in bars:
        say(whole, one)
    again.warm(bars[:2])
    say(again, bars[2])
    assert list(whole.status()[0].holds)[-1] == "11"
    assert list(again.status()[0].holds) == ["11"]


def test_an_own_indicator_that_fails_switches_off_those_that_read_it_and_nobody_else() -> None:
    reader = with_own("    return state, hold(f'{i.wide:g}')", '{"wide": own(Spread)}')
    other = strategy("    return state, hold('well')", "{}")
    run = engine(reader, settings(), settings("two", "other"), other=other)
    say(run, bar(1, 30))
    say(run, bar(2, 30))
    said = say(run, bar(3, 13))
    assert [(type(word), word.strategy, word.error) for word in said] == [  # type: ignore[union-attr]
        (StrategyOff, "one", "ZeroDivisionError: float division by zero (line 30 of idea.py)")
    ]
    say(run, bar(4, 30))
    assert [status.bars_decided for status in run.status()] == [1, 3]


def test_yesterday_is_not_waited_for() -> None:
    reads = "    return state, hold(f'{i.top:g}')"
    run = engine(strategy(reads, '{"top": previous_day("high")}'))
    say(run, bar(1, 30))
    say(run, bar(2, 34))
    assert list(run.status()[0].holds) == ["nan"]
