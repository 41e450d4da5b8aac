"""One finished day as one row, and many of them as one result: money, charges, trades, drawdown.

Everything is read from sealed journals, so that a week told again, or taken up after a crash, says
the same as one that ran through.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.events import DaySealed, RunOpened
from kitestring.domain.money import Money, charge_rupees, decimal_rupees
from kitestring.domain.ports import Commit
from kitestring.domain.positions import RoundTrip
from kitestring.engine.tally import Tally


class DayRow(msgspec.Struct, frozen=True, kw_only=True):
    """One sealed day. ``net`` counts open positions at the close; ``gross`` is net plus charges."""

    date: dt.date
    run: str
    opening_equity: Money
    closing_equity: Money
    net: Money
    gross: Money
    charges: Charges
    slippage: Money
    orders: int
    fills: int
    trades: int
    wins: int
    losses: int
    refusals: dict[str, int]
    rejections: int
    strategies_off: tuple[str, ...]
    halted: str | None
    carried: dict[str, int]
    """``strategy|instrument|product`` → net quantity over the close."""

    def summary(self) -> dict[str, object]:
        """The row as JSON; amounts are exact decimal rupees."""
        return {
            "date": self.date.isoformat(),
            "run": self.run,
            "opening_equity": decimal_rupees(self.opening_equity),
            "closing_equity": decimal_rupees(self.closing_equity),
            "net": decimal_rupees(self.net),
            "gross": decimal_rupees(self.gross),
            "charges": charge_rupees(self.charges.total),
            "slippage": decimal_rupees(self.slippage),
            "orders": self.orders,
            "fills": self.fills,
            "trades": self.trades,
            "wins": self.wins,
            "losses": self.losses,
            "refusals": self.refusals,
            "rejections": self.rejections,
            "strategies_off": self.strategies_off,
            "halted": self.halted,
            "carried": self.carried,
        }


class FinishedDay(msgspec.Struct, frozen=True):
    """What the chain needs of a sealed day: its row, its round trips and its seal."""

    row: DayRow
    trades: tuple[RoundTrip, ...]
    sealed: DaySealed
    head: str = ""
    """Hash of the sealed journal, where it was at hand."""


def finished_day(
    run: str, commits: Iterable[tuple[int, Commit]], head: str = ""
) -> FinishedDay | None:
    """Read a day's journal; ``None`` if it is not sealed."""
    tally = Tally()
    trades: list[RoundTrip] = []
    opened: RunOpened | None = None
    for _, commit in commits:
        tally.record(commit.facts)
        for fact in commit.facts:
            if isinstance(fact, RoundTrip):
                trades.append(fact)
            elif isinstance(fact, RunOpened):
                opened = fact
    sealed = tally.sealed
    if sealed is None or opened is None:
        return None
    row = DayRow(
        date=dt.date.fromisoformat(opened.date),
        run=run,
        opening_equity=Money(opened.capital),
        closing_equity=Money(sealed.equity),
        net=Money(sealed.net),
        gross=Money(sealed.net + sealed.charges),
        charges=tally.charges,
        slippage=tally.slippage,
        orders=tally.orders,
        fills=tally.fills,
        trades=tally.trades,
        wins=tally.wins,
        losses=tally.losses,
        refusals=dict(tally.refusals),
        rejections=tally.rejections,
        strategies_off=tuple(tally.strategies_off),
        halted=tally.halted,
        carried=sealed.carried,
    )
    return FinishedDay(row, tuple(trades), sealed, head)


class Drawdown(msgspec.Struct, frozen=True):
    """The deepest fall of the equity from its highest close before, in rupees, and between which days."""

    amount: Money
    pct: Decimal
    since: dt.date | None
    until: dt.date | None


