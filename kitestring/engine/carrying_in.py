"""Takes over in the morning what was carried: last night's stops come back first, then the broker counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from kitestring.domain.events import DayOpening, OvernightStop
from kitestring.domain.orders import OrdStatus
from kitestring.engine.carried import (
    BooksOfTheBroker,
    Now,
    books_at_broker,
    confirmed,
    left_to_stop,
)
from kitestring.engine.overnight_stops import TriggerDesk, not_out, sold_nothing, take_back


class Outside(Protocol):
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
    """What a person must see to now: a stop that fired and has not got out."""


async def carried_in(
    opening: DayOpening | None, overnight: Sequence[OvernightStop], link: Outside
) -> TakenOver:
    """Take last night's stops back, count, and freeze what is not sure."""
    stops = await take_back(link.triggers, overnight, link.clock.now())
    if opening is None or not opening.positions:
        return TakenOver(opening=opening, stops=stops)
    # Counted after the triggers are gone: none can change the count any more.
    books = await books_at_broker(link.broker, link.clock)
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
    return TakenOver(
        opening=confirmed(opening, books.net_qty),
        stops=tuple(told),
        unprotected=tuple(unprotected),
    )
