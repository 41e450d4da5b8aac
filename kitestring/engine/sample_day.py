"""One strategy on one synthetic day, in memory and in a second: what its author wants to see first.

It is the house as it trades, with journal and tape in memory: the same bars, risk, orders, fills and
charges. Only the limits that would end the strategy's day are off, so that one sees the strategy and
not them; it trades one lot at a time.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from kitestring.broker.paper_broker import PaperBroker
from kitestring.core.history import history_event
from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_run import StrategyStatus
from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import Fact
from kitestring.domain.ids import StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money, charge_as_money, money
from kitestring.domain.ports import Commit
from kitestring.engine.clocks import AsFastAsPossible
from kitestring.engine.trading_day import TradingDay
from kitestring.exchange.fill_models import fill_model
from kitestring.exchange.ledger import MemoryLedger
from kitestring.exchange.margin import StatedMargins
from kitestring.exchange.synthetic_market import SyntheticFeed
from kitestring.market.charges import configured_charges
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.tape import MemoryTape

CAPITAL: Final = money(10_000_000)
OPEN_HANDED: Final = RiskSettings(
    max_daily_loss_pct=None,
    max_symbol_loss_pct=None,
    max_drawdown_pct=None,
    max_trades_per_strategy=None,
    max_trades_per_symbol=None,
    loss_streak_max=None,
    per_trade_risk_pct=0.05,
)


class SampleDay(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy did on the day."""

    feed: str
    date: dt.date
    facts: tuple[Fact, ...]
    """Everything that was journalled, in order."""
    status: StrategyStatus
    gross: Money
    charges: Money

    @property
    def net(self) -> Money:
        """Rupees after charges."""
        return self.gross - self.charges


class _Listener:
    """Keeps what became durable."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def committed(self, number: int, commit: Commit) -> None:
        """See ``Follower``."""
        del number
        self.facts.extend(commit.facts)

    def passing(self, at: Instant, frames: int) -> None:
        """See ``Follower``."""


def sample_day(
    definition: StrategyDefinition,
    traded: Instrument,
    read: Sequence[Instrument],
    *,
    day: dt.date,
    seed: int,
    minutes: int,
    params: dict[str, int | float | str | bool],
) -> SampleDay:
    """Run one strategy on one instrument; ``read`` are further instruments it reads.

    Raises ``ConfigError`` for parameters that do not fit and ``CalendarUnknown`` for an unknown day.
    """
    instruments = {instrument.id: instrument for instrument in (traded, *read)}
    feed = SyntheticFeed(day, seed, tuple(instruments.values()))
    manifest = feed.manifest
    row = StrategySettings(
        name=StrategyId(definition.name),
        strategy=definition.name,
        source=traded.id,
        instrument=traded.id,
        minutes=minutes,
        params=params,
        lots=1,
    )
    settings = DaySettings(
        date=day, capital=CAPITAL, run_key="sample", strategies=(row,), risk=OPEN_HANDED
    )
    book = configured_charges("zerodha", day)
    core = TradingCore(
        settings,
        instruments=manifest.instruments,
        sessions=manifest.sessions,
        definitions={definition.name: definition},
        charge_book=book,
        margins=StatedMargins(),
        previous_close={each.id: manifest.previous_close[each.id] for each in manifest.instruments},
    )
    broker = PaperBroker(
        instruments=core.instruments,
        sessions=manifest.sessions,
        charges=book,
        cash=CAPITAL,
        fill_model=fill_model("market"),
        seed=seed,
        ledger=MemoryLedger(),
    )
    listener = _Listener()
    trading_day = TradingDay(
        core,
        feed=feed,
        broker=broker,
        journal=MemoryJournal(keep=16),
        tape=MemoryTape(manifest),
        pace=AsFastAsPossible(),
        follower=listener,
    )
    for instrument, length, bars in core.strategies.history_needed():
        loaded = feed.history(instrument, length, bars)
        if loaded:
            core.step(history_event(instrument, length, loaded, manifest.name))
    asyncio.run(trading_day.run())
    (status,) = core.strategies.status()
    return SampleDay(
        feed=manifest.name,
        date=day,
        facts=tuple(listener.facts),
        status=status,
        gross=core.portfolio.realised + core.unrealised(),
        charges=charge_as_money(core.portfolio.charges.total),
    )
