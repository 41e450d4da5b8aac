"""What the synthetic market knows of each name: its level, its company and how busily it trades.

Levels are plausible ones of 2026, the same for every date; a synthetic day of another year is not
a reconstruction of it. Sizes and spreads follow recorded ticks: NIFTY future 0.1–1 point wide,
BANKNIFTY future 3–11 points, large shares one or two ticks.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.errors import FeedError
from kitestring.domain.money import Price, price
from kitestring.exchange.synthetic_paths import Factor, own_story


class SyntheticModel(msgspec.Struct, frozen=True, kw_only=True):
    """One name. ``market_pct`` and ``banking_pct`` are its betas, in per cent.

    ``trade_qty`` is the median quantity of one busy second; ``touch_qty`` the median quantity at
    the best price; for indices both belong to the current future, in contracts' units.
    """

    base: Price
    market_pct: int
    banking_pct: int
    own: Factor | None
    trade_qty: int
    touch_qty: int
    spread: Price
    """Median spread of the current future; 0 for shares, which are one or two ticks wide."""
    oi: int = 0


def _share(
    name: str, base: str, betas: tuple[int, int], own_bp: int, quantities: tuple[int, int]
) -> SyntheticModel:
    return SyntheticModel(
        base=price(base),
        market_pct=betas[0],
        banking_pct=betas[1],
        own=own_story(name, own_bp),
        trade_qty=quantities[0],
        touch_qty=quantities[1],
        spread=Price(0),
    )


MODELS: Final = MappingProxyType(
    {
        "NIFTY": SyntheticModel(
            base=price(24_700),
            market_pct=100,
            banking_pct=0,
            own=None,
            trade_qty=150,
            touch_qty=180,
            spread=price("0.40"),
            oi=17_000_000,
        ),
        "BANKNIFTY": SyntheticModel(
            base=price(58_000),
            market_pct=105,
            banking_pct=100,
            own=None,
            trade_qty=60,
            touch_qty=60,
            spread=price(6),
            oi=1_900_000,
        ),
        "RELIANCE": _share("RELIANCE", "1420", (105, 0), 70, (130, 700)),
        "HDFCBANK": _share("HDFCBANK", "985", (95, 90), 55, (240, 1100)),
        "ICICIBANK": _share("ICICIBANK", "1375", (100, 95), 60, (150, 650)),
        "INFY": _share("INFY", "1510", (85, 0), 85, (110, 450)),
        "TCS": _share("TCS", "3080", (75, 0), 75, (36, 160)),
        "SBIN": _share("SBIN", "948", (110, 100), 75, (190, 900)),
        "TATAMOTORS": _share("TATAMOTORS", "372", (120, 0), 100, (260, 1400)),
    }
)
"""By logical name. The passenger-vehicle company keeps the logical name TATAMOTORS (see the master)."""


def model_of(name: str) -> SyntheticModel:
    """The model of a logical name; raises ``FeedError`` where there is none."""
    model = MODELS.get(name)
    if model is None:
        raise FeedError(
            f"The synthetic market has no {name}.", do=f"Choose from {', '.join(MODELS)}."
        )
    return model
