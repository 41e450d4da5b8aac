"""Index contracts by date: their lots, the days they expire, and the names Kite gives them.

Expiry falls on a weekday fixed per exchange; a holiday moves it to the *previous* trading day.
Rules are known from ``valid_from`` of the first row to the end of the calendar; an expiry that
would lie beyond raises ``CalendarUnknown``.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import Price, decimal_rupees
from kitestring.market.calendar import LAST_DAY, is_ordinary_weekday, known
from kitestring.market.rows import (
    DatedRow,
    Row,
    ascending,
    in_force,
    read_rows,
    refuse_outside,
    wrong_row,
)

_FILE: Final = "contracts.toml"
_ONE_DAY: Final = dt.timedelta(days=1)
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_MONTHS: Final = (
    ("JAN", "1"),
    ("FEB", "2"),
    ("MAR", "3"),
    ("APR", "4"),
    ("MAY", "5"),
    ("JUN", "6"),
    ("JUL", "7"),
    ("AUG", "8"),
    ("SEP", "9"),
    ("OCT", "O"),
    ("NOV", "N"),
    ("DEC", "D"),
)
_STOCK_EXCHANGE: Final = "NFO"
_DO: Final = "take it from the instrument master of that day"


class ExpiryRule(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weekday on which an exchange's contracts expire, for expiries from a day on."""

    exchange: str
    weekday: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]


class LotRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lot size in units, for contracts traded from a day on."""

    valid_from: dt.date
    lot: int


class IndexRow(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One index with futures and options."""

    name: str
    exchange: str
    weekly: bool
    lots: tuple[LotRow, ...]


class ContractRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of contracts.toml."""

    expiry_rules: tuple[ExpiryRule, ...]
    indices: tuple[IndexRow, ...]


class Contracts(msgspec.Struct, frozen=True):
    """The checked rows."""

    expiry_rules: MappingProxyType[str, tuple[ExpiryRule, ...]]
    indices: MappingProxyType[str, IndexRow]


def check_contracts(rows: ContractRows) -> Contracts:
    """The rows by exchange and name; raises ``ConfigError`` where one cannot be true."""
    rules: dict[str, list[ExpiryRule]] = {}
    for rule in rows.expiry_rules:
        rules.setdefault(rule.exchange, []).append(rule)
    indices: dict[str, IndexRow] = {}
    for row in rows.indices:
        if row.name in indices or row.exchange not in rules:
            raise wrong_row(_FILE, f"indices: {row.name} is repeated or its exchange has no rule")
        if not row.lots or any(lot.lot <= 0 for lot in row.lots):
            raise wrong_row(_FILE, f"indices: {row.name} needs lots above zero")
        ascending(_FILE, f"lots of {row.name}", row.lots)
        indices[row.name] = row
    if _STOCK_EXCHANGE not in rules:
        raise wrong_row(_FILE, f"expiry_rules: {_STOCK_EXCHANGE} is missing")
    return Contracts(
        MappingProxyType(
            {
                exchange: ascending(_FILE, f"expiry_rules of {exchange}", found)
                for exchange, found in rules.items()
            }
        ),
        MappingProxyType(indices),
    )


@lru_cache(maxsize=1)
def _contracts() -> Contracts:
    return check_contracts(read_rows(_FILE, ContractRows))


def is_index(name: str) -> bool:
    """Whether a logical name is an index with rows here; other names are stocks on NSE."""
    return name in _contracts().indices


def has_weekly_contracts(name: str) -> bool:
    """Only NIFTY and SENSEX have weekly contracts since 20 Nov 2024."""
    row = _contracts().indices.get(name)
    return row is not None and row.weekly


def lot_size(name: str, day: dt.date) -> int:
    """The lot of an index's contracts traded on a day, in units; ``CalendarUnknown`` without a row.

    Stock lots are not kept: one stock may have two at once (NSE/FAOP/73549).
    """
    row = _contracts().indices.get(name)
    if row is None:
        raise CalendarUnknown(f"no lot size is known for {name}", do=_DO)
    refuse_outside(f"Lot sizes of {name} are", day, row.lots[0].valid_from, LAST_DAY, do=_DO)
    found = in_force(row.lots, day)
    assert found is not None, "the day lies after the first row"
    return found.lot


def monthly_expiry(name: str, year: int, month: int) -> dt.date:
    """The day the contracts of a month expire: its last expiry weekday, or the trading day before.

    A name that is no index here is a stock on NSE. Raises ``CalendarUnknown`` beyond the rules.
    """
    following = dt.date(year + month // 12, month % 12 + 1, 1)
    last = following - _ONE_DAY
    weekday = _expiry_weekday(name, last)
    return _moved_back(last - dt.timedelta(days=(last.weekday() - weekday) % 7))


def weekly_expiries(name: str, first: dt.date, last: dt.date) -> tuple[dt.date, ...]:
    """Every expiry of an index with weekly contracts from ``first`` to ``last``, both included.

    The last one of a month is also the monthly expiry. A name without weeklies has none.
    """
    if not has_weekly_contracts(name):
        return ()
    weekday = _expiry_weekday(name, first)
    known(last)
    found: list[dt.date] = []
    # A nominal day may lie after `last` and have been moved back before it.
    nominal = first + dt.timedelta(days=(weekday - first.weekday()) % 7)
    while nominal - dt.timedelta(days=6) <= last:
        if nominal > LAST_DAY:
            break
        expiry = _moved_back(nominal)
        if first <= expiry <= last:
            found.append(expiry)
        nominal += dt.timedelta(days=7)
    return tuple(found)


def current_monthly_expiry(name: str, day: dt.date) -> dt.date:
    """The expiry of the monthly contract that is current on a day: this month's, or the next one's."""
    expiry = monthly_expiry(name, day.year, day.month)
    if expiry >= day:
        return expiry
    return monthly_expiry(name, day.year + day.month // 12, day.month % 12 + 1)


def listed_monthly_expiry(exchange: str, year: int, month: int) -> dt.date:
    """The day under which an exchange lists a month's contracts, however far away.

    Beyond the calendar it is the plain weekday: exchanges list long-dated contracts so, and move
    them once the year's holidays are published. Raises ``CalendarUnknown`` before the first rule.
    """
    last = dt.date(year + month // 12, month % 12 + 1, 1) - _ONE_DAY
    weekday = _weekday_of(exchange, min(last, LAST_DAY))
    return _listed(last - dt.timedelta(days=(last.weekday() - weekday) % 7))


def listed_weekly_expiries(name: str, day: dt.date, count: int) -> tuple[dt.date, ...]:
    """The next ``count`` expiries of an index with weekly contracts, as its exchange lists them."""
    if not has_weekly_contracts(name):
        return ()
    weekday = _expiry_weekday(name, day)
    nominal = day + dt.timedelta(days=(weekday - day.weekday()) % 7)
    found: list[dt.date] = []
    while len(found) < count:
        expiry = _listed(nominal)
        if expiry >= day:
            found.append(expiry)
        nominal += dt.timedelta(days=7)
    return tuple(found)


def _listed(nominal: dt.date) -> dt.date:
    return _moved_back(nominal) if nominal <= LAST_DAY else nominal


def future_symbol(name: str, expiry: dt.date) -> str:
    """Kite's name of a future: ``NIFTY26NOVFUT``."""
    return f"{name}{expiry:%y}{_MONTHS[expiry.month - 1][0]}FUT"


