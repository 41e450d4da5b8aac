"""How a fault damages an answer: cut, stripped, filtered, shifted in time. Pure functions of bytes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from kitestring.domain.instants import SECOND, Instant
from kitestring.exchange.wire.raw_answer import Answer

_TIME: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?P<between>[ T])(?P<clock>\d\d:\d\d:\d\d)(?P<zone>\+05:?30|Z)?"
    r"|(?P<alone>\d\d:\d\d:\d\d)"
)


def without_field(answer: Answer, path: str) -> Answer:
    """The answer without one field: ``data``, ``data.order_id``, ``data.*.status``."""
    tree = answer.json()
    if tree is None:
        return answer
    _remove(tree, path.split("."))
    return answer.with_json(tree)


def _remove(tree: object, path: list[str]) -> None:
    first, rest = path[0], path[1:]
    if isinstance(tree, dict):
        if rest:
            for each in list(tree.values()) if first == "*" else [tree.get(first)]:
                _remove(each, rest)
        else:
            tree.pop(first, None)
    elif isinstance(tree, list):
        for number, each in enumerate(tree):
            if first in {"*", str(number)} and rest:
                _remove(each, rest)


def without_young_orders(
    answer: Answer, placed_at: Mapping[str, Instant], since: Instant
) -> Answer:
    """An order book without the orders placed after ``since``."""
    tree = answer.json()
    if not isinstance(tree, dict) or not isinstance(tree.get("data"), list):
        return answer
    tree["data"] = [
        row
        for row in tree["data"]
        if not isinstance(row, dict) or placed_at.get(str(row.get("order_id")), since) <= since
    ]
    return answer.with_json(tree)


def shifted(answer: Answer, by: Instant) -> Answer:
    """The answer with every time in it, and its ``Date``, moved."""
    tree = answer.json()
    moved = answer if tree is None else answer.with_json(shift_times(tree, by))
    date = next((value for name, value in answer.headers if name.lower() == "date"), "")
    if date:
        then = parsedate_to_datetime(date) + dt.timedelta(microseconds=by)
        moved = moved.with_header("Date", format_datetime(then, usegmt=True))
    return moved


def shift_times(tree: object, by: Instant) -> object:
    """JSON with every time of Kite's spellings moved; dates alone stay."""
    if isinstance(tree, dict):
        return {name: shift_times(each, by) for name, each in tree.items()}
    if isinstance(tree, list):
        return [shift_times(each, by) for each in tree]
    if not isinstance(tree, str):
        return tree
    found = _TIME.fullmatch(tree)
    if found is None:
        return tree
    delta = dt.timedelta(seconds=by // SECOND)
    try:
        if found["alone"]:
            then = dt.datetime.combine(dt.date(2000, 1, 2), dt.time.fromisoformat(tree))
            return f"{then + delta:%H:%M:%S}"
        then = dt.datetime.fromisoformat(f"{found['day']}T{found['clock']}")
        return f"{then + delta:%Y-%m-%d}{found['between']}{then + delta:%H:%M:%S}" + (
            found["zone"] or ""
        )
    except ValueError:  # 25:61:00 is nobody's time
        return tree


def instruments_damaged(csv: bytes, how: str) -> bytes:
    """An instrument file that is not to be trusted (``instruments_wrong``), but for yesterday's."""
    head, newline, rows = csv.partition(b"\n")
    match how:
        case "cut":
            return csv[: len(csv) // 2]
        case "headless":
            return rows
        case "empty":
            return head + newline
        case "changed":
            names = head.decode().split(",")
            token, lot = names.index("instrument_token"), names.index("lot_size")
            return head + newline + b"".join(_changed(row, token, lot) for row in rows.splitlines())
        case _:
            raise AssertionError(how)


def _changed(row: bytes, token: int, lot: int) -> bytes:
    cells = row.split(b",")
    cells[token] = str(int(cells[token]) + (7 << 8)).encode()
    if cells[lot].isdigit() and int(cells[lot]) > 1:
        cells[lot] = str(int(cells[lot]) * 2).encode()
    return b",".join(cells) + b"\n"
