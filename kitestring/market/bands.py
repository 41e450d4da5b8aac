"""How fine a price may be, how far a limit may lie from the market, how far a market order may reach.

Tick sizes follow price and date; limit-price protection (LPP) is the exchange's; market protection
is the band Zerodha gives a MARKET or SL-M order when asked for its own (``market_protection=-1``).
A live day reads ticks from the instrument master; these rows serve days that have none.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.errors import ConfigError, InvariantBroken
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import Price, price
from kitestring.market.calendar import FIRST_DAY, LAST_DAY
from kitestring.market.rows import (
    DatedRow,
    ascending,
    in_force,
    read_rows,
    refuse_outside,
    wrong_row,
)

_FILE: Final = "bands.toml"
_NO_BOUND: Final = Price(1 << 62)
_DO: Final = "take the instrument's tick size from the instrument master of that day"


class PricedKind(StrEnum):
    """The sorts of instruments that price rules tell apart."""

    EQUITY = "EQUITY"
    STOCK_FUTURE = "STOCK_FUTURE"
    INDEX_FUTURE = "INDEX_FUTURE"
    STOCK_OPTION = "STOCK_OPTION"
    INDEX_OPTION = "INDEX_OPTION"
    INDEX = "INDEX"


class StepRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a table by price; exactly one of ``tick`` (rupees) and ``bp`` is its value."""

    below: str | None = None
    up_to: str | None = None
    tick: str | None = None
    bp: int | None = None


