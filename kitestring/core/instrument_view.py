"""What the house knows of one instrument at this moment: last price, depth, the day so far.

Read by everyone, written by ``MarketDataEngine`` alone. Prices are in 1/10 000 rupee, 0 standing
for "none yet"; every tick that was kept out is counted under the first thing wrong with it.
"""

from __future__ import annotations

from kitestring.core.bar_builder import BarBuilder, Span, continuous_hours
from kitestring.core.bar_window import BarWindow
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick

Minute = tuple[Instant, Instant, Price, Price, Price, Price, int]
"""An ended minute that waits for its timer: open_at, close_at, open, high, low, close, volume."""


class InstrumentView:
    """One instrument of the day; plain attributes, because the tick path reads and writes them.

    ``minute_*`` is the running 1-minute bar: its close is ``last_px``, its volume
    ``cum_qty − minute_base``, so that an ordinary tick writes nothing else. ``minute_close_at`` is
    0 while none is running. ``sane_low`` to ``sane_high`` is a band in which no step from
    ``last_px`` can be absurd: a price inside needs no arithmetic. An empty band sends the next tick
    through the thorough check.
    """

    __slots__ = (
        "absurd",
        "accepted",
        "builders",
        "cum_qty",
        "day_high",
        "day_low",
        "day_open",
        "duplicate",
        "ended",
        "falling_volume",
        "hours",
        "instrument",
        "last_at",
        "last_px",
        "late",
        "minute_base",
        "minute_close_at",
        "minute_high",
        "minute_low",
        "minute_open",
        "minute_open_at",
        "order",
        "out_of_hours",
        "previous_close",
        "sane_high",
        "sane_low",
        "session",
        "stale",
        "stale_told",
        "suspect",
        "tick",
        "window",
        "zero",
    )

    def __init__(
        self, instrument: Instrument, session: Session, order: int, previous_close: Price
    ) -> None:
        self.instrument = instrument
        self.session = session
        self.order = order
        """Place in the manifest; bars that close together come in this order."""
        self.hours: tuple[Span, ...] = continuous_hours(session)
        self.previous_close = previous_close
        self.last_px: Price = Price(0)
        self.last_at: Instant = 0
        self.cum_qty = 0
        """Highest cumulative quantity of the day seen so far; it never falls."""
        self.tick: Tick | None = None
        """The last accepted tick; depth is read from it."""
        self.day_open: Price = Price(0)
        self.day_high: Price = Price(0)
        self.day_low: Price = Price(0)
        self.stale = False
        self.stale_told = False
        self.accepted = 0
        self.duplicate = 0
        self.late = 0
        self.zero = 0
        self.absurd = 0
        self.out_of_hours = 0
        self.falling_volume = 0
        """Accepted ticks whose cumulative quantity was lower than one seen before."""
        self.minute_open_at: Instant = 0
        self.minute_close_at: Instant = 0
        self.minute_open: Price = Price(0)
        self.minute_high: Price = Price(0)
        self.minute_low: Price = Price(0)
        self.minute_base = 0
        self.ended: list[Minute] = []
        self.sane_low: Price = Price(1)
        self.sane_high: Price = Price(0)
        self.suspect: Tick | None = None
        self.builders: tuple[BarBuilder, ...] = ()
        """One per timeframe above a minute, ascending, the day last."""
        self.window: BarWindow | None = None
        """The 1-minute window, where 1-minute bars are wanted."""

    @property
    def bid_px(self) -> Price:
        """Best bid; 0 if that side is empty or the feed has no depth."""
        return self.tick.bid_px if self.tick is not None else Price(0)

    @property
    def ask_px(self) -> Price:
        """Best offer; 0 if that side is empty or the feed has no depth."""
        return self.tick.ask_px if self.tick is not None else Price(0)

    @property
    def bid_qty(self) -> int:
        """Quantity at the best bid."""
        return self.tick.bid_qty if self.tick is not None else 0

    @property
    def ask_qty(self) -> int:
        """Quantity at the best offer."""
        return self.tick.ask_qty if self.tick is not None else 0

    @property
    def kept_out(self) -> int:
        """Ticks that were counted and changed nothing."""
        return self.duplicate + self.late + self.zero + self.absurd + self.out_of_hours

    def end_minute(self) -> None:
        """Set the running minute aside until its timer comes; nothing is running afterwards."""
        self.ended.append(
            (
                self.minute_open_at,
                self.minute_close_at,
                self.minute_open,
                self.minute_high,
                self.minute_low,
                self.last_px,
                self.cum_qty - self.minute_base,
            )
        )
        self.minute_close_at = 0
