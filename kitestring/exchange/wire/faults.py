"""The faults asked for, and whose turn it is: routes, occurrences, windows of time, seeded chance.

Each fault counts for itself how often its occasion came. Whether it strikes is a function of that
number, of the exchange's time and of the script's seed, so that the same requests meet the same
faults again. What a fault then does stands where it happens: ``fault_middleware``, ``feed_faults``,
``day_faults``.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from kitestring.domain.instants import DAY, IST_OFFSET, SECOND, Instant, ist_clock
from kitestring.exchange.seeded import key
from kitestring.exchange.wire.fault_kinds import KINDS, FaultKind, Place, Value

CHANGES: Final = ("PUT /orders/*", "DELETE /orders/*")
WRITES: Final = ("POST /orders/*", *CHANGES)
ROUTE_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "any": ("* /*",),
    "reads": ("GET /*",),
    "writes": WRITES,
    "changes": CHANGES,
    "ws": ("WS /*",),
}
"""Routes with a name. Writes are what Kite lets only a registered address do: orders, not GTTs."""


class When(msgspec.Struct, frozen=True, kw_only=True):
    """Which occurrences a fault strikes; everything given must hold."""

    nth: tuple[int, ...] = ()
    every: int = 0
    since: Instant | None = None
    """Microseconds after midnight in India."""
    until: Instant | None = None
    probability: float = 1.0
    times: int = 0
    """At most so often; 0 for no limit."""
    lasts: Instant | None = None
    """Of kinds that last: for how long (``for``)."""

    @property
    def counted(self) -> bool:
        """Whether it depends on more than the time."""
        return bool(self.nth or self.every or self.times or self.probability < 1)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the script: what goes wrong, where, when and how."""

    kind: str
    route: str
    when: When = When()
    params: Mapping[str, Value] = {}
    number: int = 0
    """Its place in the script, from 1; the name of its chance."""

    @property
    def spec(self) -> FaultKind:
        """Its row of the table of kinds."""
        return KINDS[self.kind]

    def text(self, name: str) -> str:
        """A parameter that is a text or a word."""
        return str(self._value(name))

    def number_of(self, name: str) -> float:
        """A parameter that is a number."""
        value = self._value(name)
        assert isinstance(value, int | float)
        return float(value)

    def whole(self, name: str) -> int:
        """A parameter that is a whole number."""
        return int(self.number_of(name))

    def yes(self, name: str) -> bool:
        """A parameter that is true or false."""
        return self._value(name) is True

    def names(self, name: str) -> tuple[str, ...]:
        """A parameter that is a list of names."""
        value = self._value(name)
        assert isinstance(value, tuple)
        return value

    def span(self, name: str) -> Instant:
        """A parameter in seconds, as microseconds."""
        return round(self.number_of(name) * SECOND)

    def _value(self, name: str) -> Value:
        given = self.params.get(name)
        return self.spec.param(name).default if given is None else given


class Strike(msgspec.Struct, frozen=True):
    """A fault that happened."""

    at: Instant
    number: int
    kind: str
    occurrence: int
    where: str


class FaultState:
    """A fault with its count: how often its occasion came, how often it struck, whether it is on."""

    __slots__ = ("began_at", "fault", "hits", "patterns", "seen")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.patterns = ROUTE_WORDS.get(fault.route, (fault.route,))
        self.seen = 0
        self.hits = 0
        self.began_at: Instant | None = None
        """Of one that lasts: since when it is on."""

    def concerns(self, where: str) -> bool:
        """Whether ``METHOD /path`` is on its route."""
        return any(fnmatch.fnmatchcase(where, pattern) for pattern in self.patterns)

    def in_window(self, now: Instant) -> bool:
        """Whether the time of day is one of its own."""
        when, clock = self.fault.when, (now + IST_OFFSET) % DAY
        return (when.since is None or clock >= when.since) and (
            when.until is None or clock < when.until
        )

    def is_on(self, now: Instant) -> bool:
        """Of one that lasts: whether it is on. What only time decides begins here by itself."""
        if not self.in_window(now):
            return False
        if self.began_at is None:
            if self.fault.when.counted:
                return False
            self.began_at = self._window_opened(now)
        lasts = self.fault.when.lasts
        return lasts is None or now < self.began_at + lasts

    def _window_opened(self, now: Instant) -> Instant:
        since = self.fault.when.since
        return now if since is None else now - ((now + IST_OFFSET) % DAY - since)

    def comes_up(self, now: Instant, seed: int) -> bool:
        """Count one occurrence, and whether it is struck."""
        if not self.in_window(now):
            return False
        self.seen += 1
        when, seen = self.fault.when, self.seen
        if when.times and self.hits >= when.times:
            return False
        if when.nth and seen not in when.nth:
            return False
        if when.every and seen % when.every:
            return False
        draw = key(seed, "fault", str(self.fault.number), str(seen))
        return when.probability >= 1 or draw < int(when.probability * (1 << 64))


