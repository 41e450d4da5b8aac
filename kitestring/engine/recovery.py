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
from kitestring.domain.events import (
    BrokerSnapshot,
    DayOpening,
    Fact,
    Gap,
    HistoryLoaded,
    Reports,
    TimerFired,
)
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import Instant
from kitestring.domain.orders import ExecutionReport, OrdStatus
from kitestring.domain.ports import Frame, Journal
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder


class LastCommit(NamedTuple):
    """Where a journal ends."""

    number: int
    inbox: int
    at: Instant
    feed_position: int
    tape_offset: int
    tape_hash: str
    frame_left: int


class Unanswered(NamedTuple):
    """An order's last committed command, when it was sent, and with which commit."""

    command: Command
    at: Instant
    commit: int


class Story(NamedTuple):
    """What a recovery needs from the journal besides its cells."""

    last: LastCommit | None
    history: tuple[HistoryLoaded, ...]
    unanswered: tuple[Unanswered, ...]
    gaps: tuple[Gap, ...]
    heard: tuple[ExecutionReport, ...]
    """The broker's last words: what it may tell again and must not be taken in twice."""
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
    heard: list[tuple[LastCommit, Reports]] = []
    gaps: list[Gap] = []
    for number, commit in journal.commits():
        last = LastCommit(
            number,
            commit.inbox,
            commit.at,
            commit.feed_position,
            commit.tape_offset,
            commit.tape_hash,
            commit.frame_left,
        )
        for fact in commit.facts:
            _notice(fact, last, history, latest)
            if isinstance(fact, DayOpening):
                opening = fact
            elif isinstance(fact, Reports):
                heard.append((last, fact))
            elif isinstance(fact, Gap):
                gaps.append(fact)
    words = _last_words(last, heard)
    return Story(last, tuple(history), tuple(latest.values()), tuple(gaps), words, opening)


def _last_words(
    last: LastCommit | None, heard: list[tuple[LastCommit, Reports]]
) -> tuple[ExecutionReport, ...]:
    """Reports heard at the last commit's instant, or since the last frame the broker was shown."""
    return tuple(
        report
        for commit, told in heard
        if last is not None and (commit.at == last.at or commit.feed_position == last.feed_position)
        for report in told.reports
    )


def _notice(
    fact: Fact,
    commit: LastCommit,
    history: list[HistoryLoaded],
    latest: dict[ClOrdId, Unanswered],
) -> None:
    if isinstance(fact, HistoryLoaded):
        history.append(fact)
    elif isinstance(fact, PlaceOrder | ModifyOrder | CancelOrder):
        latest.pop(fact.cl_ord_id, None)  # An order's latest command stands where it was issued.
        latest[fact.cl_ord_id] = Unanswered(fact, commit.at, commit.number)


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
    for gap in story.gaps:
        core.observe(gap)
    reached: Instant = 0
    for _, event in tape:
        core.observe(event)
        reached = event.due_at if isinstance(event, TimerFired) else event.received_at
    core.restore(journal.cells())
    return reached


def forgotten(core: TradingCore, exchange: BrokerSnapshot) -> str:
    """What the exchange should know of a restored day and does not, in words; empty if nothing.

    It writes before anybody is told, so it may be ahead of the journal, and never behind it.
    """
    known = {row.cl_ord_id: row.cum_qty for row in exchange.orders}
    for order in core.orders.table.values():
        if order.order_id is None:
            continue
        if order.cl_ord_id not in known:
            return f"order {order.cl_ord_id} is not in it"
        if known[order.cl_ord_id] < order.cum_qty:
            return (
                f"of order {order.cl_ord_id} it has {known[order.cl_ord_id]} filled, "
                f"the journal {order.cum_qty}"
            )
    return ""


def still_unanswered(core: TradingCore, story: Story) -> list[Unanswered]:
    """Committed commands that may not have left, in the order they were issued.

    The last commit's, whatever has become of their orders since they were decided (a stop may have
    filled in the very step that withdrew it: the exchange hears of that all the same), and those
    of which a restored order still waits to hear.
    """
    last = story.last.number if story.last is not None else 0
    waiting: list[Unanswered] = []
    for unanswered in story.unanswered:
        order = core.orders.table.get(unanswered.command.cl_ord_id)
        waits = order is not None and _WAITING.get(order.status) is type(unanswered.command)
        if waits or unanswered.commit == last:
            waiting.append(unanswered)
    return waiting
