"""``--speed step``: the next event happens only when the client has seen the last and is at rest.

For tests that set a live day beside a paper day event by event. The protocol, beyond Kite's own:

* Every event (a frame of the market, or something due at the order desk between two frames) has a
  number, from 1 on. Before what it brings, each socket gets the text
  ``{"type":"step","data":N,"at":T,"frames":F,"orders":O}``: ``T`` is the event's exchange time in
  microseconds since 1970 (UTC), ``F`` how many binary messages follow for this socket (0 or 1), ``O``
  how many order updates after them. A socket that opens gets the number of the last event, with nothing
  to follow. First snapshots after subscribing belong to no event and come before the next step.
* A client answers ``{"a":"ack","v":N}`` on the socket, or ``POST /step`` with the form field ``v=N``
  and its usual ``Authorization``, when it is done with event N: when every REST call that N made
  it send has been *answered*. ``GET /step`` tells how far things are.
* An acknowledgement may name the client's next timer, ``"w":T`` (form field ``w``): time then stops
  there too, as an event that brings nothing, unless a frame or an order comes by then.
* Event N + 1 happens when everyone who ever acknowledged and is still there has acknowledged N, and no
  REST call is being answered. Before the first acknowledgement (of 0: "begin") nothing happens.
  Sockets that never acknowledge are not waited for; one that closes is not waited for any more.

Latency stays in exchange time: an order sent after event N arrives so many milliseconds after N's
time, as an event of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from kitestring.domain.instants import NEVER, Instant


class StepGate:
    """Counts acknowledgements and calls under way; ``stir`` lets the pump look again."""

    def __init__(self, stir: Callable[[], None]) -> None:
        self.shown = 0
        """The last event that happened."""
        self.calls = 0
        """REST calls being answered."""
        self._acknowledged: dict[Hashable, int] = {}
        self._wakes: dict[Hashable, Instant] = {}
        self._stir = stir

    @property
    def acknowledged(self) -> int:
        """What everyone who is waited for has acknowledged; -1 while nobody has begun."""
        return min(self._acknowledged.values(), default=-1)

    @property
    def open(self) -> bool:
        """Whether the next event may happen."""
        return not self.calls and self.acknowledged >= self.shown

    @property
    def wake_at(self) -> Instant:
        """The next moment at which somebody wants time to stop; ``NEVER`` if nobody does."""
        return min(self._wakes.values(), default=NEVER)

    def acknowledge(self, who: Hashable, event: int, wake_at: Instant = NEVER) -> str | None:
        """Somebody is done with an event; the answer is why that cannot be, if it cannot.

        ``wake_at`` is when their next timer is due.
        """
        if not 0 <= event <= self.shown:
            return f"Event {event} has not happened yet; the last one is {self.shown}."
        self._acknowledged[who] = max(event, self._acknowledged.get(who, 0))
        self._wakes[who] = wake_at
        self._stir()
        return None

    def reached(self, at: Instant) -> None:
        """Time is there: whoever wanted to be woken by then is."""
        for who, wake_at in self._wakes.items():
            if wake_at <= at:
                self._wakes[who] = NEVER

    def leave(self, who: Hashable) -> None:
        """Somebody is gone: nobody waits for them any more."""
        self._acknowledged.pop(who, None)
        self._wakes.pop(who, None)
        self._stir()

    def call_began(self) -> None:
        """A REST call has come."""
        self.calls += 1

    def call_ended(self) -> None:
        """A REST call has been answered."""
        self.calls -= 1
        self._stir()
