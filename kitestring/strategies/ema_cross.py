"""Always long or always short: long while the fast EMA is above the slow one, else short.

Idea: the plainest trend rule there is, turned on every crossing, without a stop. It is here to be
measured against (every back-testing program ships it), not to be traded: it pays the spread and the
charges at every wobble.
Source: R. D. Donchian's moving-average crossing of the 1960s, with exponential averages.
Parameters: ``fast`` and ``slow``, bars of the two averages.
"""

from __future__ import annotations

import msgspec

from kitestring.core.indicators import IndicatorSpec, ema
from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lengths of the two averages, in bars."""

    fast: int = 9
    slow: int = 21

    def __post_init__(self) -> None:
        if not 1 <= self.fast < self.slow:
            raise ValueError(f"fast ({self.fast}) must be shorter than slow ({self.slow})")


class State(msgspec.Struct, frozen=True):
    """It remembers nothing: its position says where it stands."""


BUY = buy("fast EMA above slow")
SELL = sell("fast EMA below slow")
STAY = hold("already on the side of the trend")
LEVEL = hold("the averages are equal")


def indicators(params: Params) -> dict[str, IndicatorSpec]:
    """Two averages of the close."""
    return {"fast": ema(params.fast), "slow": ema(params.slow)}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:  # noqa: ARG001 - every strategy has these three
    """Be on the side the fast average is on."""
    if i.fast > i.slow:
        return state, (STAY if i.position > 0 else BUY)
    if i.fast < i.slow:
        return state, (STAY if i.position < 0 else SELL)
    return state, LEVEL
