"""The settings of a day as the core needs them: capital, strategies and the limits of risk.

Plain frozen structs, already checked: ``cli.config`` builds them from YAML and names file and line
of a mistake. Percentages are fractions of capital (0.02 is 2 %); rupee limits are ``Money``.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.money import Money
from kitestring.domain.orders import Product


class RiskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of the house. A limit of ``None`` is off; one that is set must be computable."""

    max_daily_loss_pct: float | None = 0.02
    """Realised + unrealised + charges below the day's opening equity: halts and flattens."""
    per_trade_risk_pct: float = 0.0025
    """Rupees lost if a new trade's stop is hit, as a fraction of capital; sizes orders."""
    max_symbol_loss_pct: float | None = 0.01
    max_drawdown_pct: float | None = 0.03
    """From the highest equity seen (chained across days)."""
    max_open_positions: int | None = 6
    max_working_orders: int | None = 50
    """Entries are refused while this many orders of ours, stops included, wait at the broker."""
    max_gross_exposure_x: float | None = 10.0
    """Worst-case gross notional as a multiple of capital."""
    max_net_exposure_x: float | None = 8.0
    """Worst-case net notional, long or short, as a multiple of capital."""
    max_symbol_exposure_x: float | None = 8.0
    """Worst-case notional of one instrument as a multiple of capital."""
    max_orders_per_second: int | None = 8
    """Of each order budget the last fifth is kept for exits: entries stop at 6, 160 and 1,600."""
    max_orders_per_minute: int | None = 200
    max_orders_per_day: int | None = 2000
    max_trades_per_strategy: int | None = 20
    max_trades_per_symbol: int | None = 20
    loss_streak_max: int | None = 4
    """Consecutive losing trades of one strategy before it cools down."""
    cooldown_minutes: int = 30
    """How long it then stays out; 0 is the rest of the day."""
    refusals_max: int | None = 5
    """Entries that the broker refuses in a row, of one strategy or of all within a minute."""
    reference_age_s_max: float = 5.0
    """An entry needs a price of the traded instrument no older than this."""
    stale_after_s: float = 60.0
    """Without a tick for this long an instrument's data is stale (a fact risk sees)."""
    duplicate_window_s: float = 1.0
    """A second entry of one strategy, instrument and side within this time is a duplicate."""
    spread_pct_max: float | None = 0.05
    """An entry is refused where ask minus bid is wider than this fraction of their middle."""
    price_jump_pct_max: float = 0.10
    """A tick further than this from the last accepted price is absurd and kept out."""


class StrategySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy of the day: what it watches, what it trades, how much it may use."""

    name: StrategyId
    """Unique in the day: ``ema_trend-NIFTY``."""
    strategy: str
    """File name of the strategy, without ``.py``."""
    source: InstrumentId
    """The instrument whose bars it reads."""
    instrument: InstrumentId
    """The instrument it trades; often the same."""
    minutes: int
    """Its main timeframe, in minutes."""
    params: dict[str, int | float | str | bool] = msgspec.field(default_factory=dict)
    product: Product = Product.MIS
    capital: Money | None = None
    """What it may size from; None = the whole account."""
    lots: int | None = None
    """Fixed size in lots; None = sized from risk and stop distance."""
    entry_from: dt.time | None = None
    entry_until: dt.time | None = None
    loss_max: Money | None = None
    """Its own loss of the day (after charges): closes its position and ends its entries."""
    fresh_signal: bool = False
    """After the house took it out, the same signal must end before it counts again."""
    max_reentries: int | None = None
    """Entries after the day's first; 0 is one trade a day."""
    wait_minutes: int = 0
    """How long it stays out after an exit."""
    stop_required: bool = False
    """An entry that names no stop is refused; live, unless the settings say `without_stop`."""


class DaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the core needs to know of the day besides the market itself."""

    date: dt.date
    capital: Money
    run_key: str
    strategies: tuple[StrategySettings, ...]
    risk: RiskSettings = RiskSettings()
    bar_grace_ms: int = 0
    """How long after a bar's end late ticks may still join it; 0 on tape and synthetic, 1500 live."""
