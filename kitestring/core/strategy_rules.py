"""What a strategy's source may not contain, each refusal with its line and one sentence.

A strategy must give the same answers tomorrow, in a replay, in a sweep and after a restart. So it
may not look at a clock, a file, a network or a die, keep anything outside its ``State``, or read
anything but closed bars. The same holds for an indicator of its own, a class with ``push``, which
may remember bars because it is fed them again. This is a reading of the source text; it keeps an
honest author from a mistake and is no prison for a hostile one: run only strategies you have read.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Iterator
from types import MappingProxyType
from typing import Final

import msgspec

ALLOWED_IMPORTS: Final = (
    "__future__",
    "bisect",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "kitestring.core.indicators",
    "kitestring.core.strategy",
    "kitestring.domain.bars",
    "kitestring.domain.ids",
    "kitestring.domain.instants",
    "kitestring.domain.money",
    "kitestring.domain.signals",
    "math",
    "msgspec",
    "typing",
)
"""Modules that only compute."""

_WHY_NOT: Final = MappingProxyType(
    {
        "time": "reads a clock; use i.minute, the minutes since the session opened",
        "datetime": "reads a clock; use i.minute, the minutes since the session opened",
        "random": "draws lots; a replay would decide differently",
        "secrets": "draws lots; a replay would decide differently",
        "os": "reaches outside the strategy",
        "sys": "reaches outside the strategy",
        "numpy": "works on arrays; a strategy decides on the numbers of one closed bar",
        "pandas": "works on arrays; a strategy decides on the numbers of one closed bar",
        "talib": "works on arrays; declare indicators with kitestring.core.indicators",
    }
)

_FORBIDDEN_NAMES: Final = MappingProxyType(
    {
        **dict.fromkeys(("open", "input", "print", "breakpoint"), "reads or writes outside"),
        **dict.fromkeys(("eval", "exec", "compile", "__import__"), "runs text that nobody checked"),
        **dict.fromkeys(
            ("globals", "locals", "vars", "setattr", "delattr", "getattr"),
            "reaches around the names that can be read here",
        ),
        **dict.fromkeys(("force_setattr",), "changes what must not change"),
        **dict.fromkeys(("hash", "id"), "differs from run to run"),
        **dict.fromkeys(("iter", "next"), "keeps a place outside State"),
    }
)

_MUTABLE_MAKERS: Final = frozenset(
    ("list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict")
)
_PLAIN_DUNDERS: Final = frozenset(
    ("__name__", "__doc__", "__post_init__", "__future__", "__all__", "__slots__")
)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Refusal(msgspec.Struct, frozen=True):
    """One reason why a strategy is not loaded: where, which rule, and a sentence for its author."""

    line: int
    rule: str
    sentence: str


def refusals(tree: ast.Module) -> tuple[Refusal, ...]:
    """Everything a source may not contain, by line."""
    found = [*_imports(tree), *_names(tree), *_memory(tree), *_shapes(tree), *_making(tree)]
    return tuple(sorted(set(found), key=lambda refusal: (refusal.line, refusal.rule)))


def unknown_inputs(tree: ast.Module, known: Collection[str]) -> tuple[Refusal, ...]:
    """Reads of the inputs that name nothing a closed bar has: a misspelling, or the future."""
    found: list[Refusal] = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        inputs = _inputs_name(node)
        for read in ast.walk(node):
            if (
                isinstance(read, ast.Attribute)
                and isinstance(read.value, ast.Name)
                and read.value.id == inputs
                and read.attr not in known
            ):
                near = difflib.get_close_matches(read.attr, known, 1)
                hint = f"; did you mean {inputs}.{near[0]}?" if near else ""
                sentence = f"{inputs}.{read.attr} is neither a field of a closed bar nor one of its indicators{hint}"
                found.append(Refusal(read.lineno, "inputs", sentence))
    return tuple(found)


def _inputs_name(function: ast.FunctionDef) -> str:
    """What a function calls its inputs: the third argument of ``decide``, else by annotation."""
    arguments = function.args.args
    if function.name == "decide" and len(arguments) > 2:
        return arguments[2].arg
    for argument in arguments:
        if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Inputs":
            return argument.arg
    return ""


def _imports(tree: ast.Module) -> Iterator[Refusal]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
            if any(alias.name == "*" for alias in node.names):
                yield Refusal(node.lineno, "import", "import names one by one, not with a star")
        else:
            continue
        for name in names:
            if name not in ALLOWED_IMPORTS:
                why = _WHY_NOT.get(name.partition(".")[0], "is not among the modules allowed here")
                yield Refusal(node.lineno, "import", f"{name} {why}")


def _names(tree: ast.Module) -> Iterator[Refusal]:
    columns = _columns_read(tree)
    for node in ast.walk(tree):
        if node in columns:
            continue
        if isinstance(node, (ast.Attribute, ast.Name)):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            plain = isinstance(node, ast.Name) or name == "force_setattr"
            if plain and name in _FORBIDDEN_NAMES:
                sentence = f"{name} {_FORBIDDEN_NAMES[name]}; a strategy only computes"
                yield Refusal(node.lineno, "name", sentence)
            if name.startswith("__") and name.endswith("__") and name not in _PLAIN_DUNDERS:
                sentence = f"{name} reaches into Python itself; a strategy only computes"
                yield Refusal(node.lineno, "name", sentence)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "shift"
        ):
            sentence = "shift moves a series and can show the future; keep what you need in State"
            yield Refusal(node.lineno, "look-ahead", sentence)


def _memory(tree: ast.Module) -> Iterator[Refusal]:
    """State outside ``State``: it would not survive a restart, nor be equal in a sweep.

    An own indicator may change itself (``self.sum = …`` in its methods): it is fed again.
    """
    own = _own_changes(tree)
    for line in tree.body:
        value = line.value if isinstance(line, (ast.Assign, ast.AnnAssign)) else None
        if value is not None and _mutable(value) and not _names_all(line):
            sentence = (
                "a module-level list, dict or set can change between bars; use a tuple, or State"
            )
            yield Refusal(line.lineno, "memory", sentence)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            sentence = "a variable changed from inside a function is memory outside State"
            yield Refusal(node.lineno, "memory", sentence)
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                kept = line.value if isinstance(line, (ast.Assign, ast.AnnAssign)) else None
                if kept is not None and _mutable(kept):
                    sentence = f"a list, dict or set in class {node.name} is shared between bars; use a tuple"
                    yield Refusal(line.lineno, "memory", sentence)
        if isinstance(node, _FUNCTIONS):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None and _mutable(default):
                    sentence = "a mutable default remembers from call to call; use State"
                    yield Refusal(default.lineno, "memory", sentence)
            for inner in ast.walk(node):
                for target in _targets(inner):
                    if isinstance(target, ast.Attribute) and target not in own:
                        sentence = (
                            f"nothing given to a strategy is changed in place (.{target.attr} = …);"
                            " return a new State"
                        )
                        yield Refusal(target.lineno, "memory", sentence)


def _own_indicators(tree: ast.Module) -> list[ast.ClassDef]:
    """The classes of indicators in plain Python: those with a ``push``."""
    return [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(part, ast.FunctionDef) and part.name == "push" for part in node.body)
    ]


def _columns_read(tree: ast.Module) -> set[ast.AST]:
    """Reads of what ``push`` was given: its ``open`` is a price and not the function."""
    return {
        inner
        for kind in _own_indicators(tree)
        for method in kind.body
        if isinstance(method, ast.FunctionDef)
        for inner in ast.walk(method)
        if isinstance(inner, ast.Name)
        and inner.id in {argument.arg for argument in method.args.args}
    }


def _own_changes(tree: ast.Module) -> set[ast.expr]:
    """Where an own indicator changes itself, and nobody else."""
    return {
        target
        for kind in _own_indicators(tree)
        for method in kind.body
        if isinstance(method, ast.FunctionDef) and method.args.args
        for inner in ast.walk(method)
        for target in _targets(inner)
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == method.args.args[0].arg
    }


def _making(tree: ast.Module) -> Iterator[Refusal]:
    """An own indicator made by the strategy itself would be memory that nobody feeds again."""
    kinds = _own_indicators(tree)
    names = {kind.name for kind in kinds}
    inside = {inner for kind in kinds for inner in ast.walk(kind)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and node not in inside
            and isinstance(node.func, ast.Name)
            and node.func.id in names
        ):
            name = node.func.id
            sentence = (
                f"{name} is made and fed by the house; declare it in indicators(): own({name}, …)"
            )
            yield Refusal(node.lineno, "memory", sentence)


def _shapes(tree: ast.Module) -> Iterator[Refusal]:
    for node in ast.walk(tree):
        if isinstance(node, ast.While):
            sentence = "a while loop may never end and would stop the day; use for … in range(…)"
            yield Refusal(node.lineno, "loop", sentence)
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)):
            yield Refusal(node.lineno, "async", "a strategy answers at once; it cannot wait")
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            yield Refusal(node.lineno, "memory", "a generator keeps its place outside State")
        if isinstance(node, (ast.For, ast.comprehension)) and _set(node.iter):
            line = node.iter.lineno
            yield Refusal(
                line, "order", "a set has no order that is the same in every run; sort it"
            )
        if isinstance(node, ast.ExceptHandler) and _catches_all(node):
            sentence = (
                "catching everything hides a failure; the house switches a failing strategy off"
            )
            yield Refusal(node.lineno, "except", sentence)


def _mutable(value: ast.expr) -> bool:
    if isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)):
        return True
    if isinstance(value, ast.GeneratorExp):
        return True
    if isinstance(value, ast.Tuple):
        return any(_mutable(part) for part in value.elts)
    if not isinstance(value, ast.Call):
        return False
    maker = value.func
    name = maker.attr if isinstance(maker, ast.Attribute) else getattr(maker, "id", "")
    return name in _MUTABLE_MAKERS


def _names_all(node: ast.stmt) -> bool:
    return any(isinstance(to, ast.Name) and to.id == "__all__" for to in _targets(node))


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return [leaf for target in node.targets for leaf in _leaves(target)]
    if isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.For)):
        return _leaves(node.target)
    return list(node.targets) if isinstance(node, ast.Delete) else []


def _leaves(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        return [leaf for part in target.elts for leaf in _leaves(part)]
    return [target]


def _set(value: ast.expr) -> bool:
    made = isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
    return isinstance(value, (ast.Set, ast.SetComp)) or (
        made and getattr(getattr(value, "func", None), "id", "") in ("set", "frozenset")
    )


def _catches_all(handler: ast.ExceptHandler) -> bool:
    kind = handler.type
    return kind is None or (
        isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")
    )
