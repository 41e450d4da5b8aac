"""Decides a finished day once more from what it recorded, and names the first thing that differs.

An audit: a fresh core with the same settings is fed the tape's frames and timers and the journal's
reports, snapshots and commands of the operator, in the order of their inbox numbers. Everything it
then says (bars, signals, verdicts, orders, fills) must be what the journal holds, up to the last
commit whose ticks are on the tape: the durable prefix. What the engine itself wrote between two
events (opened, resumed, sealed) is not decided and therefore not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, assert_never

import msgspec

from kitestring.core.trading_core import TradingCore
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.events import (
    BrokerSnapshot,
    DayOpening,
    DaySealed,
    Event,
    Fact,
    Gap,
    HistoryLoaded,
    Note,
    OperatorCommand,
    OvernightStop,
    Reports,
    RunOpened,
    SessionEnded,
    TimerFired,
)
from kitestring.domain.instants import ist_clock
from kitestring.domain.money import show_rupees
from kitestring.domain.orders import OrderIntent
from kitestring.domain.ports import Commit, Frame
from kitestring.domain.signals import Signal
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    CancelOrder,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)

ENGINE_NOTES: Final = frozenset({"opened", "resumed", "interrupted"})
"""Notes that the engine writes between events; all other notes are the core's."""
LIVE_NOTE: Final = "live: "
TIGHTENED: Final = f"{LIVE_NOTE}tightened"
"""From here on the day is decided with other limits than those its record began with."""
"""How the kinds of notes begin that a live day's engine writes between events."""

_TOLD = (Reports, BrokerSnapshot, OperatorCommand, Gap, SessionEnded)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first place where the journal and the replay part, and what each of them says there.

    ``commit`` is the journal's number of it, ``None`` where the journal has no commit at that event.
    """

    inbox: int
    event: str
    commit: int | None
    journal: str
    replay: str

    @property
    def sentence(self) -> str:
        """For a person: which event, what was recorded, what would be decided now."""
        where = f"event {self.inbox:,} ({self.event})"
        return f"{where}: the journal says {self.journal}; the replay says {self.replay}."


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How far the two agree."""

    events: int
    """Inbox number of the last event that was decided again."""
    commits: int
    """Commits that were compared and agreed."""
    facts: int
    difference: Difference | None = None
    cut_short: str = ""
    """Why the durable prefix ends before the journal does; empty when it does not."""


class _Recorded(NamedTuple):
    number: int
    commit: Commit
    decided: tuple[Fact, ...]
    """The facts that the core said."""
    engine: tuple[Fact, ...]
    """The facts that the engine added."""


def replay(
    core: TradingCore,
    commits: Iterable[tuple[int, Commit]],
    tape: Iterable[tuple[int, Frame | TimerFired]],
    *,
    after: int = 0,
) -> Replayed:
    """Decide a day again. ``core`` is fresh, of the day's own settings; nothing is carried out.

    With ``after``, the core was restored to the commit of that inbox number and ``commits`` are the
    later ones.

    Commits and tape are read once, in order, as ``Journal.commits`` and ``TapeReader.records``
    give them. What the tape holds after the last commit is left out: it was never durable.
    """
    return _Audit(core, tape, after).compare(_sorted_out(commits))


class _Audit:
    def __init__(
        self, core: TradingCore, tape: Iterable[tuple[int, Frame | TimerFired]], after: int
    ) -> None:
        self._core = core
        self._tape = (record for record in tape if record[0] > after)
        self._next = next(self._tape, None)
        self._inbox = after
        self._event = "the opening"
        self._commits = self._facts = 0

    def compare(self, recorded: Iterator[_Recorded]) -> Replayed:
        core = self._core
        for record in recorded:
            number = record.commit.inbox
            # What the engine adds it commits by itself, with whatever waited for a commit.
            engines = bool(record.engine)
            if engines:
                self._warm_up(record)
            told = None if engines else _told(record)
            while self._inbox < number:
                event = told if told is not None and self._inbox + 1 == number else self._taped()
                if event is None and self._next is not None:
                    return self._result(self._hole(record.number))
                if event is None:
                    return self._result(cut_short=_cut_short(self._inbox + 1, number))
                self._step(event)
                if core.must_commit and self._inbox < number:
                    facts, _ = core.take()
                    return self._result(self._differs(None, "nothing", _line(facts[-1])))
            if not engines and not core.must_commit:
                said = _line(record.decided[-1]) if record.decided else "a commit"
                return self._result(self._differs(record.number, said, "nothing"))
            facts, _ = core.take()
            unlike = self._unlike(record, facts)
            if unlike is not None:
                return self._result(unlike)
            self._commits += 1
            self._facts += len(facts)
            self._obey(record)
            tightened = next((each for each in record.engine if _is_tightened(each)), None)
            if tightened is not None:
                return self._result(
                    cut_short="its limits were made tighter in the middle of the day"
                )
        return self._result()

    def _taped(self) -> Event | None:
        """The tape's next event, if it is the next one of the inbox."""
        if self._next is None or self._next[0] != self._inbox + 1:
            return None
        event = self._next[1]
        self._next = next(self._tape, None)
        return event

    def _step(self, event: Event) -> None:
        self._inbox += 1
        self._event = _event_words(event)
        self._core.step(event)

    def _warm_up(self, record: _Recorded) -> None:
        """What the day opens or is taken up with is stepped by the engine without a number."""
        for fact in record.decided:
            if isinstance(fact, (DayOpening, HistoryLoaded, Gap)):
                self._core.step(fact)

    def _obey(self, record: _Recorded) -> None:
        """After a fault of the house the engine halts the rebuilt core; so must this one be."""
        for fact in record.engine:
            if isinstance(fact, HaltSession):
                self._core.risk.halt(fact.code, fact.sentence, fact.policy, fact.at)

    def _unlike(self, record: _Recorded, facts: tuple[Fact, ...]) -> Difference | None:
        for place in range(max(len(record.decided), len(facts))):
            theirs = record.decided[place] if place < len(record.decided) else None
            ours = facts[place] if place < len(facts) else None
            if theirs != ours:
                return self._differs(
                    record.number,
                    "nothing more" if theirs is None else _line(theirs),
                    "nothing more" if ours is None else _line(ours),
                )
        return None

    def _hole(self, commit: int) -> Difference:
        return Difference(
            inbox=self._inbox + 1,
            event="lost",
            commit=commit,
            journal="nothing of it, and neither does the tape, which goes on",
            replay="nothing, for it cannot know it",
        )

    def _differs(self, commit: int | None, journal: str, ours: str) -> Difference:
        return Difference(
            inbox=self._inbox, event=self._event, commit=commit, journal=journal, replay=ours
        )

    def _result(self, difference: Difference | None = None, *, cut_short: str = "") -> Replayed:
        return Replayed(
            events=self._inbox,
            commits=self._commits,
            facts=self._facts,
            difference=difference,
            cut_short=cut_short,
        )


