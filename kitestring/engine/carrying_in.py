"""Takes over in the morning what was carried: last night's stops come back first, then the broker counts.

What the day will not trade (its contract changed, its strategy is gone) keeps the trigger that protects
it: nobody else would. All others are taken back before the day's own stops are sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from kitestring.core.settings import DaySettings
from kitestring.domain.events import DayOpening, OvernightStop
from kitestring.domain.orders import OrdStatus, Product
from kitestring.domain.positions import CarriedPosition
from kitestring.engine.carried import (
    BooksOfTheBroker,
    Now,
    SharesOfTheBroker,
    books_at_broker,
    confirmed,
    key_of,
    left_to_stop,
    missing,
    shares_at_broker,
    with_shares,
)
from kitestring.engine.overnight_stops import (
    TriggerDesk,
    look_for,
    not_out,
    sold_nothing,
    take_back,
)

Whose = tuple[str, str, str]


class Outside(SharesOfTheBroker, Protocol):
    """What a ``LiveLink`` offers here."""

    @property
    def broker(self) -> BooksOfTheBroker:
        """Whose count decides."""
        ...

    @property
    def triggers(self) -> TriggerDesk:
        """Where stops waited overnight."""
        ...

    @property
    def clock(self) -> Now:
        """What time it is."""
        ...


class TakenOver(msgspec.Struct, frozen=True, kw_only=True):
    """What the day opens with."""

    opening: DayOpening | None = None
    """Frozen where it is not sure."""
    stops: tuple[OvernightStop, ...] = ()
    """What became of last night's stops."""
    unprotected: tuple[str, ...] = ()
    """What a person must see to now: a stop that fired and has not got out, a position without one."""


async def carried_in(
    opening: DayOpening | None,
    overnight: Sequence[OvernightStop],
    link: Outside,
    settings: DaySettings,
) -> TakenOver:
    """Take last night's stops back, count, and freeze what is not sure."""
    now = link.clock.now()
    idle = set(_idle(opening, settings))
    stops = await take_back(link.triggers, [s for s in overnight if _whose(s) not in idle], now)
    if opening is None or not opening.positions:
        return TakenOver(opening=opening, stops=stops)
    kept = await look_for(link.triggers, [s for s in overnight if _whose(s) in idle], now)
    # Counted after the triggers are gone: none can change the count any more.
    books = await books_at_broker(link.broker, link.clock)
    net_qty = dict(books.net_qty)
    if any(each.product is Product.CNC for each in opening.positions):
        net_qty = with_shares(net_qty, await shares_at_broker(link))
    short = missing(opening, net_qty)
    # One that would sell more than the account holds protects nothing.
    over = [s for s in kept if s.step != "fired" and f"{s.instrument}/{s.product}" in short]
    stops += tuple(s for s in kept if s not in over)
    stops += await take_back(link.triggers, [s for s in over if s.step != "gone"], now)
    rows = {row.order_id: row for row in books.orders}
    told: list[OvernightStop] = []
    unprotected: list[str] = []
    for stop in stops:
        row, after = rows.get(stop.order_id), stop
        if stop.step == "fired" and row is not None and row.cum_qty < row.order_qty:
            if OrdStatus(row.status).terminal and not row.cum_qty:
                after = sold_nothing(stop, row, link.clock.now())
            else:
                unprotected.append(not_out(stop, row))
        told.append(after)
    for stop in told:
        if stop.step != "gone":
            opening = left_to_stop(opening, stop)
        if stop.step == "unknown":
            unprotected.append(stop.sentence)
    opening = confirmed(opening, net_qty)
    unprotected += _naked(opening, told, idle)
    return TakenOver(opening=opening, stops=tuple(told), unprotected=tuple(unprotected))


def _idle(opening: DayOpening | None, settings: DaySettings) -> Iterable[Whose]:
    """Positions for which the day will send nothing; what expires today is closed all the same."""
    traded = {(row.name, row.instrument, row.product) for row in settings.strategies}
    for each in opening.positions if opening is not None else ():
        goes_on = (each.strategy, each.instrument.id, each.product) in traded
        if (each.frozen or not goes_on) and each.instrument.expiry != settings.date:
            yield (each.strategy, each.instrument.id, each.product.value)


def _naked(opening: DayOpening, stops: Sequence[OvernightStop], idle: set[Whose]) -> Iterable[str]:
    """A person must look: nothing is sent for it today, and no trigger stands for it either."""
    covered = {_whose(stop) for stop in stops if stop.step != "gone"}
    for each in opening.positions:
        whose = (each.strategy, each.instrument.id, each.product.value)
        if (each.frozen or whose in idle) and whose not in covered:
            yield _sentence(each)


def _sentence(each: CarriedPosition) -> str:
    why = each.frozen or "no strategy trades it today"
    return (
        f"{each.net_qty} {each.instrument.symbol} ({each.product}) of {each.strategy} has no stop, and "
        f"the house sends none: {why}. In Kite: look at {key_of(each)}, and close or protect it there."
    )


def _whose(stop: OvernightStop) -> Whose:
    return (stop.strategy, stop.instrument, stop.product)
