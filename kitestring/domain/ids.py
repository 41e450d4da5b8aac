"""Names of things: instruments, orders, executions, signals, strategies.

Every id is computed from what it names, never drawn at random, so that a replay of the day names
everything again in the same way.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final, NewType

InstrumentId = NewType("InstrumentId", str)
"""``EXCHANGE:TRADINGSYMBOL``, as Kite writes it: ``NFO:NIFTY26NOVFUT``."""
StrategyId = NewType("StrategyId", str)
ClOrdId = NewType("ClOrdId", str)
"""Our id for an order: 20 letters and digits, carried to the broker in ``tag``."""
OrderId = NewType("OrderId", str)
"""The broker's id for an order."""
ExecId = NewType("ExecId", str)
"""The exchange's id for one trade."""
SignalId = NewType("SignalId", str)
TradeId = NewType("TradeId", str)

HOUSE: Final = StrategyId("house")
"""The owner of what no strategy asked for: square-off of an orphan, an operator's flatten."""

ENGINES: Final = "K"
"""What the engine's order tags begin with."""
GUARDS: Final = "G"
"""What the guard's order tags begin with."""
_BASE32: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DAY_ZERO: Final = dt.date(2020, 1, 1)


def instrument_id(exchange: str, symbol: str) -> InstrumentId:
    """``instrument_id("NFO", "NIFTY26NOVFUT")``."""
    return InstrumentId(f"{exchange}:{symbol}")


def exchange_of(instrument: InstrumentId) -> str:
    """``NFO`` of ``NFO:NIFTY26NOVFUT``."""
    return instrument.partition(":")[0]


def symbol_of(instrument: InstrumentId) -> str:
    """``NIFTY26NOVFUT`` of ``NFO:NIFTY26NOVFUT``."""
    return instrument.partition(":")[2]


def base32(number: int, width: int) -> str:
    """``number`` in Crockford's base 32, at least ``width`` digits (no I, L, O or U to misread)."""
    assert number >= 0
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _BASE32[digit] + digits
    return digits.rjust(width, "0")


class ClOrdIds:
    """Issues the order tags of one run, in order.

    A tag is ``K`` + 5 of the run + 3 of the day + 8 of the counter + 3 of checksum: 20 characters,
    the most that Kite accepts (facts: kite.trade forum, comment 52970). The counter is part of the
    run's recovered state, so a tag is never issued twice. The guard's tags begin with ``G``: they
    are none of the engine's, and the engine can tell whose they are.
    """

    __slots__ = ("_prefix", "_prefix_check", "issued")

    def __init__(
        self, run_key: str, day: dt.date, issued: int = 0, *, letter: str = ENGINES
    ) -> None:
        self._prefix = tag_prefix(run_key, day, letter)
        self._prefix_check = _checksum(self._prefix[1:])
        self.issued = issued

    def __call__(self) -> ClOrdId:
        # The checksum is taken from the counter's digits while they are made, from the last one
        # (place 16) up; over the finished text it was a third of the time of placing an order.
        self.issued = number = self.issued + 1
        counter, check, place = "", self._prefix_check, 16
        while number:
            number, digit = divmod(number, 32)
            counter = _BASE32[digit] + counter
            check += place * digit
            place -= 1
        return ClOrdId(f"{self._prefix}{counter:0>8}{base32(check % 32**3, 3)}")


def tag_prefix(run_key: str, day: dt.date, letter: str = ENGINES) -> str:
    """What every tag of one run begins with."""
    run = int.from_bytes(hashlib.sha256(run_key.encode()).digest()[:4], "big") % 32**5
    return f"{letter}{base32(run, 5)}{base32((day - _DAY_ZERO).days, 3)}"


def _checksum(body: str) -> int:
    """The sum of (place × digit), places counted from 1."""
    return sum(place * _BASE32.index(letter) for place, letter in enumerate(body, 1))


def is_ours(tag: str) -> bool:
    """Whether a broker's tag is well-formed as one of the engine's (shape and checksum)."""
    return _issued_under(ENGINES, tag)


def is_guards(tag: str) -> bool:
    """Whether a broker's tag is well-formed as one of the guard's."""
    return _issued_under(GUARDS, tag)


def _issued_under(letter: str, tag: str) -> bool:
    if len(tag) != 20 or tag[0] != letter or any(letter not in _BASE32 for letter in tag[1:]):
        return False
    return tag[17:] == base32(_checksum(tag[1:17]) % 32**3, 3)
