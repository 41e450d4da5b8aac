"""The lines the money stands on: each is named, taken away, and one named test has to notice it.

``safety_lines.toml`` is the list. A row whose line is not in its file exactly once is out of date, and
that is a failure, too: whoever changes such a line looks at its row.
"""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from proof.mutants.trial import ROOT, Change

LIST: Final = Path(__file__).with_name("safety_lines.toml")


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line, what it promises, and who watches it."""

    promise: str
    file: str
    line: str
    """As it stands there; several lines where one would not be the only one of its kind."""
    instead: str
    test: str
    """That must fail without it; one with many cases may be named without them."""


class _List(msgspec.Struct, forbid_unknown_fields=True):
    row: list[Row]


@cache
def rows() -> tuple[Row, ...]:
    """Every line of the list."""
    tree = tomllib.loads(LIST.read_text(encoding="utf-8"))
    return tuple(msgspec.convert(tree, _List).row)


def change_of(row: Row) -> Change:
    """The row's change; raises ``ValueError`` where the list is out of date."""
    raw, line = (ROOT / row.file).read_bytes(), row.line.encode()
    found = raw.count(line)
    if found != 1:
        raise ValueError(
            f"safety_lines.toml, {row.promise!r}: its line stands {found} times in {row.file}, not "
            "once; look at what became of it, and name the line anew"
        )
    begin = raw.index(line)
    return Change(path=row.file, begin=begin, end=begin + len(line), instead=row.instead)


def stands(row: Row) -> bool:
    """Whether the row's test is there."""
    path, _, rest = row.test.partition("::")
    names = rest.partition("[")[0].split("::")
    body: list[ast.stmt] = ast.parse((ROOT / path).read_bytes()).body
    for name in names:
        found = next(
            (
                each
                for each in body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and each.name == name
            ),
            None,
        )
        if found is None:
            return False
        body = found.body
    return bool(rest)
