"""What a trade costs besides its price: brokerage, STT, exchange, SEBI, stamp and GST, itemised.

Kept unrounded in 10⁻¹⁰ rupee per (order, component). Brokerage is per order, so a fill books the
*increment* of its order's cumulative charge; rounding happens at display and on the contract note.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from kitestring.domain.instruments import Instrument
from kitestring.domain.money import ChargeUnits, Money
from kitestring.domain.orders import Product, Side


class Charges(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One set of itemised charges, in 10⁻¹⁰ rupee."""

    brokerage: ChargeUnits = ChargeUnits(0)
    stt: ChargeUnits = ChargeUnits(0)
    exchange: ChargeUnits = ChargeUnits(0)
    sebi: ChargeUnits = ChargeUnits(0)
    stamp: ChargeUnits = ChargeUnits(0)
    gst: ChargeUnits = ChargeUnits(0)

    @property
    def total(self) -> ChargeUnits:
        """The sum of all components."""
        return self.brokerage + self.stt + self.exchange + self.sebi + self.stamp + self.gst

    def plus(self, other: Charges) -> Charges:
        """Component-wise sum."""
        return Charges(
            self.brokerage + other.brokerage,
            self.stt + other.stt,
            self.exchange + other.exchange,
            self.sebi + other.sebi,
            self.stamp + other.stamp,
            self.gst + other.gst,
        )

    def minus(self, other: Charges) -> Charges:
        """Component-wise difference."""
        return Charges(
            self.brokerage - other.brokerage,
            self.stt - other.stt,
            self.exchange - other.exchange,
            self.sebi - other.sebi,
            self.stamp - other.stamp,
            self.gst - other.gst,
        )


NO_CHARGES = Charges()


class ChargeBook(Protocol):
    """The charge rates in force on one day, for every instrument of the day."""

    name: str
    """Shown in the report: which dated rows these are."""

    def order_charges(
        self, instrument: Instrument, product: Product, side: Side, traded_value: Money
    ) -> Charges:
        """Cumulative charges of one order that has traded ``traded_value`` so far (0 → nothing)."""
        ...
