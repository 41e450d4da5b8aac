"""Ticks in, bars out: keeps what is true of the market now, and closes every bar on time.

Bars are anchored to the session's open of the instrument's segment, cover ``[open, close)`` and are
closed by *time* (a timer at close + grace), with or without a next tick. A tick at or after the
close belongs to the next bar, even while the timer is still to come; a tick older than a bar that
has closed is counted as late and never merged. A minute without a tick makes no bar, as Kite's
candles do; longer bars are made of the 1-minute bars there are. A bar that overlaps a known gap is
``incomplete``.

A tick that is kept out is counted once, under the first of these: price zero or below · outside the
continuous hours · identical to the last accepted tick in every field (duplicate) · older than it,
or than a closed bar (late) · absurd. Absurd is a step of more than ``price_jump_pct_max`` from the
last accepted price (from the previous close, for the first tick); the second of two successive ones
that agree is believed, so that a real gap cannot lock an instrument out. A frame's tick stamped
more than a minute after it was received is absurd too, because believing it would make every
honest tick late.

Volume is the growth of the day's cumulative quantity. The first tick's quantity is the baseline:
it was traded before we looked. A falling quantity is counted; the tick's price is good, but volume
grows again only above the highest quantity seen, so that nothing is counted twice.

The same ticks and timers give the same bars, bit for bit; there is no other state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kitestring.core.bar_builder import BarBuilder, Span, in_order, overlaps
from kitestring.core.bar_window import BarWindow
from kitestring.core.instrument_view import InstrumentView
from kitestring.domain.bars import DAY_BAR, TIMEFRAMES, Bar, BarFrame
from kitestring.domain.events import Gap, HistoryLoaded, MarketDataFault
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, NEVER, SECOND, Instant, ist_clock
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Price
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick, TickFrame

WINDOW_BARS: Final = 1024
"""Closed bars kept per instrument and timeframe."""
AHEAD_MAX: Final = MINUTE
"""How far a tick's own time may run ahead of its arrival, in microseconds."""

_PPM: Final = 1_000_000


