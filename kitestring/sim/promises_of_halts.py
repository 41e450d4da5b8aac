"""The promises about halts, limits and restarts (I14 to I20), judged by what reached the exchange."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from kitestring.broker.governor import Limits
from kitestring.core.risk_engine import NOT_ARMED
from kitestring.domain.events import OperatorCommand, OperatorWord
from kitestring.domain.instants import MINUTE, NEVER, SECOND, Instant
from kitestring.domain.orders import OrdStatus, Purpose
from kitestring.domain.verdicts import Blocked, HaltSession
from kitestring.sim.day_plan import WELL_S
from kitestring.sim.evidence import Evidence
from kitestring.sim.promises_of_orders import Found, short

_ON_THE_WAY: Final = SECOND
"""The one request that may be on the wire when a halt begins, at this network's slowest."""
_TOO_MANY: Final = 429


def _entries_after(day: Evidence, since: Instant, what: str, until: Instant = NEVER) -> Found:
    slow = 60 * SECOND if day.plan.lines else 0
    for sent in day.sent:
        if sent.method != "POST" or not since + _ON_THE_WAY + slow < sent.at < until:
            continue
        command = day.placed.get(sent.tag)
        if command is None or command.intent.purpose is not Purpose.ENTRY:
            continue
        yield sent.at, f"the entry {short(sent.tag)} was sent after {what}"


def losses_end_entries(day: Evidence) -> Found:
    """I14. Once the loss of the day is reached nothing new is opened until tomorrow."""
    for moment, fact in day.facts():
        if isinstance(fact, HaltSession) and fact.code != NOT_ARMED:
            yield from _entries_after(day, moment, f"the halt {fact.code!r}")
            return


def unarmed_enters_nothing(day: Evidence) -> Found:
    """A house that is not armed, or whose session died, opens nothing until it is armed again."""
    since: Instant | None = None
    for moment, fact in day.facts():
        if isinstance(fact, HaltSession):
            since = moment if fact.code == NOT_ARMED else None
        elif isinstance(fact, OperatorCommand) and fact.word is OperatorWord.ARM:
            if since is not None:
                yield from _entries_after(day, since, "it was disarmed", moment)
            since = None
    if since is not None:
        yield from _entries_after(day, since, "it was disarmed")


def a_halt_holds(day: Evidence) -> Found:
    """I15. After a person's halt no entry leaves the house, in this life or the next one."""
    for moment, fact in day.facts():
        if isinstance(fact, OperatorCommand) and fact.word is OperatorWord.HALT:
            yield from _entries_after(day, moment, "the operator's halt")
            return


def everything_is_explained(day: Evidence) -> Found:
    """I16. Every halt and every refusal says why, in a code and in a sentence."""
    for moment, fact in day.facts():
        if isinstance(fact, HaltSession | Blocked) and not (fact.code and fact.sentence):
            yield moment, f"{type(fact).__name__} without a code or a sentence"


def the_halt_file_needs_nobody(day: Evidence) -> Found:
    """I17. A HALT file written by anybody stops entries, whatever the house is busy with."""
    halt = day.plan.halt
    if halt is not None and halt.by_file and day.halted_at is not None:
        yield from _entries_after(day, day.halted_at, "the HALT file was written")


def a_reserve_for_exits(day: Evidence) -> Found:
    """I18. Entries never use up what exits may need of the broker's budgets; nobody is throttled."""
    limits = Limits()
    entries = [
        sent.at
        for sent in day.sent
        if sent.method == "POST"
        and (command := day.placed.get(sent.tag)) is not None
        and command.intent.purpose is Purpose.ENTRY
    ]
    minutes: dict[int, int] = defaultdict(int)
    for moment in entries:
        minutes[moment // MINUTE] += 1
    for minute, count in minutes.items():
        if count > limits.per_minute - limits.kept_minute:
            yield minute * MINUTE, f"{count} entries in one minute"
    asked = {strike.kind for strike in day.strikes}
    for sent in day.sent:
        if sent.status == _TOO_MANY and "too_many_requests" not in asked:
            yield sent.at, f"the exchange refused {short(sent.tag)}: too many requests"


def recovered_within_a_minute(day: Evidence) -> Found:
    """I33. Within a minute after the last fault the house runs, trusts the books and knows its orders.

    An order that never arrived may be looked for longer: absence is proven by reads over time.
    """
    well = next((look for look in day.looks if look.label == "well"), None)
    if well is None or day.ended:
        return
    if not well.alive:
        ours = {f"{row.instrument}/MIS" for row in day.plan.strategies}
        left = any(
            qty != day.foreign.get(name, 0) for name, qty in well.account.items() if name in ours
        )
        if left or "Nothing is armed while HALT stands" not in day.broke:
            yield well.at, f"a minute after the last fault the house does not run: {day.broke}"
        # Otherwise somebody has halted it, and it owns nothing: only a person starts it again.
        return
    if well.untrusted or well.wants_snapshot:
        yield well.at, f"the books are not trusted yet: {well.untrusted or 'none was read'}"
    arrived = {real.tag for real in day.real.values()}
    for order in well.orders:
        if order.status == OrdStatus.UNKNOWN and order.tag in arrived:
            yield well.at, f"order {short(order.tag)} is at the exchange and still UNKNOWN with us"


def a_restart_changes_nothing(day: Evidence) -> Found:
    """I19. Recovering twice from one disk gives the same house, and sends nothing by itself."""
    if day.twice is not None:
        one, other = day.twice
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                yield day.plan.at(WELL_S), f"{key} differs between two recoveries"
    if day.restart_writes:
        yield (
            day.plan.at(WELL_S),
            f"a restart without any news sent {day.restart_writes} order requests",
        )


def a_crash_loses_nothing(day: Evidence) -> Found:
    """I20. After every pulled plug the house comes back and knows what the journal knew.

    Together with all others: they are judged over the whole day, its crashes included.
    """
    number = 0
    for no, _ in day.commits:
        if no != number + 1:
            yield day.plan.at(0), f"commit {number + 1} is missing"
        number = no
    if day.deaths and not day.ended and day.looks and not day.looks[-1].alive:
        open_now = [
            name for name, qty in day.looks[-1].account.items() if qty != day.foreign.get(name, 0)
        ]
        ours = {f"{row.instrument}/MIS" for row in day.plan.strategies}
        for name in open_now:
            if name in ours:
                yield (
                    day.looks[-1].at,
                    f"the house never came back, and {name} is open: {day.broke}",
                )