class TickRow(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tick sizes of one kind from a day on."""

    of: PricedKind
    steps: tuple[StepRow, ...]


class RangeRow(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A distance: a share of a price in basis points, but never less than ``at_least`` rupees."""

    exchange: str
    of: tuple[PricedKind, ...]
    share_bp: int
    at_least: str


class ProtectionRow(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Automatic market protection of some kinds from a day on."""

    of: tuple[PricedKind, ...]
    steps: tuple[StepRow, ...]


class BandRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of bands.toml."""

    ticks: tuple[TickRow, ...]
    limit_price_protection: tuple[RangeRow, ...]
    stop_limit_gap: tuple[RangeRow, ...]
    market_protection: tuple[ProtectionRow, ...]


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """A checked table by price: value ``n`` holds up to bound ``n``, which it includes."""

    valid_from: dt.date
    bounds: tuple[Price, ...]
    values: tuple[int, ...]

    def at(self, px: Price) -> int:
        """The value in force at a price."""
        for bound, value in zip(self.bounds, self.values, strict=True):
            if px <= bound:
                return value
        raise InvariantBroken("the last step has no bound")


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A checked distance from a price."""

    valid_from: dt.date
    share_bp: int
    at_least: Price

    def around(self, px: Price) -> Price:
        """The distance allowed at a price, rounded down to the unit."""
        return max(Price(int(px) * self.share_bp // 10_000), self.at_least)


class Bands(msgspec.Struct, frozen=True, kw_only=True):
    """The checked rows, oldest first."""

    ticks: MappingProxyType[PricedKind, tuple[Steps, ...]]
    limit_price_protection: MappingProxyType[tuple[str, PricedKind], tuple[Range, ...]]
    stop_limit_gap: MappingProxyType[tuple[str, PricedKind], tuple[Range, ...]]
    market_protection: MappingProxyType[PricedKind, tuple[Steps, ...]]


def _steps(key: str, valid_from: dt.date, rows: tuple[StepRow, ...]) -> Steps:
    bounds: list[Price] = []
    values: list[int] = []
    for n, row in enumerate(rows):
        last = n == len(rows) - 1
        if (row.below is not None) + (row.up_to is not None) != (0 if last else 1):
            raise wrong_row(_FILE, f"{key} {valid_from}: all steps but the last need one bound")
        if row.below is not None:
            bounds.append(price(row.below) - Price(1))
        else:
            bounds.append(_NO_BOUND if row.up_to is None else price(row.up_to))
        value = row.bp if row.tick is None else int(price(row.tick))
        if value is None or value <= 0 or (row.tick is not None and row.bp is not None):
            raise wrong_row(_FILE, f"{key} {valid_from}: a step needs one value above zero")
        values.append(value)
    if not bounds or bounds != sorted(set(bounds)):
        raise wrong_row(_FILE, f"{key} {valid_from}: the bounds of the steps must go upwards")
    return Steps(valid_from=valid_from, bounds=tuple(bounds), values=tuple(values))


def _ranges(
    key: str, rows: tuple[RangeRow, ...]
) -> MappingProxyType[tuple[str, PricedKind], tuple[Range, ...]]:
    grouped: dict[tuple[str, PricedKind], list[Range]] = {}
    for row in rows:
        checked = Range(
            valid_from=row.valid_from, share_bp=row.share_bp, at_least=price(row.at_least)
        )
        for kind in row.of:
            grouped.setdefault((row.exchange, kind), []).append(checked)
    return MappingProxyType(
        {group: ascending(_FILE, f"{key} of {group}", found) for group, found in grouped.items()}
    )


def check_bands(rows: BandRows) -> Bands:
    """The rows by kind; raises ``ConfigError`` where one cannot be true."""
    ticks: dict[PricedKind, list[Steps]] = {}
    protection: dict[PricedKind, list[Steps]] = {}
    try:
        for tick_row in rows.ticks:
            steps = _steps(f"ticks of {tick_row.of}", tick_row.valid_from, tick_row.steps)
            ticks.setdefault(tick_row.of, []).append(steps)
        for row in rows.market_protection:
            steps = _steps("market_protection", row.valid_from, row.steps)
            for kind in row.of:
                protection.setdefault(kind, []).append(steps)
        limits = _ranges("limit_price_protection", rows.limit_price_protection)
        gaps = _ranges("stop_limit_gap", rows.stop_limit_gap)
    except ValueError as error:
        raise wrong_row(_FILE, str(error)) from error
    if set(ticks) != set(PricedKind) or set(protection) != set(PricedKind) - {PricedKind.INDEX}:
        raise wrong_row(_FILE, "ticks and market_protection need a row for every kind")
    return Bands(
        ticks=MappingProxyType(
            {kind: ascending(_FILE, f"ticks of {kind}", found) for kind, found in ticks.items()}
        ),
        limit_price_protection=limits,
        stop_limit_gap=gaps,
        market_protection=MappingProxyType(
            {
                kind: ascending(_FILE, f"market_protection of {kind}", found)
                for kind, found in protection.items()
            }
        ),
    )


@lru_cache(maxsize=1)
def _bands() -> Bands:
    return check_bands(read_rows(_FILE, BandRows))


def priced_kind(kind: InstrumentKind, *, on_index: bool = False) -> PricedKind:
    """The sort an instrument is priced as; ``on_index`` for futures and options of an index."""
    match kind:
        case InstrumentKind.INDEX:
            return PricedKind.INDEX
        case InstrumentKind.EQUITY:
            return PricedKind.EQUITY
        case InstrumentKind.FUTURE:
            return PricedKind.INDEX_FUTURE if on_index else PricedKind.STOCK_FUTURE
        case InstrumentKind.CALL | InstrumentKind.PUT:
            return PricedKind.INDEX_OPTION if on_index else PricedKind.STOCK_OPTION


def tick_size_for(
    kind: InstrumentKind, px: Price, day: dt.date, *, on_index: bool = False
) -> Price:
    """The tick size of an instrument on a day.

    ``px`` is its own price for shares and stock futures, the index level for index futures, and the
    price of the underlying for options (exchanges fix it monthly, from the last trading day's
    close). Raises ``CalendarUnknown`` beyond the calendar.
    """
    refuse_outside("Tick sizes are", day, FIRST_DAY, LAST_DAY, do=_DO)
    steps = in_force(_bands().ticks[priced_kind(kind, on_index=on_index)], day)
    assert steps is not None, "tick sizes begin with the calendar"
    return Price(steps.at(px))


def limit_price_range(
    exchange: str, kind: InstrumentKind, reference: Price, day: dt.date, *, on_index: bool = False
) -> tuple[Price, Price] | None:
    """The lowest and highest limit the exchange accepts around a reference price.

    The reference is the average of the last 30 seconds' trades. ``None`` where no range is known to
    be in force (cash shares, earlier days). Kite reports a breach as "Price exceeds circuit limits".
    """
    sort = (exchange, priced_kind(kind, on_index=on_index))
    return _range_around(_bands().limit_price_protection.get(sort, ()), reference, day)


def stop_limit_gap_max(
    exchange: str, kind: InstrumentKind, stop_px: Price, day: dt.date, *, on_index: bool = False
) -> Price | None:
    """How far an SL order's limit may lie from its trigger; ``None`` where no rule is known."""
    sort = (exchange, priced_kind(kind, on_index=on_index))
    found = _range_around(_bands().stop_limit_gap.get(sort, ()), stop_px, day)
    return None if found is None else found[1] - stop_px


def market_protection_bp(
    kind: InstrumentKind, px: Price, day: dt.date, *, on_index: bool = False
) -> int:
    """Zerodha's automatic market protection at a last price, in basis points.

    Raises ``CalendarUnknown`` beyond the calendar and ``ConfigError`` for an index, which has none.
    """
    refuse_outside(
        "Market protection bands are", day, FIRST_DAY, LAST_DAY, do="name the band in bp"
    )
    rows = _bands().market_protection.get(priced_kind(kind, on_index=on_index))
    if rows is None:
        raise ConfigError("an index cannot be traded", do="trade its future instead")
    steps = in_force(rows, day)
    assert steps is not None, "market protection begins with the calendar"
    return steps.at(px)


def _range_around(rows: tuple[Range, ...], px: Price, day: dt.date) -> tuple[Price, Price] | None:
    refuse_outside("Price ranges are", day, FIRST_DAY, LAST_DAY, do="choose a date within them")
    found = in_force(rows, day)
    if found is None:
        return None
    distance = found.around(px)
    return max(px - distance, Price(0)), px + distance
