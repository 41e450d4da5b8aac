"""The text of the house itself as one digest: an arming is for the program that a person looked at.

Money has been lost by a server that still ran last month's program beside seven that did not. An
update between arming and trading, or between two runs of one day, ends the arming.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_HOUSE: Final = Path(__file__).resolve().parents[1]
_READ: Final = frozenset({".py", ".toml"})


@cache
def own_text(house: Path = _HOUSE) -> str:
    """Of every module and every dated row, in the order of their names; read once a process."""
    digest = hashlib.sha256()
    for path in sorted(house.rglob("*")):
        if path.suffix in _READ and path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(house).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
