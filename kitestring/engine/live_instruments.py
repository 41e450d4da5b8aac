"""Which instruments a live day may trade: those whose rules the house has built, and no others.

Checked before anybody is asked to arm. A rule that is missing (a freeze quantity, a charge, what an
option may be ordered at) would show itself at the worst moment: when the position has to be closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kitestring.core.settings import DaySettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.orders import Product
from kitestring.market.charges import DatedCharges

_OPTIONS: Final = frozenset({InstrumentKind.CALL, InstrumentKind.PUT})
_CASH: Final = frozenset({"NSE", "BSE"})
_FUTURES: Final = "NFO"


def refuse_unbuilt(
    settings: DaySettings, instruments: Iterable[Instrument], charges: DatedCharges
) -> None:
    """Raise ``ConfigError`` for the first instrument a strategy trades that live cannot carry yet."""
    by_id = {each.id: each for each in instruments}
    for row in settings.strategies:
        instrument = by_id.get(row.instrument)
        if instrument is None:
            why = "it is not in today's list of instruments"
        else:
            why = unbuilt(instrument, row.product, charges)
        if why:
            raise ConfigError(
                f"{row.name} would trade {row.instrument} live, and {why}. Nothing was started.",
                do="take the instrument out of the live settings; on paper it can be traded",
            )


def unbuilt(instrument: Instrument, product: Product, charges: DatedCharges) -> str:
    """Which rule of an instrument the house has not built for live trading; empty if none is missing."""
    if not instrument.tradable:
        return "an index itself cannot be bought: trade its future"
    if instrument.kind in _OPTIONS:
        return "what live options need (price ranges, spreads, expiry) is not built yet"
    exchange = instrument.exchange
    if instrument.kind is InstrumentKind.FUTURE and exchange != _FUTURES:
        return f"its order rules on {exchange} (price ranges, freeze quantities) are not built yet"
    if instrument.kind is InstrumentKind.EQUITY and exchange not in _CASH:
        return f"its order rules on {exchange} are not built yet"
    if instrument.lot_size <= 0 or int(instrument.tick_size) <= 0:
        return "its lot or its tick is missing in today's list"
    if instrument.kind is InstrumentKind.FUTURE and not instrument.freeze_qty:
        return "its freeze quantity is not known, so that a large exit could not be sliced"
    if not charges.covers(instrument, product):
        return f"its charges as {product} are not known"
    return ""
