"""Quotes by key: full, OHLC and last price, and the range a cover order's trigger may have.

Rules: kite.trade/docs/connect/v3/market-quotes. A key is ``EXCHANGE:SYMBOL`` or an instrument
token, and comes back exactly as it was sent; one that names nothing, or nothing with a price, is
left out without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.market_board import LtpQuote, MarketBoard, OhlcQuote, Quote, rupees

_TRIGGER_RANGE_BP: Final = 550
"""How far from the last price a cover order's trigger may lie. Kite's own, by instrument, is not
published; the official sample shows 5.5 % (INFY) and 3.5 % (RELIANCE)."""

Row = dict[str, object]
Found = TypeVar("Found", Quote, OhlcQuote, LtpQuote)


class Quotes:
    """Answers the ``/quote`` family from the board. ``watch`` makes instruments tick that did not."""

    def __init__(
        self,
        board: MarketBoard,
        listing: Listing,
        watch: Callable[[Iterable[InstrumentId]], None],
    ) -> None:
        self._board = board
        self._listing = listing
        self._watch = watch

    def quote(self, keys: Iterable[str]) -> dict[str, Quote]:
        """``GET /quote``."""
        return self._rows(keys, self._board.quote)

    def ohlc(self, keys: Iterable[str]) -> dict[str, OhlcQuote]:
        """``GET /quote/ohlc``."""
        return self._rows(keys, self._board.ohlc)

    def ltp(self, keys: Iterable[str]) -> dict[str, LtpQuote]:
        """``GET /quote/ltp``."""
        return self._rows(keys, self._board.ltp)

    def trigger_range(self, keys: Iterable[str], *, buy: bool) -> dict[str, Row]:
        """``GET /instruments/trigger_range/{buy|sell}``: a bought position is stopped below, a sold above."""
        named = self._named(keys)
        rows: dict[str, Row] = {}
        for key, instrument in named.items():
            px = self._board.last_px(instrument.id)
            if px is None or not instrument.tradable:
                continue
            away = Price(int(px) * _TRIGGER_RANGE_BP // 10_000)
            low, high = (px - away, px) if buy else (px, px + away)
            rows[key] = {
                "instrument_token": instrument.token,
                "lower": rupees(int(low)),
                "upper": rupees(int(high)),
            }
        return rows

    def _rows(
        self, keys: Iterable[str], row_of: Callable[[InstrumentId], Found | None]
    ) -> dict[str, Found]:
        named = self._named(keys)
        found = ((key, row_of(instrument.id)) for key, instrument in named.items())
        return {key: row for key, row in found if row is not None}

    def _named(self, keys: Iterable[str]) -> dict[str, Instrument]:
        named: dict[str, Instrument] = {}
        for key in keys:
            instrument = self._find(key)
            if instrument is not None:
                named[key] = instrument
        self._watch([instrument.id for instrument in named.values()])
        return named

    def _find(self, key: str) -> Instrument | None:
        if key.isascii() and key.isdigit() and len(key) < 12:
            return self._listing.by_token.get(int(key))
        return self._listing.by_key.get(InstrumentId(key))