def option_symbol(name: str, expiry: dt.date, strike: Price, kind: InstrumentKind) -> str:
    """Kite's name of an option: ``NIFTY26NOV24000CE`` monthly, ``NIFTY26D0124000PE`` weekly."""
    if kind not in (InstrumentKind.CALL, InstrumentKind.PUT):
        raise ValueError(f"{kind} is no option")
    monthly = expiry == monthly_expiry(name, expiry.year, expiry.month)
    stem = option_stem(name, expiry, monthly=monthly)
    return f"{stem}{decimal_rupees(strike).normalize():f}{kind}"


def option_stem(name: str, expiry: dt.date, *, monthly: bool) -> str:
    """What the names of an expiry's options begin with: ``NIFTY26NOV``, or ``NIFTY26D01`` weekly."""
    word, digit = _MONTHS[expiry.month - 1]
    return f"{name}{expiry:%y}{word if monthly else f'{digit}{expiry:%d}'}"


def _expiry_weekday(name: str, expiry: dt.date) -> int:
    row = _contracts().indices.get(name)
    return _weekday_of(_STOCK_EXCHANGE if row is None else row.exchange, expiry)


def _weekday_of(exchange: str, expiry: dt.date) -> int:
    rules = _contracts().expiry_rules[exchange]
    refuse_outside(f"Expiry days of {exchange} are", expiry, rules[0].valid_from, LAST_DAY, do=_DO)
    rule = in_force(rules, expiry)
    assert rule is not None, "the day lies after the first rule"
    return _WEEKDAYS.index(rule.weekday)


def _moved_back(nominal: dt.date) -> dt.date:
    expiry = nominal
    while not is_ordinary_weekday(expiry):
        expiry -= _ONE_DAY
    return expiry
