"""What was ordered, filled and traded today, as three tables that a spreadsheet opens.

The law: they are views of the journal, rebuilt from it at any time, and nothing depends on them: a
file that will not be written is tried again later. ``fills.csv`` and ``trades.csv`` grow at their
end; ``orders.csv`` (one row per order, at its latest state) is replaced whole, from lines kept
ready, when the caller asks for it, so that no order costs more because others went before it.

Times are Indian, to the millisecond; money is decimal rupees, unrounded. An id of digits (a broker's
order id has 15 to 19 of them) is written with a leading apostrophe, the spreadsheet's own sign for
text: without it Excel keeps 15 digits and loses the rest. Programs take it off with
``value.removeprefix("'")``. The same sign disarms a sentence that starts like a formula.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Final

from kitestring.domain.charges import Charges
from kitestring.domain.events import Fact
from kitestring.domain.ids import exchange_of, symbol_of
from kitestring.domain.instants import ist_text
from kitestring.domain.money import (
    ChargeUnits,
    Money,
    Price,
    average_px,
    charge_rupees,
    charge_text,
    decimal_rupees,
    net_of,
    rupees_text,
)
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.store.atomic_file import write_atomically
from kitestring.store.order_rows import OrderRow, OrderRows

ORDER_COLUMNS: Final = (
    *("timestamp", "order_id", "broker_order_id", "tag", "strategy", "signal_id", "exchange"),
    *("symbol", "side", "quantity", "filled_quantity", "price", "trigger_price", "average_price"),
    *("order_type", "product", "variety", "validity", "status", "reason"),
    *("updated_at", "purpose", "decision_price", "sent_because"),
)
"""``reason`` says why the order stands as it does, ``sent_because`` why the house sent it."""
FILL_COLUMNS: Final = (
    *("timestamp", "fill_id", "order_id", "symbol", "side", "quantity", "price", "charges"),
    *("strategy", "brokerage", "stt", "exchange_charges", "sebi_charges", "stamp_duty", "gst"),
    *("exchange", "product", "decision_price", "slippage"),
)
TRADE_COLUMNS: Final = (
    *("trade_id", "strategy", "symbol", "side", "quantity", "entry_time", "exit_time"),
    *("entry_price", "exit_price", "gross_pnl", "charges", "net_pnl", "r_multiple", "mfe", "mae"),
    *("exit_reason", "exchange", "product", "risk", "slippage"),
    *("brokerage", "stt", "exchange_charges", "sebi_charges", "stamp_duty", "gst"),
)
VARIETY: Final = "regular"
"""The one Kite variety the house sends."""

_FORMULA_STARTS: Final = frozenset("=+-@\t\r")
_LIKE_A_NUMBER: Final = re.compile(r"\d[\d.,:/ -]*(?:[eE]\d+)?")
_NEEDS_QUOTES: Final = re.compile(r'["\r\n]')


class Ledgers:
    """Keeps the three tables of one run in a folder.

    ``commits`` reads the journal from the start (``journal.commits``): it is used when a table on
    disk is not the one we wrote, because somebody saved or deleted it.
    """

    def __init__(
        self, folder: Path, *, commits: Callable[[], Iterable[tuple[int, Commit]]]
    ) -> None:
        self.last_commit = 0
        self._commits = commits
        self._orders_path = folder / "orders.csv"
        self._orders = OrderRows()
        self._order_lines: dict[str, str] = {}
        self._orders_written = False
        self._fills = _GrowingTable(folder / "fills.csv", FILL_COLUMNS)
        self._trades = _GrowingTable(folder / "trades.csv", TRADE_COLUMNS)

    def record(self, no: int, commit: Commit) -> None:
        """Take in one commit; one that was taken in before is passed over. Writes nothing yet."""
        if no <= self.last_commit:
            return
        self.last_commit = no
        self._orders.record(commit.facts)
        for fact in commit.facts:
            if isinstance(fact, Fill):
                self._fills.waiting.append(fill_line(fact))
            elif isinstance(fact, RoundTrip):
                self._trades.waiting.append(trade_line(fact))

    def catch_up(self) -> None:
        """Take in everything the journal holds: after a restart, or to rebuild the files."""
        for no, commit in self._commits():
            self.record(no, commit)

    def write(self) -> tuple[Path, ...]:
        """Bring the files up to date; the ones that would not be written, for a later try."""
        waiting: list[Path] = []
        if not self._write_orders():
            waiting.append(self._orders_path)
        if not self._fills.write(self._fill_lines):
            waiting.append(self._fills.path)
        if not self._trades.write(self._trade_lines):
            waiting.append(self._trades.path)
        return tuple(waiting)

    def _write_orders(self) -> bool:
        rows, lines = self._orders.rows, self._order_lines
        if self._orders_written and not self._orders.changed and self._orders_path.exists():
            return True
        # In order of creation, for a dictionary keeps a key's place when its line changes.
        for cl_ord_id in self._orders.changed:
            lines[cl_ord_id] = order_line(rows[cl_ord_id])
        self._orders.changed.clear()
        self._orders_written = False
        try:
            content = _line(ORDER_COLUMNS) + "".join(lines.values())
            write_atomically(self._orders_path, content.encode())
        except OSError:
            return False
        self._orders_written = True
        return True

    def _facts(self) -> Iterator[Fact]:
        """The facts taken in so far, from the journal."""
        for no, commit in self._commits():
            if no > self.last_commit:
                return
            yield from commit.facts

    def _fill_lines(self) -> Iterator[str]:
        return (fill_line(fact) for fact in self._facts() if isinstance(fact, Fill))

    def _trade_lines(self) -> Iterator[str]:
        return (trade_line(fact) for fact in self._facts() if isinstance(fact, RoundTrip))


class _GrowingTable:
    """A CSV file that only grows at its end."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.waiting: list[str] = []
        self._header = _line(columns)
        self._size: int | None = None
        """Bytes we have written; ``None`` before the first time."""

    def write(self, all_lines: Callable[[], Iterable[str]]) -> bool:
        """Append what is waiting; a file that is not as we left it is written anew."""
        try:
            if self._size is None:
                self._replace(self.waiting)
            elif not self.path.exists() or self.path.stat().st_size != self._size:
                self._replace(all_lines())
            elif self.waiting:
                content = "".join(self.waiting).encode()
                with self.path.open("ab") as file:
                    file.write(content)
                self._size += len(content)
        except OSError:
            return False
        self.waiting.clear()
        return True

    def _replace(self, lines: Iterable[str]) -> None:
        content = (self._header + "".join(lines)).encode()
        write_atomically(self.path, content)
        self._size = len(content)


