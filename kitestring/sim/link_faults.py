"""What can go wrong on the way between two programs: the network's faults, as readable rows.

A fault names the connections it strikes (of which server, which one of them, which way) and from
which byte or instant on. They are what a real line does, in the words of TCP: data lost on the way
is sent again and comes late, a reset comes at once, and whoever is cut off is told nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

Address = tuple[str, int]


class Towards(StrEnum):
    """The way a byte travels."""

    SERVER = "to server"
    CLIENT = "to client"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFault:
    """Whom a fault strikes; anything left out means all.

    ``server`` is the address listened on, ``connection`` counts that server's connections from 1,
    ``from_byte`` counts the bytes of one way of one connection. ``from_s`` and ``until_s`` are
    instants of the loop's clock.
    """

    server: Address | None = None
    connection: int | None = None
    towards: Towards | None = None
    from_byte: int = 0
    from_s: float = -math.inf
    until_s: float = math.inf

    def strikes(self, server: Address, connection: int, towards: Towards | None = None) -> bool:
        """Whether a way of a connection is one of those meant."""
        return (
            self.server in (None, server)
            and self.connection in (None, connection)
            and (towards is None or self.towards in (None, towards))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(LinkFault):
    """Nobody listens: the attempt to connect is answered with a reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blackhole(LinkFault):
    """Nothing passes until ``until_s``; then what was sent meanwhile arrives, sent again.

    From both ways and without an end this is a half-open connection: the other side is gone and
    neither is told. A reset that falls in is lost for good, as on a real line. ``from_byte`` makes
    it a line that breaks in the middle of a message.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(LinkFault):
    """The connection breaks with a reset on both sides once ``from_byte`` bytes have arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDrip(LinkFault):
    """Bytes come in pieces of ``piece`` bytes, one every ``every_s`` seconds."""

    piece: int = 1
    every_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(LinkFault):
    """Everything takes ``by_s`` seconds longer."""

    by_s: float
