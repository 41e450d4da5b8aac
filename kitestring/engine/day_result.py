"""Sums a day up for the person who watched it."""

from __future__ import annotations

from typing import Protocol

from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import ChargeBook
from kitestring.domain.ports import Manifest
from kitestring.engine.tally import Tally
from kitestring.engine.watching import DayResult
from kitestring.store.paths import RunPaths


class Filled(Protocol):
    """How orders were filled."""

    @property
    def sentence(self) -> str:
        """For the head of a report."""
        ...


class Terms(Protocol):
    """On what terms the day was traded."""

    @property
    def fill_model(self) -> Filled:
        """How orders were filled."""
        ...

    @property
    def charge_book(self) -> ChargeBook:
        """Which charges were booked."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report, besides the feed's own."""
        ...


def day_result(
    core: TradingCore, manifest: Manifest, tally: Tally, paths: RunPaths, terms: Terms
) -> DayResult:
    """How the day stands: for its end, an interruption, or a question afterwards."""
    portfolio = core.portfolio
    opening = core.opening_equity
    closing = core.equity
    faults = tally.data_faults.copy()
    for view in core.market.views.values():
        for fault in ("duplicate", "late", "zero", "absurd", "out_of_hours", "falling_volume"):
            count = getattr(view, fault)
            if count:
                faults[fault] += count
    return DayResult(
        date=manifest.date,
        mode=paths.mode,
        run=paths.folder.name,
        feed=manifest.name,
        fill_model=terms.fill_model.sentence,
        charges_name=terms.charge_book.name,
        opening_equity=opening,
        closing_equity=closing,
        stand_ins=manifest.stand_ins,
        notes=manifest.notes + terms.notes,
        orders=tally.orders,
        fills=tally.fills,
        trades=tally.trades,
        wins=tally.wins,
        losses=tally.losses,
        gross=portfolio.realised + core.unrealised(),
        charges=portfolio.charges,
        net=closing - opening,
        slippage=tally.slippage,
        refusals=dict(tally.refusals),
        rejections=tally.rejections,
        data_faults=dict(faults),
        open_positions={
            book.instrument: book.net_qty for book in portfolio.books.values() if book.net_qty
        },
        halted=tally.halted,
        strategies_off=tuple(tally.strategies_off),
        bars=tally.bars,
        artifacts={
            "report": str(paths.latest_folder / paths.report.name),
            "orders": str(paths.latest_folder / "orders.csv"),
            "fills": str(paths.latest_folder / "fills.csv"),
            "trades": str(paths.latest_folder / "trades.csv"),
            "state": str(paths.state_latest),
            "events": str(paths.events),
            "journal": str(paths.journal),
        },
    )
