"""The promises of a week, judged across its nights by what the exchange and its account really did.

What the account owns each morning is laid beside what the house opens with; stops beside what they
cover; halts and armings beside every order that was sent after them; the result of each day beside
its trades. ``broken_week(week)`` is what a week has to answer for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from kitestring.domain.events import (
    Adjustment,
    DayOpening,
    Note,
    OperatorCommand,
    OperatorWord,
    OvernightStop,
)
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import NEVER, SECOND, Instant
from kitestring.domain.orders import Product, Purpose
from kitestring.domain.positions import CarriedPosition, Fill
from kitestring.domain.verdicts import HaltSession, PlaceOrder
from kitestring.sim.promises import Broken
from kitestring.sim.promises_of_orders import short
from kitestring.sim.week_evidence import BookThen, DayOfWeek, WeekEvidence, WeekLook
from kitestring.sim.week_plan import moment
from kitestring.sim.week_promises import days_keep_their_own, exits_have_a_position
from kitestring.sim.week_results import journals_verify, results_chain

Found = Iterator[tuple[Instant, str]]
_ON_THE_WAY: Final = SECOND
_UNPROTECTED: Final = "unprotected position"


# ── what is carried ──────────────────────────────────────────────────────────────────────────────


def nothing_is_forgotten_overnight(week: WeekEvidence) -> Found:
    """Each day opens with exactly what the one before it handed over, but for what has expired."""
    left: dict[tuple[str, str, str], int] = {}
    head = ""
    for day in week.days:
        for run in day.runs:
            opening = run.opening
            began = {_whose(each): each.net_qty for each in opening.positions} if opening else {}
            if not run.commits:
                continue
            expected = {
                key: qty
                for key, qty in left.items()
                if (expiry := day.listed[key[1]].expiry if key[1] in day.listed else None) is None
                or expiry >= day.day.date
            }
            expected = {key: qty for key, qty in expected.items() if key[1] in day.listed}
            if began != expected:
                at = run.commits[0][1].at
                yield at, f"the day opens with {_shown(began)} where {_shown(expected)} was left"
            if head and opening is not None and opening.head != head:
                yield run.commits[0][1].at, "the day opens from another journal than the last one"
        for run in day.runs:
            found = _left(run.sealed.handover) if run.sealed and run.sealed.handover else None
            if found is not None:
                left, head = found, run.head
            elif run.commits:
                left, head = _books_at_end(day), ""


def _whose(position: CarriedPosition) -> tuple[str, str, str]:
    return (position.strategy, position.instrument.id, position.product.value)


def _left(opening: DayOpening) -> dict[tuple[str, str, str], int]:
    return {_whose(each): each.net_qty for each in opening.positions}


def _shown(what: dict[tuple[str, str, str], int]) -> str:
    return ", ".join(f"{qty:+d} {key[1]} of {key[0]}" for key, qty in sorted(what.items())) or "—"


def _books_at_end(day: DayOfWeek) -> dict[tuple[str, str, str], int]:
    """What the journal of a day that nobody finished owned in the end."""
    from kitestring.domain.positions import Book  # noqa: PLC0415 - a decoder for this look only

    decode = msgspec.msgpack.Decoder(Book).decode
    last: dict[str, Book] = {}
    for run in day.runs:
        for _, commit in run.commits:
            for key, cell in commit.cells.items():
                if key.startswith("book/") and cell is not None:
                    last[key] = decode(cell)
    date = day.day.date
    return {
        (book.owner or book.strategy, book.instrument, book.product.value): book.net_qty
        for book in last.values()
        if book.net_qty
        and not ((expiry := day.listed[book.instrument].expiry) is not None and expiry <= date)
    }


def owned_is_held(week: WeekEvidence) -> Found:
    """In the evening and when all is well the house owns what its trades made, and the account holds it."""
    ours: dict[str, int] = defaultdict(int)
    for day in week.days:
        for label in ("morning", "well", "flat", "evening"):
            look = day.last(label)
            if look is None or not look.alive:
                continue
            now = dict(ours)
            for key, qty in _ours_traded(day, look.at).items():
                now[key] = now.get(key, 0) + qty
            yield from _compared(look, now)
        for key, qty in _ours_traded(day).items():
            ours[key] += qty
        for each in day.night.settled:
            if not each.expired:
                continue  # intraday and left over: the house names it in the morning, and asks
            ours.pop(f"{each.instrument}/{each.product.value}", None)
        for run in day.runs:
            if run.sealed is None and run.commits:
                # Nobody counted to its end; tomorrow's own account of it is judged above.
                for key in list(ours):
                    ours[key] = 0
                for (_, instrument, product), qty in _books_at_end(day).items():
                    ours[f"{instrument}/{product}"] += qty


def _ours_traded(day: DayOfWeek, by: Instant | None = None) -> dict[str, int]:
    """What of the day's trades is ours: by our orders and triggers, and those of others we booked."""
    net: dict[str, int] = defaultdict(int)
    for entry, order in day.trades():
        if order.owner == "ours" and (by is None or entry.at <= by):
            net[f"{order.instrument}/{order.product}"] += order.side * entry.last_qty
    for at, fact in day.facts():
        if isinstance(fact, Fill) and fact.cl_ord_id not in day.placed and (by is None or at <= by):
            net[f"{fact.instrument}/{fact.product.value}"] += fact.side.sign * fact.qty
        if isinstance(fact, Adjustment) and (by is None or at <= by):
            net[f"{fact.instrument}/{fact.product.value}"] += fact.qty
    return net


