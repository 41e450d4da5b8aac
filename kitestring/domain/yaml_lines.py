"""A YAML file as written, with the line of every word, so that a mistake can be pointed at.

Values are read as YAML 1.2 reads them and nothing else: ``15:30`` stays a time of day (YAML 1.1
made it 930), ``no`` stays a word. A key given twice, an anchor that loops and a second document
are mistakes, never silently resolved.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kitestring.domain.errors import ConfigError

_WHOLE = re.compile(r"[-+]?\d+(?:_\d+)*")
_DECIMAL = re.compile(r"[-+]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_DIGITS_MAX = 40
"""A longer number is none: it stays the text it is, and whoever wants a number says so."""
_NODES_MAX = 100_000
"""What a file may hold once its anchors are put in; nine lines can ask for a thousand million."""
_DEEPEST = 100
"""Brackets within brackets; the library's own search for the end of deeper ones takes seconds."""
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: what YAML makes of it, and the text as written."""

    value: str | int | float | bool | None
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """One ``key: value`` of a mapping."""

    key: str
    line: int
    tree: Tree


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with their values, in the order written."""

    rows: tuple[Row, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Tree, ...]
    line: int


Tree = Scalar | Mapping | Sequence


def read_tree(text: str, name: str) -> Mapping:
    """The settings in ``text``; ``name`` is the file's, for messages. Raises ``ConfigError``."""
    if _deepest(text) > _DEEPEST:
        raise _too_deep(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ReusedAnchorWarning)
            node = YAML(typ="safe", pure=True).compose(text)
    except ReusedAnchorWarning as error:
        raise ConfigError(
            f"{name}: an anchor is given twice.", do="Keep one of the two."
        ) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark is not None else name
        raise ConfigError(
            f"{where}: this is not YAML: {error.problem or error.context}.",
            do="Look at that line and the one above it: usually an indent or a colon is missing.",
        ) from error
    except RecursionError as error:
        raise _too_deep(name) from error
    except YAMLError as error:
        raise ConfigError(f"{name}: this is not YAML: {' '.join(str(error).split())}.") from error
    if node is None:
        return Mapping((), 1)
    try:
        tree = _Reading(name).tree(node, ())
    except RecursionError as error:
        raise _too_deep(name) from error
    if not isinstance(tree, Mapping):
        raise ConfigError(
            f"{name}:{tree.line}: the file must begin with a section, such as `trading:`."
        )
    return tree


def _too_deep(name: str) -> ConfigError:
    return ConfigError(f"{name}: its lists and sections are nested too deeply.")


def _deepest(text: str) -> int:
    """How deep brackets stand in brackets at the most, words and remarks counted as well."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return 0
    deep = deepest = 0
    for mark in re.findall(r"[\[\]{}]", text):
        deep += 1 if mark in "[{" else -1
        deepest = max(deepest, deep)
    return deepest


class _Reading:
    """One file on its way from nodes to values."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes = 0

    def tree(self, node: Node, inside: tuple[int, ...]) -> Tree:
        """A node and all below it."""
        name, line = self._name, node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > _NODES_MAX:
            raise ConfigError(f"{name}:{line}: these anchors make more than {_NODES_MAX:,} values.")
        if id(node) in inside:
            raise ConfigError(f"{name}:{line}: this anchor contains itself.")
        inside = (*inside, id(node))
        if isinstance(node, ScalarNode):
            plain = not node.style
            return Scalar(
                _value(str(node.value)) if plain else str(node.value), str(node.value), line
            )
        if isinstance(node, SequenceNode):
            return Sequence(tuple(self.tree(item, inside) for item in node.value), line)
        assert isinstance(node, MappingNode)
        rows: dict[str, Row] = {}
        for key, value in node.value:
            at = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise ConfigError(f"{name}:{at}: a key must be one word.")
            word = str(key.value)
            if word in rows:
                raise ConfigError(
                    f"{name}:{at}: {word} is given twice; the first is on line {rows[word].line}.",
                    do="Keep one of the two.",
                )
            tree = self.tree(value, inside)
            if isinstance(tree, Scalar) and not tree.text:
                tree = Scalar(
                    tree.value, tree.text, at
                )  # YAML puts an absent value on the next line
            rows[word] = Row(word, at, tree)
        return Mapping(tuple(rows.values()), line)


def _value(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _DIGITS_MAX:
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
