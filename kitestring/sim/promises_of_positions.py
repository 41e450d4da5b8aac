"""The promises about positions, risk and money (I8 to I13), judged by the exchange's own trades."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from kitestring.broker.order_book_merge import ABSENT_QUIET_AFTER_S
from kitestring.domain.events import BrokerSnapshot, Note
from kitestring.domain.ids import ClOrdId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.money import charge_as_money
from kitestring.domain.orders import Product, Purpose, Side
from kitestring.domain.positions import Fill
from kitestring.exchange.ledger import What
from kitestring.market.charges import charge_book
from kitestring.sim.evidence import Evidence, Look, RealOrder
from kitestring.sim.promises_of_orders import Found, short
from kitestring.sim.random_market import listed_on

NAKED_MAX: Final = 5 * SECOND
"""How long a position whose strategy wants a stop may be without one, when nothing is wrong."""
_ASKED_FOR: Final = (round(ABSENT_QUIET_AFTER_S) + 30) * SECOND
"""How long an order without an answer may be looked for; start and reads of the books included."""
_DRIFT: Final = 1.08
"""How far the market may have moved between our decision and the exchange's accepting it."""


def positions_agree(day: Evidence) -> Found:
    """I8. When all is quiet our positions are the account's, less what the person holds."""
    for look in day.looks:
        yield from _disagreements(day, look)


def _disagreements(day: Evidence, look: Look) -> Found:
    if not look.alive:
        if any(_owned(day, look.at).values()) or _working(day, look.at):
            yield look.at, "nobody looks after what is open: the house is not running"
        return
    ours: dict[str, int] = defaultdict(int)
    for book in look.books:
        ours[f"{book.instrument}/MIS"] += book.net
    owned = _owned(day, look.at)
    for name in sorted(set(ours) | {f"{each}/MIS" for each in owned}):
        held, there = ours.get(name, 0), look.account.get(name, 0)
        mine = owned.get(name.removesuffix("/MIS"), 0)
        if held != mine and name not in look.frozen:
            yield look.at, f"{look.label}: {name} is {mine} by its trades and {held} with us"
        elif name not in look.frozen and (abs(there) < abs(held) or there * held < 0):
            yield look.at, f"{look.label}: {name} is {there} at the exchange and {held} with us"
        elif there - day.foreign.get(name, 0) != mine and name not in _touched(day):
            yield look.at, f"{look.label}: {name} is {there} at the exchange, and {mine} are ours"


def _touched(day: Evidence) -> set[str]:
    """Positions of the house's contracts in which somebody else has traded as well."""
    return {
        f"{order.instrument}/{order.product}"
        for order in day.real.values()
        if order.owner != "ours"
    }


def _owned(day: Evidence, by: Instant) -> dict[str, int]:
    """What is ours by the exchange's trades, and by those of others that were booked as ours.

    What is booked of others is judged by ``others_booked_once``, and that nothing is missing from it
    by what the account holds.
    """
    net: dict[str, int] = defaultdict(int)
    for entry, order in day.strokes():
        mine = order.owner == "ours" and order.product == "MIS"
        if entry.what is What.TRADE and mine and entry.at <= by:
            net[order.instrument] += order.side * entry.last_qty
    for moment, fact in day.facts():
        if isinstance(fact, Fill) and fact.cl_ord_id not in day.placed and moment <= by:
            net[fact.instrument] += fact.side.sign * fact.qty
    return net


def _working(day: Evidence, by: Instant) -> list[RealOrder]:
    found: dict[str, RealOrder] = {}
    for entry, order in day.strokes():
        if entry.at > by:
            break  # the orders are brought up to date as the day goes on
        if order.owner == "ours":
            if order.live:
                found[order.order_id] = order
            else:
                found.pop(order.order_id, None)
    return list(found.values())


