"""Ticks: what the exchange said of an instrument at one moment, and frames of them as they arrive.

A Kite tick is a snapshot, about one a second: trades between two ticks are visible only as the
growth of the day's cumulative volume.
"""

from __future__ import annotations

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price


class Tick(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One snapshot of one instrument.

    Positional on purpose: one is built for every packet. ``cum_qty`` is the day's traded quantity
    so far (0 where the feed has none). A ``bid_px`` or ``ask_px`` of 0 means that side is empty or
    the feed carries no depth; 0 is no legal price.
    """

    instrument: InstrumentId
    event_at: Instant
    last_px: Price
    cum_qty: int = 0
    bid_px: Price = Price(0)
    bid_qty: int = 0
    ask_px: Price = Price(0)
    ask_qty: int = 0
    oi: int = 0


class TickFrame(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="ticks"):
    """The ticks of one message, in their order of arrival: one entry in the inbox."""

    received_at: Instant
    ticks: tuple[Tick, ...]
