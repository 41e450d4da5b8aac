"""How often a client may ask: Kite's limits per class of call, counted on the exchange's own seconds.

Limits: kite.trade/docs/connect/v3/exceptions (quote 1, historical 3, orders 10, all others 10 a
second) and Zerodha's support page on order rate limits (400 a minute, 5 000 a day, of the account,
whichever app sends them; what the risk system refuses counts, modifications and cancellations do
not). Those of orders are dated rows of ``market``. A call refused here counts for nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from kitestring.domain.instants import MINUTE, SECOND, Instant
from kitestring.exchange.desk.kite_error import TOO_MANY_REQUESTS, network_error
from kitestring.market.order_rule_rows import OrderRules

DAY_LIMIT_REACHED: Final = "Maximum allowed order requests exceeded."


class CallClass(Enum):
    """What a call counts as; its value is how many an api_key may send in a second."""

    QUOTE = ("quote", 1)
    HISTORICAL = ("historical", 3)
    ORDER = ("order", 0)
    """Per account, from the day's order rules."""
    OTHER = ("other", 10)
    FREE = ("free", 0)
    """Never refused: the login."""


class RateLimits:
    """The counters of one account and its apps."""

    def __init__(self, rules: OrderRules, *, on: bool = True) -> None:
        self.on = on
        self.orders_today = 0
        """Orders taken today, all slices and legs of one counted."""
        self._rules = rules
        self._seconds: dict[tuple[str, CallClass], tuple[int, int]] = {}
        self._order_second = (-1, 0)
        self._order_minute = (-1, 0)

    def take(self, now: Instant, kind: CallClass, api_key: str, *, orders: int = 1) -> None:
        """Count one call, or refuse it with 429. ``orders``: how many the day counts it as."""
        if not self.on or kind is CallClass.FREE:
            return
        if kind is CallClass.ORDER:
            self._take_order(now, orders)
            return
        second = now // SECOND
        began, taken = self._seconds.get((api_key, kind), (second, 0))
        if began != second:
            taken = 0
        if taken >= kind.value[1]:
            raise network_error(TOO_MANY_REQUESTS)
        self._seconds[api_key, kind] = (second, taken + 1)

    def _take_order(self, now: Instant, orders: int) -> None:
        rules = self._rules
        second, minute = now // SECOND, now // MINUTE
        in_second = self._order_second[1] if self._order_second[0] == second else 0
        in_minute = self._order_minute[1] if self._order_minute[0] == minute else 0
        if self.orders_today + orders > rules.orders_per_day_max:
            raise network_error(DAY_LIMIT_REACHED)
        if in_second >= rules.orders_per_second_max or in_minute >= rules.orders_per_minute_max:
            raise network_error(TOO_MANY_REQUESTS)
        self._order_second = (second, in_second + 1)
        self._order_minute = (minute, in_minute + 1)
        self.orders_today += orders
