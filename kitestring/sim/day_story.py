"""The story of a simulated day that broke a promise, as short as it can be told to a trader.

Only what concerns the broken promise's strategies is told in full: orders, fills, faults that struck
them, halts and restarts, in order, up to the break.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from kitestring.domain.events import Note, OperatorCommand
from kitestring.domain.instants import SECOND, Instant, ist_clock
from kitestring.domain.verdicts import CancelOrder, HaltSession, ModifyOrder, PlaceOrder
from kitestring.exchange.ledger import What
from kitestring.sim.evidence import Evidence
from kitestring.sim.promises import Broken
from kitestring.sim.promises_of_orders import short

LINES_MAX: Final = 60
_TOLD: Final = (What.NEW, What.TRADE, What.REJECTED, What.CANCELED, What.TRIGGERED, What.REPLACED)
_LIVE: Final = "live "


def story(day: Evidence, found: list[Broken], without: Sequence[str] = ()) -> list[str]:
    """The lines: how the day was made, what happened, which promise broke, how to see it again.

    ``without`` names what was left out of the day, because the promise breaks without it too.
    """
    if not found:
        return [f"Day {day.plan.seed} kept every promise."]
    first = found[0]
    happened = sorted(
        (moment, line) for moment, line in _happened(day) if moment <= first.at + SECOND
    )
    left_out = max(len(happened) - LINES_MAX, 0)
    lines = [f"Day {day.plan.seed} broke a promise. {_made_of(day)}", ""]
    if left_out:
        lines.append(f"  … {left_out} earlier lines are left out")
    lines += [f"  {ist_clock(moment)}  {line}" for moment, line in happened[left_out:]]
    lines.append("")
    lines += [f"✗ {ist_clock(each.at)}  {each.promise}: {each.sentence}." for each in found[:8]]
    if len(found) > 8:
        lines.append(f"  and {len(found) - 8} more")
    lines += ["", f"See it again: {command(day.plan.seed, without)}"]
    return lines


def command(seed: int, without: Sequence[str] = ()) -> str:
    """What replays a day."""
    left_out = "".join(f" --without {shlex.quote(name)}" for name in without)
    return f"kitestring simulate --seed {seed}{left_out}"


def _made_of(day: Evidence) -> str:
    plan = day.plan
    rows = ", ".join(f"{row.name} trades {row.instrument}" for row in plan.strategies)
    wrong = sorted({fault.kind for fault in plan.faults} | {line.kind for line in plan.lines})
    asked = f"asked to go wrong: {', '.join(wrong)}" if wrong else "nothing was asked to go wrong"
    return f"{rows}; {asked}; {len(plan.crashes)} plugs to pull."


def _happened(day: Evidence) -> Iterable[tuple[Instant, str]]:
    for strike in day.strikes:
        yield strike.at, f"⚡ {strike.kind} at {strike.where}"
    for death in day.deaths:
        yield death.at, f"☠ the house ended: {death.why}"
    for entry, order in day.strokes():
        if order.owner == "person" or entry.what not in _TOLD:
            continue
        who = order.strategy or order.owner
        what = f"{entry.last_qty} at {entry.last_px / 10_000:g}" if entry.last_qty else entry.text
        yield (
            entry.at,
            f"exchange: {who} {order.purpose.lower()} {short(order.tag)} {entry.what.lower()} {what}".rstrip(),
        )
    for moment, fact in day.facts():
        match fact:
            case PlaceOrder():
                intent = fact.intent
                yield (
                    moment,
                    (
                        f"house: {intent.strategy} sends {intent.purpose.lower()} {short(fact.cl_ord_id)}:"
                        f" {intent.side} {intent.order_qty} {intent.instrument} {intent.ord_type}"
                        f" ({intent.reason})"
                    ),
                )
            case ModifyOrder() | CancelOrder():
                word = "cancels" if isinstance(fact, CancelOrder) else "changes"
                yield moment, f"house: {word} {short(fact.cl_ord_id)}"
            case HaltSession():
                yield moment, f"house: HALT {fact.code}: {fact.sentence}"
            case OperatorCommand():
                yield moment, f"operator: {fact.word} ({fact.reason})"
            case Note() if not fact.kind.endswith("feed"):
                yield moment, f"house: {fact.sentence}"
            case _:
                pass
