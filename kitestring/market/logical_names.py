"""What a trader means by NIFTY today: the future that is current, or the share of that name.

The current contract of a day is the nearest one that expires *after* it. On expiry day itself the
next month is already current: a new day's trades should not begin in a contract that settles the
same afternoon, pays expiry-day margin, grows thin in its last hour and, since 7 Dec 2026, stops
earlier than the rest. A position carried into expiry day keeps its own contract; only names roll.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from kitestring.domain.errors import ConfigError
from kitestring.domain.instruments import Instrument, InstrumentKind


def current_future(name: str, instruments: Sequence[Instrument], day: dt.date) -> Instrument | None:
    """The future that stands for ``name`` on ``day``, or ``None`` if there is none.

    A contract expiring on ``day`` is taken only where no later one is listed. A stand-in for a
    future, which never expires, gives way to a real contract.
    """
    mine = [
        instrument
        for instrument in instruments
        if instrument.kind is InstrumentKind.FUTURE
        and name in (instrument.name, instrument.symbol)
        and (instrument.expiry is None or instrument.expiry >= day)
    ]

    def order(instrument: Instrument) -> tuple[int, dt.date, str]:
        if instrument.expiry is None:
            return 2, day, instrument.id
        return int(instrument.expiry == day), instrument.expiry, instrument.id

    return min(mine, key=order, default=None)


def share(name: str, instruments: Sequence[Instrument]) -> Instrument | None:
    """The share called ``name``, by logical name or by symbol, or ``None``."""
    for instrument in instruments:
        if instrument.kind is InstrumentKind.EQUITY and name in (
            instrument.name,
            instrument.symbol,
        ):
            return instrument
    return None


def resolve(
    name: str, instruments: Sequence[Instrument], day: dt.date, *, engines: str
) -> Instrument:
    """The instrument that ``name`` means on ``day`` under ``--engines``.

    ``name`` is a logical name (``NIFTY``, ``RELIANCE``), a symbol, or a whole id
    (``NFO:NIFTY26NOVFUT``), which is taken as it stands. ``fno`` knows futures, ``equity`` shares,
    ``all`` both, futures first. Raises ``ConfigError`` when nothing tradable answers to the name.
    """
    for instrument in instruments:
        if instrument.id == name:
            if instrument.tradable:
                return instrument
            raise ConfigError(
                f"{name} is an index: it has a price, but it cannot be bought.",
                do=f"Trade its future: write {instrument.name}.",
            )
    found = None
    if engines in ("fno", "all"):
        found = current_future(name, instruments, day)
    if found is None and engines in ("equity", "all"):
        found = share(name, instruments)
    if found is None:
        known = sorted({instrument.name for instrument in instruments if instrument.tradable})
        raise ConfigError(
            f"{name} is nothing that --engines {engines} can trade on {day}.",
            do=f"Choose from {', '.join(known)}, or other --engines." if known else "",
        )
    return found
