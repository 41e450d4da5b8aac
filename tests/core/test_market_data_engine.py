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
    prices = " ".join(
        f"{int(px) / 10_000:.2f}" for px in (bar.open, bar.high, bar.low, bar.close)
    )
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
        (INFY, 1, at("15:15")),
        (INFY, 0, at("15:15")),
        (FUT, 30, at("15:15")),
        (FUT, 1, at("15:40")),
        (FUT, 30, at("15:40")),
        (FUT, 0, at("15:40")),
    ] or [(bar.instrument, bar.minutes, bar.close_at) for bar in bars] == [
        (FUT, 1, at("15:15")),
        (FUT, 30, at("15:15")),
        (INFY, 1, at("15:15")),
        (INFY, 0, at("15:15")),
        (FUT, 1, at("15:40")),
        (FUT, 30, at("15:40")),
        (FUT, 0, at("15:40")),
    ]
    assert market.views[INFY].out_of_hours == 1
