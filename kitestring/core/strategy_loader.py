"""From a strategy's source text to something that can decide, or to the reasons why not.

Reading the file is the caller's; this only checks and runs text. Every refusal is a value that
names line and rule, so that an author sees all of them at once.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import sys
import types
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

import msgspec

from kitestring.core.indicators import IndicatorSpec
from kitestring.core.strategy import INPUT_FIELDS, Decide, StrategyDefinition, inputs_class
from kitestring.core.strategy_rules import Refusal, refusals, unknown_inputs

_BUILTINS: Final = MappingProxyType(
    {
        name: value
        for name, value in vars(builtins).items()
        if name not in ("open", "input", "print", "eval", "exec", "compile", "breakpoint", "vars")
    }
)
_PARAMS_SAY: Final = ("frozen", "forbid_unknown_fields")
_STATE_SAYS: Final = ("frozen",)


class StrategyRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy that is not loaded, and every reason why."""

    name: str
    path: str
    refusals: tuple[Refusal, ...]

    @property
    def sentence(self) -> str:
        """All of it, one line per refusal: ``my/idea.py:12: import: …``."""
        lines = [f"{self.path}:{why.line}: {why.rule}: {why.sentence}" for why in self.refusals]
        return "\n".join([f"strategy {self.name} is not loaded:", *lines])


def load_strategy(name: str, source_text: str, path: str) -> StrategyDefinition | StrategyRefused:
    """The strategy in ``source_text``; ``path`` is only shown."""
    try:
        tree = ast.parse(source_text, path)
    except SyntaxError as error:
        why = Refusal(error.lineno or 1, "syntax", f"this is not Python: {error.msg}")
        return StrategyRefused(name=name, path=path, refusals=(why,))
    found = refusals(tree)
    if found:
        return StrategyRefused(name=name, path=path, refusals=found)
    digest = hashlib.sha256(source_text.encode()).hexdigest()
    module = types.ModuleType(f"kitestring_strategy.{name}_{digest[:12]}")
    module.__dict__["__builtins__"] = dict(_BUILTINS)
    module.__file__ = path
    # msgspec resolves the annotations of Params and State through the module of that name.
    sys.modules[module.__name__] = module
    try:
        # The text was checked just above; running it is what loading a strategy means.
        exec(compile(tree, path, "exec"), module.__dict__)  # noqa: S102
    except Exception as error:  # noqa: BLE001 - an author's code may raise anything
        why = Refusal(_line(error, path), "import", f"it cannot be loaded: {_said(error)}")
        return StrategyRefused(name=name, path=path, refusals=(why,))
    return _defined(name, path, digest, module, tree)


def _defined(
    name: str, path: str, digest: str, module: types.ModuleType, tree: ast.Module
) -> StrategyDefinition | StrategyRefused:
    lines = {
        node.name: node.lineno
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }
    found: list[Refusal] = []
    if not (module.__doc__ or "").strip():
        found.append(Refusal(1, "docstring", "say the idea, its source and its parameters first"))
    params_type = _struct(module, "Params", lines, found)
    state_type = _struct(module, "State", lines, found)
    indicators = _function(module, "indicators", 1, lines, found)
    decide = _function(module, "decide", 3, lines, found)
    history = _function(module, "history", 1, lines, found) if "history" in lines else None
    specs: Mapping[str, IndicatorSpec] = {}
    if params_type is not None and indicators is not None:
        try:
            specs = cast("Mapping[str, IndicatorSpec]", indicators(params_type()))
            extra = frozenset(inputs_class(specs).__slots__)
        except Exception as error:  # noqa: BLE001 - an author's code may raise anything
            line = _line(error, path, lines["indicators"])
            found.append(Refusal(line, "indicators", f"indicators(Params()) fails: {_said(error)}"))
        else:
            found.extend(unknown_inputs(tree, INPUT_FIELDS | extra))
    if found or params_type is None or state_type is None or indicators is None or decide is None:
        return StrategyRefused(name=name, path=path, refusals=tuple(found))
    return StrategyDefinition(
        name=name,
        path=path,
        source_hash=digest,
        idea=(module.__doc__ or "").strip(),
        params_type=params_type,
        state_type=state_type,
        indicators=cast("Callable[[msgspec.Struct], Mapping[str, IndicatorSpec]]", indicators),
        history=cast("Callable[[msgspec.Struct], int]", history or _no_history),
        decide=cast("Decide", decide),
    )


def _no_history(_params: msgspec.Struct) -> int:
    return 0


def _struct(
    module: types.ModuleType, name: str, lines: Mapping[str, int], found: list[Refusal]
) -> type[msgspec.Struct] | None:
    kind = getattr(module, name, None)
    line = lines.get(name, 1)
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        found.append(Refusal(line, "contract", f"there is no class {name}(msgspec.Struct)"))
        return None
    wanted = _PARAMS_SAY if name == "Params" else _STATE_SAYS
    missing = [key for key in wanted if not getattr(kind.__struct_config__, key)]
    if missing:
        needs = ", ".join(f"{key}=True" for key in missing)
        found.append(Refusal(line, "contract", f"class {name} must say {needs}"))
        return None
    try:
        _plain(msgspec.inspect.type_info(kind))
        made = kind()
        msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=kind)
    except Exception as error:  # noqa: BLE001 - an author's code may raise anything
        sentence = f"{name}() must have a default for every field and be plain data: {_said(error)}"
        found.append(Refusal(line, "contract", sentence))
        return None
    return kind


def _plain(kind: msgspec.inspect.Type) -> None:
    """Raise ``TypeError`` for a type that can change in place or cannot be written down."""
    match kind:
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                try:
                    _plain(field.type)
                except TypeError as error:
                    raise TypeError(f"field {field.name}: {error}") from None
        case msgspec.inspect.UnionType(types=members):
            for member in members:
                _plain(member)
        case msgspec.inspect.TupleType(item_types=members):
            for member in members:
                _plain(member)
        case msgspec.inspect.VarTupleType(item_type=member):
            _plain(member)
        case (
            msgspec.inspect.IntType()
            | msgspec.inspect.FloatType()
            | msgspec.inspect.StrType()
            | msgspec.inspect.BoolType()
            | msgspec.inspect.NoneType()
            | msgspec.inspect.EnumType()
            | msgspec.inspect.LiteralType()
        ):
            pass
        case _:
            what = type(kind).__name__.removesuffix("Type").lower()
            raise TypeError(f"a {what} can change in place or not be kept; use numbers or tuples")


def _function(
    module: types.ModuleType, name: str, takes: int, lines: Mapping[str, int], found: list[Refusal]
) -> types.FunctionType | None:
    function = getattr(module, name, None)
    if not isinstance(function, types.FunctionType):
        found.append(Refusal(1, "contract", f"there is no function {name}"))
        return None
    if function.__code__.co_argcount != takes:
        sentence = (
            f"{name} takes {takes} argument{'s' * (takes > 1)}, not {function.__code__.co_argcount}"
        )
        found.append(Refusal(lines.get(name, 1), "contract", sentence))
        return None
    return function


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _line(error: Exception, path: str, fallback: int = 1) -> int:
    line, step = fallback, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == path:
            line = step.tb_lineno
        step = step.tb_next
    return line
