"""The power of one simulated house and the disk under it, cut at a moment of one commit.

What a cut leaves is modelled harder than most disks behave: the journal's last write may be torn at
any byte, and of files that nobody waited for, the end, all, or nothing may be gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.ports import Commit
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder
from kitestring.sim.dice import Dice
from kitestring.sim.link_faults import Refused, Reset
from kitestring.sim.memory_network import Network
from kitestring.sim.power import PowerCut
from kitestring.store.journal import SqliteJournal
from kitestring.store.tape import DIGEST_SIZE, HEAD

PORT: Final = 8010
_SERVER: Final = ("127.0.0.1", PORT)
SENT_WITHIN_S: Final = 4.0
"""So long a request of the chosen commit is waited for; then the cut comes without it."""
_KEPT: Final = ("journal.sqlite", "HALT", "HALT.copy", "arming.json", "run.json")
"""Files that are on disk once they are written: their writer waits for it."""


class Moment(StrEnum):
    """Where in the life of a commit the power goes."""

    BEFORE_WRITE = "before the write"
    BEFORE_FSYNC = "after the write, before the fsync"
    AFTER_FSYNC = "after the fsync"
    AFTER_SEND = "after the send"


MOMENTS: Final = tuple(Moment)


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """The power goes at one moment of one commit, counted from the day's first."""

    commit: int
    moment: Moment


class Supply:
    """The power of one house, and the disk under it."""

    def __init__(self, network: Network, artifacts: Path, cuts: Sequence[Cut], seed: int) -> None:
        self._network = network
        self._artifacts = artifacts
        self._cuts = list(cuts)
        self._dice = Dice(seed, "power")
        self._faults = (Refused(server=_SERVER), Reset(server=_SERVER))
        self._task: asyncio.Task[object] | None = None
        self._left: dict[Path, bytes] = {}
        self.off = False
        self.expected: set[str] = set()
        """Tags of the chosen commit, or order ids of its changes, none of which has been heard yet."""
        self.changes = False
        self.durable: set[str] = set()
        self.came: set[str] = set()
        """Tags that the exchange has had in hand."""
        self.unsure = False
        self.full_at = 0
        """From this commit on the disk has no room, until somebody makes some; 0: it always has."""
        self.full_said: list[str] = []
        self.lost_requests = 0
        self.died: list[tuple[Cut, int, bool, int]] = []
        self.count = 0
        """The commit that is being written, or was last."""
        self.commands = self._awaited = self._reached = 0
        self._waits = False

    def begin(self, task: asyncio.Task[object]) -> None:
        """A new life."""
        self._network.heal(*self._faults)
        self.off = False
        self._task = task

    def next_cut(self, commit: int) -> Cut | None:
        """The cut planned for a commit, if it is the next."""
        cuts = self._cuts
        if not cuts or self.off or self._waits or commit < cuts[0].commit:
            return None
        return cuts[0]

    def cut(self, *, journal: dict[Path, bytes] | None = None, heard: bool = False) -> None:
        """Now. ``journal`` are files as they are without what nobody has waited for."""
        if self.off or not self._cuts:
            return
        self.off = True
        planned = self._cuts.pop(0)
        self._reached = self._awaited if planned.moment is Moment.AFTER_SEND else self.count
        self.expected, self.changes, self._waits = set(), False, False
        self.died.append((planned, self._reached, heard, self.commands))
        self.unsure = self.unsure or bool(self.durable - self.came)
        self._left = self._on_disk() | (journal or {})
        self._network.strike(*self._faults)
        if self._task is not None and planned.moment is Moment.AFTER_SEND:
            self._task.cancel()

    def send_awaited(self, commit: Commit) -> None:
        """The commit is on disk: the next request of it that the exchange hears is the last."""
        facts = commit.facts
        self._awaited, self._waits = self.count, True
        self.expected = {fact.cl_ord_id for fact in facts if isinstance(fact, PlaceOrder)}
        self.changes = any(isinstance(fact, ModifyOrder | CancelOrder) for fact in facts)
        wait_s = SENT_WITHIN_S if self.expected or self.changes else 0.05
        asyncio.get_running_loop().call_later(wait_s, self._without_it, self._cuts[0])

    def _without_it(self, planned: Cut) -> None:
        if self._cuts and self._cuts[0] is planned:
            self.cut()

    def back(self) -> None:
        """The disk as the cut left it, whatever the dying house still wrote."""
        for path in sorted(self._artifacts.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
        for path, content in self._left.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _on_disk(self) -> dict[Path, bytes]:
        """Every file; of those that nobody waits for, what a cut may leave."""
        kept: dict[Path, bytes] = {}
        for path in sorted(self._artifacts.rglob("*")):
            if not path.is_file():
                continue
            content = path.read_bytes()
            if path.name.endswith("-shm"):
                continue
            if not path.name.startswith(_KEPT) and content:
                # A tape's header is waited for, what follows is not.
                first = _header_of(content) if path.name == "tape.bin" else 0
                fate = self._dice.below(8)
                end = first + self._dice.below(len(content) - first + 1)
                if fate == 0:
                    content = content[:first]
                elif fate == 1:
                    content = content[:end]
                elif fate == 2:
                    content = content[:end] + bytes(len(content) - end)
            kept[path] = content
        return kept


class CutJournal(SqliteJournal):
    """The real journal on such a supply."""

    def __init__(self, path: Path, run_key: str, supply: Supply) -> None:
        super().__init__(path, run_key=run_key)
        self._supply = supply

    def commit(self, commit: Commit) -> int:
        """As always, or ``PowerCut``."""
        supply = self._supply
        if supply.off:
            raise PowerCut("there is no power")
        supply.count = self.count + 1
        planned = supply.next_cut(supply.count)
        moment = None if planned is None else planned.moment
        if supply.full_at and supply.count >= supply.full_at:
            # SQLite's own refusal, as on a disk without room: no page may be added any more.
            self._db.execute("PRAGMA max_page_count = 1")
        placed = {fact.cl_ord_id for fact in commit.facts if isinstance(fact, PlaceOrder)}
        supply.commands = len(placed)
        if moment is Moment.BEFORE_WRITE:
            supply.cut()
            raise PowerCut(moment)
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        before = {path: path.read_bytes() for path in files if path.exists()}
        number = super().commit(commit)
        if moment is Moment.BEFORE_FSYNC:
            supply.durable |= placed  # Perhaps: it may have come so far.
            supply.cut(journal=self._torn(before, files[1]))
            raise PowerCut(moment)
        supply.durable |= placed
        if moment is Moment.AFTER_FSYNC:
            supply.cut()
            raise PowerCut(moment)
        if moment is Moment.AFTER_SEND:
            supply.send_awaited(commit)
        return number

    def _torn(self, before: dict[Path, bytes], wal: Path) -> dict[Path, bytes]:
        """The log with any first part of what was written since; the rest is as it was."""
        old, new = before.get(wal, b""), wal.read_bytes()
        first = next(
            (place for place, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]),
            min(len(old), len(new)),
        )
        end = first + self._supply._dice.below(len(new) - first + 1)  # noqa: SLF001 - one pair
        return before | {wal: new[:end] + old[end:]}


def _header_of(tape: bytes) -> int:
    return HEAD.size + int(HEAD.unpack_from(tape)[2]) + DIGEST_SIZE
