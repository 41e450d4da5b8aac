"""How a live day stands, in one look: armed or not, believed or not, feed, guard, and all of its state.

What a second terminal is told and what the panel shows is the same.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kitestring.core.risk_engine import NOT_ARMED
from kitestring.engine.live_day import LiveDay
from kitestring.engine.state_view import state_view
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.paths import RunPaths
from kitestring.store.state_store import StateView

GuardSays = Callable[[], str]
"""What is known of the guard beside the day; empty where none is known of."""


class LiveStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a live day."""

    state: StateView
    armed: bool
    """Whether a person has armed it and nothing has stopped its entries since."""
    entries: str
    """Why nothing is entered now; empty where entries may be made."""
    untrusted: str
    """Why the broker's books are not believed; empty if they are."""
    feed: str
    """The worst connection: ``flowing``, ``down`` and so on."""
    halt_file: str
    """The sentence of the HALT file; empty where none stands."""
    guard: str
    waiting: int
    """What lies in the inbox untaken."""


def standing_of(
    day: LiveDay, paths: RunPaths, halts: HaltFile, guard: GuardSays | None = None
) -> LiveStanding:
    """Look at a day between two of its steps."""
    core = day.core
    halted = core.risk.state.halted
    halt = halts.read()
    said = guard() if guard is not None else ""
    entries = halted.sentence if halted is not None else ""
    if halt is not None and halt.by is HaltedBy.GUARD:
        said = "the guard has taken over: this engine sends nothing"
        entries = halt.sentence
    elif halt is not None:
        entries = entries or halt.sentence
    return LiveStanding(
        state=state_view(core, mode=paths.mode, run=paths.folder.name, commit=0),
        armed=halted is None or halted.code != NOT_ARMED,
        entries=entries or core.state.untrusted,
        untrusted=core.state.untrusted,
        feed=day.feed_state.value,
        halt_file=halt.sentence if halt is not None else "",
        guard=said,
        waiting=day.inbox_length,
    )
