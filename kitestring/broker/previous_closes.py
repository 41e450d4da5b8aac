"""The close of the trading day before, of every instrument, from Kite's quotes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from kitestring.broker.kite_market_rows import Quote
from kitestring.domain.ids import InstrumentId
from kitestring.domain.money import Price

BATCH: Final = 500
"""Instruments in one call (kite.trade/docs/connect/v3/market-quotes)."""
_BETWEEN_S: Final = 1.05
"""One call a second."""


class QuoteSource(Protocol):
    """Whoever answers ``/quote``; ``KiteClient`` does."""

    async def quote(self, instruments: Iterable[InstrumentId]) -> dict[InstrumentId, Quote]:
        """Quotes by instrument; what is not known is absent. Raises if it cannot be read."""
        ...


async def previous_closes(
    source: QuoteSource, instruments: Sequence[InstrumentId]
) -> dict[str, Price]:
    """By instrument; one without a close (never traded, not quoted) is absent."""
    closes: dict[str, Price] = {}
    for first in range(0, len(instruments), BATCH):
        if first:
            await asyncio.sleep(_BETWEEN_S)
        found = await source.quote(instruments[first : first + BATCH])
        for name, quote in found.items():
            if quote.previous_close > Price(0):
                closes[name] = quote.previous_close
    return closes