class Faults:
    """Every fault asked for, in the order of the script."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self.seed = seed
        self.states: list[FaultState] = []
        self.strikes: list[Strike] = []
        """What happened, in order."""
        self.on_strike: Callable[[Strike], None] | None = None
        """Who is told of each, the wire ledger for one."""
        self._next_number = 1
        self.load(faults)

    def load(self, faults: Iterable[Fault]) -> None:
        """Ask for more faults, after those that are there."""
        for fault in faults:
            numbered = msgspec.structs.replace(fault, number=self._next_number)
            self._next_number += 1
            self.states.append(FaultState(numbered))

    def clear(self, number: int = 0) -> int:
        """Withdraw one fault, or all of them; returns how many went."""
        before = len(self.states)
        self.states = [s for s in self.states if number and s.fault.number != number]
        return before - len(self.states)

    def strike(self, place: Place, where: str, now: Instant) -> list[FaultState]:
        """What goes wrong with this occurrence, counting it for every fault it concerns."""
        return [
            state
            for state in self.states
            if self._belongs(state, place)
            and state.concerns(where)
            and self._strikes(state, where, now)
        ]

    def _belongs(self, state: FaultState, place: Place) -> bool:
        own = state.fault.spec.place
        # What happens to the day may be set off by a request.
        by_request = own is Place.DAY and place is Place.REQUEST and state.fault.when.counted
        return own is place or by_request

    def _strikes(self, state: FaultState, where: str, now: Instant) -> bool:
        if not state.fault.spec.lasts:
            if not state.comes_up(now, self.seed):
                return False
            state.hits += 1
            self._note(state, where, now)
            return True
        new = state.began_at
        if state.fault.when.counted and not state.is_on(now) and state.comes_up(now, self.seed):
            state.began_at = now
        on = state.is_on(now)
        if on and state.began_at != new:
            state.hits += 1
            self._note(state, where, now)
        return on

    def due(self, now: Instant) -> list[FaultState]:
        """What happens to the day by now, each once: at ``from``, or as soon as it is asked for."""
        due = [
            state
            for state in self.states
            if state.fault.spec.place is Place.DAY
            and not state.fault.when.counted
            and not state.hits
            and state.in_window(now)
        ]
        for state in due:
            state.seen += 1
            state.hits += 1
            self._note(state, "day", now)
        return due

    def on(self, kind: str, now: Instant) -> Iterator[FaultState]:
        """The lasting faults of a kind that are on, without counting an occurrence."""
        for state in self.states:
            if state.fault.kind == kind:
                new = state.began_at
                if state.is_on(now):
                    if state.began_at != new:
                        state.hits += 1
                        self._note(state, "day", now)
                    yield state

    def asked(self, kind: str) -> bool:
        """Whether such a fault is asked for at all."""
        return any(state.fault.kind == kind for state in self.states)

    def _note(self, state: FaultState, where: str, now: Instant) -> None:
        fault = state.fault
        strike = Strike(now, fault.number, fault.kind, state.seen, where)
        self.strikes.append(strike)
        if self.on_strike is not None:
            self.on_strike(strike)

    def rows(self, now: Instant) -> list[dict[str, object]]:
        """Every fault as the admin interface lists it."""
        return [
            {
                "number": state.fault.number,
                "kind": state.fault.kind,
                "route": state.fault.route,
                "when": when_words(state.fault.when),
                "params": dict(state.fault.params),
                "occurrences": state.seen,
                "strikes": state.hits,
                "on": state.is_on(now) if state.fault.spec.lasts else None,
            }
            for state in self.states
        ]


def when_words(when: When) -> str:
    """The occurrences of a fault as a person reads them."""
    words = []
    if when.nth:
        words.append("nth " + ", ".join(map(str, when.nth)))
    if when.every:
        words.append(f"every {when.every}")
    if when.since is not None:
        words.append(f"from {ist_clock(when.since - IST_OFFSET)}")
    if when.until is not None:
        words.append(f"until {ist_clock(when.until - IST_OFFSET)}")
    if when.lasts is not None:
        words.append(f"for {when.lasts / SECOND:g} s")
    if when.probability < 1:
        words.append(f"probability {when.probability:g}")
    if when.times:
        words.append(f"at most {when.times} times")
    return ", ".join(words) or "always"
