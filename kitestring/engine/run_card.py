"""A run in one line: which day, on what market, how far it came and what it earned.

The law: figures are counted from the run's own journal; a run that cannot be read says so and is
listed all the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import msgspec

from kitestring.domain.errors import StoreError
from kitestring.domain.events import Fact
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, charge_as_money
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.engine.tally import Tally
from kitestring.store.paths import RunPaths, RunState
from kitestring.store.run_reader import Recorded, read_run


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One run at a glance. ``net`` is after charges; of an unfinished day, of closed trades only."""

    run: str
    date: dt.date
    mode: str
    state: RunState
    feed: str = ""
    seed: int | None = None
    fill_model: str = ""
    charges_name: str = ""
    capital: Money = Money(0)
    at: Instant = 0
    orders: int = 0
    fills: int = 0
    trades: int = 0
    wins: int = 0
    refusals: int = 0
    gross: Money = Money(0)
    charges: Money = Money(0)
    slippage: Money = Money(0)
    net: Money = Money(0)
    problem: str = ""
    """Why it cannot be read; empty otherwise."""


def figures(paths: RunPaths) -> RunFigures:
    """The figures of a run; one that cannot be read is ``damaged``, with the reason."""
    try:
        return figures_of(read_run(paths))
    except StoreError as error:
        return RunFigures(
            run=paths.folder.name,
            date=paths.date,
            mode=paths.mode,
            state=RunState.DAMAGED,
            problem=error.what,
        )


def figures_of(recorded: Recorded) -> RunFigures:
    """The figures of a run that was read."""
    facts = tuple(recorded.facts())
    tally = Tally()
    tally.record(facts)
    opened, sealed = recorded.opened, recorded.sealed
    gross, charges = _closed(facts)
    net = gross - charges
    if sealed is not None:
        net = Money(sealed.net)
        charges = Money(sealed.charges)
        gross = net + charges
    return RunFigures(
        run=recorded.run,
        date=recorded.paths.date,
        mode=recorded.paths.mode,
        state=recorded.state,
        feed=opened.feed if opened is not None else "",
        seed=opened.seed if opened is not None else None,
        fill_model=opened.fill_model if opened is not None else "",
        charges_name=opened.charges if opened is not None else "",
        capital=Money(opened.capital) if opened is not None else Money(0),
        at=recorded.at,
        orders=tally.orders,
        fills=tally.fills,
        trades=tally.trades,
        wins=tally.wins,
        refusals=sum(tally.refusals.values()),
        gross=gross,
        charges=charges,
        slippage=tally.slippage,
        net=net,
    )


def _closed(facts: Iterable[Fact]) -> tuple[Money, Money]:
    """Rupees of round trips before charges, and the charges of all fills."""
    gross, charges = Money(0), Money(0)
    for fact in facts:
        if isinstance(fact, RoundTrip):
            gross = gross + fact.gross
        elif isinstance(fact, Fill):
            charges = charges + charge_as_money(fact.charges.total)
    return gross, charges
