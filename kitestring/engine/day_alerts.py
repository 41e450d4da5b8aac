"""Follows a day and tells what is worth telling, each thing once, however often the day restarts.

What each channel has taken is kept in a small file beside the journal. A day taken up again hears
its whole journal anew and tells only what no channel had taken when the power went.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from kitestring.domain.errors import HouseError
from kitestring.domain.instants import Instant
from kitestring.domain.ports import Commit
from kitestring.engine.alert_channels import Channel
from kitestring.engine.alert_post import PATIENCE_S, AlertPost
from kitestring.engine.alerts import Alert, AlertKind, AlertMerger, AlertRules
from kitestring.engine.day_steps import Follower
from kitestring.store.atomic_file import write_atomically

TOLD_FILE = "alerts_told.json"


class _Told:
    """Channel → kind → the last commit of which it was told; a file that survives us."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self.marks: dict[str, dict[str, int]] = {}
        try:
            self.marks = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, int]])
        # Absent or torn: the channels are then new here, and nothing of the past is told.
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            self.marks = {}

    def mark(self, channel: str, alerts: Iterable[Alert]) -> None:
        """These are being sent: whatever becomes of them, they are not told again."""
        with self._guard:
            marks = self.marks.setdefault(channel, {})
            for alert in alerts:
                marks[alert.kind] = max(marks.get(alert.kind, 0), alert.number)
            self._write()

    def begin(self, channel: str, number: int) -> None:
        """A channel that is new on this day: everything up to ``number`` was before its time."""
        with self._guard:
            self.marks[channel] = dict.fromkeys(AlertKind, number)
            self._write()

    def _write(self) -> None:
        try:
            write_atomically(self._path, msgspec.json.encode(self.marks))
        # At worst an alert is told twice after a restart; the day is not stopped for it.
        except OSError:
            return


class _Line:
    """One channel's view of the day: its kinds, what it was told before, what is held back."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.merger = AlertMerger()


class DayAlerts:
    """A follower of the day, beside the one that writes it down."""

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        first: Follower,
        folder: Path,
        title: str,
        alive_at: Instant,
        commits: Iterable[tuple[int, Commit]] = (),
        patience_s: float = PATIENCE_S,
        begins_at: Instant = 0,
    ) -> None:
        self._first = first
        self._patience_s = patience_s
        self._rules = AlertRules(alive_at, begins_at)
        self._begins_at = begins_at
        self._lines = [_Line(channel) for channel in channels]
        self._told = _Told(folder / TOLD_FILE)
        self._number = 0
        self._at: Instant = 0
        self._fault = ""
        past: list[Alert] = []
        for number, commit in commits:
            past += self._rules.hear(number, commit)
            self._number, self._at = number, self._time_of(commit)
        for line in self._lines:
            if line.channel.name not in self._told.marks:
                self._told.begin(line.channel.name, self._number)
        before = {name: dict(marks) for name, marks in self._told.marks.items()}
        self._post = AlertPost(channels, title=title, taken=self._told.mark)
        for line in self._lines:
            marks = before[line.channel.name]
            self._tell(line, [each for each in past if each.number > marks.get(each.kind, 0)])

    def committed(self, number: int, commit: Commit) -> None:
        """See ``Follower``: the other follower first, whose files matter more."""
        self._first.committed(number, commit)
        self._number, self._at = number, max(self._at, self._time_of(commit))
        try:
            alerts = self._rules.hear(number, commit)
        # An alert that cannot be worded is our bug; the day goes on, and its end says so.
        except Exception as fault:  # noqa: BLE001
            self._fault = self._fault or type(fault).__name__
            return
        for line in self._lines:
            self._tell(line, alerts)

    def passing(self, at: Instant, frames: int) -> None:
        """See ``Follower``."""
        self._first.passing(at, frames)
        self._at = max(self._at, at)
        alerts = self._rules.passing(self._number, self._at)
        for line in self._lines:
            self._tell(line, alerts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """A day that ends by a fault says so before it goes.

        A fault of the house itself is another matter: the day is built again, and must not wait.
        What nobody had taken is then told by its next try, from the journal.
        """
        if isinstance(fault, Exception) and not isinstance(fault, HouseError):
            self._post.abandon()
            return
        if isinstance(fault, HouseError):
            number = self._number + 1
            alert = Alert(
                kind=AlertKind.HALT,
                number=number,
                at=self._at,
                text=f"The day has stopped: {fault.what}",
            )
            for line in self._lines:
                self._tell(line, [alert])
        self.close()

    def _time_of(self, commit: Commit) -> Instant:
        return 0 if commit.at == self._begins_at else commit.at

    def close(self) -> tuple[str, ...]:
        """Tell the rest, wait a moment for it, and say what was not delivered."""
        for line in self._lines:
            self._post.put(line.channel.name, line.merger.rest())
        self._post.close(self._patience_s)
        own = (f"alerts: some could not be worded ({self._fault})",) if self._fault else ()
        return own + self._post.sentences()

    def _tell(self, line: _Line, alerts: Iterable[Alert]) -> None:
        wanted = [alert for alert in alerts if alert.kind in line.channel.kinds]
        self._post.put(line.channel.name, line.merger.take(wanted, self._at))
