"""The trading day on a terminal: a panel of clock, positions and net P&L below every event's line.

On a terminal the panel moves; into a file or a pipe one plain line an hour is written instead.
Nothing that matters is only here: whatever is printed is also in the journal.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from kitestring.cli.day_lines import (
    end_lines,
    fact_line,
    order_line,
    progress_line,
    start_lines,
)
from kitestring.cli.keyboard import LiveKeys, can_listen, listening, press
from kitestring.domain.events import Fact
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import HOUR, IST_OFFSET, Instant, ist_clock
from kitestring.domain.money import show_rupees
from kitestring.domain.positions import Fill
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import Blocked
from kitestring.engine.helm import Helm
from kitestring.engine.watching import DayResult, DaySnapshot, DayStarted
from kitestring.store.state_store import StateView

if TYPE_CHECKING:
    from rich.live import Live

    from kitestring.engine.attendance import LiveHelm

FILLS_SHOWN = 3
REPEATS_SHOWN = 3
"""How often the same refusal of the same strategy is printed; the end table counts them all."""
_REDRAW_S = 0.2


class PlainConsole:
    """Writes the day as lines of text; a ``Watcher``."""

    __slots__ = ("_hour", "_mode", "_out", "_refusals")

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._hour = -1
        self._mode = ""
        self._refusals: Counter[tuple[str, str]] = Counter()

    def line(self, text: str) -> None:
        """Write one line at once."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def started(self, day: DayStarted) -> None:
        """Say what the day is made of."""
        self._mode = day.mode
        for text in start_lines(day):
            self.line(text)

    def progress(
        self, at: Instant, done_frames: int, total_frames: int, snapshot: DaySnapshot
    ) -> None:
        """One line for every full hour of the market's clock."""
        del done_frames, total_frames  # a file needs no bar
        hour = (at + IST_OFFSET) // HOUR
        if hour != self._hour:
            if self._hour >= 0:
                self.line(progress_line(at, snapshot))
            self._hour = hour

    def said(self, fact: Fact) -> None:
        """Write what a person wants to know of; bars, timers and approvals are left out."""
        if isinstance(fact, Blocked):
            key = (fact.strategy, fact.code)
            self._refusals[key] += 1
            if self._refusals[key] > REPEATS_SHOWN:
                return
        text = order_line(fact) if self._mode == "live" else None
        text = text or fact_line(fact)
        if text is not None:
            self.line(text)

    def finished(self, result: DayResult) -> None:
        """The table at the end."""
        for text in end_lines(result):
            self.line(text)

    def close(self) -> None:
        """Nothing to put back in order."""


