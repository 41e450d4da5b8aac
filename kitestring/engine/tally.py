"""Counts a day from its facts: what the evening's summary says.

A pure fold, so that a resumed day and a day told again from its journal count the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kitestring.domain.bars import Bar
from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.events import DaySealed, Fact, MarketDataFault, Reports, StrategyOff
from kitestring.domain.money import Money, charge_as_money
from kitestring.domain.orders import ExecType
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import Blocked, HaltSession, PlaceOrder


class Tally:
    """Orders, fills, round trips, charges and refusals so far."""

    def __init__(self) -> None:
        self.orders = self.fills = self.trades = self.wins = self.losses = self.bars = 0
        self.rejections = 0
        self.charges = NO_CHARGES
        self.slippage = Money(0)
        self.refusals: Counter[str] = Counter()
        self.data_faults: Counter[str] = Counter()
        self.strategies_off: list[str] = []
        self.halted: str | None = None
        self.sealed: DaySealed | None = None

    def record(self, facts: Iterable[Fact]) -> None:
        """Count some facts."""
        for fact in facts:
            match fact:
                case Bar():
                    self.bars += 1
                case PlaceOrder():
                    self.orders += 1
                case Fill():
                    self.fills += 1
                    self.charges = self.charges.plus(fact.charges)
                    self.slippage = self.slippage + fact.slippage
                case RoundTrip():
                    self.trades += 1
                    if fact.gross > charge_as_money(fact.charges.total):
                        self.wins += 1
                    else:
                        self.losses += 1
                case Blocked():
                    self.refusals[fact.code] += 1
                case HaltSession():
                    self.halted = fact.sentence
                case Reports():
                    self.rejections += sum(
                        report.exec_type is ExecType.REJECTED for report in fact.reports
                    )
                case MarketDataFault():
                    self.data_faults[fact.fault] += 1
                case StrategyOff():
                    self.strategies_off.append(fact.strategy)
                case DaySealed():
                    self.sealed = fact
                case _:
                    pass
