"""Takes over in the morning what was carried: last night's stops come back first, then the broker counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kitestring.domain.events import DayOpening, OvernightStop
from kitestring.engine.carried import BooksOfTheBroker, Now, confirmed, froze, net_at_broker
from kitestring.engine.overnight_stops import TriggerDesk, take_back


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


async def carried_in(
    opening: DayOpening | None, overnight: Sequence[OvernightStop], link: Outside
) -> tuple[DayOpening | None, tuple[OvernightStop, ...]]:
    """What the day opens with, frozen where it is not sure, and what became of last night's stops."""
    taken = await take_back(link.triggers, overnight, link.clock.now())
    if opening is not None and opening.positions:
        # Counted after the triggers are gone: none can change the count any more.
        for instrument, why in taken.frozen.items():
            opening = froze(opening, (instrument,), why)
        opening = confirmed(opening, await net_at_broker(link.broker, link.clock))
    return opening, taken.told