class LiveConsole(PlainConsole):
    """The same on a terminal: every event is a line, and below them stands the day's panel.

    An ``Attendant``: while the day runs, keys steer it and the panel looks at all of it.
    """

    __slots__ = (
        "_day",
        "_drawn_at",
        "_helm",
        "_keys",
        "_last_fills",
        "_last_refusal",
        "_last_signal",
        "_live",
        "_live_helm",
        "_live_keys",
        "_look",
        "_now",
        "_pending",
    )

    def __init__(self, out: IO[str], keyboard: IO[str] | None = None) -> None:
        super().__init__(out)
        self._keys = keyboard
        self._day: DayStarted | None = None
        self._live: Live | None = None
        self._helm: Helm | None = None
        self._live_helm: LiveHelm | None = None
        self._live_keys = LiveKeys()
        self._look: Callable[[], StateView] | None = None
        self._now: tuple[Instant, DaySnapshot] | None = None
        self._drawn_at = 0.0
        self._pending: list[str] = []
        self._last_signal = ""
        self._last_refusal = ""
        self._last_fills: deque[str] = deque(maxlen=FILLS_SHOWN)

    def line(self, text: str) -> None:
        """Write one line above the panel, with its next drawing: a fast day says a lot."""
        if self._live is None:
            super().line(text)
        else:
            self._pending.append(text)

    def started(self, day: DayStarted) -> None:
        """Say what the day is made of, and begin the panel."""
        self.close()  # a house rebuilt in the middle of a day starts again
        super().started(day)
        from rich.console import Console  # noqa: PLC0415 - rich is loaded only where it is seen
        from rich.live import Live  # noqa: PLC0415 - as above

        self._day = day
        self._live = Live(
            console=Console(file=self._out),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    @contextmanager
    def attending(self, helm: Helm, look: Callable[[], StateView]) -> Iterator[None]:
        """Hear keys and look closely until the day's last frame."""
        self._helm, self._look = helm, look
        try:
            with self._hearing():
                yield
        finally:
            self._helm = self._look = None

    @contextmanager
    def attending_live(self, helm: LiveHelm) -> Iterator[None]:
        """The same for a live day (``LiveAttendant``): its keys halt, flatten and stop."""
        self._live_helm = helm
        try:
            with self._hearing():
                yield
        finally:
            self._live_helm = None

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        if self._keys is not None and can_listen(self._keys):
            with listening(self._keys, self._pressed):
                yield
        else:
            self._keys = None
            yield

    def progress(
        self, at: Instant, done_frames: int, total_frames: int, snapshot: DaySnapshot
    ) -> None:
        """Redraw the panel, five times a second at most."""
        del done_frames, total_frames  # the market's clock says how far the day is
        self._now = (at, snapshot)
        if time.monotonic() - self._drawn_at >= _REDRAW_S:
            self._draw()

    def said(self, fact: Fact) -> None:
        """Write it, and keep what the panel shows as the last of its kind."""
        if isinstance(fact, Signal):
            self._last_signal = (
                f"{ist_clock(fact.at)} {fact.action} {symbol_of(fact.instrument)} · "
                f"{fact.strategy}: {fact.reason}"
            )
        elif isinstance(fact, Blocked):
            self._last_refusal = (
                f"{ist_clock(fact.at)} {fact.side} {symbol_of(fact.instrument)} · "
                f"{fact.strategy}: {fact.sentence}"
            )
        elif isinstance(fact, Fill):
            self._last_fills.append(
                f"{ist_clock(fact.at)} {fact.side} {fact.qty} {symbol_of(fact.instrument)} at "
                f"{show_rupees(fact.px)} · {fact.strategy}"
            )
        super().said(fact)

    def finished(self, result: DayResult) -> None:
        """Take the panel away and write the table."""
        self.close()
        super().finished(result)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()
            for text in self._pending:
                super().line(text)
            self._pending.clear()

    def _pressed(self, keys: str) -> None:
        if self._live_helm is not None:
            if self._live_keys.press(self._live_helm, keys):
                self._draw()
        elif self._helm is not None and press(self._helm, keys):
            self._draw()

    def _draw(self) -> None:
        if self._live is None or self._now is None or self._day is None:
            return
        from kitestring.cli.screen import Picture, panel  # noqa: PLC0415 - loads rich

        if self._pending:
            text = "\n".join(self._pending)
            self._pending.clear()
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        at, snapshot = self._now
        day, size = self._day, self._live.console.size
        live = None if self._live_helm is None else self._live_helm.look()
        picture = Picture(
            title=f"{day.mode.upper()} {day.date:%a %d %b %Y} · {day.feed}",
            at=at,
            snapshot=snapshot,
            view=live.state if live is not None else None if self._look is None else self._look(),
            live=live,
            asks=self._live_keys.asks if live is not None else "",
            opens_at=day.opens_at,
            closes_at=day.closes_at,
            pace=self._pace(),
            keys=self._keys is not None,
            last_signal=self._last_signal,
            last_refusal=self._last_refusal,
            last_fills=tuple(self._last_fills),
        )
        self._live.update(panel(picture, size.width, size.height), refresh=True)
        self._drawn_at = time.monotonic()

    def _pace(self) -> str:
        if self._live_helm is not None:
            return "stopping" if self._live_helm.stopping else ""
        return "" if self._helm is None else pace_words(self._helm)


def pace_words(helm: Helm) -> str:
    """How fast the day goes: ``60×``, ``max``, ``paused (60×)``, ``stopping``."""
    if helm.stopping:
        return "stopping"
    pace = "max" if helm.speed is None else f"{helm.speed:g}×"
    return f"paused ({pace})" if helm.paused else pace


def console_for(out: IO[str], keyboard: IO[str] | None = None) -> PlainConsole:
    """The console that suits where ``out`` leads; keys are heard from ``keyboard``."""
    if out.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}:
        return LiveConsole(out, keyboard)
    return PlainConsole(out)
