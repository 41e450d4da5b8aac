"""Lays what the house believes it carries beside today's list and beside the broker's own count.

Before anything trades. What is not in today's list, what has another lot since yesterday, and what
the broker does not show in full is frozen: shown and counted, never sent an order for, until a person
has looked. The house owns at most what the broker holds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from kitestring.domain.errors import BrokerUnavailable
from kitestring.domain.events import BrokerSnapshot, DayOpening, OvernightStop
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.positions import CarriedPosition

READS: Final = 12
READ_AGAIN_S: Final = 5.0


def listed_today(opening: DayOpening, listed: Mapping[InstrumentId, Instrument]) -> DayOpening:
    """The same with today's contracts; what is no longer the contract that was bought is frozen."""
    return msgspec.structs.replace(
        opening, positions=tuple(_listed(each, listed) for each in opening.positions)
    )


def _listed(
    position: CarriedPosition, listed: Mapping[InstrumentId, Instrument]
) -> CarriedPosition:
    was, today = position.instrument, listed.get(position.instrument.id)
    if today is None:
        return frozen(position, f"{was.symbol} is not in today's list of instruments")
    if (today.lot_size, today.multiplier) != (was.lot_size, was.multiplier):
        why = f"{was.symbol} has a lot of {today.lot_size} today and had {was.lot_size}"
        return frozen(position, f"{why} (a corporate action?)")
    return msgspec.structs.replace(position, instrument=today)


def confirmed(opening: DayOpening, net_qty: Mapping[str, int]) -> DayOpening:
    """The same with every position frozen that the broker's net quantities do not hold in full.

    ``net_qty``: by ``EXCHANGE:SYMBOL/PRODUCT``. Others may hold more of it in the same account.
    """
    ours: dict[str, int] = defaultdict(int)
    for each in opening.positions:
        ours[_key(each)] += each.net_qty
    positions: list[CarriedPosition] = []
    for each in opening.positions:
        theirs, mine = net_qty.get(_key(each), 0), ours[_key(each)]
        if abs(theirs) < abs(mine) or theirs * mine < 0:
            why = f"the broker shows {theirs} of {each.instrument.symbol} where {mine} are ours"
            each = frozen(each, why)  # noqa: PLW2901 - the same one, with a word on it
        positions.append(each)
    return msgspec.structs.replace(opening, positions=tuple(positions))


def left_to_stop(opening: DayOpening, stop: OvernightStop) -> DayOpening:
    """The same with the position frozen that an overnight stop may close, or has closed, by itself."""

    def left(position: CarriedPosition) -> CarriedPosition:
        whose = (position.strategy, position.instrument.id, position.product.value)
        if whose != (stop.strategy, stop.instrument, stop.product):
            return position
        orders = (*position.left_orders, stop.order_id) if stop.order_id else position.left_orders
        return msgspec.structs.replace(
            frozen(position, stop.sentence.removesuffix(".")),
            left_to=position.left_to or stop.sentence,
            left_orders=orders,
        )

    return msgspec.structs.replace(opening, positions=tuple(map(left, opening.positions)))


def frozen(position: CarriedPosition, why: str) -> CarriedPosition:
    """A position nobody touches today; the first reason stays."""
    return msgspec.structs.replace(position, frozen=position.frozen or why)


class BooksOfTheBroker(Protocol):
    """What ``RealBroker`` offers here."""

    async def refresh(self) -> str:
        """Read the books whole; why that failed, or nothing."""
        ...

    def snapshot(self, at: Instant) -> BrokerSnapshot:
        """The books as last read."""
        ...


class Now(Protocol):
    """What time it is."""

    def now(self) -> Instant:
        """This moment."""
        ...


async def books_at_broker(broker: BooksOfTheBroker, clock: Now) -> BrokerSnapshot:
    """The account's books, read now. Raises ``BrokerUnavailable`` where they cannot be."""
    why = ""
    for look in range(READS):
        if look:
            await asyncio.sleep(READ_AGAIN_S)
        why = await broker.refresh()
        snapshot = broker.snapshot(clock.now())
        why = why or snapshot.why
        if not why and snapshot.trusted:
            return snapshot
    raise BrokerUnavailable(
        f"Positions are carried from the day before, and the broker's books could not be read: {why}",
        do="see what is open in Kite, and start again: nothing was sent",
    )


def _key(position: CarriedPosition) -> str:
    return f"{position.instrument.id}/{position.product.value}"
