"""How long to wait before connecting again: longer each time, never the same for two programs."""

from __future__ import annotations

from typing import Final

from kitestring.exchange.seeded import Stream

_PARTS: Final = 1_000_000
_DOUBLINGS_MAX: Final = 30


class Backoff:
    """Waits that double up to a maximum, each drawn from its upper half.

    Without the draw, everybody whom one outage cut off comes back at the same moment.
    """

    def __init__(self, first_s: float, max_s: float, seed: int, name: str) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._chance = Stream(seed, "backoff", name)
        self.tries = 0
        """Since it last went well."""

    def next_s(self) -> float:
        """How long to wait now."""
        full = min(self._max_s, self._first_s * 2.0 ** min(self.tries, _DOUBLINGS_MAX))
        self.tries += 1
        drawn = self._chance.one_below(_PARTS) / _PARTS
        return full * (0.5 + 0.5 * drawn)

    def well(self) -> None:
        """It worked: the next failure begins at the beginning."""
        self.tries = 0
