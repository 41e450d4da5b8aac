"""What Kite's quotes say of a day at its start: the close before it, and its circuit limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

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


class OpeningQuotes(NamedTuple):
    """By instrument; what is not quoted (never traded, no circuit) is absent."""

    closes: dict[str, Price]
    bands: dict[str, tuple[Price, Price]]
    """Lower and upper circuit limit."""


async def previous_closes(
    source: QuoteSource, instruments: Sequence[InstrumentId]
) -> dict[str, Price]:
    """The closes alone."""
    return (await opening_quotes(source, instruments)).closes


async def opening_quotes(source: QuoteSource, instruments: Sequence[InstrumentId]) -> OpeningQuotes:
    """Closes and circuit limits of all of them, in as many calls as Kite wants."""
    closes: dict[str, Price] = {}
    bands: dict[str, tuple[Price, Price]] = {}
    for first in range(0, len(instruments), BATCH):
        if first:
            await asyncio.sleep(_BETWEEN_S)
        found = await source.quote(instruments[first : first + BATCH])
        for name, quote in found.items():
            if quote.previous_close > Price(0):
                closes[name] = quote.previous_close
            if Price(0) < quote.lower_circuit < quote.upper_circuit:
                bands[name] = (quote.lower_circuit, quote.upper_circuit)
    return OpeningQuotes(closes, bands)