def deepest_fall(rows: Sequence[DayRow]) -> Drawdown:
    """The maximum drawdown of the closing equities; the opening of the first day counts as a close."""
    deepest = Drawdown(Money(0), Decimal(0), None, None)
    if not rows:
        return deepest
    peak, since = rows[0].opening_equity, rows[0].date
    for row in rows:
        if row.closing_equity >= peak:
            peak, since = row.closing_equity, row.date
        elif peak - row.closing_equity > deepest.amount:
            fall = peak - row.closing_equity
            pct = (decimal_rupees(fall) * 100 / decimal_rupees(peak)).quantize(Decimal("0.01"))
            deepest = Drawdown(fall, pct, since, row.date)
    return deepest


class DaysResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a chain of days ended, or how far it has come."""

    first: dt.date
    last: dt.date
    days: int
    """Trading days asked for; ``rows`` are those that are finished."""
    rows: tuple[DayRow, ...]
    mode: str
    run: str
    feed: str
    fill_model: str
    charges_name: str
    stand_ins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    already_finished: bool = False
    wall_s: float = 0.0
    artifacts: dict[str, str] = {}

    @property
    def opening_equity(self) -> Money:
        """What the first day began with."""
        return self.rows[0].opening_equity if self.rows else Money(0)

    @property
    def closing_equity(self) -> Money:
        """What the last finished day ended with."""
        return self.rows[-1].closing_equity if self.rows else Money(0)

    @property
    def net(self) -> Money:
        """The sum of the days, open positions at their marks."""
        return self.closing_equity - self.opening_equity

    @property
    def charges(self) -> Charges:
        """All charges, itemised."""
        total = NO_CHARGES
        for row in self.rows:
            total = total.plus(row.charges)
        return total

    @property
    def halted_days(self) -> int:
        """Days on which a limit ended the entries."""
        return sum(row.halted is not None for row in self.rows)

    def counted(self, what: str) -> int:
        """The sum of a whole-number column of the days: ``trades``, ``orders``, ``wins`` …."""
        return sum(int(getattr(row, what)) for row in self.rows)

    def summary(self) -> dict[str, object]:
        """The result as one JSON object; amounts are exact decimal rupees."""
        items, fall = self.charges, deepest_fall(self.rows)
        nets = [int(row.net) for row in self.rows]
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "days": self.days,
            "finished_days": len(self.rows),
            "mode": self.mode,
            "run": self.run,
            "feed": self.feed,
            "fill_model": self.fill_model,
            "charges_name": self.charges_name,
            "stand_ins": self.stand_ins,
            "notes": self.notes,
            "opening_equity": decimal_rupees(self.opening_equity),
            "closing_equity": decimal_rupees(self.closing_equity),
            "net": decimal_rupees(self.net),
            "gross": decimal_rupees(sum((row.gross for row in self.rows), Money(0))),
            "charges": {
                "brokerage": charge_rupees(items.brokerage),
                "stt": charge_rupees(items.stt),
                "exchange": charge_rupees(items.exchange),
                "sebi": charge_rupees(items.sebi),
                "stamp": charge_rupees(items.stamp),
                "gst": charge_rupees(items.gst),
                "total": charge_rupees(items.total),
            },
            "slippage": decimal_rupees(sum((row.slippage for row in self.rows), Money(0))),
            "orders": self.counted("orders"),
            "fills": self.counted("fills"),
            "trades": self.counted("trades"),
            "wins": self.counted("wins"),
            "losses": self.counted("losses"),
            "win_days": sum(net > 0 for net in nets),
            "loss_days": sum(net < 0 for net in nets),
            "flat_days": sum(net == 0 for net in nets),
            "best_day": decimal_rupees(Money(max(nets, default=0))),
            "worst_day": decimal_rupees(Money(min(nets, default=0))),
            "max_drawdown": {
                "amount": decimal_rupees(fall.amount),
                "pct": fall.pct,
                "since": None if fall.since is None else fall.since.isoformat(),
                "until": None if fall.until is None else fall.until.isoformat(),
            },
            "halted_days": self.halted_days,
            "interrupted": self.interrupted,
            "already_finished": self.already_finished,
            "wall_s": Decimal(f"{self.wall_s:.3f}"),
            "per_day": [row.summary() for row in self.rows],
            "artifacts": self.artifacts,
        }
