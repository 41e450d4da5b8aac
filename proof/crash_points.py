"""Every commit of a live day, with the power cut at four moments of it: nothing lost, nothing doubled.

A unit is one cut (sometimes two in a row) in one reference day. The files must show that the house
died where it says; the exchange's own books judge the day's end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine.live_engine import LiveEngine
from kitestring.exchange.ledger import LedgerEntry, What
from kitestring.sim.verdict import Fault, ToldOrder, judge
from proof.crash_stage import Died, Lived, lived, reference_day
from proof.power_supply import MOMENTS, Cut, Moment
from proof.tier import Broken, Outcome, Scale, Tier

PER_DAY: Final = 400
"""Cuts of one reference day: four moments of a hundred commits. A day of fewer is cut again in the
life after the first cut."""
NAKED_S_MAX: Final = 20.0
"""So long may a position stand without stop or exit around a cut; measured, and far below as a rule."""
UNSURE_S_MAX: Final = 150.0
"""Where a request was torn apart on its way: before that, nobody can know that it never arrived."""
_SECOND: Final = 1_000_000


@lru_cache(maxsize=2)
def commits_of(day: int) -> int:
    """How many commits the day has when nobody cuts it."""
    return len(lived(reference_day(day)).commits)


def cuts_of(unit: int) -> tuple[int, tuple[Cut, ...]]:
    """Day and cuts of a unit."""
    day, place = 1 + (unit - 1) // PER_DAY, (unit - 1) % PER_DAY
    # A stride that is prime to it: the first units of a day already lie all over it.
    place = place * 77 % PER_DAY
    number, moment = place // len(MOMENTS), MOMENTS[place % len(MOMENTS)]
    many = commits_of(day)
    first = Cut(commit=1 + number % many, moment=moment)
    if number < many:
        return day, (first,)
    # Once more, and dead again a few commits into the next life: while it recovers, as a rule.
    again = Cut(commit=first.commit + 1 + unit % 3, moment=MOMENTS[unit % len(MOMENTS)])
    return day, (first, again)


def live(first: int, count: int) -> Outcome:
    """See ``Tier``."""
    outcome = Outcome(units=0)
    for unit in range(first, first + count):
        outcome += of_one(unit)
    return outcome


def of_one(unit: int, *, engine: type[LiveEngine] = LiveEngine) -> Outcome:
    """One unit; ``engine`` is for planted mistakes."""
    day, cuts = cuts_of(unit)
    told = lived(reference_day(day), cuts, engine=engine)
    found = found_in(told, planned=len(cuts))
    longest = naked_spans(told)
    story = f"day {day}, cut {'; '.join(f'{c.moment} of commit {c.commit}' for c in cuts)}: "
    counts = Counter(f"fault.power_cut_{died.cut.moment.name.lower()}" for died in told.deaths)
    counts["fault.request_torn"] += told.lost_requests
    counts["orders"] = len(told.after.orders)
    counts["lost"] = sum(each.startswith("lost") for each in found)
    counts["doubled"] = sum(each.startswith("doubled") for each in found)
    spread: dict[int, int] = {}
    if not told.unsure:
        for span in longest:
            spread[span // 1000] = spread.get(span // 1000, 0) + 1
    again = f"python -m proof --tier {TIER.name} --unit {unit}"
    broken = (Broken(seed=unit, story=story + " ".join(found[:4]), again=again),) if found else ()
    return Outcome(units=1, counts=dict(counts), spread={"naked_ms": spread}, broken=broken)


# ── the judge ────────────────────────────────────────────────────────────────────────────────


def found_in(told: Lived, *, planned: int) -> list[str]:
    """Everything wrong with a day, in sentences; empty if nothing is."""
    found = [why for died in told.deaths for why in [died_elsewhere(died)] if why]
    if not told.deaths and planned and not told.sealed:
        found.append("the power was never cut: no such commit in this day.")
    if told.verified.damage:
        return [*found, f"the journal does not verify: {told.verified.damage}"]
    if told.broke:
        found.append(f"the house could not go on: {told.broke}")
    found += [f"{tag} reached the exchange before it was on disk." for tag in told.not_durable]
    verdict = judge(
        told.facts,
        before=told.before,
        after=told.after,
        wire=told.wire,
        flat=not told.broke,
        # Where HALT stands and nothing is open the house waits for a person: the day is flat, not sealed.
        sealed=not told.broke and (told.sealed or told.reference.halt_s is None),
    )
    found += [f"{_word(each.fault)}: {each.sentence}" for each in verdict.findings]
    limit_s = UNSURE_S_MAX if told.unsure else NAKED_S_MAX
    longest = max(naked_spans(told), default=0)
    if longest > limit_s * _SECOND:
        found.append(f"naked: a position stood {longest / _SECOND:.1f} s without stop or exit.")
    return found


def _word(fault: Fault) -> str:
    match fault:
        case Fault.TWICE | Fault.RESENT:
            return "doubled"
        case Fault.NOT_IN_JOURNAL | Fault.NOT_AT_EXCHANGE | Fault.FILLS:
            return "lost"
        case _:
            return "wrong"


def died_elsewhere(died: Died) -> str:
    """Why the files do not bear out where a life says it ended; empty if they do."""
    number = died.cut.commit
    if died.damage:
        return f"the cut left a journal that does not verify: {died.damage}"
    match died.cut.moment:
        case Moment.BEFORE_WRITE:
            fits = died.on_disk < died.at
        case Moment.BEFORE_FSYNC:
            fits = died.on_disk in (died.at - 1, died.at)
        case Moment.AFTER_FSYNC:
            fits = died.on_disk == died.at
        case _:
            fits = died.on_disk >= died.at
    if fits:
        return ""
    return (
        f"cut {died.cut.moment} of commit {died.at} (planned {number}), but the journal holds"
        f" {died.on_disk}."
    )


_OVER: Final = frozenset({What.CANCELED, What.REJECTED})


def naked_spans(told: Lived) -> list[int]:
    """How long, in microseconds, a position of ours was larger than what would close it, each time.

    From the exchange's ledger alone. An order that closes counts from when it was received there.
    """
    tags = {fact.cl_ord_id for fact in told.facts if isinstance(fact, PlaceOrder)}
    rows = {order.order_id: order for order in told.after.orders if order.tag in tags}
    spans: list[int] = []
    for symbol in sorted({order.tradingsymbol for order in rows.values()}):
        mine = {key: row for key, row in rows.items() if row.tradingsymbol == symbol}
        spans += _spans([entry for entry in told.ledger if entry.tag in mine], mine)
    return spans


def _spans(entries: Iterable[LedgerEntry], rows: dict[str, ToldOrder]) -> list[int]:
    net, since = 0, None
    leaves: dict[str, int] = {}
    spans = []
    for entry in sorted(entries, key=lambda each: each.at):
        sign = 1 if rows[entry.tag].transaction_type == "BUY" else -1
        match entry.what:
            case What.NEW:
                leaves[entry.tag] = sign * entry.qty
            case What.TRADE:
                net += sign * entry.last_qty
                leaves[entry.tag] = leaves.get(entry.tag, 0) - sign * entry.last_qty
            case What.REPLACED:
                leaves[entry.tag] = sign * (entry.qty - entry.filled_qty)
            case what if what in _OVER:
                leaves.pop(entry.tag, None)
            case _:
                pass
        covers = -sum(left for left in leaves.values() if left * net < 0)
        naked = net != 0 and abs(covers) < abs(net)
        if naked and since is None:
            since = entry.at
        elif not naked and since is not None:
            spans.append(entry.at - since)
            since = None
    return spans


TIER: Final = Tier(
    name="crash_points",
    unit="power cuts",
    claim="Cut the power at any commit of a live day, before or after any write: started again, the"
    " house loses no order and no fill, sends none twice, and the day ends flat and to the paisa.",
    size={Scale.TEST: 24, Scale.PROOF: PER_DAY, Scale.SOAK: 20 * PER_DAY},
    batch=10,
    live=live,
)
