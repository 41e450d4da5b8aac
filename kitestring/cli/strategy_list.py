"""``kitestring strategies``: every strategy by name, with its first sentence and its parameters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from kitestring.cli.strategy_check import first_sentence
from kitestring.domain.errors import ConfigError
from kitestring.engine.strategy_files import MY, SHIPPED, read_strategy, strategy_names


def strategy_lines(own: Path = MY, shipped: Path = SHIPPED) -> list[str]:
    """Your own first, then the shipped ones; a refused one is listed with its first reason."""
    lines = [f"yours, in {own}:"]
    mine = strategy_names((own,))
    lines += _described(mine, (own,)) or ["  none yet; begin with: python -m kitestring new NAME"]
    lines += ["", "shipped:"]
    return lines + _described(strategy_names((shipped,)), (shipped,), hidden=mine)


def _described(
    names: Iterable[str], folders: tuple[Path, ...], hidden: tuple[str, ...] = ()
) -> list[str]:
    lines: list[str] = []
    for name in names:
        try:
            definition = read_strategy(name, folders)
        except ConfigError as error:
            lines.append(f"  {name}: refused")
            lines += [f"      {line}" for line in error.what.splitlines()[1:2] or [error.what]]
            continue
        replaced = " (yours of that name stands in its place)" if name in hidden else ""
        lines.append(f"  {name}: {first_sentence(definition)}{replaced}")
        lines.append(f"      {_params(definition.params_type())}")
    return lines


def _params(params: msgspec.Struct) -> str:
    said = (f"{name}={_shown(value)}" for name, value in msgspec.structs.asdict(params).items())
    return ", ".join(said) or "no parameters"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
