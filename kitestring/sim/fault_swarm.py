"""What goes wrong on a simulated day: each seed turns on its own few kinds of fault, and no others.

Turning on everything at once hides more than it shows: a token that dies at 09:16 keeps every other
fault from being met. All end before the last phase of the day, which must find the house well.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.instants import SECOND, Instant
from kitestring.exchange.wire.fault_kinds import KINDS, FaultKind, Place, Takes, Value
from kitestring.exchange.wire.faults import Fault, When
from kitestring.sim.dice import Dice
from kitestring.sim.link_faults import (
    Address,
    Blackhole,
    Delay,
    LinkFault,
    Reset,
    SlowDrip,
    Towards,
)

LEFT_OUT: Final = MappingProxyType(
    {
        "instruments_wrong": "a day's instruments are settled before it begins; preflight's tests",
        "taken_twice": "the network sends an order twice: nothing in Kite's wire forbids it and"
        " nothing of ours can; what the house then does is tested by name",
    }
)
"""Kinds that no simulated day turns on, and why."""
_ROUTES: Final = (
    ("any", 25),
    ("reads", 12),
    ("writes", 3),
    ("POST /orders/*", 3),
    ("GET /orders", 6),
    ("GET /trades", 6),
    ("GET /portfolio/positions", 6),
    ("changes", 2),
)
"""Where a fault of requests may happen, and how rarely: there are many reads and few orders."""
_NARROW: Final = MappingProxyType(
    {"POST /orders/*": 3, "changes": 2, "writes": 3, "GET /orders": 4}
)


class LineFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of the network: from when to when, in seconds after the opening."""

    kind: str
    from_s: int
    lasts_s: int

    def made(self, server: Address, opened_s: float) -> LinkFault:
        """The fault itself, on a loop whose clock showed ``opened_s`` at the opening."""
        from_s = opened_s + self.from_s
        until_s = from_s + self.lasts_s
        match self.kind:
            case "blackhole":
                return Blackhole(server=server, from_s=from_s, until_s=until_s)
            case "deaf":
                return Blackhole(
                    server=server, towards=Towards.CLIENT, from_s=from_s, until_s=until_s
                )
            case "mute":
                return Blackhole(
                    server=server, towards=Towards.SERVER, from_s=from_s, until_s=until_s
                )
            case "reset":
                return Reset(server=server, from_s=from_s, until_s=until_s)
            case "drip":
                return SlowDrip(
                    server=server, piece=40, every_s=0.2, from_s=from_s, until_s=until_s
                )
            case _:
                return Delay(server=server, by_s=0.8, from_s=from_s, until_s=until_s)


LINE_KINDS: Final = ("blackhole", "deaf", "mute", "reset", "drip", "delay")


def kinds_on(dice: Dice, count: int) -> list[FaultKind]:
    """So many kinds of fault of the exchange."""
    known = [kind for name, kind in sorted(KINDS.items()) if name not in LEFT_OUT]
    return dice.some_of(known, count)


def fault_of(
    dice: Dice, kind: FaultKind, opens: Instant, lasts_s: int, names: tuple[str, ...]
) -> Fault:
    """One fault of a kind, somewhere in the first ``lasts_s`` seconds after ``opens``.

    ``opens`` counts from midnight in India.
    """
    since = opens + dice.below(lasts_s * 2 // 3) * SECOND
    until = opens + lasts_s * SECOND
    route, rare = kind.route, _NARROW.get(kind.route, 20)
    if kind.place is Place.REQUEST and kind.route == "any":
        route, rare = dice.one_of(_ROUTES)
    if kind.place is Place.TICKS:
        rare = 60
    elif kind.place is Place.UPDATE:
        rare = 2
    if kind.place is Place.DAY:
        when = When(since=since, until=until)
    elif kind.lasts:
        lasts = dice.between(5, 60) * SECOND
        when = When(since=since, until=min(since + lasts, until), lasts=lasts)
    else:
        when = When(
            since=since, until=until, probability=1 / rare, times=dice.one_of((1, 2, 3, 6, 40))
        )
    return Fault(kind=kind.name, route=route, when=when, params=_params(dice, kind, names))


def _params(dice: Dice, kind: FaultKind, names: tuple[str, ...]) -> dict[str, Value]:
    """The parameters that make a difference, drawn; the others as they are."""
    drawn: dict[str, Value] = {}
    for param in kind.params:
        if param.takes is Takes.WORD:
            drawn[param.name] = dice.one_of(param.words)
        elif param.takes is Takes.YES:
            drawn[param.name] = dice.one_in(2)
        elif param.name == "close_after":
            drawn[param.name] = dice.one_of((3.0, 30.0, 600.0))
        elif param.name == "percent":
            drawn[param.name] = dice.one_of((-4.0, -1.5, 1.5, 4.0))
        elif param.name == "instruments" and dice.one_in(2):
            drawn[param.name] = (dice.one_of(names),)
        elif param.name == "part":
            drawn[param.name] = dice.between(1, 9) / 10
        elif param.takes is Takes.SECONDS and param.name in ("seconds", "age"):
            drawn[param.name] = float(dice.one_of((1, 4, 8, 25)))
    return drawn
