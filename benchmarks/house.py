"""The house as it trades on paper, with journal and tape in memory, on any feed.

Everything else is the production path with its defaults: risk, order life, exits, charges, the
paper exchange, journal encoding and hash chain.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kitestring.broker.paper_broker import PaperBroker
from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.charges import ChargeBook
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import MINUTE, SECOND, Instant, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Money, Price, decimal_rupees
from kitestring.domain.ports import Commit, Manifest
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.ticks import TickFrame
from kitestring.engine.clocks import AsFastAsPossible
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.trading_day import TradingDay
from kitestring.exchange.fill_models import fill_model
from kitestring.exchange.ledger import MemoryLedger
from kitestring.exchange.margin import StatedMargins
from kitestring.market.charges import configured_charges
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.tape import MemoryTape

DAY = dt.date(2026, 11, 20)
OPEN_AT = instant(DAY, dt.time(9, 15))
CAPITAL = Money(10**9 * 10_000)
LOTS = 50


class Outcome(NamedTuple):
    """What one run measured."""

    events: int
    seconds: float
    cpu_s: float
    """Processor seconds of the same stretch: the two differ where the machine is busy elsewhere."""
    orders: int
    fills: int
    equity: str

    def line(self, what: str, **more: object) -> dict[str, object]:
        """The JSON line of a benchmark."""
        return {
            "benchmark": what,
            **more,
            "events": self.events,
            "seconds": round(self.seconds, 4),
            "cpu_seconds": round(self.cpu_s, 4),
            "events_per_s": round(self.events / self.seconds),
            "orders": self.orders,
            "fills": self.fills,
            "final_equity": self.equity,
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "python": sys.version.split()[0],
        }


def share(number: int) -> Instrument:
    """An imaginary share traded one by one, so that 50 lots are 50 shares."""
    symbol = f"S{number:03d}"
    return Instrument(
        id=InstrumentId(f"NSE:{symbol}"),
        exchange="NSE",
        symbol=symbol,
        token=number + 1,
        kind=InstrumentKind.EQUITY,
        segment=Segment.EQUITY,
        name=symbol,
        lot_size=1,
        tick_size=Price(500),
    )


def one_long_session(minutes: int) -> Session:
    """A session long enough for the whole measurement: a feed brings its own timetable."""
    close_at = OPEN_AT + (minutes + 2) * MINUTE
    return Session(
        date=DAY,
        segment=Segment.EQUITY,
        open_at=OPEN_AT,
        close_at=close_at,
        entry_cutoff_at=close_at,
        square_off_at=close_at + SECOND,
        phases=(Phase(PhaseKind.CONTINUOUS, OPEN_AT, close_at),),
    )


class Measured:
    """A feed over frames that are made while they are asked for."""

    def __init__(
        self, manifest: Manifest, frames: Iterator[TickFrame] | Iterator[BarFrame]
    ) -> None:
        self.manifest = manifest
        self._frames = frames

    def frames(self, after: int = 0) -> Iterator[TickFrame] | Iterator[BarFrame]:
        """See ``Feed``; a measurement begins at the beginning."""
        assert after == 0
        return self._frames

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """See ``Feed``; there is none."""
        del instrument, minutes, bars
        return ()


class _Nobody:
    def committed(self, number: int, commit: Commit) -> None:
        """See ``Follower``."""

    def passing(self, at: Instant, frames: int) -> None:
        """See ``Follower``."""


def manifest(instruments: tuple[Instrument, ...], minutes: int) -> Manifest:
    """A manifest of imaginary shares over one long session."""
    return Manifest(
        name="measured",
        date=DAY,
        instruments=instruments,
        sessions={Segment.EQUITY: one_long_session(minutes)},
        digest="measured",
    )


def trade(
    feed: Measured, *, charges: str, strategy: str = "ema_cross", lots: int = LOTS
) -> Outcome:
    """Run the feed through the house, one strategy on every instrument."""
    carried = feed.manifest
    definition: StrategyDefinition = read_strategy(strategy)
    rows = tuple(
        StrategySettings(
            name=StrategyId(f"{strategy}-{instrument.symbol}"),
            strategy=strategy,
            source=instrument.id,
            instrument=instrument.id,
            minutes=1,
            lots=lots,
        )
        for instrument in carried.instruments
    )
    # The default limits, with room for a year of trades in one session and many instruments.
    risk = RiskSettings(
        max_open_positions=10**6,
        max_working_orders=10**6,
        max_orders_per_second=10**6,
        max_orders_per_minute=10**6,
        max_orders_per_day=10**9,
        max_trades_per_strategy=10**9,
        max_trades_per_symbol=10**9,
        loss_streak_max=10**6,
    )
    settings = DaySettings(
        date=DAY, capital=CAPITAL, run_key="measured", strategies=rows, risk=risk
    )
    book: ChargeBook = configured_charges(charges, DAY)
    core = TradingCore(
        settings,
        instruments=carried.instruments,
        sessions=carried.sessions,
        definitions={strategy: definition},
        charge_book=book,
        margins=StatedMargins(),
        previous_close={},
    )
    broker = PaperBroker(
        instruments=core.instruments,
        sessions=carried.sessions,
        charges=book,
        cash=CAPITAL,
        fill_model=fill_model("market"),
        seed=1,
        ledger=MemoryLedger(),
    )
    day = TradingDay(
        core,
        feed=feed,
        broker=broker,
        journal=MemoryJournal(keep=1024),
        tape=MemoryTape(carried),
        pace=AsFastAsPossible(),
        follower=_Nobody(),
    )
    gc.collect()
    gc.freeze()
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(day.run())
    seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu
    gc.unfreeze()
    return Outcome(
        events=day.ticks or day.feed_position,
        seconds=seconds,
        cpu_s=cpu,
        orders=core.orders.placed,
        fills=core.portfolio.fills,
        equity=str(decimal_rupees(core.equity)),
    )
