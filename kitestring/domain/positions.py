"""Positions as integer cash flows, and the round trips they make.

``pnl = sold − bought + net_qty × last × multiplier``, exactly as Kite computes it; averages are
derived for show. A book belongs to one (strategy, instrument, product).
"""

from __future__ import annotations

import msgspec

from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.ids import InstrumentId, SignalId, StrategyId, TradeId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money, Price, charge_as_money
from kitestring.domain.orders import ExitReason, Product, Side
from kitestring.domain.signals import Signal


class Fill(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="fill"):
    """One execution, booked: price, itemised charges, and what it cost against the decision."""

    fill_id: str
    cl_ord_id: str
    strategy: StrategyId
    instrument: InstrumentId
    side: Side
    qty: int
    px: Price
    at: Instant
    product: Product
    decision_px: Price
    slippage: Money
    """Rupees lost (positive) or won (negative) against ``decision_px``."""
    charges: Charges


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="trade"):
    """A position from flat to flat (or to its reversal), as trades.csv shows it.

    ``entry_px`` and ``exit_px`` are averages, rounded to the unit for show; ``gross`` is exact.
    ``risk`` is entry-to-stop times quantity at entry (``None`` without a stop): R = net / risk.
    ``mfe`` and ``mae`` are the best and worst unrealised rupees seen.
    """

    trade_id: TradeId
    strategy: StrategyId
    instrument: InstrumentId
    side: Side
    qty: int
    entry_at: Instant
    exit_at: Instant
    entry_px: Price
    exit_px: Price
    gross: Money
    charges: Charges
    risk: Money | None
    mfe: Money
    mae: Money
    exit_reason: ExitReason
    slippage: Money
    product: Product


class OpenTrade(msgspec.Struct, kw_only=True, array_like=True):
    """The running round trip of a book, with its exit plan; mutable, kept by the portfolio."""

    side: Side
    entry_at: Instant
    signal_id: SignalId | None
    entry_qty: int = 0
    entry_value: Money = Money(0)
    exit_qty: int = 0
    exit_value: Money = Money(0)
    charges: Charges = NO_CHARGES
    slippage: Money = Money(0)
    mfe: Money = Money(0)
    mae: Money = Money(0)
    risk: Money | None = None
    stop_px: Price | None = None
    target_px: Price | None = None
    trail_by: Price | None = None
    exit_at: Instant | None = None
    trailed: bool = False
    leaving: ExitReason | None = None
    """Set once the house has decided to close; only flat clears it."""
    best_close: Price | None = None
    """Best close since entry, from which ``trail_by`` hangs the stop."""
    next_signal: Signal | None = None
    """A reversal that waits until this position is flat."""
    exit_rejections: int = 0
    retry_at: Instant = 0
    """After a rejected exit: not before this instant again."""
    brought: Money = Money(0)
    """Unrealised rupees of earlier days: what the previous close, at which the open quantity is
    marked today, lies above its own entry. ``mfe`` and ``mae`` count from the entry."""
    exit_by: Instant = 0
    """While it is being left: flat by when. 0: not being left."""
    exit_step: int = 1
    """How far through the market the next try reaches (``core.exit_goal.THROUGH_BP``)."""
    exit_tries: int = 0
    """Tries in a row, refused ones among them, that brought no fill."""
    stuck_told_at: Instant = 0
    """When a person was last told that it does not get out."""
    refused: str = ""
    """Why the broker last refused a stop or an exit of it; empty once one was taken."""
    naked_since: Instant = 0
    """Since when a part of it stands without the stop of its plan; 0: all of it is covered."""
    naked_told: bool = False


class Book(msgspec.Struct, kw_only=True, array_like=True):
    """One strategy's position in one instrument and product; mutable, changed by the portfolio only."""

    strategy: StrategyId
    instrument: InstrumentId
    product: Product
    multiplier: int = 1
    net_qty: int = 0
    bought_qty: int = 0
    sold_qty: int = 0
    bought_value: Money = Money(0)
    """Traded value including the multiplier."""
    sold_value: Money = Money(0)
    open_cost: Money = Money(0)
    """Signed cost of the open quantity: positive when long, negative when short."""
    charges: Charges = NO_CHARGES
    trades: int = 0
    trade: OpenTrade | None = None
    mark_px: Price = Price(0)
    """The previous close at which a carried quantity entered the day; 0 where nothing was carried."""
    frozen: str = ""
    """Why a carried position is shown and counted but not traded; empty for every other book."""
    owner: StrategyId = StrategyId("")
    """Whose position a frozen book is, where its strategy has another book today."""

    @property
    def realised(self) -> Money:
        """Rupees locked in by closed quantity, before charges."""
        return self.sold_value - self.bought_value + self.open_cost

    def unrealised(self, last_px: Price) -> Money:
        """Rupees on the open quantity at a mark, before charges."""
        return last_px * (self.net_qty * self.multiplier) - self.open_cost

    def result(self, last_px: Price) -> Money:
        """Realised and unrealised rupees at a mark, after charges."""
        return self.realised + self.unrealised(last_px) - charge_as_money(self.charges.total)


class CarriedPosition(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A position handed from one day to the next: whose it is, at what mark, and its exit plan.

    Days are settled at the close: tomorrow's P&L counts from ``mark_px``, as Kite's ``day_pnl`` does,
    while ``trade`` keeps the entry, so that the round trip's gross is its own.
    """

    strategy: StrategyId
    instrument: Instrument
    product: Product
    net_qty: int
    mark_px: Price
    trade: OpenTrade
    frozen: str = ""
    """Why it is shown and counted today, but not traded; empty for one that goes on."""
    left_to: str = ""
    """What at the broker may still close it without a tag of ours: nothing is sent beside it."""
    left_orders: tuple[str, ...] = ()
    """The broker's numbers of the orders by which that closes it, where it has sent any."""
