"""The day in numbers: its curve, its deepest fall, its results by strategy and by hour.

Everything is added up in whole units from fills, round trips and minute closes; nothing is rounded
before it is shown. Results are net of charges unless their name says otherwise.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import HOUR, IST_OFFSET, Instant
from kitestring.domain.money import Money, Price, charge_as_money, charge_rupees, decimal_rupees
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.report.run_facts import RunFacts


class CurvePoint(NamedTuple):
    """Net result of the day so far, at one moment."""

    at: Instant
    net: Money


class Row(msgspec.Struct, kw_only=True):
    """Results of some round trips together: a strategy's, an hour's."""

    name: str
    trades: int = 0
    wins: int = 0
    gross: Money = Money(0)
    charges: Charges = NO_CHARGES
    slippage: Money = Money(0)
    r_sum: float = 0.0
    r_count: int = 0
    signals: int = 0
    refused: int = 0

    @property
    def net(self) -> Money:
        """Gross less charges, rounded once."""
        return self.gross - charge_as_money(self.charges.total)

    @property
    def r_average(self) -> float | None:
        """Mean result in units of risk, over the trades that had a stop."""
        return self.r_sum / self.r_count if self.r_count else None

    def add(self, trade: RoundTrip) -> None:
        """Take in one round trip."""
        self.trades += 1
        self.wins += trade_net(trade) > Money(0)
        self.gross = self.gross + trade.gross
        self.charges = self.charges.plus(trade.charges)
        self.slippage = self.slippage + trade.slippage
        r = r_multiple(trade)
        if r is not None:
            self.r_sum += r
            self.r_count += 1


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one day. ``net`` is the sealed one where the day was sealed."""

    date: dt.date
    capital: Money
    """Equity at the start of the day."""
    gross: Money
    charges: Charges
    net: Money
    slippage: Money
    turnover: Money
    """Traded value of both sides."""
    trades: int
    wins: int
    drawdown: Money
    """The deepest fall of the curve from its highest point before, as a positive amount."""
    drawdown_at: Instant | None
    curve: tuple[CurvePoint, ...]
    curve_gap: Money
    """What the sealed result holds beyond the curve's end: positions carried in from before."""
    strategies: tuple[Row, ...]
    hours: tuple[Row, ...]
    open_qty: dict[InstrumentId, int]
    """What was still open at the end."""


def trade_net(trade: RoundTrip) -> Money:
    """A round trip's result after charges, to 1/10 000 rupee."""
    return trade.gross - charge_as_money(trade.charges.total)


def r_multiple(trade: RoundTrip) -> float | None:
    """Net result in units of what was risked; ``None`` without a stop."""
    if not trade.risk:
        return None
    net = decimal_rupees(trade.gross) - charge_rupees(trade.charges.total)
    return float(net / decimal_rupees(trade.risk))


def figures(facts: RunFacts) -> Figures:
    """Add a day up."""
    curve = equity_curve(facts)
    charges = total_charges(facts.fills)
    turnover = Money(0)
    open_qty: dict[InstrumentId, int] = {}
    for fill in facts.fills:
        turnover = turnover + fill.px * (fill.qty * facts.multiplier(fill.instrument))
    for fill in (*facts.fills, *facts.adjusted):
        signed = fill.qty * fill.side.sign
        open_qty[fill.instrument] = open_qty.get(fill.instrument, 0) + signed
    ends_at = curve[-1].net if curve else Money(0)
    sealed = facts.sealed
    net = ends_at if sealed is None else Money(sealed.net)
    capital = facts.opened.capital if sealed is None else sealed.equity - sealed.net
    fall, fell_at = deepest_fall(curve)
    return Figures(
        date=dt.date.fromisoformat(facts.opened.date),
        capital=Money(capital),
        gross=net + charge_as_money(charges.total),
        charges=charges,
        net=net,
        slippage=sum((fill.slippage for fill in facts.fills), Money(0)),
        turnover=turnover,
        trades=len(facts.trades),
        wins=sum(trade_net(trade) > Money(0) for trade in facts.trades),
        drawdown=fall,
        drawdown_at=fell_at,
        curve=curve,
        curve_gap=net - ends_at,
        strategies=_by_strategy(facts),
        hours=_by_hour(facts.trades),
        open_qty={name: qty for name, qty in open_qty.items() if qty},
    )


