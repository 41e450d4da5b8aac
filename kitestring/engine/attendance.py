"""Lets whoever watches a live day look at all of it, and halt, flatten or stop it by hand.

The same words as from a second terminal, without the socket: a key writes the HALT file, or puts an
order into the day's inbox.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Protocol, runtime_checkable

from kitestring.domain.errors import HouseError
from kitestring.domain.events import OperatorWord
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.live_day import LiveDay
from kitestring.engine.live_standing import GuardSays, LiveStanding, standing_of
from kitestring.engine.watching import Watcher
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.paths import RunPaths


class LiveHelm:
    """What a person at the day's own terminal may do to it."""

    def __init__(
        self,
        day: LiveDay,
        paths: RunPaths,
        watch: HaltWatch,
        guard: GuardSays | None = None,
    ) -> None:
        self._day = day
        self._paths = paths
        self._watch = watch
        self._guard = guard
        self._halts = HaltFile(paths.artifacts)
        self.stopping = False

    def look(self) -> LiveStanding:
        """The day at this moment, made anew."""
        return standing_of(self._day, self._paths, self._halts, self._guard)

    def halt(self) -> None:
        """Enter nothing any more, over restarts too; exits and stops go on."""
        day, reason = self._day, "the key h"
        try:
            if not self._halts.stands:
                self._halts.write(HaltedBy.OPERATOR, reason, day.now())
        except HouseError:  # a full disk must not keep anybody from halting
            day.order(OperatorWord.HALT, reason)
            return
        self._watch.look(day)

    def flatten(self) -> None:
        """Close what is ours, and enter nothing any more."""
        self._day.order(OperatorWord.FLATTEN, "the key f")

    def stop(self) -> None:
        """Leave the day; everything stays protected as it stands at the broker."""
        self.stopping = True
        self._day.stop()


@runtime_checkable
class LiveAttendant(Protocol):
    """A watcher that stays with a live day."""

    def attending_live(self, helm: LiveHelm) -> AbstractContextManager[None]:
        """Entered in the day's loop before its first frame, left after its last."""
        ...


class Attendance:
    """A companion of a live day (``Beside``): gives the watcher the helm."""

    def __init__(self, watcher: Watcher, watch: HaltWatch, guard: GuardSays | None = None) -> None:
        self._watcher = watcher
        self._watch = watch
        self._guard = guard

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""
        if not isinstance(self._watcher, LiveAttendant):
            yield
            return
        helm = LiveHelm(day, paths, self._watch, self._guard)
        with self._watcher.attending_live(helm):
            yield
