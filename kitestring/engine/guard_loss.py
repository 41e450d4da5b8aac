"""The day's loss of what we own, as the broker sees it: by two prices of its, in two looks in a row.

One odd price closes nothing: a loss counts only where the quote and the position's own price both
show it, twice. What cannot be priced says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kitestring.broker.kite_rows import Positions
from kitestring.domain.ids import InstrumentId
from kitestring.domain.money import Money, Price, show_rupees
from kitestring.store.owned_file import Owned


class Prices(Protocol):
    """Where prices come from."""

    async def quotes(self, names: list[InstrumentId]) -> dict[InstrumentId, Price]:
        """Last prices of what is quoted."""
        ...

    async def positions(self) -> Positions:
        """Positions, each with a price of its own."""
        ...


def result_at(owned: Owned, prices: Mapping[InstrumentId, Price]) -> Money | None:
    """The day's result of what we own; ``None`` where something open has no price."""
    total = Money(0)
    for book in owned.books:
        total = total + book.fixed
        if book.net_qty:
            last_px = prices.get(book.instrument, Price(0))
            if int(last_px) <= 0:
                return None
            total = total + last_px * (book.net_qty * book.multiplier)
    return total


class LossWatch:
    """Remembers whether the last look was beyond the limit, too."""

    def __init__(self, max_loss: Money | None) -> None:
        self._max_loss = max_loss
        self._beyond = False

    async def look(self, owned: Owned, prices: Prices) -> str:
        """Why all must be closed, or nothing. Raises ``KiteReadFailed``."""
        if self._max_loss is None:
            return ""
        names = sorted({book.instrument for book in owned.books if book.net_qty})
        quoted: Mapping[InstrumentId, Price] = await prices.quotes(names) if names else {}
        first = result_at(owned, quoted)
        if first is None or -first < self._max_loss:
            self._beyond = False
            return ""
        second: Money | None = first
        if names:
            rows = (await prices.positions()).net
            second = result_at(owned, {row.instrument: row.last_px for row in rows})
        if second is None or -second < self._max_loss:
            self._beyond = False
            return ""
        if not self._beyond:
            self._beyond = True
            return ""
        return (
            f"what we own has lost {show_rupees(-max(first, second))} today by the broker's prices,"
            f" beyond the limit of {show_rupees(self._max_loss)}"
        )
