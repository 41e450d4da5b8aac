"""Pulls a house's plug inside one process: from that moment nothing of it is written or leaves.

What a real power cut leaves behind is a journal up to its last whole commit, an exchange that took
whatever had reached it, and broken connections. A house that runs on after the cut (its clean-up
does) finds a disk that takes nothing and a network where nobody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from kitestring.domain.ports import Commit
from kitestring.domain.verdicts import PlaceOrder
from kitestring.sim.link_faults import Address, Refused, Reset
from kitestring.sim.memory_network import Network
from kitestring.store.journal import SqliteJournal


class PowerCut(BaseException):
    """The house has no power; nothing in it may catch this and go on."""


class Moment(StrEnum):
    """When the plug is pulled."""

    BEFORE_COMMIT = "before a commit"
    AFTER_COMMIT = "after a commit, before anything of it was sent"
    BEFORE_ORDER_COMMIT = "before the commit of an order"
    AFTER_ORDER_COMMIT = "after the commit of an order, before it was sent"
    ORDER_HEARD = "while the exchange had an order request in hand"
    ORDER_TOLD = "after the exchange had answered an order request, before the answer arrived"
    ANY = "between two things"


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """One plug pulled: at the ``count``-th such moment of a life that began at ``from_s`` or later.

    ``from_s`` are seconds after the opening; the house is started again ``down_s`` later.
    """

    moment: Moment
    from_s: int
    count: int
    down_s: float


class Power:
    """The supply of one house, life after life."""

    def __init__(self, network: Network, exchange: Address) -> None:
        self._network = network
        self._faults = (Refused(server=exchange), Reset(server=exchange))
        self._armed: list[Crash] = []
        self._left = 0
        self._task: asyncio.Task[object] | None = None
        self.off = False
        self.why = ""
        self.durable: dict[str, int] = {}
        """Orders whose intent is on disk, and with which commit."""
        self.before_commit: list[Callable[[Commit], None]] = []
        self.after_commit: list[Callable[[Commit], None]] = []
        """Who looks at every commit."""

    def supply(self, task: asyncio.Task[object]) -> None:
        """A new life begins; the network is there again."""
        self._network.heal(*self._faults)
        self.off = False
        self.why = ""
        self._task = task

    def arm(self, crash: Crash) -> None:
        """Pull the plug at the next such moment but ``count - 1``."""
        self._armed = [crash]
        self._left = crash.count
        if crash.moment is Moment.ANY:
            self.cut(crash.moment)

    def disarm(self) -> None:
        """Nobody touches the plug any more."""
        self._armed.clear()

    def reached(self, moment: Moment) -> None:
        """Such a moment is here; perhaps the one."""
        if self.off or not self._armed or self._armed[0].moment is not moment:
            return
        self._left -= 1
        if self._left <= 0:
            self.cut(moment)

    def cut(self, why: str) -> None:
        """Pull it now."""
        if self.off or self._task is None or self._task.done():
            return
        self._armed.clear()
        self.off = True
        self.why = why
        self._network.strike(*self._faults)
        if why in (Moment.ORDER_HEARD, Moment.ORDER_TOLD, Moment.ANY):
            self._task.cancel()


class MortalJournal(SqliteJournal):
    """The real journal on a supply that may end before or after any commit."""

    def __init__(self, path: Path, run_key: str, power: Power) -> None:
        super().__init__(path, run_key=run_key)
        self._power = power

    def commit(self, commit: Commit) -> int:
        """As always, or ``PowerCut``."""
        power = self._power
        placed = [fact.cl_ord_id for fact in commit.facts if isinstance(fact, PlaceOrder)]
        power.reached(Moment.BEFORE_COMMIT)
        if placed:
            power.reached(Moment.BEFORE_ORDER_COMMIT)
        if power.off:
            raise PowerCut(power.why)
        for look in power.before_commit:
            look(commit)
        number = super().commit(commit)
        for tag in placed:
            power.durable[tag] = number
        for look in power.after_commit:
            look(commit)
        power.reached(Moment.AFTER_COMMIT)
        if placed:
            power.reached(Moment.AFTER_ORDER_COMMIT)
        if power.off:
            raise PowerCut(power.why)
        return number