def order_line(row: OrderRow) -> str:
    """One line of ``orders.csv``."""
    intent = row.intent
    average = average_px(row.traded_value, row.cum_qty) if row.cum_qty else None
    return _line(
        (
            ist_text(row.placed_at),
            _text(row.cl_ord_id),
            _text(row.order_id),
            _text(row.cl_ord_id),
            _text(intent.strategy),
            _text(intent.signal_id or ""),
            exchange_of(intent.instrument),
            _text(symbol_of(intent.instrument)),
            intent.side.value,
            str(row.order_qty),
            str(row.cum_qty),
            _price(row.price),
            _price(row.stop_px),
            _price(average),
            row.ord_type.value,
            intent.product.value,
            VARIETY,
            intent.time_in_force.value,
            row.status.value,
            _text(row.reason or intent.reason),
            ist_text(row.updated_at),
            intent.purpose.value,
            rupees_text(intent.decision_px),
            _text(intent.reason),
        )
    )


def fill_line(fill: Fill) -> str:
    """One line of ``fills.csv``."""
    charges = fill.charges
    return _line(
        (
            ist_text(fill.at),
            _text(fill.fill_id),
            _text(fill.cl_ord_id),
            _text(symbol_of(fill.instrument)),
            fill.side.value,
            str(fill.qty),
            rupees_text(fill.px),
            charge_text(charges.total),
            _text(fill.strategy),
            *_itemised(charges),
            exchange_of(fill.instrument),
            fill.product.value,
            rupees_text(fill.decision_px),
            rupees_text(fill.slippage),
        )
    )


def trade_line(trade: RoundTrip) -> str:
    """One line of ``trades.csv``; ``r_multiple`` is empty where the trade had no stop."""
    net = net_of(trade.gross, trade.charges.total)
    return _line(
        (
            _text(trade.trade_id),
            _text(trade.strategy),
            _text(symbol_of(trade.instrument)),
            trade.side.value,
            str(trade.qty),
            ist_text(trade.entry_at),
            ist_text(trade.exit_at),
            rupees_text(trade.entry_px),
            rupees_text(trade.exit_px),
            rupees_text(trade.gross),
            charge_text(trade.charges.total),
            charge_text(net),
            _r_multiple(net, trade.risk),
            rupees_text(trade.mfe),
            rupees_text(trade.mae),
            trade.exit_reason.value,
            exchange_of(trade.instrument),
            trade.product.value,
            rupees_text(trade.risk) if trade.risk is not None else "",
            rupees_text(trade.slippage),
            *_itemised(trade.charges),
        )
    )


def day_trades_table(days: Iterable[tuple[dt.date, Iterable[RoundTrip]]]) -> str:
    """The round trips of many days as one table: the columns of ``trades.csv`` after the date."""
    lines = [_line(("date", *TRADE_COLUMNS))]
    lines += [f"{date},{trade_line(trade)}" for date, trades in days for trade in trades]
    return "".join(lines)


def _itemised(charges: Charges) -> tuple[str, ...]:
    return (
        charge_text(charges.brokerage),
        charge_text(charges.stt),
        charge_text(charges.exchange),
        charge_text(charges.sebi),
        charge_text(charges.stamp),
        charge_text(charges.gst),
    )


def _r_multiple(net: ChargeUnits, risk: Money | None) -> str:
    """Net result in units of what was risked, to four places."""
    if not risk:
        return ""
    ratio = charge_rupees(net) / decimal_rupees(risk)
    return str(ratio.quantize(Decimal("0.0001"), rounding=ROUND_HALF_EVEN))


def _price(px: Price | None) -> str:
    return "" if px is None else rupees_text(px)


def _text(cell: str) -> str:
    """A cell that a spreadsheet must not take for a number, a date or a formula."""
    return f"'{cell}" if cell[:1] in _FORMULA_STARTS or _LIKE_A_NUMBER.fullmatch(cell) else cell


def _line(cells: tuple[str, ...]) -> str:
    """One line of CSV. Most cells need no quotes, and joining them is four times as fast."""
    line = ",".join(cells)
    if line.count(",") != len(cells) - 1 or _NEEDS_QUOTES.search(line):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow(cells)
        return buffer.getvalue()
    return line + "\n"
