"""The charge books of the house: Zerodha's dated rates, or one flat percentage for comparisons.

A book answers for one day. Asked for a day without rows it raises ``CalendarUnknown``: charges are
named by date in the report, never silently those of another day.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Final

from kitestring.domain.charges import NO_CHARGES, ChargeBook, Charges
from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import ChargeUnits, Money
from kitestring.domain.orders import Product, Side
from kitestring.market.charge_rates import (
    SideRates,
    card_in_force,
    charges_at,
    exercise_at,
    rate_table,
    rupees_as_charge,
    side_rates,
)
from kitestring.market.rows import in_force, refuse_outside

_DATED: Final = "Zerodha charges of "


class DatedCharges:
    """Zerodha's charges as in force on ``day``; build it with ``charge_book``.

    ``dp_charge`` is per ISIN and day on which delivery shares are sold, ``auto_square_off_charge``
    per order the broker squares off itself; both include GST, and neither is in ``order_charges``.
    """

    __slots__ = ("_resolved", "auto_square_off_charge", "day", "dp_charge", "name")

    def __init__(self, day: dt.date) -> None:
        account = in_force(rate_table().account, day)
        assert account is not None, "charge_book refuses days before the first row"
        self.day = day
        self.name = f"{_DATED}{day}"
        self.dp_charge = rupees_as_charge(account.dp_per_isin_sell_day)
        self.auto_square_off_charge = rupees_as_charge(account.auto_square_off_per_order)
        self._resolved: dict[tuple[str, InstrumentKind, Product, Side], SideRates] = {}

    def order_charges(
        self, instrument: Instrument, product: Product, side: Side, traded_value: Money
    ) -> Charges:
        """Cumulative charges of one order; ``traded_value`` includes the multiplier.

        Raises ``CalendarUnknown`` for an exchange, kind or product without rows (see ``covers``).
        """
        key = (instrument.exchange, instrument.kind, product, side)
        rates = self._resolved.get(key)
        if rates is None:
            rates = self._resolved[key] = self._resolve(instrument, product, side)
        return charges_at(rates, traded_value)

    def covers(self, instrument: Instrument, product: Product) -> bool:
        """Whether this book has rates for an instrument: to be asked before the day starts."""
        return card_in_force(instrument.exchange, instrument.kind, product, self.day) is not None

    def exercise_charges(
        self, instrument: Instrument, *, long: bool, intrinsic_value: Money, orders: int = 1
    ) -> Charges:
        """Charges when an in-the-money option is exercised (``long``) or assigned at expiry."""
        card = card_in_force(instrument.exchange, instrument.kind, Product.NRML, self.day)
        if card is None or card.exercise_stt is None:
            raise self._unknown(instrument, Product.NRML)
        return exercise_at(card, long=long, intrinsic_value=intrinsic_value, orders=orders)

    def _resolve(self, instrument: Instrument, product: Product, side: Side) -> SideRates:
        card = card_in_force(instrument.exchange, instrument.kind, product, self.day)
        if card is None:
            raise self._unknown(instrument, product)
        return side_rates(card, side)

    def _unknown(self, instrument: Instrument, product: Product) -> CalendarUnknown:
        return CalendarUnknown(
            f"no charges are known for {instrument.id} ({instrument.kind}, {product}) "
            f"on {self.day}",
            do="trade it under another product, choose other rates with --charges-as-of DATE, "
            'or set "charges: flat 0.03%"',
        )


class FlatCharges:
    """One share of the traded value, booked as brokerage and nothing else.

    For comparison with engines that know a single commission. A part per million of a value in
    1/10 000 rupee is a whole number of 10⁻¹⁰ rupee, so nothing is ever rounded.
    """

    __slots__ = ("name", "parts_per_million")

    def __init__(self, parts_per_million: int) -> None:
        if not 0 <= parts_per_million < 1_000_000:
            raise ConfigError(
                f"a flat charge of {parts_per_million} parts per million is not below 100 %",
                do='write it as a percentage, such as "charges: flat 0.03%"',
            )
        self.parts_per_million = parts_per_million
        percentage = (Decimal(parts_per_million) / 10_000).normalize()
        self.name = f"flat {percentage:f}%"

    def order_charges(
        self,
        instrument: Instrument,  # noqa: ARG002 - the ChargeBook protocol; a flat rate asks no more
        product: Product,  # noqa: ARG002 - as above
        side: Side,  # noqa: ARG002 - as above
        traded_value: Money,
    ) -> Charges:
        """Cumulative charges of one order; ``traded_value`` includes the multiplier."""
        if not traded_value:
            return NO_CHARGES
        return Charges(ChargeUnits(int(traded_value) * self.parts_per_million))


def charge_book(day: dt.date) -> DatedCharges:
    """Zerodha's charges on ``day``; ``CalendarUnknown`` where there are no rows for it."""
    table = rate_table()
    refuse_outside(
        "Charges are",
        day,
        table.first_day,
        table.last_day,
        do=f"name the day whose rates to use, {table.first_day} to {table.last_day}: "
        "--charges-as-of DATE",
    )
    return DatedCharges(day)


def charges_of_name(name: str) -> ChargeBook:
    """The book that a run's record names, by the ``name`` it had on the day."""
    day = name.removeprefix(_DATED)
    if day != name:
        return charge_book(dt.date.fromisoformat(day))
    return configured_charges(name, dt.date.max)


def configured_charges(words: str, day: dt.date) -> ChargeBook:
    """The book a setting names: ``zerodha`` (the rows of ``day``) or ``flat 0.03%``.

    Raises ``ConfigError`` for other words and ``CalendarUnknown`` as ``charge_book`` does.
    """
    kind, _, rate = words.strip().partition(" ")
    if kind == "zerodha" and not rate:
        return charge_book(day)
    try:
        parts = Decimal(rate.strip().removesuffix("%")) * 10_000
        if kind == "flat" and rate.endswith("%") and parts == int(parts):
            return FlatCharges(int(parts))
    except (InvalidOperation, OverflowError, ValueError):
        pass
    raise ConfigError(
        f"charges: {words!r} is neither zerodha nor a flat percentage",
        do='write "charges: zerodha" or "charges: flat 0.03%" (at most four decimals)',
    )
