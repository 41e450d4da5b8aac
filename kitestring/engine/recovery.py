"""Takes a day up again where its journal ends: nothing is decided twice, nothing is sent twice.

State is the last value of every cell the journal holds. Market data and indicators are rebuilt by
showing them the tape up to the last commit (and the very warm-up bars the journal recorded); no
strategy is asked anything. Commands that were committed but may not have left are handed to the
broker again, which knows each by its tag and takes none twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import DayOpening, Fact, HistoryLoaded, TimerFired
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import Instant
from kitestring.domain.orders import OrdStatus
from kitestring.domain.ports import Commit, Frame, Journal
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder


class LastCommit(NamedTuple):
    """Where a journal ends."""

    number: int
    inbox: int
    at: Instant
    feed_position: int
    tape_offset: int
    tape_hash: str


class Unanswered(NamedTuple):
    """A committed command whose answer the journal does not hold, and when it was sent."""

    command: Command
    at: Instant


class Story(NamedTuple):
    """What a recovery needs from the journal besides its cells."""

    last: LastCommit | None
    history: tuple[HistoryLoaded, ...]
    unanswered: tuple[Unanswered, ...]
    opening: DayOpening | None = None
    """What the day before handed over."""


_WAITING = {
    OrdStatus.PENDING_NEW: PlaceOrder,
    OrdStatus.PENDING_REPLACE: ModifyOrder,
    OrdStatus.PENDING_CANCEL: CancelOrder,
}


def read_story(journal: Journal) -> Story:
    """Read the journal once, verified: its end, its warm-up bars and every order's last command."""
    last: LastCommit | None = None
    history: list[HistoryLoaded] = []
    latest: dict[ClOrdId, Unanswered] = {}
    opening: DayOpening | None = None
    for number, commit in journal.commits():
        last = LastCommit(
            number,
            commit.inbox,
            commit.at,
            commit.feed_position,
            commit.tape_offset,
            commit.tape_hash,
        )
        for fact in commit.facts:
            if isinstance(fact, DayOpening):
                opening = fact
            _notice(fact, commit, history, latest)
    return Story(last, tuple(history), tuple(latest.values()), opening)


def _notice(
    fact: Fact,
    commit: Commit,
    history: list[HistoryLoaded],
    latest: dict[ClOrdId, Unanswered],
) -> None:
    if isinstance(fact, HistoryLoaded):
        history.append(fact)
    elif isinstance(fact, PlaceOrder | ModifyOrder | CancelOrder):
        latest.pop(fact.cl_ord_id, None)  # An order's latest command stands where it was issued.
        latest[fact.cl_ord_id] = Unanswered(fact, commit.at)


def restore(
    core: TradingCore,
    journal: Journal,
    story: Story,
    tape: Iterable[tuple[int, Frame | TimerFired]],
) -> Instant:
    """Rebuild a core from the journal's cells, the warm-up bars and the tape; how far that reached."""
    if story.opening is not None:
        core.mark_carried(story.opening)
    for loaded in story.history:
        core.market.load_history(loaded)
        core.strategies.warm(loaded.bars)
    reached: Instant = 0
    for _, event in tape:
        core.observe(event)
        reached = event.due_at if isinstance(event, TimerFired) else event.received_at
    core.restore(journal.cells())
    return reached


def still_unanswered(core: TradingCore, story: Story) -> list[Unanswered]:
    """Committed commands that the restored orders still wait for, in the order they were issued."""
    waiting: list[Unanswered] = []
    for unanswered in story.unanswered:
        order = core.orders.table.get(unanswered.command.cl_ord_id)
        if order is not None and _WAITING.get(order.status) is type(unanswered.command):
            waiting.append(unanswered)
    return waiting
