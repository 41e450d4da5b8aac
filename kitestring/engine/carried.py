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

from kitestring.broker.kite_errors import KiteReadFailed
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
    if position.net_qty % today.lot_size:
        why = f"{position.net_qty} are no whole number of lots of {today.lot_size}"
        return frozen(position, f"{why}, and no order for them would be taken")
    return msgspec.structs.replace(position, instrument=today)


def confirmed(opening: DayOpening, net_qty: Mapping[str, int]) -> DayOpening:
    """The same with every position frozen that the broker's net quantities do not hold in full.

    ``net_qty``: by ``EXCHANGE:SYMBOL/PRODUCT``. Others may hold more of it in the same account.
    """
    short = missing(opening, net_qty)
    positions: list[CarriedPosition] = []
    for each in opening.positions:
        if (counted := short.get(key_of(each))) is not None:
            theirs, mine = counted
            why = f"the broker shows {theirs} of {each.instrument.symbol} where {mine} are ours"
            each = frozen(each, why)  # noqa: PLW2901 - the same one, with a word on it
        positions.append(each)
    return msgspec.structs.replace(opening, positions=tuple(positions))


def missing(opening: DayOpening, net_qty: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Of which position the account holds less than ours: what it shows, and what is ours."""
    ours: dict[str, int] = defaultdict(int)
    for each in opening.positions:
        ours[key_of(each)] += each.net_qty
    found: dict[str, tuple[int, int]] = {}
    for key, mine in ours.items():
        theirs = net_qty.get(key, 0)
        if abs(theirs) < abs(mine) or theirs * mine < 0:
            found[key] = (theirs, mine)
    return found


def with_shares(net_qty: Mapping[str, int], shares: Mapping[str, int]) -> dict[str, int]:
    """The broker's positions, and the shares of the demat account with which the day began.

    Shares bought for delivery are a position on their own day only: the next morning they lie in the
    demat account, and what is sold of them shows as a position below zero.
    """
    return {key: net_qty.get(key, 0) + shares.get(key, 0) for key in {*net_qty, *shares}}


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


class SharesOfTheBroker(Protocol):
    """What ``LiveLink`` offers here."""

    async def delivered(self) -> Mapping[str, int]:
        """The demat account as the day began, by ``EXCHANGE:SYMBOL/CNC``; raises ``KiteReadFailed``."""
        ...


async def shares_at_broker(link: SharesOfTheBroker) -> Mapping[str, int]:
    """The shares that lie in the demat account. Raises ``BrokerUnavailable`` where they cannot be read."""
    why = ""
    for look in range(READS):
        if look:
            await asyncio.sleep(READ_AGAIN_S)
        try:
            return await link.delivered()
        except KiteReadFailed as error:
            why = error.what
    raise BrokerUnavailable(
        f"Shares are carried from the day before, and the demat account could not be read: {why}",
        do="see your holdings in Kite, and start again: nothing was sent",
    )


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


def key_of(position: CarriedPosition) -> str:
    """The broker's name of it."""
    return f"{position.instrument.id}/{position.product.value}"