class MarketDataEngine:
    """The market as the core sees it: one view per instrument, and its bars.

    ``next_due_at`` is when it next wants a timer: every minute's end (plus grace) while a session
    is open, so that silence is noticed too; for a feed of recorded bars only when a longer bar is
    running; ``NEVER`` when the day is done.
    """

    __slots__ = (
        "_bar_feed",
        "_closed_until",
        "_gaps",
        "_grace",
        "_jump_ppm",
        "_now",
        "_previous_day",
        "_running",
        "_sessions",
        "_stale_after",
        "_views",
        "_windows",
        "next_due_at",
        "views",
    )

    def __init__(
        self,
        instruments: Sequence[Instrument],
        sessions: Mapping[Segment, Session],
        *,
        timeframes: Mapping[InstrumentId, frozenset[int]],
        bar_grace: int,
        price_jump_pct_max: float,
        stale_after: int,
        previous_close: Mapping[InstrumentId, Price],
        window_bars: int = WINDOW_BARS,
    ) -> None:
        assert bar_grace >= 0
        assert price_jump_pct_max > 0
        self._grace = bar_grace
        self._jump_ppm = round(price_jump_pct_max * _PPM)
        self._stale_after = stale_after
        self._closed_until: Instant = 0
        self._now: Instant = NEVER
        self._gaps: list[Span] = []
        self._bar_feed = False
        self._running: dict[Instant, int] = {}
        """Close of longer bars that are running → how many; kept for bar feeds only."""
        self._previous_day: dict[InstrumentId, Bar] = {}
        self._windows: dict[tuple[InstrumentId, int], BarWindow] = {}
        self.views: dict[InstrumentId, InstrumentView] = {}
        used: dict[Segment, Session] = {}
        for order, instrument in enumerate(instruments):
            name = instrument.id
            session = used.setdefault(instrument.segment, sessions[instrument.segment])
            view = InstrumentView(instrument, session, order, previous_close.get(name, Price(0)))
            wanted = timeframes.get(name, frozenset())
            assert wanted <= set(TIMEFRAMES), (
                f"{sorted(wanted)} are not all timeframes of the house"
            )
            for minutes in wanted:
                self._windows[name, minutes] = BarWindow(window_bars)
            view.builders = tuple(
                BarBuilder(name, minutes, session, self._windows[name, minutes])
                for minutes in sorted(wanted - {1}, key=in_order)
            )
            view.window = self._windows.get((name, 1))
            self.views[name] = view
        self._views = tuple(self.views.values())
        self._sessions = tuple(used.values())
        self.next_due_at: Instant = self._next_boundary() + bar_grace if self._views else NEVER

    # ------------------------------------------------------------------ ticks

    def accept(self, tick: Tick) -> bool:
        """Believe one tick, or count it and keep it out; True if the view has changed."""
        return bool(self.accept_frame(TickFrame(NEVER, (tick,))))

    def accept_frame(self, frame: TickFrame) -> list[InstrumentView]:
        """Believe every tick of a frame, or count it; the views of those believed, in their order.

        An instrument with two believed ticks in one frame stands there twice. One that is not in
        the manifest is a mistake in the wiring: ``KeyError``.
        """
        self._now = frame.received_at
        views = self.views
        believed: list[InstrumentView] = []
        for tick in frame.ticks:
            view = views[tick.instrument]
            at = tick.event_at
            px = tick.last_px
            if (
                view.last_at < at < view.minute_close_at
                and view.sane_low <= px <= view.sane_high
                and (cum_qty := tick.cum_qty) >= view.cum_qty
            ):
                # An ordinary tick: newer, inside the running minute, near the last price.
                view.tick = tick
                view.last_at = at
                view.last_px = px
                view.cum_qty = cum_qty
                if px > view.minute_high:
                    view.minute_high = px
                    if px > view.day_high:  # noqa: PLR1730 - max() would cost a call per tick
                        view.day_high = px
                elif px < view.minute_low:
                    view.minute_low = px
                    if px < view.day_low:  # noqa: PLR1730 - as above
                        view.day_low = px
                view.accepted += 1
            elif not self._accept_unusual(view, tick):
                continue
            believed.append(view)
        return believed

    def _accept_unusual(self, view: InstrumentView, tick: Tick) -> bool:
        """The thorough check: first tick of a minute, same instant as the last, or a faulty one."""
        at = tick.event_at
        px = tick.last_px
        if px <= Price(0):
            view.zero += 1
            return False
        close_at = view.minute_close_at
        if not view.minute_open_at <= at < close_at:
            close_at = self._minute_close(view, at)
            if close_at == 0:
                view.out_of_hours += 1
                return False
        if tick == view.tick:
            view.duplicate += 1
            return False
        if at < view.last_at or close_at <= self._closed_until:
            view.late += 1
            return False
        if at > self._now + AHEAD_MAX:
            view.absurd += 1
            return False
        if not view.sane_low <= px <= view.sane_high:
            if not self._believes_price(view, tick):
                return False
            self._widen(view, px)
        view.suspect = None
        view.stale = False
        cum_qty = tick.cum_qty
        if close_at == view.minute_close_at:
            if px > view.minute_high:
                view.minute_high = px
            elif px < view.minute_low:
                view.minute_low = px
        else:
            if view.minute_close_at:
                view.end_minute()
            session_open_at = view.session.open_at
            view.minute_open_at = at - (at - session_open_at) % MINUTE
            view.minute_close_at = close_at
            view.minute_open = view.minute_high = view.minute_low = px
            view.minute_base = view.cum_qty if view.accepted else cum_qty
        if view.accepted == 0:
            view.day_open = view.day_high = view.day_low = px
        elif px > view.day_high:
            view.day_high = px
        elif px < view.day_low:
            view.day_low = px
        if cum_qty >= view.cum_qty:
            view.cum_qty = cum_qty
        else:
            view.falling_volume += 1
        view.tick = tick
        view.last_at = at
        view.last_px = px
        view.accepted += 1
        return True

    def _minute_close(self, view: InstrumentView, at: Instant) -> Instant:
        """End of the minute an instant falls in; 0 outside the continuous hours."""
        for start_at, end_at in view.hours:
            if start_at <= at < end_at:
                close_at = at + MINUTE - (at - view.session.open_at) % MINUTE
                return min(close_at, end_at)
        return 0

    def _believes_price(self, view: InstrumentView, tick: Tick) -> bool:
        """Whether a price outside the sane band may be believed; counts it if not."""
        px = tick.last_px
        reference = view.last_px or view.previous_close
        if not reference or not self._is_jump(reference, px):
            return True
        suspect = view.suspect
        if suspect is None:
            view.suspect = tick
            # An empty band, so that a sane tick in between takes the thorough way and clears it.
            view.sane_low, view.sane_high = Price(1), Price(0)
        elif tick == suspect:
            # The same message again confirms nothing.
            view.duplicate += 1
            return False
        elif self._is_jump(suspect.last_px, px):
            view.suspect = tick
        else:
            return True
        view.absurd += 1
        return False

    def _is_jump(self, reference: Price, px: Price) -> bool:
        return abs(int(px) - int(reference)) * _PPM > self._jump_ppm * int(reference)

    def _widen(self, view: InstrumentView, px: Price) -> None:
        """Set the sane band around a price.

        For two prices within ``e = p / (2 + p)`` of a middle ``m``, the step between them is at
        most ``2em = p(1 − e)m``: never more than the fraction ``p`` of the lower one.
        """
        reach = int(px) * self._jump_ppm // (2 * _PPM + self._jump_ppm)
        view.sane_low = Price(max(1, int(px) - reach))
        view.sane_high = Price(int(px) + reach)

    # ------------------------------------------------------------------- bars

    def close_due(self, due_at: Instant) -> list[Bar]:
        """Close every bar that ends at or before ``due_at`` − grace.

        In order of close, then of the manifest, then of the timeframe (the day last); only the
        timeframes asked for.
        """
        limit = due_at - self._grace
        self._closed_until = max(self._closed_until, limit)
        bars: list[Bar] = []
        for view in self._views:
            if 0 < view.minute_close_at <= limit:
                view.end_minute()
            while view.ended and view.ended[0][1] <= limit:
                self._close_minute(view, bars)
            for builder in view.builders:
                if builder.close_at <= limit:
                    self._forget_due(builder.close_at)
                    bars.append(builder.finish(self._gaps))
        if bars and any(bar.close_at != bars[0].close_at for bar in bars):
            self._sort(bars)
        self._schedule()
        return bars

    def _close_minute(self, view: InstrumentView, bars: list[Bar]) -> None:
        """Close the oldest minute that is waiting, and add it to the longer bars."""
        open_at, close_at, open_, high, low, close, volume = view.ended.pop(0)
        name = view.instrument.id
        incomplete = bool(self._gaps) and overlaps(self._gaps, open_at, close_at)
        bar = Bar(name, 1, open_at, close_at, open_, high, low, close, volume, incomplete)
        if view.window is not None:
            view.window.append(bar)
            bars.append(bar)
        for builder in view.builders:
            if builder.close_at <= open_at:
                bars.append(builder.finish(self._gaps))
            if builder.close_at == NEVER:
                builder.begin(bar)
            else:
                builder.add(bar)

    def _sort(self, bars: list[Bar]) -> None:
        views = self.views
        bars.sort(
            key=lambda bar: (bar.close_at, views[bar.instrument].order, in_order(bar.minutes))
        )

    def accept_bar(self, bar: Bar) -> list[Bar]:
        """Take a recorded 1-minute bar: itself (if asked for) and the longer bars it completes.

        A bar that overlaps an earlier one (late), one outside the session, or one without a price
        is counted and kept out: the answer is empty.
        """
        view = self.views[bar.instrument]
        open_at = bar.open_at
        close_at = bar.close_at
        if (
            open_at < view.last_at
            or close_at <= self._closed_until
            or close_at > view.session.close_at
            or not view.accepted
        ) and self._bar_fault(view, bar):
            return []
        px = bar.close
        view.last_at = close_at
        view.last_px = px
        view.cum_qty += bar.volume
        view.accepted += 1
        if bar.high > view.day_high:  # noqa: PLR1730 - max() would cost a call per bar
            view.day_high = bar.high
        if bar.low < view.day_low:  # noqa: PLR1730 - as above
            view.day_low = bar.low
        window = view.window
        if window is None:
            bars = []
        else:
            window.append(bar)
            bars = [bar]
        for builder in view.builders:
            builder_close_at = builder.close_at
            if open_at < builder_close_at < NEVER:
                if bar.high > builder.high:  # noqa: PLR1730 - as above
                    builder.high = bar.high
                if bar.low < builder.low:  # noqa: PLR1730 - as above
                    builder.low = bar.low
                builder.close = px
                builder.volume += bar.volume
                if bar.incomplete:
                    builder.incomplete = True
                if builder_close_at <= close_at:
                    self._forget_due(builder_close_at)
                    bars.append(builder.finish(self._gaps))
            else:
                self._begin_longer(builder, bar, bars)
        return bars

    def accept_bar_frame(self, frame: BarFrame) -> list[Bar]:
        """Take all recorded bars of one instant; bars closed by them in the house's order."""
        if len(frame.bars) == 1:
            bars = self.accept_bar(frame.bars[0])
        else:
            bars = []
            for bar in frame.bars:
                bars += self.accept_bar(bar)
        if len(bars) > 1:
            self._sort(bars)
        return bars

    def _bar_fault(self, view: InstrumentView, bar: Bar) -> bool:
        """Count what is wrong with a recorded bar; a first good one opens the day."""
        assert bar.minutes == 1
        if bar.low <= Price(0):
            view.zero += 1
        elif bar.open_at < view.session.open_at or bar.close_at > view.session.close_at:
            view.out_of_hours += 1
        elif bar.open_at < view.last_at or bar.close_at <= self._closed_until:
            view.late += 1
        else:
            view.day_open = bar.open
            view.day_high = bar.high
            view.day_low = bar.low
            if not self._bar_feed:
                self._bar_feed = True
                self._schedule()
            return False
        return True

    def _begin_longer(self, builder: BarBuilder, bar: Bar, bars: list[Bar]) -> None:
        """Begin a longer bar with a recorded one; one that ended before it is closed first."""
        if builder.close_at != NEVER:
            self._forget_due(builder.close_at)
            bars.append(builder.finish(self._gaps))
            self._sort(bars)
        due_at = builder.begin(bar)
        self._running[due_at] = self._running.get(due_at, 0) + 1
        if due_at <= bar.close_at:
            self._forget_due(due_at)
            bars.append(builder.finish(self._gaps))
        else:
            self._schedule()

    def _forget_due(self, close_at: Instant) -> None:
        """A longer bar of a bar feed is closed: one timer less to wait for."""
        if self._bar_feed:
            left = self._running[close_at] - 1
            if left:
                self._running[close_at] = left
            else:
                del self._running[close_at]
                self._schedule()

    def _schedule(self) -> None:
        if self._bar_feed:
            # A microsecond late, so that the recorded bars that close at this instant come first.
            self.next_due_at = min(self._running) + self._grace + 1 if self._running else NEVER
            return
        boundary = self._next_boundary()
        self.next_due_at = boundary + self._grace if boundary != NEVER else NEVER

    def _next_boundary(self) -> Instant:
        """The first end of a minute, in any session, that has not been closed yet."""
        after = self._closed_until
        nearest: Instant = NEVER
        for session in self._sessions:
            if after >= session.close_at:
                continue
            since_open = max(0, after - session.open_at)
            boundary = session.open_at + (since_open // MINUTE + 1) * MINUTE
            nearest = min(nearest, boundary, session.close_at)
        return nearest

    # ---------------------------------------------------------------- history

    def load_history(self, event: HistoryLoaded) -> None:
        """Put warm-up bars into the window of their timeframe. They never trade."""
        window = self._windows.get((event.instrument, event.minutes))
        if window is not None:
            window.load(event.bars)
        if event.minutes == DAY_BAR:
            open_at = self.views[event.instrument].session.open_at
            before = [bar for bar in event.bars if bar.close_at <= open_at]
            if before:
                self._previous_day[event.instrument] = before[-1]

    def window(self, instrument: InstrumentId, minutes: int) -> BarWindow:
        """The last closed bars of a timeframe that was asked for; ``KeyError`` for any other."""
        return self._windows[instrument, minutes]

    def previous_day(self, instrument: InstrumentId) -> Bar | None:
        """The last day bar of the loaded history, if there is one."""
        return self._previous_day.get(instrument)

    # ----------------------------------------------------- gaps and staleness

    def gap(self, event: Gap) -> None:
        """Ticks are missing: every bar over it that has not closed yet will be incomplete."""
        if event.end_at > event.start_at:
            self._gaps.append((event.start_at, event.end_at))

    def staleness(self, at: Instant) -> list[MarketDataFault]:
        """What went stale or came back since the last call; outside the hours nothing is stale."""
        faults: list[MarketDataFault] = []
        allowed = self._stale_after + (MINUTE if self._bar_feed else 0)
        for view in self._views:
            if not view.stale:
                for start_at, end_at in view.hours:
                    if start_at <= at < end_at:
                        # A pause between two phases of a session is not silence.
                        if at - max(view.last_at, start_at) > allowed:
                            view.stale = True
                            # An empty band: the next tick takes the thorough way and ends this.
                            view.sane_low, view.sane_high = Price(1), Price(0)
                        break
            if view.stale != view.stale_told:
                view.stale_told = view.stale
                faults.append(_staleness_fault(view, at))
        return faults


def _staleness_fault(view: InstrumentView, at: Instant) -> MarketDataFault:
    name = view.instrument.id
    if not view.stale:
        return MarketDataFault(
            instrument=name, at=at, fault="fresh", sentence=f"{name} ticks again."
        )
    if view.accepted:
        silent_s = (at - view.last_at) // SECOND
        sentence = f"{name} has not ticked for {silent_s} s, last at {ist_clock(view.last_at)}."
    else:
        sentence = f"{name} has not ticked today."
    return MarketDataFault(instrument=name, at=at, fault="stale", sentence=sentence)
