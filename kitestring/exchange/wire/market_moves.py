"""The market moved by hand: an instrument jumps for a while, and everybody who looks at it agrees.

A move is laid over the market's own frames before anybody sees them, so that matching, quotes,
candles and sockets all see the same prices. Other instruments (an index's futures, a share's
options) are not moved along; name them too where they should be.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.ticks import Tick, TickFrame

_WHOLE = 1_000_000


class Move(msgspec.Struct, frozen=True):
    """One instrument's prices times ``millionths``, until a moment."""

    millionths: int
    until: Instant


class MarketMoves:
    """The moves that are on; ``retouch`` is what the pump puts every frame through."""

    def __init__(self, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self._instruments = instruments
        self.on: dict[InstrumentId, Move] = {}

    def by_percent(self, instrument: InstrumentId, percent: float, until: Instant) -> None:
        """From its next tick on it stands so much higher (or, below zero, lower)."""
        self.on[instrument] = Move(_WHOLE + round(percent * _WHOLE / 100), until)

    def to_price(self, instrument: InstrumentId, px: Price, last_px: Price, until: Instant) -> None:
        """From its next tick on it stands at ``px``, and moves from there as it would have."""
        self.on[instrument] = Move(int(px) * _WHOLE // int(last_px), until)

    def base(self, tick: Tick) -> Tick:
        """A tick that was seen, as the market itself had it."""
        move = self.on.get(tick.instrument)
        return tick if move is None else self._times(tick, _WHOLE * _WHOLE // move.millionths)

    def retouch(self, frame: TickFrame) -> TickFrame:
        """The frame as it is to be seen."""
        if not self.on:
            return frame
        at = frame.received_at
        for instrument in [each for each, move in self.on.items() if move.until <= at]:
            del self.on[instrument]
        if not any(tick.instrument in self.on for tick in frame.ticks):
            return frame
        return TickFrame(at, tuple(self._moved(tick) for tick in frame.ticks))

    def _moved(self, tick: Tick) -> Tick:
        move = self.on.get(tick.instrument)
        return tick if move is None else self._times(tick, move.millionths)

    def _times(self, tick: Tick, millionths: int) -> Tick:
        step = int(self._instruments[tick.instrument].tick_size)

        def px(old: Price) -> Price:
            if not old:
                return old
            return Price(max((int(old) * millionths // _WHOLE + step // 2) // step, 1) * step)

        return msgspec.structs.replace(
            tick, last_px=px(tick.last_px), bid_px=px(tick.bid_px), ask_px=px(tick.ask_px)
        )