def _sorted_out(commits: Iterable[tuple[int, Commit]]) -> Iterator[_Recorded]:
    """Tell what the core said from what the engine added."""
    for number, commit in commits:
        engine = tuple(fact for fact in commit.facts if _is_engines(fact))
        decided = tuple(fact for fact in commit.facts if not _is_engines(fact))
        yield _Recorded(number, commit, decided, engine)


def _is_tightened(fact: Fact) -> bool:
    return isinstance(fact, Note) and fact.kind == TIGHTENED


def _is_engines(fact: Fact) -> bool:
    if isinstance(fact, Note):
        return fact.kind in ENGINE_NOTES or fact.kind.startswith(LIVE_NOTE)
    return isinstance(fact, (RunOpened, DaySealed, OvernightStop))


def _told(record: _Recorded) -> Event | None:
    """The event that came neither from the feed nor from a timer; it made this commit."""
    for fact in record.decided:
        if isinstance(fact, (*_TOLD, HistoryLoaded)):
            return fact
    return None


def _cut_short(missing: int, last: int) -> str:
    return f"event {missing:,} is not on the tape; commits from event {last:,} on are not compared"


def _event_words(event: Event) -> str:
    match event:
        case TickFrame():
            return f"ticks of {ist_clock(event.received_at)}"
        case BarFrame():
            return f"bars of {ist_clock(event.received_at)}"
        case TimerFired():
            return f"timer of {ist_clock(event.due_at)}"
        case Reports():
            return f"reports of {ist_clock(event.received_at)}"
        case BrokerSnapshot() | OperatorCommand() | SessionEnded():
            return f"{type(event).__name__} of {ist_clock(event.at)}"
        case DayOpening():
            return f"what {event.date} handed over"
        case HistoryLoaded():
            return f"history of {event.instrument}"
        case Gap():
            return f"gap from {ist_clock(event.start_at)}"
        case _:
            assert_never(event)


def _line(fact: Fact) -> str:
    """A fact in a few words; orders and decisions in plain ones, the rest by its fields."""
    match fact:
        case PlaceOrder():
            return f"placed {fact.cl_ord_id}: {_order(fact.intent)}"
        case ModifyOrder() | CancelOrder():
            verb = "modified" if isinstance(fact, ModifyOrder) else "cancelled"
            return f"{verb} {fact.cl_ord_id} ({fact!r})"
        case Signal():
            return f"{fact.strategy} said {fact.action} on {fact.instrument}: {fact.reason}"
        case Approved():
            return f"approved {_order(fact.intent)}"
        case Reduced():
            return f"reduced to {_order(fact.approved.intent)} ({fact.code})"
        case Blocked():
            return f"blocked {fact.side} {fact.instrument} of {fact.strategy} ({fact.code})"
        case HaltSession():
            return f"halted the day ({fact.code}: {fact.sentence})"
        case Bar():
            return (
                f"a {fact.minutes}-minute bar of {fact.instrument} closed at "
                f"{ist_clock(fact.close_at)} with {show_rupees(fact.open)}, "
                f"{show_rupees(fact.high)}, {show_rupees(fact.low)}, {show_rupees(fact.close)}"
            )
        case _:
            return repr(fact)


def _order(intent: OrderIntent) -> str:
    px = "" if intent.price is None else f" at {show_rupees(intent.price)}"
    stop = "" if intent.stop_px is None else f" from {show_rupees(intent.stop_px)}"
    return (
        f"{intent.purpose} {intent.side} {intent.order_qty} {intent.instrument} "
        f"{intent.ord_type}{px}{stop} for {intent.strategy}"
    )
