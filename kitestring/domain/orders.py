"""Orders and what is said about them: intents, commands to the broker, and the broker's reports."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kitestring.domain.ids import ClOrdId, ExecId, InstrumentId, OrderId, SignalId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, Price
from kitestring.domain.signals import Signal


class Side(StrEnum):
    """FIX Side (54)."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, −1 for SELL."""
        return 1 if self is _BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


_BUY = Side.BUY
"""A name of the module: Python 3.11 takes 80 ns to find a member of an enum."""


class OrdType(StrEnum):
    """FIX OrdType (40), in Kite's spelling."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL-M"


class TimeInForce(StrEnum):
    """FIX TimeInForce (59); Kite's ``validity``."""

    DAY = "DAY"
    IOC = "IOC"


class Product(StrEnum):
    """Kite's margin product: intraday, carried derivatives, delivery."""

    MIS = "MIS"
    NRML = "NRML"
    CNC = "CNC"


class Purpose(StrEnum):
    """Why the house sends an order: only an ENTRY may grow a position."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"
    STOP = "STOP"
    """A protective stop resting at the broker; an exit that waits."""


class ExitReason(StrEnum):
    """Why a position was closed, as trades.csv names it."""

    STOP = "stop"
    TRAIL = "trailing stop"
    TARGET = "target"
    SIGNAL = "signal"
    REVERSAL = "reversal"
    TIME = "time stop"
    SQUARE_OFF = "square-off"
    HALT = "halt"
    STRATEGY_OFF = "strategy switched off"
    OPERATOR = "operator"
    STRATEGY_LOSS = "strategy's loss limit"
    EXPIRY = "expiry"
    """A carried contract ends today; the house closes it before the close."""
    MANUAL = "by hand"
    """Closed by the account's owner past the house, from the phone for example."""
    RMS = "broker's risk desk"
    GUARD = "guard"
    """Closed by the house's own guard, after it had taken over."""
    ADJUSTED = "adjustment"
    """Given up by a person's word, without a trade of which the house knows."""


class OrdStatus(StrEnum):
    """FIX OrdStatus (39) plus two of ours: ``DENIED`` is our no, ``UNKNOWN`` is "sent, no answer"."""

    DENIED = "DENIED"
    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_REPLACE = "PENDING_REPLACE"
    PENDING_CANCEL = "PENDING_CANCEL"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"

    @property
    def terminal(self) -> bool:
        """Nothing more can happen to the order."""
        return self in _TERMINAL


_TERMINAL = frozenset({OrdStatus.DENIED, OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED})


class ExecType(StrEnum):
    """FIX ExecType (150): what a report announces."""

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    TRIGGERED = "TRIGGERED"
    TRADE = "TRADE"
    REPLACED = "REPLACED"
    REPLACE_REJECTED = "REPLACE_REJECTED"
    CANCELED = "CANCELED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"
    """No answer came: the order may or may not exist."""


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="intent"):
    """An order the house would like to send, before risk has spoken.

    ``decision_px`` is the price seen when it was decided: slippage is measured from it.
    ``closes_qty`` is the part of an ENTRY that first closes an opposite position (stop and
    reverse in one order); 0 otherwise.
    """

    strategy: StrategyId
    instrument: InstrumentId
    side: Side
    order_qty: int
    ord_type: OrdType
    product: Product
    purpose: Purpose
    reason: str
    decision_px: Price
    decided_at: Instant
    price: Price | None = None
    stop_px: Price | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    market_protection_bp: int | None = None
    """For MARKET and SL-M: how far through the market it may go, in basis points; None = broker's own band."""
    signal_id: SignalId | None = None
    closes_qty: int = 0


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="report"):
    """Anything the broker tells us of an order (FIX message 8).

    ``exec_id`` is set for a TRADE only: the same trade told twice is booked once. ``cum_qty`` is
    what the broker believes filled so far. ``text`` is the broker's sentence.
    """

    cl_ord_id: ClOrdId
    exec_type: ExecType
    event_at: Instant
    order_id: OrderId | None = None
    exec_id: ExecId | None = None
    last_qty: int = 0
    last_px: Price = Price(0)
    cum_qty: int = 0
    price: Price | None = None
    stop_px: Price | None = None
    order_qty: int | None = None
    text: str = ""


class Order(msgspec.Struct, kw_only=True, array_like=True):
    """One order of ours and everything known about it; kept by the order manager, changed there only."""

    cl_ord_id: ClOrdId
    strategy: StrategyId
    instrument: InstrumentId
    side: Side
    order_qty: int
    ord_type: OrdType
    product: Product
    purpose: Purpose
    reason: str
    decision_px: Price
    created_at: Instant
    updated_at: Instant
    status: OrdStatus
    price: Price | None = None
    stop_px: Price | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    order_id: OrderId | None = None
    signal_id: SignalId | None = None
    closes_qty: int = 0
    cum_qty: int = 0
    traded_value: Money = Money(0)
    """Sum of last_qty × last_px, without the multiplier."""
    exec_ids: list[ExecId] = msgspec.field(default_factory=list)
    modifications: int = 0
    text: str = ""
    triggered_at: Instant | None = None
    """When a stop was released into the market; it may still rest unfilled after a gap."""
    plan: Signal | None = None
    """For an entry: the signal whose stop, target and time stop the position will carry."""
    told_qty: int = 0
    """The most the broker has said is filled; above ``cum_qty`` while a trade is still untold."""
    ends_as: OrdStatus | None = None
    """How the order ended, while a trade of it is still untold; it counts as working until then."""
    terms_at: Instant = 0
    """When the broker's latest word on quantity and prices was true; an older one changes neither."""
    asked_qty: int = 0
    """The size asked for in a change that is not answered yet; 0 where none is under way."""

    @property
    def leaves_qty(self) -> int:
        """What may still fill, at its worst: a change under way may already have been granted."""
        if self.status.terminal:
            return 0
        return max(self.order_qty, self.asked_qty) - self.cum_qty

    @property
    def is_exit(self) -> bool:
        """Sent to shrink a position, never to grow one."""
        return self.purpose is not Purpose.ENTRY
