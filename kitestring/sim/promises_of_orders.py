"""The promises about orders (I1 to I7), judged by what reached the exchange and what it wrote down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from kitestring.domain.events import Reports
from kitestring.domain.ids import is_ours
from kitestring.domain.instants import SECOND, Instant, ist_clock
from kitestring.domain.orders import ExecType, Order, OrdStatus, Purpose
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import PlaceOrder
from kitestring.exchange.ledger import What
from kitestring.sim.evidence import Evidence, Look

Found = Iterator[tuple[Instant, str]]
_TOLD_OF: Final = frozenset(set(ExecType) - {ExecType.PENDING_NEW, ExecType.UNKNOWN})


def short(tag: str) -> str:
    """A tag as a story shows it."""
    return f"…{tag[8:17]}" if is_ours(tag) else tag or "without a tag"


def intent_before_send(day: Evidence) -> Found:
    """I1. No order of ours reaches the exchange that was not on our disk before."""
    for sent in day.sent:
        if sent.method != "POST":
            continue
        if not sent.durable:
            yield sent.at, f"order {short(sent.tag)} arrived and was on no disk of ours"
        elif sent.tag not in day.placed:
            yield sent.at, f"order {short(sent.tag)} arrived and is not in the journal afterwards"


def at_most_one(day: Evidence) -> Found:
    """I2. One decision is one order: no tag is ever sent twice, nor taken twice by the exchange."""
    sent = Counter(each.tag for each in day.sent if each.method == "POST")
    for tag, times in sent.items():
        if times > 1:
            first = next(each.at for each in day.sent if each.tag == tag)
            yield first, f"order {short(tag)} was sent {times} times"
    taken: dict[str, list[str]] = defaultdict(list)
    for order in day.real.values():
        if order.owner == "ours":
            taken[order.tag].append(order.order_id)
    for tag, ids in taken.items():
        if len(ids) > 1:
            yield day.real[ids[1]].at, f"the exchange has {len(ids)} orders of {short(tag)}"


def no_blind_resend(day: Evidence) -> Found:
    """I3. While nobody knows what became of an entry, no other takes its place."""
    unheard: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for number, commit in day.commits:
        for fact in commit.facts:
            if isinstance(fact, Reports):
                for report in fact.reports:
                    if report.exec_type in _TOLD_OF:
                        for waiting in unheard.values():
                            waiting.pop(report.cl_ord_id, None)
        for fact in commit.facts:
            if not isinstance(fact, PlaceOrder) or fact.intent.purpose is not Purpose.ENTRY:
                continue
            key = (fact.intent.strategy, fact.intent.instrument)
            for tag, since in unheard[key].items():
                if since < number:
                    yield (
                        commit.at,
                        (
                            f"{short(fact.cl_ord_id)} was sent while nothing was known of {short(tag)},"
                            f" an entry of the same strategy"
                        ),
                    )
            unheard[key][fact.cl_ord_id] = number


def unknown_stays_unknown(day: Evidence) -> Found:
    """I4. We never call an order dead that the exchange took and may still trade or has traded."""
    last: Look | None = day.looks[-1] if day.looks else None
    if last is None or not last.alive:
        return
    held = {order.tag: order for order in last.orders}
    for real in day.real.values():
        ours = held.get(real.tag)
        if real.owner != "ours" or ours is None or not ours.over:
            continue
        status = OrdStatus(ours.status)
        if status in (OrdStatus.REJECTED, OrdStatus.DENIED):
            truth = _ended(day, real.order_id, last.at)
            if truth is None or truth.filled:
                yield (
                    last.at,
                    f"order {short(real.tag)} is {status} with us and lives or traded there",
                )


def once_over_always_over(day: Evidence) -> Found:
    """I5. An order that ended stays ended, what filled stays filled, and never more than its size."""
    from msgspec import msgpack  # noqa: PLC0415 - a decoder for this look only

    decode = msgpack.Decoder(Order).decode
    seen: dict[str, Order] = {}
    for _, commit in day.commits:
        for key, cell in commit.cells.items():
            if not key.startswith("order/") or cell is None:
                continue
            now = decode(cell)
            before = seen.get(key)
            if before is not None and before.status.terminal and not now.status.terminal:
                yield commit.at, f"order {short(now.cl_ord_id)} was {before.status} and lives again"
            if before is not None and now.cum_qty < before.cum_qty:
                yield commit.at, f"of order {short(now.cl_ord_id)} less is filled than before"
            if not 0 <= now.cum_qty <= max(now.order_qty, now.asked_qty):
                yield (
                    commit.at,
                    f"of order {short(now.cl_ord_id)} {now.cum_qty} filled of {now.order_qty}",
                )
            seen[key] = now
    traded: Counter[str] = Counter()
    for entry, order in day.trades():
        traded[order.order_id] += entry.last_qty
        if traded[order.order_id] != entry.filled_qty:
            yield entry.at, f"the exchange's own trades of {short(order.tag)} do not add up"


def filled_once(day: Evidence) -> Found:
    """I6. Every trade is booked once, at its own price, and none that the exchange does not have."""
    real: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for entry, order in day.trades():
        real[order.tag][entry.last_qty, entry.last_px] += 1
    booked: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    told: set[str] = set()
    for at, fact in day.facts():
        if not isinstance(fact, Fill):
            continue
        if fact.cl_ord_id not in day.placed:
            continue  # of somebody else's order: ``others_booked_once``
        key = (fact.qty, int(fact.px))
        booked[fact.cl_ord_id][key] += 1
        if booked[fact.cl_ord_id][key] > real[fact.cl_ord_id][key]:
            yield (
                at,
                (
                    f"{fact.side} {fact.qty} at {int(fact.px) / 10_000:g} of {short(fact.cl_ord_id)} was"
                    f" booked {booked[fact.cl_ord_id][key]} times and traded"
                    f" {real[fact.cl_ord_id][key]} times"
                ),
            )
        told.add(fact.fill_id)


def others_booked_once(day: Evidence) -> Found:
    """I6, of others. What the broker or a person closed of ours is booked at its prices, never more.

    A trade of theirs may be booked in parts, one for each of our books that it closed.
    """
    real: Counter[tuple[str, int]] = Counter()
    for owner in ("broker", "person"):
        for entry, order in day.trades(owner):
            real[order.order_id, int(entry.last_px)] += entry.last_qty
    booked: Counter[tuple[str, int]] = Counter()
    for at, fact in day.facts():
        if not isinstance(fact, Fill) or fact.cl_ord_id in day.placed:
            continue
        key = (str(fact.cl_ord_id), int(fact.px))
        booked[key] += fact.qty
        if booked[key] > real[key]:
            yield (
                at,
                (
                    f"{booked[key]} of {key[0]} at {key[1] / 10_000:g} were booked as ours;"
                    f" {real[key]} have traded"
                ),
            )


def nothing_forgotten(day: Evidence) -> Found:
    """I7. Every order of ours at the exchange is in our journal, and what works there works with us."""
    for real in day.real.values():
        if real.owner == "ours" and is_ours(real.tag) and real.tag not in day.placed:
            yield real.at, f"order {short(real.tag)} is at the exchange and not in the journal"
    for look in day.looks:
        if not look.alive:
            continue
        held = {order.tag: order for order in look.orders}
        for real in day.real.values():
            if real.owner != "ours" or real.at > look.at - 5 * SECOND:
                continue
            ours = held.get(real.tag)
            ended = _ended(day, real.order_id, look.at)
            if ended is None and (ours is None or ours.over):
                how = "not known" if ours is None else ours.status
                yield look.at, f"order {short(real.tag)} works at the exchange; with us it is {how}"
            elif ended is not None and ours is not None and not ours.over:
                if ended.at < look.at - 10 * SECOND:
                    yield (
                        look.at,
                        (
                            f"order {short(real.tag)} ended at {ist_clock(ended.at)}; with us it still is"
                            f" {ours.status}"
                        ),
                    )
            elif ended is not None and ours is not None and ours.filled != ended.filled:
                yield (
                    look.at,
                    f"of order {short(real.tag)} we have {ours.filled} filled, they {ended.filled}",
                )


class _End:
    """When an order ended, and with how much filled."""

    __slots__ = ("at", "filled")

    def __init__(self, at: Instant, filled: int) -> None:
        self.at, self.filled = at, filled


def _ended(day: Evidence, order_id: str, by: Instant) -> _End | None:
    """The end of an order at the exchange by an instant, if it had one."""
    ends = day.__dict__.setdefault("_ends", None)
    if ends is None:
        ends = {}
        for entry, order in day.strokes():
            over = entry.what in (What.CANCELED, What.REJECTED) or (
                entry.what is What.TRADE and not order.live
            )
            if over:
                ends[order.order_id] = _End(entry.at, order.filled)
        day.__dict__["_ends"] = ends
    found: _End | None = ends.get(order_id)
    return found if found is not None and found.at <= by else None
