"""The story of a simulated week that broke a promise, as short as it can be told to a trader.

Each night is a line; of the days only what led to the break is told in full: the day itself, and of
those before it what was carried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kitestring.domain.events import Note, OperatorCommand, OvernightStop
from kitestring.domain.instants import SECOND, Instant, ist_clock, ist_date
from kitestring.domain.verdicts import CancelOrder, HaltSession, ModifyOrder, PlaceOrder
from kitestring.exchange.ledger import What
from kitestring.sim.promises import Broken
from kitestring.sim.promises_of_orders import short
from kitestring.sim.week_evidence import DayOfWeek, WeekEvidence
from kitestring.sim.week_plan import WeekPlan

LINES_MAX: Final = 60
_TOLD: Final = (What.NEW, What.TRADE, What.REJECTED, What.CANCELED, What.TRIGGERED, What.REPLACED)


def week_story(week: WeekEvidence, found: list[Broken]) -> list[str]:
    """The lines: how the week was made, what happened, which promise broke, how to see it again."""
    seed = week.plan.seed
    if not found:
        return [f"Week {seed} kept every promise."]
    first = found[0]
    lines = [f"Week {seed} broke a promise. {_made_of(week.plan)}", ""]
    for day in week.days:
        if day.day.date > ist_date(first.at):
            break
        lines.append(_headed(day))
        if day.day.date == ist_date(first.at):
            told = sorted((at, line) for at, line in _happened(day) if at <= first.at + SECOND)
            left_out = max(len(told) - LINES_MAX, 0)
            if left_out:
                lines.append(f"  … {left_out} earlier lines are left out")
            lines += [f"  {ist_clock(at)}  {line}" for at, line in told[left_out:]]
        else:
            lines.append(f"  overnight: {_carried(day)}")
    lines.append("")
    lines += [
        f"✗ {ist_date(each.at)} {ist_clock(each.at)}  {each.promise}: {each.sentence}."
        for each in found[:8]
    ]
    if len(found) > 8:
        lines.append(f"  and {len(found) - 8} more")
    lines += ["", f"See it again: {week_command(seed)}"]
    return lines


def week_command(seed: int) -> str:
    """What lives a week again."""
    return f"kitestring simulate --week {seed}"


def _made_of(plan: WeekPlan) -> str:
    rows = ", ".join(
        f"{row.name} trades {row.lots} {row.market} ({row.product})" for row in plan.rows
    )
    guard = f"; guard: {plan.guard}" if plan.guard is not None else ""
    others = "".join(f"; others hold {qty} of {name}" for name, qty in plan.foreign)
    return f"{rows}; when stopped: {plan.stopping}{guard}{others}."


def _headed(day: DayOfWeek) -> str:
    """What is particular about a day."""
    row = day.day
    said = [f"{row.date:%a %d %b}"]
    said += [f"lot of {name} is {lot}" for name, lot in row.lots.items()]
    said += [f"token of {name} is another" for name in row.tokens]
    said += [f"the settings leave out {name}" for name in row.without]
    if row.house_s > 0:
        said.append(f"the house starts {row.house_s:.0f} s late")
    if not row.types:
        said.append("nobody types the phrase")
    if row.routes:
        said.append(
            f"asked to go wrong: {', '.join(f'{each[0]} at {each[1]}' for each in row.routes)}"
        )
    said += [f"{line.kind} from {line.from_s} s for {line.lasts_s} s" for line in row.lines]
    if row.stops is not None:
        said.append(
            "stopped, and started again" if row.stops[1] is not None else "stopped for good"
        )
    if row.dies_s is not None:
        said.append("the machine dies")
    if day.refused:
        first = day.refused[0].splitlines()[0]
        said.append(f"{len(day.refused)} starts refused, the first: {first}")
    return "; ".join(said)


def _carried(day: DayOfWeek) -> str:
    """What the account and the house take into the night."""
    night = [f"{qty:+d} {name[0]}" for name, (qty, _) in day.night.positions.items()]
    night += [f"{each.sellable} {each.instrument} (delivered)" for each in day.night.holdings]
    night += [f"{each.net_qty:+d} {each.instrument} settled" for each in day.night.settled]
    stops = [
        f"{each.trigger_id} for {each.orders[0].quantity} {each.instrument.id}"
        for each in day.night.triggers
        if each.status.value == "active"
    ]
    sealed = "sealed" if day.sealed else "NOT sealed"
    return f"{', '.join(night) or 'nothing'}; triggers: {', '.join(stops) or 'none'}; {sealed}"


def _happened(day: DayOfWeek) -> Iterator[tuple[Instant, str]]:
    for strike in day.strikes:
        yield strike.at, f"⚡ {strike.kind} at {strike.where}"
    for death in day.deaths:
        yield death.at, f"☠ the house ended: {death.why}"
    for at, by in day.halts:
        yield at, f"HALT {by}" if by == "lifted" else f"HALT by the {by}"
    for at in day.typed:
        yield at, "the person types the phrase"
    for entry in day.ledger:
        order = day.real.get(entry.tag)
        if order is None or entry.what not in _TOLD:
            continue
        who = order.strategy or order.owner
        what = f"{entry.last_qty} at {entry.last_px / 10_000:g}" if entry.last_qty else entry.text
        yield (
            entry.at,
            f"exchange: {who} {order.purpose.lower()} {short(order.tag)} {entry.what.lower()} {what}",
        )
    for at, fact in day.facts():
        match fact:
            case PlaceOrder():
                intent = fact.intent
                yield (
                    at,
                    (
                        f"house: {intent.strategy} sends {intent.purpose.lower()}"
                        f" {short(fact.cl_ord_id)}: {intent.side} {intent.order_qty}"
                        f" {intent.instrument} {intent.ord_type} ({intent.reason})"
                    ),
                )
            case ModifyOrder() | CancelOrder():
                word = "cancels" if isinstance(fact, CancelOrder) else "changes"
                yield at, f"house: {word} {short(fact.cl_ord_id)}"
            case HaltSession():
                yield at, f"house: HALT {fact.code}: {fact.sentence}"
            case OperatorCommand():
                yield at, f"operator: {fact.word} ({fact.reason})"
            case OvernightStop():
                yield at, f"house: {fact.step}: {fact.sentence}"
            case Note() if not fact.kind.endswith("feed"):
                yield at, f"house: {fact.sentence}"
            case _:
                pass
