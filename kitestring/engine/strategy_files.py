"""Finds the file of a strategy by its name: the user's own folder first, then the shipped ones.

``my/`` is the user's and no update touches it; a file there replaces a shipped strategy of the
same name. The text is read once, so that what was checked, what is hashed and what runs is the same.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_loader import StrategyRefused, load_strategy
from kitestring.domain.errors import ConfigError

# Not resolved: a clone made of links keeps its own my/.
SHIPPED = Path(__file__).absolute().parent.parent / "strategies"
MY = SHIPPED.parent.parent / "my"
"""Beside the package, in the clone."""
_NAME = re.compile(r"[A-Za-z]\w*")


def strategy_names(folders: Iterable[Path] = (MY, SHIPPED)) -> tuple[str, ...]:
    """Every strategy there is, by name."""
    names = {path.stem for folder in folders for path in folder.glob("[A-Za-z]*.py")}
    return tuple(sorted(names))


def read_strategy(name: str, folders: Iterable[Path] = (MY, SHIPPED)) -> StrategyDefinition:
    """The strategy called ``name``, checked. Raises ``ConfigError`` with every reason against it."""
    folders = tuple(folders)
    for folder in folders:
        path = folder / f"{name}.py"
        if _NAME.fullmatch(name) is None or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The strategy {path} cannot be read: {error}.") from error
        loaded = load_strategy(name, text, str(path))
        if isinstance(loaded, StrategyRefused):
            raise ConfigError(
                loaded.sentence,
                do="Mend the file; docs/Strategies.md says what a strategy may use.",
            )
        return loaded
    known = strategy_names(folders)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}."
    raise ConfigError(
        f"There is no strategy called {name}; {hint}",
        do=f"Put your own into {folders[0]}/{name}.py, or correct `strategy:`.",
    )
