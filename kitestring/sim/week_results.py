"""The promises of a week about money and records: results that chain over nights, journals that verify."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kitestring.domain.events import Adjustment, DayOpening
from kitestring.domain.instants import Instant
from kitestring.domain.money import charge_as_money
from kitestring.domain.orders import Product, Side
from kitestring.domain.positions import Fill
from kitestring.market.charges import charge_book
from kitestring.sim.week_evidence import DayOfWeek, Run, WeekEvidence
from kitestring.sim.week_plan import moment

Found = Iterator[tuple[Instant, str]]


def results_chain(week: WeekEvidence) -> Found:
    """Each day's result is what its trades and the marks of both closes make, in integers."""
    for day in week.days:
        for run in day.runs:
            sealed, opening = run.sealed, run.opening
            if sealed is None or sealed.handover is None:
                continue
            at = sealed.at
            if any(isinstance(fact, Adjustment) for _, fact in run.facts()):
                continue  # a person said what it was worth
            value = 0
            for each in opening.positions if opening else ():
                value -= each.net_qty * int(each.mark_px) * each.instrument.multiplier
            for each in sealed.handover.positions:
                value += each.net_qty * int(each.mark_px) * each.instrument.multiplier
            for _, fact in run.facts():
                if isinstance(fact, Fill):
                    times = day.listed[fact.instrument].multiplier
                    value -= fact.side.sign * fact.qty * int(fact.px) * times
            for name, (qty, px) in _expired_books(day, run).items():
                value += qty * px * day.listed[name].multiplier
            gross = sealed.net + sealed.charges
            if gross != value:
                yield (
                    at,
                    (
                        f"the day says ₹{gross / 10_000:,.2f} before charges; trades and marks make"
                        f" ₹{value / 10_000:,.2f}"
                    ),
                )
            yield from _charged(day, at, sealed.charges)
            if opening is not None and week.days.index(day):
                yield from _drawdown(week, day, opening, at)


def _expired_books(day: DayOfWeek, run: Run) -> dict[str, tuple[int, int]]:
    """What was ours and expired today, at its last price: by the sealed day's own list of the carried."""
    sealed = run.sealed
    assert sealed is not None
    found: dict[str, tuple[int, int]] = {}
    for name, qty in sealed.carried.items():
        instrument = name.split("|")[1]
        if day.listed[instrument].expiry == day.day.date:
            before = found.get(instrument, (0, 0))[0]
            found[instrument] = (before + qty, int(day.closes[instrument]))
    return found


def _charged(day: DayOfWeek, at: Instant, charges: int) -> Found:
    if any(isinstance(fact, Fill) and fact.cl_ord_id not in day.placed for _, fact in day.facts()):
        return  # of others' orders only what was booked is known
    book = charge_book(day.day.date)
    value: dict[str, int] = defaultdict(int)
    for entry, order in day.trades():
        if order.owner == "ours":
            times = day.listed[order.instrument].multiplier
            value[order.order_id] += entry.last_qty * entry.last_px * times
    total = 0
    for name, traded in value.items():
        order = day.real[name]
        side = Side.BUY if order.side > 0 else Side.SELL
        total += int(
            book.order_charges(
                day.listed[order.instrument],
                Product(order.product),
                side,
                traded,  # type: ignore[arg-type]  # money is whole units
            ).total
        )
    due = int(charge_as_money(total))  # type: ignore[arg-type]  # as above
    if charges != due:
        yield at, f"charges of {charges} are reported, {due} are due"


def _drawdown(week: WeekEvidence, day: DayOfWeek, opening: DayOpening, at: Instant) -> Found:
    before = week.days[week.days.index(day) - 1]
    for run in before.runs:
        sealed = run.sealed
        if sealed is None or sealed.handover is None or run.head != opening.head:
            continue
        was = int(sealed.handover.peak_equity) - int(sealed.handover.equity)
        now = int(opening.peak_equity) - int(opening.equity)
        if was != now:
            yield at, f"yesterday closed {was} below its highest, today opens {now} below"


def journals_verify(week: WeekEvidence) -> Found:
    """Every day's journal is whole, and decided again it is the same."""
    for day in week.days:
        for run in day.runs:
            if run.damage:
                yield moment(day.day.date, 0), f"{run.name}: {run.damage}"
            if run.replay:
                yield moment(day.day.date, 0), f"{run.name}: {run.replay}"
