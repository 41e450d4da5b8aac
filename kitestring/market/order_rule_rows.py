"""What the exchanges and Kite accept of an order on a given day, as facts without judgement.

Both judges read these rows and judge by themselves: the engine's own order rules (our no) and the
exchange's (theirs). Days beyond the rows raise ``CalendarUnknown``.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.orders import OrdType
from kitestring.domain.sessions import PhaseKind
from kitestring.market.calendar import LAST_DAY
from kitestring.market.rows import (
    DatedRow,
    Row,
    ascending,
    in_force,
    read_rows,
    refuse_outside,
    wrong_row,
)

_FILE: Final = "order_rules.toml"
_OTHERS: Final = "*"


class OrderRules(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of one stretch of days.

    ``market_protection_required``: MARKET and SL-M through the API without protection are refused.
    ``slices_max`` counts the orders Kite's autoslice makes of one above the freeze quantity.
    Order counts are per account, on the calendar second of Zerodha's clock.
    """

    market_protection_required: bool
    stop_market_refused_exchanges: frozenset[str]
    stop_market_refused_for_options: bool
    ioc_refused_exchanges: frozenset[str]
    tag_length_max: int
    slices_max: int
    modifications_per_order_max: int
    orders_per_second_max: int
    orders_per_minute_max: int
    orders_per_day_max: int

    def stop_market_allowed(self, exchange: str, kind: InstrumentKind) -> bool:
        """Whether SL-M exists for this sort of contract on this exchange."""
        if exchange in self.stop_market_refused_exchanges:
            return False
        option = kind in (InstrumentKind.CALL, InstrumentKind.PUT)
        return not (option and self.stop_market_refused_for_options)


class PhaseRule(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one phase of the day accepts as new orders; ``ioc``: immediate-or-cancel too."""

    kind: PhaseKind
    order_types: frozenset[OrdType]
    ioc: bool


class SquareOffRule(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the *broker* squares off intraday positions of some segments, from a day on.

    Minutes before the end of continuous trading, so that a short session has one, too. ``charge``:
    rupees for each order it sends, on which 18 % GST comes. ``segments`` of ``["*"]``: all others.
    """

    segments: tuple[str, ...]
    before_close_minutes: int
    charge: int


class OrderRuleRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of order_rules.toml."""

    rules: tuple[OrderRules, ...]
    phases: tuple[PhaseRule, ...]
    broker_square_offs: tuple[SquareOffRule, ...]


class OrderRuleTable(msgspec.Struct, frozen=True):
    """The checked rows."""

    rules: tuple[OrderRules, ...]
    phases: MappingProxyType[PhaseKind, PhaseRule]
    square_offs: MappingProxyType[str, tuple[SquareOffRule, ...]]


def check_order_rules(rows: OrderRuleRows) -> OrderRuleTable:
    """The rows as look-ups; raises ``ConfigError`` where one cannot be true."""
    phases = {row.kind: row for row in rows.phases}
    if len(phases) != len(rows.phases) or set(phases) != set(PhaseKind):
        raise wrong_row(_FILE, "phases: every phase needs exactly one row")
    if not rows.rules:
        raise wrong_row(_FILE, "rules: needs at least one row")
    square_offs: dict[str, list[SquareOffRule]] = {}
    for row in rows.broker_square_offs:
        for segment in row.segments:
            square_offs.setdefault(segment, []).append(row)
    if _OTHERS not in square_offs:
        raise wrong_row(_FILE, 'broker_square_offs: the other segments ("*") need a row')
    return OrderRuleTable(
        ascending(_FILE, "rules", rows.rules),
        MappingProxyType(phases),
        MappingProxyType(
            {
                segment: ascending(_FILE, f"broker_square_offs of {segment}", found)
                for segment, found in square_offs.items()
            }
        ),
    )


@lru_cache(maxsize=1)
def _table() -> OrderRuleTable:
    return check_order_rules(read_rows(_FILE, OrderRuleRows))


def order_rules(day: dt.date) -> OrderRules:
    """The rules in force on a day; ``CalendarUnknown`` beyond the rows."""
    rules = _table().rules
    refuse_outside(
        "Order rules are",
        day,
        rules[0].valid_from,
        LAST_DAY,
        do="choose a date within them, or update kitestring",
    )
    found = in_force(rules, day)
    assert found is not None, "the day lies after the first row"
    return found


def order_types_accepted(phase: PhaseKind) -> frozenset[OrdType]:
    """The order kinds an exchange takes in a phase; SL-M as far as the day's rules allow it."""
    return _table().phases[phase].order_types


def ioc_accepted(phase: PhaseKind) -> bool:
    """Whether an immediate-or-cancel order is taken in a phase."""
    return _table().phases[phase].ioc


def square_off(day: dt.date, segment: str) -> SquareOffRule:
    """The broker's square-off of a segment's intraday positions on a day."""
    table = _table()
    found = in_force(table.square_offs.get(segment) or table.square_offs[_OTHERS], day)
    if found is None:
        raise wrong_row(_FILE, f"broker_square_offs: {segment} has no row for {day}")
    return found
