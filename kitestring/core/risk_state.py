"""What risk is asked, what it sees of the account, and what it must remember until tomorrow.

``EntryRequest`` and ``Standing`` are built by the trading core for each question; ``RiskState`` is
the one thing risk keeps. It is written to the journal's cell ``risk/state`` whenever it changes, so
that a halt, a cool-down or a used-up budget is still there after a restart.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.core.settings import StrategySettings
from kitestring.domain.ids import SignalId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Side
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import HaltPolicy

RISK_CELL: Final = "risk/state"
"""The journal cell that holds ``RiskState``."""


class EntryRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A signal on its way to becoming an order."""

    signal: Signal
    settings: StrategySettings
    instrument: Instrument
    side: Side
    decision_px: Price
    reference_at: Instant
    """Time of the last accepted tick of the traded instrument."""
    stop_px: Price | None = None
    closes_qty: int = 0
    """Quantity of an opposite position of the same book that this order closes first."""
    bid_px: Price = Price(0)
    ask_px: Price = Price(0)


class Standing(msgspec.Struct, kw_only=True):
    """The account as risk sees it now. Money is rupees of the whole account unless it says otherwise.

    Mutable, so that the core may refill one instance instead of building one per bar.
    """

    at: Instant
    opening_equity: Money
    equity: Money
    """Opening + realised + unrealised − charges."""
    peak_equity: Money
    """The highest equity carried into the day. Risk keeps the day's own peak, from agreeing marks."""
    day_pnl: Money
    """Realised + unrealised − charges since the open."""
    entries_open: bool = True
    entries_closed_why: str = ""
    entries_closed_code: str = "SESSION_CLOSED"
    """``SESSION_CLOSED``, ``ENTRY_CUTOFF`` or ``STALE_DATA``: what a closed door is called."""
    marks_fresh: bool = True
    marks_why: str = ""
    """Which open position has no fresh sane mark."""
    open_positions: int = 0
    """Books with a position or a working entry."""
    working_orders: int = 0
    gross: Money = Money(0)
    """Worst-case gross notional: positions + working + UNKNOWN orders, filled the bad way."""
    net: Money = Money(0)
    """The same, signed: long positive."""
    symbol_worst: Money = Money(0)
    """Worst-case notional of this instrument, without sign."""
    symbol_pnl: Money = Money(0)
    """Today's result of this instrument after charges."""
    strategy_pnl: Money = Money(0)
    """Today's result of the asking strategy after charges; filled in where it has a limit."""
    book_sign: int = 0
    """Sign of the net of all other books in this instrument and product, working entries included."""
    own_working: bool = False
    orders_untrusted: str = ""
    """Why entries wait for an explanation: an unknown status word, a discrepancy."""
    needs_a_person: str = ""
    """Which position does not get out, or stands without its stop."""
    available_cash: Money | None = None
    margin_per_unit: Money | None = None


class Halt(msgspec.Struct, frozen=True, array_like=True):
    """A latched end of the day's entries."""

    code: str
    sentence: str
    policy: HaltPolicy
    at: Instant


class PendingLoss(msgspec.Struct, frozen=True, array_like=True):
    """A loss limit broken on one mark; a second mark that agrees makes it a halt."""

    code: str
    sentence: str
    at: Instant
    equity: Money


class StrategyTally(msgspec.Struct, array_like=True):
    """What one strategy did today."""

    entries: int = 0
    losing_streak: int = 0
    cooldown_until: Instant = 0
    exited_at: Instant = 0
    """When its last position ended; 0 before the first."""
    lost: str = ""
    """The sentence with which its own loss limit stopped it for the day."""
    losing_at: Instant = 0
    """A mark at which that limit was broken; a second one that agrees stops it."""
    losing_pnl: Money = Money(0)
    spent_side: str = ""
    """The side it was taken out of by the house, as long as its signal goes on."""
    spent_until: Instant = 0
    """The exit, or the last bar on which that signal was repeated."""
    refusals: int = 0
    """Signals in a row whose orders the broker refused."""
    refused_signal: SignalId | None = None
    """The last of them: all slices of one signal are one refusal."""
    refused_until: Instant = 0
    """After too many: not before this instant again."""


class LastEntry(msgspec.Struct, frozen=True, array_like=True):
    """The latest entry of one strategy in one instrument and direction."""

    at: Instant
    signal_id: SignalId | None


class RiskState(msgspec.Struct, kw_only=True, array_like=True):
    """Everything risk must not forget; ``date`` says which session the daily counts belong to."""

    date: str
    peak_equity: Money
    halted: Halt | None = None
    pending: PendingLoss | None = None
    strategies: dict[str, StrategyTally] = msgspec.field(default_factory=dict)
    symbol_entries: dict[str, int] = msgspec.field(default_factory=dict)
    orders_today: int = 0
    recent_orders: list[Instant] = msgspec.field(default_factory=list)
    """When the orders of about the last minute went out, oldest first."""
    last_entries: dict[str, LastEntry] = msgspec.field(default_factory=dict)
    """``strategy|instrument|side`` → the latest entry."""
    higher_seen: Money = Money(0)
    """An equity above the peak, seen on one mark at ``higher_seen_at`` (0: none)."""
    higher_seen_at: Instant = 0
    refused_at: list[Instant] = msgspec.field(default_factory=list)
    """When the broker refused the last signals of anybody, oldest first."""


def entry_key(strategy: str, instrument: str, side: str) -> str:
    """The name under which the latest entry of a strategy, instrument and side is kept."""
    # Joined, not formatted: formatting an enum costs more than the rest of the check.
    return strategy + "|" + instrument + "|" + side
