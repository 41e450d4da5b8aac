"""The largest single order the exchange accepts in an index contract; a bigger one must be sliced.

NSE recomputes freeze quantities monthly, so the instrument master or the exchange's file of the day
goes first; these rows are for days and markets that have none. A name without a row raises
``CalendarUnknown``: a freeze quantity is never guessed.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final

import msgspec

from kitestring.domain.errors import CalendarUnknown
from kitestring.market.calendar import LAST_DAY
from kitestring.market.rows import (
    DatedRow,
    ascending,
    in_force,
    read_rows,
    refuse_outside,
    wrong_row,
)

_FILE: Final = "freeze.toml"
_DO: Final = "read it from the exchange's quantity-freeze file of the day"


class FreezeRow(DatedRow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The freeze quantities of several names from a day on, in units of the underlying."""

    quantities: dict[str, int]


class FreezeRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of freeze.toml."""

    freeze: tuple[FreezeRow, ...]


def check_freeze(rows: FreezeRows) -> tuple[FreezeRow, ...]:
    """The rows, oldest first; raises ``ConfigError`` where one cannot be true."""
    if not rows.freeze or any(qty <= 0 for row in rows.freeze for qty in row.quantities.values()):
        raise wrong_row(_FILE, "freeze: needs a row, and every quantity must be above zero")
    return ascending(_FILE, "freeze", rows.freeze)


@lru_cache(maxsize=1)
def _rows() -> tuple[FreezeRow, ...]:
    return check_freeze(read_rows(_FILE, FreezeRows))


def freeze_qty(name: str, day: dt.date) -> int:
    """The freeze quantity of an index's contracts (``NIFTY``) on a day, in units, not lots.

    Raises ``CalendarUnknown`` for a name or a day without a row.
    """
    rows = _rows()
    refuse_outside("Freeze quantities are", day, rows[0].valid_from, LAST_DAY, do=_DO)
    row = in_force(rows, day)
    assert row is not None, "the day lies after the first row"
    qty = row.quantities.get(name)
    if qty is None:
        raise CalendarUnknown(f"no freeze quantity is known for {name} on {day}", do=_DO)
    return qty
