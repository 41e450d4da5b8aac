"""From ticks to bars, as a trading day brings them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kitestring.core.market_data_engine import MarketDataEngine
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.events import Gap, HistoryLoaded
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, NEVER, SECOND, Instant, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.ticks import Tick, TickFrame

DAY = dt.date(2026, 11, 20)
INFY = InstrumentId("NSE:INFY")
FUT = InstrumentId("NFO:NIFTY26NOVFUT")


def at(clock: str) -> Instant:
    return instant(DAY, dt.time.fromisoformat(clock))


def session(
    segment: Segment, opens: str = "09:15", closes: str = "15:30", phases: tuple[Phase, ...] = ()
) -> Session:
    return Session(
        date=DAY,
        segment=segment,
        open_at=at(opens),
        close_at=at(closes),
        entry_cutoff_at=at(closes),
        square_off_at=at(closes),
        phases=phases,
    )


def share(instrument: InstrumentId, segment: Segment = Segment.EQUITY) -> Instrument:
    exchange, _, symbol = instrument.partition(":")
    return Instrument(
        id=instrument,
        exchange=exchange,
        symbol=symbol,
        token=1,
        kind=InstrumentKind.EQUITY,
        segment=segment,
        name=symbol,
        lot_size=1,
        tick_size=Price(500),
    )


def engine(
    *timeframes: int,
    grace: int = 0,
    jump: float = 0.10,
    stale_after: int = 60 * SECOND,
    previous_close: int = 0,
    the_session: Session | None = None,
    window_bars: int = 64,
) -> MarketDataEngine:
    return MarketDataEngine(
        [share(INFY)],
        {Segment.EQUITY: the_session or session(Segment.EQUITY)},
        timeframes={INFY: frozenset(timeframes)},
        bar_grace=grace,
        price_jump_pct_max=jump,
        stale_after=stale_after,
        previous_close={INFY: Price(previous_close)} if previous_close else {},
        window_bars=window_bars,
    )


def tick(clock: str, rupees: float, cum_qty: int = 0) -> Tick:
    return Tick(INFY, at(clock), Price(round(rupees * 10_000)), cum_qty)


def line(bar: Bar) -> str:
    """One bar as a golden line: timeframe, clock, prices in rupees, volume."""
    opens = (bar.open_at - at("00:00")) // MINUTE
    closes = (bar.close_at - at("00:00")) // MINUTE
    prices = " ".join(f"{int(px) / 10_000:.2f}" for px in (bar.open, bar.high, bar.low, bar.close))
    mark = " incomplete" if bar.incomplete else ""
    name = "day" if bar.minutes == 0 else f"{bar.minutes}m"
    return (
        f"{name} {opens // 60:02d}:{opens % 60:02d}-{closes // 60:02d}:{closes % 60:02d}"
        f" {prices} {bar.volume}{mark}"
    )


def play(market: MarketDataEngine, ticks: Sequence[Tick], until: str = "15:30") -> list[str]:
    """Ticks and timers in the order of the day: a timer comes before the ticks at its instant."""
    bars: list[Bar] = []
    for one in ticks:
        while market.next_due_at <= one.event_at:
            bars += market.close_due(market.next_due_at)
        market.accept(one)
    while market.next_due_at <= at(until):
        bars += market.close_due(market.next_due_at)
    return [line(bar) for bar in bars]


def test_a_short_morning_makes_these_bars():
    bars = play(
        engine(1, 3, 5, 0),
        [
            tick("09:15:00", 100.00, 5_000),
            tick("09:15:20", 101.50, 5_200),
            tick("09:15:59.999999", 99.50, 5_300),
            tick("09:16:00", 100.25, 5_450),
            tick("09:18:10", 102.00, 6_000),
            tick("09:19:59", 101.00, 6_100),
        ],
        until="09:21",
    )
    assert bars == [
        "1m 09:15-09:16 100.00 101.50 99.50 99.50 300",
        "1m 09:16-09:17 100.25 100.25 100.25 100.25 150",
        "3m 09:15-09:18 100.00 101.50 99.50 100.25 450",
        "1m 09:18-09:19 102.00 102.00 102.00 102.00 550",
        "1m 09:19-09:20 101.00 101.00 101.00 101.00 100",
        "5m 09:15-09:20 100.00 102.00 99.50 101.00 1100",
        "3m 09:18-09:21 102.00 102.00 101.00 101.00 650",
    ]


def test_the_last_bars_of_the_day_end_with_the_session_and_the_day_bar_comes_last():
    bars = play(
        engine(60, 0, 1),
        [tick("09:15:00", 100.00, 10), tick("15:14:00", 105.00, 30), tick("15:29:59", 104.00, 50)],
    )
    assert bars == [
        "1m 09:15-09:16 100.00 100.00 100.00 100.00 0",
        "60m 09:15-10:15 100.00 100.00 100.00 100.00 0",
        "1m 15:14-15:15 105.00 105.00 105.00 105.00 20",
        "60m 14:15-15:15 105.00 105.00 105.00 105.00 20",
        "1m 15:29-15:30 104.00 104.00 104.00 104.00 20",
        "60m 15:15-15:30 104.00 104.00 104.00 104.00 20",
        "day 09:15-15:30 100.00 105.00 100.00 104.00 40",
    ]


def test_a_day_of_three_hundred_and_sixty_minutes_wants_as_many_timers_and_then_never():
    market = engine(1, the_session=session(Segment.EQUITY, closes="15:15"))
    timers = []
    while market.next_due_at != NEVER:
        timers.append(market.next_due_at)
        market.close_due(market.next_due_at)
    assert len(timers) == 360
    assert timers[0] == at("09:16")
    assert timers[-1] == at("15:15")


def test_a_share_and_a_future_close_their_day_at_their_own_hours_in_the_order_of_the_manifest():
    market = MarketDataEngine(
        [share(FUT, Segment.FUTURES), share(INFY)],
        {
            Segment.EQUITY: session(Segment.EQUITY, closes="15:15"),
            Segment.FUTURES: session(Segment.FUTURES, closes="15:40"),
        },
        timeframes={INFY: frozenset({1, 0}), FUT: frozenset({1, 30, 0})},
        bar_grace=0,
        price_jump_pct_max=0.1,
        stale_after=60 * SECOND,
        previous_close={},
    )
    bars: list[Bar] = []
    for one in (
        tick("15:14:10", 100.00, 10),
        Tick(FUT, at("15:14:20"), Price(250_000_000)),
        tick("15:15:00", 101.00, 20),
        Tick(FUT, at("15:39:59"), Price(250_100_000)),
    ):
        while market.next_due_at <= one.event_at:
            bars += market.close_due(market.next_due_at)
        market.accept(one)
    while market.next_due_at != NEVER:
        bars += market.close_due(market.next_due_at)
    assert [(bar.instrument, bar.minutes, bar.close_at) for bar in bars] == [
        (FUT, 1, at("15:15")),
        (FUT, 30, at("15:15")),
        (INFY, 1, at("15:15")),
        (INFY, 0, at("15:15")),
        (FUT, 1, at("15:40")),
        (FUT, 30, at("15:40")),
        (FUT, 0, at("15:40")),
    ]
    assert market.views[INFY].out_of_hours == 1


def test_a_special_session_of_two_phases_keeps_the_grid_of_its_opening():
    phases = (
        Phase(PhaseKind.CONTINUOUS, at("09:15"), at("10:00")),
        Phase(PhaseKind.PRE_OPEN, at("11:15"), at("11:30")),
        Phase(PhaseKind.CONTINUOUS, at("11:30"), at("12:30")),
    )
    market = engine(
        60, the_session=session(Segment.EQUITY, closes="12:30", phases=phases), stale_after=10**12
    )
    bars = play(
        market,
        [
            tick("09:59:59", 100.00, 10),
            tick("10:00:00", 300.00, 20),
            tick("11:20:00", 300.00, 20),
            tick("11:30:00", 101.00, 30),
        ],
    )
    assert bars == [
        "60m 09:15-10:15 100.00 100.00 100.00 100.00 0",
        "60m 11:15-12:15 101.00 101.00 101.00 101.00 20",
    ]
    assert market.views[INFY].out_of_hours == 2


def test_an_evening_session_of_an_hour_closes_its_bars_too():
    market = engine(30, 0, the_session=session(Segment.EQUITY, "18:15", "19:15"))
    assert play(market, [tick("18:15:00", 10.00, 1), tick("19:14:59", 11.00, 5)], "19:15") == [
        "30m 18:15-18:45 10.00 10.00 10.00 10.00 0",
        "30m 18:45-19:15 11.00 11.00 11.00 11.00 4",
        "day 18:15-19:15 10.00 11.00 10.00 11.00 4",
    ]


def test_with_grace_a_bar_waits_for_its_delayed_ticks_while_the_next_is_already_open():
    market = engine(1, grace=1_500_000)
    assert market.next_due_at == at("09:16:01.5")
    market.accept(tick("09:15:58", 100.00, 10))
    market.accept(tick("09:15:59.9", 101.00, 20))
    market.accept(tick("09:16:00", 105.00, 30))
    assert not market.accept(tick("09:15:59.95", 90.00, 25))
    assert [line(bar) for bar in market.close_due(at("09:16:01.5"))] == [
        "1m 09:15-09:16 100.00 101.00 100.00 101.00 10"
    ]
    assert market.next_due_at == at("09:17:01.5")
    assert market.close_due(at("09:17:01")) == []
    assert [line(bar) for bar in market.close_due(at("09:17:01.5"))] == [
        "1m 09:16-09:17 105.00 105.00 105.00 105.00 10"
    ]
    assert market.views[INFY].late == 1


def test_a_tick_later_than_its_closed_bar_is_counted_and_never_merged():
    market = engine(1)
    market.accept(tick("09:15:10", 100.00, 10))
    assert [line(bar) for bar in market.close_due(at("09:16"))] == [
        "1m 09:15-09:16 100.00 100.00 100.00 100.00 0"
    ]
    assert not market.accept(tick("09:15:50", 104.00, 20))
    assert market.views[INFY].late == 1
    assert market.views[INFY].last_px == Price(1_000_000)
    assert market.close_due(at("09:17")) == []


def test_timers_that_come_late_close_everything_in_the_order_of_the_closes():
    market = engine(1, 3)
    for one in (tick("09:15:00", 10.00), tick("09:16:00", 11.00), tick("09:18:00", 12.00)):
        market.accept(one)
    assert [line(bar) for bar in market.close_due(at("09:21"))] == [
        "1m 09:15-09:16 10.00 10.00 10.00 10.00 0",
        "1m 09:16-09:17 11.00 11.00 11.00 11.00 0",
        "3m 09:15-09:18 10.00 11.00 10.00 11.00 0",
        "1m 09:18-09:19 12.00 12.00 12.00 12.00 0",
        "3m 09:18-09:21 12.00 12.00 12.00 12.00 0",
    ]


def test_only_the_timeframes_asked_for_are_told():
    assert play(engine(5), [tick("09:15:00", 10.00, 3), tick("09:16:00", 9.00, 5)], "09:20") == [
        "5m 09:15-09:20 10.00 10.00 9.00 9.00 2"
    ]


def test_each_tick_kept_out_is_counted_once_under_the_first_thing_wrong():
    market = engine(1)
    view = market.views[INFY]
    assert market.accept(tick("09:15:10", 100.00, 10))
    assert not market.accept(tick("09:15:10", 100.00, 10))
    assert market.accept(tick("09:15:10", 100.05, 10))
    assert not market.accept(tick("09:15:09", 100.05, 10))
    assert not market.accept(tick("09:15:11", 0.00, 10))
    assert not market.accept(tick("09:15:11", -3.00, 10))
    assert not market.accept(tick("09:14:59", 100.00, 10))
    assert not market.accept(tick("15:30:00", 100.00, 10))
    assert not market.accept(Tick(INFY, 0, Price(1_000_000), 10))
    assert not market.accept(tick("09:15:12", 111.00, 12))
    assert market.accept(tick("09:15:13", 100.10, 9))
    assert (view.accepted, view.duplicate, view.late, view.zero) == (3, 1, 1, 2)
    assert (view.out_of_hours, view.absurd, view.falling_volume) == (3, 1, 1)
    assert view.kept_out == 8
    assert (view.last_px, view.last_at, view.cum_qty) == (1_001_000, at("09:15:13"), 10)


def test_a_change_of_depth_in_the_same_second_is_news_and_no_duplicate():
    market = engine(1)
    market.accept(Tick(INFY, at("09:15:10"), Price(100), 10, Price(99), 5, Price(101), 5))
    assert market.accept(Tick(INFY, at("09:15:10"), Price(100), 10, Price(99), 7, Price(101), 4))
    view = market.views[INFY]
    assert (view.bid_px, view.bid_qty, view.ask_px, view.ask_qty) == (99, 7, 101, 4)


def test_volume_grows_again_only_above_the_highest_quantity_seen():
    market = engine(1)
    for one in (
        tick("09:15:00", 100.00, 1_000),
        tick("09:15:10", 100.00, 1_100),
        tick("09:15:20", 100.50, 1_050),
        tick("09:15:30", 100.00, 1_080),
        tick("09:15:40", 100.00, 1_130),
    ):
        assert market.accept(one)
    assert [line(bar) for bar in market.close_due(at("09:16"))] == [
        "1m 09:15-09:16 100.00 100.50 100.00 100.00 130"
    ]
    assert market.views[INFY].falling_volume == 2


def test_joining_in_the_middle_of_the_day_counts_only_what_trades_from_then_on():
    assert play(
        engine(1), [tick("11:02:30", 100.00, 900_000), tick("11:02:40", 100.00, 900_250)], "11:03"
    ) == ["1m 11:02-11:03 100.00 100.00 100.00 100.00 250"]


def test_a_single_absurd_price_is_kept_out_and_the_next_sane_one_is_believed():
    market = engine(1)
    assert market.accept(tick("09:15:00", 100.00))
    assert not market.accept(tick("09:15:01", 1.00))
    assert market.accept(tick("09:15:02", 100.50))
    assert not market.accept(tick("09:15:03", 1.00))
    assert market.views[INFY].absurd == 2
    assert market.views[INFY].day_low == Price(1_000_000)


def test_a_step_of_exactly_the_limit_is_believed_and_a_tick_more_is_not():
    market = engine(1)
    market.accept(tick("09:15:00", 100.00))
    assert market.accept(tick("09:15:01", 110.00))
    assert not market.accept(tick("09:15:02", 121.05))
    assert market.accept(tick("09:15:03", 99.00))


def test_the_step_is_measured_from_the_last_price_wherever_the_day_began():
    market = engine(1)
    market.accept(tick("09:15:00", 100.00))
    assert market.accept(tick("09:15:01", 109.90))
    assert not market.accept(tick("09:15:02", 98.90))
    assert market.accept(tick("09:15:03", 98.95))


def test_the_day_so_far_is_known_at_every_tick():
    market = engine(1)
    view = market.views[INFY]
    for second, rupees in enumerate((100.00, 103.00, 101.00, 98.00, 99.00)):
        market.accept(tick(f"09:15:{second:02d}", rupees, 10 * second))
    assert (view.day_open, view.day_high, view.day_low) == (1_000_000, 1_030_000, 980_000)
    assert (view.last_px, view.cum_qty) == (990_000, 40)


def test_two_absurd_prices_that_agree_move_the_anchor():
    market = engine(1)
    market.accept(tick("09:15:00", 100.00))
    assert not market.accept(tick("09:15:01", 130.00))
    assert not market.accept(tick("09:15:01", 130.00))
    assert market.accept(tick("09:15:02", 129.00))
    assert market.accept(tick("09:15:03", 130.00))
    view = market.views[INFY]
    assert (view.absurd, view.duplicate, view.accepted) == (1, 1, 3)


def test_two_absurd_prices_that_disagree_move_nothing():
    market = engine(1)
    market.accept(tick("09:15:00", 100.00))
    assert not market.accept(tick("09:15:01", 130.00))
    assert not market.accept(tick("09:15:02", 60.00))
    assert not market.accept(tick("09:15:03", 130.00))
    assert market.accept(tick("09:15:04", 101.00))
    assert market.views[INFY].absurd == 3


def test_the_first_tick_of_the_day_is_measured_against_the_previous_close():
    market = engine(1, previous_close=1_000_000)
    assert not market.accept(tick("09:15:00", 14.00))
    assert market.accept(tick("09:15:01", 101.00))
    assert market.views[INFY].day_open == Price(1_010_000)


def test_a_stamp_far_ahead_of_its_arrival_cannot_make_the_honest_ticks_late():
    market = engine(1)
    first = TickFrame(at("09:15:01"), (tick("09:15:00", 100.00),))
    assert market.accept_frame(first) == [market.views[INFY]]
    assert market.accept_frame(TickFrame(at("09:15:02"), (tick("14:00:00", 100.00),))) == []
    assert market.accept_frame(TickFrame(at("09:15:03"), (tick("09:15:02", 100.00),)))
    assert market.views[INFY].absurd == 1


def test_the_views_of_a_frame_come_in_the_order_of_its_ticks_without_those_kept_out():
    market = engine(1)
    view = market.views[INFY]
    frame = TickFrame(
        at("09:15:05"),
        (tick("09:15:01", 10.00), tick("09:15:01", 10.00), tick("09:15:02", 10.05)),
    )
    assert market.accept_frame(frame) == [view, view]


def test_bars_over_a_known_gap_are_incomplete_and_the_others_are_not():
    market = engine(1, 3, 15)
    market.accept(tick("09:15:30", 100.00))
    bars = market.close_due(at("09:16"))
    market.accept(tick("09:16:10", 100.00))
    market.gap(Gap(start_at=at("09:16:20"), end_at=at("09:18:00"), reason="socket"))
    market.accept(tick("09:18:00", 101.00))
    while market.next_due_at <= at("09:30"):
        bars += market.close_due(market.next_due_at)
    assert [line(bar) for bar in bars] == [
        "1m 09:15-09:16 100.00 100.00 100.00 100.00 0",
        "1m 09:16-09:17 100.00 100.00 100.00 100.00 0 incomplete",
        "3m 09:15-09:18 100.00 100.00 100.00 100.00 0 incomplete",
        "1m 09:18-09:19 101.00 101.00 101.00 101.00 0",
        "3m 09:18-09:21 101.00 101.00 101.00 101.00 0",
        "15m 09:15-09:30 100.00 101.00 100.00 101.00 0 incomplete",
    ]


def test_silence_is_told_once_and_so_is_the_first_tick_after_it():
    market = engine(1, stale_after=60 * SECOND)
    assert market.staleness(at("09:10")) == []
    market.accept(tick("09:15:30", 100.00))
    assert market.staleness(at("09:16:30")) == []
    (fault,) = market.staleness(at("09:16:31"))
    assert (fault.instrument, fault.fault, fault.at) == (INFY, "stale", at("09:16:31"))
    assert fault.sentence == "NSE:INFY has not ticked for 61 s, last at 09:15:30."
    assert market.staleness(at("09:17")) == []
    assert market.views[INFY].stale
    market.accept(tick("09:17:05", 100.00))
    assert not market.views[INFY].stale
    (fault,) = market.staleness(at("09:17:06"))
    assert (fault.fault, fault.sentence) == ("fresh", "NSE:INFY ticks again.")
    assert market.staleness(at("09:17:07")) == []


def test_an_instrument_that_never_ticks_is_stale_from_a_minute_after_the_open():
    market = engine(1, stale_after=60 * SECOND)
    assert market.staleness(at("09:16")) == []
    (fault,) = market.staleness(at("09:16:01"))
    assert fault.sentence == "NSE:INFY has not ticked today."


def history(minutes: int, *closes: tuple[str, float]) -> HistoryLoaded:
    width = minutes * MINUTE if minutes else 375 * MINUTE
    bars = tuple(
        Bar(INFY, minutes, at(clock) - width, at(clock), px, px, px, px, 7)
        for clock, rupees in closes
        for px in [Price(round(rupees * 10_000))]
    )
    return HistoryLoaded(instrument=INFY, minutes=minutes, bars=bars, source="test", digest="")


def test_a_window_holds_history_and_today_and_forgets_the_oldest():
    market = engine(1, window_bars=4)
    market.load_history(history(1, ("09:13", 1.00), ("09:14", 2.00), ("09:15", 3.00)))
    window = market.window(INFY, 1)
    assert window.close.tolist() == [1.0, 2.0, 3.0]
    play(
        market,
        [tick("09:15:00", 4.00, 10), tick("09:16:00", 4.05, 12), tick("09:16:30", 4.40, 15)],
        "09:17",
    )
    assert len(window) == 4
    assert window.close.tolist() == [2.0, 3.0, 4.0, 4.4]
    assert window.open.tolist() == [2.0, 3.0, 4.0, 4.05]
    assert window.high.tolist() == [2.0, 3.0, 4.0, 4.4]
    assert window.low.tolist() == [2.0, 3.0, 4.0, 4.05]
    assert window.volume.tolist() == [7.0, 7.0, 0.0, 5.0]
    assert window.last is not None
    assert window.last.close == Price(44_000)
    assert [bar.minutes for bar in window] == [1, 1, 1, 1]


def test_a_window_read_at_every_bar_moves_through_its_buffer_many_times():
    market = engine(1, window_bars=3)
    window = market.window(INFY, 1)
    for minute in range(20):
        start = at("09:15") + minute * MINUTE
        market.accept(Tick(INFY, start, Price((200 + minute) * 10_000), minute))
        market.close_due(start + MINUTE)
        assert window.close.tolist() == [
            200.0 + seen for seen in range(max(0, minute - 2), minute + 1)
        ]


def test_a_column_is_a_view_that_nobody_can_write_to():
    market = engine(1)
    market.load_history(history(1, ("09:14", 2.00), ("09:15", 3.00)))
    window = market.window(INFY, 1)
    close = window.close
    assert np.shares_memory(close, window.close)
    assert close.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        close[0] = 1.0


def test_history_that_overlaps_the_bars_of_today_is_left_out():
    market = engine(1)
    play(market, [tick("09:16:10", 9.00)], "09:17")
    market.load_history(history(1, ("09:15", 1.00), ("09:16", 2.00), ("09:17", 3.00)))
    assert market.window(INFY, 1).close.tolist() == [1.0, 2.0, 9.0]


def test_the_previous_day_is_the_last_day_bar_of_the_history():
    market = engine(1, 0)
    assert market.previous_day(INFY) is None
    market.load_history(history(0, ("07:00", 5.00), ("08:00", 6.00)))
    previous = market.previous_day(INFY)
    assert previous is not None
    assert previous.close == Price(60_000)


def recorded(clock: str, *rupees: float, volume: int = 0, minutes: int = 1) -> Bar:
    open_at = at(clock)
    prices = [Price(round(one * 10_000)) for one in rupees]
    return Bar(INFY, minutes, open_at, open_at + minutes * MINUTE, *prices, volume)


def test_recorded_bars_make_the_longer_bars_without_a_single_timer():
    market = engine(1, 3)
    told = []
    for bar in (
        recorded("09:15", 10, 12, 9, 11, volume=5),
        recorded("09:16", 11, 11, 8, 9, volume=6),
        recorded("09:17", 9, 10, 9, 10, volume=7),
        recorded("09:18", 10, 10, 10, 10, volume=1),
        recorded("09:22", 20, 20, 20, 20, volume=2),
    ):
        told += market.accept_bar(bar)
    assert [line(bar) for bar in told] == [
        "1m 09:15-09:16 10.00 12.00 9.00 11.00 5",
        "1m 09:16-09:17 11.00 11.00 8.00 9.00 6",
        "1m 09:17-09:18 9.00 10.00 9.00 10.00 7",
        "3m 09:15-09:18 10.00 12.00 8.00 10.00 18",
        "1m 09:18-09:19 10.00 10.00 10.00 10.00 1",
        "3m 09:18-09:21 10.00 10.00 10.00 10.00 1",
        "1m 09:22-09:23 20.00 20.00 20.00 20.00 2",
    ]
    view = market.views[INFY]
    assert (view.last_px, view.last_at, view.cum_qty) == (200_000, at("09:23"), 21)
    assert (view.day_open, view.day_high, view.day_low) == (100_000, 200_000, 80_000)


def test_a_longer_bar_of_recorded_bars_is_closed_by_time_when_its_last_minute_is_missing():
    market = engine(5)
    assert market.accept_bar(recorded("09:15", 10, 12, 9, 11, volume=5)) == []
    assert market.next_due_at == at("09:20") + 1
    assert [line(bar) for bar in market.close_due(market.next_due_at)] == [
        "5m 09:15-09:20 10.00 12.00 9.00 11.00 5"
    ]
    assert market.next_due_at == NEVER
    assert market.accept_bar(recorded("09:19", 10, 12, 9, 11)) == []
    assert market.views[INFY].late == 1


def test_recorded_bars_that_repeat_or_lie_outside_the_session_are_kept_out():
    market = engine(1)
    assert market.accept_bar(recorded("09:14", 1, 1, 1, 1)) == []
    assert len(market.accept_bar(recorded("09:15", 1, 1, 1, 1))) == 1
    assert market.accept_bar(recorded("09:15", 1, 1, 1, 1)) == []
    assert market.accept_bar(recorded("15:30", 1, 1, 1, 1)) == []
    view = market.views[INFY]
    assert (view.out_of_hours, view.late, view.accepted) == (2, 1, 1)


def test_a_frame_of_recorded_bars_is_told_in_the_order_of_the_house():
    market = MarketDataEngine(
        [share(FUT, Segment.FUTURES), share(INFY)],
        {Segment.EQUITY: session(Segment.EQUITY), Segment.FUTURES: session(Segment.FUTURES)},
        timeframes={INFY: frozenset({1}), FUT: frozenset({1})},
        bar_grace=0,
        price_jump_pct_max=0.1,
        stale_after=60 * SECOND,
        previous_close={},
    )
    bar = recorded("09:15", 1, 1, 1, 1)
    other = Bar(FUT, 1, bar.open_at, bar.close_at, *[Price(1)] * 4)
    told = market.accept_bar_frame(BarFrame(bar.close_at, (bar, other)))
    assert [one.instrument for one in told] == [FUT, INFY]


# ------------------------------------------------------------------------------ the law of bars

OPEN = at("09:15")
CLOSE = at("10:25")  # Seventy minutes: the last 60-, 30- and 15-minute bars are cut short.


def expected_bars(ticks: Sequence[Tick], timeframes: Sequence[int]) -> list[tuple[int, ...]]:
    """Every bar of a list of clean ticks, each computed on its own from nothing but the ticks."""
    bars = []
    for minutes in timeframes:
        width = minutes * 60_000_000 if minutes else CLOSE - OPEN
        start = OPEN
        while start < CLOSE:
            end = min(start + width, CLOSE)
            inside = [one for one in ticks if start <= one.event_at < end]
            if inside:
                earlier = [one.cum_qty for one in ticks if one.event_at < start]
                base = max(earlier) if earlier else ticks[0].cum_qty
                top = max([base, *(one.cum_qty for one in inside)])
                prices = [int(one.last_px) for one in inside]
                bars.append(
                    (
                        end,
                        99 if minutes == 0 else minutes,
                        start,
                        prices[0],
                        max(prices),
                        min(prices),
                        prices[-1],
                        top - base,
                    )
                )
            start += width
    return sorted(bars)


@st.composite
def mornings(draw: st.DrawFn) -> list[Tick]:
    count = draw(st.integers(1, 60))
    offsets = sorted(
        draw(
            st.lists(
                st.integers(0, 70 * 60_000_000 - 1)
                | st.integers(0, 69).map(lambda minute: minute * 60_000_000),
                min_size=count,
                max_size=count,
            )
        )
    )
    ticks: list[Tick] = []
    cum_qty = draw(st.integers(0, 1_000))
    for offset in offsets:
        cum_qty = max(0, cum_qty + draw(st.integers(-20, 300)))
        one = Tick(INFY, OPEN + offset, Price(draw(st.integers(9_600, 10_400))), cum_qty)
        if not ticks or one != ticks[-1]:
            ticks.append(one)
    return ticks


def run(market: MarketDataEngine, ticks: Sequence[Tick]) -> list[Bar]:
    bars: list[Bar] = []
    for one in ticks:
        while market.next_due_at <= one.event_at:
            bars += market.close_due(market.next_due_at)
        assert market.accept(one)
    while market.next_due_at != NEVER:
        bars += market.close_due(market.next_due_at)
    return bars


@settings(max_examples=150, deadline=None)
@given(mornings(), st.sets(st.sampled_from([1, 3, 5, 10, 15, 30, 60, 0]), min_size=1))
def test_bars_from_ticks_are_what_the_ticks_alone_say(ticks, timeframes):
    the_session = session(Segment.EQUITY, closes="10:25")
    market = engine(*timeframes, the_session=the_session)
    bars = run(market, ticks)
    told = [
        (
            bar.close_at,
            bar.minutes or 99,
            bar.open_at,
            int(bar.open),
            int(bar.high),
            int(bar.low),
            int(bar.close),
            bar.volume,
        )
        for bar in bars
    ]
    assert told == expected_bars(ticks, sorted(timeframes))
    assert run(engine(*timeframes, the_session=the_session), ticks) == bars


@settings(max_examples=60, deadline=None)
@given(mornings(), st.integers(0, 200_000_000))
def test_grace_delays_the_timers_and_changes_no_bar(ticks, grace):
    the_session = session(Segment.EQUITY, closes="10:25")
    with_grace = engine(1, 5, 15, grace=grace, the_session=the_session)
    assert run(with_grace, ticks) == run(engine(1, 5, 15, the_session=the_session), ticks)


@settings(max_examples=60, deadline=None)
@given(mornings())
def test_recorded_minutes_make_the_same_longer_bars_as_the_ticks_did(ticks):
    the_session = session(Segment.EQUITY, closes="10:25")
    bars = run(engine(1, 5, 15, 60, 0, the_session=the_session), ticks)
    market = engine(1, 5, 15, 60, 0, the_session=the_session)
    again: list[Bar] = []
    for bar in bars:
        if bar.minutes == 1:
            while market.next_due_at < bar.close_at:
                again += market.close_due(market.next_due_at)
            again += market.accept_bar(bar)
    while market.next_due_at != NEVER:
        again += market.close_due(market.next_due_at)
    assert again == bars
