"""What an onlooker of a trading day is told: how it began, how it goes, every fact, how it ended.

Watching changes nothing: a day with a watcher and one without make the same decisions. A watcher
must return quickly and may raise only ``KeyboardInterrupt``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Protocol, runtime_checkable

import msgspec

from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.events import Fact
from kitestring.domain.ids import StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, charge_rupees, decimal_rupees
from kitestring.engine.helm import Helm
from kitestring.store.state_store import StateView


class DayStarted(msgspec.Struct, frozen=True, kw_only=True):
    """What a day is made of, said before its first tick."""

    date: dt.date
    mode: str
    run: str
    """Name of the run's own folder."""
    feed: str
    fill_model: str
    charges_name: str
    capital: Money
    strategies: tuple[StrategyId, ...]
    artifacts: str
    stand_ins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    resumed_at: Instant | None = None
    """Where in the day an interrupted run goes on; ``None`` for a day begun from its start."""
    speed: float | None = None
    """Market seconds per second; ``None`` is as fast as the machine can."""
    opens_at: Instant | None = None
    closes_at: Instant | None = None
    """From the first opening to the last close of what is traded."""


class DaySnapshot(msgspec.Struct, frozen=True, gc=False):
    """The house at one moment, for the progress line. ``net`` is today's P&L after charges."""

    net: Money
    unrealised: Money
    open_positions: int
    working_orders: int
    trades: int


class DayResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a day ended. ``net`` is ``gross − charges``; ``gross`` includes what is still open.

    ``data_faults`` and ``refusals`` count by code. ``artifacts`` maps what a file holds to where
    it is. ``halted`` is the sentence of the halt, ``None`` if there was none. ``already_finished``
    marks a report of a day that was over before this start.
    """

    date: dt.date
    mode: str
    run: str
    feed: str
    fill_model: str
    charges_name: str
    opening_equity: Money
    closing_equity: Money
    stand_ins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    orders: int = 0
    fills: int = 0
    trades: int = 0
    wins: int = 0
    losses: int = 0
    gross: Money = Money(0)
    charges: Charges = NO_CHARGES
    net: Money = Money(0)
    slippage: Money = Money(0)
    refusals: dict[str, int] = {}
    rejections: int = 0
    """Orders refused by the exchange, where ``refusals`` are our own."""
    data_faults: dict[str, int] = {}
    open_positions: dict[str, int] = {}
    """Instrument → net quantity carried over the close."""
    halted: str | None = None
    strategies_off: tuple[str, ...] = ()
    interrupted: bool = False
    resumed: bool = False
    already_finished: bool = False
    ticks: int = 0
    bars: int = 0
    wall_s: float = 0.0
    artifacts: dict[str, str] = {}

    def summary(self) -> dict[str, object]:
        """The result as one flat JSON object; amounts are exact decimal rupees."""
        items = self.charges
        return {
            "date": self.date.isoformat(),
            "mode": self.mode,
            "run": self.run,
            "feed": self.feed,
            "fill_model": self.fill_model,
            "charges_name": self.charges_name,
            "stand_ins": self.stand_ins,
            "notes": self.notes,
            "orders": self.orders,
            "fills": self.fills,
            "trades": self.trades,
            "wins": self.wins,
            "losses": self.losses,
            "gross": decimal_rupees(self.gross),
            "charges": {
                "brokerage": charge_rupees(items.brokerage),
                "stt": charge_rupees(items.stt),
                "exchange": charge_rupees(items.exchange),
                "sebi": charge_rupees(items.sebi),
                "stamp": charge_rupees(items.stamp),
                "gst": charge_rupees(items.gst),
                "total": charge_rupees(items.total),
            },
            "net": decimal_rupees(self.net),
            "slippage": decimal_rupees(self.slippage),
            "opening_equity": decimal_rupees(self.opening_equity),
            "closing_equity": decimal_rupees(self.closing_equity),
            "refusals": self.refusals,
            "rejections": self.rejections,
            "data_faults": self.data_faults,
            "open_positions": self.open_positions,
            "halted": self.halted,
            "strategies_off": self.strategies_off,
            "interrupted": self.interrupted,
            "resumed": self.resumed,
            "already_finished": self.already_finished,
            "ticks": self.ticks,
            "bars": self.bars,
            "wall_s": Decimal(f"{self.wall_s:.3f}"),
            "artifacts": self.artifacts,
        }


class Watcher(Protocol):
    """Somebody who looks on."""

    def started(self, day: DayStarted) -> None:
        """The day is set up; the first frame comes next."""
        ...

    def progress(
        self, at: Instant, done_frames: int, total_frames: int, snapshot: DaySnapshot
    ) -> None:
        """The market clock is at ``at``; ``total_frames`` is 0 where nobody knows it."""
        ...

    def said(self, fact: Fact) -> None:
        """One fact was journalled."""
        ...

    def finished(self, result: DayResult) -> None:
        """The day is over, or was interrupted cleanly."""
        ...


@runtime_checkable
class Attendant(Watcher, Protocol):
    """A watcher that stays with the day: it may look at all of it, and steer how fast it goes."""

    def attending(self, helm: Helm, look: Callable[[], StateView]) -> AbstractContextManager[None]:
        """Entered in the day's event loop before its next frame, left after its last.

        ``look`` makes the whole day's view anew at every call: ask for what is shown, no more.
        """
        ...


class NobodyWatches:
    """A watcher that looks away."""

    __slots__ = ()

    def started(self, day: DayStarted) -> None:
        """See ``Watcher``."""

    def progress(
        self, at: Instant, done_frames: int, total_frames: int, snapshot: DaySnapshot
    ) -> None:
        """See ``Watcher``."""

    def said(self, fact: Fact) -> None:
        """See ``Watcher``."""

    def finished(self, result: DayResult) -> None:
        """See ``Watcher``."""