def _compared(look: WeekLook, ours: dict[str, int]) -> Found:
    books: dict[str, int] = defaultdict(int)
    kept_out: set[str] = set(look.frozen)
    for book in look.books:
        books[book.key] += book.net
        if book.kept_out:
            kept_out.add(book.key)
    for key in sorted(set(books) | {name for name, qty in ours.items() if qty}):
        held, mine = books.get(key, 0), ours.get(key, 0)
        if held != mine:
            yield look.at, f"{look.label}: {key} is {mine} by its trades and {held} with us"
        there = look.account.get(key, 0)
        if key not in kept_out and (abs(there) < abs(held) or there * held < 0):
            yield look.at, f"{look.label}: {key} is {there} in the account and {held} with us"


def nobody_is_left_alone(week: WeekEvidence) -> Found:
    """As long as anybody is there to start it, a house looks after what is open or carried."""
    left: dict[tuple[str, str, str], int] = {}
    for day in week.days:
        look = day.last("well")
        if look is not None and not look.alive and not _excused(day, look.at):
            mine = left if not day.runs else _books_at_end(day)
            open_now = {key: qty for key, qty in mine.items() if _still_there(look, key, qty)}
            if open_now:
                why = day.refused[-1] if day.refused else "nothing was said"
                yield look.at, f"nobody looks after {_shown(open_now)}: {why}"
        if day.runs:
            left = _books_at_end(day)


def _excused(day: DayOfWeek, at: Instant) -> bool:
    """Whether nobody could be there: the machine dead or left, the guard at it, the start too late."""
    gone = day.stopped_at is not None and day.stopped_at <= at
    young = at - max(day.starts, default=0) < 40 * SECOND
    return gone or young or _kept_off(day, at)


def _still_there(look: WeekLook, key: tuple[str, str, str], qty: int) -> bool:
    there = look.account.get(f"{key[1]}/{key[2]}", 0)
    return abs(there) >= abs(qty) and there * qty > 0


def _kept_off(day: DayOfWeek, at: Instant) -> bool:
    """Whether the guard has the market at that moment."""
    last = [by for when, by in day.halts if when <= at]
    return (bool(last) and last[-1] == "guard") or any("guard" in each for each in day.refused)


def what_expires_is_closed(week: WeekEvidence) -> Found:
    """On a contract's last day the house has closed it by its square-off, and never enters it to carry."""
    for day in week.days:
        look = day.last("flat")
        for name, each in day.listed.items():
            if each.expiry != day.day.date:
                continue
            for tag, command in day.placed.items():
                intent = command.intent
                if (
                    intent.instrument == name
                    and intent.product is not Product.MIS
                    and intent.purpose is Purpose.ENTRY
                ):
                    yield command.approved.at, f"{short(tag)} enters {name} on its last day"
            if look is None or not look.alive:
                continue
            for book in look.books:
                open_now = book.instrument == name and book.net and not book.kept_out
                if open_now and not _refused_exit(day, book) and book.key not in look.frozen:
                    yield (
                        look.at,
                        f"{book.net:+d} {name} of {book.strategy} expires today, open",
                    )


def _refused_exit(day: DayOfWeek, book: BookThen) -> bool:
    """Whether a person was told that it does not get out."""
    return any(
        isinstance(fact, Note) and book.strategy in fact.sentence and "exit" in fact.kind
        for _, fact in day.facts()
    )


