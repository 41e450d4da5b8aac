"""What a start finds of the guard: a HALT that still stands, what the guard did, whether it is at it now."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kitestring.domain.errors import AnotherDayIsRunning
from kitestring.engine.clocks import wall_now
from kitestring.store.guard_journal import GuardJournal
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.instance_lock import InstanceLock

WATCHES: Final = "guard"
"""The lock a guard holds for all of its life."""
ACTS: Final = "guard-acts"
"""The lock a guard holds from its takeover to its end."""


def guard_folder(artifacts: Path) -> Path:
    """Where the guard keeps its journal, if nothing else was asked for."""
    return artifacts / "live" / "guard"


def standing_halt(artifacts: Path) -> str:
    """The HALT that stands, and what the guard did under it; empty where none does."""
    halt = HaltFile(artifacts).read()
    if halt is None:
        return ""
    if halt.by is not HaltedBy.GUARD:
        return halt.sentence
    ends = [
        line.sentence
        for line in GuardJournal(guard_folder(artifacts)).last_deed()
        if line.kind == "finished"
    ]
    return f"{halt.sentence} {ends[-1]}" if ends else halt.sentence


def guard_lines(artifacts: Path) -> list[str]:
    """What the guard did in the takeover whose HALT still stands; nothing where none does."""
    halt = HaltFile(artifacts).read()
    if halt is None or halt.by is not HaltedBy.GUARD:
        return []
    journal = GuardJournal(guard_folder(artifacts))
    return ["⚠️  The guard has taken over before:", *(f"  {line}" for line in journal.story())]


def guard_lives(artifacts: Path) -> bool:
    """Whether a guard watches this folder now: it holds its lock as long as it lives."""
    lock = InstanceLock(artifacts, started_at=wall_now(), name=WATCHES)
    try:
        lock.acquire()
    except AnotherDayIsRunning:
        return True
    lock.release()
    return False


def refuse_beside_a_guard(artifacts: Path) -> None:
    """Raise ``AnotherDayIsRunning`` while a guard withdraws and reduces here."""
    lock = InstanceLock(artifacts, started_at=wall_now(), name=ACTS)
    try:
        lock.acquire()
    except AnotherDayIsRunning as held:
        raise AnotherDayIsRunning(
            "The guard has taken over here and watches over what is open; a second hand at the same "
            "orders is not let in.",
            do="see artifacts/live/guard/guard.jsonl for what it does; kitestring halt --lift ends it",
        ) from held
    lock.release()