def failure_is_not_empty(day: Evidence) -> Found:
    """I9. A book that could not be read, or was old, moves no position: only real trades do."""
    net: dict[str, int] = defaultdict(int)
    first: dict[str, list[tuple[Instant, int]]] = defaultdict(list)
    for entry, order in day.strokes():
        if entry.what is What.TRADE:
            name = order.tag if order.owner == "ours" else order.order_id
            net[name] += entry.last_qty
            first[name].append((entry.at, net[name]))
    booked: dict[str, int] = defaultdict(int)
    for moment, fact in day.facts():
        if isinstance(fact, BrokerSnapshot) and not fact.trusted and (fact.orders and not fact.why):
            yield moment, "a book that is not trusted was taken without a reason"
        if not isinstance(fact, Fill):
            continue
        booked[fact.cl_ord_id] += fact.qty
        real = max((qty for when, qty in first[fact.cl_ord_id] if when <= moment), default=0)
        if booked[fact.cl_ord_id] > real:
            yield (
                moment,
                (
                    f"{booked[fact.cl_ord_id]} of {short(fact.cl_ord_id)} were booked when {real} had traded"
                ),
            )


def exposure_within_limits(day: Evidence) -> Found:
    """I10. Whatever is filled, and however badly, the exposure stays within the limit of the day."""
    limit = day.plan.risk.max_gross_exposure_x
    if limit is None:
        return
    net: dict[tuple[str, str], int] = defaultdict(int)
    working: dict[str, RealOrder] = {}
    seen: dict[str, int] = {}
    others = _booked_of_others(day)
    for entry, order in day.strokes():
        _book(others, net, entry.at)
        if order.owner != "ours":
            continue
        key = (order.strategy, order.instrument)
        if entry.what is What.TRADE:
            net[key] += order.side * entry.last_qty
        if order.live:
            working[order.order_id] = order
        else:
            working.pop(order.order_id, None)
        if entry.what is not What.PLACE or order.purpose != Purpose.ENTRY:
            continue
        seen[order.instrument] = entry.seen_px or seen.get(order.instrument, 0)
        worst = 0
        for place in {*net, *((each.strategy, each.instrument) for each in working.values())}:
            ours = [
                each
                for each in working.values()
                if (each.strategy, each.instrument) == place and each.purpose == Purpose.ENTRY
            ]
            up = net[place] + sum(o.qty - o.filled for o in ours if o.side > 0)
            down = net[place] - sum(o.qty - o.filled for o in ours if o.side < 0)
            px = seen.get(place[1]) or int(day.plan.market.closes[place[1]])
            worst += max(abs(up), abs(down)) * px
        allowed = int(day.plan.capital) * limit * _DRIFT
        if worst > allowed:
            yield (
                entry.at,
                (
                    f"with {short(order.tag)} the exposure may become ₹{worst / 10_000:,.0f};"
                    f" the limit is ₹{int(day.plan.capital) * limit / 10_000:,.0f}"
                ),
            )


def _booked_of_others(day: Evidence) -> deque[tuple[Instant, Fill]]:
    """Trades of a person or the broker in what was ours, when they were booked as such.

    From then on the strategy holds so much less. That each is real is judged by ``others_booked_once``.
    """
    return deque(
        (moment, fact)
        for moment, fact in day.facts()
        if isinstance(fact, Fill)
        and fact.cl_ord_id not in day.placed
        and fact.product is Product.MIS
    )


def _book(
    others: deque[tuple[Instant, Fill]], net: dict[tuple[str, str], int], by: Instant
) -> None:
    while others and others[0][0] <= by:
        _, fill = others.popleft()
        net[fill.strategy, fill.instrument] += fill.side.sign * fill.qty


