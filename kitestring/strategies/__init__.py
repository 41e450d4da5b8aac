"""The strategies that come with the house, one idea per file; your own live in ``my/``."""

from __future__ import annotations

from importlib import resources


def shipped() -> dict[str, tuple[str, str]]:
    """Name → (source text, path to show) of every strategy in this folder."""
    found: dict[str, tuple[str, str]] = {}
    for entry in sorted(resources.files(__name__).iterdir(), key=lambda entry: entry.name):
        name = entry.name.removesuffix(".py")
        if entry.name.endswith(".py") and not name.startswith("_"):
            found[name] = (entry.read_text("utf-8"), f"kitestring/strategies/{entry.name}")
    return found
