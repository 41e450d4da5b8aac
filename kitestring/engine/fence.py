"""Whether this engine is still the one who sends: not any more once the guard has taken over.

The guard's halt has an epoch. One that is newer than this engine's start fences it for good, also
after somebody has lifted that halt: whoever slept through it must not go on where it stopped.
"""

from __future__ import annotations

from kitestring.domain.instants import ist_clock
from kitestring.store.halt_file import HaltedBy, HaltFile


class Fence:
    """Of one engine, from its start on."""

    def __init__(self, halts: HaltFile) -> None:
        self._halts = halts
        self.epoch = halts.guard_epoch
        """The guard's last halt before this engine started."""
        self.fallen = ""
        """Why this engine sends nothing any more; empty while it may."""

    def look(self) -> str:
        """Why nothing may leave any more, not even an exit; empty while it may."""
        if not self.fallen and self._halts.guard_epoch > self.epoch:
            halt = self._halts.read()
            since = why = ""
            if halt is not None and halt.by is HaltedBy.GUARD:
                since, why = f" at {ist_clock(halt.at)}", f": {halt.reason}"
            self.fallen = (
                f"the guard has taken over{since}{why}; this engine sends nothing any more"
            )
        return self.fallen