def exits_only_reduce(day: Evidence) -> Found:
    """I11. An exit never makes a position larger and never turns it round."""
    net: dict[tuple[str, str], int] = defaultdict(int)
    others = _booked_of_others(day)
    for entry, order in day.strokes():
        _book(others, net, entry.at)
        if entry.what is not What.TRADE or order.product != "MIS":
            continue
        if order.owner != "ours":
            continue
        key = (order.strategy, order.instrument)
        before = net[key]
        net[key] += order.side * entry.last_qty
        if order.purpose in (Purpose.ENTRY, ""):
            continue
        if abs(net[key]) != abs(before) - entry.last_qty:
            yield (
                entry.at,
                (
                    f"the {order.purpose.lower()} {short(order.tag)} of {order.strategy} took"
                    f" {order.instrument} from {before:+d} to {net[key]:+d}"
                ),
            )


def exits_fit_the_position(day: Evidence) -> Found:
    """I11, before it happens. All exits that wait together are never more than the position."""
    net: dict[tuple[str, str], int] = defaultdict(int)
    working: dict[str, RealOrder] = {}
    since: dict[tuple[str, str], tuple[Instant, str]] = {}
    others = _booked_of_others(day)
    for entry, order in day.strokes():
        _book(others, net, entry.at)
        if order.owner != "ours":
            continue
        key = (order.strategy, order.instrument)
        for each, (began, sentence) in list(since.items()):
            if entry.at - began > SECOND:
                yield began, sentence
                del since[each]
        if entry.what is What.TRADE:
            net[key] += order.side * entry.last_qty
        if order.live and order.resting and order.purpose in (Purpose.EXIT, Purpose.STOP):
            working[order.order_id] = order
        else:
            working.pop(order.order_id, None)
        waits = [each for each in working.values() if (each.strategy, each.instrument) == key]
        covered = sum(each.qty - each.filled for each in waits)
        if covered > abs(net[key]) or any(each.side * net[key] > 0 for each in waits):
            sentence = f"exits for {covered} of {key[1]} wait while {key[0]} holds {net[key]:+d}"
            since.setdefault(key, (entry.at, sentence))
        else:
            since.pop(key, None)


def protected(day: Evidence) -> Found:
    """I12. A position that shall have a stop has one at the broker, of its size; a flat one has none.

    Judged when all is quiet; what traded within the last five seconds may still be on its way.
    """
    for look in day.looks:
        if not look.alive:
            continue
        fresh = {
            (order.strategy, order.instrument)
            for entry, order in day.strokes()
            if order.owner == "ours" and look.at - NAKED_MAX < entry.at <= look.at
        }
        for book in look.books:
            if (book.strategy, book.instrument) in fresh:
                continue
            covered = _covered(day, book.strategy, book.instrument, look.at)
            if not book.net and covered:
                yield (
                    look.at,
                    f"{book.strategy} is flat in {book.instrument}; an exit for {covered} waits",
                )
            if book.net and book.wants_stop and not book.leaving and covered != abs(book.net):
                if covered < abs(book.net) and _asks_for(day, book.strategy, look):
                    continue
                yield (
                    look.at,
                    (
                        f"{look.label}: {book.strategy} holds {book.net:+d} {book.instrument};"
                        f" exits for {covered} wait"
                    ),
                )


def _asks_for(day: Evidence, strategy: str, look: Look) -> bool:
    """An exit without an answer is looked for, never sent again, as long as it may still appear.

    Only for so long, counted from the last restart, and only if a person was told.
    """
    lives_since = max((death.at for death in day.deaths if death.at <= look.at), default=0)
    for order in look.orders:
        command = day.placed.get(ClOrdId(order.tag))
        if command is None or order.over or not order.is_exit or order.tag in _arrived(day):
            continue
        asked_at = max(command.approved.at, lives_since)
        if command.intent.strategy == strategy and look.at - asked_at <= _ASKED_FOR:
            return any(
                isinstance(fact, Note)
                and fact.kind == "unprotected position"
                and f" of {strategy} " in fact.sentence
                for moment, fact in day.facts()
                if command.approved.at <= moment <= look.at
            )
    return False


def _arrived(day: Evidence) -> set[str]:
    return {real.tag for real in day.real.values()}


