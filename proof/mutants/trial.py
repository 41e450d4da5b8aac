"""One change of the house, and how it is put in place: in a running program, without a new start.

A change is a stretch of one file's bytes and what stands there instead; it keeps the number of lines,
so that every line behind it stays where it was. Inside a function the function alone is made anew,
wherever the program holds it; a change of anything else shows only in a program that starts with it.
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Final

import msgspec

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is changed: bytes ``begin`` to ``end`` of a file of the checkout."""

    path: str
    begin: int
    end: int
    instead: str

    def changed(self) -> bytes:
        """The whole file with the change in it."""
        raw = (ROOT / self.path).read_bytes()
        missing = raw[self.begin : self.end].count(b"\n") - self.instead.count("\n")
        if missing < 0:
            raise ValueError(f"{self.path}: {self.instead!r} has more lines than what it replaces")
        return raw[: self.begin] + self.instead.encode() + b"\n" * missing + raw[self.end :]

    @property
    def module(self) -> str:
        """The name under which the file is imported."""
        return self.path.removesuffix(".py").replace("/", ".")


class End(StrEnum):
    """How a trial ended."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    """The tests took many times as long as usual: noticed, too."""
    SURVIVED = "survived"
    UNREACHED = "unreached"
    """No test reaches the line."""
    BROKEN = "broken"
    """The trial itself failed: it says nothing."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A change (or none at all) and the tests that are to notice it, in this order."""

    name: str
    change: Change | None
    tests: tuple[str, ...]
    within_s: float


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    name: str
    end: End
    by: str = ""
    """The test that noticed it, or what went wrong."""
    seconds: float = 0.0


def put(change: Change) -> bool:
    """Make the change in this program; ``False`` where only one that starts with it would show it."""
    path = ROOT / change.path
    importlib.import_module(change.module)
    raw, source = path.read_bytes(), change.changed()
    first = raw.count(b"\n", 0, change.begin) + 1
    last = raw.count(b"\n", 0, change.end) + 1
    function = _holding(ast.parse(raw), first, last)
    if function is None:
        return False
    line = min([function.lineno, *(each.lineno for each in function.decorator_list)])
    new = next(
        (
            code
            for code in _codes(compile(source, str(path), "exec", dont_inherit=True))
            if code.co_firstlineno == line and code.co_name == function.name
        ),
        None,
    )
    found = [
        each
        for each in gc.get_objects()
        if type(each) is FunctionType
        and each.__code__.co_filename == str(path)
        and each.__code__.co_firstlineno == line
        and each.__code__.co_name == function.name
    ]
    if new is None or not found or any(f.__code__.co_freevars != new.co_freevars for f in found):
        return False
    for each in found:
        each.__code__ = new
    return True


def _holding(tree: ast.AST, first: int, last: int) -> _Function | None:
    """The outermost function with these lines in its body."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, _Function):
                if node.body[0].lineno <= first and last <= (node.end_lineno or 0):
                    return node
            elif isinstance(node, ast.ClassDef | ast.If | ast.Try | ast.With):
                waiting.append(node)
    return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, change: Change) -> None:
        super().__init__(change.module, str(ROOT / change.path))
        self._change = change

    def get_code(self, fullname: str) -> CodeType | None:
        del fullname
        return compile(self._change.changed(), self.path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Lets a program that has just started import the changed file in place of the real one."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See ``MetaPathFinder``."""
        del path, target
        if fullname != self._change.module:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(self._change))


def start_with(change: Change) -> None:
    """From now on in this program; nothing of the house may have been imported before."""
    assert change.module not in sys.modules, f"{change.module} is imported already"
    sys.meta_path.insert(0, Finder(change))
