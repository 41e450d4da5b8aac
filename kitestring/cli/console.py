"""The trading day on a terminal: a moving line with clock, positions and net P&L, and every event.

On a terminal the last line moves; into a file or a pipe one plain line an hour is written instead.
Nothing that matters is only here: whatever is printed is also in the journal.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import IO, TYPE_CHECKING

from kitestring.cli.day_lines import end_lines, fact_line, progress_line, start_lines
from kitestring.domain.events import Fact
from kitestring.domain.instants import HOUR, IST_OFFSET, Instant
from kitestring.domain.verdicts import Blocked
from kitestring.engine.watching import DayResult, DaySnapshot, DayStarted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

REPEATS_SHOWN = 3
"""How often the same refusal of the same strategy is printed; the end table counts them all."""
_REDRAW_S = 0.1


class PlainConsole:
    """Writes the day as lines of text; a ``Watcher``."""

    __slots__ = ("_hour", "_out", "_refusals")

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._hour = -1
        self._refusals: Counter[tuple[str, str]] = Counter()

    def line(self, text: str) -> None:
        """Write one line at once."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def started(self, day: DayStarted) -> None:
        """Say what the day is made of."""
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
        text = fact_line(fact)
        if text is not None:
            self.line(text)

    def finished(self, result: DayResult) -> None:
        """The table at the end."""
        for text in end_lines(result):
            self.line(text)

    def close(self) -> None:
        """Nothing to put back in order."""


class LiveConsole(PlainConsole):
    """The same on a terminal, with a moving line at the bottom."""

    __slots__ = ("_drawn_at", "_progress", "_task")

    def __init__(self, out: IO[str]) -> None:
        super().__init__(out)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._drawn_at = 0.0

    def line(self, text: str) -> None:
        """Write one line above the moving one."""
        if self._progress is None:
            super().line(text)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def started(self, day: DayStarted) -> None:
        """Say what the day is made of, and begin the moving line."""
        super().started(day)
        from rich.console import Console  # noqa: PLC0415 - rich is loaded only where it is seen
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - as above

        self._progress = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=Console(file=self._out),
            auto_refresh=False,
            transient=True,
        )
        self._progress.start()

    def progress(
        self, at: Instant, done_frames: int, total_frames: int, snapshot: DaySnapshot
    ) -> None:
        """Redraw the moving line, ten times a second at most."""
        now = time.monotonic()
        if self._progress is None or now - self._drawn_at < _REDRAW_S:
            return
        self._drawn_at = now
        text = progress_line(at, snapshot)
        total = float(max(total_frames, done_frames)) or None
        if self._task is None:
            self._task = self._progress.add_task(text, total=total)
        self._progress.update(
            self._task, completed=done_frames, total=total, description=text, refresh=True
        )

    def finished(self, result: DayResult) -> None:
        """Take the moving line away and write the table."""
        self.close()
        super().finished(result)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._task = None


def console_for(out: IO[str]) -> PlainConsole:
    """The console that suits where ``out`` leads."""
    return LiveConsole(out) if out.isatty() else PlainConsole(out)