def _covered(day: Evidence, strategy: str, instrument: str, by: Instant) -> int:
    return sum(
        each.qty - each.filled
        for each in _working(day, by)
        if each.strategy == strategy
        and each.instrument == instrument
        and each.purpose in (Purpose.EXIT, Purpose.STOP)
    )


def naked_for_seconds_only(day: Evidence) -> Found:
    """I12, at every step. When nothing goes wrong no position is without its stop for five seconds."""
    market = day.plan.market
    if not day.plan.undisturbed or market.silences or market.locks or market.thin:
        return
    for each in day.naked:
        if each.lasted > NAKED_MAX and f"{each.instrument}/MIS" not in _touched(day):
            yield (
                each.at,
                f"{each.strategy} had {each.instrument} for {each.lasted / SECOND:g} s without a stop",
            )


def flat_after_square_off(day: Evidence) -> Found:
    """Design, square-off. A minute after the house's square-off nothing of ours is open there."""
    for look in day.looks:
        if look.label != "flat":
            continue
        due = {name for name, by in day.plan.flat_by.items() if by <= look.at}
        for name, qty in _owned(day, look.at).items():
            if qty and name in due:
                yield look.at, f"{qty:+d} {name} of ours is open a minute after the square-off"
        for order in _working(day, look.at):
            if order.instrument in due:
                yield (
                    look.at,
                    f"order {short(order.tag)} still works a minute after the square-off",
                )


def results_are_exact(day: Evidence) -> Found:
    """I13. The result reported is that of the exchange's trades and the day's charges, to the unit."""
    book = charge_book(day.plan.date)
    listed = listed_on(day.plan.date)
    for look in day.looks:
        if not look.alive or any(True for _ in _disagreements(day, look)):
            continue
        cash = 0
        net: dict[str, int] = defaultdict(int)
        value: dict[str, int] = defaultdict(int)
        orders: dict[str, RealOrder] = {}
        for entry, order in day.trades():
            if entry.at > look.at:
                break
            cash -= order.side * entry.last_qty * entry.last_px
            net[order.instrument] += order.side * entry.last_qty
            value[order.order_id] += entry.last_qty * entry.last_px
            orders[order.order_id] = order
        if _touched(day) & {f"{row.instrument}/MIS" for row in day.plan.strategies}:
            continue
        worth = sum(qty * look.marks.get(name, 0) for name, qty in net.items() if qty)
        if look.realised + look.unrealised != cash + worth:
            yield (
                look.at,
                (
                    f"{look.label}: we say ₹{(look.realised + look.unrealised) / 10_000:,.2f} before charges,"
                    f" the exchange's trades make ₹{(cash + worth) / 10_000:,.2f}"
                ),
            )
        total = 0
        for name, order in orders.items():
            side = Side.BUY if order.side > 0 else Side.SELL
            charges = book.order_charges(
                listed[order.instrument],  # type: ignore[index]  # names of this day
                Product(order.product),
                side,
                value[name],  # type: ignore[arg-type]  # money is whole units
            )
            total += int(charges.total)
        if look.charges != int(charge_as_money(total)):  # type: ignore[arg-type]  # as above
            yield look.at, f"{look.label}: charges of {look.charges} are reported, {total} are due"


def others_untouched(day: Evidence) -> Found:
    """Ownership. What others hold in the account is at the end what it was, but for their trades."""
    if not day.looks:
        return
    theirs: dict[str, int] = defaultdict(int)
    for entry, order in day.strokes():
        if entry.what is What.TRADE and order.owner != "ours" and entry.at <= day.looks[-1].at:
            theirs[f"{order.instrument}/{order.product}"] += order.side * entry.last_qty
    ours = {f"{row.instrument}/MIS" for row in day.plan.strategies}
    last = day.looks[-1]
    for name, qty in day.foreign.items():
        if name not in ours and last.account.get(name, 0) != qty + theirs[name]:
            yield last.at, f"{name} of others was {qty}, and is {last.account.get(name, 0)}"
