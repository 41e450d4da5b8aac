"""Fetches strategies by name: the user's own from ``my/``, then the shipped ones.

Reading files is an outside matter; checking and loading the text is the core's.
"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_loader import StrategyRefused, load_strategy
from kitestring.domain.errors import ConfigError

MY_FOLDER = Path("my")


def shipped_names() -> list[str]:
    """The strategies that come with the house."""
    folder = resources.files("kitestring.strategies")
    return sorted(
        entry.name.removesuffix(".py")
        for entry in folder.iterdir()
        if entry.name.endswith(".py") and not entry.name.startswith("_")
    )


def fetch_strategy(name: str, my_folder: Path = MY_FOLDER) -> StrategyDefinition:
    """Load one strategy. Raises ``ConfigError`` if there is none, or if it breaks the rules."""
    mine = my_folder / f"{name}.py"
    if name.isidentifier() and mine.is_file():
        text, path = mine.read_text(encoding="utf-8"), str(mine)
    elif name in shipped_names():
        source = resources.files("kitestring.strategies") / f"{name}.py"
        text, path = source.read_text(encoding="utf-8"), f"kitestring/strategies/{name}.py"
    else:
        known = [*shipped_names(), *(file.stem for file in sorted(my_folder.glob("*.py")))]
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            f"There is no strategy {name!r}" + (f"; did you mean {near[0]}?" if near else "."),
            do=f"choose from {', '.join(known)}, or write {mine}",
        )
    loaded = load_strategy(name, text, path)
    if isinstance(loaded, StrategyRefused):
        raise ConfigError(loaded.sentence, do=f"mend {path}")
    return loaded
