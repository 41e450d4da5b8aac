"""Longer bars out of 1-minute bars: 3, 5, 10, 15, 30, 60 minutes and the day.

A bar covers ``[open, close)`` counted from the session's open; the last one of the day ends with
the session. It is made of the 1-minute bars there are: a minute without a trade adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kitestring.core.bar_window import BarWindow
from kitestring.domain.bars import DAY_BAR, TIMEFRAMES, Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, NEVER, Instant
from kitestring.domain.money import Price
from kitestring.domain.sessions import PhaseKind, Session

Span = tuple[Instant, Instant]


def continuous_hours(session: Session) -> tuple[Span, ...]:
    """The stretches in which a session trades continuously; a special session may have two."""
    phases = tuple(
        (phase.start_at, phase.end_at)
        for phase in session.phases
        if phase.kind is PhaseKind.CONTINUOUS
    )
    return phases or ((session.open_at, session.close_at),)


def overlaps(gaps: Sequence[Span], open_at: Instant, close_at: Instant) -> bool:
    """Whether ticks are known to be missing somewhere in ``[open_at, close_at)``."""
    return any(start < close_at and end > open_at for start, end in gaps)


def in_order(minutes: int) -> int:
    """The sort key of a timeframe: ascending, the day last."""
    return TIMEFRAMES.index(minutes)


class BarBuilder:
    """The running bar of one instrument and one timeframe above a minute.

    ``close_at`` is ``NEVER`` while no bar is running, so that one comparison with the time tells
    whether there is something to close.
    """

    __slots__ = (
        "_day_close_at",
        "_day_open_at",
        "_instrument",
        "_open",
        "_open_at",
        "_width",
        "_window",
        "close",
        "close_at",
        "high",
        "incomplete",
        "low",
        "minutes",
        "volume",
    )

    def __init__(
        self, instrument: InstrumentId, minutes: int, session: Session, window: BarWindow
    ) -> None:
        assert minutes in TIMEFRAMES
        assert minutes != 1
        self.minutes: Final = minutes
        self._instrument = instrument
        self._window = window
        self._day_open_at = session.open_at
        self._day_close_at = session.close_at
        self._width = session.close_at - session.open_at if minutes == DAY_BAR else minutes * MINUTE
        self.close_at: Instant = NEVER
        self._open_at: Instant = 0
        self._open = self.high = self.low = self.close = Price(0)
        self.volume = 0
        self.incomplete = False

    def begin(self, bar: Bar) -> Instant:
        """Begin a bar with its first 1-minute bar, and return when it will close."""
        assert self.close_at == NEVER
        width = self._width
        self._open_at = open_at = bar.open_at - (bar.open_at - self._day_open_at) % width
        self.close_at = min(open_at + width, self._day_close_at)
        self._open = bar.open
        self.high = bar.high
        self.low = bar.low
        self.close = bar.close
        self.volume = bar.volume
        self.incomplete = bar.incomplete
        return self.close_at

    def add(self, bar: Bar) -> None:
        """Add one more 1-minute bar to the running bar."""
        self.high = max(self.high, bar.high)
        self.low = min(self.low, bar.low)
        self.close = bar.close
        self.volume += bar.volume
        if bar.incomplete:
            self.incomplete = True

    def finish(self, gaps: Sequence[Span]) -> Bar:
        """The running bar, closed and in its window; nothing is running afterwards."""
        close_at = self.close_at
        assert close_at != NEVER
        self.close_at = NEVER
        bar = Bar(
            self._instrument,
            self.minutes,
            self._open_at,
            close_at,
            self._open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.incomplete or (bool(gaps) and overlaps(gaps, self._open_at, close_at)),
        )
        self._window.append(bar)
        return bar