# ── stops ────────────────────────────────────────────────────────────────────────────────────────


def stops_stand_overnight(week: WeekEvidence) -> Found:
    """What is carried keeps a stop of its size overnight, or a person was told that it does not."""
    for day in week.days:
        look = day.last("evening")
        if look is None or not day.sealed:
            continue
        sealed = next((run.sealed for run in day.runs if run.sealed is not None), None)
        if sealed is None or sealed.handover is None:
            continue
        standing: dict[tuple[str, int], int] = defaultdict(int)
        for trigger in look.triggers:
            standing[trigger.key, trigger.side] += trigger.qty
        wanted: dict[tuple[str, int], int] = defaultdict(int)
        for each in sealed.handover.positions:
            key = f"{each.instrument.id}/{each.product.value}"
            wanted[key, -1 if each.net_qty > 0 else 1] += abs(each.net_qty)
        for key, side in sorted({*standing, *wanted}):
            stands, want = standing.get((key, side), 0), wanted.get((key, side), 0)
            if stands > want and not _by_hand(day, key, look.at):
                yield look.at, f"triggers for {stands} of {key} stand overnight over {want}"
            elif stands < want and not _told(day, key.partition("/")[0]):
                yield look.at, f"{want} {key} go into the night with a stop for {stands}"


def _told(day: DayOfWeek, instrument: str, by: Instant = NEVER) -> bool:
    """Whether the house said aloud that something there is without its stop."""
    symbol = instrument.rpartition(":")[2]
    return any(
        isinstance(fact, Note) and fact.kind.endswith(_UNPROTECTED) and symbol in fact.sentence
        for at, fact in day.facts()
        if at <= by
    )


def never_more_for_sale_than_owned(week: WeekEvidence) -> Found:
    """What rests, triggers and orders together, can never sell more than is owned."""
    for day in week.days:
        said: set[str] = set()
        for look in day.samples if day.runs else ():
            for key, side in {(each.key, each.side) for each in look.triggers}:
                waits = sum(t.qty for t in look.triggers if (t.key, t.side) == (key, side))
                for tag, where, way, qty in look.resting:
                    command = day.placed.get(ClOrdId(tag))
                    exits = command is not None and command.intent.purpose is not Purpose.ENTRY
                    if (where, way) == (key, side) and (exits or tag in day.fired):
                        waits += qty
                nets = _strategies_at(day, look.at)
                owned = sum(max(-side * qty, 0) for (_, k), qty in nets.items() if k == key)
                if waits > owned and key not in said and not _by_hand(day, key, look.at):
                    said.add(key)
                    yield look.at, f"{waits} of {key} are for sale where {owned} are owned"


def _strategies_at(day: DayOfWeek, by: Instant) -> dict[tuple[str, str], int]:
    """What each strategy owns of what, by what it carried and by what has traded."""
    net: dict[tuple[str, str], int] = defaultdict(int)
    for run in day.runs:
        for each in run.opening.positions if run.opening is not None else ():
            net[each.strategy, f"{each.instrument.id}/{each.product.value}"] += each.net_qty
    for entry, order in day.trades():
        if order.owner == "ours" and entry.at <= by:
            net[_owner(order.strategy), f"{order.instrument}/{order.product}"] += (
                order.side * entry.last_qty
            )
    for at, fact in day.facts():
        if isinstance(fact, Fill) and fact.cl_ord_id not in day.placed and at <= by:
            whose = _owner(fact.strategy)
            net[whose, f"{fact.instrument}/{fact.product.value}"] += fact.side.sign * fact.qty
    return net


def _owner(book: str) -> str:
    """Whose it is: a position kept aside has a book of its own, named after its strategy."""
    return book.partition(", carried")[0]


def _by_hand(day: DayOfWeek, key: str, by: Instant) -> bool:
    """Whether somebody else has traded it, so that the house may not know yet."""
    return any(
        f"{order.instrument}/{order.product}" == key and order.owner not in ("ours", "stop")
        for entry, order in day.trades()
        if entry.at <= by
    )


def no_stop_is_orphaned(week: WeekEvidence) -> Found:
    """Once the house stands in the morning, no trigger of last night waits, but where it said so."""
    for day in week.days:
        for label in ("morning", "well"):
            look = day.last(label)
            if look is None or not look.alive:
                continue
            books: dict[str, list[BookThen]] = defaultdict(list)
            for book in look.books:
                books[book.key].append(book)
            for trigger in look.triggers:
                kept = [book for book in books[trigger.key] if book.net and book.kept_out]
                if not kept and not _doubted(day, trigger.number):
                    yield (
                        look.at,
                        f"{label}: trigger {trigger.number} for {trigger.key} still waits",
                    )


