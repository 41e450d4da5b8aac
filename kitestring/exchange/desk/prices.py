"""The prices a portfolio is shown at: the last one, and the close of the trading day before.

``exchange.market_board`` knows both; a table of numbers does as well.
"""

from __future__ import annotations

from typing import Final, Protocol

from kitestring.domain.ids import InstrumentId
from kitestring.domain.money import UNITS_PER_RUPEE, Money, Price

Row = dict[str, object]
NO_PRICE: Final = Price(0)


class Quotes(Protocol):
    """Whoever knows what instruments cost; ``None`` where nothing is known."""

    def last_px(self, instrument: InstrumentId, /) -> Price | None:
        """The last traded price."""
        ...

    def previous_close(self, instrument: InstrumentId, /) -> Price | None:
        """The close of the trading day before."""
        ...


def last_or_close(quotes: Quotes, instrument: InstrumentId) -> Price:
    """The last price, else the close before; 0 where neither is known."""
    return quotes.last_px(instrument) or quotes.previous_close(instrument) or NO_PRICE


def rupees(amount: Money | Price) -> float:
    """Money as the JSON number Kite sends; exact to the last bit a float has."""
    return int(amount) / UNITS_PER_RUPEE


def rupees_each(value: Money, qty: int, multiplier: int) -> float:
    """An average price in rupees; 0 of nothing."""
    return int(value) / (qty * multiplier) / UNITS_PER_RUPEE if qty else 0.0
