"""What a live day is made of, and what it needs of the outside world: the plan and the sockets.

Everything here is decided or promised before the day starts; ``live_engine`` runs it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import Bar
from kitestring.domain.charges import ChargeBook
from kitestring.domain.events import (
    DayOpening,
    Gap,
    Note,
    OvernightStop,
)
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Segment
from kitestring.domain.money import Money
from kitestring.domain.orders import Order
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder
from kitestring.engine.alert_channels import Channel
from kitestring.engine.arming import Terms
from kitestring.engine.day_record import bands_in, closes_before
from kitestring.engine.guard_story import standing_halt
from kitestring.engine.leaving import (
    open_positions,
)
from kitestring.engine.live_day import (
    SILENT_AFTER,
    LiveBroker,
    LiveClock,
    LiveDay,
    LiveFeed,
)
from kitestring.engine.overnight_stops import TriggerDesk
from kitestring.engine.own_text import own_text
from kitestring.engine.recovery import Story
from kitestring.engine.stopping import Stopping
from kitestring.exchange.margin import StatedMargins
from kitestring.store.paths import RunPaths
from kitestring.store.tape_reader import TapeReader


class RealFills(msgspec.Struct, frozen=True):
    """How a live day's orders are filled: by the market."""

    name: str = "live"
    sentence: str = "real orders at the broker; prices are those of its trades"


class LivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a live day is made of, decided before it starts."""

    settings: DaySettings
    manifest: Manifest
    sessions: Mapping[Segment, Session]
    """The market's sessions with our own cut-offs."""
    definitions: Mapping[str, StrategyDefinition]
    charge_book: ChargeBook
    artifacts: Path
    config_hash: str
    live_capital: Money | None
    without_stop: tuple[str, ...] = ()
    """Strategies that may enter without a stop and are not declared exempt."""
    notes: tuple[str, ...] = ()
    fill_model: RealFills = RealFills()
    opening: DayOpening | None = None
    """What the last live day left, with today's capital."""
    overnight: tuple[OvernightStop, ...] = ()
    """Stops of last night that may still stand at the broker."""
    stopping: Stopping = Stopping.LEAVE_PROTECTED
    said: tuple[str, ...] = ()
    """What a person must know of the day before; written down with the opening."""
    tightened: tuple[str, ...] = ()
    """Limits that are tighter than when the day began."""
    fresh: bool = False
    alerts: tuple[Channel, ...] = ()
    """Ways to tell somebody who is not looking; none by default."""
    silent_after: Instant = SILENT_AFTER
    """Without a frame for so long the feed is silent; a quick rehearsal counts more of its seconds."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account it is, and what is free in it (``None``: could not be read)."""

    user_id: str
    user_name: str
    available: Money | None


class RealBroker(LiveBroker, Protocol):
    """A broker with a life of its own: its connections are opened and closed with the day."""

    def resume(
        self,
        orders: Iterable[Order],
        waiting: Iterable[ModifyOrder | CancelOrder] = (),
        sent: Iterable[Command] = (),
    ) -> None:
        """After a restart: the journal's orders, unanswered changes, all that was sent today."""
        ...

    def start(self) -> None:
        """Begin to read the books."""
        ...

    async def close(self) -> None:
        """Wait for what is on its way; closes and cancels nothing at the broker."""
        ...


class LiveLink(Protocol):
    """The outside world of one day, opened."""

    @property
    def broker(self) -> RealBroker:
        """Where orders go."""
        ...

    @property
    def feed(self) -> LiveFeed:
        """Where ticks come from."""
        ...

    @property
    def clock(self) -> LiveClock:
        """What time it is at the exchange."""
        ...

    @property
    def beside(self) -> Sequence[Beside]:
        """What the link itself needs beside the day: somebody who keeps the session alive."""
        ...

    @property
    def triggers(self) -> TriggerDesk:
        """Where stops wait overnight."""
        ...

    async def account(self) -> Account:
        """Whose account it is. Raises ``NotLoggedIn``, or another ``HouseError``."""
        ...

    async def delivered(self) -> Mapping[str, int]:
        """The demat account as the day began, by ``NSE:INFY/CNC``. Raises ``KiteReadFailed``."""
        ...

    async def load_history(
        self, needed: Iterable[tuple[InstrumentId, int, int]]
    ) -> Mapping[tuple[InstrumentId, int], Sequence[Bar]]:
        """Closed bars from before, by instrument and minutes; raises rather than give half of them."""
        ...


class Ears(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter needs of the house: where it may say something, and whether entries may leave."""

    paths: RunPaths
    woken: Callable[[], None]
    hear: Callable[[Gap | Note], None]
    entries_stopped: Callable[[], str]
    fenced: Callable[[], str]
    """Asked before every request that changes something: a reason keeps it here, exits too."""


class Beside(Protocol):
    """Something that lives as long as the day: the door for commands, the heartbeat for the guard."""

    def attend(self, day: LiveDay, paths: RunPaths) -> AbstractAsyncContextManager[object]:
        """Entered before the first frame is taken, left after the last; runs in the day's loop.

        It speaks to the day by ``hear``, ``order`` and ``stop`` only, and reads the core between
        two steps; a fault of its own must not leave it.
        """
        ...


OpenLink = Callable[[Ears], AbstractAsyncContextManager[LiveLink]]
Ask = Callable[[Sequence[str], str], Awaitable[str | None]]
"""Shows the lines, asks for the phrase; ``None`` where nobody is there to type."""


def core_of(plan: LivePlan, paths: RunPaths, story: Story | None) -> TradingCore:
    """The house of a plan, new; ``story`` is what a day taken up again has recorded."""
    openings = [plan.opening, story.opening if story is not None else None]
    instruments = {each.id: each for each in plan.manifest.instruments}
    for opening in openings:
        for position in opening.positions if opening is not None else ():
            instruments.setdefault(position.instrument.id, position.instrument)
    # Bands move in the day. A day taken up again keeps those it began with, as its replay does.
    fresh = story is None or story.last is None
    began = plan.manifest if fresh else TapeReader(paths.tape).manifest
    return TradingCore(
        plan.settings,
        instruments=tuple(instruments.values()),
        sessions=plan.sessions,
        definitions=plan.definitions,
        charge_book=plan.charge_book,
        margins=StatedMargins(),
        previous_close=closes_before(plan.manifest),
        price_bands=bands_in(began),
    )


def terms_of(plan: LivePlan, core: TradingCore, account: Account) -> Terms:
    """What a person is shown before the phrase, and what an arming must agree with."""
    return Terms(
        date=plan.settings.date,
        account=account.user_id,
        account_name=account.user_name,
        capital=plan.live_capital,
        available=account.available,
        risk=plan.settings.risk,
        strategies=tuple(row.name for row in plan.settings.strategies),
        open_positions=tuple(open_positions(core, plan.opening)),
        stopping=plan.stopping,
        config_hash=plan.config_hash,
        build=own_text(),
        without_stop=plan.without_stop,
        halted=standing_halt(plan.artifacts),
    )
