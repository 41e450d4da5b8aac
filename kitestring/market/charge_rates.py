"""What one order costs under one rate card: the arithmetic of brokerage, STT, fees, stamp and GST.

Exact whole numbers throughout. Rates are whole rupees per crore; a value in 1/10 000 rupee times
such a rate is a whole number of 10⁻¹¹ rupee. Each component is rounded once, half up, to the
10⁻¹⁰ rupee in which charges are kept; GST is taken on the unrounded sum. Every component grows with
the traded value, so the increments that fills book are never negative.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import CHARGE_UNITS_PER_UNIT, ChargeUnits, Money, money
from kitestring.domain.orders import Product, Side
from kitestring.market.rows import DatedRow, ascending, in_force, read_rows, wrong_row

_FILE: Final = "charges.toml"
_CRORE: Final = 10_000_000
RateKind = Literal["EQ", "FUT", "OPT"]

RATE_KINDS: Final = MappingProxyType[InstrumentKind, RateKind](
    {
        InstrumentKind.EQUITY: "EQ",
        InstrumentKind.FUTURE: "FUT",
        InstrumentKind.CALL: "OPT",
        InstrumentKind.PUT: "OPT",
    }
)
"""The kinds that are charged; an index cannot be traded and has none."""


if TYPE_CHECKING:

    def _booked(
        brokerage: int, stt: int, exchange: int, sebi: int, stamp: int, gst: int
    ) -> Charges: ...

else:
    _booked = Charges  # Units are plain integers at run time: six conversions saved per fill.


class BrokerageRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Brokerage per order: a flat sum, or a share of the value that stops at ``at_most`` rupees."""

    flat: str | None = None
    rate: str | None = None
    at_most: str | None = None


