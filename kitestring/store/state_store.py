"""Where the day stands now, in one small file that any program can read.

The law: it is a view, replaced whole; a reader never sees half of it, and a file that another
program holds is written the next time. Money in it is exact decimal rupees, as JSON numbers.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import StoreError
from kitestring.store.atomic_file import write_atomically

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One book that is or was open today. Prices in rupees; ``last_price`` is what it is marked at."""

    strategy: str
    symbol: str
    exchange: str
    product: str
    quantity: int
    average_price: Decimal | None
    last_price: Decimal | None
    realised_pnl: Decimal
    unrealised_pnl: Decimal
    charges: Decimal
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    entry_time: str | None = None


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """One order that may still fill."""

    order_id: str
    broker_order_id: str | None
    strategy: str
    symbol: str
    exchange: str
    side: str
    quantity: int
    filled_quantity: int
    order_type: str
    product: str
    status: str
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    purpose: str = ""


class StrategyView(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy: whether it is on, what it did, and its own state as it keeps it."""

    on: bool
    ready: bool
    instrument: str
    trades: int = 0
    net_pnl: Decimal = Decimal(0)
    last_signal: str = ""
    state: dict[str, int | float | str | bool | None] = msgspec.field(default_factory=dict)
    note: str = ""


class LimitView(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of risk and how much of it is used, in words and as a fraction (1.0 is all of it)."""

    used: str
    limit: str
    fraction: float


class RiskView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the day is halted, why, and how near the limits are."""

    halted: bool
    code: str | None = None
    reason: str | None = None
    policy: str | None = None
    halted_at: str | None = None
    limits: dict[str, LimitView] = msgspec.field(default_factory=dict)


class StateView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole day at one moment. ``timestamp`` is Indian time in ISO 8601, with its offset."""

    timestamp: str
    mode: str
    run: str
    date: str
    capital: Decimal
    cash: Decimal
    realised_pnl: Decimal
    unrealised_pnl: Decimal
    charges: Decimal
    net_pnl: Decimal
    positions: tuple[PositionView, ...]
    open_orders: tuple[OrderView, ...]
    strategies: dict[str, StrategyView]
    risk: RiskView
    last_prices: dict[str, Decimal]
    commit: int = 0
    """Number of the last commit this shows."""


class StateStore:
    """Keeps ``<mode>_state_latest.json`` up to date."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failures = 0
        """How often it could not be written so far."""

    def write(self, view: StateView) -> bool:
        """Replace the file, and wait for the disk; ``False`` where it has to be tried again."""
        try:
            content = msgspec.json.format(_encoder.encode(view), indent=2)
            write_atomically(self.path, content + b"\n", durable=True)
        except OSError:
            self.failures += 1
            return False
        return True

    def load(self) -> StateView | None:
        """The state as last written, or ``None`` if there is none; raises ``StoreError``."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=StateView)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"The state file {self.path} cannot be read: {error}.",
                do="start the day again with the same command: it is written anew from the journal",
            ) from error
