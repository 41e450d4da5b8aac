"""Many days in plain sentences: their beginning, a line for each, one table for the whole."""

from __future__ import annotations

import datetime as dt

from kitestring.cli.day_lines import charge_line, wrapped
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import Money, charge_as_money, show_rupees
from kitestring.engine.day_rows import DayRow, DaysResult, deepest_fall
from kitestring.engine.many_days import DaysStarted
from kitestring.engine.watching import DaySnapshot

_RULE = "─" * 64
TABLE_DAYS_MAX = 40
"""A longer chain is shown by month; every day stands in the group's summary.json."""


def days_start_lines(days: DaysStarted) -> list[str]:
    """What is about to be traded, with every stand-in named."""
    lines = [
        (
            f"{days.first:%d %b %Y} to {days.last:%d %b %Y}, {days.days} trading days · paper · "
            f"{days.feed}"
        ),
        f"capital {show_rupees(days.capital)} · {len(days.strategies)} strategies · "
        + days.charges_name,
        *wrapped("fills", days.fill_model, 6),
    ]
    if days.finished:
        lines.append(f"{days.finished} of them were finished before; going on after those.")
    for text in (*days.stand_ins, *days.notes):
        lines += wrapped("note", text, 6)
    return lines


def passing_line(date: dt.date, at: Instant, snapshot: DaySnapshot) -> str:
    """``Mon 23 Nov 11:00  2 open, 7 trades · net +₹3,210.55``."""
    return (
        f"{date:%a %d %b} {ist_clock(at)[:5]}  {snapshot.open_positions} open, "
        f"{snapshot.trades} trades · net {show_rupees(snapshot.net, signed=True)}"
    )


def day_line(row: DayRow, done: int, days: int) -> str:
    """One finished day on one line."""
    more = f" · carries {_carried(row)}" if row.carried else ""
    more += " · HALTED" if row.halted is not None else ""
    return (
        f"{row.date:%a %d %b %Y}  {done}/{days}  {row.trades} trades · net "
        f"{show_rupees(row.net, signed=True)} · equity {show_rupees(row.closing_equity)}{more}"
    )


def days_end_lines(result: DaysResult) -> list[str]:
    """The closing table for all days, net of charges, with every model and stand-in named."""
    summary = result.summary()
    fall = deepest_fall(result.rows)
    trades, wins = result.counted("trades"), result.counted("wins")
    rows: list[tuple[str, str]] = [
        ("days", f"{len(result.rows)} of {result.days}: {_days_won(summary)}"),
        ("round trips", f"{trades}: {wins} won, {result.counted('losses')} lost"),
        ("orders", f"{result.counted('orders')}, {result.counted('fills')} fills"),
        ("charges", charge_line(result.charges)),
        ("net", show_rupees(result.net, signed=True)),
        ("equity", f"{show_rupees(result.opening_equity)} → {show_rupees(result.closing_equity)}"),
    ]
    if fall.since is not None and fall.until is not None:
        rows.append(
            (
                "max drawdown",
                (
                    f"{show_rupees(fall.amount)} ({fall.pct} %), close of {fall.since:%d %b %Y} to "
                    f"close of {fall.until:%d %b %Y}"
                ),
            )
        )
    rows += _halts(result)
    if result.rows and result.rows[-1].carried:
        rows.append(("carried", _carried(result.rows[-1])))
    off = sorted({name for row in result.rows for name in row.strategies_off})
    rows += [("switched off", name) for name in off]
    rows += [
        ("fill model", result.fill_model),
        ("charges by", result.charges_name),
        ("market", result.feed),
    ]
    rows += [("stand-in", text) for text in result.stand_ins]
    rows += [("note", text) for text in result.notes]
    if not result.already_finished:
        rows.append(("took", f"{result.wall_s:.1f} s"))
    rows += [(what, where) for what, where in result.artifacts.items()]
    return [
        *_table(result.rows),
        _RULE,
        _headline(result),
        _RULE,
        *(line for label, text in rows for line in wrapped(label, text, 16)),
        *_after_words(result),
    ]


def _table(rows: tuple[DayRow, ...]) -> list[str]:
    """One line a day, or one a month where there are many."""
    if not rows:
        return []
    lines = [_RULE, f"{'':<16}{'trades':>7}{'won':>5}{'charges':>14}{'net':>16}{'equity':>20}"]
    if len(rows) <= TABLE_DAYS_MAX:
        return lines + [_table_line(f"{row.date:%a %d %b %Y}", [row]) for row in rows]
    months: dict[str, list[DayRow]] = {}
    for row in rows:
        months.setdefault(f"{row.date:%b %Y}", []).append(row)
    return lines + [
        _table_line(f"{month}, {len(of_month)} days", of_month)
        for month, of_month in months.items()
    ]


def _table_line(label: str, rows: list[DayRow]) -> str:
    net = sum((row.net for row in rows), Money(0))
    charges = sum((charge_as_money(row.charges.total) for row in rows), Money(0))
    return (
        f"{label:<16}{sum(row.trades for row in rows):>7}{sum(row.wins for row in rows):>5}"
        f"{show_rupees(charges):>14}{show_rupees(net, signed=True):>16}"
        f"{show_rupees(rows[-1].closing_equity):>20}"
    )


def _days_won(summary: dict[str, object]) -> str:
    return f"{summary['win_days']} won, {summary['loss_days']} lost, {summary['flat_days']} even"


def _halts(result: DaysResult) -> list[tuple[str, str]]:
    halted = [row for row in result.rows if row.halted is not None]
    if not halted:
        return []
    first = halted[0]
    return [("halted", f"{len(halted)} days, first on {first.date:%d %b %Y}: {first.halted}")]


def _carried(row: DayRow) -> str:
    held = (
        (owner, instrument.partition(":")[2], qty)
        for key, qty in row.carried.items()
        for owner, instrument, _ in [key.split("|")]
    )
    return ", ".join(f"{qty} {symbol} of {owner}" for owner, symbol, qty in held)


def _headline(result: DaysResult) -> str:
    net = show_rupees(result.net, signed=True)
    if result.interrupted:
        how = "interrupted"
    elif result.already_finished:
        how = "were finished before"
    else:
        how = "finished"
    return (
        f"{result.first:%d %b %Y} to {result.last:%d %b %Y}, paper: {how}, net {net} after charges"
    )


def _after_words(result: DaysResult) -> list[str]:
    if result.interrupted:
        return ["", "Start the same command again to go on from here."]
    if result.already_finished:
        return ["", "Add --fresh to trade them again as a new run; nothing is deleted."]
    return []