def _doubted(day: DayOfWeek, number: int) -> bool:
    return any(
        isinstance(fact, OvernightStop) and fact.step == "unknown" and fact.trigger_id == number
        for _, fact in day.facts()
    )


def protected_by_day(week: WeekEvidence) -> Found:
    """When all is well each position with a stop has one at the broker, of its size; kept out ones too."""
    for day in week.days:
        look = day.last("well")
        if look is None or not look.alive or look.untrusted:
            continue
        fresh = {
            f"{order.instrument}/{order.product}"
            for entry, order in day.trades()
            if look.at - 6 * SECOND < entry.at <= look.at
        }
        for book in look.books:
            if not book.net or book.stop_px is None or book.leaving or book.key in look.frozen:
                continue
            side = -1 if book.net > 0 else 1
            covered = 0
            for tag, where, way, qty in look.resting:
                command = day.placed.get(ClOrdId(tag))
                if command is not None and (command.intent.strategy, where, way) == (
                    book.strategy,
                    book.key,
                    side,
                ):
                    covered += qty if command.intent.purpose is not Purpose.ENTRY else 0
                elif tag in day.fired and (where, way) == (book.key, side):
                    covered += qty
            if book.kept_out and covered < abs(book.net):
                stands = sum(t.qty for t in look.triggers if (t.key, t.side) == (book.key, side))
                covered = min(covered + stands, abs(book.net))
            if covered == abs(book.net) or book.key in fresh:
                continue
            if covered < abs(book.net) and _told(day, book.instrument, look.at):
                continue
            yield (
                look.at,
                f"{book.strategy} holds {book.net:+d} {book.key} with a stop for {covered}"
                + (f" ({book.kept_out})" if book.kept_out else ""),
            )


# ── halts and armings ────────────────────────────────────────────────────────────────────────────


def halts_hold_overnight(week: WeekEvidence) -> Found:
    """While HALT stands no entry is sent; a house that the guard has ended sends nothing at all."""
    standing = ""
    for day in week.days:
        changes = sorted(day.halts)
        since: Instant = 0
        slow = 30 * SECOND if day.day.lines or day.day.routes else _ON_THE_WAY
        for at, what in [*changes, (1 << 62, "")]:
            for sent in day.sent:
                if not since + (slow if since else 0) < sent.at < at or not standing:
                    continue
                command = day.placed.get(ClOrdId(sent.tag))
                entry = command is not None and command.intent.purpose is Purpose.ENTRY
                if sent.method == "POST" and entry:
                    yield sent.at, f"the entry {short(sent.tag)} was sent while HALT stood"
                elif (
                    standing == "guard"
                    and command is not None
                    and not any(since < start < sent.at for start in day.starts)
                ):
                    yield sent.at, f"{short(sent.tag)} was sent while the guard's HALT stood"
            if what == "lifted":
                standing = ""
            elif what and standing != "guard":
                standing = what
            since = at


def only_an_armed_day_enters(week: WeekEvidence) -> Found:
    """No entry on a day on which nobody has typed the phrase, nor after a loss has ended it."""
    for day in week.days:
        first = min(day.typed, default=None)
        over: Instant | None = None
        armed = False
        unarmed: set[str] = set()
        for at, fact in day.facts():
            if isinstance(fact, OperatorCommand) and fact.word is OperatorWord.ARM:
                armed = True
            elif isinstance(fact, OperatorCommand) and fact.word is OperatorWord.DISARM:
                armed = False
            elif isinstance(fact, HaltSession) and fact.code in ("DAILY_LOSS", "DRAWDOWN"):
                over = over or at
            elif isinstance(fact, PlaceOrder) and not armed:
                unarmed.add(fact.cl_ord_id)
        for sent in day.sent:
            command = day.placed.get(ClOrdId(sent.tag))
            if sent.method != "POST" or command is None:
                continue
            if command.intent.purpose is not Purpose.ENTRY:
                continue
            if first is None or sent.at < first:
                yield sent.at, f"the entry {short(sent.tag)} was sent and nobody had armed the day"
            elif sent.tag in unarmed:
                yield sent.at, f"the entry {short(sent.tag)} was decided by an unarmed house"
            if over is not None and sent.at > over + _ON_THE_WAY:
                yield sent.at, f"the entry {short(sent.tag)} was sent after the loss of the day"


