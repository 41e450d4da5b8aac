"""What enters the core through the numbered inbox, and what the core records of its own doing."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import ExecutionReport, Product, Side
from kitestring.domain.positions import CarriedPosition, Fill, RoundTrip
from kitestring.domain.signals import Signal
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    CancelOrder,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)


class TimerFired(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="timer"):
    """A moment the core asked to be woken at has come (bar close, square-off, time stop)."""

    due_at: Instant


class Reports(msgspec.Struct, frozen=True, array_like=True, tag="reports"):
    """Everything the broker said at one instant, in its order."""

    received_at: Instant
    reports: tuple[ExecutionReport, ...]


class HistoryLoaded(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="history"):
    """Warm-up bars from before the session (or from before we joined it). They never trade."""

    instrument: InstrumentId
    minutes: int
    bars: tuple[Bar, ...]
    source: str
    digest: str
    """SHA-256 of the bars, so that a restart warms up on exactly the same ones."""


class Resolution(StrEnum):
    """What a person decides about a position that is not explained."""

    ADOPT = "adopt"
    """The broker's net is ours now."""
    RELEASE = "release"
    """It is not ours any more; the house forgets it."""
    FLATTEN = "flatten"
    """Close what the broker confirms."""


class OperatorWord(StrEnum):
    """What a person at the keyboard may order."""

    HALT = "halt"
    FLATTEN = "flatten"
    STOP = "stop"
    DISARM = "disarm"
    """Nobody has armed the day: no entries, everything else goes on."""
    ARM = "arm"
    """Somebody has: lifts what DISARM stopped, and nothing else."""
    FAULT = "fault"
    """Not a person's word: the engine's own, after it had to rebuild the house from its journal."""
    RESOLVE = "resolve"
    """A person decides about a position that is not explained."""


class OperatorCommand(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="operator"):
    """A person's command; it goes through the inbox like everything else."""

    at: Instant
    word: OperatorWord
    reason: str = ""
    instrument: str = ""
    """For RESOLVE: which one, in full (``NSE:INFY``)."""
    resolution: Resolution | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="gap"):
    """Ticks are missing between two instants, and the house knows it: bars over it are incomplete."""

    start_at: Instant
    end_at: Instant
    reason: str


class BrokerOrderRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One order as the broker's book shows it."""

    cl_ord_id: str
    order_id: str
    instrument: InstrumentId
    status: str
    order_qty: int
    cum_qty: int


