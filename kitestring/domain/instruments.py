"""What can be traded: an instrument with its lot, tick, freeze quantity, multiplier and expiry.

Nothing here is a constant of the house: every number is read from the day's instrument master,
because exchanges revise lots, ticks and freeze quantities monthly to half-yearly.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.money import Price


class InstrumentKind(StrEnum):
    """The sort of contract; what decides charges, sessions and order rules."""

    INDEX = "INDEX"
    EQUITY = "EQ"
    FUTURE = "FUT"
    CALL = "CE"
    PUT = "PE"


class Segment(StrEnum):
    """The market an instrument trades in, as sessions and charges tell them apart."""

    EQUITY = "EQUITY"
    EQUITY_WITH_DERIVATIVES = "EQUITY_FNO"
    """Shares that underlie futures and options: closing auction since 3 Aug 2026."""
    FUTURES = "FUTURES"
    OPTIONS = "OPTIONS"
    INDEX = "INDEX"
    CURRENCY = "CURRENCY"
    """Currency futures and options of NSE (CDS) and BSE (BCD): hours and holidays of their own."""
    COMMODITY = "COMMODITY"
    """Futures and options of MCX: into the night, and on the evening of most holidays."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the instrument master.

    ``tick_size`` in price units; ``lot_size`` and ``freeze_qty`` in units of the instrument (an
    order above ``freeze_qty`` is refused by the exchange and must be sliced; 0 means no limit);
    ``multiplier`` turns price times quantity into rupees (1 on NSE). ``name`` is the logical name
    (``NIFTY``) under which several contracts stand. ``stand_in`` says, in words shown in every
    report, when this is not the real contract but recorded ticks of something near it.
    """

    id: InstrumentId
    exchange: str
    symbol: str
    token: int
    kind: InstrumentKind
    segment: Segment
    name: str
    lot_size: int
    tick_size: Price
    freeze_qty: int = 0
    multiplier: int = 1
    expiry: dt.date | None = None
    strike: Price | None = None
    stand_in: str | None = None
    has_volume: bool = True
    has_depth: bool = True

    @property
    def tradable(self) -> bool:
        """An index itself cannot be bought; its future can."""
        return self.kind is not InstrumentKind.INDEX