def limits_only_tighten(week: WeekEvidence) -> Found:
    """A day that has begun is never traded with looser limits."""
    for day in week.days:
        if day.loosened:
            yield moment(day.day.date, 0), "the house started with looser limits than this morning"


# ── records ─────────────────────────────────────────────────────────────────────────────────────


def days_are_sealed(week: WeekEvidence) -> Found:
    """A day at whose close the house was there is sealed in the evening."""
    for day in week.days:
        if day.sealed or day.stopped_at is not None or not any(r.commits for r in day.runs):
            continue
        if _kept_off(day, 1 << 62) or _halted_over(week, day):
            continue
        why = day.refused[-1] if day.refused else "nothing was said"
        yield moment(day.day.date, 0), f"the day was never sealed: {why}"


def _halted_over(week: WeekEvidence, day: DayOfWeek) -> bool:
    """Whether it could not be started again because nothing was armed and nothing open."""
    del week
    return bool(day.refused) and "nothing is open" in day.refused[-1]


def yesterdays_orders_are_left_alone(week: WeekEvidence) -> Found:
    """Order numbers of another day are gone: nothing is asked of them."""
    earlier: set[str] = set()
    for day in week.days:
        today = {str(row["order_id"]) for row in day.rows}
        for sent in day.sent:
            if sent.method in ("PUT", "DELETE") and sent.order_id in earlier - today:
                yield sent.at, f"{sent.method} of order {sent.order_id}, which is of another day"
        earlier |= today


def sizes_fit_today(week: WeekEvidence) -> Found:
    """An entry is a whole number of today's lots, at the broker's own freeze limit or below it."""
    for day in week.days:
        for tag, command in day.placed.items():
            intent = command.intent
            if intent.purpose is not Purpose.ENTRY:
                continue
            instrument = day.listed[intent.instrument]
            if intent.order_qty % instrument.lot_size:
                yield (
                    command.approved.at,
                    (
                        f"{short(tag)}: {intent.order_qty} {intent.instrument}, whose lot is"
                        f" {instrument.lot_size}"
                    ),
                )


def exits_only_reduce(week: WeekEvidence) -> Found:
    """No exit and no trigger of ours ever makes what is owned larger or turns it round."""
    for day in week.days:
        stops = {
            fact.order_id: fact.strategy
            for _, fact in day.facts()
            if isinstance(fact, OvernightStop) and fact.order_id
        }
        net: dict[tuple[str, str], int] = defaultdict(int)
        for run in day.runs:
            for each in run.opening.positions if run.opening is not None else ():
                net[each.strategy, f"{each.instrument.id}/{each.product.value}"] += each.net_qty
        for entry, order in day.trades():
            ours = order.owner == "ours"
            whose = _owner(order.strategy) if ours else stops.get(order.order_id, "")
            key = f"{order.instrument}/{order.product}"
            if not whose or _by_hand(day, key, entry.at):
                continue
            before = net[whose, key]
            net[whose, key] += order.side * entry.last_qty
            after = net[whose, key]
            if order.owner == "ours" and order.purpose in (Purpose.ENTRY, ""):
                continue
            if abs(after) != abs(before) - entry.last_qty:
                yield (
                    entry.at,
                    (
                        f"the {order.purpose.lower() or 'trigger'} {short(order.tag)} of {whose} took"
                        f" {key} from {before:+d} to {after:+d}"
                    ),
                )


JUDGES: Final[tuple[Callable[[WeekEvidence], Found], ...]] = (
    nothing_is_forgotten_overnight,
    owned_is_held,
    nobody_is_left_alone,
    what_expires_is_closed,
    stops_stand_overnight,
    never_more_for_sale_than_owned,
    no_stop_is_orphaned,
    protected_by_day,
    halts_hold_overnight,
    only_an_armed_day_enters,
    limits_only_tighten,
    results_chain,
    journals_verify,
    days_are_sealed,
    yesterdays_orders_are_left_alone,
    sizes_fit_today,
    exits_only_reduce,
    exits_have_a_position,
    days_keep_their_own,
)


def broken_week(week: WeekEvidence) -> list[Broken]:
    """Every promise of the week that was not kept, the earliest first."""
    found = [
        Broken(promise=judge.__name__.replace("_", " "), at=at, sentence=sentence)
        for judge in JUDGES
        for at, sentence in judge(week)
    ]
    return sorted(found, key=lambda each: each.at)
