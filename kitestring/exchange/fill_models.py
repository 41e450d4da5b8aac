"""How a paper order is filled: at once at the price asked for, or as the market would have had it.

``instant`` is the simple promise: the requested price, at once. ``market`` is what the money will
really meet: a way there and back, the quote on the other side and no more than stood there, a
spread where the feed shows none, and a resting limit that waits for its turn in the queue.
Chance (latency) is a hash of the seed and of what it names, never of what was drawn before, so
that a restarted exchange draws the same again.
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import Price, on_tick_down, on_tick_up

_LATENCY_US: Final = (
    20_000, 33_076, 41_519, 48_214, 54_144, 59_665, 64_958, 70_129, 75_253, 80_385, 85_571,
    90_849, 96_259, 101_838, 107_626, 113_664, 120_000, 126_690, 133_797, 141_400, 149_596,
    158_504, 168_282, 179_137, 191_354, 205_335, 221_683, 241_346, 265_958, 298_668, 346_833,
    435_366, 677_500,
)  # fmt: skip
"""Quantiles, every 1/32, of the way to the exchange: lognormal with median 120 ms and 99 % below
600 ms, cut at 0.68 s. A table, because the exponential function differs between platforms. No
measured study of Kite's latency is public; these are the commonly reported orders of magnitude."""


class FillModel(msgspec.Struct, frozen=True, kw_only=True):
    """A named way of filling. Everything it assumes is a field, and ``sentence`` says it in words.

    ``*_half_spread_bp`` are hundredths of a percent of the last price, on each side, used where
    the feed shows no depth (recorded NIFTY and BANKNIFTY futures quote 0.2 to 2 bp across, monthly
    index options 0.3 to 0.9 %). ``volume_share_pct`` is the part of what traded since the last
    tick that our orders may have had there; where no volume is known, ``lots_unseen`` lots. Orders do
    not take a quote whose spread is wider than ``*_spread_max_pct``.
    """

    name: str
    immediate: bool = False
    future_half_spread_bp: int = 1
    equity_half_spread_bp: int = 2
    option_half_spread_bp: int = 20
    opening_us: int = 5 * MINUTE
    opening_widening: int = 3
    volume_share_pct: int = 25
    lots_unseen: int = 10
    spread_max_pct: int = 3
    option_spread_max_pct: int = 15

    @property
    def sentence(self) -> str:
        """What this model assumes, for the head of a report."""
        if self.immediate:
            return "instant: every order fills at once at the price it asked for"
        return (
            "market: orders travel about 0.12 s (99 % under 0.6 s) and take what stands on the five"
            " visible levels; a resting limit queues behind what is visible at its price and fills"
            f" with what trades beyond that; without depth the half-spread is {self.future_half_spread_bp}"
            f" bp (futures), {self.equity_half_spread_bp} bp (shares), {self.option_half_spread_bp} bp"
            f" (options), ×{self.opening_widening} in the first"
            f" {self.opening_us // MINUTE} minutes, and {self.volume_share_pct} % of the traded"
            " volume can be had, and a resting limit fills when the market trades through it; on"
            " bars, orders fill at the next open, stops before limits"
        )

    def half_spread_bp(self, kind: InstrumentKind) -> int:
        """Half the assumed spread of an instrument without depth, in basis points."""
        if kind is InstrumentKind.FUTURE:
            return self.future_half_spread_bp
        if kind is InstrumentKind.EQUITY:
            return self.equity_half_spread_bp
        return self.option_half_spread_bp

    def spread_limit_pct(self, kind: InstrumentKind) -> int:
        """The widest spread, in percent of its middle, at which an order still takes a quote."""
        if kind in (InstrumentKind.CALL, InstrumentKind.PUT):
            return self.option_spread_max_pct
        return self.spread_max_pct


INSTANT: Final = FillModel(name="instant", immediate=True)
MARKET: Final = FillModel(name="market")
FILL_MODELS: Final = MappingProxyType({model.name: model for model in (INSTANT, MARKET)})


def fill_model(name: str) -> FillModel:
    """The fill model of that name; raises ``ConfigError`` naming those there are."""
    model = FILL_MODELS.get(name)
    if model is None:
        raise ConfigError(
            f"There is no fill model called {name!r}.", do=f"use one of: {', '.join(FILL_MODELS)}"
        )
    return model


def _draw(seed: int, name: str, kind: str) -> int:
    """An even 64-bit draw for one name of one seed."""
    digest = hashlib.blake2b(f"{seed}|{name}|{kind}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def way_there_us(seed: int, tag: str, kind: str) -> int:
    """Microseconds from sending to matching, for one request."""
    draw = _draw(seed, tag, kind)
    step, within = draw >> 11 & 31, draw & 2047
    low, high = _LATENCY_US[step], _LATENCY_US[step + 1]
    return low + (high - low) * within // 2048


def way_back_us(seed: int, tag: str) -> int:
    """Microseconds from an event at the exchange to its report, the same for a whole order.

    5 to 37 ms: one constant per order keeps its reports in order.
    """
    return 5_000 + (_draw(seed, tag, "back") & 0x7FFF)


def spread_quote(
    model: FillModel,
    kind: InstrumentKind,
    last_px: Price,
    tick_size: Price,
    since_open_us: Instant,
    *,
    buy: bool,
) -> Price:
    """The price the other side would ask (or bid) where the feed shows no depth; on the tick."""
    bp = model.half_spread_bp(kind)
    if 0 <= since_open_us < model.opening_us:
        bp *= model.opening_widening
    half = -(-int(last_px) * bp // 10_000)
    half = max(half, int(tick_size))
    if buy:
        return on_tick_up(last_px + Price(half), tick_size)
    return on_tick_down(last_px - Price(half), tick_size)
