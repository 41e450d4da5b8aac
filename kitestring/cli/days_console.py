"""A chain of days on a terminal: one moving line, a line for each day, one table at the end."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING

from kitestring.cli.days_lines import (
    day_line,
    days_end_lines,
    days_start_lines,
    passing_line,
)
from kitestring.domain.instants import Instant
from kitestring.engine.day_rows import DayRow, DaysResult
from kitestring.engine.many_days import DaysStarted
from kitestring.engine.watching import DaySnapshot

if TYPE_CHECKING:
    import datetime as dt

    from rich.progress import Progress, TaskID

_REDRAW_S = 0.1
DAY_LINES_MAX = 40
"""Chains longer than this show their days in the moving line and in the table, not one by one."""


class PlainDaysConsole:
    """Writes the days as lines of text; a ``DaysWatcher``."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._days = 0

    def line(self, text: str) -> None:
        """Write one line at once."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def days_started(self, days: DaysStarted) -> None:
        """Say what the days are made of."""
        self._days = days.days
        for text in days_start_lines(days):
            self.line(text)

    def day_passing(self, date: dt.date, done: int, at: Instant, snapshot: DaySnapshot) -> None:
        """A file needs no clock: every day writes its line when it is over."""

    def day_finished(self, row: DayRow, done: int) -> None:
        """One line a day, while there are not too many of them."""
        if self._days <= DAY_LINES_MAX or done % 20 == 0 or done == self._days:
            self.line(day_line(row, done, self._days))

    def days_finished(self, result: DaysResult) -> None:
        """The table at the end."""
        for text in days_end_lines(result):
            self.line(text)

    def close(self) -> None:
        """Nothing to put back in order."""


class LiveDaysConsole(PlainDaysConsole):
    """The same on a terminal, with a progress bar at the bottom."""

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

    def days_started(self, days: DaysStarted) -> None:
        """Say what the days are made of, and begin the bar."""
        super().days_started(days)
        from rich.console import Console  # noqa: PLC0415 - rich is loaded only where it is seen
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - as above

        self._progress = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} days · {task.description}"),
            console=Console(file=self._out),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", total=days.days, completed=days.finished)
        self._progress.start()

    def day_passing(self, date: dt.date, done: int, at: Instant, snapshot: DaySnapshot) -> None:
        """Redraw the moving line, ten times a second at most."""
        self._draw(done, passing_line(date, at, snapshot))

    def day_finished(self, row: DayRow, done: int) -> None:
        """The day's line, and the bar one day further."""
        if self._days <= DAY_LINES_MAX:
            super().day_finished(row, done)
        self._draw(done, day_line(row, done, self._days))

    def days_finished(self, result: DaysResult) -> None:
        """Take the bar away and write the table."""
        self.close()
        super().days_finished(result)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._task = None

    def _draw(self, done: int, text: str) -> None:
        now = time.monotonic()
        if self._progress is None or self._task is None or now - self._drawn_at < _REDRAW_S:
            return
        self._drawn_at = now
        self._progress.update(self._task, completed=done, description=text, refresh=True)


def days_console_for(out: IO[str]) -> PlainDaysConsole:
    """The console that suits where ``out`` leads."""
    return LiveDaysConsole(out) if out.isatty() else PlainDaysConsole(out)
