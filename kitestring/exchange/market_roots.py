"""What moves each name of the listing: its level, its shares in the market's day, and its own story.

Seven large shares and two indices have models of their own (``synthetic_models``); the rest of the
listing is described here: by a table for indices, currencies and commodities, and by a draw on the
symbol for shares.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from kitestring.domain.money import price
from kitestring.exchange.listed_names import COMMODITIES, CURRENCIES, INDICES, VIX, known_shares
from kitestring.exchange.listed_universe import level_of_invented
from kitestring.exchange.seeded import key
from kitestring.exchange.synthetic_models import MODELS
from kitestring.exchange.synthetic_paths import BP

_DAY_ROOT: Final = 181
"""Root of the 2¹⁵ seconds that a day is long on a path."""
_LONG_DAY_ROOT: Final = 256
"""The same of commodities, whose day has 2¹⁶."""
_TRADING_YEAR_ROOT_PCT: Final = 1587
"""Root of 252 days, in per cent."""


class Root(NamedTuple):
    """One name that prices come from; every column a whole number."""

    base: int
    market_pct: int
    banking_pct: int
    step: int
    """Size of its own steps of one second, in billionths."""
    volatility_bp: int
    """What its options imply at the money, a year."""
    fear_pct: int
    """How far its volatility follows INDIA VIX, in per cent."""
    carry: int
    """What a future costs above it, a year, in billionths."""
    hours: int
    """0 the share market, 1 commodities, 2 currency."""


@lru_cache(maxsize=20_000)
def root_of(name: str) -> Root:
    """The root of an instrument's logical name; names outside every table are invented shares."""
    found = _tables().get(name)
    if found is not None:
        return found
    symbol = name.partition(" (")[0]
    return _share(symbol, int(level_of_invented(symbol)), bank=False, steps=(90, 260))


@lru_cache(maxsize=1)
def _tables() -> dict[str, Root]:
    roots: dict[str, Root] = {}
    for share in known_shares():
        # An exchange-traded fund or a stock is drawn alike: what matters is that it moves plausibly.
        roots[share.symbol] = _share(
            share.symbol, int(share.level), bank=share.bank, steps=(60, 130)
        )
    for index in INDICES:
        fear = 100 if index.name in ("NIFTY", "SENSEX") else 80
        roots[index.name] = Root(
            int(price(index.level)),
            index.market_pct,
            index.banking_pct,
            index.own_bp * BP // _DAY_ROOT,
            *(index.volatility_bp, fear, 63_000_000, 0),
        )
    for name, model in MODELS.items():
        if model.own is not None:
            own_bp = model.own.day_sd // BP
            known = roots.get(name) or roots["TMPV"]
            volatility = _volatility(own_bp, model.market_pct)
            roots[name] = known._replace(base=int(model.base), volatility_bp=volatility)
    for hours, table in ((1, COMMODITIES), (2, CURRENCIES)):
        for row in table:
            roots[row.name] = Root(
                int(price(row.level)),
                *(0, 0, row.own_bp * BP // (_LONG_DAY_ROOT if hours == 1 else _DAY_ROOT)),
                row.own_bp * _TRADING_YEAR_ROOT_PCT // 100,
                *(0, 50_000_000 if hours == 1 else 20_000_000, hours),
            )
    return roots


def _share(symbol: str, base: int, *, bank: bool, steps: tuple[int, int]) -> Root:
    draw = key(0, "share", symbol)
    market = 70 + draw % 56
    own_bp = steps[0] + (draw >> 8) % (steps[1] - steps[0])
    banking = 55 + (draw >> 24) % 60 if bank else 0
    return Root(
        *(base, market, banking, own_bp * BP // _DAY_ROOT),
        *(_volatility(own_bp, market), 55, 63_000_000, 0),
    )


def _volatility(own_bp: int, market_pct: int) -> int:
    """A year's volatility in basis points from a day's own part and the share in the market's."""
    day = own_bp + market_pct * 68 // 250
    return day * _TRADING_YEAR_ROOT_PCT // 100


@lru_cache(maxsize=1)
def fear_base() -> int:
    """The level of INDIA VIX at which volatilities are those of the table."""
    return root_of(VIX).base