class OthersTrade(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One trade of today in the same account that no order of ours made."""

    trade_id: str
    order_id: str
    instrument: InstrumentId
    product: str
    side: Side
    qty: int
    px: Price
    at: Instant
    rms: bool = False
    """The broker's risk desk did it, not the account's owner."""
    guard: bool = False
    """The house's own guard did it."""


class BrokerPosition(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One position as the broker shows it, closed ones too: what it began the day with, and its prices."""

    instrument: InstrumentId
    product: str
    net_qty: int
    overnight_qty: int
    average_px: Price
    last_px: Price


class BrokerSnapshot(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="snapshot"):
    """The broker's own books at one moment: its orders of today with our tags and its net quantities."""

    at: Instant
    orders: tuple[BrokerOrderRow, ...]
    net_qty: dict[str, int]
    """``EXCHANGE:SYMBOL/PRODUCT`` → net quantity."""
    read_at: Instant = 0
    """When the broker's books were read, which may be long ago; 0: at ``at``."""
    trusted: bool = True
    """Whether they can be compared with ours at all; ``why`` says why not."""
    why: str = ""
    others: tuple[OthersTrade, ...] = ()
    """Today's trades of orders that are not ours, in the order of time."""
    positions: tuple[BrokerPosition, ...] = ()
    """Empty where nobody else trades in the account."""


class DayOpening(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="opening"):
    """What a sealed day hands to the next one, which begins with exactly this.

    ``equity`` is what the account was worth at the last marks, after charges; ``head`` the hash of
    the sealed journal it comes from. ``states`` are the strategies' own ``State`` structs, encoded.
    """

    at: Instant
    date: str
    run_key: str
    equity: Money
    peak_equity: Money
    positions: tuple[CarriedPosition, ...] = ()
    states: dict[str, bytes] = msgspec.field(default_factory=dict)
    head: str = ""


class SessionEnded(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """The feed is over for today."""

    at: Instant


Event = (
    TickFrame
    | BarFrame
    | TimerFired
    | Reports
    | HistoryLoaded
    | OperatorCommand
    | Gap
    | BrokerSnapshot
    | SessionEnded
    | DayOpening
)
"""Everything the core may be told."""


class StrategyReady(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="ready"):
    """A strategy has the history it asked for; it may decide on the next bar that closes."""

    strategy: StrategyId
    instrument: InstrumentId
    at: Instant
    bars: int
    missed: str = ""
    """What of the day was over before it was ready, in words; empty when nothing was."""


class StrategyOff(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="strategy_off"):
    """A strategy failed and was switched off; its position is managed to its exit, the rest go on."""

    strategy: StrategyId
    at: Instant
    error: str


class MarketDataFault(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="data_fault"):
    """The feed of an instrument went stale or came back, or a gap opened: a fact that risk sees."""

    instrument: InstrumentId
    at: Instant
    fault: str
    sentence: str


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="discrepancy"):
    """The broker and the house disagree; entries stop until it is explained."""

    at: Instant
    what: str
    ours: str
    theirs: str


class Note(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="note"):
    """A plain line of the day's story: started, resumed, square-off began, day sealed."""

    at: Instant
    kind: str
    sentence: str


class OvernightStop(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="overnight"):
    """A stop that waits at the broker overnight, as one of its triggers (GTT), and what became of it."""

    at: Instant
    strategy: StrategyId
    instrument: InstrumentId
    product: str
    side: str
    qty: int
    stop_px: int
    limit_px: int
    step: str
    """``asked`` (on disk before it is sent), ``stands``, ``gone``, ``fired``, ``unknown``, ``refused``."""
    trigger_id: int = 0
    sentence: str = ""
    part: int = 0
    """Which slice of a position that is larger than one order may be."""
    order_id: str = ""
    """The broker's number of the order it sent when it fired."""


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="adjustment"):
    """A quantity that entered or left a book without a trade of which we know, because a person said so.

    ``px`` is what it is valued at and ``source`` where that price comes from. It is no fill.
    """

    at: Instant
    strategy: StrategyId
    instrument: InstrumentId
    product: Product
    qty: int
    """Signed: what was added to the book's net quantity."""
    px: Price
    source: str
    reason: str


class RunOpened(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="run_opened"):
    """The first record of a run: what it is made of."""

    mode: str
    date: str
    feed: str
    seed: int
    run_key: str
    config_hash: str
    strategy_hashes: dict[str, str]
    fill_model: str
    charges: str
    capital: int
    version: str
    settings: bytes = b""
    sessions: bytes = b""
    """The sessions with the house's own cut-offs, encoded: what a replay of the day needs."""
    beside: str = ""
    """Of a paper twin: the name of the live run it was traded beside."""


class DaySealed(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="day_sealed"):
    """The last record of a finished day, with what is carried to the next one."""

    at: Instant
    equity: int
    realised: int
    charges: int
    net: int
    orders: int
    fills: int
    trades: int
    carried: dict[str, int]
    handover: DayOpening | None = None
    """What the next day opens with, where days are chained."""


Fact = (
    Bar
    | TimerFired
    | Reports
    | HistoryLoaded
    | OperatorCommand
    | Gap
    | BrokerSnapshot
    | SessionEnded
    | Signal
    | Approved
    | Reduced
    | Blocked
    | HaltSession
    | PlaceOrder
    | ModifyOrder
    | CancelOrder
    | Fill
    | RoundTrip
    | StrategyReady
    | StrategyOff
    | MarketDataFault
    | Discrepancy
    | Note
    | RunOpened
    | DaySealed
    | DayOpening
    | Adjustment
    | OvernightStop
)
"""Everything the journal may hold of a step; the tags are the schema."""