def total_charges(fills: Iterable[Fill]) -> Charges:
    """All charges of some fills, itemised."""
    total = NO_CHARGES
    for fill in fills:
        total = total.plus(fill.charges)
    return total


def equity_curve(facts: RunFacts) -> tuple[CurvePoint, ...]:
    """Net result at every minute's close: cash of the fills, open quantity at the last price, charges.

    A position without a price yet counts at what was paid for it.
    """
    ticking = [bar for bars in facts.minutes.values() for bar in bars]
    ticking.sort(key=lambda bar: bar.close_at)
    if not ticking and not facts.fills:
        return ()
    fills = sorted((*facts.fills, *facts.adjusted), key=lambda fill: fill.at)
    marks: dict[InstrumentId, Price] = {}
    held: dict[InstrumentId, int] = {}
    cash, charges, taken, at_bar = Money(0), NO_CHARGES, 0, 0
    start = ticking[0].open_at if ticking else fills[0].at
    moments = sorted({bar.close_at for bar in ticking})
    if fills and (not moments or fills[-1].at > moments[-1]):
        moments.append(fills[-1].at)
    points = [CurvePoint(start, Money(0))]
    for moment in moments:
        while at_bar < len(ticking) and ticking[at_bar].close_at <= moment:
            marks[ticking[at_bar].instrument] = ticking[at_bar].close
            at_bar += 1
        while taken < len(fills) and fills[taken].at <= moment:
            fill = fills[taken]
            signed = fill.qty * fill.side.sign * facts.multiplier(fill.instrument)
            cash = cash - fill.px * signed
            held[fill.instrument] = held.get(fill.instrument, 0) + signed
            marks.setdefault(fill.instrument, fill.px)
            charges = charges.plus(fill.charges)
            taken += 1
        value = sum((marks[name] * qty for name, qty in held.items() if qty), Money(0))
        points.append(CurvePoint(moment, cash + value - charge_as_money(charges.total)))
    return tuple(points)


def deepest_fall(curve: Sequence[CurvePoint]) -> tuple[Money, Instant | None]:
    """How far the curve fell at most from its highest point before, and when it was there."""
    peak, worst, at = Money(0), Money(0), None
    for point in curve:
        peak = max(peak, point.net)
        if peak - point.net > worst:
            worst, at = peak - point.net, point.at
    return worst, at


def _by_strategy(facts: RunFacts) -> tuple[Row, ...]:
    rows: dict[StrategyId, Row] = {}

    def row(name: StrategyId) -> Row:
        return rows.setdefault(name, Row(name=name))

    for signal in facts.signals:
        row(signal.strategy).signals += 1
    for refusal in facts.refusals:
        row(refusal.strategy).refused += 1
    for trade in facts.trades:
        row(trade.strategy).add(trade)
    return tuple(sorted(rows.values(), key=lambda found: (-int(found.net), found.name)))


def _by_hour(trades: Sequence[RoundTrip]) -> tuple[Row, ...]:
    """By the hour in which a trade was closed; hours without one are not shown."""
    rows: dict[int, Row] = {}
    for trade in trades:
        hour = (trade.exit_at + IST_OFFSET) // HOUR % 24
        rows.setdefault(hour, Row(name=f"{hour:02d}:00 to {hour + 1:02d}:00")).add(trade)
    return tuple(rows[hour] for hour in sorted(rows))


def merged(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Rows of several days as one row for each name, the best first."""
    together: dict[str, Row] = {}
    for row in rows:
        total = together.setdefault(row.name, Row(name=row.name))
        total.trades += row.trades
        total.wins += row.wins
        total.gross = total.gross + row.gross
        total.charges = total.charges.plus(row.charges)
        total.slippage = total.slippage + row.slippage
        total.r_sum += row.r_sum
        total.r_count += row.r_count
        total.signals += row.signals
        total.refused += row.refused
    return tuple(sorted(together.values(), key=lambda row: (-int(row.net), row.name)))
