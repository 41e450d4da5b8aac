"""The numbers an order gets: Kite's order id, the exchange's, a trade's, and the request's ``guid``.

Ids of 15 digits are ``YYMMDD`` and a running number with the gaps other people's orders leave. Ids
of 19 digits carry their time: milliseconds since 4 Nov 2010 in the upper bits, as the official
samples' ids decode to their own ``order_timestamp``. All are functions of the seed and the count.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final, Literal

from kitestring.domain.instants import Instant
from kitestring.exchange.seeded import key

_SNOWFLAKE_ZERO_MS: Final = 1_288_834_974_657
_SNOWFLAKE_WORKER: Final = 6 << 12
_GAP: Final = 97
_EXCHANGE_PREFIX: Final = {"NSE": "1300000", "BSE": "1700000", "NFO": "1500000", "BFO": "1800000"}


class OrderNumbers:
    """Issues the day's numbers, in order; none twice."""

    __slots__ = (
        "_at_ms",
        "_count",
        "_day",
        "_digits",
        "_exchange_count",
        "_in_ms",
        "_seed",
        "_trades",
    )

    def __init__(self, seed: int, day: dt.date, digits: Literal[15, 19, "both"]) -> None:
        self._seed = seed
        self._day = f"{day:%y%m%d}"
        self._digits = digits
        self._count = 0
        self._exchange_count = 0
        self._trades = 0
        self._at_ms = 0
        self._in_ms = 0

    def order_id(self, now: Instant) -> str:
        """The next order's id: a string, because 19 digits do not fit a float."""
        self._count += 1
        wide = self._digits == 19 or (self._digits == "both" and self._count % 2 == 0)
        if wide:
            return self._snowflake(now)
        return f"{self._day}{self._spread('order', self._count):09d}"

    def exchange_order_id(self, exchange: str) -> str:
        """The exchange's own number of an order it has accepted."""
        self._exchange_count += 1
        number = self._spread("exchange", self._exchange_count)
        return f"{_EXCHANGE_PREFIX.get(exchange, '1900000')}{number:09d}"

    def trade_id(self) -> str:
        """The exchange's number of a trade."""
        self._trades += 1
        return f"{10_000_000 + self._spread('trade', self._trades)}"

    def guid(self, app_id: int, order_id: str) -> str:
        """The name of the request, which a client can read but not choose."""
        digest = hashlib.blake2b(f"{self._seed}|{order_id}".encode(), digest_size=8).hexdigest()
        return f"{app_id}X{digest}"

    def _spread(self, name: str, count: int) -> int:
        """Rising numbers with gaps below ``_GAP``, so that nobody counts on their being dense."""
        return count * _GAP + key(self._seed, name, str(count)) % _GAP

    def _snowflake(self, now: Instant) -> str:
        at_ms = max(now // 1_000, self._at_ms)
        self._in_ms = self._in_ms + 1 if at_ms == self._at_ms else 0
        if self._in_ms > 0xFFF:
            at_ms, self._in_ms = at_ms + 1, 0
        self._at_ms = at_ms
        since_zero = max(at_ms - _SNOWFLAKE_ZERO_MS, 0)
        return str(since_zero << 22 | _SNOWFLAKE_WORKER | self._in_ms)
