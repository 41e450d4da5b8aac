"""A live day counts with the broker's own margins, asked for once before it begins.

For a lot of each contract, at the previous close, each side on its own; the dearer side counts,
because the broker nets an order against what the account holds already, and one that closes costs
nothing. The answers are in the journal, so that a replay, a restart and the twin decide by the same.
What could not be read opens no position. On paper the stated model counts (``exchange.margin``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kitestring.core.settings import DaySettings
from kitestring.domain.events import BrokerMargin, DayOpening
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product, Side
from kitestring.domain.ports import Manifest, MarginModel
from kitestring.exchange.margin import StatedMargins

_NOT_ASKED: Final = "the broker was not asked for it before the day"


class TableMargins:
    """What the broker said, moved with the price; the stated model for what it did not say."""

    def __init__(self, rows: Iterable[BrokerMargin]) -> None:
        self._rows = {(row.instrument, row.product): row for row in rows}
        self._stated = StatedMargins()

    def unit_margin(self, instrument: Instrument, product: Product, side: Side, px: Price) -> Money:
        """Rupees per unit of quantity for a position opened by ``side`` at ``px``."""
        row = self._rows.get((instrument.id, product.value))
        if row is None or row.why:
            return self._stated.unit_margin(instrument, product, side, px)
        return Money(-(-int(row.total) * int(px) // (row.qty * int(row.px))))

    def unread(self, instrument: InstrumentId, product: Product) -> str:
        """Why the broker's margin is not known, where it must be before anything is entered."""
        row = self._rows.get((instrument, product.value))
        return _NOT_ASKED if row is None else row.why


def margins_of(rows: tuple[BrokerMargin, ...]) -> MarginModel:
    """The model of a day that recorded ``rows``; the stated one where it recorded none."""
    return TableMargins(rows) if rows else StatedMargins()


def to_ask(
    settings: DaySettings, manifest: Manifest, opening: DayOpening | None
) -> tuple[BrokerMargin, ...]:
    """A lot of all that may be held today, at the previous close; not answered yet."""
    listed: Mapping[InstrumentId, Instrument] = {each.id: each for each in manifest.instruments}
    wanted = {(row.instrument, row.product): listed[row.instrument] for row in settings.strategies}
    for held in opening.positions if opening is not None else ():
        wanted.setdefault((held.instrument.id, held.product), held.instrument)
    return tuple(
        BrokerMargin(
            instrument=name,
            product=product.value,
            qty=instrument.lot_size,
            px=manifest.previous_close.get(name, Price(0)),
        )
        for (name, product), instrument in sorted(wanted.items())
    )