class RateCard(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything one order of one kind costs, as the file writes it; percentages are text."""

    exchange: str
    kind: RateKind
    products: tuple[Product, ...]
    brokerage: BrokerageRow
    stt_buy: str
    stt_sell: str
    exchange_fee: str
    sebi: str
    stamp_buy: str
    gst: str
    investor_protection: str = "0%"
    """IPFT or IPF: shown within the exchange charge, but outside GST."""
    exercise_stt: str | None = None


class AccountRow(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Charges per account rather than per order, in rupees with GST."""

    dp_per_isin_sell_day: str
    auto_square_off_per_order: str


class ChargeRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of charges.toml."""

    last_day: dt.date
    account: tuple[AccountRow, ...]
    rates: tuple[RateCard, ...]


class SideRates(NamedTuple):
    """One side of a rate card, resolved to whole numbers: rupees per crore, brokerage in 10⁻¹⁰ rupee."""

    brokerage_flat: int
    brokerage_per_crore: int
    brokerage_at_most: int
    stt: int
    exchange: int
    """Exchange fee and investor protection together."""
    taxed: int
    """Exchange fee and SEBI fee: what GST falls on besides brokerage."""
    sebi: int
    stamp: int
    gst_pct: int


class RateTable(msgspec.Struct, frozen=True):
    """The checked rows: rate cards by (exchange, kind, product), oldest first."""

    first_day: dt.date
    last_day: dt.date
    account: tuple[AccountRow, ...]
    cards: MappingProxyType[tuple[str, RateKind, Product], tuple[RateCard, ...]]


def per_crore(percentage: str) -> int:
    """``"0.00307%"`` as 307 rupees per crore; ``ValueError`` for what is finer or no percentage."""
    try:
        rupees = Decimal(percentage.removesuffix("%")) * (_CRORE // 100)
        whole = int(rupees)
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise ValueError(f"{percentage!r} is not a percentage such as 0.03%") from error
    if not percentage.endswith("%") or rupees != whole or whole < 0:
        raise ValueError(f"{percentage!r} is not a percentage in whole rupees per crore")
    return whole


def side_rates(card: RateCard, side: Side) -> SideRates:
    """A rate card resolved for buying or for selling; ``ValueError`` names a wrong figure."""
    flat = Money(0) if card.brokerage.flat is None else money(card.brokerage.flat)
    rate = 0 if card.brokerage.rate is None else per_crore(card.brokerage.rate)
    at_most = Money(0) if card.brokerage.at_most is None else money(card.brokerage.at_most)
    if (card.brokerage.flat is None) != bool(rate and at_most):
        raise ValueError("brokerage is either flat, or a rate with at_most")
    fee, sebi = per_crore(card.exchange_fee), per_crore(card.sebi)
    gst_pct, rest = divmod(per_crore(card.gst), _CRORE // 100)
    if rest:
        raise ValueError(f"gst {card.gst!r} is not a whole percentage")
    buying = side is Side.BUY
    return SideRates(
        brokerage_flat=int(flat) * CHARGE_UNITS_PER_UNIT,
        brokerage_per_crore=rate,
        brokerage_at_most=int(at_most) * CHARGE_UNITS_PER_UNIT,
        stt=per_crore(card.stt_buy if buying else card.stt_sell),
        exchange=fee + per_crore(card.investor_protection),
        taxed=fee + sebi,
        sebi=sebi,
        stamp=per_crore(card.stamp_buy) if buying else 0,
        gst_pct=gst_pct,
    )


def charges_at(rates: SideRates, traded_value: Money) -> Charges:
    """Cumulative charges of one order that has traded ``traded_value``; nothing for nothing."""
    value = int(traded_value)
    if value <= 0:
        assert value == 0, "traded value is a sum of prices times quantities"
        return NO_CHARGES
    flat, per_value, at_most, stt, exchange, taxed, sebi, stamp, gst_pct = rates
    tenth, rest = divmod(value, 10)
    if rest:  # No price of an Indian exchange is this fine, but an average may be.
        return _charges_of_fine_value(rates, value)
    brokerage = flat
    if per_value:
        brokerage = tenth * per_value
        brokerage = min(brokerage, at_most)
    return _booked(
        brokerage,
        tenth * stt,
        tenth * exchange,
        tenth * sebi,
        tenth * stamp,
        ((brokerage + tenth * taxed) * gst_pct + 50) // 100,
    )


def _charges_of_fine_value(rates: SideRates, value: int) -> Charges:
    """``charges_at`` for a value whose components are not whole 10⁻¹⁰ rupees: rounded half up.

    All products are in 10⁻¹¹ rupee; adding half and flooring rounds half up.
    """
    brokerage = rates.brokerage_flat * 10
    if rates.brokerage_per_crore:
        brokerage = min(value * rates.brokerage_per_crore, rates.brokerage_at_most * 10)
    taxed = brokerage + value * rates.taxed
    return _booked(
        (brokerage + 5) // 10,
        (value * rates.stt + 5) // 10,
        (value * rates.exchange + 5) // 10,
        (value * rates.sebi + 5) // 10,
        (value * rates.stamp + 5) // 10,
        (taxed * rates.gst_pct + 500) // 1000,
    )


def exercise_at(card: RateCard, *, long: bool, intrinsic_value: Money, orders: int) -> Charges:
    """Charges when an in-the-money option expires: STT for the holder, brokerage for both.

    Brokerage is per order, and one order is booked per freeze slice (tradingqna.com/t/151973).
    Exchange and SEBI fees on exercise are unconfirmed and left out.
    """
    rates = side_rates(card, Side.SELL)
    stt = per_crore(card.exercise_stt) if long and card.exercise_stt is not None else 0
    brokerage = rates.brokerage_flat * orders
    return Charges(
        brokerage=ChargeUnits(brokerage),
        stt=ChargeUnits((int(intrinsic_value) * stt + 5) // 10),
        gst=ChargeUnits((brokerage * rates.gst_pct + 50) // 100),
    )


def rupees_as_charge(rupees: str) -> ChargeUnits:
    """Decimal rupees of a row as a charge."""
    return ChargeUnits(int(money(rupees)) * CHARGE_UNITS_PER_UNIT)


def check_rates(rows: ChargeRows) -> RateTable:
    """The rows as a table; raises ``ConfigError`` where a row cannot be true."""
    grouped: dict[tuple[str, RateKind, Product], list[RateCard]] = {}
    for card in rows.rates:
        try:
            for side in Side:
                side_rates(card, side)
            if card.exercise_stt is not None:
                per_crore(card.exercise_stt)
        except ValueError as error:
            where = f"rates: {card.exchange} {card.kind} {card.valid_from}"
            raise wrong_row(_FILE, f"{where}: {error}") from error
        for product in card.products:
            grouped.setdefault((card.exchange, card.kind, product), []).append(card)
    for row in rows.account:
        try:
            rupees_as_charge(row.dp_per_isin_sell_day)
            rupees_as_charge(row.auto_square_off_per_order)
        except ValueError as error:
            raise wrong_row(_FILE, f"account: {row.valid_from}: {error}") from error
    if not rows.rates or not rows.account:
        raise wrong_row(_FILE, "rates and account need at least one row")
    return RateTable(
        first_day=min(card.valid_from for card in rows.rates),
        last_day=rows.last_day,
        account=ascending(_FILE, "account", rows.account),
        cards=MappingProxyType(
            {
                key: ascending(_FILE, f"rates of {' '.join(key)}", cards)
                for key, cards in grouped.items()
            }
        ),
    )


@lru_cache(maxsize=1)
def rate_table() -> RateTable:
    """The shipped rates, read and checked once."""
    return check_rates(read_rows(_FILE, ChargeRows))


def card_in_force(
    exchange: str, kind: InstrumentKind, product: Product, day: dt.date
) -> RateCard | None:
    """The rate card of an exchange, kind and product on a day; ``None`` where there is none."""
    rate_kind = RATE_KINDS.get(kind)
    if rate_kind is None:
        return None
    return in_force(rate_table().cards.get((exchange, rate_kind, product), ()), day)
