"""What a person may do to a paper day that runs: make it faster, slower, pause it, stop it.

None of it changes what the house decides: market time is the time of the ticks, however fast they
are let through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kitestring.engine.clocks import Throttle

FASTEST: Final = 4096.0
"""Twice this is as fast as possible, and one step slower than that is this."""
SLOWEST: Final = 0.25


class Helm:
    """Steers one day; all of it takes effect within a twentieth of a second."""

    __slots__ = ("_stop", "_throttle", "stopping")

    def __init__(self, throttle: Throttle, stop: Callable[[], None]) -> None:
        self._throttle = throttle
        self._stop = stop
        self.stopping = False

    @property
    def speed(self) -> float | None:
        """Market seconds per second; ``None`` is as fast as possible."""
        return self._throttle.speed

    @property
    def paused(self) -> bool:
        """Whether market time stands still."""
        return self._throttle.paused

    def faster(self) -> None:
        """Twice as fast; beyond ``FASTEST`` as fast as possible."""
        speed = self.speed
        if speed is not None:
            self.set_speed(speed * 2 if speed * 2 <= FASTEST else None)

    def slower(self) -> None:
        """Half as fast, down to ``SLOWEST``."""
        speed = self.speed
        self.set_speed(FASTEST if speed is None else max(SLOWEST, speed / 2))

    def set_speed(self, speed: float | None) -> None:
        """Exactly so fast; ``None`` is as fast as possible. A pause stays a pause."""
        self._throttle.speed = speed

    def pause_or_go_on(self) -> None:
        """Let market time stand still, or pass again."""
        self._throttle.paused = not self._throttle.paused

    def stop(self) -> None:
        """Stop after the frame in hand, as the first Ctrl-C does; the same command goes on."""
        self.stopping = True
        self._stop()
