"""Files of secrets, as ``NAME=value`` lines: read only while nobody else can read them.

A file or folder that others may open is refused with the command that closes it, not warned about:
what was readable may have been read. No message repeats what stands in such a file.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kitestring.domain.errors import ConfigError
from kitestring.store.atomic_file import write_atomically

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_ONE_LINE: Final = re.compile(r"(?!['\"])[ -~]*(?<! )")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SIZE_MAX: Final = 65_536


def read_secret_file(path: Path) -> dict[str, str]:
    """The values of a file of secrets; empty if there is no such file. Raises ``ConfigError``."""
    try:
        with path.open("rb") as file:
            _demand_private(path.parent, path.parent.stat(), "700")
            _demand_private(path, os.fstat(file.fileno()), "600")
            content = file.read(_SIZE_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or type(error).__name__}."
        ) from None
    if len(content) > _SIZE_MAX:
        raise ConfigError(f"{path} is far too long for a file of secrets.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Not chained: the error would carry the content.
        text = None
    if text is None:
        raise ConfigError(f"{path} is not a text file in UTF-8.")
    return _values(path, text)


def write_secret_file(path: Path, values: Mapping[str, str], head: str) -> None:
    """Replace a file of secrets; only its owner may ever read it. Raises ``ConfigError``."""
    for name, value in values.items():
        assert _ONE_LINE.fullmatch(value), f"{name} would not be read back as it is"
    lines = [f"# {head}", *(f"{name}={value}" for name, value in values.items()), ""]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _demand_private(path.parent, path.parent.stat(), "700")
        write_atomically(path, "\n".join(lines).encode(), durable=True, private=True)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or type(error).__name__}.",
            do="Make room, or let this user write there; then log in again.",
        ) from None


def _demand_private(path: Path, found: os.stat_result, mode: str) -> None:
    if sys.platform == "win32":  # it has no such modes; the user's profile is closed by itself
        return
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} belongs to another user of this machine.",
            do=f"Take it over and log in again: sudo chown $(id -un) {path}",
        )
    if found.st_mode & _OTHERS:
        raise ConfigError(
            f"{path} can be opened by other users of this machine (mode {found.st_mode & 0o777:o}).",
            do=f"Close it: chmod {mode} {path}  (if others use this machine, log in anew as well)",
        )


def _values(path: Path, text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        found = _LINE.fullmatch(bare)
        if found is None:
            raise ConfigError(
                f"{path}:{number}: is no line of the form NAME=value.",
                do="Write one secret a line, such as KITE_API_KEY=... ; # begins a remark.",
            )
        name, value = found.groups()
        if name in values:
            raise ConfigError(f"{path}:{number}: {name} is there twice.", do="Remove one of them.")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[name] = value
    return values
