"""A fault script, read strictly: every mistake is named with its line and the nearest right word.

    seed: 7
    faults:
      - kind: no_answer            # take the order, never answer
        route: POST /orders/regular
        nth: 3
      - kind: ticks_silent
        from: "11:00"
        for: 40

``docs/Exchange.md`` lists kinds, routes, occurrences and parameters.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import HOUR, MINUTE, SECOND, Instant
from kitestring.domain.yaml_lines import Mapping, Scalar, Sequence, Tree, read_tree
from kitestring.exchange.wire.fault_kinds import KINDS, FaultKind, Param, Place, Takes, Value
from kitestring.exchange.wire.faults import ROUTE_WORDS, Fault, When

_WHEN: Final = ("nth", "every", "from", "until", "probability", "times")
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_ROUTE: Final = re.compile(r"(GET|POST|PUT|DELETE|\*) (/\S*|\*)")
_DO: Final = "Correct it and load it again; every kind is described in docs/Exchange.md."


class Script(msgspec.Struct, frozen=True):
    """A fault script, checked."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0


def load_script(path: Path) -> Script:
    """Read and check a script. Raises ``ConfigError`` naming every problem in it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The fault script {path} cannot be read: {error}.") from error
    return parse_script(text, str(path))


def parse_script(text: str, name: str = "faults") -> Script:
    """Check the text of a script called ``name``. Raises ``ConfigError``."""
    if not text.strip():
        return Script()
    reader = _Reader(name)
    tree = read_tree(text, name)
    rows = reader.rows(tree, "the script", ("seed", "faults"))
    seed = reader.whole(rows.get("seed"), "seed", 0, 0, 1 << 62)
    listed = rows.get("faults")
    faults: list[Fault] = []
    if isinstance(listed, Sequence):
        read = [reader.fault(item, f"faults[{n}]") for n, item in enumerate(listed.items, 1)]
        faults = [fault for fault in read if fault is not None]
    elif listed is not None and not (isinstance(listed, Scalar) and listed.value is None):
        reader.note(listed, "faults", "must be a list, each entry beginning with `- kind: ...`")
    reader.raise_mistakes()
    return Script(tuple(faults), seed)


class _Reader:
    """Reads values and remembers every mistake with its line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._mistakes: list[tuple[int, str]] = []

    def note(self, tree: Tree, path: str, sentence: str) -> None:
        self._mistakes.append((tree.line, f"{path} {sentence}."))

    def raise_mistakes(self) -> None:
        mistakes = sorted(set(self._mistakes))
        if not mistakes:
            return
        lines = [f"{self._name}:{line}: {sentence}" for line, sentence in mistakes]
        if len(lines) == 1:
            raise ConfigError(lines[0], do=_DO)
        listed = "\n".join(f"  {line}" for line in lines)
        raise ConfigError(f"{len(lines)} lines of {self._name} are wrong:\n{listed}", do=_DO)

    def unknown(self, tree: Tree, path: str, word: str, known: Iterable[str]) -> None:
        known = tuple(known)
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}."
        self._mistakes.append((tree.line, f"{path} does not know {word}; {hint}"))

    def rows(self, tree: Tree, path: str, known: Iterable[str]) -> dict[str, Tree]:
        if not isinstance(tree, Mapping):
            self.note(tree, path, "must be a section with `key: value` lines")
            return {}
        known = tuple(known)
        for row in tree.rows:
            if row.key not in known:
                self.unknown(Scalar(None, "", row.line), path, row.key, known)
        return {row.key: row.tree for row in tree.rows if row.key in known}

    def fault(self, tree: Tree, path: str) -> Fault | None:
        if not isinstance(tree, Mapping):
            self.note(tree, path, "must begin with `kind:`")
            return None
        named = next((row.tree for row in tree.rows if row.key == "kind"), None)
        if named is None:
            self.note(tree, path, "needs `kind:`, one of those in docs/Exchange.md")
            return None
        word = named.text if isinstance(named, Scalar) else "a list or section"
        kind = KINDS.get(word)
        if kind is None:
            self.unknown(named, f"{path}.kind", word, KINDS)
            return None
        names = tuple(param.name for param in kind.params)
        lasting = ("for",) if kind.lasts else ()
        rows = self.rows(tree, f"{path} ({word})", ("kind", "route", *_WHEN, *lasting, *names))
        return Fault(
            kind=kind.name,
            route=self._route(rows.get("route"), f"{path}.route", kind),
            when=self._when(rows, path),
            params={
                param.name: self._value(rows[param.name], f"{path}.{param.name}", param)
                for param in kind.params
                if param.name in rows
            },
        )

    def _route(self, tree: Tree | None, path: str, kind: FaultKind) -> str:
        if tree is None:
            return kind.route
        route = tree.text.strip() if isinstance(tree, Scalar) else ""
        on_socket = kind.place in {Place.UPGRADE, Place.TICKS, Place.UPDATE}
        if on_socket:
            if route != "ws":
                self.note(tree, path, f"must be `ws`: {kind.name} happens on the socket")
        elif route == "ws":
            self.note(tree, path, f"must be one of REST: {kind.name} does not happen on the socket")
        elif route not in ROUTE_WORDS and not _ROUTE.fullmatch(route):
            words = ", ".join(word for word in ROUTE_WORDS if word != "ws")
            self.note(
                tree,
                path,
                "must be a method and a path such as `POST /orders/regular` or `GET /orders*`,"
                f" or one of {words}; it is {route or 'empty'}",
            )
        return route

    def _when(self, rows: dict[str, Tree], path: str) -> When:
        probability = self._number(rows.get("probability"), f"{path}.probability", 1.0, 0, 1)
        since = self._clock(rows.get("from"), f"{path}.from")
        until = self._clock(rows.get("until"), f"{path}.until")
        if since is not None and until is not None and since >= until:
            self.note(rows["until"], f"{path}.until", "must be later than `from`")
        lasts: Instant | None = None
        if "for" in rows:
            lasts = round(self._number(rows["for"], f"{path}.for", 1.0, 0.001, 86_400) * SECOND)
        return When(
            nth=self._places(rows.get("nth"), f"{path}.nth"),
            every=self.whole(rows.get("every"), f"{path}.every", 0, 1, 10**9),
            since=since,
            until=until,
            probability=probability,
            times=self.whole(rows.get("times"), f"{path}.times", 0, 1, 10**9),
            lasts=lasts,
        )

    def _places(self, tree: Tree | None, path: str) -> tuple[int, ...]:
        if tree is None:
            return ()
        items = tree.items if isinstance(tree, Sequence) else (tree,)
        return tuple(self.whole(item, path, 1, 1, 10**9) for item in items)

    def _clock(self, tree: Tree | None, path: str) -> Instant | None:
        if tree is None:
            return None
        clock = _CLOCK.fullmatch(tree.text.strip()) if isinstance(tree, Scalar) else None
        if clock is None:
            self.note(tree, path, f"must be a time of day in India, such as 10:15{_it_is(tree)}")
            return None
        return int(clock[1]) * HOUR + int(clock[2]) * MINUTE + int(clock[3] or 0) * SECOND

    def whole(self, tree: Tree | None, path: str, default: int, least: float, most: float) -> int:
        if tree is None:
            return default
        value = tree.value if isinstance(tree, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.note(tree, path, f"must be a whole number {_between(least, most)}{_it_is(tree)}")
        return default

    def _number(
        self, tree: Tree | None, path: str, default: float, least: float, most: float
    ) -> float:
        if tree is None:
            return default
        value = tree.value if isinstance(tree, Scalar) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number) and least <= number <= most:
                return number
        self.note(tree, path, f"must be a number {_between(least, most)}{_it_is(tree)}")
        return default

    def _value(self, tree: Tree, path: str, param: Param) -> Value:
        written = tree.text.strip() if isinstance(tree, Scalar) else ""
        default = param.default
        match param.takes:
            case Takes.SECONDS | Takes.NUMBER:
                return self._number(tree, path, 0.0, param.least, param.most)
            case Takes.WHOLE:
                return self.whole(tree, path, 0, param.least, param.most)
            case Takes.YES:
                if isinstance(tree, Scalar) and isinstance(tree.value, bool):
                    return tree.value
                self.note(tree, path, f"must be true or false{_it_is(tree)}")
            case Takes.WORD:
                if written in param.words:
                    return written
                self.unknown(tree, path, written or "a list or section", param.words)
            case Takes.TEXT:
                if isinstance(tree, Scalar) and written:
                    return tree.text
                self.note(tree, path, "must be a text")
            case Takes.NAMES:
                items = tree.items if isinstance(tree, Sequence) else (tree,)
                names = tuple(i.text for i in items if isinstance(i, Scalar) and i.text)
                if names and len(names) == len(items):
                    return names
                self.note(tree, path, "must be a list of names")
        return default


def _between(least: float, most: float) -> str:
    return f"of at least {least:g}" if most >= 10**9 else f"from {least:g} to {most:g}"


def _it_is(tree: Tree) -> str:
    if isinstance(tree, Scalar):
        return f"; it is {tree.text}" if tree.text else "; it is empty"
    return "; it is a list" if isinstance(tree, Sequence) else "; it is a section"
