"""Writes down for people what has become durable: tables, event log, state file, the screen.

Everything here is a projection of the journal and can be made again from it. A file that cannot be
written now is tried again later; only the journal's own failure stops the day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kitestring.core.trading_core import TradingCore
from kitestring.domain.instants import Instant
from kitestring.domain.ports import Commit
from kitestring.engine.clocks import wall_seconds
from kitestring.engine.state_view import state_view
from kitestring.engine.tally import Tally
from kitestring.engine.watching import DaySnapshot, Watcher
from kitestring.store.event_log import EventLog
from kitestring.store.ledgers import Ledgers
from kitestring.store.paths import RunPaths
from kitestring.store.state_store import StateStore, StateView

WRITE_EVERY_S = 1.0
"""Seconds between two rewrites of the tables and the state file."""
SHOW_EVERY_S = 0.1


class Scribe:
    """Follows one day. ``catch_up`` first takes in what the journal already holds.

    ``quiet`` writes the run's own tables and log once, at the end, and leaves the familiar paths
    alone: one of many days, of which only the last one is shown there. ``seconds`` is what the pauses
    between two writes are counted by: the machine's own, or a loop's, which may be virtual.
    """

    def __init__(
        self,
        paths: RunPaths,
        watcher: Watcher,
        core: TradingCore,
        *,
        commits: Callable[[], Iterable[tuple[int, Commit]]],
        frames_total: int,
        resumed: bool,
        quiet: bool = False,
        seconds: Callable[[], float] = wall_seconds,
    ) -> None:
        self._quiet = quiet
        self._seconds = seconds
        self.tally = Tally()
        self.last_commit = 0
        self._paths = paths
        self._watcher = watcher
        self._core = core
        self._commits = commits
        self._frames_total = frames_total
        self._ledgers = Ledgers(paths.folder, commits=lambda: iter(commits()))
        self._events = EventLog(
            paths.events, run=paths.folder.name, mode=paths.mode, resumed=resumed
        )
        self._state = StateStore(paths.state_latest)
        self._next_write = 0.0
        self._next_show = 0.0

    def catch_up(self) -> None:
        """Take in the journal of an interrupted run; the watcher has heard all that before."""
        for number, commit in self._commits():
            self.tally.record(commit.facts)
            self._events.record(number, commit)
            self.last_commit = number
        self._ledgers.catch_up()

    def committed(self, number: int, commit: Commit) -> None:
        """One step has become durable."""
        self.last_commit = number
        self.tally.record(commit.facts)
        self._ledgers.record(number, commit)
        self._events.record(number, commit)
        for fact in commit.facts:
            self._watcher.said(fact)

    def passing(self, at: Instant, frames: int) -> None:
        """Show progress, and now and then bring the files up to date."""
        now = self._seconds()
        if now >= self._next_show:
            self._next_show = now + SHOW_EVERY_S
            self._watcher.progress(at, frames, self._frames_total, self.snapshot())
        if now >= self._next_write and not self._quiet:
            self._next_write = now + WRITE_EVERY_S
            self.write()

    def snapshot(self) -> DaySnapshot:
        """The house at this moment, for the progress line."""
        core = self._core
        unrealised = core.unrealised()
        portfolio = core.portfolio
        return DaySnapshot(
            net=portfolio.realised + unrealised - portfolio.charges_money,
            unrealised=unrealised,
            open_positions=sum(map(len, portfolio.open_by_instrument.values())),
            working_orders=sum(1 for _ in core.orders.all_working()),
            trades=self.tally.trades,
        )

    def view(self) -> StateView:
        """The whole day at this moment, for the state file and for whoever looks closely."""
        return state_view(
            self._core,
            mode=self._paths.mode,
            run=self._paths.folder.name,
            commit=self.last_commit,
        )

    def write(self) -> None:
        """Bring every projection up to date."""
        self._ledgers.write()
        self._events.flush()
        if self._quiet:
            return
        self._state.write(self.view())
        self._paths.publish()

    def close(self) -> None:
        """Write everything once more and let go."""
        self.write()
        self._events.close()
