"""The small changes that are tried: a comparison turned, a condition denied, a line left out, a number off by one.

Texts are left alone: what is said to a person is not what keeps the money safe. So are assertions and
loops' own conditions: without the first the house only says less, without the second it never ends.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from proof.mutants.trial import ROOT, Change

_COMPARED: Final[dict[type[ast.cmpop], tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
}
_DENIED_BY_COMPARING: Final = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """One change, and where a person finds it."""

    key: str
    """Where and what, without a line number: the same as long as the line is."""
    line: int
    lines: tuple[int, ...]
    """Those a test must reach to notice it."""
    inside: bool
    """Whether it is inside a function."""
    change: Change


def mutants_of(path: str) -> list[Mutant]:
    """Every mutant of one file of the checkout, in the order of its lines."""
    found = sorted(_Walk(path).changes(), key=lambda each: (each[0].begin, each[0].end, each[1]))
    counted: dict[str, int] = {}
    mutants: list[Mutant] = []
    raw = (ROOT / path).read_bytes()
    texts = raw.decode().splitlines()
    for change, what, lines, owner in found:
        line = raw.count(b"\n", 0, change.begin) + 1
        key = f"{path}::{owner or 'module'}: {what} in `{texts[line - 1].strip()}`"
        counted[key] = number = counted.get(key, 0) + 1
        mutants.append(
            Mutant(
                key=key if number == 1 else f"{key} ({number})",
                line=line,
                lines=lines,
                inside=bool(owner) and not owner.endswith("."),
                change=change,
            )
        )
    return mutants


_Found = tuple[Change, str, tuple[int, ...], str]


class _Walk:
    def __init__(self, path: str) -> None:
        self._path = path
        self._raw = (ROOT / path).read_bytes()
        self._tree = ast.parse(self._raw)
        self._starts = [0]
        for line in self._raw.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def changes(self) -> Iterator[_Found]:
        yield from self._within(self._tree, "", ())

    def _begin(self, node: ast.expr | ast.stmt) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt) -> str:
        return self._raw[self._begin(node) : self._end(node)].decode()

    def _within(self, node: ast.AST, owner: str, lines: tuple[int, ...]) -> Iterator[_Found]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.arguments | ast.arg) or _annotates(node, child):
                continue
            name, reached = owner, lines
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{owner}{child.name}" if owner.endswith((".", "")) else owner
                if isinstance(child, ast.ClassDef):
                    name = f"{owner}{child.name}." if not owner or owner.endswith(".") else owner
                elif owner and not owner.endswith("."):
                    name = owner
            elif isinstance(child, ast.stmt):
                reached = tuple(range(child.lineno, _header_end(child) + 1))
            if isinstance(child, ast.stmt):
                yield from self._statement(child, name, reached)
            if isinstance(child, ast.expr):
                yield from self._expression(child, name, reached)
            if isinstance(child, ast.comprehension):
                for condition in child.ifs:
                    yield from self._denied(condition, name, reached)
            yield from self._within(child, name, reached)

    def _change(self, begin: int, end: int, instead: str) -> Change:
        return Change(path=self._path, begin=begin, end=end, instead=instead)

    def _whole(self, node: ast.expr | ast.stmt, instead: str) -> Change:
        return self._change(self._begin(node), self._end(node), instead)

    def _statement(self, node: ast.stmt, owner: str, lines: tuple[int, ...]) -> Iterator[_Found]:
        inside = bool(owner) and not owner.endswith(".")
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()) if inside:
                yield self._whole(node, "pass"), "the call left out", lines, owner
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]) if inside:
                yield self._whole(node, "pass"), "the assignment left out", lines, owner
            case ast.AugAssign():
                yield self._whole(node, "pass"), "the assignment left out", lines, owner
                if isinstance(node.op, ast.Add | ast.Sub) and not _is_text(node.value):
                    yield from self._sign(
                        self._end(node.target), self._begin(node.value), owner, lines
                    )
            case ast.Return(value=value) if value is not None and not _is_none(value):
                yield self._whole(node, "return None"), "None returned", lines, owner
            case ast.Raise():
                yield self._whole(node, "pass"), "the raise left out", lines, owner
            case ast.Continue() | ast.Break():
                yield self._whole(node, "pass"), "the jump left out", lines, owner
            case ast.If():
                yield from self._denied(node.test, owner, lines)
            case _:
                return

    def _expression(self, node: ast.expr, owner: str, lines: tuple[int, ...]) -> Iterator[_Found]:
        match node:
            case ast.Compare(ops=[op], comparators=[right]):
                pattern, instead = _COMPARED[type(op)]
                yield from self._replaced(
                    self._end(node.left), self._begin(right), pattern, instead, owner, lines
                )
            case ast.BoolOp():
                now, then = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self._replaced(
                        self._end(left), self._begin(right), now, then, owner, lines
                    )
            case ast.UnaryOp(op=ast.Not()):
                begin = self._begin(node)
                what = f"`not` left out before `{self._text(node.operand)[:30]}`"
                yield self._change(begin, begin + 3, "   "), what, lines, owner
            case ast.IfExp():
                yield from self._denied(node.test, owner, lines)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                if not _is_text(node.left) and not _is_text(node.right):
                    yield from self._sign(
                        self._end(node.left), self._begin(node.right), owner, lines
                    )
            case ast.Dict() if not owner:
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is not None:
                        change = self._change(self._begin(key), self._end(value), "**{}")
                        row = f"the row {' '.join(self._text(key).split())} left out"
                        yield change, row, lines, owner
            case ast.Constant(value=bool()):
                yield self._whole(node, str(not node.value)), "the truth turned", lines, owner
            case ast.Constant(value=int()):
                what = f"{self._text(node)} one more"
                yield self._whole(node, f"({self._text(node)} + 1)"), what, lines, owner
            case _:
                return

    def _denied(self, test: ast.expr, owner: str, lines: tuple[int, ...]) -> Iterator[_Found]:
        plain = isinstance(test, ast.Compare) and isinstance(test.ops[0], _DENIED_BY_COMPARING)
        if plain or (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            return  # The same change is made in the condition itself.
        text = self._text(test)
        what = f"`{' '.join(text.split())[:40]}` denied"
        yield self._whole(test, f"(not ({text}))"), what, lines, owner

    def _sign(self, begin: int, end: int, owner: str, lines: tuple[int, ...]) -> Iterator[_Found]:
        gap = self._raw[begin:end].decode()
        now, then = (r"\+", "-") if "+" in gap else ("-", "+")
        yield from self._replaced(begin, end, now, then, owner, lines)

    def _replaced(
        self, begin: int, end: int, pattern: str, instead: str, owner: str, lines: tuple[int, ...]
    ) -> Iterator[_Found]:
        """The operator between two operands; a remark may stand there, too."""
        gap = self._raw[begin:end].decode()
        word = rf"(?<!\w){pattern}(?!\w)" if instead[0].isalpha() else pattern
        found = re.search(word, re.sub(r"#.*", lambda m: " " * len(m[0]), gap))
        if found is None:
            return
        at = begin + len(gap[: found.start()].encode())
        change = self._change(at, at + len(found[0].encode()), instead)
        yield change, f"`{found[0]}` → `{instead}`", lines, owner


def _header_end(node: ast.stmt) -> int:
    """The last line of a statement, without the statements in it."""
    inner = [
        each.lineno for each in ast.walk(node) if isinstance(each, ast.stmt) and each is not node
    ]
    if not inner:
        return node.end_lineno or node.lineno
    return max(node.lineno, min(inner) - 1)


def _annotates(node: ast.AST, child: ast.AST) -> bool:
    if isinstance(node, ast.AnnAssign):
        return child is node.annotation or child is node.target
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return child is node.returns or child in node.decorator_list
    return isinstance(node, ast.ClassDef) and (
        child in node.decorator_list or child in node.keywords
    )


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
